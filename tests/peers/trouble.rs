//! A peer that is silent, slow, broken, mad or misplaced costs clients of the others one short stall at most.

use std::net::TcpStream;
use std::sync::Mutex;
use std::thread;

use ringkv::flush::FlushMarks;
use ringkv::peer::{CatchUp, Welcome};

use super::*;

/// What a process called `name` would answer `caller` if it had the same clock.
fn welcome_of(name: &str, caller: &Introduction) -> Welcome {
    Welcome {
        node: NodeId::from(name),
        start: caller.start.next(),
        remembered: StartNumber::default(),
        clock: Hlc(0),
        wall: UnixMs(caller.start.get()),
        catch_up: CatchUp::Complete,
        flush_marks: FlushMarks::default(),
    }
}

/// Answers as `answer` says to the introduction of a node that dials, and goes on from there.
fn welcome_with(stream: TcpStream, answer: impl FnOnce(&Introduction) -> Welcome) -> Option<RawClient> {
    let mut connection = RawClient::from_stream(stream).ok()?;
    let caller = read_introduction(&mut connection)?;
    send_welcome(connection, &answer(&caller))
}

fn send_welcome(mut connection: RawClient, welcome: &Welcome) -> Option<RawClient> {
    let mut bytes = Vec::new();
    welcome.encode(&mut bytes);
    connection.try_send(&bytes).ok()?;
    Some(connection)
}

/// Welcomes each node once and never again, as a process that hangs from then on: whoever is welcomed again has to find out again.
#[derive(Default)]
struct WelcomeOnce(Mutex<Vec<NodeId>>);

impl WelcomeOnce {
    fn welcome_with(&self, stream: TcpStream, answer: impl FnOnce(&Introduction) -> Welcome) -> Option<RawClient> {
        let mut connection = RawClient::from_stream(stream).ok()?;
        let caller = read_introduction(&mut connection)?;
        if self.has_welcomed(&caller.node) {
            stay_silent(&connection);
            return None;
        }
        send_welcome(connection, &answer(&caller))
    }

    /// The same as node-3 would.
    fn welcome(&self, stream: TcpStream) -> Option<RawClient> {
        self.welcome_with(stream, |caller| welcome_of("node-3", caller))
    }

    /// Whether it was so before; it is from now on.
    fn has_welcomed(&self, node: &NodeId) -> bool {
        let mut welcomed = self.0.lock().expect("nobody panics with it");
        let is_known = welcomed.contains(node);
        if !is_known {
            welcomed.push(node.clone());
        }
        is_known
    }
}

/// Answers like node-3 would, and goes on as node-3 from there.
fn welcome(stream: TcpStream) -> Option<RawClient> {
    welcome_with(stream, |caller| welcome_of("node-3", caller))
}

/// A fake in the place of node-3 does its worst, which costs so many request timeouts in all; afterwards the real one comes back
/// and serves everything.
fn assert_harmless(
    story: &str,
    sees_link: bool,
    timeouts: u32,
    behave: impl Fn(TcpStream, usize) + Send + Sync + 'static,
) {
    let mut cluster = two_of_three();
    let fake = FakePeer::listen(cluster.ports[2], behave);
    wait_until("both nodes have dialled", || fake.connections() >= 2);
    if sees_link {
        let up = |index: usize| cluster.node(index).info("peers_up").as_deref() == Some("2");
        wait_until("a node takes the fake for node-3", || up(0) || up(1));
    }
    assert_served_in_time(&cluster, story, timeouts);

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
    assert_served_in_time(&cluster, "refusing", 0);
    cluster.spawn(2);
    cluster.wait_all_ready();
    assert_eq!(cluster.node(2).client().ask(&["GET", "refusing 1 1"]), Reply::bulk("value"));
}

#[test]
fn a_peer_that_never_answers_the_introduction_costs_nothing() {
    assert_harmless("mute", false, 0, |stream, _| {
        if let Ok(connection) = RawClient::from_stream(stream) {
            stay_silent(&connection);
        }
    });
}

#[test]
fn a_peer_that_falls_silent_costs_one_request_timeout_in_all() {
    let once = WelcomeOnce::default();
    assert_harmless("silent", true, 1, move |stream, _| once.welcome(stream).iter().for_each(stay_silent));
}

