//! Clients that choose their own quorum: what they get for it, and what the others keep.

use ringkv::coordinator::{Operation, Quorum};

use super::support::cluster::read;
use super::*;

/// What a client of `node` with its own `(write, read)` quorum is answered.
async fn asked(cluster: &TestCluster, node: usize, (write, read): (u16, u16), operation: Operation) -> Reply {
    let node = cluster.node(node);
    let quorum = Quorum { replicas: cluster.config.replication_factor, write, read };
    let flight = node.store.launch_for(quorum, vec![operation].into(), node.replica().wall.now());
    Reply::from(flight.settle().await.remove(0))
}

/// Two of three nodes are gone. Who is content with one copy goes on writing and reading.
#[tokio::test(start_paused = true)]
async fn a_client_content_with_one_copy_writes_where_others_cannot() {
    let cluster = three().start().await;
    cluster.crash(1);
    cluster.crash(2);
    cluster.until_missed(1).await;
    cluster.until_missed(2).await;

    assert!(matches!(cluster.set(0, "k", "v").await, Reply::NotWritten(_)));
    assert_eq!(asked(&cluster, 0, (1, 1), write("k", Some("v"))).await, done());
    assert_eq!(asked(&cluster, 0, (1, 1), read("k")).await, Reply::value("v"));
    // When the others are back, it reaches them as any other write.
    cluster.start(1);
    cluster.start(2);
    cluster.until_whole().await;
    assert_eq!(cluster.get(2, "k").await, Reply::value("v"));
}

/// One node is gone. Who wants a write on all replicas is told at once that this cannot be, and nothing is left behind.
#[tokio::test(start_paused = true)]
async fn a_client_that_wants_all_copies_is_refused_where_others_are_served() {
    let cluster = three().start().await;
    cluster.crash(2);
    cluster.until_missed(2).await;

    let reply = asked(&cluster, 0, (3, 1), write("k", Some("v"))).await;

    assert_eq!(reply, Reply::NotWritten("NOQUORUM 2 of 3 replicas reachable; nothing was written".to_owned()));
    assert_eq!(cluster.version_at(0, "k"), None);
    assert!(cluster.set(0, "k", "v").await.is_done());
    assert!(matches!(asked(&cluster, 0, (2, 3), read("k")).await, Reply::Unread(_)));
}

/// Node 2 missed a write. A read of one copy there is old; who asks for two gets the new value, and leaves it behind.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_more_copies_sees_what_one_of_them_missed() {
    let cluster = three().hint_bytes_max(0).without_anti_entropy().start().await;
    assert!(cluster.set(0, "k", "old").await.is_done());
    cluster.pass(100).await;
    cluster.isolate(2);
    cluster.until_missed(2).await;
    assert!(cluster.set(0, "k", "new").await.is_done());
    cluster.network.heal_all();
    cluster.until_linked().await;
    assert_eq!(cluster.value_at(2, "k").as_deref(), Some("old"));

    assert_eq!(asked(&cluster, 2, (2, 2), read("k")).await, Reply::value("new"));
}

/// A write that its client wanted on one replica alone lies on one. A reader of two answers it only when it is on as many
/// as the cluster's writes are, so that no later reader misses it.
#[tokio::test(start_paused = true)]
async fn what_a_reader_of_two_has_seen_is_on_a_configured_quorum() {
    let cluster = three().hint_bytes_max(0).without_anti_entropy().start().await;
    cluster.isolate(0);
    cluster.until_missed(0).await;
    assert!(asked(&cluster, 0, (1, 1), write("k", Some("v"))).await.is_done());
    cluster.network.heal_all();
    cluster.until_linked().await;
    assert_eq!(cluster.value_at(1, "k"), None);
    assert_eq!(cluster.value_at(2, "k"), None);

    assert_eq!(asked(&cluster, 0, (1, 2), read("k")).await, Reply::value("v"));

    let holders = cluster.indices().filter(|&node| cluster.value_at(node, "k").is_some()).count();
    assert!(holders >= 2, "{holders} replicas hold it");
}

/// Node 2 missed a write and its clock is behind, so its own write is refused by the two others. Nobody can read it any
/// more, so it is stamped anew, also for a client that wants all three.
#[tokio::test(start_paused = true)]
async fn a_write_refused_by_a_configured_quorum_is_stamped_anew_whatever_its_client_chose() {
    for write_quorum in [2, 3] {
        let cluster = three().skews_ms(&[1000, 1000, 0]).hint_bytes_max(0).without_anti_entropy().start().await;
        cluster.isolate(2);
        cluster.until_missed(2).await;
        assert!(cluster.set(0, "k", "first").await.is_done());
        cluster.network.heal_all();
        cluster.until_linked().await;

        let reply = asked(&cluster, 2, (write_quorum, 2), write("k", Some("second"))).await;

        assert!(reply.is_done(), "W={write_quorum}: {reply:?}");
        assert_eq!(asked(&cluster, 1, (2, 2), read("k")).await, Reply::value("second"), "W={write_quorum}");
    }
}
