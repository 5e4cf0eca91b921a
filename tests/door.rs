//! The door of real nodes: who is let in, how long they may stay, and how they make a node wait or stop.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;

use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use harness::{Cluster, Layout, Node, PATIENCE, Ports, RawClient, Reply, command, poll, poll_for, wait_until};

const PASSWORD: &str = "open sesame";
const NOAUTH: &str = "NOAUTH Authentication required.";

/// Nodes whose clients need the password.
fn locked(nodes: usize) -> Cluster {
    let mut cluster =
        Cluster::configure(Layout { server: format!("requirepass = \"{PASSWORD}\""), ..Layout::of(nodes) });
    (0..nodes).for_each(|index| cluster.spawn(index));
    for port in cluster.ports.clone() {
        let linked = |client: &mut RawClient| {
            let info = client.ask(&["INFO", "ring"]).text();
            info.contains(&format!("peers_up:{}\r\n", nodes - 1)) && info.contains("slots_syncing:0\r\n")
        };
        poll("a node that is up", PATIENCE, || entered(port).and_then(|mut client| linked(&mut client).then_some(())));
    }
    cluster
}

/// A connection to `port` that has said the password.
fn entered(port: u16) -> Option<RawClient> {
    let mut client = RawClient::try_connect(port).ok()?;
    (client.ask(&["AUTH", PASSWORD]) == Reply::ok()).then_some(client)
}

fn error(words: &str) -> Reply {
    Reply::Error(words.to_owned())
}

/// Whether the node closes the connection in time, whatever it says before.
fn ends(client: &mut RawClient) -> bool {
    poll_for(PATIENCE, || {
        client.replies_until_end().err().is_none_or(|error| error.kind() != ErrorKind::WouldBlock).then_some(())
    })
    .is_some()
}

#[test]
fn nothing_is_served_without_the_password_and_all_with_it() {
    let cluster = locked(1);
    let mut client = cluster.node(0).client();
    client.send(b"SET a b\r\nGET a\r\nPING\r\nINFO\r\nCLUSTER SLOTS\r\nRGET a\r\nMONITOR\r\nAUTH wrong\r\nGET a\r\n");
    for _ in 0..6 {
        assert_eq!(client.reply(), error(NOAUTH));
    }
    assert!(client.reply().is_error(""));
    assert!(client.reply().is_error("WRONGPASS "));
    assert_eq!(client.reply(), error(NOAUTH));
    // Within one pipeline, too, what follows the password is served.
    client.send(command(&["AUTH", PASSWORD]));
    client.send(b"GET a\r\nSET a b\r\nGET a\r\nRESET\r\nGET a\r\n");
    let replies: Vec<Reply> = (0..6).map(|_| client.reply()).collect();
    let reset = Reply::Simple("RESET".to_owned());
    assert_eq!(replies, [Reply::ok(), Reply::Null, Reply::ok(), Reply::bulk("b"), reset, error(NOAUTH)]);
    assert!(!cluster.node(0).log().contains(PASSWORD));
}

#[test]
fn a_stranger_cannot_fill_the_memory_and_who_has_entered_may_send_much() {
    let cluster = locked(1);
    let large = vec![b'v'; 1 << 20];
    let mut stranger = cluster.node(0).client();
    stranger.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n");
    assert!(stranger.reply().is_error("ERR Protocol error: "));
    // In one pipeline what follows the password may be large.
    let mut client = cluster.node(0).client();
    client.send([command(&["AUTH", PASSWORD]), command(&[b"SET", &b"k"[..], &large])].concat());
    assert_eq!((client.reply(), client.reply()), (Reply::ok(), Reply::ok()));
}

#[test]
fn nodes_with_a_password_find_each_other_and_a_stranger_cannot_pass_for_one() {
    let cluster = locked(3);
    let mut writer = entered(cluster.ports[0]).unwrap();
    assert_eq!(writer.ask(&["SET", "k", "v"]), Reply::ok());
    let mut reader = entered(cluster.ports[2]).unwrap();
    assert_eq!(reader.ask(&["QUORUM", "READ", "2"]), Reply::ok());
    assert_eq!(reader.ask(&["GET", "k"]), Reply::bulk("v"));

    let mut stranger = cluster.node(0).client();
    let zero = "0-0-0";
    let hello = [
        "RHELLO",
        "protocol",
        "2",
        "cluster",
        "ringkv",
        "node",
        "node-2",
        "start",
        "1",
        "fingerprint",
        "1",
        "state",
        "blank",
        "flushed",
        zero,
    ];
    assert!(matches!(stranger.ask(&hello), Reply::Error(_)));
    assert!(matches!(stranger.ask(&["RGET", "k"]), Reply::Error(_)));
    assert_eq!(stranger.ask(&["GET", "k"]), error(NOAUTH));
}

