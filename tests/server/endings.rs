//! How a node ends: at once if nobody is served, else after whole replies, and with a reason if it cannot begin.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::*;

#[test]
fn a_port_in_use_is_named_and_ends_the_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut cluster = Cluster::configure(Layout::of(1));
    std::fs::write(&cluster.config, cluster.layout.text(&[port])).unwrap();
    cluster.spawn(0);
    let mut node = cluster.take(0);
    let status = node.wait_for_exit(PATIENCE);
    assert_eq!(status.code(), Some(1));
    let log = node.log();
    let message = format!("cannot listen on 127.0.0.1:{port}");
    assert!(log.contains(&message) && log.contains("another process has this port"), "{log}");
}

#[test]
fn signals_end_an_idle_node_at_once() {
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let mut cluster = single();
        let mut idle: Vec<RawClient> = (0..20).map(|_| cluster.node(0).client()).collect();
        assert_eq!(idle[0].ask(&["PING"]), Reply::Simple("PONG".to_owned()));
        let mut node = cluster.take(0);
        node.signal(signal);
        assert_eq!(node.wait_for_exit(PATIENCE).code(), Some(0), "{signal:?}");
        assert!(!node.log().contains("in time"), "it waited for somebody: {}", node.log());
        assert!(idle.iter_mut().all(RawClient::is_closed));
        assert!(RawClient::try_connect(node.port).is_err());
    }
}

#[test]
fn sigterm_lets_running_pipelines_end_with_whole_replies() {
    let mut cluster = single();
    let mut client = cluster.node(0).client();
    let mut sender = RawClient::connect(cluster.ports[0]);
    let mut reader_of_sender = sender.stream().try_clone().unwrap();

    // Given a client that keeps sending, whose replies are read
    let flood = thread::spawn(move || {
        let requests = command(&["SET", "key", "value"]).repeat(1000);
        while sender.stream().write_all(&requests).is_ok() {}
        drop(sender.try_reply());
    });
    let replies = thread::spawn(move || {
        let mut replies = Vec::new();
        let end = reader_of_sender.read_to_end(&mut replies);
        (replies, end)
    });
    // and a pipeline that is in the midst of being served
    let large = command(&[b"SET", &b"large"[..], &vec![b'v'; MEGABYTE]]);
    client.send(large);
    assert_eq!(client.reply(), Reply::ok());
    client.send(b"GET large\r\n".repeat(50));
    let first = client.reply();

    // When the node is told to stop
    let mut node = cluster.take(0);
    node.signal(Signal::Terminate);
    let began = Instant::now();

    // Then it stops in time, and what it sent until then are whole replies, followed by an end and not by an error.
    let rest = client.replies_until_end().unwrap();
    assert!(rest.iter().chain([&first]).all(|reply| matches!(reply, Reply::Bulk(value) if value.len() == MEGABYTE)));
    assert_eq!(node.wait_for_exit(PATIENCE).code(), Some(0));
    assert!(began.elapsed() < STOP_MAX, "it took {:?}", began.elapsed());
    flood.join().unwrap();
    let (replies, end) = replies.join().unwrap();
    assert!(end.is_ok(), "{end:?}");
    assert!(!replies.is_empty() && replies.len() % 5 == 0, "{} bytes", replies.len());
    assert!(replies.chunks(5).all(|reply| reply == b"+OK\r\n"));
}

#[test]
fn sigterm_does_not_wait_for_a_client_that_never_reads() {
    let mut bench = Bench::new();
    let stalled = stall(&bench);
    let mut node = bench.cluster.take(0);
    node.signal(Signal::Terminate);
    let began = Instant::now();
    assert_eq!(node.wait_for_exit(PATIENCE).code(), Some(0));
    assert!(began.elapsed() < STOP_MAX, "it took {:?}", began.elapsed());
    drop(stalled);
}
