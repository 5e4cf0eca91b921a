//! SCAN, KEYS and RANDOMKEY: the keys of the whole cluster from any node, whoever is away.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ringkv::coordinator::{Operation, OperationKind, ScanRange, ScannedKeys};
use ringkv::ring::KeyPlace;

use super::support::chance::Chance;
use super::*;

/// One call of SCAN.
async fn scan(cluster: &TestCluster, node: usize, from: KeyPlace, count: usize) -> ScannedKeys {
    cluster.node(node).store.scan(ScanRange::ALL.from(from), count).await.expect("enough replicas are there")
}

/// A whole iteration, each call at the next of some nodes; `between` is called before each call.
async fn iterate(
    cluster: &TestCluster,
    nodes: &[usize],
    count: usize,
    mut between: impl AsyncFnMut(usize),
) -> Vec<String> {
    let (mut found, mut next, mut calls) = (Vec::new(), Some(KeyPlace::FIRST), 0);
    while let Some(place) = next {
        between(calls).await;
        let scanned = scan(cluster, nodes[calls % nodes.len()], place, count).await;
        assert!(scanned.next.is_none_or(|next| next > place), "a cursor moves on");
        found.extend(scanned.keys.iter().map(|key| String::from_utf8(key.to_vec()).expect("text")));
        next = scanned.next;
        calls += 1;
    }
    found
}

