//! Bad peers: strangers that pose as nodes, nodes that were configured differently, and nodes that are silent, slow,
//! broken or mad. Clients of the others must not notice more than one short stall, and no data may pass.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;

use std::net::TcpStream;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use ringkv::flush::FlushMarks;
use ringkv::peer::{Introduction, Welcome};
use ringkv::ring::{NodeId, NodeIndex};
use ringkv::time::UnixMs;
use ringkv::version::{Hlc, StartNumber, Version};

use harness::{Cluster, FakePeer, Layout, PATIENCE, RawClient, Reply, command, poll, wait_until};

/// Rounds of SET, GET and a GET of a missing key that each living node serves while a peer misbehaves.
const ROUNDS: usize = 20;
/// How long all of them may take: one request timeout, and three more for the noise of a busy machine. A timeout for
/// each request would be ten times as much.
const ROUNDS_WAIT_MAX: Duration = Duration::from_secs(4);

/// Three nodes, the last of which was killed so that a fake can take its place.
fn two_of_three() -> Cluster {
    let mut cluster = Cluster::start(&Layout::of(3));
    cluster.kill(2);
    cluster
}

/// Reads the introduction of a node that dials.
fn read_introduction(connection: &mut RawClient) -> Option<Introduction> {
    let Ok(Reply::Array(words)) = connection.try_reply() else { return None };
    let words: Vec<Vec<u8>> = words.into_iter().map(|word| word.text().into_bytes()).collect();
    Introduction::parse_args(&words.iter().map(Vec::as_slice).collect::<Vec<_>>()).ok()
}

/// Answers like node-3 would, and goes on as node-3 from there.
fn welcome(stream: TcpStream) -> Option<RawClient> {
    let mut connection = RawClient::from_stream(stream).ok()?;
    let caller = read_introduction(&mut connection)?;
    let welcome = Welcome {
        node: NodeId::from("node-3"),
        start: caller.start.next(),
        remembered: StartNumber::default(),
        clock: Hlc(0),
        wall: UnixMs(caller.start.get()),
        catch_up: ringkv::peer::CatchUp::Complete,
        flush_marks: FlushMarks::default(),
    };
    let mut bytes = Vec::new();
    welcome.encode(&mut bytes);
    connection.try_send(&bytes).ok()?;
    Some(connection)
}

/// Reads until the other side ends the connection, and answers nothing.
fn stay_silent(connection: &RawClient) {
    // Whatever ends it, it is over.
    let _ = std::io::copy(&mut connection.stream(), &mut std::io::sink());
}

/// Clients of both living nodes are served as if nothing were wrong, but for one stall.
fn assert_served_in_time(cluster: &Cluster, story: &str) {
    for index in [0, 1] {
        let mut client = cluster.node(index).client();
        let began = Instant::now();
        let mut longest = Duration::ZERO;
        for round in 0..ROUNDS {
            let key = format!("{story} {index} {round}");
            for (words, expected) in [
                (&["SET", &key, "value"][..], Reply::ok()),
                (&["GET", &key], Reply::bulk("value")),
                (&["GET", &format!("no {key}")], Reply::Null),
            ] {
                let (reply, took) = client.time(words);
                assert_eq!(reply, expected, "{story}: {words:?} after {took:?}");
                longest = longest.max(took);
            }
        }
        let took = began.elapsed();
        assert!(took < ROUNDS_WAIT_MAX, "{story}: {ROUNDS} rounds took {took:?}, the longest request {longest:?}");
    }
}

/// A fake in the place of node-3 does its worst; afterwards the real one comes back and serves everything.
fn assert_harmless(story: &str, sees_link: bool, behave: impl Fn(TcpStream, usize) + Send + Sync + 'static) {
    let mut cluster = two_of_three();
    let fake = FakePeer::listen(cluster.ports[2], behave);
    wait_until("both nodes have dialled", || fake.connections() >= 2);
    if sees_link {
        let up = |index: usize| cluster.node(index).info("peers_up").as_deref() == Some("2");
        wait_until("a node takes the fake for node-3", || up(0) || up(1));
    }
    assert_served_in_time(&cluster, story);

    drop(fake);
    cluster.spawn(2);
    cluster.wait_all_ready();
    let mut client = cluster.node(2).client();
    for (index, round) in (0..2).flat_map(|index| (0..ROUNDS).map(move |round| (index, round))) {
        assert_eq!(client.ask(&["GET", &format!("{story} {index} {round}")]), Reply::bulk("value"));
    }
}

