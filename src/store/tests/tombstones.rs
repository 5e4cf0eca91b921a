//! Dropping tombstones, and what remains of them.

use super::*;

const LIFE_MS: u64 = 5_000;
const DRIFT_MS: u64 = 100;

/// A version that node 0 could stamp at [`NOW`], the `number`th.
fn now_v(number: u64) -> Version {
    v(Hlc::first_of(NOW).0 + number)
}

fn after(ms: u64) -> UnixMs {
    UnixMs(NOW.0 + ms)
}

impl Bench {
    fn drop_until(&self, until: UnixMs) -> Dropped {
        self.store.drop_tombstones(self.slot, Useless { life_ms: LIFE_MS, drift_ms: DRIFT_MS, until }, until)
    }

    fn with_dropped(version: Version) -> Self {
        let bench = Self::new();
        bench.delete("k", version);
        assert_eq!(bench.drop_until(after(LIFE_MS + DRIFT_MS)).tombstones, 1);
        assert_eq!(bench.store.counts().keys, 0);
        bench
    }
}

#[test]
fn a_tombstone_goes_when_its_life_is_over_and_not_before() {
    let bench = Bench::new();
    bench.delete("gone", now_v(1));
    bench.copy("stays", "v", now_v(2));
    let end = after(LIFE_MS + DRIFT_MS);
    let early = bench.drop_until(UnixMs(end.0 - 1));
    assert_eq!(early, Dropped { tombstones: 0, next: Some(end), is_busy: false, looked: 2 });
    assert_eq!(bench.store.counts().tombstones, 1);
    let dropped = bench.drop_until(end);
    assert_eq!((dropped.tombstones, dropped.next), (1, None));
    assert_eq!((bench.store.counts().tombstones, bench.store.counts().live_keys), (0, 1));
}

#[test]
fn a_tombstone_that_came_late_lives_from_then_on() {
    let bench = Bench::new();
    bench.store.copy(bench.slot, b"k", None, None, now_v(1), after(3_000));
    assert_eq!(bench.drop_until(after(3_000 + OPEN_TTL_MS)).next, Some(after(3_000 + LIFE_MS)));
}

#[test]
fn an_expired_record_lives_from_when_it_was_found_expired() {
    let bench = Bench::new();
    bench.store.copy(bench.slot, b"k", Some(b"v"), Some(after(2_000)), now_v(1), NOW);
    let _ = bench.store.digest(bench.slot, after(2_500));
    assert_eq!(bench.drop_until(after(LIFE_MS + DRIFT_MS)).next, Some(after(2_500 + LIFE_MS)));
    assert_eq!(bench.drop_until(after(2_500 + LIFE_MS)).tombstones, 1);
}

#[test]
fn nothing_goes_while_anything_in_the_slot_may_be_taken_back() {
    let bench = Bench::new();
    bench.delete("k", now_v(1));
    let end = after(LIFE_MS + DRIFT_MS);
    bench.store.write(bench.slot, b"other", Some(b"v"), None, of_node(Hlc::first_of(end).0, 1), end);
    assert!(bench.drop_until(end).is_busy);
    assert_eq!(bench.store.counts().tombstones, 1);
    assert_eq!(bench.drop_until(UnixMs(end.0 + OPEN_TTL_MS)).tombstones, 1);
}

#[test]
fn what_is_older_than_a_dropped_tombstone_is_refused_when_it_is_sent_late() {
    let bench = Bench::with_dropped(now_v(5));
    assert_eq!(bench.set("k", "late", now_v(4)), Written::Stale(now_v(5)));
    assert_eq!(bench.copy("k", "late", now_v(4)), Copied::Older(now_v(5)));
    assert_eq!(bench.get("k"), None);
    assert_eq!(bench.set("k", "newer", now_v(6)), applied(Version::default(), false));
    assert_eq!(bench.get("k").as_deref(), Some("newer"));
}

#[test]
fn what_another_replica_shows_is_kept_however_old() {
    let bench = Bench::with_dropped(now_v(5));
    let copied = bench.store.copy_fetched(bench.slot, b"other", Some(b"v"), None, now_v(4), NOW);
    assert_eq!((copied, bench.get("other").as_deref()), (Copied::Newest, Some("v")));
}

#[test]
fn a_dropped_tombstone_that_is_written_back_is_acknowledged_and_not_kept() {
    let bench = Bench::with_dropped(now_v(5));
    assert_eq!(bench.store.copy(bench.slot, b"k", None, None, now_v(5), NOW), Copied::Newest);
    assert_eq!(bench.store.counts().keys, 0);
}

#[test]
fn this_nodes_own_writes_are_stamped_above_what_it_has_dropped() {
    let bench = Bench::with_dropped(now_v(5));
    let next = |shown: Version| Version::new(shown.hlc().next(), NodeIndex(0), StartNumber::new(START));
    let (version, prior) = bench.store.write_next(bench.slot, b"k", Some(b"v"), None, NOW, next);
    assert_eq!((version, prior), (now_v(6), Prior::default()));
}

#[test]
fn a_dropped_delete_is_not_taken_back() {
    let bench = Bench::with_dropped(now_v(5));
    assert_eq!(bench.revert("k", now_v(5)), Reverted::Kept);
}
