//! Writes: taken by their quorum, refused beforehand, or taken back.

use std::sync::Arc;

use ringkv::ring::NodeIndex;

use super::*;

/// Two of three nodes are gone. A client must not wait for a quorum that cannot be, nor leave anything behind.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_when_the_quorum_is_out_of_reach_and_it_fails_at_once() {
    let cluster = left_alone().await;

    let began = Instant::now();
    let reply = cluster.set(0, "k", "v").await;

    assert_eq!(reply, Reply::NotWritten("NOQUORUM 1 of 2 replicas reachable; nothing was written".to_owned()));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(cluster.version_at(0, "k"), None);
}

/// N=W=3 gives up writing for reading anywhere: one dead node stops writes, and no reads.
#[tokio::test(start_paused = true)]
async fn with_all_replicas_required_one_dead_node_stops_writes_but_not_reads() {
    let cluster = Setup::new(3, (3, 3, 1)).start().await;
    assert_eq!(cluster.set(0, "k", "v").await, done());
    cluster.crash(2);
    cluster.until_missed(2).await;

    assert!(matches!(cluster.set(0, "k", "w").await, Reply::NotWritten(_)));
    assert!(matches!(cluster.delete(1, "k").await, Reply::NotWritten(_)));
    for node in [0, 1] {
        assert_eq!(cluster.get(node, "k").await, Reply::value("v"));
    }
}

/// Node 2 refuses (its clock is an hour behind) after 0 and 1 have taken the write. All three confirm that they
/// do not keep it, so the client may be told so.
#[tokio::test(start_paused = true)]
async fn a_write_that_loses_its_quorum_is_reverted_when_every_replica_confirms() {
    let cluster = Setup::new(3, (3, 3, 1)).skews_ms(&[0, 0, -HOUR_MS]).start().await;

    let Reply::Reverted(words) = cluster.set(0, "k", "v").await else { panic!("it is taken back") };

    assert!(words.contains("of 3 acks; reverted"), "{words}");
    for node in cluster.indices() {
        assert_eq!(cluster.version_at(node, "k"), None);
        assert_eq!(cluster.get(node, "k").await, Reply::nil());
    }
}

/// Somebody has read the value before its write failed: it cannot be called back any more.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_read_before_it_failed_is_indeterminate_and_stays() {
    let cluster = Setup::new(3, (3, 3, 1)).skews_ms(&[0, 0, -HOUR_MS]).start().await;
    let node = cluster.node(0);
    let flight = node.store.launch(vec![write("k", Some("v"))], node.replica().wall.now());
    assert_eq!(cluster.get(0, "k").await, Reply::value("v"), "it shows at once");

    let reply = Reply::from(flight.settle().await.remove(0));

    assert!(matches!(reply, Reply::Indeterminate(_)), "{reply:?}");
    assert_eq!(cluster.get(0, "k").await, Reply::value("v"));
}

/// Node 2 hangs with the write in its buffers: whatever 0 and 1 do, nobody knows what it will do with it.
#[tokio::test(start_paused = true)]
async fn a_write_that_a_hung_replica_may_hold_is_indeterminate() {
    let cluster = Setup::new(3, (3, 3, 1)).start().await;
    cluster.network.freeze(index(2));

    let began = Instant::now();
    let reply = cluster.set(0, "k", "v").await;

    assert!(matches!(&reply, Reply::Indeterminate(words) if words.contains("2 of 3 acks")), "{reply:?}");
    assert!(began.elapsed() <= 2 * cluster.config.request_timeout());
    assert_eq!(cluster.get(0, "k").await, Reply::nil(), "those that could be asked have taken it back");
}

/// Node 1 is down when a write of node 0 fails and is taken back. When 1 is back nobody brings the value to it.
#[tokio::test(start_paused = true)]
async fn a_reverted_value_does_not_return_with_the_missing_peer() {
    let cluster = three().skews_ms(&[0, 0, -HOUR_MS]).start().await;
    cluster.crash(1);
    cluster.until_missed(1).await;
    let reply = cluster.set(0, "k", "v").await;
    assert!(matches!(&reply, Reply::Reverted(words) if words.contains("1 of 2 acks")), "{reply:?}");

    cluster.start(1);
    cluster.until_whole().await;

    for node in cluster.indices() {
        assert_eq!(cluster.get(node, "k").await, Reply::nil());
    }
}

