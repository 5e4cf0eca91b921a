//! One test per mistake that an operator can make in cluster.toml, and what a good file means.

use super::*;

const NODE_1: &str = "[[nodes]]\nid = \"node-1\"\naddr = \"127.0.0.1:7001\"\n";
const NODE_2: &str = "[[nodes]]\nid = \"node-2\"\naddr = \"127.0.0.1:7002\"\n";
const NODE_3: &str = "[[nodes]]\nid = \"node-3\"\naddr = \"127.0.0.1:7003\"\n";

fn parse(text: &str) -> Result<LoadedConfig, ConfigError> {
    ClusterConfig::parse(text, "cluster.toml")
}

/// Three nodes below the lines `settings`.
fn three_nodes(settings: &str) -> Result<LoadedConfig, ConfigError> {
    parse(&format!("{settings}\n{NODE_1}{NODE_2}{NODE_3}"))
}

/// Three nodes below a `[cluster]` table, which begins on line 1, with the lines `settings`.
fn cluster(settings: &str) -> Result<LoadedConfig, ConfigError> {
    three_nodes(&format!("[cluster]\n{settings}"))
}

/// Asserts that the mistake is reported on `line` and that the report holds each of `parts`, in order.
#[track_caller]
fn assert_mistake(result: Result<LoadedConfig, ConfigError>, line: usize, parts: &[&str]) {
    let error = result.expect_err("a mistake");
    let shown = error.to_string();
    let mut rest =
        shown.strip_prefix(&format!("cluster.toml:{line}: ")).unwrap_or_else(|| panic!("line {line}: {shown}"));
    for part in parts {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("no {part:?} in {shown}")).1;
    }
    assert!(shown.contains("; write ") && shown.contains("instead"), "no advice in {shown}");
}

#[test]
fn a_silent_file_gets_the_documented_defaults() {
    let LoadedConfig { cluster, server } = three_nodes("").unwrap();
    assert_eq!(cluster.name, "ringkv");
    assert_eq!((cluster.replication_factor, cluster.write_quorum, cluster.read_quorum), (3, 2, 1));
    assert_eq!(cluster.virtual_nodes, 256);
    assert_eq!(cluster.request_timeout(), Duration::from_secs(1));
    assert_eq!(cluster.max_clock_drift(), Duration::from_mins(1));
    assert_eq!(cluster.sync_timeout(), Some(Duration::from_secs(30)));
    assert!(cluster.secret.is_none());
    assert_eq!(server, ServerConfig::default());
}

#[test]
fn default_quorums_are_majorities_of_three_or_of_all_nodes() {
    for (text, replication_factor, write_quorum) in
        [(NODE_1.to_owned(), 1, 1), (format!("{NODE_1}{NODE_2}"), 2, 2), (format!("{NODE_1}{NODE_2}{NODE_3}"), 3, 2)]
    {
        let cluster = parse(&text).unwrap().cluster;
        assert_eq!((cluster.replication_factor, cluster.write_quorum), (replication_factor, write_quorum));
    }
    for (n, w) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
        assert_eq!(defaults::write_quorum(n), w);
    }
}

#[test]
fn every_setting_reaches_the_configuration() {
    let settings = "[cluster]\nname = \"prod\"\nreplication_factor = 2\nwrite_quorum = 1\nread_quorum = 2\nvirtual_nodes = 64\n\
        request_timeout_ms = 250\nmax_clock_drift_ms = 500\nsync_timeout_ms = 0\nhint_ttl_ms = 5000\nread_repair_chance = 0.5\n\
        secret = \"between us\"\n\
        [server]\nworker_threads = 3\nmax_clients = 50\nmax_value_bytes = 4096\nhint_bytes_max = 1000000\nanti_entropy_interval_ms = 0";
    let LoadedConfig { cluster, server } = three_nodes(settings).unwrap();
    assert_eq!(cluster.name, "prod");
    assert_eq!((cluster.replication_factor, cluster.write_quorum, cluster.read_quorum), (2, 1, 2));
    assert_eq!((cluster.virtual_nodes, cluster.request_timeout_ms), (64, 250));
    assert_eq!((cluster.max_clock_drift_ms, cluster.sync_timeout(), cluster.hint_ttl_ms), (500, None, 5000));
    assert_eq!(format!("{:?}", cluster.read_repair_chance), "0.5");
    assert!(cluster.secret.is_some_and(|secret| secret.matches(b"between us")));
    assert_eq!((server.worker_threads, server.max_clients, server.max_value_bytes), (3, 50, 4096));
    assert_eq!(server.hint_bytes_max, 1_000_000);
    assert_eq!(server.anti_entropy_interval(), None);
    assert_eq!(ServerConfig::default().anti_entropy_interval(), Some(Duration::from_secs(1)));
}

