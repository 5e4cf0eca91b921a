//! The end of tombstones: they go once nothing older can come any more, and what was deleted stays away.

use super::convergence::{SOON, delete_all, keys, set_all, set_until, unhinted, until_equal};
use super::support::chance::Chance;
use super::*;

/// A tombstone of [`short_lived`] may go after this time at the earliest, and has gone after twice that.
const TOMBSTONE_LIFE_MS: u64 = 1_000 + 12 * 200 + 1_000;

/// Three nodes whose hints and clocks let tombstones go soon.
fn short_lived() -> Setup {
    unhinted().with(|config| {
        config.hint_ttl_ms = 1_000;
        config.max_clock_drift_ms = 1_000;
    })
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

fn tombstones(cluster: &TestCluster) -> Vec<usize> {
    cluster.running().into_iter().map(|node| cluster.node(node).replica().store.counts().tombstones).collect()
}