async fn all(cluster: &TestCluster, node: usize) -> Vec<String> {
    let mut found = Vec::new();
    let collect = |key: &[u8]| {
        found.push(String::from_utf8(key.to_vec()).expect("text"));
        true
    };
    cluster.node(node).store.walk(ScanRange::ALL, collect).await.expect("enough replicas are there");
    found
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

async fn set_each(cluster: &TestCluster, node: usize, keys: &[String]) {
    for part in keys.chunks(500) {
        let writes = part.iter().map(|key| write(key, Some("v"))).collect();
        assert!(cluster.batch(node, writes).await.iter().all(Reply::is_done));
    }
}

/// A write of a key that expires after so many milliseconds.
fn set_until(cluster: &TestCluster, key: &str, ms: u64) -> Operation {
    let expires_at = Some(UnixMs(cluster.node(0).replica().wall.now().0 + ms));
    let kind = OperationKind::Write { value: Some(Bytes::from_static(b"v")), expires_at };
    Operation { kind, ..write(key, None) }
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort();
    keys
}

#[tokio::test(start_paused = true)]
async fn every_key_is_found_once_from_any_node() {
    for (nodes, quorum) in [(1, (1, 1, 1)), (3, (3, 2, 1)), (3, (3, 3, 1)), (5, (3, 2, 2)), (5, (3, 1, 1))] {
        let cluster = Setup::new(nodes, quorum).start().await;
        let keys = [names("k", 900), names("{tag}", 300)].concat();
        set_each(&cluster, 0, &keys).await;
        for count in [2, 30, 100_000] {
            let found = iterate(&cluster, &cluster.running(), count, async |_| ()).await;
            assert_eq!(sorted(found), sorted(keys.clone()), "{nodes} nodes, {quorum:?}, count {count}");
        }
        for node in cluster.indices() {
            assert_eq!(sorted(all(&cluster, node).await), sorted(keys.clone()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_tells_about_as_many_keys_as_were_asked_for() {
    let cluster = three().start().await;
    set_each(&cluster, 0, &names("k", 3_000)).await;
    for count in [10, 100, 1000] {
        let found = scan(&cluster, 1, KeyPlace::FIRST, count).await.keys.len();
        assert!((count * 3 / 4..count * 2).contains(&found), "{found} of {count}");
    }
}

#[tokio::test(start_paused = true)]
async fn empty_and_small_clusters_are_walked_through_in_one_call() {
    for (nodes, quorum) in [(1, (1, 1, 1)), (3, (3, 2, 1)), (5, (3, 2, 1))] {
        let cluster = Setup::new(nodes, quorum).start().await;
        assert_eq!(scan(&cluster, 0, KeyPlace::FIRST, 10).await, ScannedKeys::default());
        assert_eq!(cluster.node(0).store.random_key(|| 7).await, Ok(None));
        set_each(&cluster, 0, &names("k", 5)).await;
        let scanned = scan(&cluster, 0, KeyPlace::FIRST, 10).await;
        assert_eq!((scanned.keys.len(), scanned.next), (5, None));
    }
}

/// Node 1 began the walk, and dies with it. Node 0 and 2 go on from its cursor.
#[tokio::test(start_paused = true)]
async fn a_walk_goes_on_at_other_nodes_when_one_dies() {
    for (nodes, quorum) in [(3, (3, 2, 1)), (5, (3, 2, 1))] {
        let cluster = Setup::new(nodes, quorum).without_anti_entropy().start().await;
        let keys = names("k", 1_000);
        set_each(&cluster, 0, &keys).await;
        let mut found = scan(&cluster, 1, KeyPlace::FIRST, 300).await;
        cluster.crash(1);
        let mut told: Vec<_> = found.keys.clone();
        while let Some(next) = found.next {
            found = scan(&cluster, if told.len() % 2 == 0 { 0 } else { 2 }, next, 50).await;
            told.extend(found.keys.iter().cloned());
        }
        let told = told.iter().map(|key| String::from_utf8(key.to_vec()).expect("text")).collect();
        assert_eq!(sorted(told), sorted(keys), "{nodes} nodes");
    }
}

/// Keys come and go while the walk goes on, and a node is away for a part of it.
#[tokio::test(start_paused = true)]
async fn keys_that_stay_are_found_while_others_come_and_go() {
    let cluster = three().start().await;
    let (stay, go) = (names("stay", 1_000), names("go", 1_000));
    set_each(&cluster, 0, &stay).await;
    set_each(&cluster, 1, &go).await;
    let found = iterate(&cluster, &[0, 1], 40, async |call| {
        let come: Vec<String> = (0..20).map(|number| format!("come{call}-{number}")).collect();
        let mut changes: Vec<_> = come.iter().map(|key| write(key, Some("v"))).collect();
        changes.extend(go.iter().skip(20 * call).take(20).map(|key| write(key, None)));
        changes.extend(stay.iter().skip(30 * call % 900).take(30).map(|key| write(key, Some("again"))));
        assert!(cluster.batch(0, changes).await.iter().all(Reply::is_done));
        match call {
            10 => {
                cluster.isolate(2);
                cluster.until_missed(2).await;
                cluster.crash(2);
            }
            20 => {
                cluster.start(2);
                cluster.network.heal_all();
            }
            _ => {}
        }
    })
    .await;
    let mut times = BTreeMap::<String, usize>::new();
    for key in found {
        *times.entry(key).or_default() += 1;
    }
    assert!(stay.iter().all(|key| times.get(key) == Some(&1)));
    assert!(times.values().all(|&times| times == 1));
}

/// Node 2 has missed writes, deletes and a FLUSHALL's like, and nothing mends that. It is asked as much as the others.
#[tokio::test(start_paused = true)]
async fn a_replica_that_missed_writes_and_deletes_misleads_nobody() {
    let cluster = Setup::new(3, (3, 2, 1)).hint_bytes_max(0).without_anti_entropy().start().await;
    let (old, new) = (names("old", 300), names("new", 300));
    set_each(&cluster, 0, &old).await;
    cluster.isolate(2);
    cluster.until_missed(2).await;
    set_each(&cluster, 0, &new).await;
    let deletes = old[..200].iter().map(|key| write(key, None)).collect();
    assert!(cluster.batch(1, deletes).await.iter().all(Reply::is_done));
    cluster.network.heal_all();
    cluster.until_linked().await;
    assert_eq!(cluster.value_at(2, &old[0]).as_deref(), Some("v"), "it still has what was deleted");
    assert_eq!(cluster.version_at(2, &new[0]), None);

    let expected = sorted([&old[200..], &new].concat());
    for node in cluster.indices() {
        assert_eq!(sorted(all(&cluster, node).await), expected, "asked at node {node}");
    }
    assert_eq!(sorted(iterate(&cluster, &[0, 1, 2], 25, async |_| ()).await), expected);
}

#[tokio::test(start_paused = true)]
async fn expired_and_flushed_keys_are_not_found() {
    let cluster = Setup::new(3, (3, 2, 1)).hint_bytes_max(0).without_anti_entropy().start().await;
    set_each(&cluster, 0, &names("k", 100)).await;
    // The flush reaches 0 and 1 alone.
    let version = version_of(&cluster, 0);
    cluster.hand(0, 0, PeerRequest::Flush { version, is_decided: false });
    cluster.hand(0, 1, PeerRequest::Flush { version, is_decided: false });
    assert!(cluster.value_at(2, "k1").is_some());
    cluster.pass(10).await;
    set_each(&cluster, 1, &names("new", 10)).await;
    let expiring = names("x", 10).iter().map(|key| set_until(&cluster, key, 100)).collect();
    assert!(cluster.batch(0, expiring).await.iter().all(Reply::is_done));
    assert_eq!(all(&cluster, 2).await.len(), 20);
    cluster.pass(200).await;
    for node in cluster.indices() {
        assert_eq!(sorted(all(&cluster, node).await), sorted(names("new", 10)), "asked at node {node}");
    }
}

/// With W = 2 of 3 any two replicas know all; one alone does not.
#[tokio::test(start_paused = true)]
async fn with_too_few_replicas_a_scan_says_so() {
    let cluster = three().start().await;
    set_each(&cluster, 0, &names("k", 10)).await;
    cluster.crash(1);
    cluster.until("1 is missed", |cluster| !cluster.is_linked(0, 1)).await;
    assert_eq!(all(&cluster, 0).await.len(), 10);
    cluster.crash(2);
    cluster.until("2 is missed", |cluster| !cluster.is_linked(0, 2)).await;
    let store = cluster.node(0).store;
    let error = store.scan(ScanRange::ALL, 10).await.expect_err("one replica is not enough").to_string();
    assert_eq!(error, "NOQUORUM 1 of 2 replicas answered (too few replicas of slot 0 can be reached)");
    assert_eq!(store.random_key(|| 7).await.map(|key| key.is_some()), Ok(true), "a read asks R replicas");
    assert!(store.walk(ScanRange::ALL, |_| true).await.is_err());
}

/// A node that lost its memory holds nothing for a while, and is not counted meanwhile.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_catching_up_does_not_count() {
    let cluster = three().start().await;
    let keys = names("k", 200);
    set_each(&cluster, 0, &keys).await;
    cluster.start(1);
    while cluster.is_syncing(1) {
        if cluster.is_linked(1, 0) && cluster.is_linked(1, 2) {
            assert_eq!(sorted(all(&cluster, 1).await), sorted(keys.clone()));
        }
        cluster.pass(5).await;
    }
    cluster.until_whole().await;
    assert_eq!(sorted(all(&cluster, 1).await), sorted(keys));
}

#[tokio::test(start_paused = true)]
async fn a_hung_node_costs_a_scan_one_timeout() {
    let cluster = three().start().await;
    let keys = names("k", 100);
    set_each(&cluster, 0, &keys).await;
    cluster.isolate(2);
    let began = tokio::time::Instant::now();
    assert_eq!(sorted(all(&cluster, 0).await), sorted(keys));
    assert!(began.elapsed() <= Duration::from_millis(400), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_huge_slot_is_walked_through_in_few_pages() {
    let cluster = three().start().await;
    let keys = names("{tag}", 20_000);
    set_each(&cluster, 0, &keys).await;
    let mut calls = 0;
    let found = iterate(&cluster, &[0, 1, 2], 10, async |call| calls = call + 1).await;
    assert_eq!(found.len(), keys.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>().len(), keys.len());
    assert!(calls <= 80, "{calls}");
}

/// However many keys a slot has.
#[tokio::test(start_paused = true)]
async fn random_keys_are_chosen_evenly() {
    for (nodes, quorum) in [(1, (1, 1, 1)), (3, (3, 2, 1)), (5, (3, 2, 2))] {
        let cluster = Setup::new(nodes, quorum).start().await;
        let keys = [names("k", 20), names("{tag}", 80)].concat();
        set_each(&cluster, 0, &keys).await;
        let mut chance = Chance::new(7);
        let mut times = BTreeMap::<Bytes, usize>::new();
        for draw in 0..5_000 {
            let node = cluster.node(draw % usize::from(nodes));
            let key = node.store.random_key(|| chance.next()).await.expect("a quorum").expect("a key");
            *times.entry(key).or_default() += 1;
        }
        assert_eq!(times.len(), keys.len());
        assert!(times.values().all(|times| (15..=120).contains(times)), "{times:?}");
    }
}

/// Node 2 still has what was deleted, and draws from that; a key is found all the same as long as there is one.
#[tokio::test(start_paused = true)]
async fn a_random_key_is_found_among_tombstones_and_never_a_deleted_one() {
    let cluster = Setup::new(3, (3, 2, 2)).hint_bytes_max(0).without_anti_entropy().start().await;
    let keys = names("k", 300);
    set_each(&cluster, 0, &keys).await;
    cluster.isolate(2);
    cluster.until_missed(2).await;
    for (left, part) in [(1, &keys[1..]), (0, &keys[..1])] {
        let deletes = part.iter().map(|key| write(key, None)).collect();
        assert!(cluster.batch(1, deletes).await.iter().all(Reply::is_done));
        if left == 1 {
            cluster.network.heal_all();
            cluster.until_linked().await;
        }
        let mut chance = Chance::new(5);
        for node in cluster.indices() {
            let found = cluster.node(node).store.random_key(|| chance.next()).await.expect("a quorum");
            assert_eq!(found.is_some(), left == 1);
            assert!(found.is_none_or(|key| key == keys[0].as_bytes()));
        }
    }
}