#[test]
fn a_peer_that_refuses_connections_costs_nothing() {
    let mut cluster = two_of_three();
    assert_served_in_time(&cluster, "refusing");
    cluster.spawn(2);
    cluster.wait_all_ready();
    assert_eq!(cluster.node(2).client().ask(&["GET", "refusing 1 1"]), Reply::bulk("value"));
}

#[test]
fn a_peer_that_never_answers_the_introduction_costs_nothing() {
    assert_harmless("mute", false, |stream, _| {
        if let Ok(connection) = RawClient::from_stream(stream) {
            stay_silent(&connection);
        }
    });
}

#[test]
fn a_peer_that_falls_silent_costs_one_request_timeout_in_all() {
    // Both nodes are welcomed once, and never again: as with a process that hangs.
    assert_harmless("silent", true, |stream, before| {
        let connection = if before < 2 { welcome(stream) } else { RawClient::from_stream(stream).ok() };
        connection.iter().for_each(stay_silent);
    });
}

#[test]
fn a_peer_that_dies_within_a_reply_costs_no_timeout() {
    assert_harmless("dying", true, |stream, _| {
        let Some(mut connection) = welcome(stream) else { return };
        if connection.try_reply().is_ok() {
            // The other side may be gone already.
            let _ = connection.try_send(b"*3\r\n$10\r\nabc");
        }
    });
}

#[test]
fn a_peer_that_trickles_a_huge_reply_costs_one_request_timeout_in_all() {
    assert_harmless("trickling", true, |stream, before| {
        if before >= 2 {
            return;
        }
        let Some(mut connection) = welcome(stream) else { return };
        if connection.try_reply().is_err() || connection.try_send(b"$500000000\r\n").is_err() {
            return;
        }
        while connection.try_send(b"x").is_ok() {
            thread::park_timeout(Duration::from_millis(10));
        }
    });
}

#[test]
fn rubbish_instead_of_a_welcome_costs_nothing() {
    for rubbish in ["*1\r\n".repeat(10_000), "\0\u{1}rubbish\r\n".repeat(1000), "$999999999999\r\n".to_owned()] {
        let story = format!("rubbish {}", rubbish.len());
        assert_harmless(&story, false, move |stream, _| {
            if let Ok(mut connection) = RawClient::from_stream(stream) {
                // The other side may be gone already.
                let _ = connection.try_send(rubbish.as_bytes());
                stay_silent(&connection);
            }
        });
    }
}

#[test]
fn rubbish_instead_of_replies_costs_no_timeout() {
    for rubbish in ["*1\r\n".repeat(10_000), "+OK\r\n".repeat(1000), "*1000000000\r\n".to_owned(), "\0\0\0".to_owned()]
    {
        let story = format!("nonsense {}", rubbish.len());
        assert_harmless(&story, false, move |stream, _| {
            let Some(mut connection) = welcome(stream) else { return };
            if connection.try_reply().is_ok() {
                // The other side may be gone already.
                let _ = connection.try_send(rubbish.as_bytes());
                stay_silent(&connection);
            }
        });
    }
}

/// The commands of nodes, as a stranger would forge them.
fn forgeries() -> Vec<Vec<&'static str>> {
    let version = "99999999999999-1-1";
    vec![
        vec!["RSET", "key", "forged", version],
        vec!["RDEL", "key", version],
        vec!["RCOPY", "key", version, "-", "forged"],
        vec!["RREVERT", "key", version],
        vec!["RGET", "key"],
        vec!["RMARK", "1", "1", "ready"],
        vec!["RKEYS", "1"],
        vec!["RDIGEST"],
        vec!["RCOUNT", "0"],
        vec!["RCLOCK"],
        vec!["RBEAT"],
        vec!["RFLUSH", version],
    ]
}

