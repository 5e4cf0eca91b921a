//! Reads: which answers count, what a read leaves behind, and counting.

use super::*;
use crate::support::cluster::read;

#[tokio::test(start_paused = true)]
async fn a_node_without_a_copy_serves_a_key_like_any_other() {
    let cluster = Setup::new(5, (3, 2, 1)).start().await;
    let key = cluster.key_on(&[0, 1, 2]);

    assert_eq!(cluster.set(4, &key, "v").await, done());
    assert_eq!(cluster.version_at(4, &key), None);
    assert_eq!(cluster.get(4, &key).await, Reply::value("v"));
    assert_eq!(cluster.get(4, "other").await, Reply::nil());
    assert_eq!(cluster.delete(4, &key).await, Reply::Done { live: true });
    assert_eq!(cluster.delete(4, &key).await, Reply::Done { live: false });
    assert_eq!(cluster.get(4, &key).await, Reply::nil());
}

/// Each of four nodes has a copy of three keys of four, so two of them have all.
#[tokio::test(start_paused = true)]
async fn reads_that_leave_together_go_to_few_nodes() {
    let cluster = Setup::new(5, (3, 2, 1)).start().await;
    let keys = [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]].map(|replicas| cluster.key_on(&replicas));
    for key in &keys {
        assert!(cluster.set(4, key, key).await.is_done());
    }
    cluster.pass(1_000).await;
    let store = cluster.node(4).store;
    let now = store.replica.wall.now();
    let in_one = vec![keys.iter().map(|key| read(key)).collect::<Vec<_>>()];
    let apart = keys.iter().map(|key| vec![read(key)]).collect();
    for batches in [in_one, apart] {
        let launched: Vec<_> = batches.into_iter().map(|batch| store.launch(batch, now)).collect();

        let asked = (0..4).map(|peer| store.peers.status(index(peer)).unwrap().requests_in_flight);
        assert_eq!(asked.filter(|requests| *requests > 0).count(), 2);
        let mut found = Vec::new();
        for launched in launched {
            found.extend(launched.settle().await.into_iter().map(Reply::from));
        }
        assert_eq!(found, keys.each_ref().map(|key| Reply::value(key)));
    }
}

/// Reads and writes of one batch are under way at the same time, whatever becomes of either, and their outcomes stay in order.
#[tokio::test(start_paused = true)]
async fn a_batch_of_both_kinds_takes_one_round_trip() {
    let cluster = Setup::new(5, (3, 2, 2)).start().await;
    let keys: Vec<String> = (0..10).map(|number| format!("k{number}")).collect();
    let batch = |generation: usize| {
        let pair = |key: &String| {
            [read(&format!("{key}:{}", generation - 1)), write(&format!("{key}:{generation}"), Some(key))]
        };
        keys.iter().flat_map(pair).collect::<Vec<_>>()
    };
    let first = cluster.batch(0, keys.iter().map(|key| write(&format!("{key}:0"), Some(key))).collect()).await;
    assert!(first.iter().all(Reply::is_done), "{first:?}");
    for (generation, crashed) in [(1, None), (2, None), (3, Some(4)), (4, None)] {
        for (from, to) in (0..5).flat_map(|from| (0..5).map(move |to| (from, to))) {
            cluster.network.set_delay(index(from), index(to), Duration::from_millis(10));
        }
        if let Some(node) = crashed {
            cluster.crash(node);
        }
        let began = Instant::now();

        let replies = cluster.batch(generation % 4, batch(generation)).await;

        let expected = keys.iter().flat_map(|key| [Reply::value(key), done()]);
        assert_eq!(replies, expected.collect::<Vec<_>>(), "generation {generation}");
        let round_trip = Duration::from_millis(20);
        assert!(crashed.is_some() || began.elapsed() == round_trip, "generation {generation}: {:?}", began.elapsed());
        cluster.pass(1_000).await;
    }
}

/// Node 2 misses a write, then a delete. The answer of a delete through it is that of the cluster all the same.
#[tokio::test(start_paused = true)]
async fn deletes_count_truly_although_one_replica_missed_what_came_before() {
    let cluster = three().hint_bytes_max(0).start().await;
    for (before, counted) in [(Some("v"), true), (None, false)] {
        assert!(cluster.set(0, "k", "old").await.is_done());
        cluster.isolate(2);
        cluster.until_missed(2).await;
        if before.is_none() {
            assert_eq!(cluster.delete(0, "k").await, Reply::Done { live: true });
        } else {
            assert!(cluster.delete(0, "k").await.is_done());
            assert!(cluster.set(0, "k", "v").await.is_done());
        }
        cluster.network.heal_all();
        cluster.until_linked().await;

        assert_eq!(cluster.delete(2, "k").await, Reply::Done { live: counted }, "after {before:?}");
    }
}

/// One replica has the key, another missed it, the third is dead: not having it proves nothing.
#[tokio::test(start_paused = true)]
async fn nil_is_said_only_when_every_replica_within_reach_has_none() {
    let cluster = three().hint_bytes_max(0).start().await;
    cluster.isolate(2);
    cluster.until_missed(2).await;
    assert!(cluster.set(0, "k", "v").await.is_done());
    cluster.network.heal_all();
    cluster.until_linked().await;
    cluster.crash(0);
    cluster.until_missed(0).await;

    assert_eq!(cluster.version_at(2, "k"), None);
    assert_eq!(cluster.get(2, "k").await, Reply::value("v"));
}

