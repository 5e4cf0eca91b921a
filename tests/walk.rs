//! SCAN and WAIT on real processes, of which one is killed or hangs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;

use std::time::Duration;

use harness::{Cluster, Layout, RawClient, Reply, Signal, command, wait_until};

/// One call of SCAN: the next cursor and the keys.
fn scan(client: &mut RawClient, cursor: &str, options: &[&str]) -> (String, Vec<String>) {
    let Reply::Array(parts) = client.ask(&[&["SCAN", cursor], options].concat()) else { panic!("no array") };
    let [cursor, Reply::Array(keys)] = parts.as_slice() else { panic!("not two parts: {parts:?}") };
    (cursor.text(), keys.iter().map(Reply::text).collect())
}

/// All that calls from `cursor` on find.
fn scan_from(client: &mut RawClient, mut cursor: String, options: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let (next, keys) = scan(client, &cursor, options);
        found.extend(keys);
        if next == "0" {
            return found;
        }
        cursor = next;
    }
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort();
    keys
}

/// Whether the node has so many clients, of which this is one.
fn has_clients(client: &mut RawClient, count: usize) -> bool {
    client.ask(&["INFO", "clients"]).text().contains(&format!("connected_clients:{count}\r\n"))
}

#[test]
fn a_scan_goes_on_at_another_node_when_one_is_killed() {
    let mut cluster = Cluster::start(&Layout::of(3));
    let mut clients = [0, 1, 2].map(|node| cluster.node(node).client());
    let (_, nothing) = scan(&mut clients[0], "0", &[]);
    assert_eq!(nothing, [""; 0]);
    assert_eq!(clients[0].ask(&["RANDOMKEY"]), Reply::Null);
    let mut keys: Vec<String> = (0..2_000).map(|number| format!("k{number}")).collect();
    for key in &keys {
        clients[0].send(command(&["SET", key, "v"]));
    }
    assert!((0..keys.len()).all(|_| clients[0].reply() == Reply::ok()));
    keys.sort();

    let (cursor, mut found) = scan(&mut clients[1], "0", &["COUNT", "500"]);
    assert!((300..1_000).contains(&found.len()), "{}", found.len());
    cluster.kill(1);
    found.extend(scan_from(&mut clients[2], cursor, &["COUNT", "100"]));

    assert_eq!(sorted(found), keys);
    let Reply::Array(all) = clients[0].ask(&["KEYS", "*"]) else { panic!("no array") };
    assert_eq!(sorted(all.iter().map(Reply::text).collect()), keys);
    assert_eq!(scan_from(&mut clients[2], "0".into(), &["MATCH", "k77?", "count", "300"]).len(), 10);
    assert_eq!(clients[0].ask(&["KEYS", "k7"]), Reply::Array(vec![Reply::bulk("k7")]));
    assert!(keys.contains(&clients[0].ask(&["RANDOMKEY"]).text()));
    cluster.kill(2);
    let refused = || clients[0].ask(&["SCAN", "0"]).is_error("NOQUORUM");
    wait_until("the last node notices that it is alone", refused);
}

#[test]
fn wait_counts_a_hung_replica_once_it_has_what_was_written() {
    let cluster = Cluster::start(&Layout::of(3));
    let mut client = cluster.node(0).client();
    client.send([command(&["SET", "k", "1"]), command(&["WAIT", "2", "0"])].concat());
    assert_eq!([client.reply(), client.reply()], [Reply::ok(), Reply::Integer(2)]);

    cluster.node(2).signal(Signal::Stop);
    assert_eq!(client.ask(&["SET", "k", "2"]), Reply::ok());
    // Long enough for the living one to answer, also on a busy machine.
    let (held, took) = client.time(&["WAIT", "2", "2000"]);
    assert_eq!(held, Reply::Integer(1));
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert_eq!(client.ask(&["WAIT", "1", "0"]), Reply::Integer(1));

    client.send(command(&["WAIT", "2", "0"]));
    cluster.node(2).signal(Signal::Continue);
    assert_eq!(client.reply(), Reply::Integer(2));
}

/// Nobody can hold it, so they would wait for ever.
#[test]
fn a_wait_without_end_ends_with_its_connection() {
    let cluster = Cluster::start(&Layout::of(3));
    let mut other = cluster.node(0).client();
    wait_until("nobody else is there", || has_clients(&mut other, 1));
    let mut killed = cluster.node(0).client();
    let Reply::Integer(id) = killed.ask(&["CLIENT", "ID"]) else { panic!("no id") };
    killed.send(command(&["WAIT", "9", "0"]));
    let mut left = cluster.node(0).client();
    left.send([command(&["WAIT", "9", "0"]), command(&["PING"])].concat());
    wait_until("both are there", || has_clients(&mut other, 3));

    assert_eq!(other.ask(&["CLIENT", "KILL", "ID", &id.to_string()]), Reply::Integer(1));
    assert!(killed.is_closed());
    drop(left);
    wait_until("nobody is left", || has_clients(&mut other, 1));
}
