//! Replicas become equal by themselves, and stay so: anti-entropy, and the end of tombstones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringkv::coordinator::{Operation, OperationKind};
use ringkv::peer::{Exchange, LinkState, LinkStatus, NodeCommunicator, RequestBatch};
use ringkv::replica::anti_entropy;
use ringkv::ring::NodeIndex;
use ringkv::store::Record;

use super::support::chance::Chance;
use super::*;

/// All replicas have to be equal so soon after the last fault.
const SOON: Duration = Duration::from_secs(10);

/// A tombstone of [`short_lived`] may go after this time at the earliest, and has gone after twice that.
const TOMBSTONE_LIFE_MS: u64 = 1_000 + 12 * 200 + 1_000;

/// Three nodes that keep no hints, which would leave little to find by comparing.
fn unhinted() -> Setup {
    three().hint_bytes_max(0)
}

/// Three nodes whose hints and clocks let tombstones go soon.
fn short_lived() -> Setup {
    unhinted().with(|config| {
        config.hint_ttl_ms = 1_000;
        config.max_clock_drift_ms = 1_000;
    })
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
async fn until_equal(cluster: &TestCluster, keys: &[String]) {
    let began = Instant::now();
    cluster.until("all replicas are equal", |cluster| are_equal(cluster, keys)).await;
    assert!(began.elapsed() <= SOON, "{:?}", began.elapsed());
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("k{number}")).collect()
}

fn set_until(cluster: &TestCluster, key: &str, ms: u64) -> Operation {
    let mut operation = write(key, Some("short-lived"));
    let expires_at = Some(cluster.node(0).replica().wall.now().after(Duration::from_millis(ms)));
    operation.kind = OperationKind::Write { value: Some("short-lived".into()), expires_at };
    operation
}

fn repairs(cluster: &TestCluster, node: usize) -> u64 {
    cluster.node(node).replica().convergence.repairs_by_anti_entropy.load(Ordering::Relaxed)
}

fn tombstones(cluster: &TestCluster) -> Vec<usize> {
    cluster.running().into_iter().map(|node| cluster.node(node).replica().store.counts().tombstones).collect()
}

async fn set_all(cluster: &TestCluster, node: usize, keys: &[String], value: &str) {
    let operations = keys.iter().map(|key| write(key, Some(value))).collect();
    assert!(cluster.batch(node, operations).await.iter().all(Reply::is_done));
}

