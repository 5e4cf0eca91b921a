//! Raw bytes on a socket of one real node: whatever a client sends, torn, broken, endless or huge, it gets the right
//! answer or a clear error, nobody else notices, and the memory comes back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Cluster, Layout, Node, PATIENCE, RawClient, Reply, Signal, command, poll_for, wait_until};

/// How much more memory than before a node may keep after an abuse is over: what the allocator holds on to.
const KEPT_BYTES_MAX: usize = 48 << 20;
/// How much more memory than before one client may cost while it sends small requests for large replies.
const CLIENT_BYTES_MAX: usize = 64 << 20;
/// How long another client waits at most while one abuses the node, on a busy machine and without optimisation.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(3);
const MEGABYTE: usize = 1 << 20;

fn single() -> Cluster {
    Cluster::start(&Layout::of(1))
}

/// One node and the memory that it had when it was idle.
struct Bench {
    cluster: Cluster,
    idle_bytes: usize,
}

impl Bench {
    fn new() -> Self {
        let cluster = single();
        assert_serves(cluster.node(0));
        Self { idle_bytes: cluster.node(0).resident_bytes(), cluster }
    }

    fn node(&self) -> &Node {
        self.cluster.node(0)
    }

    fn client(&self) -> RawClient {
        self.node().client()
    }

    /// Memory above that of the idle node.
    fn extra_bytes(&self) -> usize {
        self.node().resident_bytes().saturating_sub(self.idle_bytes)
    }

    /// After an abuse: others are served, and the memory comes back.
    fn assert_recovers(&self) {
        assert_serves(self.node());
        let mut extra_bytes = self.extra_bytes();
        let recovered = poll_for(PATIENCE, || {
            assert_serves(self.node());
            extra_bytes = self.extra_bytes();
            (extra_bytes <= KEPT_BYTES_MAX).then_some(())
        });
        assert!(recovered.is_some(), "{extra_bytes} bytes more than before are still in use");
    }
}

/// Another client is served in time.
fn assert_serves(node: &Node) {
    let began = Instant::now();
    let mut client = node.client();
    assert_eq!(client.ask(&["SET", "other", "value"]), Reply::ok());
    assert_eq!(client.ask(&["GET", "other"]), Reply::bulk("value"));
    assert!(began.elapsed() < OTHERS_WAIT_MAX, "another client waited for {:?}", began.elapsed());
}

fn random_bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).to_le_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn requests_torn_at_any_byte_are_answered_alike() {
    let cluster = single();
    let mut client = cluster.node(0).client();
    let mut bytes = command(&["SET", "torn key", "a\r\nvalue\0"]);
    bytes.extend_from_slice(b"\r\nSET inline 'one two'\r\n");
    bytes.extend(command(&["MGET", "torn key", "inline", "none"]));
    bytes.extend_from_slice(b"*0\r\n*-1\r\nstrlen inline\n");
    let values = vec![Reply::bulk("a\r\nvalue\0"), Reply::bulk("one two"), Reply::Null];
    let expected = [Reply::ok(), Reply::ok(), Reply::Array(values), Reply::Integer(7)];

    for cut in 0..=bytes.len() {
        // The answer to PING shows that the first part was taken as it is.
        client.send([b"PING\r\n", &bytes[..cut]].concat());
        assert_eq!(client.reply(), Reply::Simple("PONG".to_owned()));
        client.send(&bytes[cut..]);
        for reply in &expected {
            assert_eq!(client.reply(), *reply, "torn at byte {cut}");
        }
    }
    for byte in &bytes {
        client.send([*byte]);
    }
    for reply in &expected {
        assert_eq!(client.reply(), *reply, "sent byte by byte");
    }
}

#[test]
fn ten_thousand_pipelined_commands_are_answered_in_order() {
    let cluster = single();
    let mut client = cluster.node(0).client();
    let numbers: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    let key = |position: usize| format!("key{}", position % 7);

    let pipeline = numbers.iter().enumerate().flat_map(|(position, number)| {
        [command(&["SET", &key(position), number]), command(&["GET", &key(position)])].concat()
    });
    client.send(pipeline.collect::<Vec<u8>>());

    for number in &numbers {
        assert_eq!(client.reply(), Reply::ok());
        assert_eq!(client.reply(), Reply::bulk(number));
    }
}

