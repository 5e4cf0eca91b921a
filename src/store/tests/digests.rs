//! What replicas compare.

use super::*;

fn digest(bench: &Bench, now: UnixMs) -> SlotDigest {
    bench.store.digest(bench.slot, now)
}

#[test]
fn replicas_that_came_to_the_same_by_different_ways_have_equal_digests() {
    let (one, other) = (Bench::new(), Bench::new());
    one.set("a", "1", v(1));
    one.set("b", "old", v(2));
    one.set("b", "new", of_node(3, 1));
    one.set("c", "gone", v(4));
    one.delete("c", v(5));
    other.copy("b", "new", of_node(3, 1));
    other.copy("a", "1", v(1));
    let (one, other) = (digest(&one, LATER), digest(&other, LATER));
    assert_eq!(one, other);
    assert_ne!(one.sum, Bench::new().store.digest(Slot::FIRST, LATER).sum);
}

#[test]
fn a_slot_is_busy_while_anything_may_be_taken_back_or_come_late() {
    let bench = Bench::new();
    bench.set("k", "v", v(1));
    assert!(digest(&bench, NOW).is_busy, "open");
    bench.pass(0, 2);
    assert!(!digest(&bench, NOW).is_busy, "decided");
    bench.revert("k", of_node(3, 1));
    assert!(digest(&bench, NOW).is_busy, "a write that was taken back may still arrive");
    assert!(!digest(&bench, LATER).is_busy);
}

#[test]
fn an_expired_record_does_not_count() {
    let bench = Bench::new();
    bench.store.copy(bench.slot, b"k", Some(b"v"), Some(UnixMs(NOW.0 + 700)), v(1), NOW);
    assert_ne!(digest(&bench, UnixMs(NOW.0 + 699)).sum, 0);
    assert_eq!(digest(&bench, UnixMs(NOW.0 + 700)).sum, 0);
    assert_eq!(bench.store.counts().tombstones, 1);
}

#[test]
fn a_large_slot_is_listed_in_pages_that_miss_nothing_that_stays() {
    let bench = Bench::new();
    let keys: Vec<String> = (0..5000).map(|number| format!("key-{number:04}")).collect();
    for (key, hlc) in keys.iter().zip(1..) {
        bench.copy(key, "v", v(hlc));
    }
    let (mut listed, mut from, mut pages) = (Vec::new(), Some(0), 0);
    while let Some(position) = from {
        let page = bench.store.page(bench.slot, position, NOW);
        assert!(page.records.len() < 1500, "{}", page.records.len());
        listed.extend(page.records.into_iter().map(|record| record.key));
        (from, pages) = (page.next, pages + 1);
        // Others come and go meanwhile, and the table grows.
        for number in 0..2000 {
            bench.copy(&format!("new-{pages}-{number}"), "v", v(1));
        }
    }
    listed.retain(|key| key.starts_with(b"key-"));
    listed.sort_unstable();
    assert!(pages >= 5, "{pages}");
    assert_eq!(listed, keys);
}

#[test]
fn pages_of_long_keys_are_shorter() {
    let bench = Bench::new();
    let key = |number: u64| format!("{}{number}", "k".repeat(200_000));
    for number in 1..=40 {
        bench.copy(&key(number), "v", v(number));
    }
    let page = bench.store.page(bench.slot, 0, NOW);
    assert!(page.records.len() <= 6 && page.next.is_some(), "{}", page.records.len());
    assert_eq!(bench.list(bench.slot).len(), 40);
}
