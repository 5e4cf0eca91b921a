//! Groups: what clients ask for at the same time leaves as one batch, and each hears of his own.

use std::sync::Arc;

use ringkv::coordinator::{ConsistentHashingKvStore, Operation, Outcome};
use ringkv::peer::NodeCommunicator;

use super::counting::CountingPeers;
use super::*;

/// Writes of different keys.
fn writes(count: usize) -> Vec<Operation> {
    (0..count).map(|number| write(&format!("k{number}"), Some("v"))).collect()
}

/// The coordinator of node 0, which counts the requests that the others get.
fn counted(cluster: &TestCluster) -> (Arc<ConsistentHashingKvStore>, Arc<CountingPeers>) {
    let store = cluster.node(0).store;
    let counting = CountingPeers::around(&store.peers);
    let peers: Arc<dyn NodeCommunicator> = counting.clone();
    (Arc::new(ConsistentHashingKvStore::new(Arc::clone(&store.replica), peers)), counting)
}

/// What comes of operations that join at the same time.
async fn joined(store: &Arc<ConsistentHashingKvStore>, operations: Vec<Operation>) -> Vec<Reply> {
    let join = |operation| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.join(operation).await })
    };
    let asked: Vec<_> = operations.into_iter().map(join).collect();
    let mut replies = Vec::new();
    for outcome in asked {
        replies.push(Reply::from(outcome.await.unwrap()));
    }
    replies
}

#[tokio::test(start_paused = true)]
async fn writes_that_come_at_the_same_time_are_one_request_to_each_replica() {
    let cluster = three().start().await;
    let (store, sent) = counted(&cluster);
    assert_eq!(joined(&store, writes(20)).await, vec![done(); 20]);
    assert_eq!(sent.requests(), 2);
    for number in 0..20 {
        assert_eq!(cluster.get(1, &format!("k{number}")).await, Reply::value("v"));
    }
}

/// A short write in it would have to wait for more than a request's worth of others.
#[tokio::test(start_paused = true)]
async fn more_bytes_than_a_request_holds_are_several_groups() {
    let cluster = three().start().await;
    let (store, sent) = counted(&cluster);
    let long = "v".repeat(4 << 10);
    let operations = (0..40).map(|number| write(&format!("k{number}"), Some(&long))).collect();
    assert_eq!(joined(&store, operations).await, vec![done(); 40]);
    assert_eq!(sent.requests(), 5 * 2);
}

#[tokio::test(start_paused = true)]
async fn writes_that_come_one_after_the_other_do_not_wait_for_each_other() {
    let cluster = three().start().await;
    let (store, sent) = counted(&cluster);
    let began = Instant::now();
    for operation in writes(3) {
        assert_eq!(joined(&store, vec![operation]).await, [done()]);
    }
    assert_eq!((sent.requests(), began.elapsed()), (3 * 2, Duration::ZERO));
}

/// Two of three nodes are gone.
#[tokio::test(start_paused = true)]
async fn without_a_quorum_all_are_told_at_once_that_nothing_was_written() {
    let cluster = left_alone().await;

    let began = Instant::now();
    let replies = cluster.at_once(0, writes(5)).await;

    assert!(replies.iter().all(|reply| matches!(reply, Reply::NotWritten(_))), "{replies:?}");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Node 1 shows something newer of one of the keys, and node 2, which could tell what to make of that, hangs. That write has to
/// wait; the others have their quorum.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_write_of_another() {
    let cluster = three().skews_ms(&[0, 0, 100]).start().await;
    let version = version_of(&cluster, 2);
    cluster.hand(2, 1, PeerRequest::Write { key: b"k1", value: Some(b"newer"), version, expires_at: None });
    cluster.network.freeze(index(2));
    let began = Instant::now();
    let ask = |operation| {
        let cluster = Arc::clone(&cluster);
        tokio::spawn(async move { (cluster.single(0, operation).await, began.elapsed()) })
    };

    let asked: Vec<_> = writes(3).into_iter().map(ask).collect();

    let mut replies = Vec::new();
    for reply in asked {
        replies.push(reply.await.unwrap());
    }
    assert_eq!(replies[0], (done(), Duration::ZERO));
    assert!(matches!(replies[1], (Reply::Indeterminate(_), waited) if waited > Duration::ZERO), "{:?}", replies[1]);
    assert_eq!(replies[2], (done(), Duration::ZERO));
}

/// Both others show something newer of the key, so its writes are refused, and the last of them is stamped anew. The one before it
/// took effect just before that. Neither waits for the third replica's word on another key.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_overtaken_by_that_of_another_client_is_answered_with_it() {
    let cluster = three().skews_ms(&[0, 0, 100]).start().await;
    let version = version_of(&cluster, 2);
    for node in [1, 2] {
        cluster.hand(2, node, PeerRequest::Write { key: b"k", value: Some(b"newer"), version, expires_at: None });
    }
    let began = Instant::now();

    let replies = cluster.at_once(0, vec![write("k", Some("first")), write("k", Some("last"))]).await;

    assert_eq!(replies[0], done());
    assert_eq!(replies[1], Reply::Done { live: true });
    assert_eq!(began.elapsed(), Duration::ZERO);
    for node in cluster.indices() {
        assert_eq!(cluster.get(node, "k").await, Reply::value("last"));
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_writes_of_one_key_the_last_one_stays() {
    let cluster = three().start().await;
    let operations = (0..10).map(|number| write("k", Some(&number.to_string()))).collect();
    assert!(cluster.at_once(0, operations).await.iter().all(Reply::is_done));
    for node in cluster.indices() {
        assert_eq!(cluster.get(node, "k").await, Reply::value("9"));
    }
}

/// What has left is written all the same.
#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_takes_nobody_with_it() {
    let cluster = three().start().await;
    let store = cluster.node(0).store;
    let gone = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.join(write("gone", Some("v"))).await }
    });
    let stays = tokio::spawn(async move { store.join(write("stays", Some("v"))).await });
    tokio::task::yield_now().await;
    gone.abort();

    assert!(matches!(stays.await.unwrap(), Outcome::Written(_)));
    assert!(gone.await.unwrap_err().is_cancelled());
    for key in ["gone", "stays"] {
        assert_eq!(cluster.get(1, key).await, Reply::value("v"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_would_notice_leaves_alone() {
    let (three, five) = (three().start().await, Setup::new(5, (3, 2, 1)).start().await);
    let may_join = |cluster: &TestCluster, value| cluster.node(0).store.may_join(&write("k", value));
    let (short, long) = ("v".repeat(4 << 10), "v".repeat(5 << 10));
    assert!(may_join(&three, Some(&short)));
    assert!(!may_join(&three, Some(&long)));
    assert!(!may_join(&three, None), "a delete tells what was there");
    assert!(!may_join(&five, Some(&short)), "the next key has other replicas");
    let alone = Setup::new(3, (3, 1, 1)).start().await;
    assert!(!may_join(&alone, Some(&short)), "it is answered at once");
}
