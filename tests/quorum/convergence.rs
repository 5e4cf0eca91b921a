//! Replicas become equal by themselves, and stay so.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ringkv::coordinator::{Operation, OperationKind};
use ringkv::peer::NodeCommunicator;
use ringkv::replica::anti_entropy;
use ringkv::store::Record;

use super::counting::CountingPeers;
use super::*;

/// All replicas have to be equal so soon after the last fault.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Three nodes that keep no hints, which would leave little to find by comparing.
pub(crate) fn unhinted() -> Setup {
    three().hint_bytes_max(0)
}

/// What a node shows, as a value or nothing, without the difference between a tombstone and none.
fn live_version(cluster: &TestCluster, node: usize, key: &str) -> Option<Version> {
    let node = cluster.node(node);
    let replica = node.replica();
    replica.store.read(slot(key), key.as_bytes(), replica.wall.now(), |lookup| lookup.live().map(Record::version))
}

/// Whether all nodes, which are replicas of every key here, show the same of these.
fn are_equal(cluster: &TestCluster, keys: &[String]) -> bool {
    let shown = |node, key: &String| live_version(cluster, node, key);
    keys.iter().all(|key| cluster.indices().skip(1).all(|node| shown(node, key) == shown(0, key)))
}

/// Waits until all replicas of these keys are equal; they have to be soon.
pub(crate) async fn until_equal(cluster: &TestCluster, keys: &[String]) {
    let began = Instant::now();
    cluster.until("all replicas are equal", |cluster| are_equal(cluster, keys)).await;
    assert!(began.elapsed() <= SOON, "{:?}", began.elapsed());
}

pub(crate) fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("k{number}")).collect()
}

pub(crate) fn set_until(cluster: &TestCluster, key: &str, ms: u64) -> Operation {
    let mut operation = write(key, Some("short-lived"));
    let expires_at = Some(cluster.node(0).replica().wall.now().after(Duration::from_millis(ms)));
    operation.kind = OperationKind::Write { value: Some("short-lived".into()), expires_at };
    operation
}

fn repairs(cluster: &TestCluster, node: usize) -> u64 {
    cluster.node(node).replica().convergence.repairs_by_anti_entropy.load(Ordering::Relaxed)
}

pub(crate) async fn set_all(cluster: &TestCluster, node: usize, keys: &[String], value: &str) {
    let operations = keys.iter().map(|key| write(key, Some(value))).collect();
    assert!(cluster.batch(node, operations).await.iter().all(Reply::is_done));
}

pub(crate) async fn delete_all(cluster: &TestCluster, node: usize, keys: &[String]) {
    let operations = keys.iter().map(|key| write(key, None)).collect();
    assert!(cluster.batch(node, operations).await.iter().all(Reply::is_done));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_cut_off_converges_without_any_read() {
    let cluster = unhinted().start().await;
    let keys = keys(60);
    set_all(&cluster, 0, &keys[..40], "old").await;
    cluster.isolate(2);
    cluster.until_missed(2).await;
    delete_all(&cluster, 0, &keys[..10]).await;
    set_all(&cluster, 1, &keys[10..20], "new").await;
    let expiring = keys[20..30].iter().map(|key| set_until(&cluster, key, 500)).collect();
    assert!(cluster.batch(0, expiring).await.iter().all(Reply::is_done));
    set_all(&cluster, 0, &keys[40..], "fresh").await;
    cluster.pass(1_000).await;

    cluster.network.heal_all();
    cluster.until_linked().await;
    until_equal(&cluster, &keys).await;

    for (number, key) in keys.iter().enumerate() {
        let expected = match number {
            0..10 | 20..30 => None,
            10..20 => Some("new"),
            30..40 => Some("old"),
            _ => Some("fresh"),
        };
        assert_eq!(cluster.value_at(2, key).as_deref(), expected, "{key}");
    }
    assert_eq!(repairs(&cluster, 2), 50, "each record that was missed, once");
    assert_eq!((repairs(&cluster, 0), repairs(&cluster, 1)), (0, 0));
    cluster.pass(2_000).await;
    let agreement = cluster.node(0).replica().agreement(index(2));
    assert_eq!((agreement.equal, agreement.differing), (16384, 0));
    assert!(agreement.agreed_at.is_some() && agreement.agreed_at == agreement.compared_at);
}

/// Both sides of a cut have something that the other lacks, in nearly every slot.
#[tokio::test(start_paused = true)]
async fn replicas_converge_soon_when_every_slot_differs() {
    let cluster = Setup::new(3, (3, 1, 1)).start().await;
    let keys = keys(20_000);
    let (left, right) = keys.split_at(10_000);
    cluster.isolate(2);
    cluster.until_missed(2).await;
    for part in 0..10 {
        set_all(&cluster, 0, &left[part * 1000..][..1000], "left").await;
        set_all(&cluster, 2, &right[part * 1000..][..1000], "right").await;
    }

    cluster.network.heal_all();
    cluster.until_linked().await;
    let began = Instant::now();
    let counts = |cluster: &TestCluster, node| cluster.node(node).replica().store.counts().live_keys;
    cluster.until("all have all", |cluster| (0..3).all(|node| counts(cluster, node) == 20_000)).await;

    assert!(began.elapsed() <= SOON, "{:?}", began.elapsed());
}

/// A write is on its way to others at any moment. That is no difference to be mended.
#[tokio::test(start_paused = true)]
async fn writes_cause_no_repairs() {
    let cluster = unhinted().start().await;
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        cluster.network.set_delay(index(from), index(to), Duration::from_millis(5 + 7 * (from + 2 * to) as u64));
    }
    let keys = keys(200);
    for round in 0..300 {
        set_all(&cluster, round % 3, &keys[(round * 7) % 190..][..10], &round.to_string()).await;
    }
    assert!(cluster.age_ms() > 10_000);
    until_equal(&cluster, &keys).await;
    let repairs: Vec<u64> = cluster.indices().map(|node| repairs(&cluster, node)).collect();
    assert_eq!(repairs, [0; 3]);
}