/// Node 0, which is asked first, hangs: that must not cost a client of node 4 a whole timeout.
#[tokio::test(start_paused = true)]
async fn a_hung_replica_delays_a_read_by_a_fraction_of_the_timeout() {
    let cluster = Setup::new(5, (3, 2, 1)).start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    assert!(cluster.set(4, &key, "v").await.is_done());
    cluster.network.freeze(index(0));

    let began = Instant::now();
    assert_eq!(cluster.get(4, &key).await, Reply::value("v"));
    assert!(began.elapsed() <= cluster.config.request_timeout() / 4, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_replica_within_reach_is_no_quorum_and_never_nil() {
    let cluster = Setup::new(5, (3, 2, 1)).start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    assert!(cluster.set(4, &key, "v").await.is_done());
    cluster.isolate(4);
    cluster.until_missed(4).await;
    cluster.until("4 misses all others", |cluster| (0..4).all(|other| !cluster.is_linked(4, other))).await;

    assert!(matches!(cluster.get(4, &key).await, Reply::Unread(_)));
}

/// Node 1 alone has a write whose coordinator is gone. Once somebody has read it, everybody must.
#[tokio::test(start_paused = true)]
async fn a_value_read_with_a_quorum_is_there_for_every_later_read() {
    let cluster = Setup::new(3, (3, 2, 2)).start().await;
    let (key, value, version) = (b"k".as_slice(), Some(b"v".as_slice()), version_of(&cluster, 0));
    cluster.hand(0, 1, PeerRequest::Write { key, value, version, expires_at: None });
    assert_eq!(cluster.get(1, "k").await, Reply::value("v"));

    cluster.crash(1);
    cluster.until_missed(1).await;

    for node in [0, 2] {
        assert_eq!(cluster.get(node, "k").await, Reply::value("v"), "at node {node}");
    }
}

/// N=4, W=3: two replicas hold something newer than the two that are asked first, and all must agree in the end.
#[tokio::test(start_paused = true)]
async fn a_read_finds_what_is_newer_than_the_answers_of_its_first_quorum() {
    let cluster = Setup::new(4, (4, 3, 2)).start().await;
    let replicas = cluster.replicas_of("k");
    for (holders, value) in [(&replicas[..2], "old"), (&replicas[2..], "new")] {
        let version = version_of(&cluster, 0);
        for &node in holders {
            let (key, value) = (b"k".as_slice(), Some(value.as_bytes()));
            cluster.hand(0, node, PeerRequest::Write { key, value, version, expires_at: None });
        }
    }

    assert_eq!(cluster.get(replicas[0], "k").await, Reply::value("new"));
}

#[tokio::test(start_paused = true)]
async fn every_key_is_counted_once_also_while_a_node_is_down() {
    let cluster = Setup::new(5, (3, 2, 1)).start().await;
    for number in 0..300 {
        assert!(cluster.set(number % 5, &format!("k{number}"), "v").await.is_done());
    }
    for number in 0..20 {
        assert!(cluster.delete(number % 5, &format!("k{number}")).await.is_done());
    }
    for node in cluster.indices() {
        assert_eq!(cluster.count(node).await, Ok(280));
    }
    cluster.crash(3);
    cluster.until_missed(3).await;
    for node in [0, 1, 2, 4] {
        assert_eq!(cluster.count(node).await, Ok(280));
    }
    cluster.start(3);
    cluster.until_linked().await;
    assert_eq!(cluster.count(0).await, Ok(280), "while it catches up");
    assert_eq!(cluster.count(3).await, Ok(280));
}

/// A batch in which some keys have no value, some were deleted, some values are too large to be told with others, and the
/// replica that the ring names first has missed some.
#[tokio::test(start_paused = true)]
async fn each_key_of_a_batch_is_answered_as_if_it_were_alone() {
    for read_quorum in [1, 2] {
        let cluster = Setup::new(5, (3, 2, read_quorum)).start().await;
        let large = "v".repeat(200 << 10);
        let keys: Vec<String> = (0..48).map(|number| format!("k{number}")).collect();
        let mut expected = Vec::new();
        for (number, key) in keys.iter().enumerate() {
            let reply = match number % 6 {
                0 => Reply::nil(),
                1 => {
                    assert!(cluster.set(number % 5, key, "gone").await.is_done());
                    assert!(cluster.delete(number % 5, key).await.is_done());
                    Reply::nil()
                }
                2 => {
                    let version = version_of(&cluster, 0);
                    for &node in &cluster.replicas_of(key)[1..] {
                        let (key, value) = (key.as_bytes(), Some(b"missed".as_slice()));
                        cluster.hand(0, node, PeerRequest::Write { key, value, version, expires_at: None });
                    }
                    Reply::value("missed")
                }
                3 => {
                    assert!(cluster.set(number % 5, key, &large).await.is_done());
                    Reply::value(&large)
                }
                _ => {
                    assert!(cluster.set(number % 5, key, key).await.is_done());
                    Reply::value(key)
                }
            };
            expected.push(reply);
        }
        cluster.pass(100).await;

        for node in cluster.indices() {
            let replies = cluster.batch(node, keys.iter().map(|key| read(key)).collect()).await;
            for ((key, reply), expected) in keys.iter().zip(&replies).zip(&expected) {
                assert!(reply == expected, "{key} at node {node}, R={read_quorum}");
            }
        }
    }
}