fn assert_refuses_forgeries(client: &mut RawClient) {
    for words in forgeries() {
        let reply = client.ask(&words);
        assert!(reply.is_error("NOPERM "), "{words:?}: {reply:?}");
    }
}

#[test]
fn commands_between_nodes_are_refused_without_an_introduction() {
    let cluster = Cluster::start(&Layout::of(1));
    let mut client = cluster.node(0).client();
    assert_eq!(client.ask(&["SET", "key", "value"]), Reply::ok());
    assert_refuses_forgeries(&mut client);
    assert_eq!(client.ask(&["GET", "key"]), Reply::bulk("value"));
    assert_refuses_forgeries(&mut client);
}

/// What node-3 would say to node-1: caught from what node-1 says to node-3.
fn introduction_of_node_3(cluster: &Cluster) -> Introduction {
    let (sender, caught) = sync_channel(16);
    let fake = FakePeer::listen(cluster.ports[2], move |stream, _| {
        let introduction = RawClient::from_stream(stream).ok().as_mut().and_then(read_introduction);
        // After the first ones nobody wants any more.
        let _ = sender.try_send(introduction);
    });
    let caught = caught.recv_timeout(PATIENCE).unwrap().expect("a node introduces itself when it dials");
    drop(fake);
    Introduction { node: NodeId::from("node-3"), ..caught }
}

fn introduce(client: &mut RawClient, introduction: &Introduction) -> Reply {
    let mut bytes = Vec::new();
    introduction.encode(&mut bytes);
    client.send(bytes);
    client.reply()
}

#[test]
fn an_introduction_that_does_not_fit_is_refused_by_the_name_of_what_differs() {
    let mut cluster = Cluster::start(&Layout { settings: "secret = \"right\"".to_owned(), ..Layout::of(3) });
    cluster.kill(2);
    let right = introduction_of_node_3(&cluster);
    let setting = |name: &str| {
        let other = |(known, value): &(String, String)| match known == name {
            true => (known.clone(), format!("{value}1")),
            false => (known.clone(), value.clone()),
        };
        Introduction { settings: right.settings.iter().map(other).collect(), ..right.clone() }
    };
    let mut wrong = vec![
        (Introduction { cluster: "another".to_owned(), ..right.clone() }, "cluster"),
        (Introduction { protocol_version: 99, ..right.clone() }, "protocol version"),
        (Introduction { secret: Some(b"wrong".to_vec()), ..right.clone() }, "secret"),
        (Introduction { secret: None, ..right.clone() }, "secret"),
        (Introduction { node: NodeId::from("node-9"), ..right.clone() }, "node-9"),
        (Introduction { node: NodeId::from("node-1"), ..right.clone() }, "node-1"),
        (Introduction { fingerprint: right.fingerprint ^ 1, ..right.clone() }, "fingerprint"),
        (Introduction { settings: Vec::new(), ..right.clone() }, "setting"),
    ];
    let names: Vec<&str> = right.settings.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"virtual_nodes") && names.contains(&"replication_factor"), "{names:?}");
    wrong.extend(names.into_iter().map(|name| (setting(name), name)));

    for (introduction, named) in wrong {
        let mut client = cluster.node(0).client();
        let reply = introduce(&mut client, &introduction);
        assert!(reply.is_error("NOPERM ") && reply.text().contains(named), "{named}: {reply:?}");
        assert!(!reply.text().contains("right"), "the secret is told: {reply:?}");
        assert_refuses_forgeries(&mut client);
        wait_until("it is in the log", || cluster.node(0).log().contains(&reply.text()["NOPERM ".len()..]));
    }
    let mut client = cluster.node(0).client();
    for words in [&["RHELLO", "a"][..], &["RHELLO", "a", "b"], &["RHELLO", "protocol", "x", "cluster", "y"]] {
        assert!(matches!(client.ask(words), Reply::Error(_)));
        assert_refuses_forgeries(&mut client);
    }

    // The right one opens the door, and a wrong one on the same connection closes it again.
    assert!(matches!(introduce(&mut client, &right), Reply::Array(_)));
    assert_eq!(client.ask(&["RGET", "key"]), Reply::Null);
    assert!(matches!(client.ask(&["RCLOCK"]), Reply::Integer(_)));
    assert!(client.ask(&["RSET", "key"]).is_error("ERR "));
    let other = Introduction { cluster: "another".to_owned(), ..right };
    assert!(introduce(&mut client, &other).is_error("NOPERM "));
    assert_refuses_forgeries(&mut client);
}

