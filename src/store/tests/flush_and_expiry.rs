//! FLUSHALL's mark, and time's.

use super::*;

impl Bench {
    fn set_until(&self, key: &str, expires_at: UnixMs, version: Version) {
        self.store.write(self.slot, key.as_bytes(), Some(b"v"), Some(expires_at), version, NOW);
    }

    fn look_up(&self, key: &str, now: UnixMs) -> String {
        self.store.read(self.slot, key.as_bytes(), now, |found| match found {
            Lookup::Missing => "missing".to_owned(),
            Lookup::Tombstone { version } => format!("tombstone {version}"),
            Lookup::Live(record) => format!("live {}", record.version()),
        })
    }
}

#[test]
fn a_flush_drops_what_is_older_and_refuses_it_later() {
    let bench = Bench::new();
    bench.copy("decided", "v", v(1));
    bench.set("open", "v", v(2));
    bench.set("newer", "below", v(3));
    bench.set("newer", "above", v(30));
    drop(bench.store.flush(v(20)));
    assert_eq!(bench.store.flush_mark(), v(20));
    for key in ["decided", "open", "unheard of"] {
        assert_eq!(bench.look_up(key, NOW), format!("tombstone {}", v(20)));
    }
    assert_eq!(bench.set("open", "v", v(5)), Written::Stale(v(20)));
    assert_eq!(bench.set("newer", "v", v(19)), Written::Stale(v(30)));
    assert_eq!(bench.copy("decided", "v", v(1)), Copied::Older(v(20)));
    assert_eq!(bench.copy("newer", "v", v(4)), Copied::Older(v(20)));
    assert_eq!(bench.revert("open", v(2)), Reverted::Kept, "it may have been read before");
    assert_eq!(bench.revert("newer", v(30)), Reverted::Confirmed);
    assert_eq!(bench.look_up("newer", NOW), format!("tombstone {}", v(20)));
    assert_eq!(bench.set("open", "v", v(40)), applied(v(20), false));
}

#[test]
fn a_flush_is_the_tombstone_that_others_read_of_it() {
    let bench = Bench::new();
    drop(bench.store.flush(v(20)));
    let write_back = |version| bench.store.copy(bench.slot, b"k", None, None, version, NOW);
    assert_eq!(write_back(v(20)), Copied::Newest);
    assert_eq!(write_back(v(19)), Copied::Older(v(20)));
    bench.set("k", "v", v(30));
    assert_eq!(write_back(v(20)), Copied::Older(v(20)), "the write is newer");
}

#[test]
fn an_older_flush_changes_nothing() {
    let bench = Bench::new();
    drop(bench.store.flush(v(20)));
    bench.set("k", "v", v(30));
    drop(bench.store.flush(v(10)));
    assert_eq!(bench.store.flush_mark(), v(20));
    assert_eq!(bench.get("k").as_deref(), Some("v"));
}

#[test]
fn a_flush_gives_all_memory_back() {
    let bench = Bench::new();
    for hlc in 1..=50 {
        bench.set(&hlc.to_string(), "a", v(hlc));
        bench.set(&hlc.to_string(), "b", v(100 + hlc));
    }
    drop(bench.store.flush(v(1000)));
    assert_eq!(bench.store.counts().records, 0);
    bench.pass(0, 1000);
    assert_eq!(bench.store.counts(), StoreCounts::default(), "nor does anything stay of what was open");
}

/// A reader's copy, then a flush, then the write itself: it took effect before the flush, and must not be written again.
#[test]
fn a_write_that_was_here_before_a_flush_is_not_stale_after_it() {
    let bench = Bench::new();
    bench.copy("k", "v", v(10));
    drop(bench.store.flush(v(20)));
    assert!(matches!(bench.set("k", "v", v(10)), Written::Applied { .. }));
    assert_eq!(bench.set("k", "w", v(11)), Written::Stale(v(20)), "that one never was");
    assert_eq!(bench.get("k"), None);
}

#[test]
fn a_flush_keeps_the_counts_right_when_something_newer_stays() {
    let bench = Bench::new();
    bench.set("old", "v", v(1));
    bench.set("new", "v", v(10));
    bench.delete("gone", v(11));
    drop(bench.store.flush(v(5)));
    let counts = bench.store.counts();
    assert_eq!((counts.keys, counts.live_keys, counts.tombstones, counts.open_records), (2, 1, 1, 3));
}

