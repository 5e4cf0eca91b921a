//! SLOWLOG: the commands that clients of this node waited long for.
//!
//! Redis logs how long a call has kept the server busy. Here a call may wait for other nodes while the server serves
//! others, so what counts is the time from a command's turn to its reply. A command that was sent alone is logged with
//! just that time, and so is each that is timed alone within a pipeline (see [`super::watch`]). The others of a
//! pipeline are served together: if they are slow, one entry tells of them all, with the time that all of them took,
//! the words of the longest, and how many others there were. Peers' commands are not logged.

use std::time::Duration;

use crate::codec::{Request, reply};

use super::client::Client;
use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::integer::parse_i64;
use super::server::Server;
use super::spec::CommandSpec;

/// Entries of SLOWLOG GET without a count.
const COUNT: usize = 10;

/// Logs a request of `client` that shared its turn with `others`, if it was slow. Returns whether it was.
#[inline]
pub(crate) fn log_if_slow(
    server: &Server,
    client: &Client,
    (spec, request): (&CommandSpec, &Request<'_>),
    others: u64,
    took: Duration,
) -> bool {
    let is_slow = server.watch.slow_log.is_slow(took);
    if is_slow {
        log(server, client, (spec, request), others, took);
    }
    is_slow
}

#[cold]
#[inline(never)]
fn log(server: &Server, client: &Client, (spec, request): (&CommandSpec, &Request<'_>), others: u64, took: Duration) {
    if !spec.is_internal() {
        server.watch.slow_log.add((spec, request), others, client, took, server.store.replica.wall.now());
    }
}

/// SLOWLOG GET: the last ten, or so many, or with -1 all.
pub(super) fn get(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let request = context.request;
    let count = match request.len() {
        2 => COUNT,
        3 => match parse_i64(request.arg(2)) {
            Some(-1) => usize::MAX,
            count => count.and_then(|count| usize::try_from(count).ok()).ok_or(CommandError::SlowLogCount)?,
        },
        _ => return Err(CommandError::subcommand_syntax(request.arg(1), "SLOWLOG")),
    };
    let entries = context.server.watch.slow_log.latest(count);
    let out = &mut context.turn.out;
    reply::array(out, entries.len());
    for entry in entries {
        reply::array(out, 6);
        reply::integer(out, shown(entry.id));
        reply::integer(out, shown(entry.at.0 / 1000));
        reply::integer(out, i64::try_from(entry.took.as_micros()).unwrap_or(i64::MAX));
        reply::array(out, entry.args.len());
        for arg in &entry.args {
            reply::bulk(out, arg);
        }
        reply::bulk(out, entry.address.as_bytes());
        reply::bulk(out, entry.client_name.as_bytes());
    }
    Ok(Flow::Next)
}

/// SLOWLOG LEN: how many are kept.
pub(super) fn len(context: &mut Context<'_>) -> Flow {
    let len = context.server.watch.slow_log.len();
    context.integer(shown(len as u64))
}

/// SLOWLOG RESET: forgets them.
pub(super) fn reset(context: &mut Context<'_>) -> Flow {
    context.server.watch.slow_log.reset();
    context.ok()
}

fn shown(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::table;
    use super::super::testing::{Bench, request};
    use super::*;

    // The answers were read off redis-server 7.0.15.

    fn log_slow(bench: &Bench, line: &str, millis: u64) -> bool {
        let requests = request(line);
        let request = requests.first();
        let spec = table::resolve(request.args()).unwrap();
        log_if_slow(&bench.server, &bench.client, (spec, &request), 0, Duration::from_millis(millis))
    }

    #[test]
    fn an_entry_tells_what_was_slow_when_how_long_and_for_whom() {
        let mut bench = Bench::single_node();
        bench.ask("CLIENT SETNAME fred");
        assert!(!log_slow(&bench, "GET fast", 9));
        assert!(log_slow(&bench, "GET slow", 12));
        let answer = bench.ask("SLOWLOG GET");
        let (start, rest) = answer.split_once("*2\r\n").unwrap();
        let fields: Vec<&str> = start.lines().collect();
        assert!(matches!(fields.as_slice(), ["*1", "*6", ":0", at, ":12000"] if at.len() == 11), "{fields:?}");
        assert_eq!(rest, "$3\r\nGET\r\n$4\r\nslow\r\n$15\r\n127.0.0.1:50001\r\n$4\r\nfred\r\n");
    }

    #[test]
    fn the_last_ones_are_kept_and_told_newest_first() {
        let mut bench = Bench::single_node();
        bench.server.watch.slow_log.set_len_max(12);
        for number in 0..20 {
            log_slow(&bench, &format!("GET k{number}"), 10);
        }
        assert_eq!(bench.ask("SLOWLOG LEN"), ":12\r\n");
        for (request, entries) in
            [("SLOWLOG GET", 10), ("SLOWLOG GET 3", 3), ("SLOWLOG GET -1", 12), ("SLOWLOG GET 0", 0)]
        {
            let answer = bench.ask(request);
            assert!(answer.starts_with(&format!("*{entries}\r\n")), "{request}: {answer}");
        }
        assert!(bench.ask("SLOWLOG GET 1").starts_with("*1\r\n*6\r\n:19\r\n"));
        assert_eq!(bench.ask("SLOWLOG RESET"), "+OK\r\n");
        assert_eq!(bench.ask("SLOWLOG GET"), "*0\r\n");
        log_slow(&bench, "GET k", 10);
        assert!(bench.ask("SLOWLOG GET 1").starts_with("*1\r\n*6\r\n:20\r\n"), "ids go on");
    }

    #[test]
    fn a_log_without_room_keeps_nothing() {
        let mut bench = Bench::single_node();
        bench.server.watch.slow_log.set_len_max(0);
        log_slow(&bench, "GET k", 10);
        assert_eq!(bench.ask("SLOWLOG LEN"), ":0\r\n");
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_redis() {
        let mut bench = Bench::single_node();
        for (request, error) in [
            ("SLOWLOG GET -2", "ERR count should be greater than or equal to -1"),
            ("SLOWLOG GET abc", "ERR count should be greater than or equal to -1"),
            ("SLOWLOG GET 1 2", "ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP."),
            ("SLOWLOG LEN x", "ERR wrong number of arguments for 'slowlog|len' command"),
            ("SLOWLOG FOO", "ERR unknown subcommand 'FOO'. Try SLOWLOG HELP."),
        ] {
            assert_eq!(bench.ask(request), format!("-{error}\r\n"), "{request}");
        }
    }

    #[test]
    fn the_settings_are_shown() {
        let mut bench = Bench::single_node();
        bench.server.watch.slow_log.set_slower_than(-1);
        let expected = "*4\r\n$23\r\nslowlog-log-slower-than\r\n$2\r\n-1\r\n$15\r\nslowlog-max-len\r\n$3\r\n128\r\n";
        assert_eq!(bench.ask("CONFIG GET slowlog*"), expected);
    }
}