#[test]
fn nodes_are_numbered_by_id_whatever_their_order_in_the_file() {
    let cluster = parse(&format!("{NODE_3}{NODE_1}{NODE_2}")).unwrap().cluster;
    assert_eq!(cluster.node("node-1"), Ok(NodeIndex(0)));
    assert_eq!(cluster.node("node-3"), Ok(NodeIndex(2)));
    assert_eq!(cluster.nodes[2].addr, "127.0.0.1:7003");
    assert_eq!(cluster.ring().fingerprint(), three_nodes("").unwrap().cluster.ring().fingerprint());
}

#[test]
fn a_node_is_reached_where_it_announces_or_else_where_it_binds() {
    let text = "[[nodes]]\nid = \"a\"\naddr = \"0.0.0.0:6379\"\nannounce = \"a.example:6379\"\n\
        [[nodes]]\nid = \"b\"\naddr = \"0.0.0.0:6379\"\nannounce = \"b.example:6379\"\n";
    let cluster = parse(&format!("{text}{NODE_1}")).unwrap().cluster;
    let announced: Vec<_> = cluster.nodes.iter().map(NodeConfig::announced).collect();
    assert_eq!(announced, ["a.example:6379", "b.example:6379", "127.0.0.1:7001"]);
}

#[test]
fn peer_settings_name_what_peers_must_share() {
    let settings = three_nodes("").unwrap().cluster.peer_settings();
    let shown: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        shown,
        [
            "replication_factor=3",
            "write_quorum=2",
            "virtual_nodes=256",
            "request_timeout_ms=1000",
            "hint_ttl_ms=600000",
            "max_clock_drift_ms=60000",
            "nodes=node-1,node-2,node-3"
        ]
    );
}

#[test]
fn the_single_node_is_what_a_file_with_one_node_and_no_settings_says() {
    let single = ClusterConfig::single_node();
    let text = "[[nodes]]\nid = \"node-1\"\naddr = \"127.0.0.1:6379\"\n";
    assert_eq!(format!("{single:?}"), format!("{:?}", parse(text).unwrap().cluster));
}

#[test]
fn the_sample_file_is_good() {
    let text = include_str!("../../cluster.toml");
    let LoadedConfig { cluster, server } = parse(text).unwrap();
    assert_eq!(cluster.nodes.len(), 3);
    assert_eq!((cluster.replication_factor, cluster.write_quorum, cluster.read_quorum), (3, 2, 1));
    let defaults = three_nodes("").unwrap().cluster;
    assert_eq!(format!("{cluster:?}"), format!("{defaults:?}"), "the sample spells out the defaults");
    assert_eq!(server, ServerConfig { worker_threads: 1, ..ServerConfig::default() });
}

#[test]
fn the_sample_files_commented_lines_are_good_too() {
    let sample = include_str!("../../cluster.toml");
    let uncommented: Vec<&str> = sample.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect();
    let LoadedConfig { cluster, server } = parse(&uncommented.join("\n")).unwrap();
    assert!(cluster.secret.is_some());
    assert_eq!(server.max_clients, ServerConfig::default().max_clients);
}

#[test]
fn an_unknown_node_is_answered_with_those_that_exist() {
    let error = three_nodes("").unwrap().cluster.node("node-9").unwrap_err();
    assert_eq!(error.to_string(), "no node is named `node-9`; write one of node-1, node-2, node-3 instead");
    assert_eq!((error.file(), error.line()), (None, None));
}

#[test]
fn an_unreadable_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.toml");
    let error = ClusterConfig::load(&path).unwrap_err();
    assert_eq!((error.file(), error.line()), (path.to_str(), None));
    assert!(error.to_string().contains("none.toml: cannot be read: "), "{error}");
}

#[test]
fn a_file_is_read_from_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cluster.toml");
    std::fs::write(&path, NODE_1).unwrap();
    assert_eq!(ClusterConfig::load(&path).unwrap().cluster.nodes.len(), 1);
    std::fs::write(&path, "\nnodes = 3").unwrap();
    assert_eq!(ClusterConfig::load(&path).unwrap_err().line(), Some(2));
    std::fs::write(&path, b"name = \"a\"\n\nsecret = \"\xff\"").unwrap();
    let error = ClusterConfig::load(&path).unwrap_err();
    assert_eq!(error.line(), Some(3));
    assert!(error.message().contains("not UTF-8"), "{error}");
}

