//! What a client costs at worst: memory is bounded and comes back, and others are served meanwhile.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;

#[test]
fn a_client_that_never_reads_costs_bounded_memory() {
    let bench = Bench::new();
    let stalled = stall(&bench);
    for _ in 0..100 {
        assert_serves(bench.node());
        assert!(bench.extra_bytes() < CLIENT_BYTES_MAX, "{} bytes", bench.extra_bytes());
    }
    drop(stalled);
    bench.assert_recovers();
}

#[test]
fn a_client_that_never_reads_can_be_killed() {
    let bench = Bench::new();
    let stalled = stall(&bench);
    let address = stalled.stream().local_addr().unwrap().to_string();
    let mut other = bench.client();
    assert_eq!(other.ask(&["CLIENT", "KILL", "ADDR", &address]), Reply::Integer(1));
    wait_until("it is gone from CLIENT LIST", || !other.ask(&["CLIENT", "LIST"]).text().contains(&address));
}

#[test]
fn a_thousand_idle_connections_cost_little() {
    const CONNECTIONS: usize = 1000;
    let bench = Bench::new();

    // When they have connected and been served once
    let mut clients: Vec<RawClient> = (0..CONNECTIONS).map(|_| bench.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(&["PING"]), Reply::Simple("PONG".to_owned()));
    }
    // Then each costs its session and no buffer.
    let each = bench.extra_bytes() / CONNECTIONS;
    assert!(each < 16 << 10, "{each} bytes per idle connection");
    assert_serves(bench.node());

    // When each holds half a request
    for client in &mut clients {
        client.send(b"PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nhalf");
        assert_eq!(client.reply(), Reply::Simple("PONG".to_owned()));
    }
    // Then each costs at most one input buffer more.
    let each = bench.extra_bytes() / CONNECTIONS;
    assert!(each < 96 << 10, "{each} bytes per connection with half a request");

    drop(clients);
    bench.assert_recovers();
}

#[test]
fn a_large_value_in_small_pieces_arrives_in_linear_time() {
    let bench = Bench::new();
    let value = random_bytes(7, 64 * MEGABYTE);
    let mut client = bench.client();
    let before = bench.node().processor_time();
    for piece in command(&[b"SET", &b"large"[..], &value]).chunks(16 << 10) {
        client.send(piece);
    }
    assert_eq!(client.reply(), Reply::ok());
    let took = bench.node().processor_time().saturating_sub(before);
    assert!(took < Duration::from_secs(5), "SET took {took:?}");
    assert_eq!(client.ask(&["STRLEN", "large"]), Reply::Integer(64 << 20));
    assert!(client.ask(&["GET", "large"]) == Reply::Bulk(value), "another value came back");
    assert!(bench.extra_bytes() < 5 * 64 * MEGABYTE, "{} bytes", bench.extra_bytes());

    assert_eq!(client.ask(&["DEL", "large"]), Reply::Integer(1));
    bench.assert_recovers();
}

#[test]
fn nothing_is_allocated_ahead_of_what_a_client_has_sent() {
    let bench = Bench::new();
    let clients: Vec<RawClient> = (0..100)
        .map(|number| {
            let mut client = bench.client();
            let promise = if number % 2 == 0 { "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n" } else { "*1048576\r\n" };
            client.send(format!("PING\r\n{promise}"));
            assert_eq!(client.reply(), Reply::Simple("PONG".to_owned()));
            client
        })
        .collect();
    assert!(bench.extra_bytes() < 100 * 2 * MEGABYTE, "{} bytes for 100 promises", bench.extra_bytes());
    drop(clients);
    bench.assert_recovers();
}

