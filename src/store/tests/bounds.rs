//! Memory: all that is open or void is bounded and comes back.

use super::*;
use crate::store::void::VOID_MARKS_MAX;

#[test]
fn memory_returns_when_idle_slots_are_swept() {
    let bench = Bench::new();
    for hlc in 1..=500 {
        bench.set("hot", "value", v(hlc));
    }
    bench.revert("other", v(1000));
    assert_eq!(bench.store.counts().open_records, 500);
    bench.store.sweep(LATER);
    let counts = bench.store.counts();
    assert_eq!((counts.open_records, counts.void_marks, counts.open_bytes), (0, 0, 0));
    assert_eq!((counts.records, counts.keys), (1, 1));
    bench.store.sweep(LATER);
    assert_eq!(bench.store.dirty.iter().count(), 0);
}

#[test]
fn a_write_closes_what_a_watermark_has_passed() {
    let bench = Bench::new();
    for hlc in 1..=800 {
        bench.set("hot", "value", v(hlc));
        bench.pass(0, hlc.saturating_sub(10));
    }
    assert!(bench.store.counts().open_records <= 12);
}

/// Writes two versions of a key to each of so many slots, has all of them decided, and tells what is left of that.
fn left_behind_a_mark(slots: u64, open_bytes_max: usize) -> (usize, usize) {
    let store = LocalKvStore::new(StoreOptions { open_bytes_max, ..OPTIONS });
    for (slot, hlc) in Slot::all().zip((1..=2 * slots).step_by(2)) {
        for version in [v(hlc), v(hlc + 1)] {
            let _ = store.write(slot, b"key", Some(b"value"), None, version, NOW);
        }
    }
    store.advance_watermark(NodeIndex(0), StartNumber::new(START), Hlc(2 * slots + 1), NOW);
    (store.counts().open_records, store.open_bytes())
}

#[test]
fn a_mark_frees_what_it_has_passed_in_all_slots() {
    for slots in [16, 100, 1000] {
        assert_eq!(left_behind_a_mark(slots, 1 << 30), (0, 0), "{slots} slots");
    }
}

#[test]
fn a_mark_leaves_what_is_too_little_unless_memory_is_short() {
    let (records, bytes) = left_behind_a_mark(10, 1 << 30);
    assert_eq!(records, 20);
    assert_eq!(left_behind_a_mark(10, 7 * bytes), (0, 0));
}

#[test]
fn the_memory_bound_closes_the_oldest_of_the_slot_in_hand() {
    // Closed early, a version can no longer be taken back, but nothing is lost.
    let options = StoreOptions { open_bytes_max: 2000, ..OPTIONS };
    let bench = Bench::with(options);
    for hlc in 1..=100 {
        bench.set("k", "value", v(hlc));
        assert!(bench.store.open_bytes() <= 2000);
    }
    assert!(bench.store.counts().closed_early > 0);
    assert_eq!(bench.revert("k", v(1)), Reverted::Kept);
    assert_eq!(bench.revert("k", v(100)), Reverted::Confirmed);
    assert_eq!(bench.get("k").as_deref(), Some("value"));
}

#[test]
fn after_an_early_close_a_revert_of_something_absent_is_not_confirmed() {
    // v(1) was shown, closed for want of memory, superseded and freed: only the doubt remains, and it suffices.
    let options = StoreOptions { open_bytes_max: 0, ..OPTIONS };
    let bench = Bench::with(options);
    bench.set("k", "read", v(1));
    assert_eq!(bench.get("k").as_deref(), Some("read"));
    bench.set("k", "newer", of_node(5, 1));
    assert_eq!(bench.set("k", "read", v(1)), Written::Stale(of_node(5, 1)));
    assert_eq!(bench.revert("k", v(1)), Reverted::Kept);
}

#[test]
fn a_revert_without_room_for_its_mark_is_refused() {
    let bench = Bench::new();
    for hlc in 1..=VOID_MARKS_MAX as u64 {
        assert_eq!(bench.revert("k", v(hlc)), Reverted::Confirmed);
    }
    bench.set("k", "open", v(5000));
    assert_eq!(bench.revert("k", v(5000)), Reverted::Kept);
    assert_eq!(bench.revert("k", v(1)), Reverted::Confirmed, "it has its mark already");
    assert_eq!(bench.get("k").as_deref(), Some("open"));
    assert_eq!(bench.store.revert(bench.slot, b"k", v(6000), LATER), Reverted::Confirmed, "marks end");
}

#[test]
fn the_tables_are_small_while_nothing_is_pending() {
    assert!(size_of::<Mutex<SlotTable>>() <= 80);
}