#[test]
fn an_unknown_key_is_answered_with_the_legal_ones() {
    assert_mistake(cluster("replicas = 3"), 2, &["no key `replicas`", "`replication_factor`"]);
    assert_mistake(three_nodes("\nreplicas = 3"), 2, &["no key `replicas`", "`[cluster]`", "`[[nodes]]`"]);
    assert_mistake(parse(&format!("{NODE_1}host = 3")), 4, &["no key `host`", "`id`", "`addr`", "`announce`"]);
    assert_mistake(three_nodes("[server]\nthreads = 3"), 2, &["no key `threads`", "`worker_threads`"]);
}

#[test]
fn a_key_in_the_wrong_table_is_sent_to_the_right_one() {
    for setting in [
        "name = \"prod\"",
        "replication_factor = 3",
        "write_quorum = 2",
        "read_quorum = 1",
        "virtual_nodes = 256",
        "request_timeout_ms = 1000",
        "max_clock_drift_ms = 60000",
        "sync_timeout_ms = 30000",
        "hint_ttl_ms = 600000",
        "read_repair_chance = 0.01",
        "secret = \"between us\"",
    ] {
        assert!(cluster(setting).is_ok(), "{setting}");
        assert_mistake(three_nodes(setting), 1, &["there is no key `", "write it below a line `[cluster]`"]);
    }
    assert_mistake(parse(&format!("{NODE_1}write_quorum = 1")), 4, &["`write_quorum`", "below a line `[cluster]`"]);
    assert_mistake(parse(&format!("{NODE_1}name = \"a\"")), 4, &["no key `name`", "`id`"]);
    assert_mistake(cluster("max_clients = 1"), 2, &["`max_clients`", "below a line `[server]`"]);
    assert_mistake(cluster("hint_bytes_max = 1"), 2, &["`hint_bytes_max`", "below a line `[server]`"]);
    assert_mistake(three_nodes("addr = \"a:1\""), 1, &["`addr`", "below a line `[[nodes]]`"]);
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    assert_mistake(cluster("\nwrite_quorum = \"2\""), 3, &["`write_quorum` is text", "whole number from 1 to 3"]);
    assert_mistake(cluster("read_repair_chance = nan"), 2, &["`read_repair_chance` is NaN", "from 0.0 to 1.0"]);
    assert_mistake(cluster("read_repair_chance = true"), 2, &["is true or false", "from 0.0 to 1.0"]);
    assert_mistake(cluster("virtual_nodes = 1.5"), 2, &["is a number with a fraction", "from 1 to 4096"]);
    assert_mistake(cluster("name = 7"), 2, &["`name` is a number", "name = \"ringkv\""]);
    assert_mistake(three_nodes("[server]\nmax_clients = true"), 2, &["`max_clients` is true or false"]);
    assert_mistake(parse("[[nodes]]\nid = 1\naddr = \"a:1\""), 2, &["`id` is a number", "id = \"node-1\""]);
    assert_mistake(parse("[[nodes]]\nid = \"a\"\naddr = 7001"), 3, &["`addr` is a number", "127.0.0.1:7001"]);
}

#[test]
fn a_table_of_the_wrong_shape_is_explained() {
    assert_mistake(parse("\n[nodes]\nid = \"a\""), 2, &["a `[[nodes]]` table for each node"]);
    assert_mistake(parse("nodes = 3"), 1, &["a `[[nodes]]` table for each node"]);
    assert_mistake(parse("nodes = [[\"a\", \"b:1\"]]"), 1, &["a table"]);
    assert_mistake(three_nodes("[[server]]\nmax_clients = 1"), 1, &["a table"]);
    assert_mistake(three_nodes("server = 1"), 1, &["a table"]);
    assert_mistake(three_nodes("[[cluster]]\nname = \"a\""), 1, &["a table", "such as `[cluster]`"]);
    assert_mistake(cluster("name = \"a\"\n[cluster]"), 3, &["`cluster` stands here a second time"]);
}

#[test]
fn text_that_is_no_toml_is_explained() {
    assert_mistake(cluster("name \"a\""), 2, &["`=`"]);
    assert_mistake(cluster("name = abc"), 2, &["no quotes"]);
    assert_mistake(cluster("name = \"abc"), 2, &["invalid basic string"]);
    assert_mistake(cluster("name = \"a\"\nname = \"b\""), 3, &["`name` stands here a second time"]);
    assert_mistake(cluster("virtual_nodes = 99999999999999999999"), 2, &["too large"]);
}

