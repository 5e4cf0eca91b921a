//! Nodes that are killed, hang, restart or end: nothing is lost, and nobody waits for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::load::{Load, assert_nothing_is_lost, assert_nothing_is_lost_on, longest};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_one_of_three_nodes_under_load_loses_nothing_and_fails_nobody_elsewhere() {
    let mut cluster = Cluster::start(&Layout::of(3));
    let [first, second, dying] = cluster.ports[..] else { panic!("three nodes") };
    let load = Load::start(&[first, first, first, second, second, second, dying, dying]).await;
    load.run_for(1000);

    // When one node loses its power
    cluster.kill(2);
    load.run_for(1000);
    let stories = load.end().await;

    // Then clients of the others notice nothing but a short stall, and its own lose the request in flight.
    for story in &stories {
        let failures_max = usize::from(story.port == dying);
        assert!(story.failures.len() <= failures_max, "{story:?}");
    }
    let stall = longest(&stories);
    report(&format!("one of three killed under load: longest stall {stall:?}"));
    assert!(stall < STALL_MAX, "{stall:?}");
    assert_nothing_is_lost_on(&stories, &[first, second]).await;

    // When it is back, then it holds everything itself.
    cluster.spawn(2);
    cluster.wait_all_ready();
    assert_nothing_is_lost(&stories, dying).await;
    // The last copy of what was written through the node that died may come to the others a moment later.
    let held = |index: usize| cluster.node(index).info("keys_held");
    wait_until("the others hold as much", || held(0) == held(2) && held(1) == held(2));
    cluster.kill(0);
    wait_until("the loss of the first is noticed", || cluster.node(2).info("peers_up").as_deref() == Some("1"));
    assert_nothing_is_lost(&stories, dying).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarting_each_node_in_turn_under_load_loses_nothing() {
    let mut cluster = Cluster::start(&Layout::of(3));
    let load = Load::start(&[cluster.ports[0], cluster.ports[0]]).await;
    for index in [1, 2, 1, 2] {
        load.run_for(100);
        let mut node = cluster.take(index);
        node.signal(Signal::Terminate);
        assert_eq!(node.wait_for_exit(PATIENCE).code(), Some(0));
        load.run_for(100);
        cluster.spawn(index);
        cluster.wait_all_ready();
    }
    let stories = load.end().await;
    assert!(stories.iter().all(|story| story.failures.is_empty()), "{stories:?}");
    report(&format!("rolling restart under load: longest stall {:?}", longest(&stories)));
    assert_nothing_is_lost_on(&stories, &cluster.ports).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_for_five_seconds_is_noticed_and_costs_one_stall() {
    let cluster = Cluster::start(&Layout::of(3));
    let load = Load::start(&[cluster.ports[0], cluster.ports[0], cluster.ports[1], cluster.ports[1]]).await;
    load.run_for(200);

    cluster.node(2).signal(Signal::Stop);
    let stopped = Instant::now();
    let noticed = |index: usize| cluster.node(index).info("peers_up").as_deref() == Some("1");
    wait_until("both others notice", || noticed(0) && noticed(1));
    let noticed_after = stopped.elapsed();
    load.run_for(200);
    poll("five seconds", PATIENCE, || (stopped.elapsed() >= Duration::from_secs(5)).then_some(()));
    cluster.node(2).signal(Signal::Continue);
    cluster.wait_all_ready();
    load.run_for(200);

    let stories = load.end().await;
    let stall = longest(&stories);
    report(&format!("one of three paused: noticed after {noticed_after:?}, longest stall {stall:?}"));
    assert!(stories.iter().all(|story| story.failures.is_empty()), "{stories:?}");
    // Each of them is one timeout; the rest is room for the noise of a busy machine.
    assert!(noticed_after < STALL_MAX && stall < STALL_MAX, "{noticed_after:?}, {stall:?}");
    assert_nothing_is_lost_on(&stories, &cluster.ports[..2]).await;
}

#[test]
fn without_its_quorum_a_write_is_refused_at_once_and_nothing_is_written() {
    let mut cluster = Cluster::start(&Layout { write_quorum: 3, ..Layout::of(3) });
    assert_eq!(cluster.node(0).client().ask(&["SET", "before", "value"]), Reply::ok());
    cluster.kill(2);
    for index in [0, 1] {
        wait_until("the loss is noticed", || cluster.node(index).info("peers_up").as_deref() == Some("1"));
    }

    for index in [0, 1] {
        let mut client = cluster.node(index).client();
        let refusal = Reply::Error("NOQUORUM 2 of 3 replicas reachable; nothing was written".to_owned());
        for words in [&["SET", "after", "value"][..], &["MSET", "after", "1", "after2", "2"], &["DEL", "before"]] {
            let (reply, took) = client.time(words);
            assert_eq!(reply, refusal);
            assert!(took.as_millis() < cluster.layout.request_timeout_ms.into(), "not at once, but after {took:?}");
        }
        assert!(client.ask(&["FLUSHALL"]).is_error("NOQUORUM "));
    }
    for index in [0, 1] {
        let mut client = cluster.node(index).client();
        assert_eq!(client.ask(&["MGET", "after", "after2"]), Reply::Array(vec![Reply::Null, Reply::Null]));
        assert_eq!(client.ask(&["GET", "before"]), Reply::bulk("value"));
        assert_eq!(cluster.node(index).info("keys_held").as_deref(), Some("1"));
    }

    cluster.spawn(2);
    cluster.wait_all_ready();
    assert_eq!(cluster.node(2).client().ask(&["SET", "after", "value"]), Reply::ok());
    assert_eq!(cluster.node(0).client().ask(&["GET", "after"]), Reply::bulk("value"));
}

#[test]
fn what_was_flushed_does_not_come_back_with_a_node_that_was_away() {
    let mut cluster = Cluster::start(&Layout { read_quorum: 2, ..Layout::of(3) });
    let mut client = cluster.node(0).client();
    for number in 0..100 {
        assert_eq!(client.ask(&["SET", &format!("key{number}"), "value"]), Reply::ok());
    }
    cluster.node(2).signal(Signal::Stop);
    wait_until("its absence is noticed", || cluster.node(0).info("peers_up").as_deref() == Some("1"));
    assert_eq!(client.ask(&["FLUSHALL"]), Reply::ok());
    assert_eq!(client.ask(&["SET", "key1", "new"]), Reply::ok());
    cluster.node(2).signal(Signal::Continue);
    cluster.wait_all_ready();
    // The returned node learns of it as soon as it is linked again.
    wait_until("the returned node has dropped what was flushed", || {
        cluster.node(2).info("keys_held").is_some_and(|held| held == "0" || held == "1")
    });
    for index in 0..3 {
        let mut client = cluster.node(index).client();
        assert_eq!(client.ask(&["GET", "key1"]), Reply::bulk("new"), "node {index}");
        assert_eq!(client.ask(&["GET", "key2"]), Reply::Null, "node {index}");
    }
    cluster.kill(2);
}

#[test]
fn clients_cannot_use_up_the_room_for_peers() {
    const CLIENTS_MAX: usize = 20;
    let mut cluster = Cluster::start(&Layout { server: format!("max_clients = {CLIENTS_MAX}"), ..Layout::of(3) });
    cluster.kill(2);

    // Given a node whose clients have taken all room
    let mut held = Vec::new();
    loop {
        let mut client = cluster.node(0).client();
        match client.ask(&["PING"]) {
            Reply::Simple(_) => held.push(client),
            refusal => break assert_eq!(refusal, Reply::Error("ERR max number of clients reached".to_owned())),
        }
        assert!(held.len() <= CLIENTS_MAX, "nobody is turned away");
    }
    // One that says nothing is turned away, too.
    let mut mute = cluster.node(0).client();
    assert!(mute.reply().is_error("ERR max number of clients reached"));
    assert!(mute.is_closed());

    // When a peer comes back, then it is let in.
    cluster.spawn(2);
    let linked = |line: &str| line.contains("id=node-1,") && line.contains("state=up,");
    wait_until("the link to the full node", || cluster.node(2).try_info().is_some_and(|info| info.lines().any(linked)));
    assert_eq!(held[0].ask(&["SET", "key", "value"]), Reply::ok());
}

#[test]
fn sigterm_lets_a_pipeline_end_with_whole_replies_in_a_cluster_too() {
    let mut cluster = Cluster::start(&Layout::of(3));
    let mut client = cluster.node(0).client();
    let mut reader = RawClient::from_stream(client.stream().try_clone().unwrap()).unwrap();
    let numbers = Arc::new(AtomicUsize::new(0));
    let sent = Arc::clone(&numbers);
    let sender = std::thread::spawn(move || {
        loop {
            let number = sent.fetch_add(1, Ordering::AcqRel).to_string();
            if client.try_send(&command(&["SET", &format!("key{number}"), &number])).is_err() {
                return;
            }
        }
    });
    wait_until("the pipeline runs", || numbers.load(Ordering::Acquire) > 2000);

    let mut node = cluster.take(0);
    node.signal(Signal::Terminate);
    let began = Instant::now();
    let replies = reader.replies_until_end().unwrap();
    assert_eq!(node.wait_for_exit(PATIENCE).code(), Some(0));
    assert!(began.elapsed() < STOP_MAX, "it took {:?}", began.elapsed());
    sender.join().unwrap();

    // Every write was acknowledged or its client was told nothing; those acknowledged are there.
    assert!(replies.len() > 100, "{} replies", replies.len());
    assert!(replies.iter().all(|reply| *reply == Reply::ok()));
    let mut client = cluster.node(1).client();
    for number in 0..replies.len() {
        assert_eq!(client.ask(&["GET", &format!("key{number}")]), Reply::bulk(&number.to_string()));
    }
}
