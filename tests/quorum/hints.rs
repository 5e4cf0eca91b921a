//! Hints: what a replica missed comes to it when it is back, and nothing else does. Nothing here is ever read through a
//! quorum, so nothing but a hint brings a record anywhere.

use std::sync::atomic::Ordering;

use ringkv::replica::HintStatus;

use super::*;

/// How many hints of `node` were taken so far.
fn repairs(cluster: &TestCluster, node: usize) -> u64 {
    cluster.node(node).replica().convergence.repairs_by_hint.load(Ordering::Relaxed)
}

/// The cluster with node 2 cut off from all others, and missed by them.
async fn without_node_2(setup: Setup) -> std::sync::Arc<TestCluster> {
    let cluster = setup.start().await;
    cluster.isolate(2);
    cluster.until_missed(2).await;
    cluster
}

async fn heal(cluster: &TestCluster) {
    cluster.network.heal_all();
    cluster.until_linked().await;
}

#[track_caller]
fn assert_same_everywhere(cluster: &TestCluster, key: &str) {
    let versions: Vec<_> = cluster.replicas_of(key).iter().map(|&node| cluster.version_at(node, key)).collect();
    assert!(versions[0].is_some() && versions.iter().all(|version| *version == versions[0]), "{key}: {versions:?}");
}

/// Every key is written twice while node 2 is away. Were the hints delivered out of order, the older ones would be
/// refused and not counted.
#[tokio::test(start_paused = true)]
async fn a_replica_that_was_cut_off_gets_all_that_it_missed_in_order() {
    let cluster = without_node_2(three()).await;
    for number in 0..200 {
        let (coordinator, key) = (number % 2, format!("k{}", number % 100));
        assert!(cluster.set(coordinator, &key, &format!("v{number}")).await.is_done());
    }
    assert_eq!(cluster.hints(0, 2).count + cluster.hints(1, 2).count, 200);
    assert_eq!(cluster.hints(0, 1), HintStatus::default(), "it missed nothing");

    heal(&cluster).await;
    cluster.until_paid(2).await;

    for number in 0..100 {
        let key = format!("k{number}");
        assert_same_everywhere(&cluster, &key);
        assert_eq!(cluster.value_at(2, &key), Some(format!("v{}", number + 100)));
    }
    assert_eq!(repairs(&cluster, 0) + repairs(&cluster, 1), 200);
    assert_eq!(cluster.hints(0, 2), HintStatus::default(), "no memory is left behind");
}

/// The link still counts as up when the write leaves: nobody knows that it is lost until its answer is overdue, long
/// after the client has been answered.
#[tokio::test(start_paused = true)]
async fn a_write_whose_third_answer_never_comes_is_owed() {
    let cluster = three().start().await;
    cluster.isolate(2);
    assert_eq!(cluster.set(0, "k", "v").await, done());
    assert_eq!(cluster.hints(0, 2).count, 0);

    cluster.until("the hint is there", |cluster| cluster.hints(0, 2).count == 1).await;
    heal(&cluster).await;
    cluster.until_paid(2).await;

    assert_eq!(cluster.value_at(2, "k").as_deref(), Some("v"));
}