async fn delete_all(cluster: &TestCluster, node: usize, keys: &[String]) {
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

/// Counts what anti-entropy sends.
struct CountingPeers {
    inner: Arc<dyn NodeCommunicator>,
    requests: AtomicUsize,
}

impl NodeCommunicator for CountingPeers {
    fn exchange(&self, to: NodeIndex, batch: RequestBatch) -> Exchange {
        self.requests.fetch_add(batch.len(), Ordering::Relaxed);
        self.inner.exchange(to, batch)
    }

    fn link(&self, to: NodeIndex) -> LinkState {
        self.inner.link(to)
    }

    fn process(&self, to: NodeIndex) -> StartNumber {
        self.inner.process(to)
    }

    fn status(&self, to: NodeIndex) -> Option<LinkStatus> {
        self.inner.status(to)
    }
}

#[tokio::test(start_paused = true)]
async fn equal_replicas_exchange_one_message_per_peer_and_round() {
    let cluster = unhinted().without_anti_entropy().start().await;
    let keys = keys(500);
    set_all(&cluster, 0, &keys, "v").await;
    cluster.pass(1_000).await;
    let store = cluster.node(0).store;
    let counting = Arc::new(CountingPeers { inner: Arc::clone(&store.peers), requests: AtomicUsize::new(0) });
    let peers: Arc<dyn NodeCommunicator> = counting.clone();
    let comparing = anti_entropy::run(Arc::clone(&store.replica), peers, Some(Duration::from_secs(1)));

    let _ = tokio::time::timeout(Duration::from_millis(9_500), comparing).await;

    assert_eq!(counting.requests.load(Ordering::Relaxed), 10 * 2);
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

#[tokio::test(start_paused = true)]
async fn tombstones_go_when_hints_are_over_and_all_replicas_agree_and_not_before() {
    let cluster = short_lived().start().await;
    cluster.pass(5_000).await;
    let keys = keys(50);
    set_all(&cluster, 0, &keys, "v").await;
    delete_all(&cluster, 1, &keys[..40]).await;
    let expiring = keys[40..].iter().map(|key| set_until(&cluster, key, 100)).collect();
    assert!(cluster.batch(0, expiring).await.iter().all(Reply::is_done));
    cluster.pass(1_000).await;
    assert_eq!(tombstones(&cluster), [50; 3]);

    cluster.pass(TOMBSTONE_LIFE_MS - 1_100).await;
    assert_eq!(tombstones(&cluster), [50; 3], "their life is not over");
    cluster.until("all have gone", |cluster| tombstones(cluster) == [0; 3]).await;

    assert!(cluster.age_ms() < 30_000, "{}", cluster.age_ms());
    for node in cluster.indices() {
        assert_eq!(cluster.node(node).replica().store.counts().keys, 0);
        assert_eq!(cluster.get(node, "k1").await, Reply::nil());
    }
}

/// Node 2 sleeps through the deletion and through the life of every hint, with the old values in its memory.
#[tokio::test(start_paused = true)]
async fn deleted_keys_do_not_come_back_with_a_replica_that_was_away() {
    let cluster = short_lived().start().await;
    let keys = keys(50);
    set_all(&cluster, 0, &keys, "v").await;
    cluster.isolate(2);
    cluster.until_missed(2).await;
    delete_all(&cluster, 0, &keys).await;
    cluster.pass(10 * TOMBSTONE_LIFE_MS).await;
    assert_eq!(tombstones(&cluster)[..2], [50; 2], "one replica may still have what they stand against");

    cluster.network.heal_all();
    cluster.until_linked().await;
    until_equal(&cluster, &keys).await;
    assert_eq!(cluster.value_at(2, "k1"), None);
    cluster.until("all have gone", |cluster| tombstones(cluster) == [0; 3]).await;
    cluster.pass(30_000).await;

    for node in cluster.indices() {
        assert_eq!(cluster.node(node).replica().store.counts().keys, 0, "nothing has come back at node {node}");
    }
}

/// A node that restarted fetches tombstones with all the rest; they do not wander about for ever.
#[tokio::test(start_paused = true)]
async fn tombstones_do_not_wander() {
    let cluster = Setup::new(3, (3, 2, 2))
        .with(|config| (config.hint_ttl_ms, config.max_clock_drift_ms) = (1_000, 1_000))
        .start()
        .await;
    let keys = keys(20);
    set_all(&cluster, 0, &keys, "v").await;
    delete_all(&cluster, 0, &keys).await;
    cluster.pass(5_000).await;
    cluster.start(1);
    cluster.until_whole().await;
    assert_eq!(tombstones(&cluster)[1], 20);

    // The others drop theirs first; reading must not bring them back there.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        for node in cluster.indices() {
            assert_eq!(cluster.get(node, "k1").await, Reply::nil());
        }
        cluster.pass(500).await;
    }

    assert_eq!(tombstones(&cluster), [0; 3]);
}

/// A write that was on its way for longer than any message may be comes after its tombstone was dropped.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_far_too_late_brings_nothing_back() {
    let cluster = short_lived().start().await;
    let late = version_of(&cluster, 1);
    assert!(cluster.set(0, "k", "v").await.is_done());
    assert_eq!(cluster.delete(0, "k").await, Reply::Done { live: true });
    cluster.until("it has gone", |cluster| tombstones(cluster) == [0; 3]).await;

    let (key, value, expires_at) = (b"k".as_slice(), Some(b"late".as_slice()), None);
    for node in cluster.indices() {
        cluster.hand(1, node, PeerRequest::Write { key, value, version: late, expires_at });
        cluster.hand(1, node, PeerRequest::Copy { key, value, version: late, expires_at });
        assert_eq!(cluster.get(node, "k").await, Reply::nil());
    }
    assert!(cluster.set(2, "k", "recreated").await.is_done());
    for node in cluster.indices() {
        assert_eq!(cluster.get(node, "k").await, Reply::value("recreated"));
    }
}

