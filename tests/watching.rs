//! What people look at in running nodes, over real sockets: MONITOR, SLOWLOG, LATENCY and the statistics of INFO.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;

use harness::{Cluster, Layout, Node, PATIENCE, RawClient, Reply, Signal, command, poll_for, wait_until};

/// The timeout where a node hangs, and what is left of it for whoever asks: its peers may have waited for an answer before.
const HANGING_MS: u64 = 3000;
const SLOW_MICROS: u32 = 750_000;

/// A client that has begun to monitor.
fn monitor(node: &Node) -> RawClient {
    let mut client = node.client();
    assert_eq!(client.ask(&["MONITOR"]), Reply::ok());
    client
}

/// The next line that a monitor is shown, from the address on, which is checked, and without it.
fn shown(monitor: &mut RawClient, by: &RawClient) -> String {
    let Reply::Simple(line) = monitor.reply() else { panic!("no line of a monitor") };
    let (time, rest) = line.split_once(' ').unwrap();
    let (seconds, micros) = time.split_once('.').unwrap();
    assert!(seconds.parse::<u64>().unwrap() > 1_700_000_000 && micros.len() == 6, "{time}");
    let address = format!("[0 {}] ", by.stream().local_addr().unwrap());
    rest.strip_prefix(&address).unwrap_or_else(|| panic!("{rest:?} is not by {address}")).to_owned()
}

/// The fields of a line of INFO, such as `calls` in `cmdstat_get`.
fn field(node: &Node, section: &str, line: &str, field: &str) -> Option<f64> {
    let text = node.client().ask(&["INFO", section]).text();
    let fields = text.lines().find_map(|other| other.strip_prefix(line)?.strip_prefix(':'))?.to_owned();
    fields.split(',').find_map(|pair| pair.strip_prefix(field)?.strip_prefix('=')?.parse().ok())
}

/// The entries of SLOWLOG GET about `command`: microseconds and words. On a busy machine others may be slow, too.
fn slow_log(node: &Node, command: &str) -> Vec<(i64, Vec<String>)> {
    let Reply::Array(entries) = node.client().ask(&["SLOWLOG", "GET", "-1"]) else { panic!("no list") };
    let read = |entry: Reply| {
        let Reply::Array(fields) = entry else { panic!("no entry") };
        let [Reply::Integer(_), Reply::Integer(_), Reply::Integer(micros), Reply::Array(words), _, _] = &fields[..]
        else {
            panic!("no entry: {fields:?}")
        };
        (*micros, words.iter().map(Reply::text).collect::<Vec<_>>())
    };
    entries.into_iter().map(read).filter(|(_, words)| words[0] == command).collect()
}

#[test]
fn a_monitor_is_shown_what_clients_ask_in_order() {
    let cluster = Cluster::start(&Layout::of(1));
    let mut monitor = monitor(cluster.node(0));
    let mut client = cluster.node(0).client();
    client.send(
        [command(&["set", "k", "a\r\n\"\0\u{fc}"]), b"GET k\r\nCONFIG GET save\r\nnosuch\r\nGET\r\n".to_vec()].concat(),
    );
    for _ in 0..5 {
        client.reply();
    }
    client.ask(&["AUTH", "default", "password"]);
    client.ask(&["HELLO", "2", "AUTH", "default", "password", "SETNAME", "bob"]);
    client.ask(&["DBSIZE"]);
    client.ask(&["QUIT"]);
    for line in [
        r#""set" "k" "a\r\n\"\x00\xc3\xbc""#,
        r#""GET" "k""#,
        r#""AUTH" "(redacted)" "(redacted)""#,
        r#""HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "bob""#,
        r#""DBSIZE""#,
        r#""QUIT""#,
    ] {
        assert_eq!(shown(&mut monitor, &client), line);
    }
}

#[test]
fn a_monitor_may_ask_too_until_it_resets() {
    let cluster = Cluster::start(&Layout::of(1));
    let mut monitor = monitor(cluster.node(0));
    assert_eq!(monitor.ask(&["PING"]), Reply::Simple("PONG".to_owned()));
    let Reply::Simple(line) = monitor.reply() else { panic!("no line") };
    assert!(line.ends_with("] \"PING\""), "{line}");
    assert!(monitor.ask(&["GET", "k"]).is_error("ERR Replica can't interact with the keyspace"));
    assert_eq!(monitor.ask(&["RESET"]), Reply::Simple("RESET".to_owned()));
    assert_eq!(cluster.node(0).client().ask(&["SET", "k", "v"]), Reply::ok());
    assert_eq!(monitor.ask(&["GET", "k"]), Reply::bulk("v"));
}

