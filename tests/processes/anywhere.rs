//! Keys that are asked for wherever they are kept: a node without a copy serves them like any other.

use std::ops::Range;

use redis::AsyncTypedCommands;
use redis::cluster::ClusterClient;

use ringkv::config::ClusterConfig;
use ringkv::ring::{HashRing, NodeIndex, Slot};

use super::*;

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

/// A read through a node without a copy asks the replica to which something leaves anyway, here the one that hears of updates
/// last.
#[test]
fn a_client_sees_its_own_updates_through_a_node_without_a_copy() {
    let cluster = Cluster::start(&Layout { has_wires: true, request_timeout_ms: 1000, ..Layout::of(5) });
    let ring = ring(&cluster);
    let holders = |key: &String| ring.preference_list(Slot::of_key(key.as_bytes())).as_slice().to_vec();
    let keys: Vec<String> = (0..1000).map(|number| format!("key{number}")).collect();
    let (home, late) = (NodeIndex(0), NodeIndex(1));
    let kept = |[first, others @ ..]: [NodeIndex; 3]| first == home && others.contains(&late);
    let key = keys.iter().find(|key| holders(key).try_into().is_ok_and(kept)).unwrap();
    let asked = (0..5).map(NodeIndex).find(|node| !holders(key).contains(node)).unwrap();
    let beside = |key: &&String| holders(key)[0] == late && !holders(key).contains(&asked);
    let beside = keys.iter().find(beside).unwrap();
    let links = cluster.links.as_ref().expect("the layout has wires");
    links.delay_one_way(0, 1, Duration::from_millis(100));

    let mut client = cluster.node(usize::from(asked.0)).client();
    assert_eq!(client.ask(&["SET", key, "0"]), Reply::ok());
    for sum in 1..=5 {
        assert_eq!(client.ask(&["WAIT", "2", "10000"]), Reply::Integer(2));
        assert_eq!(client.ask(&["INCR", key]), Reply::Integer(sum));
        client.send([command(&["GET", beside]), command(&["GET", key]), command(&["STRLEN", key])].concat());
        let replies = [client.reply(), client.reply(), client.reply()];
        assert_eq!(replies, [Reply::Null, Reply::bulk(&sum.to_string()), Reply::Integer(1)]);
        assert_eq!(client.ask(&["RENAME", key, beside]), Reply::ok());
        client.send(
            [command(&["GET", beside]), command(&["BITFIELD_RO", key, "GET", "u8", "0", "GET", "u8", "0"])].concat(),
        );
        let nothing = Reply::Array(vec![Reply::Integer(0), Reply::Integer(0)]);
        assert_eq!([client.reply(), client.reply()], [Reply::bulk(&sum.to_string()), nothing]);
        assert_eq!(client.ask(&["RENAME", beside, key]), Reply::ok());
    }
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

/// What a pipeline reads of its own writes is answered by them, but only once they have their quorum.
#[test]
fn a_pipeline_never_reads_what_it_failed_to_write() {
    let mut cluster = Cluster::start(&Layout::of(3));
    let mut client = cluster.node(0).client();
    assert_eq!(client.ask(&["SET", "key", "before"]), Reply::ok());
    wait_until("this node has it", || client.ask(&["GET", "key"]) == Reply::bulk("before"));
    cluster.kill(1);
    cluster.kill(2);
    wait_until("the losses are noticed", || cluster.node(0).info("peers_up").as_deref() == Some("0"));

    let requests: [&[&str]; 6] =
        [&["SET", "key", "1"], &["GET", "key"], &["SET", "key", "2"], &["GET", "key"], &["STRLEN", "key"], &["PING"]];
    client.send(requests.iter().flat_map(|words| command(words)).collect::<Vec<_>>());

    let replies: Vec<_> = requests.iter().map(|_| client.reply()).collect();
    let refused = "NOQUORUM 1 of 2 replicas reachable; nothing was written";
    assert!(replies[0].is_error(refused) && replies[2].is_error(refused), "{replies:?}");
    let before = Reply::bulk("before");
    assert_eq!([&replies[1], &replies[3], &replies[4]], [&before, &before, &Reply::Integer(6)], "{replies:?}");
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
        // With R = 1 this node may hear of the last one's deletion a moment later.
        wait_until("the source is gone", || clients[0].ask(&["EXISTS", source]) == Reply::Integer(0));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_aware_client_goes_straight_to_a_replica() {
    let cluster = five(1);
    let address = format!("redis://127.0.0.1:{}", cluster.ports[0]);
    let patient = ClusterClient::builder([address]).connection_timeout(PATIENCE).response_timeout(PATIENCE);
    let client = patient.build().expect("a good address");
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