#[test]
fn inline_commands_and_empty_lines_are_understood() {
    let cluster = single();
    let mut client = cluster.node(0).client();
    client.send(b"\r\n\n  \r\nPING\r\nset \"a\\x00b\" 'c d'\nget \"a\\x00b\"\r\n*0\r\n*-1\r\necho ''\r\n");
    let expected = [Reply::Simple("PONG".to_owned()), Reply::ok(), Reply::bulk("c d"), Reply::bulk("")];
    for reply in expected {
        assert_eq!(client.reply(), reply);
    }
}

#[test]
fn broken_framing_is_named_and_ends_the_connection_alone() {
    let bench = Bench::new();
    let mut bystander = bench.client();
    let endless = |start: &str| format!("{start}{}", "1".repeat(200_000));
    for (bytes, words) in [
        ("*1000000000\r\n".to_owned(), "invalid multibulk length"),
        ("*9999999999999999999\r\n".to_owned(), "invalid multibulk length"),
        ("*abc\r\n".to_owned(), "invalid multibulk length"),
        ("*1\r\n$-5\r\n".to_owned(), "invalid bulk length"),
        ("*1\r\n$600000000\r\n".to_owned(), "invalid bulk length"),
        ("*1\r\n$abc\r\n".to_owned(), "invalid bulk length"),
        ("*1\r\n*1\r\n$4\r\nPING\r\n".to_owned(), "expected '$', got '*'"),
        ("*1\r\n".repeat(10_000), "expected '$', got '*'"),
        ("*2\r\n$4\r\nECHO\r\n:1\r\n".to_owned(), "expected '$', got ':'"),
        (endless("*"), "too big mbulk count string"),
        (endless("*1\r\n$"), "too big bulk count string"),
        (endless("PING "), "too big inline request"),
        ("SET a \"b\r\n".to_owned(), "unbalanced quotes in request"),
    ] {
        let mut client = bench.client();
        // What came before is still answered.
        client.send(b"PING\r\n");
        // The node may close before it has taken everything.
        let _ = client.try_send(bytes.as_bytes());
        let shown = &bytes[..bytes.len().min(40)];
        assert_eq!(client.reply(), Reply::Simple("PONG".to_owned()), "{shown:?}");
        assert_eq!(client.reply(), Reply::Error(format!("ERR Protocol error: {words}")), "{shown:?}");
        assert!(client.is_closed(), "{shown:?}");
        assert_eq!(bystander.ask(&["ECHO", "here"]), Reply::bulk("here"));
    }
    bench.assert_recovers();
}

