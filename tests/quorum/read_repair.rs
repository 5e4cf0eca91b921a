//! Read repair: what a read finds out about replicas that are not equal is mended, before its answer with R > 1, and
//! behind it with R = 1. Hints are switched off, so that nothing else repairs.

use std::sync::atomic::Ordering;

use super::*;

/// R = 1, and this share of reads is compared.
fn compared(chance: f64) -> Setup {
    three().hint_bytes_max(0).with(|config| config.read_repair_chance = chance)
}

/// Answers found stale, and replicas repaired, by the reads of `node` so far.
fn counts(cluster: &TestCluster, node: usize) -> (u64, u64) {
    let node = cluster.node(node);
    let convergence = &node.replica().convergence;
    (convergence.stale_reads.load(Ordering::Relaxed), convergence.repairs_by_read.load(Ordering::Relaxed))
}

/// Node 2 has missed the writes of these keys.
async fn with_stale_node_2(setup: Setup, keys: &[&str]) -> std::sync::Arc<TestCluster> {
    let cluster = setup.start().await;
    for key in keys {
        assert!(cluster.set(0, key, "old").await.is_done());
    }
    cluster.isolate(2);
    cluster.until_missed(2).await;
    for key in keys {
        assert!(cluster.set(0, key, "new").await.is_done());
    }
    cluster.network.heal_all();
    cluster.until_linked().await;
    cluster
}

#[tokio::test(start_paused = true)]
async fn one_read_of_any_replica_heals_the_one_that_is_stale() {
    for reader in [0, 1, 2] {
        let cluster = with_stale_node_2(compared(1.0), &["k"]).await;
        let began = Instant::now();
        let answer = if reader == 2 { "old" } else { "new" };
        assert_eq!(cluster.get(reader, "k").await, Reply::value(answer), "the nearest copy answers");
        assert_eq!(began.elapsed(), Duration::ZERO, "and waits for nothing");

        cluster.pass(100).await;

        assert_eq!(cluster.value_at(2, "k").as_deref(), Some("new"));
        assert_eq!(counts(&cluster, reader), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_chance_of_zero_no_read_is_compared() {
    let cluster = with_stale_node_2(compared(0.0), &["k"]).await;
    assert_eq!(cluster.get(2, "k").await, Reply::value("old"));
    cluster.pass(1000).await;
    assert_eq!(cluster.value_at(2, "k").as_deref(), Some("old"));
    assert_eq!(counts(&cluster, 2), (0, 0));
}

/// The reader keeps no copy itself, so its reads go to peers.
#[tokio::test(start_paused = true)]
async fn reads_that_peers_answer_are_compared_too() {
    let setup = Setup::new(5, (3, 2, 1)).hint_bytes_max(0).with(|config| config.read_repair_chance = 1.0);
    let cluster = setup.start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    cluster.isolate(2);
    cluster.until_missed(2).await;
    assert!(cluster.set(0, &key, "v").await.is_done());
    cluster.network.heal_all();
    cluster.until_linked().await;

    assert_eq!(cluster.get(4, &key).await, Reply::value("v"));
    cluster.pass(100).await;

    assert_eq!(cluster.value_at(2, &key).as_deref(), Some("v"));
    assert_eq!(counts(&cluster, 4), (1, 1));
}

/// Nothing comes of it but the comparison of those that are there, at once.
#[tokio::test(start_paused = true)]
async fn replicas_are_compared_while_one_is_away() {
    let cluster =
        Setup::new(4, (4, 2, 1)).hint_bytes_max(0).with(|config| config.read_repair_chance = 1.0).start().await;
    cluster.isolate(2);
    cluster.until_missed(2).await;
    assert!(cluster.set(0, "k", "v").await.is_done());
    cluster.network.heal_all();
    cluster.until_linked().await;
    cluster.crash(3);
    cluster.until_missed(3).await;

    assert_eq!(cluster.get(0, "k").await, Reply::value("v"));
    cluster.pass(100).await;

    assert_eq!(cluster.value_at(2, "k").as_deref(), Some("v"));
}

/// Reads of equal replicas must not count as anything.
#[tokio::test(start_paused = true)]
async fn equal_replicas_are_not_repaired() {
    let cluster = compared(1.0).start().await;
    assert!(cluster.set(0, "k", "v").await.is_done());
    for node in cluster.indices() {
        assert_eq!(cluster.get(node, "k").await, Reply::value("v"));
        assert_eq!(cluster.get(node, "none").await, Reply::nil());
        cluster.pass(100).await;
        assert_eq!(counts(&cluster, node), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_quorum_read_counts_what_it_repairs() {
    let setup = Setup::new(3, (3, 2, 2)).hint_bytes_max(0);
    let cluster = with_stale_node_2(setup, &["k"]).await;
    cluster.crash(1);
    cluster.until_missed(1).await;

    assert_eq!(cluster.get(2, "k").await, Reply::value("new"));

    assert_eq!(cluster.value_at(2, "k").as_deref(), Some("new"));
    assert_eq!(counts(&cluster, 2), (1, 1));
}