/// The coordinator's write is overtaken on the way by its own revert.
#[tokio::test(start_paused = true)]
async fn a_write_that_arrives_after_its_revert_is_refused() {
    let cluster = three().start().await;
    let version = version_of(&cluster, 0);
    let key = b"k";
    assert_eq!(ask(&cluster, 0, 1, PeerRequest::Revert { key, version }), encoded(&PeerReply::Ok));

    let late = PeerRequest::Write { key, value: Some(b"v"), version, expires_at: None };

    assert_eq!(ask(&cluster, 0, 1, late), encoded(&PeerReply::Void));
    assert_eq!(cluster.get(1, "k").await, Reply::nil());
}

/// Node 0's clock is an hour ahead. Its write of "lost" is on its way when node 1 writes "kept", with a far
/// smaller stamp, and has its quorum. When "lost" is taken back "kept" must show, also from node 0.
#[tokio::test(start_paused = true)]
async fn an_acknowledged_write_survives_the_revert_of_a_concurrent_one() {
    let cluster = three().skews_ms(&[HOUR_MS, 0, 0]).start().await;
    let node = cluster.node(0);
    let flight = node.store.launch(vec![write("k", Some("lost"))], node.replica().wall.now());
    assert_eq!(cluster.set(1, "k", "kept").await, done());

    let reply = Reply::from(flight.settle().await.remove(0));

    assert!(matches!(reply, Reply::Reverted(_)), "{reply:?}");
    for node in cluster.indices() {
        assert_eq!(cluster.get(node, "k").await, Reply::value("kept"), "at node {node}");
    }
}

/// SIGSTOP one node: clients of the others notice nothing.
#[tokio::test(start_paused = true)]
async fn a_hung_replica_neither_fails_nor_delays_a_write_that_has_its_quorum() {
    let cluster = three().start().await;
    cluster.network.freeze(index(2));
    for number in 0..200 {
        let began = Instant::now();
        assert_eq!(cluster.set(number % 2, &format!("k{number}"), "v").await, done());
        assert_eq!(began.elapsed(), Duration::ZERO);
        cluster.pass(3).await;
    }
}

/// SET k 1, SET k 2 in one pipeline, from a node whose clock is behind what the key holds: both are refused as
/// stale and stamped anew, and still the second is the last.
#[tokio::test(start_paused = true)]
async fn the_last_write_of_a_pipeline_wins_on_every_replica() {
    let cluster = three().skews_ms(&[0, 30_000, -20_000]).start().await;
    for number in 0..20 {
        let key = format!("k{number}");
        assert!(cluster.set(1, &key, "before").await.is_done());
        let pipeline = ["1", "2", "3"].map(|value| write(&key, Some(value)));
        let replies = cluster.batch(number % 3, pipeline.to_vec()).await;
        assert!(replies.iter().all(Reply::is_done), "{replies:?}");
        for node in cluster.indices() {
            assert_eq!(cluster.value_at(node, &key).as_deref(), Some("3"));
        }
    }
}

/// Open records cost memory beside the decided ones: once traffic ends the watermark and the sweep must close all of them, on
/// the coordinator's own store too, long before they would be closed for their age.
#[tokio::test(start_paused = true)]
async fn no_record_stays_open_once_traffic_has_ended() {
    let cluster = three().with(|config| config.request_timeout_ms = 10_000).start().await;
    for number in 0..100 {
        assert!(cluster.set(number % 3, &format!("k{}", number % 50), "v").await.is_done());
    }
    cluster.pass(6_000).await;
    for node in cluster.indices() {
        assert_eq!(cluster.node(node).replica().store.counts().open_records, 0, "at node {node}");
    }
}

/// A peer that has gone mad, or somebody who plays one, must not leave records that nobody can rank or expire.
#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_of_this_cluster_is_refused() {
    let cluster = three().start().await;
    let right = version_of(&cluster, 2);
    let stranger = Version::new(right.hlc(), NodeIndex(3), right.start());
    for (version, expires_at) in [(stranger, None), (right, Some(UnixMs(u64::MAX)))] {
        let request = PeerRequest::Write { key: b"k", value: Some(b"v"), version, expires_at };
        assert!(ask(&cluster, 2, 0, request).starts_with(b"-ERR "), "{version} {expires_at:?}");
    }
    assert_eq!(cluster.get(0, "k").await, Reply::nil());
}

