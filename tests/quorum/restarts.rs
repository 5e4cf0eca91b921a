//! Nodes that lost their memory.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_first_start_of_a_cluster_takes_no_time() {
    let cluster = Setup::new(5, (3, 2, 1)).with(|config| config.request_timeout_ms = 10_000).build();
    cluster.indices().for_each(|node| cluster.start(node));
    let began = Instant::now();
    cluster.until("all count", |cluster| cluster.indices().all(|node| !cluster.is_syncing(node))).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Until it has caught up it must not answer from its empty memory, nor make up a write quorum, nor vouch for
/// what it cannot know.
#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_memory_counts_for_nothing_until_it_has_caught_up() {
    let cluster = three().start().await;
    for number in 0..100 {
        assert!(cluster.set(0, &format!("k{number}"), "v").await.is_done());
    }
    cluster.network.cut(index(0), index(1));
    cluster.start(1);
    cluster.until("1 and 2 are linked", |cluster| cluster.is_linked(1, 2) && cluster.is_linked(2, 1)).await;
    cluster.network.cut(index(0), index(2));
    cluster.until_missed(0).await;
    cluster.pass(5_000).await;

    assert!(cluster.is_syncing(1), "it has heard one of the two others");
    assert!(matches!(cluster.set(2, "k1", "w").await, Reply::NotWritten(_)), "not a write quorum");
    assert!(matches!(cluster.set(1, "k1", "w").await, Reply::NotWritten(_)), "not a write quorum");
    let (key, version) = (b"k2", version_of(&cluster, 2));
    assert_eq!(ask(&cluster, 2, 1, PeerRequest::Read { key }), encoded(&PeerReply::Syncing), "not an answer");
    let revert = PeerRequest::Revert { key, version };
    assert_eq!(ask(&cluster, 2, 1, revert), encoded(&PeerReply::Syncing), "not a confirmation");
    assert_eq!(cluster.get(1, "k2").await, Reply::value("v"), "another answers");

    cluster.network.heal_all();
    cluster.until_whole().await;
    for number in 0..100 {
        assert_eq!(cluster.value_at(1, &format!("k{number}")).as_deref(), Some("v"));
    }
    cluster.crash(0);
    cluster.until_missed(0).await;
    assert!(cluster.set(2, "k1", "w").await.is_done(), "now it counts");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_catch_up_goes_on_after_the_sync_timeout_with_what_it_reached() {
    let cluster = three().with(|config| config.sync_timeout_ms = 3_000).start().await;
    assert!(cluster.set(0, "k", "v").await.is_done());
    cluster.crash(0);
    let began = Instant::now();
    cluster.start(1);

    cluster.until("it goes on", |cluster| !cluster.is_syncing(1)).await;

    assert!(began.elapsed() >= Duration::from_secs(3));
    assert_eq!(cluster.value_at(1, "k").as_deref(), Some("v"));
}

/// "old" is acknowledged by 0 and 1 while 2 is away. 0 loses its memory, and while it catches up a newer write
/// is open on 0 and 1, which is then taken back. "old" must not have been passed over for its sake.
#[tokio::test(start_paused = true)]
async fn catching_up_does_not_miss_what_lies_below_a_write_that_is_taken_back() {
    for has_the_other in [true, false] {
        let cluster = Setup::new(3, (3, 2, 2)).with(|config| config.request_timeout_ms = 1_000).start().await;
        cluster.isolate(2);
        cluster.until_missed(2).await;
        assert!(cluster.set(0, "k", "old").await.is_done());
        cluster.network.heal_all();
        cluster.until_linked().await;
        cluster.start(0);
        cluster.until_linked().await;
        let (key, value, version) = (b"k".as_slice(), Some(b"new".as_slice()), version_of(&cluster, 2));
        cluster.hand(2, 0, PeerRequest::Write { key, value, version, expires_at: None });
        if has_the_other {
            cluster.hand(2, 1, PeerRequest::Write { key, value, version, expires_at: None });
        }
        assert!(cluster.is_syncing(0));
        cluster.until("0 has caught up", |cluster| !cluster.is_syncing(0)).await;
        let revert = PeerRequest::Revert { key, version };
        let is_kept = ask(&cluster, 2, 1, revert.clone()) == encoded(&PeerReply::Kept);
        cluster.hand(2, 0, revert);

        let expected = if is_kept { "new" } else { "old" };
        for node in cluster.indices() {
            assert_eq!(cluster.get(node, "k").await, Reply::value(expected), "at node {node}");
        }
    }
}

/// Five nodes. 3 is dead for good, so 1, restarted, stays syncing for the slots that it shares with 3, and has
/// caught up on others. There it counts: what 0 and 1 acknowledge must be found by 0 when that is restarted too,
/// although 1 calls itself syncing.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_syncing_elsewhere_is_heard_for_what_it_has_caught_up_on() {
    let cluster = Setup::new(5, (3, 2, 2)).start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    cluster.crash(3);
    cluster.start(1);
    cluster
        .until("1 counts for the key", |cluster| {
            !cluster.node(1).replica().syncing.contains(slot(&key)) && cluster.is_syncing(1)
        })
        .await;
    // 2 misses the write.
    let (bytes, value, version) = (key.as_bytes(), Some(b"v".as_slice()), version_of(&cluster, 4));
    for node in [0, 1] {
        let write = PeerRequest::Write { key: bytes, value, version, expires_at: None };
        assert_eq!(ask(&cluster, 4, node, write), encoded(&PeerReply::Ok), "node {node} counts toward W");
    }
    cluster.start(0);
    cluster.until("0 counts for the key", |cluster| !cluster.node(0).replica().syncing.contains(slot(&key))).await;

    assert_eq!(cluster.version_at(0, &key), Some(version));
}

/// Node 2 comes back with a clock two minutes slow and so refuses what the others hold. It must not count as if there
/// were nothing to know.
#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_take_what_the_others_hold_does_not_count() {
    let cluster = Setup::new(3, (3, 2, 2)).start().await;
    cluster.isolate(1);
    cluster.until_missed(1).await;
    assert!(cluster.set(0, "k", "v").await.is_done());
    cluster.set_skew_ms(2, -120_000);
    cluster.start(2);
    cluster.network.heal_all();
    cluster.until_linked().await;
    cluster.pass(1_000).await;

    assert!(cluster.is_syncing(2));
    assert_eq!(cluster.get(1, "k").await, Reply::value("v"));
}

/// Hearing all of node 0 takes far longer than the sync timeout. That is no reason to give node 2 up, which alone has
/// the last write and is out of reach for a moment only.
#[tokio::test(start_paused = true)]
async fn the_sync_timeout_does_not_run_while_there_is_something_to_hear() {
    let cluster = Setup::new(3, (3, 2, 2)).with(|config| config.sync_timeout_ms = 3_000).start().await;
    cluster.isolate(0);
    cluster.until_missed(0).await;
    assert!(cluster.set(1, "k", "v").await.is_done());
    cluster.network.heal_all();
    cluster.until_linked().await;
    for (from, to) in [(0, 1), (1, 0)] {
        cluster.network.set_delay(index(from), index(to), Duration::from_millis(50));
    }
    cluster.network.cut(index(1), index(2));
    cluster.start(1);
    cluster.pass(27_000).await;
    assert!(cluster.is_syncing(1));

    cluster.network.heal_all();
    cluster.until_whole().await;

    assert_eq!(cluster.value_at(1, "k").as_deref(), Some("v"));
}