#[test]
fn an_expired_record_reads_as_a_tombstone_of_its_version() {
    let bench = Bench::new();
    bench.set_until("k", UnixMs(NOW.0 + 5), v(1));
    assert_eq!(bench.look_up("k", UnixMs(NOW.0 + 4)), format!("live {}", v(1)));
    assert_eq!(bench.look_up("k", UnixMs(NOW.0 + 5)), format!("tombstone {}", v(1)));
    let late = UnixMs(NOW.0 + 5);
    let deleted = bench.store.write(bench.slot, b"k", None, None, v(2), late);
    assert_eq!(deleted, applied(v(1), false), "DEL counts no expired key");
}

#[test]
fn the_sweep_turns_expired_records_into_tombstones() {
    let bench = Bench::new();
    bench.set_until("short", UnixMs(NOW.0 + 5), v(1));
    bench.set_until("long", UnixMs(NOW.0 + 500), v(2));
    let from = bench.store.sweep_expired(Slot::new(9000).unwrap(), 100_000, UnixMs(NOW.0 + 5));
    assert_eq!(from.number(), 9000, "all slots were visited once");
    assert_eq!(bench.store.live_keys(bench.slot), 1);
    assert_eq!(bench.shown("short"), Some(v(1)));
    assert_eq!(bench.revert("short", v(1)), Reverted::Confirmed, "open and unseen as before");
}

#[test]
fn the_sweep_removes_expired_records_where_there_are_no_replicas() {
    let bench = Bench::unreplicated();
    for number in 0..100 {
        bench.set_until(&number.to_string(), UnixMs(NOW.0 + 5), v(1));
    }
    bench.set("stays", "v", v(1));
    let _ = bench.store.sweep_expired(bench.slot, 1000, LATER);
    let counts = bench.store.counts();
    assert_eq!((counts.keys, counts.live_keys), (1, 1));
    assert_eq!(bench.get("stays").as_deref(), Some("v"));
}

#[test]
fn the_sweep_looks_only_where_something_is_due() {
    let bench = Bench::new();
    let put = |number: u16, expires_at| {
        let slot = Slot::new(number).unwrap();
        let _ = bench.store.write(slot, b"k", Some(b"v"), expires_at, v(1), NOW);
    };
    put(3, Some(UnixMs(NOW.0 + 1)));
    put(500, Some(UnixMs(NOW.0 + 60_000)));
    put(16_383, None);
    // Hardly anything has to be visited, so a small budget leads once round.
    let from = Slot::new(9000).unwrap();
    assert_eq!(bench.store.sweep_expired(from, 100, LATER), from);
    assert_eq!(bench.store.counts().live_keys, 2);
    // What was put off is due in its time, and so is what comes to a group that was visited.
    put(4, Some(UnixMs(NOW.0 + 30_000)));
    for (ms, left) in [(29_000, 3), (31_000, 2), (59_000, 2), (61_000, 1)] {
        assert_eq!(bench.store.sweep_expired(from, 100, UnixMs(NOW.0 + ms)), from);
        assert_eq!(bench.store.counts().live_keys, left, "after {ms} ms");
    }
}

#[test]
fn the_sweep_hears_of_records_that_expire_sooner_than_they_were_to() {
    let bench = Bench::unreplicated();
    let written = [(60_000, v(1)), (1_000, v(2))];
    for (ms, version) in written {
        let expires_at = Some(UnixMs(NOW.0 + ms));
        assert_eq!(bench.store.write_next(bench.slot, b"k", Some(b"v"), expires_at, NOW, |_| version).0, version);
    }
    let _ = bench.store.sweep_expired(Slot::FIRST, 100, UnixMs(NOW.0 + 2_000));
    assert_eq!(bench.store.counts().keys, 0);
}

#[test]
fn the_sweep_stops_at_its_budget_and_goes_on_there() {
    let bench = Bench::new();
    for slot in [3, 5] {
        let slot = Slot::new(slot).unwrap();
        bench.store.write(slot, b"k", Some(b"v"), Some(UnixMs(NOW.0 + 1)), v(1), NOW);
    }
    let next = bench.store.sweep_expired(Slot::new(0).unwrap(), 4, LATER);
    assert_eq!(next.number(), 4, "slots without anything count as well if something near is due: each is looked at");
    assert_eq!(bench.store.counts().live_keys, 1);
    let _ = bench.store.sweep_expired(next, 2, LATER);
    assert_eq!(bench.store.counts().live_keys, 0);
}