#[test]
fn a_monitor_is_not_shown_what_nodes_ask_each_other() {
    let cluster = Cluster::start(&Layout::of(3));
    let mut monitors: Vec<RawClient> = (0..3).map(|index| monitor(cluster.node(index))).collect();
    let mut client = cluster.node(0).client();
    for number in 0..20 {
        assert_eq!(client.ask(&["SET", &format!("k{number}"), "v"]), Reply::ok());
        assert_eq!(shown(&mut monitors[0], &client), format!(r#""SET" "k{number}" "v""#));
    }
    for (index, monitor) in monitors.iter_mut().enumerate().skip(1) {
        let mut other = cluster.node(index).client();
        other.ask(&["PING"]);
        assert_eq!(shown(monitor, &other), r#""PING""#);
    }
}

#[test]
fn a_monitor_that_does_not_read_is_closed_and_costs_little_memory() {
    const EXTRA_BYTES_MAX: usize = 160 << 20;
    let cluster = Cluster::start(&Layout::of(1));
    let node = cluster.node(0);
    let idle_bytes = node.resident_bytes();
    let mut deaf = monitor(node);
    let mut client = node.client();
    let value = "v".repeat(60 << 10);
    let closed = poll_for(PATIENCE, || {
        for _ in 0..16 {
            assert_eq!(client.ask(&["SET", "k", &value]), Reply::ok());
        }
        let extra_bytes = node.resident_bytes().saturating_sub(idle_bytes);
        assert!(extra_bytes < EXTRA_BYTES_MAX, "{extra_bytes} bytes more than before");
        (!client.ask(&["CLIENT", "LIST"]).text().contains("flags=O")).then_some(())
    });
    assert!(closed.is_some(), "it is still connected");
    assert!(deaf.replies_until_end().is_err(), "it was cut off");
}

#[test]
fn calls_of_pipelines_are_counted_one_by_one() {
    let cluster = Cluster::start(&Layout::of(1));
    let node = cluster.node(0);
    let mut client = node.client();
    client.ask(&["CONFIG", "RESETSTAT"]);
    let bytes: Vec<u8> =
        (0..100).flat_map(|_| [command(&["SET", "k", "v"]), command(&["GET", "k"])].concat()).collect();
    client.send([bytes, command(&["INCR", "k"])].concat());
    for _ in 0..200 {
        client.reply();
    }
    assert!(client.reply().is_error("ERR value is not an integer"));
    let calls = |line: &str, name: &str| field(node, "commandstats", line, name);
    assert_eq!((calls("cmdstat_set", "calls"), calls("cmdstat_get", "calls")), (Some(100.0), Some(100.0)));
    assert_eq!((calls("cmdstat_incr", "failed_calls"), calls("cmdstat_set", "failed_calls")), (Some(1.0), Some(0.0)));
    assert_eq!(field(node, "errorstats", "errorstat_ERR", "count"), Some(1.0));
    assert!(field(node, "latencystats", "latency_percentiles_usec_get", "p50").unwrap() > 0.0);
    let histogram = client.ask(&["LATENCY", "HISTOGRAM", "set"]);
    let Reply::Array(fields) = &histogram else { panic!("no map: {histogram:?}") };
    let Reply::Array(of_set) = &fields[1] else { panic!("no map: {histogram:?}") };
    assert_eq!(of_set[..2], [Reply::bulk("calls"), Reply::Integer(100)]);
    wait_until("the rate of commands", || {
        client.send(command(&["PING"]).repeat(100));
        (0..100).for_each(|_| drop(client.reply()));
        node.info("instantaneous_ops_per_sec").unwrap() != "0"
    });
}

#[test]
fn what_waits_for_nodes_that_hang_is_slow_and_fails() {
    let cluster = Cluster::start(&Layout { request_timeout_ms: HANGING_MS, ..Layout::of(3) });
    let node = cluster.node(0);
    let mut client = node.client();
    assert_eq!(client.ask(&["SET", "warm", "up"]), Reply::ok());
    client.ask(&["SLOWLOG", "RESET"]);
    for index in [1, 2] {
        cluster.node(index).signal(Signal::Stop);
    }
    client.send(
        [command(&["SET", "k", "v"]), command(&["SET", "longer", "value"]), command(&["SET", "l", "v"])].concat(),
    );
    for _ in 0..3 {
        assert!(matches!(client.reply(), Reply::Error(_)));
    }
    let entries = slow_log(node, "SET");
    let (micros, words) = &entries[0];
    assert_eq!(*words, ["SET", "longer", "value", "... (2 more commands)"], "{entries:?}");
    assert!(*micros >= SLOW_MICROS.into(), "{micros}");
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(field(node, "commandstats", "cmdstat_set", "failed_calls"), Some(3.0));
    assert!(field(node, "commandstats", "cmdstat_set", "usec").unwrap() >= SLOW_MICROS.into());
    let text = client.ask(&["INFO", "errorstats"]).text();
    let counts: u64 = text.lines().filter_map(|line| line.split_once("count=")?.1.parse::<u64>().ok()).sum();
    assert_eq!(counts, 3, "{text}");
}

#[test]
fn what_the_whole_cluster_is_asked_for_is_timed_alone() {
    let cluster = Cluster::start(&Layout { request_timeout_ms: HANGING_MS, ..Layout::of(3) });
    let node = cluster.node(0);
    let mut client = node.client();
    client.ask(&["SLOWLOG", "RESET"]);
    cluster.node(1).signal(Signal::Stop);
    client.send(b"PING\r\nDBSIZE\r\nPING\r\n");
    for _ in 0..3 {
        client.reply();
    }
    let entries = slow_log(node, "DBSIZE");
    assert!(matches!(&entries[..], [(_, words)] if words.len() == 1), "{entries:?}");
    assert_eq!(field(node, "commandstats", "cmdstat_dbsize", "calls"), Some(1.0));
    let micros = |line: &str| field(node, "commandstats", line, "usec").unwrap();
    assert!(micros("cmdstat_ping") < micros("cmdstat_dbsize") / 2.0);
}