#[test]
fn a_replication_factor_above_the_number_of_nodes_is_refused() {
    assert_mistake(
        cluster("\nreplication_factor = 4"),
        3,
        &["`replication_factor` is 4", "from 1 to 3 (3 is the number of nodes)"],
    );
    let one_node = format!("[cluster]\nreplication_factor = 3\n{NODE_1}");
    assert_mistake(parse(&one_node), 2, &["write 1 (1 is the number of nodes)"]);
}

#[test]
fn quorums_above_the_replication_factor_are_refused() {
    let advice = &["is 3", "from 1 to 2 (2 is the replication factor)"];
    assert_mistake(cluster("replication_factor = 2\nwrite_quorum = 3"), 3, advice);
    assert_mistake(cluster("replication_factor = 2\nread_quorum = 3"), 3, advice);
}

#[test]
fn numbers_outside_of_their_range_are_refused() {
    for (setting, range) in [
        ("replication_factor = 0", "1 to 3"),
        ("write_quorum = 0", "1 to 3"),
        ("read_quorum = 0", "1 to 3"),
        ("write_quorum = -1", "1 to 3"),
        ("virtual_nodes = 0", "1 to 4096"),
        ("virtual_nodes = 4097", "1 to 4096"),
        ("request_timeout_ms = 9", "10 to 600000"),
        ("request_timeout_ms = 600001", "10 to 600000"),
        ("max_clock_drift_ms = 0", "1 to 86400000"),
        ("max_clock_drift_ms = 86400001", "1 to 86400000"),
        ("sync_timeout_ms = 86400001", "0 to 86400000"),
        ("hint_ttl_ms = 999", "1000 to 86400000"),
        ("read_repair_chance = 1.5", "0.0 to 1.0"),
        ("read_repair_chance = -0.1", "0.0 to 1.0"),
        ("read_repair_chance = 2", "0.0 to 1.0"),
    ] {
        let (key, number) = setting.split_once(" = ").unwrap();
        assert_mistake(cluster(setting), 2, &[key, number, range]);
    }
    for (setting, range) in [
        ("worker_threads = 0", "1 to 1024"),
        ("max_clients = 0", "1 to 1000000"),
        ("anti_entropy_interval_ms = 3600001", "0 to 3600000"),
        ("max_value_bytes = 1023", "1024 to 536870912"),
        ("max_value_bytes = 536870913", "1024 to 536870912"),
    ] {
        let (key, number) = setting.split_once(" = ").unwrap();
        assert_mistake(three_nodes(&format!("[server]\n{setting}")), 2, &[key, number, range]);
    }
}

#[test]
fn two_nodes_with_one_id_are_refused() {
    let text = format!("{NODE_1}[[nodes]]\nid = \"node-1\"\naddr = \"127.0.0.1:7002\"");
    assert_mistake(parse(&text), 5, &["the node on line 2 is named `node-1` too", "another `id`"]);
}

#[test]
fn two_nodes_with_one_address_are_refused() {
    let same_addr = "[[nodes]]\nid = \"b\"\naddr = \"127.0.0.1:7001\"";
    assert_mistake(parse(&format!("{NODE_1}{same_addr}")), 6, &["127.0.0.1:7001", "`node-1` on line 3"]);
    let same_announce = "[[nodes]]\nid = \"b\"\naddr = \"0.0.0.0:1\"\nannounce = \"127.0.0.1:7001\"";
    assert_mistake(parse(&format!("{NODE_1}{same_announce}")), 7, &["127.0.0.1:7001", "`node-1` on line 3"]);
}

#[test]
fn a_node_that_nobody_can_reach_is_refused() {
    let wildcard = "[[nodes]]\nid = \"b\"\naddr = \"0.0.0.0:7002\"\n";
    assert_mistake(parse(&format!("{NODE_1}{wildcard}")), 6, &["0.0.0.0:7002", "`announce`"]);
    assert_mistake(parse(&format!("{wildcard}announce = \"[::]:7002\"")), 4, &["[::]:7002", "`announce`"]);
    assert!(parse(wildcard).is_ok(), "a node without peers may");
}

#[test]
fn a_bad_address_is_refused() {
    for (address, why) in [
        ("127.0.0.1", "has no port"),
        ("127.0.0.1:http", "no number"),
        ("127.0.0.1:65536", "outside of 1 to 65535"),
        (":7001", "has no host"),
        ("::1:7001", "without brackets"),
    ] {
        let addr = format!("[[nodes]]\nid = \"a\"\naddr = \"{address}\"");
        assert_mistake(parse(&addr), 3, &["`addr`", address, why, "host:port"]);
        let announce = format!("{NODE_1}announce = \"{address}\"");
        assert_mistake(parse(&announce), 4, &["`announce`", address, why, "host:port"]);
    }
}