#[test]
fn a_write_stamped_an_hour_ahead_is_refused_by_the_name_of_both_clocks() {
    let mut cluster = Cluster::start(&Layout::of(3));
    cluster.kill(2);
    let introduction = introduction_of_node_3(&cluster);
    let start = introduction.start;
    let now = UnixMs(cluster.node(0).info("server_time_usec").unwrap().parse::<u64>().unwrap() / 1000);
    let stamp = |at: u64| Version::new(Hlc::first_of(UnixMs(at)), NodeIndex(2), start).to_string();
    let mut client = cluster.node(0).client();
    assert!(matches!(introduce(&mut client, &introduction), Reply::Array(_)));

    let hour_ahead = stamp(now.0 + 3_600_000);
    for words in [
        &["RSET", "key", "future", &hour_ahead][..],
        &["RDEL", "key", &hour_ahead],
        &["RCOPY", "key", &hour_ahead, "-", "future"],
        &["RFLUSH", &hour_ahead],
    ] {
        let reply = client.ask(words);
        assert!(reply.is_error("DRIFT "), "{words:?}: {reply:?}");
        assert!(reply.text().matches(char::is_numeric).count() > 20, "no two clocks in {reply:?}");
    }
    // Nor has it moved this node's clock: others take its writes.
    assert_eq!(client.ask(&["SET", "key", "present"]), Reply::ok());
    assert_eq!(client.ask(&["RSET", "key", "near", &stamp(now.0 + 30_000)]), Reply::ok());
    assert_eq!(cluster.node(0).client().ask(&["GET", "key"]), Reply::bulk("near"));
    // What is ahead within the limit is replaced by what is acknowledged later.
    assert_eq!(cluster.node(0).client().ask(&["SET", "key", "later"]), Reply::ok());
    assert_eq!(cluster.node(0).client().ask(&["GET", "key"]), Reply::bulk("later"));
}

#[test]
fn a_peer_whose_clock_is_an_hour_ahead_does_not_carry_the_others_along() {
    let cluster = two_of_three();
    let ahead = |caller: &Introduction| UnixMs(caller.start.get() + 3_600_000);
    let fake = FakePeer::listen(cluster.ports[2], move |stream, _| {
        let Ok(mut connection) = RawClient::from_stream(stream) else { return };
        let Some(caller) = read_introduction(&mut connection) else { return };
        let mut bytes = Vec::new();
        let welcome = Welcome {
            node: NodeId::from("node-3"),
            start: caller.start.next(),
            remembered: StartNumber::default(),
            clock: Hlc::first_of(ahead(&caller)),
            wall: ahead(&caller),
            catch_up: ringkv::peer::CatchUp::Complete,
            flush_marks: FlushMarks::default(),
        };
        welcome.encode(&mut bytes);
        connection.send(bytes);
        stay_silent(&connection);
    });
    wait_until("both logs tell", || {
        [0, 1].iter().all(|&index| cluster.node(index).log().contains("clock is too far ahead"))
    });
    assert_served_in_time(&cluster, "ahead");
    for index in [0, 1] {
        let clock = cluster.node(index).info("clock").unwrap();
        let now: u64 = cluster.node(index).info("server_time_usec").unwrap().parse().unwrap();
        let reading: u64 = clock.split('-').next().unwrap().parse().unwrap();
        assert!(reading < now / 1000 + 60_000, "the clock was carried to {clock}");
    }
    drop(fake);
}

