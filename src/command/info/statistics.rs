//! The sections of INFO on commands and errors, in Redis' formats.

use super::Report;
use crate::command::spec::CommandSpec;
use crate::command::table;
use crate::command::watch::{Row, Watch};

/// What `# Latencystats` tells of each command, and its name there.
const PERCENTILES: [(f64, &str); 3] = [(50.0, "p50"), (99.0, "p99"), (99.9, "p99.9")];

impl Report<'_> {
    /// Calls that were refused before they began take no time and are no calls.
    pub(super) fn add_command_statistics(&mut self) {
        let watch = &self.server.watch;
        for (spec, row) in rows(watch) {
            let (calls, micros, rejected, failed) = (row.calls(), row.micros(), row.rejected(), row.failed());
            if calls + rejected + failed > 0 {
                let hundredths = (micros * 100).checked_div(calls).unwrap_or(0);
                let line = format!(
                    "calls={calls},usec={micros},usec_per_call={}.{:02},rejected_calls={rejected},failed_calls={failed}",
                    hundredths / 100,
                    hundredths % 100
                );
                self.field(format_args!("cmdstat_{}", spec.name), line);
            }
        }
    }

    pub(super) fn add_error_statistics(&mut self) {
        for (code, count) in self.server.watch.errors.all() {
            self.field(format_args!("errorstat_{code}"), format_args!("count={count}"));
        }
    }

    pub(super) fn add_latency_statistics(&mut self) {
        let watch = &self.server.watch;
        for (spec, row) in rows(watch) {
            let Some(histogram) = row.histogram() else { continue };
            let percentile = |(percent, name)| {
                let nanos = histogram.percentile(percent);
                format!("{name}={}.{:03}", nanos / 1000, nanos % 1000)
            };
            let line = PERCENTILES.map(percentile).join(",");
            self.field(format_args!("latency_percentiles_usec_{}", spec.name), line);
        }
    }
}

/// Every command with its counters.
fn rows(watch: &Watch) -> impl Iterator<Item = (&'static CommandSpec, &Row)> {
    table::everything().map(|spec| (spec, watch.commands.row(spec.id)))
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;

    /// The lines of a section, without its title.
    fn section(bench: &mut Bench, name: &str) -> Vec<String> {
        bench.ask(&format!("INFO {name}")).lines().skip(2).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    // The formats, and what counts as rejected and as failed, were read off redis-server 7.0.15.

    #[test]
    fn calls_are_told_by_command_with_what_became_of_them() {
        let mut bench = Bench::single_node();
        let requests = [
            "SET k v",
            "SET k v FOO",
            "GET",
            "NOSUCH",
            "CLIENT FOO",
            "CLIENT SETNAME",
            "INCR k",
            "SELECT 9",
            "PING a b",
        ];
        for request in requests {
            bench.ask(request);
        }
        bench.ask_together(&["GET k", "STRLEN k", "GET k"]);
        let mut lines = section(&mut bench, "commandstats");
        lines.sort();
        assert_eq!(
            lines,
            [
                "cmdstat_client|setname:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0",
                "cmdstat_get:calls=2,usec=3,usec_per_call=1.50,rejected_calls=1,failed_calls=0",
                "cmdstat_incr:calls=1,usec=5,usec_per_call=5.00,rejected_calls=0,failed_calls=1",
                "cmdstat_ping:calls=1,usec=5,usec_per_call=5.00,rejected_calls=0,failed_calls=1",
                "cmdstat_select:calls=1,usec=5,usec_per_call=5.00,rejected_calls=0,failed_calls=1",
                "cmdstat_set:calls=2,usec=10,usec_per_call=5.00,rejected_calls=0,failed_calls=1",
                "cmdstat_strlen:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0",
            ]
        );
        assert_eq!(section(&mut bench, "errorstats"), ["errorstat_ERR:count=8"]);
        assert!(bench.ask("INFO stats").contains("\r\ntotal_error_replies:8\r\n"));
    }

    #[test]
    fn latencies_are_told_by_command_as_percentiles() {
        let mut bench = Bench::single_node();
        for request in ["GET k", "GET", "NOSUCH"] {
            bench.ask(request);
        }
        assert_eq!(
            section(&mut bench, "latencystats"),
            ["latency_percentiles_usec_get:p50=5.023,p99=5.023,p99.9=5.023"]
        );
    }

    #[test]
    fn resetstat_starts_the_counters_again() {
        let mut bench = Bench::single_node();
        for request in ["GET k", "GET", "NOSUCH", "INCR k"] {
            bench.ask(request);
        }
        assert_eq!(bench.ask("CONFIG RESETSTAT"), "+OK\r\n");
        let lines = section(&mut bench, "commandstats");
        assert!(
            matches!(lines.as_slice(), [line] if line.starts_with("cmdstat_config|resetstat:calls=1,")),
            "{lines:?}"
        );
        assert_eq!(section(&mut bench, "errorstats"), [""; 0]);
        assert!(bench.ask("INFO stats").contains("\r\ntotal_error_replies:0\r\n"));
    }
}
