//! CONFIG GET, TIME, and what FLUSHALL may be told.
//!
//! Clients and benchmarks read a handful of settings before they start, so those exist under Redis' names, with what is
//! true of this node; ringkv's own follow under the names of cluster.toml, with dashes. What can change at run time is
//! changed by [`super::reconfigure`].

#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature, whether they can fail or not")]

use std::time::Duration;

use crate::codec::reply;

use super::dispatch::{ClusterWide, Context, Flow};
use super::errors::CommandError;
use super::glob::{self, Case};
use super::server::Server;

/// What stands for a password.
const HIDDEN: &str = "(hidden)";

/// CONFIG GET: the settings whose names match one of the patterns, each once.
pub(super) fn get(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let patterns: Vec<&[u8]> = context.request.args().skip(2).collect();
    let settings = settings(context.server);
    let asked: Vec<(&[u8], &str)> =
        settings.iter().filter_map(|(name, value)| Some((shown_name(name, &patterns)?, value.as_str()))).collect();
    let (out, protocol) = (&mut context.turn.out, context.state.protocol);
    reply::map(out, protocol, asked.len());
    for (name, value) in asked {
        reply::bulk(out, name);
        reply::bulk(out, value.as_bytes());
    }
    Ok(Flow::Next)
}

/// CONFIG RESETSTAT: the counters of INFO start again.
pub(super) fn reset_statistics(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    context.server.watch.reset(&context.server.statistics);
    Ok(context.ok())
}

/// TIME: the node's clock, in seconds and the microseconds within them. It is read in milliseconds.
pub(super) fn time(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let (seconds, milliseconds) = (context.now.0 / 1000, context.now.0 % 1000);
    reply::array(&mut context.turn.out, 2);
    context.bulk(seconds.to_string());
    Ok(context.bulk((milliseconds * 1000).to_string()))
}

/// FLUSHALL and FLUSHDB. ASYNC and SYNC are taken and make no difference: the keys are gone when the answer leaves, and
/// their memory is freed beside other work.
pub(super) fn flush(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let options: Vec<&[u8]> = context.request.args().skip(1).take(2).collect();
    match options.as_slice() {
        [] => Ok(Flow::wait_for(ClusterWide::FlushAll)),
        [mode] if mode.eq_ignore_ascii_case(b"async") || mode.eq_ignore_ascii_case(b"sync") => {
            Ok(Flow::wait_for(ClusterWide::FlushAll))
        }
        _ => Err(CommandError::Syntax),
    }
}