#[test]
fn a_name_that_cannot_stand_in_a_message_is_refused() {
    for name in ["", "node 1", "node\\t1", "node,1", "node\\u00011", &"n".repeat(65)] {
        let id = format!("[[nodes]]\nid = \"{name}\"\naddr = \"a:1\"");
        assert_mistake(parse(&id), 2, &["`id` is", "without spaces, commas and control characters"]);
        assert_mistake(cluster(&format!("name = \"{name}\"")), 2, &["`name` is", "without spaces"]);
    }
}

#[test]
fn a_secret_is_never_repeated_in_a_complaint() {
    assert_mistake(cluster("secret = \"\""), 2, &["`secret` has 0 bytes"]);
    assert_mistake(cluster("secret = 4711"), 2, &["`secret` is a number"]);
    let long = "s3".repeat(513);
    assert_mistake(cluster(&format!("secret = \"{long}\"")), 2, &["`secret` has 1026 bytes"]);
    for bad in ["secret = \"s3s3", "secret = s3s3", "secret = 4711", "secret = \"s3s3\" s3s3"] {
        for shown in [cluster(bad), three_nodes(bad)].map(|result| result.unwrap_err().to_string()) {
            assert!(!shown.contains("s3s3") && !shown.contains("4711"), "{shown}");
        }
    }
}

#[test]
fn a_file_without_nodes_is_refused() {
    assert_mistake(parse(""), 1, &["no nodes", "`[[nodes]]`"]);
    assert_mistake(parse("[cluster]\nname = \"a\"\nwrite_quorum = 1\n"), 3, &["no nodes", "`[[nodes]]`"]);
    assert_mistake(parse("\nnodes = []"), 2, &["no nodes", "`[[nodes]]`"]);
}

#[test]
fn a_node_without_id_or_address_is_refused() {
    assert_mistake(parse("\n[[nodes]]\naddr = \"a:1\""), 2, &["has no `id`", "id = \"node-1\""]);
    assert_mistake(parse(&format!("{NODE_1}[[nodes]]\nid = \"b\"")), 4, &["has no `addr`", "addr = \"127"]);
}

#[test]
fn the_password_of_clients_is_the_secret_of_nodes_where_there_is_no_other() {
    let LoadedConfig { cluster, server } = three_nodes("[server]\nrequirepass = \"sesame\"").unwrap();
    assert!(server.requirepass.is_some_and(|password| password.matches(b"sesame")));
    assert!(cluster.secret.is_some_and(|secret| secret.matches(b"sesame")));
    let both = "[cluster]\nsecret = \"between us\"\n[server]\nrequirepass = \"sesame\"";
    let LoadedConfig { cluster, server } = three_nodes(both).unwrap();
    assert!(server.requirepass.is_some_and(|password| password.matches(b"sesame")));
    assert!(cluster.secret.is_some_and(|secret| secret.matches(b"between us")));
    let long = three_nodes(&format!("[server]\nrequirepass = \"{}\"", "x".repeat(2000)));
    assert_mistake(long, 2, &["`requirepass` has 2000 bytes"]);
}

#[test]
fn settings_at_the_door_are_switches_seconds_and_limits() {
    let text = "[server]\nprotected_mode = false\ntimeout = 30\ntcp_keepalive = 0\n\
                client_output_buffer_limit = \"normal 1mb 0 0\"";
    let server = three_nodes(text).unwrap().server;
    assert_eq!((server.protected_mode, server.timeout, server.tcp_keepalive), (false, 30, 0));
    assert_eq!(server.client_output_buffer_limit.normal().hard_bytes, 1 << 20);
    for (line, parts) in [
        ("protected_mode = \"no\"", ["`protected_mode` is text", "true or false"]),
        ("timeout = -1", ["`timeout` is -1", "whole number from 0"]),
        ("tcp_keepalive = 2147483648", ["`tcp_keepalive` is 2147483648", "2147483647"]),
        ("client_output_buffer_limit = \"1mb\"", ["is \"1mb\"", "`normal 256mb 64mb 60`"]),
        ("client_output_buffer_limit = 5", ["is a number", "text in quotes"]),
    ] {
        assert_mistake(three_nodes(&format!("[server]\n{line}")), 2, &parts);
    }
}