#[test]
fn a_peer_that_dies_within_a_reply_costs_no_timeout() {
    assert_harmless("dying", true, 0, |stream, _| {
        let Some(mut connection) = welcome(stream) else { return };
        if connection.try_reply().is_ok() {
            // The other side may be gone already.
            let _ = connection.try_send(b"*3\r\n$10\r\nabc");
        }
    });
}

#[test]
fn a_peer_that_trickles_a_huge_reply_costs_one_request_timeout_in_all() {
    let once = WelcomeOnce::default();
    assert_harmless("trickling", true, 1, move |stream, _| {
        let Some(mut connection) = once.welcome(stream) else { return };
        if connection.try_reply().is_err() || connection.try_send(b"$500000000\r\n").is_err() {
            return;
        }
        while connection.try_send(b"x").is_ok() {
            thread::park_timeout(Duration::from_millis(10));
        }
    });
}

#[test]
fn a_peer_that_promises_an_endless_reply_costs_one_request_timeout_in_all() {
    let once = WelcomeOnce::default();
    assert_harmless("endless", true, 1, move |stream, _| {
        let Some(mut connection) = once.welcome(stream) else { return };
        if connection.try_reply().is_ok() && connection.try_send(b"*1000000000\r\n").is_ok() {
            stay_silent(&connection);
        }
    });
}

#[test]
fn rubbish_instead_of_a_welcome_costs_nothing() {
    for rubbish in ["*1\r\n".repeat(10_000), "\0\u{1}rubbish\r\n".repeat(1000), "$999999999999\r\n".to_owned()] {
        let story = format!("rubbish {}", rubbish.len());
        assert_harmless(&story, false, 0, move |stream, _| {
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
    for rubbish in ["*1\r\n".repeat(10_000), "+OK\r\n".repeat(1000), "\0\0\0".to_owned()] {
        let story = format!("nonsense {}", rubbish.len());
        assert_harmless(&story, false, 0, move |stream, _| {
            let Some(mut connection) = welcome(stream) else { return };
            if connection.try_reply().is_ok() {
                // The other side may be gone already.
                let _ = connection.try_send(rubbish.as_bytes());
                stay_silent(&connection);
            }
        });
    }
}

#[test]
fn a_peer_whose_clock_is_an_hour_ahead_does_not_carry_the_others_along() {
    let (cluster, once) = (two_of_three(), WelcomeOnce::default());
    let fake = FakePeer::listen(cluster.ports[2], move |stream, _| {
        let connection = once.welcome_with(stream, |caller| {
            let ahead = UnixMs(caller.start.get() + 3_600_000);
            Welcome { clock: Hlc::first_of(ahead), wall: ahead, ..welcome_of("node-3", caller) }
        });
        connection.iter().for_each(stay_silent);
    });
    wait_until("both logs tell", || {
        [0, 1].iter().all(|&index| cluster.node(index).log().contains("clock is too far ahead"))
    });
    // It is believed no time, and falls silent besides.
    assert_served_in_time(&cluster, "ahead", 1);
    for index in [0, 1] {
        let clock = cluster.node(index).info("clock").unwrap();
        let now: u64 = cluster.node(index).info("server_time_usec").unwrap().parse().unwrap();
        let reading: u64 = clock.split('-').next().unwrap().parse().unwrap();
        assert!(reading < now / 1000 + 60_000, "the clock was carried to {clock}");
    }
    drop(fake);
}

#[test]
fn a_node_that_answers_at_the_address_of_another_gets_no_data() {
    let cluster = two_of_three();
    let _fake = FakePeer::listen(cluster.ports[2], |stream, _| {
        let misplaced = |caller: &Introduction| Welcome { start: caller.start, ..welcome_of("node-2", caller) };
        if let Some(mut connection) = welcome_with(stream, misplaced) {
            assert!(connection.is_closed(), "a node goes on talking to another than it meant");
        }
    });
    wait_until("both logs tell", || {
        [0, 1].iter().all(|&index| cluster.node(index).log().contains("'node-3' was expected at this address"))
    });
    assert_served_in_time(&cluster, "misplaced", 0);
}