/// A tombstone is owed like any other record, or the key would come back with the replica that missed its deletion.
#[tokio::test(start_paused = true)]
async fn a_delete_is_owed_too() {
    let cluster = three().start().await;
    assert!(cluster.set(0, "k", "v").await.is_done());
    cluster.isolate(2);
    cluster.until_missed(2).await;
    assert_eq!(cluster.delete(1, "k").await, Reply::Done { live: true });
    assert_eq!(cluster.value_at(2, "k").as_deref(), Some("v"));

    heal(&cluster).await;
    cluster.until_paid(2).await;

    assert_same_everywhere(&cluster, "k");
    assert_eq!(cluster.value_at(2, "k"), None);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_without_a_copy_of_its_own_owes_what_it_wrote() {
    let cluster = without_node_2(Setup::new(5, (3, 2, 1))).await;
    let key = cluster.key_on(&[0, 1, 2]);
    assert!(cluster.set(4, &key, "v").await.is_done());
    assert_eq!(cluster.hints(4, 2).count, 1);

    heal(&cluster).await;
    cluster.until_paid(2).await;

    assert_same_everywhere(&cluster, &key);
}

/// The network fails again and again while a megabyte is on its way.
#[tokio::test(start_paused = true)]
async fn hints_survive_repeated_cuts() {
    let cluster = without_node_2(three().hint_bytes_max(4 << 20)).await;
    let value = "v".repeat(10_000);
    for number in 0..100 {
        assert!(cluster.set(0, &format!("k{number}"), &value).await.is_done());
    }
    let mut left = vec![cluster.hints(0, 2).count];
    while *left.last().unwrap() > 0 {
        heal(&cluster).await;
        cluster.pass(10).await;
        cluster.isolate(2);
        cluster.until_missed(2).await;
        left.push(cluster.hints(0, 2).count);
    }
    assert!(left.len() > 3, "there were some cuts: {left:?}");
    for number in 0..100 {
        assert_same_everywhere(&cluster, &format!("k{number}"));
    }
    assert_eq!(cluster.hints(0, 2), HintStatus::default());
}

/// The process that missed the write is gone; the one that comes instead has missed everything.
#[tokio::test(start_paused = true)]
async fn a_restarted_replica_is_owed_what_the_earlier_process_missed() {
    let cluster = three().start().await;
    cluster.crash(2);
    cluster.until_missed(2).await;
    for number in 0..10 {
        assert!(cluster.set(0, &format!("k{number}"), "v").await.is_done());
    }
    cluster.start(2);
    cluster.until_whole().await;
    cluster.until_paid(2).await;

    for number in 0..10 {
        assert_same_everywhere(&cluster, &format!("k{number}"));
    }
    assert_eq!(cluster.hints(0, 2), HintStatus::default(), "whether as hints or by catching up");
}

#[tokio::test(start_paused = true)]
async fn at_the_bound_hints_are_dropped_and_counted() {
    let cluster = without_node_2(three().hint_bytes_max(10_000)).await;
    for number in 0..100 {
        assert!(cluster.set(0, &format!("k{number}"), "v").await.is_done());
    }
    let HintStatus { count, bytes, dropped, .. } = cluster.hints(0, 2);
    assert!(count > 10 && count + dropped == 100 && bytes <= 10_000, "{count} {dropped} {bytes}");

    heal(&cluster).await;
    cluster.until_paid(2).await;

    let missing = (0..100).filter(|number| cluster.version_at(2, &format!("k{number}")).is_none()).count();
    assert_eq!(missing as u64, dropped);
    assert_eq!(cluster.hints(0, 2), HintStatus { dropped, ..HintStatus::default() });
}

/// Tombstones are dropped on the promise that no hint comes later than that.
#[tokio::test(start_paused = true)]
async fn a_hint_is_never_sent_at_the_end_of_its_life() {
    for (away_ms, arrives) in [(700, true), (1000, false)] {
        let cluster = without_node_2(three().with(|config| config.hint_ttl_ms = 1000)).await;
        assert!(cluster.set(0, "k", "v").await.is_done());
        assert_eq!(cluster.hints(0, 2).count, 1);
        cluster.pass(away_ms).await;
        assert_eq!(cluster.hints(0, 2).oldest_age_ms, away_ms);

        heal(&cluster).await;
        cluster.until_paid(2).await;

        assert_eq!(cluster.version_at(2, "k").is_some(), arrives, "after {away_ms} ms");
        assert_eq!(cluster.hints(0, 2), HintStatus { dropped: u64::from(!arrives), ..HintStatus::default() });
    }
}

/// Memory must not wait for a peer that never comes back.
#[tokio::test(start_paused = true)]
async fn old_hints_are_dropped_while_the_peer_is_away() {
    let cluster = without_node_2(three().with(|config| config.hint_ttl_ms = 5000)).await;
    assert!(cluster.set(0, "k", "v").await.is_done());
    cluster.pass(4_900).await;
    assert_eq!(cluster.hints(0, 2).count, 1);
    cluster.pass(1_100).await;
    assert_eq!(cluster.hints(0, 2), HintStatus { dropped: 1, ..HintStatus::default() });
}

#[tokio::test(start_paused = true)]
async fn a_flush_drops_what_is_owed() {
    let cluster = without_node_2(three()).await;
    for coordinator in [0, 1] {
        assert!(cluster.set(coordinator, &format!("k{coordinator}"), "v").await.is_done());
    }
    assert!(cluster.flush(0).await.is_done());
    assert!(cluster.set(1, "after", "v").await.is_done());
    assert_eq!(cluster.hints(0, 2), HintStatus::default());
    assert_eq!(cluster.hints(1, 2).count, 1, "the one that came after");

    heal(&cluster).await;
    cluster.until_paid(2).await;

    assert_same_everywhere(&cluster, "after");
    for key in ["k0", "k1"] {
        assert_eq!(cluster.get(2, key).await, Reply::nil());
    }
}

/// Node 1 is down, node 2 refuses (its clock is behind): the write is taken back, and nobody owes it to anybody.
#[tokio::test(start_paused = true)]
async fn a_reverted_write_leaves_no_hint() {
    let cluster = three().skews_ms(&[0, 0, -HOUR_MS]).start().await;
    cluster.crash(1);
    cluster.until_missed(1).await;
    let reply = cluster.set(0, "k", "v").await;
    assert!(matches!(reply, Reply::Reverted(_)), "{reply:?}");
    cluster.pass(1000).await;
    for peer in [1, 2] {
        assert_eq!(cluster.hints(0, peer), HintStatus::default());
    }
    assert_eq!(cluster.node(0).replica().convergence.reverted_writes.load(Ordering::Relaxed), 1);
}

/// Of two writes of one pipeline one has its quorum and one fails, both missed by node 2, whose link breaks later.
/// Only the acknowledged one is owed.
#[tokio::test(start_paused = true)]
async fn of_one_pipeline_only_acknowledged_writes_are_owed() {
    let cluster = Setup::new(5, (3, 2, 1)).start().await;
    let on = |nodes: [usize; 3]| {
        let has_all = |key: &String| nodes.iter().all(|node| cluster.replicas_of(key).contains(node));
        (0..1000).map(|number| format!("k{number}")).find(has_all).unwrap()
    };
    let (failing, done) = (on([0, 1, 2]), on([2, 3, 4]));
    for node in [0, 1, 2] {
        cluster.isolate(node);
    }
    let replies = cluster.batch(4, vec![write(&failing, Some("v")), write(&done, Some("v"))]).await;
    assert!(matches!(replies[0], Reply::Indeterminate(_)) && replies[1].is_done(), "{replies:?}");

    cluster.pass(1000).await;

    assert_eq!(cluster.hints(4, 2).count, 1);
    assert_eq!((cluster.hints(4, 0).count, cluster.hints(4, 1).count), (0, 0));
    heal(&cluster).await;
    cluster.until_paid(2).await;
    assert_eq!(cluster.value_at(2, &done).as_deref(), Some("v"));
    assert_eq!(cluster.version_at(2, &failing), None);
}

/// A write that so many replicas refused as stale that it can never be read is stamped anew. Only its last stamp was acknowledged, and only that
/// is owed to the one that missed both.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_stamped_anew_is_owed_once() {
    let cluster = Setup::new(5, (3, 2, 1)).skews_ms(&[30_000, 30_000, 0, 0, -20_000]).start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    assert!(cluster.set(0, &key, "before").await.is_done());
    cluster.isolate(2);

    assert!(cluster.set(4, &key, "after").await.is_done());

    cluster.pass(1000).await;
    assert_eq!(cluster.hints(4, 2).count, 1);
    heal(&cluster).await;
    cluster.until_paid(2).await;
    assert_same_everywhere(&cluster, &key);
    assert_eq!(cluster.value_at(2, &key).as_deref(), Some("after"));
}