#[test]
fn nodes_that_were_configured_differently_name_the_difference_in_both_logs_and_share_nothing() {
    let base = Layout {
        nodes: 2,
        replication_factor: 2,
        write_quorum: 1,
        settings: "sync_timeout_ms = 200".to_owned(),
        ..Layout::of(2)
    };
    let more = |line: &str| Layout { settings: format!("{}\n{line}", base.settings), ..base.clone() };
    let others = [
        (more("name = \"another\""), "cluster differs"),
        (more("virtual_nodes = 128"), "'virtual_nodes' differs"),
        (more("secret = \"known to one alone\""), "secret differs"),
        (Layout { request_timeout_ms: 500, ..base.clone() }, "'request_timeout_ms' differs"),
        (Layout { write_quorum: 2, ..base.clone() }, "'write_quorum' differs"),
        (Layout { replication_factor: 1, ..base.clone() }, "'replication_factor' differs"),
    ];
    for (other, difference) in others {
        let mut cluster = Cluster::configure(base.clone());
        cluster.spawn(0);
        // The first has read its file once it answers.
        poll("the first node answers", PATIENCE, || cluster.node(0).try_info());
        std::fs::write(&cluster.config, other.text(&cluster.ports)).unwrap();
        cluster.spawn(1);
        for index in [0, 1] {
            cluster.wait_ready(index, 0);
            wait_until(difference, || cluster.node(index).log().contains(difference));
            assert!(!cluster.node(index).log().contains("known to one alone"), "the secret is in the log");
        }
        assert_eq!(cluster.node(0).client().ask(&["SET", "key", "value"]), Reply::ok(), "{difference}");
        assert_ne!(cluster.node(1).client().ask(&["GET", "key"]), Reply::bulk("value"), "{difference}");
        assert_eq!(cluster.node(1).info("keys_held").as_deref(), Some("0"), "{difference}");
    }
}

#[test]
fn a_node_that_answers_at_the_address_of_another_gets_no_data() {
    let cluster = two_of_three();
    let _fake = FakePeer::listen(cluster.ports[2], |stream, _| {
        let Ok(mut connection) = RawClient::from_stream(stream) else { return };
        let Some(caller) = read_introduction(&mut connection) else { return };
        let mut bytes = Vec::new();
        let welcome = Welcome {
            node: NodeId::from("node-2"),
            start: caller.start,
            remembered: StartNumber::default(),
            clock: Hlc(0),
            wall: UnixMs(caller.start.get()),
            catch_up: ringkv::peer::CatchUp::Complete,
            flush_marks: FlushMarks::default(),
        };
        welcome.encode(&mut bytes);
        connection.send(bytes);
        assert!(connection.is_closed(), "a node goes on talking to another than it meant");
    });
    wait_until("both logs tell", || {
        [0, 1].iter().all(|&index| cluster.node(index).log().contains("'node-3' was expected at this address"))
    });
    assert_served_in_time(&cluster, "misplaced");
}

#[test]
fn what_a_stranger_sends_before_its_introduction_is_a_clients_request() {
    let cluster = Cluster::start(&Layout::of(1));
    let mut client = cluster.node(0).client();
    client.send([command(&["SET", "key", "value"]), command(&["RGET", "key"]), command(&["GET", "key"])].concat());
    assert_eq!(client.reply(), Reply::ok());
    assert!(client.reply().is_error("NOPERM "));
    assert_eq!(client.reply(), Reply::bulk("value"));
}

/// Each node has its own limit for its clients. A value that another node has taken is larger than this one's, and must
/// not break the link, on which everything else travels too.
#[test]
fn a_peer_may_send_a_larger_value_than_clients_may() {
    let mut cluster = Cluster::start(&Layout { server: "max_value_bytes = 1024".to_owned(), ..Layout::of(3) });
    cluster.kill(2);
    let introduction = introduction_of_node_3(&cluster);
    let now = UnixMs(cluster.node(0).info("server_time_usec").unwrap().parse::<u64>().unwrap() / 1000);
    let version = Version::new(Hlc::first_of(now), NodeIndex(2), introduction.start).to_string();
    let large = "x".repeat(2000);
    let mut peer = cluster.node(0).client();
    assert!(matches!(introduce(&mut peer, &introduction), Reply::Array(_)));

    assert_eq!(peer.ask(&["RSET", "key", &large, &version]), Reply::ok());

    assert_eq!(peer.ask(&["GET", "key"]), Reply::bulk(&large));
    assert!(cluster.node(0).client().ask(&["SET", "key", &large]).is_error("ERR Protocol error"));
}