#[test]
fn binary_rubbish_harms_nobody() {
    let bench = Bench::new();
    for seed in 0..50 {
        let mut client = bench.client();
        let mut rubbish = random_bytes(seed, 100_000);
        // Half of them begin as if they were serious.
        rubbish[0] = if seed % 2 == 0 { b'*' } else { rubbish[0] };
        // The node may close before it has taken everything.
        let _ = client.try_send(&rubbish).and_then(|()| client.stream().shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        // It may also have closed with bytes of ours unread.
        let _ = client.stream().read_to_end(&mut answer);
        assert!(answer.iter().all(u8::is_ascii) || !answer.is_empty(), "seed {seed}");
    }
    bench.assert_recovers();
}

#[test]
fn errors_have_the_words_of_redis_and_the_connection_stays() {
    let cluster = single();
    let mut client = cluster.node(0).client();
    for (words, error) in [
        (&["FOO", "a", "b"][..], "ERR unknown command 'FOO', with args beginning with: 'a' 'b' "),
        (&[""], "ERR unknown command '', with args beginning with: "),
        (&["GET"], "ERR wrong number of arguments for 'get' command"),
        (&["GET", "a", "b"], "ERR wrong number of arguments for 'get' command"),
        (&["MSET", "a"], "ERR wrong number of arguments for 'mset' command"),
        (&["MSET", "a", "b", "c"], "ERR wrong number of arguments for 'mset' command"),
        (&["CLIENT", "SETNAME"], "ERR wrong number of arguments for 'client|setname' command"),
        (&["CLIENT", "FOO"], "ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
        (&["SET", "a", "b", "FOO"], "ERR syntax error"),
        (&["SET", "a", "b", "EX"], "ERR syntax error"),
        (&["SET", "a", "b", "EX", "1", "PX", "1"], "ERR syntax error"),
        (&["SET", "a", "b", "EX", "ten"], "ERR value is not an integer or out of range"),
        (&["SET", "a", "b", "EX", "9223372036854775808"], "ERR value is not an integer or out of range"),
        (&["SET", "a", "b", "EX", "0"], "ERR invalid expire time in 'set' command"),
        (&["SET", "a", "b", "PX", "-1"], "ERR invalid expire time in 'set' command"),
        (&["SELECT", "x"], "ERR value is not an integer or out of range"),
        (&["SELECT", "1"], "ERR DB index is out of range"),
        (&["HELLO", "4"], "NOPROTO unsupported protocol version"),
        (
            &["AUTH", "x"],
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
             configuration is correct?",
        ),
        (&["FLUSHALL", "FOO"], "ERR syntax error"),
    ] {
        assert_eq!(client.ask(words), Reply::Error(error.to_owned()), "{words:?}");
        assert_eq!(client.ask(&["PING"]), Reply::Simple("PONG".to_owned()), "after {words:?}");
    }
    // In a pipeline each error stands in its place.
    client.send(b"SET a 1\r\nGET\r\nFOO\r\nSET a 2 EX x\r\nGET a\r\n");
    assert_eq!(client.reply(), Reply::ok());
    for _ in 0..3 {
        assert!(client.reply().is_error("ERR "));
    }
    assert_eq!(client.reply(), Reply::bulk("1"));
}

#[test]
fn quit_is_answered_and_ends_the_connection() {
    let cluster = single();
    let mut client = cluster.node(0).client();
    client.send(b"SET a b\r\nQUIT\r\nSET a c\r\n");
    assert_eq!(client.replies_until_end().unwrap(), [Reply::ok(), Reply::ok()]);
    assert_eq!(cluster.node(0).client().ask(&["GET", "a"]), Reply::bulk("b"));
}

#[test]
fn a_client_that_leaves_within_a_request_is_forgotten() {
    let bench = Bench::new();
    for bytes in [&b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$10\r\nabc"[..], b"SET half a", b"*", b"$"] {
        let mut client = bench.client();
        client.send(bytes);
        client.end_sending();
        assert!(client.is_closed());
    }
    assert_eq!(bench.client().ask(&["GET", "half"]), Reply::Null);
    wait_until("one client is left, which asks", || bench.node().info("connected_clients").as_deref() == Some("1"));
}

/// Sends requests for a large value and reads nothing, until the node takes no more of them.
fn stall(bench: &Bench) -> RawClient {
    let value = vec![b'v'; MEGABYTE];
    let mut client = bench.client();
    assert_eq!(client.ask(&[b"SET", &b"large"[..], &value]), Reply::ok());
    client.stream().set_write_timeout(Some(Duration::from_millis(500))).expect("a legal timeout");
    let requests = b"GET large\r\n".repeat(6000);
    loop {
        match client.try_send(&requests) {
            Ok(()) => assert!(bench.extra_bytes() < CLIENT_BYTES_MAX),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return client,
            Err(error) => panic!("{error}"),
        }
    }
}

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
    let began = Instant::now();
    for piece in command(&[b"SET", &b"large"[..], &value]).chunks(16 << 10) {
        client.send(piece);
    }
    assert_eq!(client.reply(), Reply::ok());
    assert!(began.elapsed() < Duration::from_secs(10), "SET took {:?}", began.elapsed());
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
    let began = Instant::now();
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
    assert!(began.elapsed() < Duration::from_secs(15), "MSET took {:?}", began.elapsed());
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
    wait_until("a client is let in", || node.client().try_send(b"PING\r\n").is_ok() && node.try_info().is_some());
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

#[test]
fn a_port_in_use_is_named_and_ends_the_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut cluster = Cluster::configure(Layout::of(1));
    std::fs::write(&cluster.config, cluster.layout.text(&[port])).unwrap();
    cluster.spawn(0);
    let mut node = cluster.take(0);
    let status = node.wait_for_exit(Duration::from_secs(10));
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
        let began = Instant::now();
        assert_eq!(node.wait_for_exit(Duration::from_secs(3)).code(), Some(0), "{signal:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "{signal:?} took {:?}", began.elapsed());
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
    assert_eq!(node.wait_for_exit(Duration::from_secs(5)).code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
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
    assert_eq!(node.wait_for_exit(Duration::from_secs(10)).code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    drop(stalled);
}