#[test]
fn a_password_set_at_run_time_is_asked_of_whoever_comes_next() {
    let cluster = Cluster::start(&Layout::of(1));
    let mut inside = cluster.node(0).client();
    assert_eq!(inside.ask(&["CONFIG", "SET", "requirepass", PASSWORD]), Reply::ok());
    let mut outside = cluster.node(0).client();
    assert_eq!(outside.ask(&["PING"]), error(NOAUTH));
    assert_eq!(inside.ask(&["SET", "a", "b"]), Reply::ok());
    for hidden in [&["CONFIG", "GET", "*"][..], &["CLIENT", "LIST"], &["INFO"], &["ACL", "LIST"]] {
        assert!(!format!("{:?}", inside.ask(hidden)).contains(PASSWORD), "{hidden:?}");
    }
    assert_eq!(inside.ask(&["CONFIG", "SET", "requirepass", ""]), Reply::ok());
    assert_eq!(outside.ask(&["GET", "a"]), Reply::bulk("b"));
    assert!(!cluster.node(0).log().contains(PASSWORD));
}

/// An address of this machine that is not loopback, if it has one. Nothing is sent.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Two nodes that listen everywhere and reach each other by `address`.
fn exposed(address: IpAddr, cluster: &str, ports: &[u16], directory: &std::path::Path) -> [Node; 2] {
    let mut text = format!("[cluster]\n{cluster}\n[server]\nworker_threads = 1\n");
    for (number, port) in (1..).zip(ports) {
        let node =
            format!("[[nodes]]\nid = \"node-{number}\"\naddr = \"0.0.0.0:{port}\"\nannounce = \"{address}:{port}\"\n");
        text.push_str(&node);
    }
    let config = directory.join("cluster.toml");
    std::fs::write(&config, text).unwrap();
    [0, 1].map(|index| Node::spawn(&config, &format!("node-{}", index + 1), ports[index]))
}

fn peers_up(node: &Node) -> Option<String> {
    node.info("peers_up")
}

#[test]
fn a_node_without_a_password_serves_its_own_machine_alone_and_the_nodes_that_know_the_secret() {
    let Some(address) = outer_address() else { return };
    let (directory, ports) = (tempfile::tempdir().unwrap(), Ports::reserve(2));
    let nodes = exposed(address, "secret = \"between us\"", &ports.numbers, directory.path());
    for node in &nodes {
        wait_until("the nodes to find each other", || peers_up(node).as_deref() == Some("1"));
    }
    let outside = || poll("a connection from outside", PATIENCE, || TcpStream::connect((address, nodes[0].port)).ok());
    let mut outsider = RawClient::from_stream(outside()).unwrap();
    let denied = outsider.ask(&["PING"]);
    assert!(denied.is_error("DENIED ") && denied.text().contains("protected mode"), "{denied:?}");
    assert!(ends(&mut outsider));
    // Whoever says nothing is told as well.
    let mut mute = RawClient::from_stream(outside()).unwrap();
    assert!(mute.reply().is_error("DENIED "));

    // When protected mode is switched off from inside
    let mut inside = nodes[0].client();
    assert_eq!(inside.ask(&["CONFIG", "SET", "protected-mode", "no"]), Reply::ok());
    // Then outsiders are served.
    let mut outsider = RawClient::from_stream(outside()).unwrap();
    assert_eq!(outsider.ask(&["SET", "a", "b"]), Reply::ok());
    // And with a password they are, once they have said it.
    let both = ["CONFIG", "SET", "protected-mode", "yes", "requirepass", PASSWORD];
    assert_eq!(inside.ask(&both), Reply::ok());
    let mut outsider = RawClient::from_stream(outside()).unwrap();
    assert_eq!(outsider.ask(&["GET", "a"]), error(NOAUTH));
    assert_eq!(outsider.ask(&["AUTH", PASSWORD]), Reply::ok());
    assert_eq!(outsider.ask(&["GET", "a"]), Reply::bulk("b"));
}

