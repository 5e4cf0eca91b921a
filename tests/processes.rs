//! Clusters of real processes and the client library that users of Rust have: nodes are killed, paused, brought back
//! and asked about keys of which they have no copy, and no acknowledged write may be lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::{AsyncConnectionConfig, AsyncTypedCommands, Client, RedisError, RedisResult};
use tokio::task::JoinHandle;

use ringkv::config::ClusterConfig;
use ringkv::ring::{HashRing, NodeIndex, Slot};

use harness::{Cluster, Layout, PATIENCE, RawClient, Reply, Signal, command, poll, wait_until};

/// How long a client waits for a reply: longer than any stall that these tests allow.
const REPLY_WAIT_MAX: Duration = Duration::from_secs(10);
/// The longest that a client of a living node may have to wait while another node dies or hangs: one request timeout,
/// and the noise of a busy machine.
const STALL_MAX: Duration = Duration::from_secs(3);

async fn connect(port: u16) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(REPLY_WAIT_MAX))
        .set_response_timeout(Some(REPLY_WAIT_MAX));
    let client = Client::open(format!("redis://127.0.0.1:{port}")).expect("a good address");
    client.get_multiplexed_async_connection_with_config(&config).await.expect("the node accepts connections")
}

#[allow(clippy::print_stdout, reason = "a figure for whoever reads the test's output")]
fn report(text: &str) {
    println!("{text}");
}

/// What one client went through.
#[derive(Default, Debug)]
struct Story {
    client: usize,
    port: u16,
    /// Keys 0 to this one, exclusively, were written and acknowledged.
    acknowledged: usize,
    failures: Vec<String>,
    longest: Duration,
}

/// Clients that write, overwrite and read until they are told to stop, or their connection breaks.
struct Load {
    stop: Arc<AtomicBool>,
    /// Rounds of all clients so far.
    rounds: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Story>>,
}

fn key(client: usize, number: usize) -> String {
    format!("load:{client}:{number}")
}

fn counter(client: usize) -> String {
    format!("counter:{client}")
}

impl Load {
    async fn start(ports: &[u16]) -> Self {
        let mut load = Self { stop: Arc::default(), rounds: Arc::default(), clients: Vec::new() };
        for (client, &port) in ports.iter().enumerate() {
            let (stop, rounds) = (Arc::clone(&load.stop), Arc::clone(&load.rounds));
            let connection = connect(port).await;
            let story = Story { client, port, ..Story::default() };
            load.clients.push(tokio::spawn(story.live(connection, stop, rounds)));
        }
        load
    }

    /// Waits until all clients together have been served `count` more rounds.
    fn run_for(&self, count: usize) {
        let until = self.rounds.load(Ordering::Acquire) + count;
        wait_until("the clients are served", || self.rounds.load(Ordering::Acquire) >= until);
    }

    async fn end(self) -> Vec<Story> {
        self.stop.store(true, Ordering::Release);
        let mut stories = Vec::new();
        for client in self.clients {
            stories.push(client.await.expect("a client does not panic"));
        }
        stories
    }
}

impl Story {
    async fn live(
        mut self,
        mut connection: MultiplexedConnection,
        stop: Arc<AtomicBool>,
        rounds: Arc<AtomicUsize>,
    ) -> Self {
        while !stop.load(Ordering::Acquire) {
            match self.round(&mut connection).await {
                Ok(()) => drop(rounds.fetch_add(1, Ordering::AcqRel)),
                Err(error) => {
                    self.failures.push(error.to_string());
                    if error.is_io_error() || error.is_connection_dropped() {
                        break;
                    }
                }
            }
        }
        self
    }

    /// A key written once, a counter overwritten and read back, an old key, a missing key.
    async fn round(&mut self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let (client, number) = (self.client, self.acknowledged);
        let value = number.to_string();
        self.time(connection.set(key(client, number), &value)).await?;
        self.time(connection.set(counter(client), &value)).await?;
        self.acknowledged += 1;
        let read = self.time(connection.get(counter(client))).await?;
        assert_eq!(read.as_ref(), Some(&value), "a client reads its own write");
        let old = number / 2;
        let read = self.time(connection.get(key(client, old))).await?;
        assert_eq!(read, Some(old.to_string()), "an acknowledged write can be read");
        let read = self.time(connection.get(format!("missing:{client}:{number}"))).await?;
        assert_eq!(read, None);
        Ok(())
    }

    async fn time<T>(&mut self, request: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
        let began = Instant::now();
        let result = request.await;
        self.longest = self.longest.max(began.elapsed());
        result
    }
}

fn longest(stories: &[Story]) -> Duration {
    stories.iter().map(|story| story.longest).max().unwrap_or_default()
}