/// The name under which a setting is shown if one of `patterns` asks for it: as the client wrote it if that is a plain
/// name in whatever case, else as it is.
fn shown_name<'a>(name: &'a str, patterns: &[&'a [u8]]) -> Option<&'a [u8]> {
    let pattern = patterns.iter().find(|pattern| glob::matches(pattern, name.as_bytes(), Case::Insensitive))?;
    Some(if pattern.eq_ignore_ascii_case(name.as_bytes()) { pattern } else { name.as_bytes() })
}

/// Every setting by name. Never the cluster's secret, and of the password only that there is one.
pub(super) fn settings(server: &Server) -> Vec<(&'static str, String)> {
    let replica = &server.store.replica;
    let (cluster, own, live) = (&replica.config, &server.settings, &server.live);
    let yes_or_no = |on: bool| if on { "yes" } else { "no" }.to_owned();
    let seconds = |time: Option<Duration>| time.map_or(0, |time| time.as_secs()).to_string();
    let addr = &cluster.nodes[replica.index.as_usize()].addr;
    let host = addr.rsplit_once(':').map_or(addr.as_str(), |(host, _)| host);
    vec![
        ("save", String::new()),
        ("appendonly", "no".to_owned()),
        ("maxmemory", "0".to_owned()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", live.max_clients().to_string()),
        ("proto-max-bulk-len", live.max_value_bytes().to_string()),
        ("timeout", seconds(live.idle_timeout())),
        ("tcp-keepalive", seconds(live.tcp_keepalive())),
        ("client-output-buffer-limit", live.output_limits().to_string()),
        ("protected-mode", yes_or_no(live.protected_mode())),
        ("bind", host.to_owned()),
        ("port", server.port.to_string()),
        ("slowlog-log-slower-than", server.watch.slow_log.slower_than().to_string()),
        ("slowlog-max-len", server.watch.slow_log.len_max().to_string()),
        ("latency-tracking", "yes".to_owned()),
        ("latency-tracking-info-percentiles", "50 99 99.9".to_owned()),
        ("requirepass", if live.has_password() { HIDDEN } else { "" }.to_owned()),
        ("io-threads", own.worker_threads.to_string()),
        ("cluster-enabled", "no".to_owned()),
        // A slot without enough nodes takes no other slot with it.
        ("cluster-require-full-coverage", "no".to_owned()),
        ("replication-factor", cluster.replication_factor.to_string()),
        ("write-quorum", cluster.write_quorum.to_string()),
        ("read-quorum", cluster.read_quorum.to_string()),
        ("virtual-nodes", cluster.virtual_nodes.to_string()),
        ("request-timeout-ms", cluster.request_timeout_ms.to_string()),
        ("max-clock-drift-ms", cluster.max_clock_drift_ms.to_string()),
        ("sync-timeout-ms", cluster.sync_timeout_ms.to_string()),
        ("hint-ttl-ms", cluster.hint_ttl_ms.to_string()),
        ("read-repair-chance", cluster.read_repair_chance.to_string()),
        ("hint-bytes-max", own.hint_bytes_max.to_string()),
        ("anti-entropy-interval-ms", own.anti_entropy_interval_ms.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    #[test]
    fn settings_are_found_by_name_and_by_pattern_each_once() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("CONFIG GET save"), "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
        assert_eq!(bench.ask("CONFIG GET SAVE"), "*2\r\n$4\r\nSAVE\r\n$0\r\n\r\n");
        let both = "*4\r\n$4\r\nsave\r\n$0\r\n\r\n$10\r\nappendonly\r\n$2\r\nno\r\n";
        assert_eq!(bench.ask("CONFIG GET save APPEND* save s?ve"), both);
        assert_eq!(bench.ask("CONFIG GET nothing"), "*0\r\n");
        assert_eq!(bench.ask("CONFIG GET ["), "*0\r\n");
        bench.ask("HELLO 3");
        assert_eq!(bench.ask("CONFIG GET save"), "%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
        assert_eq!(bench.ask("CONFIG GET nothing"), "%0\r\n");
    }

    #[test]
    fn every_setting_says_what_is_true_of_the_node() {
        let bench = Bench::three_nodes();
        let settings = settings(&bench.server);
        let value = |name: &str| settings.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str());
        assert_eq!(value("replication-factor"), Some("3"));
        assert_eq!(value("write-quorum"), Some("2"));
        assert_eq!(value("bind"), Some("127.0.0.1"));
        assert_eq!(value("port"), Some("7001"));
        assert_eq!(value("databases"), Some("1"));
        assert_eq!(value("read-repair-chance"), Some("0.01"));
        assert_eq!(value("hint-bytes-max"), Some("67108864"));
    }

    #[test]
    fn no_setting_gives_the_secret_away() {
        let mut bench = Bench::three_nodes();
        assert!(bench.server.store.replica.config.secret.is_some(), "there is one to be kept");
        let all = bench.ask("CONFIG GET *");
        assert!(!all.contains("between us") && !all.contains("secret"), "{all}");
        assert_eq!(bench.ask("CONFIG GET requirepass"), "*2\r\n$11\r\nrequirepass\r\n$0\r\n\r\n");
    }

    #[test]
    fn time_is_seconds_and_microseconds() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("TIME"), "*2\r\n$10\r\n1700000000\r\n$6\r\n123000\r\n");
    }

    #[test]
    fn flush_is_for_the_whole_cluster_in_either_mode() {
        let mut bench = Bench::single_node();
        for request in ["FLUSHALL", "FLUSHALL ASYNC", "flushall sync", "FLUSHDB", "FLUSHDB async"] {
            assert_eq!(bench.ask_for(request), (String::new(), Flow::wait_for(ClusterWide::FlushAll)), "{request}");
        }
        for request in ["FLUSHALL FOO", "FLUSHALL ASYNC SYNC", "FLUSHDB a b c"] {
            assert_eq!(bench.ask_for(request), ("-ERR syntax error\r\n".to_owned(), Flow::Next), "{request}");
        }
    }
}