#[test]
fn without_a_secret_a_protected_node_lets_no_node_of_another_address_in() {
    let Some(address) = outer_address() else { return };
    let (directory, ports) = (tempfile::tempdir().unwrap(), Ports::reserve(2));
    let nodes = exposed(address, "", &ports.numbers, directory.path());
    wait_until("the node to be up", || peers_up(&nodes[0]).is_some());
    let outside = || TcpStream::connect((address, nodes[0].port)).unwrap();
    let mut stranger = RawClient::from_stream(outside()).unwrap();
    assert!(stranger.reply().is_error("DENIED "));
    wait_until("the log to say why", || nodes[1].log().contains("DENIED") || nodes[1].log().contains("protected mode"));
    assert_eq!(peers_up(&nodes[0]).as_deref(), Some("0"));
}

#[test]
fn a_silent_client_is_closed_after_the_timeout_and_a_node_is_not() {
    let cluster = Cluster::start(&Layout::of(3));
    let (mut silent, mut speaking) = (cluster.node(0).client(), cluster.node(0).client());
    assert_eq!(silent.ask(&["PING"]), Reply::Simple("PONG".to_owned()));
    // More than it may take on a busy machine until the other one speaks again.
    assert_eq!(speaking.ask(&["CONFIG", "SET", "timeout", "5"]), Reply::ok());
    let id = |client: &mut RawClient| client.ask(&["CLIENT", "ID"]);
    let own = id(&mut speaking);
    let peers = speaking.ask(&["CLIENT", "LIST", "TYPE", "replica"]).text().lines().count();
    assert_eq!(peers, 2);
    wait_until("it is gone from CLIENT LIST", || {
        let list = speaking.ask(&["CLIENT", "LIST", "TYPE", "normal"]).text();
        list.lines().count() == 1
    });
    assert!(silent.is_closed());
    assert_eq!(id(&mut speaking), own);
    assert_eq!(speaking.ask(&["CLIENT", "LIST", "TYPE", "replica"]).text().lines().count(), peers);
}

/// Asks for far more than the system takes for a client that reads nothing.
fn stall(client: &mut RawClient) {
    assert_eq!(client.ask(&[b"SET", &b"large"[..], &vec![b'v'; 32 << 20]]), Reply::ok());
    client.send(b"GET large\r\n".repeat(8));
}

#[test]
fn a_client_that_does_not_take_its_replies_is_closed_when_it_exceeds_its_limit() {
    for limit in ["normal 64kb 0 0", "normal 0 64kb 1"] {
        let cluster = Cluster::start(&Layout::of(1));
        let (mut stalled, mut other) = (cluster.node(0).client(), cluster.node(0).client());
        assert_eq!(other.ask(&["CONFIG", "SET", "client-output-buffer-limit", limit]), Reply::ok());
        stall(&mut stalled);
        wait_until("it is closed", || other.ask(&["CLIENT", "LIST"]).text().lines().count() == 1);
        wait_until("the log says so", || cluster.node(0).log().contains("did not take its replies in time"));
    }
}

#[test]
fn the_number_of_clients_can_change_at_run_time() {
    let cluster = Cluster::start(&Layout::of(1));
    let mut first = cluster.node(0).client();
    wait_until("it is alone", || first.ask(&["CLIENT", "LIST"]).text().lines().count() == 1);
    assert_eq!(first.ask(&["CONFIG", "SET", "maxclients", "2"]), Reply::ok());
    let mut second = cluster.node(0).client();
    assert_eq!(second.ask(&["PING"]), Reply::Simple("PONG".to_owned()));
    assert_eq!(cluster.node(0).client().reply(), error("ERR max number of clients reached"));
    assert_eq!(first.ask(&["CONFIG", "SET", "maxclients", "3"]), Reply::ok());
    assert_eq!(cluster.node(0).client().ask(&["PING"]), Reply::Simple("PONG".to_owned()));
}