/// Clients of all nodes write one key all the time, so nearly every write meets newer ones on its way, again and again.
#[tokio::test(start_paused = true)]
async fn nobody_is_refused_because_many_write_the_same_key() {
    let cluster = three().start().await;
    for (from, to, ms) in [(0, 1, 1), (1, 2, 2), (2, 0, 3), (1, 0, 2), (2, 1, 1), (0, 2, 2)] {
        cluster.network.set_delay(index(from), index(to), Duration::from_millis(ms));
    }
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..24 {
        let cluster = Arc::clone(&cluster);
        clients.spawn(async move {
            for number in 0..50 {
                let reply = cluster.set(client % 3, "k", &format!("{client}:{number}")).await;
                assert!(reply.is_done(), "{reply:?}");
                cluster.pass(number % 3).await;
            }
        });
    }
    clients.join_all().await;
}

/// A FLUSHALL has not reached 2 yet, whose clock is slow. After it 0 and 1 have acknowledged "first"; so what 2 writes then must go
/// above that, not only above the flush.
#[tokio::test(start_paused = true)]
async fn a_write_from_before_a_flush_does_not_go_below_what_was_acknowledged_after_it() {
    let cluster = Setup::new(3, (3, 2, 2)).skews_ms(&[0, 0, -30_000]).without_anti_entropy().start().await;
    cluster.pass(1_000).await;
    let mark = version_of(&cluster, 0);
    for node in [0, 1] {
        let flush = PeerRequest::Flush { version: mark, is_decided: false };
        assert_eq!(ask(&cluster, 0, node, flush), encoded(&PeerReply::Ok));
    }
    cluster.pass(100).await;
    let first = version_of(&cluster, 1);
    for node in [0, 1] {
        let write = PeerRequest::Write { key: b"k", value: Some(b"first"), version: first, expires_at: None };
        assert_eq!(ask(&cluster, 1, node, write), encoded(&PeerReply::Ok));
    }

    assert!(cluster.set(2, "k", "second").await.is_done());

    assert_eq!(cluster.get(2, "k").await, Reply::value("second"));
}

/// 1 and 2 show newer writes that come to nothing, and refuse "x"; so it will be stamped anew. Until then nobody may read it under
/// its first stamp, for then it would take effect twice.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_stamped_anew_was_not_read_before() {
    let cluster = Setup::new(4, (3, 2, 2)).skews_ms(&[0, 0, 0, 30_000]).without_anti_entropy().start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    cluster.network.cut(index(1), index(2));
    cluster.until("1 misses 2", |cluster| !cluster.is_linked(1, 2)).await;
    let mut failing = Vec::new();
    for node in [1, 2] {
        let (version, value) = (version_of(&cluster, 3), Some(b"fails".as_slice()));
        let write = PeerRequest::Write { key: key.as_bytes(), value, version, expires_at: None };
        assert_eq!(ask(&cluster, 3, node, write), encoded(&PeerReply::Ok));
        failing.push(version);
        cluster.pass(100).await;
    }
    cluster.network.set_delay(index(0), index(2), Duration::from_millis(60));
    let writer = tokio::spawn({
        let (cluster, key) = (Arc::clone(&cluster), key.clone());
        async move { cluster.set(0, &key, "x").await }
    });
    cluster.pass(20).await;
    let revert = PeerRequest::Revert { key: key.as_bytes(), version: failing[0] };
    assert_eq!(ask(&cluster, 3, 1, revert), encoded(&PeerReply::Kept), "it has refused x, and has to go on");

    let read = cluster.get(1, &key).await;
    assert!(cluster.set(1, &key, "y").await.is_done());
    assert_eq!(cluster.get(1, &key).await, Reply::value("y"));
    assert!(writer.await.unwrap().is_done());

    let last = cluster.get(1, &key).await;
    assert!(read != Reply::value("x") || last != Reply::value("x"), "x, y and x again");
}