#[tokio::test(start_paused = true)]
async fn equal_replicas_exchange_one_message_per_peer_and_round() {
    let cluster = unhinted().without_anti_entropy().start().await;
    let keys = keys(500);
    set_all(&cluster, 0, &keys, "v").await;
    cluster.pass(1_000).await;
    let store = cluster.node(0).store;
    let counting = CountingPeers::around(&store.peers);
    let peers: Arc<dyn NodeCommunicator> = counting.clone();
    let comparing = anti_entropy::run(Arc::clone(&store.replica), peers, Some(Duration::from_secs(1)));

    let _ = tokio::time::timeout(Duration::from_millis(9_500), comparing).await;

    assert_eq!(counting.requests(), 10 * 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_compares_when_it_is_switched_off() {
    let cluster = unhinted().without_anti_entropy().start().await;
    cluster.isolate(2);
    cluster.until_missed(2).await;
    assert!(cluster.set(0, "k", "v").await.is_done());
    cluster.network.heal_all();
    cluster.pass(20_000).await;
    assert_eq!(cluster.version_at(2, "k"), None);
    assert_eq!(cluster.node(2).replica().agreement(index(0)).compared_at, None);
}

/// One slot holds so many keys that they are listed in pages, to a node that was away as to one that lost its memory.
#[tokio::test(start_paused = true)]
async fn a_huge_slot_is_copied_in_pages() {
    let cluster = unhinted().start().await;
    let keys: Vec<String> = (0..6_000).map(|number| format!("{{tag}}{number}")).collect();
    set_all(&cluster, 0, &keys[..3_000], "v").await;
    cluster.isolate(2);
    cluster.until_missed(2).await;
    set_all(&cluster, 0, &keys[3_000..], "v").await;
    let page = ask(&cluster, 1, 0, PeerRequest::Keys { slot: slot("{tag}"), from: 0 });
    assert!(page.len() < 150_000, "{} bytes", page.len());

    cluster.network.heal_all();
    cluster.until_linked().await;
    until_equal(&cluster, &keys).await;
    assert_eq!(cluster.node(2).replica().store.live_keys(slot("{tag}")), 6_000);

    cluster.start(1);
    cluster.until_whole().await;
    assert!(are_equal(&cluster, &keys));
    let progress = cluster.node(1).replica().sync_progress();
    assert_eq!((progress.slots_total, progress.slots_left, progress.records_fetched), (16384, 0, 6_000));
    assert!(progress.ended.is_some_and(|ended| ended > progress.began));
}

/// Node 2 refuses one record of a slot, for its clock is too far behind the one that stamped it. All others come.
#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_taken_keeps_no_other_from_being_copied() {
    for is_restarted in [false, true] {
        let cluster = unhinted().skews_ms(&[0, 40_000, -30_000]).start().await;
        cluster.isolate(2);
        cluster.until_missed(2).await;
        let keys: Vec<String> = (0..2_000).map(|number| format!("{{tag}}{number:04}")).collect();
        set_all(&cluster, 0, &keys[1..], "v").await;
        assert!(cluster.set(1, &keys[0], "from too far ahead").await.is_done());

        if is_restarted {
            cluster.start(2);
        }
        cluster.network.heal_all();
        cluster.until_linked().await;
        let began = Instant::now();
        let has_all = |cluster: &TestCluster| keys[1..].iter().all(|key| cluster.version_at(2, key).is_some());
        cluster.until("all others are there", has_all).await;

        assert!(began.elapsed() <= Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(cluster.version_at(2, &keys[0]), None);
        assert_eq!(cluster.is_syncing(2), is_restarted);
        cluster.until("the last one as well", |cluster| are_equal(cluster, &keys)).await;
    }
}

/// The flush was carried out by 0 and 1, and what 2 was sent was lost, though its links are up.
#[tokio::test(start_paused = true)]
async fn a_replica_that_missed_a_flush_learns_of_it() {
    let cluster = unhinted().start().await;
    let keys = keys(20);
    set_all(&cluster, 0, &keys, "v").await;
    let version = version_of(&cluster, 0);
    cluster.hand(0, 0, PeerRequest::Flush { version, is_decided: false });
    cluster.hand(0, 1, PeerRequest::Flush { version, is_decided: false });

    until_equal(&cluster, &keys).await;

    for node in cluster.indices() {
        assert_eq!(cluster.value_at(node, "k1"), None);
        assert_eq!(cluster.node(node).replica().store.flush_mark(), version);
    }
}