#[test]
fn a_million_arguments_are_served_in_linear_time_and_let_others_through() {
    const PAIRS: usize = 500_000;
    let bench = Bench::new();
    let mut words = vec!["MSET".to_owned()];
    words.extend((0..PAIRS).flat_map(|number| [format!("key{number}"), format!("value{number}")]));
    let bytes = command(&words);
    let done = Arc::new(AtomicBool::new(false));
    let (mut client, sender_done) = (bench.client(), Arc::clone(&done));
    let before = bench.node().processor_time();
    let sender = thread::spawn(move || {
        for piece in bytes.chunks(16 << 10) {
            client.send(piece);
        }
        let reply = client.reply();
        sender_done.store(true, Ordering::Release);
        (reply, client)
    });
    while !done.load(Ordering::Acquire) {
        assert_serves(bench.node());
    }
    let (reply, mut client) = sender.join().unwrap();
    assert_eq!(reply, Reply::ok());
    let took = bench.node().processor_time().saturating_sub(before);
    assert!(took < Duration::from_secs(10), "MSET and the clients beside it took {took:?}");
    assert_eq!(client.ask(&["DEL", "other"]), Reply::Integer(1));
    assert_eq!(client.ask(&["DBSIZE"]), Reply::Integer(500_000));

    // Every pair took effect, and as many keys can be read, counted and deleted at once.
    let keys = |name: &str| {
        command(&[&[name.to_owned()][..], &(0..PAIRS).map(|n| format!("key{n}")).collect::<Vec<_>>()].concat())
    };
    client.send(keys("MGET"));
    let Reply::Array(values) = client.reply() else { panic!("no array") };
    assert!(
        values.iter().enumerate().all(|(number, value)| *value == Reply::Bulk(format!("value{number}").into_bytes()))
    );
    client.send(keys("EXISTS"));
    assert_eq!(client.reply(), Reply::Integer(500_000));
    client.send(keys("DEL"));
    assert_eq!(client.reply(), Reply::Integer(500_000));
    assert_eq!(client.ask(&["DBSIZE"]), Reply::Integer(0));
    drop((client, words, values));
    bench.assert_recovers();
}

#[test]
fn a_value_mentioned_a_hundred_thousand_times_is_never_in_memory_as_often() {
    const MENTIONS: usize = 100_000;
    const READ_BYTES: usize = 300 * MEGABYTE;
    let bench = Bench::new();
    let mut client = bench.client();
    assert_eq!(client.ask(&[b"SET", &b"large"[..], &vec![b'v'; MEGABYTE]]), Reply::ok());
    client.send(command(&[&["MGET"][..], &vec!["large"; MENTIONS]].concat()));

    // As much of the answer as shows that it flows
    let mut buffer = vec![0; MEGABYTE];
    let mut read = 0;
    while read < READ_BYTES {
        let count = client.stream().read(&mut buffer).unwrap();
        assert!(count > 0, "closed after {read} bytes");
        read += count;
        assert!(bench.extra_bytes() < CLIENT_BYTES_MAX, "{} bytes after {read}", bench.extra_bytes());
    }
    assert_serves(bench.node());
    drop(client);
    bench.assert_recovers();
}

#[test]
fn one_client_too_many_is_turned_away_in_words() {
    let cluster = Cluster::start(&Layout { server: "max_clients = 10".to_owned(), ..Layout::of(1) });
    let node = cluster.node(0);
    // Whoever else asked would be counted for a moment longer.
    let mut first = node.client();
    wait_until("the clients of the start are gone", || {
        first.ask(&["INFO", "clients"]).text().contains("connected_clients:1\r\n")
    });
    let mut held = vec![first];
    let mut turned_away = poll_full(node, &mut held);
    assert_eq!(held.len(), 10);
    assert_eq!(turned_away.reply(), Reply::Error("ERR max number of clients reached".to_owned()));
    assert!(turned_away.is_closed());

    // When one leaves, there is room again.
    held.pop();
    wait_until("a client is let in", || node.info("connected_clients").is_some());
    assert_eq!(held[0].ask(&["PING"]), Reply::Simple("PONG".to_owned()));
}

/// Connects clients until one is not served.
fn poll_full(node: &Node, held: &mut Vec<RawClient>) -> RawClient {
    loop {
        let mut client = node.client();
        client.send(b"PING\r\n");
        match client.try_reply() {
            Ok(Reply::Simple(_)) => held.push(client),
            _ => return node.client(),
        }
        assert!(held.len() < 100, "nobody is turned away");
    }
}
