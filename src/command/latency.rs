//! LATENCY: how long commands take, as histograms.
//!
//! LATENCY LATEST, HISTORY and RESET exist for clients that ask; nothing in ringkv forks, writes to disk or stops to
//! expire keys, so it has no events to tell of, and their answers are those of a Redis that has seen none.

use crate::codec::reply;

use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::spec::CommandSpec;
use super::table;
use super::watch::{CommandStatistics, Histogram};

/// LATENCY HISTOGRAM: the calls of all commands, or of those named, by how long they took. The name of a container
/// stands for its subcommands; a name without calls for nothing.
#[expect(clippy::unnecessary_wraps, reason = "all commands have one signature, whether they can fail or not")]
pub(super) fn histogram(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let statistics = &context.server.watch.commands;
    let names: Vec<&[u8]> = context.request.args().skip(2).collect();
    let asked: Vec<(&CommandSpec, &Histogram)> = match names.as_slice() {
        [] => measured(statistics, table::visible()).collect(),
        names => measured(statistics, names.iter().filter_map(|name| table::find(name))).collect(),
    };
    let (out, protocol) = (&mut context.turn.out, context.state.protocol);
    reply::map(out, protocol, asked.len());
    for (spec, histogram) in asked {
        reply::bulk(out, spec.name.as_bytes());
        reply::map(out, protocol, 2);
        reply::bulk(out, b"calls");
        reply::integer(out, shown(histogram.total()));
        reply::bulk(out, b"histogram_usec");
        let steps = histogram.steps();
        reply::map(out, protocol, steps.len());
        for (bound, calls) in steps {
            reply::integer(out, shown(bound));
            reply::integer(out, shown(calls));
        }
    }
    Ok(Flow::Next)
}

/// LATENCY LATEST and HISTORY: there are no events.
pub(super) fn no_events(context: &mut Context<'_>) -> Flow {
    reply::array(&mut context.turn.out, 0);
    Flow::Next
}

/// Those of `commands` and of their subcommands that were called.
fn measured<'a>(
    statistics: &'a CommandStatistics,
    commands: impl Iterator<Item = &'static CommandSpec> + 'a,
) -> impl Iterator<Item = (&'static CommandSpec, &'a Histogram)> {
    let all = commands.flat_map(|spec| std::iter::once(spec).chain(spec.subcommands));
    all.filter_map(|spec| Some((spec, statistics.row(spec.id).histogram()?)))
}

fn shown(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    // The answers were read off redis-server 7.0.15.

    #[test]
    fn histograms_tell_of_each_command_that_was_called() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("LATENCY HISTOGRAM"), "*0\r\n");
        for request in ["GET k", "GET k", "CONFIG GET save", "GET"] {
            bench.ask(request);
        }
        let get = "$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:2\r\n$14\r\nhistogram_usec\r\n*2\r\n:8\r\n:2\r\n";
        assert_eq!(bench.ask("LATENCY HISTOGRAM Get nosuch GET set"), format!("*4\r\n{get}{get}"));
        let config = "$10\r\nconfig|get\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:";
        for name in ["config", "CONFIG|get"] {
            let answer = bench.ask(&format!("LATENCY HISTOGRAM {name}"));
            assert!(answer.starts_with(&format!("*2\r\n{config}")), "{answer}");
        }
        let all = bench.ask("LATENCY HISTOGRAM");
        assert!(all.starts_with("*6\r\n") && all.contains("latency|histogram\r\n*4\r\n$5\r\ncalls\r\n:4"), "{all}");
    }

    #[test]
    fn histograms_are_maps_in_resp3() {
        let mut bench = Bench::single_node();
        bench.ask("HELLO 3");
        bench.ask("GET k");
        assert_eq!(bench.ask("LATENCY HISTOGRAM nosuch"), "%0\r\n");
        let expected = "%1\r\n$3\r\nget\r\n%2\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n%1\r\n:8\r\n:1\r\n";
        assert_eq!(bench.ask("LATENCY HISTOGRAM get"), expected);
    }

    #[test]
    fn there_are_no_events() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("LATENCY LATEST"), "*0\r\n");
        assert_eq!(bench.ask("LATENCY HISTORY command"), "*0\r\n");
        assert_eq!(bench.ask("LATENCY RESET"), ":0\r\n");
        assert_eq!(bench.ask("LATENCY RESET command fork"), ":0\r\n");
        assert!(bench.ask("LATENCY HELP").contains("+HISTOGRAM [<command> [<command> ...]]\r\n"));
        assert_eq!(bench.ask("LATENCY FOO"), "-ERR unknown subcommand 'FOO'. Try LATENCY HELP.\r\n");
        let arity = "-ERR wrong number of arguments for 'latency|history' command\r\n";
        assert_eq!(bench.ask("LATENCY HISTORY"), arity);
    }
}
