//! Who may speak as a node: only one of this cluster that is configured alike and says so first.

use std::sync::mpsc::sync_channel;

use super::*;

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
fn commands_between_nodes_are_refused_without_an_introduction() {
    let cluster = Cluster::start(&Layout::of(1));
    let mut client = cluster.node(0).client();
    assert_eq!(client.ask(&["SET", "key", "value"]), Reply::ok());
    assert_refuses_forgeries(&mut client);
    assert_eq!(client.ask(&["GET", "key"]), Reply::bulk("value"));
    assert_refuses_forgeries(&mut client);
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