/// Every acknowledged write can be read from the node at `port`, and no counter has gone back.
async fn assert_nothing_is_lost(stories: &[Story], port: u16) {
    assert_nothing_is_lost_on(stories, &[port]).await;
}

/// Every acknowledged write can be read from each of these nodes, and the newest counter that one of them shows has not
/// gone back. With R = 1 another may show an older one: its coordinator died with the third copy in hand.
async fn assert_nothing_is_lost_on(stories: &[Story], ports: &[u16]) {
    let mut newest = vec![0; stories.len()];
    for &port in ports {
        assert_keys_are_there(stories, port, &mut newest).await;
    }
    for (story, last) in stories.iter().zip(newest) {
        // A write whose answer never came may have taken effect, too.
        let possible = story.acknowledged - 1..=story.acknowledged;
        assert!(possible.contains(&last), "counter {} is {last} on {ports:?}, not in {possible:?}", story.client);
    }
}

/// Every acknowledged key can be read from the node at `port`; raises `newest` to the counters that it shows.
async fn assert_keys_are_there(stories: &[Story], port: u16, newest: &mut [usize]) {
    let mut connection = connect(port).await;
    for (story, newest) in stories.iter().zip(newest) {
        let numbers: Vec<usize> = (0..story.acknowledged).collect();
        for part in numbers.chunks(1000) {
            let keys: Vec<String> = part.iter().map(|&number| key(story.client, number)).collect();
            let values: Vec<Option<String>> = connection.mget(keys).await.expect("the node answers");
            for (number, value) in part.iter().zip(values) {
                assert_eq!(value, Some(number.to_string()), "{} on {port}", key(story.client, *number));
            }
        }
        let last = connection.get(counter(story.client)).await.expect("the node answers");
        *newest = (*newest).max(last.expect("it was written").parse().expect("a number"));
    }
}

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
    let held = |index: usize| cluster.node(index).info("keys_held");
    assert_eq!(held(2), held(0));
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
async fn a_node_that_hangs_for_three_seconds_is_noticed_and_costs_one_stall() {
    let cluster = Cluster::start(&Layout::of(3));
    let load = Load::start(&[cluster.ports[0], cluster.ports[0], cluster.ports[1], cluster.ports[1]]).await;
    load.run_for(200);

    cluster.node(2).signal(Signal::Stop);
    let stopped = Instant::now();
    let noticed = |index: usize| cluster.node(index).info("peers_up").as_deref() == Some("1");
    wait_until("both others notice", || noticed(0) && noticed(1));
    let noticed_after = stopped.elapsed();
    load.run_for(200);
    poll("three seconds", PATIENCE, || (stopped.elapsed() >= Duration::from_secs(3)).then_some(()));
    cluster.node(2).signal(Signal::Continue);
    cluster.wait_all_ready();
    load.run_for(200);

    let stories = load.end().await;
    let stall = longest(&stories);
    report(&format!("one of three paused: noticed after {noticed_after:?}, longest stall {stall:?}"));
    assert!(stories.iter().all(|story| story.failures.is_empty()), "{stories:?}");
    assert!(noticed_after < STALL_MAX && stall < STALL_MAX, "{noticed_after:?}, {stall:?}");
    for &port in &cluster.ports[..2] {
        assert_nothing_is_lost(&stories, port).await;
    }
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
            // At once: well within the request timeout.
            assert!(took < Duration::from_millis(500), "{took:?}");
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

/// The ring of a cluster, to know who keeps what.
fn ring(cluster: &Cluster) -> HashRing {
    ClusterConfig::load(&cluster.config).unwrap().cluster.ring()
}

fn nodes_without(ring: &HashRing, key: &str) -> Vec<usize> {
    let holders = ring.preference_list(Slot::of_key(key.as_bytes()));
    (0..5_u16).filter(|&node| !holders.contains(NodeIndex(node))).map(usize::from).collect()
}

/// Five nodes, three of which keep each key. With R = 2 a read shows what was acknowledged last on any node; with the
/// default of 1 only clients of one node can rely on that.
fn five(read_quorum: usize) -> Cluster {
    Cluster::start(&Layout { read_quorum, ..Layout::of(5) })
}

#[test]
fn a_node_without_a_copy_serves_a_key_like_any_other() {
    let cluster = five(2);
    let ring = ring(&cluster);
    for number in 0..100 {
        let key = format!("key{number}");
        let [writer, reader] = nodes_without(&ring, &key)[..] else { panic!("two of five have no copy") };
        let (mut writer, mut reader) = (cluster.node(writer).client(), cluster.node(reader).client());
        for (words, expected) in [
            (&["SET", &key, "value", "PX", "1000000"][..], Reply::ok()),
            (&["GET", &key], Reply::bulk("value")),
            (&["STRLEN", &key], Reply::Integer(5)),
            (&["TYPE", &key], Reply::Simple("string".to_owned())),
            (&["EXISTS", &key, &key, "none"], Reply::Integer(2)),
            (&["TTL", "none"], Reply::Integer(-2)),
        ] {
            assert_eq!(writer.ask(words), expected, "{words:?}");
        }
        assert_eq!(reader.ask(&["GET", &key]), Reply::bulk("value"));
        assert!(matches!(reader.ask(&["PTTL", &key]), Reply::Integer(900_000..=1_000_000)));
        assert_eq!(reader.ask(&["SET", &key, "other"]), Reply::ok());
        assert_eq!(writer.ask(&["TTL", &key]), Reply::Integer(-1));
        assert_eq!(writer.ask(&["DEL", &key, "none", &key]), Reply::Integer(1));
        assert_eq!(reader.ask(&["GET", &key]), Reply::Null);
    }
    assert!((0..5).all(|node| cluster.node(node).info("forwarded_requests") != Some("0".to_owned())));
}

#[test]
fn commands_on_many_keys_work_across_all_nodes() {
    const KEYS: usize = 5000;
    let cluster = five(2);
    let words = |name: &str, words: &mut dyn Iterator<Item = String>| {
        std::iter::once(name.to_owned()).chain(words).collect::<Vec<_>>()
    };
    let keys = |numbers: Range<usize>| numbers.map(|number| format!("key{number}"));
    for writer in 0..5 {
        let value = |number: usize| format!("value{number} of {writer}");
        let mut client = cluster.node(writer).client();
        let pairs = words("MSET", &mut (0..KEYS).flat_map(|number| [format!("key{number}"), value(number)]));
        assert_eq!(client.ask(&pairs), Reply::ok());
        let expected = Reply::Array((0..KEYS).map(|number| Reply::bulk(&value(number))).collect());
        for reader in 0..5 {
            let mut client = cluster.node(reader).client();
            assert!(client.ask(&words("MGET", &mut keys(0..KEYS))) == expected, "{reader} after {writer}");
            assert_eq!(client.ask(&words("EXISTS", &mut keys(0..2 * KEYS))), Reply::Integer(5000));
            // A count asks one replica of each slot, which may hear of a write a moment after its quorum.
            wait_until("all are counted", || client.ask(&["DBSIZE"]) == Reply::Integer(5000));
        }
        assert_eq!(client.ask(&words("DEL", &mut keys(KEYS / 2..2 * KEYS))), Reply::Integer(2500));
        wait_until("half are counted", || client.ask(&["DBSIZE"]) == Reply::Integer(2500));
    }
    let mut client = cluster.node(0).client();
    assert_eq!(client.ask(&["FLUSHALL"]), Reply::ok());
    for node in 0..5 {
        assert_eq!(cluster.node(node).client().ask(&["DBSIZE"]), Reply::Integer(0));
        assert_eq!(cluster.node(node).client().ask(&["GET", "key1"]), Reply::Null);
    }
}

#[test]
fn a_pipeline_takes_effect_in_order_wherever_its_keys_are() {
    const ROUNDS: usize = 2000;
    let cluster = five(1);
    for node in 0..5 {
        let mut client = cluster.node(node).client();
        let mut pipeline = Vec::new();
        for round in 0..ROUNDS {
            let key = format!("key{}", round % 50);
            let value = round.to_string();
            for words in [&["SET", &key, &value][..], &["GET", &key], &["DEL", &key], &["GET", &key], &["FOO"]] {
                pipeline.extend(command(words));
            }
        }
        client.send(pipeline);
        for round in 0..ROUNDS {
            assert_eq!(client.reply(), Reply::ok(), "round {round} on node {node}");
            assert_eq!(client.reply(), Reply::bulk(&round.to_string()), "round {round} on node {node}");
            assert_eq!(client.reply(), Reply::Integer(1), "round {round} on node {node}");
            assert_eq!(client.reply(), Reply::Null, "round {round} on node {node}");
            assert!(client.reply().is_error("ERR unknown command 'FOO'"), "round {round} on node {node}");
        }
    }
}

#[test]
fn of_several_renames_of_one_key_one_is_done_wherever_they_are_asked() {
    const ROUNDS: usize = 20;
    let cluster = five(1);
    // Names in different slots, and in one.
    for (source, destination) in [("job", "worker"), ("{job}", "{job}:worker")] {
        let mut clients: Vec<_> = (0..5).map(|node| cluster.node(node).client()).collect();
        for round in 0..ROUNDS {
            let value = round.to_string();
            assert_eq!(clients[0].ask(&["SET", source, &value]), Reply::ok());
            for (node, client) in clients.iter_mut().enumerate() {
                let name = format!("{destination}:{node}");
                client.send(command(&["RENAME", source, &name]));
            }
            let replies: Vec<_> = clients.iter_mut().map(RawClient::reply).collect();
            let is_done = |reply: &&Reply| **reply == Reply::ok();
            assert_eq!(replies.iter().filter(is_done).count(), 1, "{replies:?}");
            assert!(replies.iter().all(|reply| is_done(&reply) || reply.is_error("ERR no such key")), "{replies:?}");
            let winner = replies.iter().position(|reply| *reply == Reply::ok()).expect("one is done");
            for (node, client) in clients.iter_mut().enumerate() {
                let name = format!("{destination}:{node}");
                let expected = if node == winner { Reply::bulk(&value) } else { Reply::Null };
                assert_eq!(client.ask(&["GETDEL", &name]), expected, "round {round}: {replies:?}");
            }
        }
        assert_eq!(clients[0].ask(&["EXISTS", source]), Reply::Integer(0));
    }
}

#[test]
fn a_large_value_of_another_node_mentioned_often_is_never_in_memory_as_often() {
    const VALUE_BYTES: usize = 1 << 20;
    const MENTIONS: usize = 2000;
    const EXTRA_BYTES_MAX: usize = 256 << 20;
    let cluster = five(1);
    let node = cluster.node(nodes_without(&ring(&cluster), "large")[0]);
    let mut client = node.client();
    assert_eq!(client.ask(&[b"SET", &b"large"[..], &vec![b'v'; VALUE_BYTES]]), Reply::ok());
    for request in [command(&[&["MGET"][..], &vec!["large"; MENTIONS]].concat()), b"GET large\r\n".repeat(MENTIONS)] {
        let before = node.resident_bytes();
        client.send(&request);
        let mut stream = client.stream();
        let mut most = 0;
        let mut read = 0;
        let mut buffer = vec![0; VALUE_BYTES];
        while read < MENTIONS * VALUE_BYTES {
            let count = std::io::Read::read(&mut stream, &mut buffer).unwrap();
            assert!(count > 0, "closed after {read} bytes");
            read += count;
            most = most.max(node.resident_bytes().saturating_sub(before));
        }
        assert!(most < EXTRA_BYTES_MAX, "{most} bytes");
        client = node.client();
    }
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
fn a_million_arguments_find_their_replicas_and_let_others_through() {
    const PAIRS: usize = 500_000;
    let cluster = Cluster::start(&Layout::of(3));
    let mut words = vec!["MSET".to_owned()];
    words.extend((0..PAIRS).flat_map(|number| [format!("key{number}"), number.to_string()]));
    let request = command(&words);
    let mut client = cluster.node(0).client();
    let began = Instant::now();
    let sender = std::thread::spawn(move || {
        client.send(request);
        client.reply()
    });
    while !sender.is_finished() {
        let (reply, took) = cluster.node(0).client().time(&["SET", "other", "value"]);
        assert_eq!(reply, Reply::ok());
        assert!(took < STALL_MAX, "another client waited for {took:?}");
    }
    assert_eq!(sender.join().unwrap(), Reply::ok());
    report(&format!("half a million pairs on three nodes: {:?}", began.elapsed()));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    for index in 0..3 {
        let held = || cluster.node(index).info("keys_held").and_then(|held| held.parse::<usize>().ok());
        wait_until("every replica has all", || held() == Some(PAIRS + 1));
    }
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
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    sender.join().unwrap();

    // Every write was acknowledged or its client was told nothing; those acknowledged are there.
    assert!(replies.len() > 100, "{} replies", replies.len());
    assert!(replies.iter().all(|reply| *reply == Reply::ok()));
    let mut client = cluster.node(1).client();
    for number in 0..replies.len() {
        assert_eq!(client.ask(&["GET", &format!("key{number}")]), Reply::bulk(&number.to_string()));
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_aware_client_goes_straight_to_a_replica() {
    let cluster = five(1);
    let addresses: Vec<String> = cluster.ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect();
    let client = ClusterClient::new(vec![addresses[0].clone()]).expect("a good address");
    let mut connection = client.get_async_connection().await.expect("CLUSTER SLOTS is understood");
    let forwarded = || (0..5).map(|node| cluster.node(node).info("forwarded_requests")).collect::<Vec<_>>();
    let before = forwarded();
    for number in 0..500 {
        let key = format!("key{number}");
        connection.set(&key, number).await.expect("SET");
        assert_eq!(connection.get(&key).await.expect("GET"), Some(number.to_string()));
    }
    let keys: Vec<String> = (0..500).map(|number| format!("key{number}")).collect();
    let values: Vec<Option<String>> = connection.mget(&keys).await.expect("MGET over all slots");
    assert!(values.into_iter().enumerate().all(|(number, value)| value == Some(number.to_string())));
    assert_eq!(connection.del(&keys).await.expect("DEL over all slots"), 500);
    assert_eq!(forwarded(), before, "every request went to a node that has a copy");
}