/// What a key may be in the end: the last acknowledged write, or one after it whose outcome nobody knows.
#[derive(Default)]
struct Expected {
    last: Option<String>,
    unknown: Vec<Option<String>>,
}

/// Keys are written and deleted while nodes are cut off, and lose their memory, for longer and shorter than tombstones
/// live. However that is interleaved with their end, no key comes back, none is lost, and in the end no tombstone is left.
#[tokio::test(start_paused = true)]
async fn no_deleted_key_comes_back_however_absences_and_tombstones_interleave() {
    for seed in 0..4 {
        let mut chance = Chance::new(seed);
        let (nodes, quorum) = chance.pick(&[(3, (3, 2, 1)), (3, (3, 2, 2)), (4, (3, 2, 1)), (4, (4, 3, 1))]);
        let setup = Setup::new(nodes, quorum).seed(seed);
        let cluster =
            setup.with(|config| (config.hint_ttl_ms, config.max_clock_drift_ms) = (1_000, 1_000)).start().await;
        let mut expected: Vec<(String, Expected)> =
            keys(12).into_iter().map(|key| (key, Expected::default())).collect();
        for absence in 0..6 {
            let absent = begin_absence(&cluster, &mut chance).await;
            for step in 0..20 {
                write_something(&cluster, &mut chance, 100 * absence + step, &mut expected).await;
                cluster.pass(chance.within(0..100)).await;
            }
            cluster.pass(chance.pick(&[0, 3 * TOMBSTONE_LIFE_MS])).await;
            if !cluster.is_running(absent) {
                cluster.start(absent);
            }
            cluster.network.heal_all();
            cluster.until_whole().await;
            cluster.pass(SOON.as_secs() * 1000).await;
            assert_as_expected(&cluster, &expected, seed);
        }
        cluster.pass(8 * TOMBSTONE_LIFE_MS).await;
        assert_as_expected(&cluster, &expected, seed);
        assert_eq!(tombstones(&cluster).iter().sum::<usize>(), 0, "seed {seed}");
    }
}

async fn write_something(cluster: &TestCluster, chance: &mut Chance, step: usize, expected: &mut [(String, Expected)]) {
    let at = chance.index(expected.len());
    let (key, expected) = &mut expected[at];
    let value = (!chance.happens(60)).then(|| format!("v{step}"));
    let node = chance.pick(&cluster.running());
    let reply = match &value {
        Some(value) => cluster.set(node, key, value).await,
        None => cluster.delete(node, key).await,
    };
    match reply {
        Reply::Done { .. } => *expected = Expected { last: value, unknown: Vec::new() },
        Reply::NotWritten(_) | Reply::Reverted(_) => {}
        _ => expected.unknown.push(value),
    }
}

/// One node is cut off, or dies: which one.
async fn begin_absence(cluster: &TestCluster, chance: &mut Chance) -> usize {
    let node = chance.index(cluster.config.nodes.len());
    match chance.within(0..8) {
        0 => cluster.crash(node),
        1 => cluster.start(node),
        _ => cluster.isolate(node),
    }
    if chance.happens(70) {
        cluster.pass(500).await;
    }
    node
}

fn assert_as_expected(cluster: &TestCluster, expected: &[(String, Expected)], seed: u64) {
    for (key, Expected { last, unknown }) in expected {
        let replicas = cluster.replicas_of(key);
        let shown: Vec<_> = replicas.iter().map(|&node| cluster.value_at(node, key)).collect();
        assert!(shown.iter().all(|value| value == &shown[0]), "seed {seed}: {key} differs: {shown:?}");
        let is_possible = &shown[0] == last || unknown.contains(&shown[0]);
        assert!(is_possible, "seed {seed}: {key} is {:?} instead of {last:?} or {unknown:?}", shown[0]);
    }
}