#[test]
fn paused_clients_wait_and_go_on_where_they_were() {
    let cluster = Cluster::start(&Layout::of(3));
    let (mut admin, mut client) = (cluster.node(0).client(), cluster.node(0).client());

    // Writes alone
    assert_eq!(admin.ask(&["CLIENT", "PAUSE", "60000", "WRITE"]), Reply::ok());
    client.send(b"GET a\r\nSET a 1\r\nGET a\r\n");
    assert_eq!(client.reply(), Reply::Null);
    client.stream().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(client.try_reply().is_err(), "it waits");
    client.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    // Other nodes' clients do not wait, also for this node's copy.
    assert_eq!(cluster.node(1).client().ask(&["SET", "b", "1"]), Reply::ok());
    assert_eq!(admin.ask(&["CLIENT", "UNPAUSE"]), Reply::ok());
    assert_eq!((client.reply(), client.reply()), (Reply::ok(), Reply::bulk("1")));

    // Everything, for a while
    let began = Instant::now();
    assert_eq!(admin.ask(&["CLIENT", "PAUSE", "500"]), Reply::ok());
    assert_eq!(client.ask(&["GET", "a"]), Reply::bulk("1"));
    assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
    // Who waits can be killed.
    let id = client.ask(&["CLIENT", "ID"]);
    let Reply::Integer(id) = id else { panic!("{id:?}") };
    assert_eq!(admin.ask(&["CLIENT", "PAUSE", "60000", "WRITE"]), Reply::ok());
    client.send(command(&["SET", "a", "2"]));
    wait_until("it is killed", || admin.ask(&["CLIENT", "KILL", "ID", &id.to_string()]) == Reply::Integer(1));
    assert!(client.is_closed());
}

// Read off redis-server 7.0.15.
#[test]
fn replies_are_left_out_as_asked() {
    let cluster = Cluster::start(&Layout::of(3));
    let mut client = cluster.node(0).client();
    client.send(
        b"PING\r\nCLIENT REPLY OFF\r\nPING\r\nFOO\r\nSET k v\r\nCLIENT REPLY FOO\r\nCLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\n\
          ECHO a\r\nCLIENT REPLY SKIP\r\nECHO b\r\nECHO c\r\nCLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nECHO d\r\nECHO e\r\n\
          CLIENT REPLY SKIP\r\nCLIENT REPLY OFF\r\nRESET\r\nECHO f\r\nCLIENT REPLY SKIP\r\nRESET\r\nECHO g\r\nGET k\r\nQUIT\r\n"
            .as_slice(),
    );
    let replies: Vec<String> = client.replies_until_end().unwrap().iter().map(Reply::text).collect();
    assert_eq!(replies, ["PONG", "OK", "a", "c", "e", "RESET", "f", "g", "v", "OK"]);
}

#[test]
fn shutdown_stops_a_node_in_order_without_an_answer() {
    let mut cluster = Cluster::start(&Layout::of(3));
    let mut client = cluster.node(0).client();
    assert_eq!(client.ask(&["SHUTDOWN", "ABORT"]), error("ERR No shutdown in progress."));
    assert_eq!(client.ask(&["SET", "a", "b"]), Reply::ok());
    client.send(command(&["SHUTDOWN", "NOSAVE"]));
    assert!(client.is_closed());
    let mut node = cluster.take(0);
    assert_eq!(node.wait_for_exit(PATIENCE).code(), Some(0));
    assert!(node.log().contains("stopped"));
    assert_eq!(cluster.node(1).client().ask(&["GET", "a"]), Reply::bulk("b"));
}

#[test]
fn one_connection_chooses_its_quorum_and_the_others_keep_theirs() {
    let mut cluster = Cluster::start(&Layout::of(3));
    cluster.kill(1);
    cluster.kill(2);
    let mut eager = cluster.node(0).client();
    wait_until("the others are known to be down", || eager.ask(&["SET", "a", "1"]).is_error("NOQUORUM 1 of 2"));
    // In one pipeline each write has the quorum that was chosen before it.
    eager.send(b"SET a 1\r\nQUORUM WRITE 1\r\nSET a 2\r\nGET a\r\nQUORUM READ 2\r\nGET a\r\nRESET\r\nSET a 3\r\n");
    let replies: Vec<Reply> = (0..8).map(|_| eager.reply()).collect();
    assert!(replies[0].is_error("NOQUORUM"), "{replies:?}");
    assert_eq!(replies[1..5], [Reply::ok(), Reply::ok(), Reply::bulk("2"), Reply::ok()]);
    assert!(replies[5].is_error("NOQUORUM") && replies[7].is_error("NOQUORUM"), "{replies:?}");
    assert!(cluster.node(0).client().ask(&["SET", "a", "4"]).is_error("NOQUORUM"));
}
