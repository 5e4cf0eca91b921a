//! Fresh writes and copies.

use super::*;

#[test]
fn the_larger_version_shows_and_tells_what_it_replaced() {
    let bench = Bench::new();
    assert_eq!(bench.set("k", "a", v(1)), applied(Version::default(), false));
    assert_eq!(bench.set("k", "b", v(2)), applied(v(1), true));
    assert_eq!(bench.delete("k", v(3)), applied(v(2), true));
    assert_eq!(bench.delete("k", v(4)), applied(v(3), false));
    assert_eq!(bench.get("k"), None);
    assert_eq!(bench.shown("k"), Some(v(4)));
}

#[test]
fn a_smaller_version_is_stale_and_what_it_is_refused_for_stays() {
    let bench = Bench::new();
    bench.set("k", "new", v(5));
    assert_eq!(bench.set("k", "old", v(3)), Written::Stale(v(5)));
    assert_eq!(bench.revert("k", v(5)), Reverted::Kept, "or a copy of the old one would be read");
    assert_eq!(bench.copy("k", "old", v(3)), Copied::Older(v(5)));
    assert_eq!(bench.set("k", "old", v(3)), Written::Stale(v(5)));
    assert_eq!(bench.get("k").as_deref(), Some("new"));
}

/// No coordinator goes above it, so nothing has to stay for the refused write's sake.
#[test]
fn a_write_that_is_refused_for_a_clock_gone_astray_binds_nothing() {
    let bench = Bench::new();
    let limit = Hlc::first_of(UnixMs(MAX_CLOCK_DRIFT_MS)).0;
    for (newer, reverted) in [(limit, Reverted::Kept), (limit + Hlc::first_of(UnixMs(1)).0, Reverted::Confirmed)] {
        let key = format!("k{newer}");
        bench.set(&key, "new", v(3 + newer));
        assert_eq!(bench.set(&key, "old", v(3)), Written::Stale(v(3 + newer)));
        assert_eq!(bench.revert(&key, v(3 + newer)), reverted);
    }
}

/// It stays for as long as the flush mark does.
#[test]
fn a_write_that_is_refused_for_a_flush_binds_no_newer_record() {
    let bench = Bench::new();
    drop(bench.store.flush(v(5)));
    bench.set("k", "new", v(9));
    assert_eq!(bench.set("k", "flushed", v(3)), Written::Stale(v(9)));
    assert_eq!(bench.revert("k", v(9)), Reverted::Confirmed);
    assert_eq!(bench.copy("k", "flushed", v(3)), Copied::Older(v(5)));
}

#[test]
fn a_repeated_write_is_applied_once() {
    let bench = Bench::new();
    bench.set("k", "a", v(1));
    bench.set("k", "b", v(2));
    assert_eq!(bench.set("k", "b", v(2)), applied(v(1), true));
    assert_eq!(bench.set("k", "a", v(1)), applied(Version::default(), false), "it was the newest once");
    assert_eq!(bench.get("k").as_deref(), Some("b"));
}

#[test]
fn a_write_that_came_as_a_copy_below_a_newer_one_is_stale() {
    // It never was the newest here, so an ack would count a replica that never showed it.
    let bench = Bench::new();
    bench.set("k", "new", of_node(5, 1));
    assert_eq!(bench.copy("k", "old", v(3)), Copied::Older(of_node(5, 1)));
    assert_eq!(bench.set("k", "old", v(3)), Written::Stale(of_node(5, 1)));
}

#[test]
fn a_write_that_came_as_the_newest_copy_is_applied_even_when_superseded() {
    let bench = Bench::new();
    assert_eq!(bench.copy("k", "mine", v(3)), Copied::Newest);
    assert_eq!(bench.copy("k", "later", of_node(5, 1)), Copied::Newest);
    assert!(matches!(bench.set("k", "mine", v(3)), Written::Applied { .. }));
    assert_eq!(bench.copy("k", "mine", v(3)), Copied::Newest);
    assert_eq!(bench.get("k").as_deref(), Some("later"));
}

#[test]
fn a_copy_below_an_open_record_shows_when_that_is_reverted() {
    let bench = Bench::new();
    bench.set("k", "base", v(1));
    bench.set("k", "open", v(9));
    assert_eq!(bench.copy("k", "copied", of_node(5, 1)), Copied::Older(v(9)));
    assert_eq!(bench.copy("k", "older", of_node(4, 1)), Copied::Older(v(9)), "outranked, not kept");
    assert_eq!(bench.revert("k", v(9)), Reverted::Confirmed);
    assert_eq!(bench.get("k").as_deref(), Some("copied"));
    assert_eq!(bench.copy("k", "copied", of_node(5, 1)), Copied::Newest);
    assert_eq!(bench.copy("k", "older", of_node(4, 1)), Copied::Older(of_node(5, 1)));
}

#[test]
fn copies_between_several_open_records_find_their_places() {
    let bench = Bench::new();
    for hlc in [2, 4, 6, 8] {
        bench.set("k", &hlc.to_string(), v(hlc));
    }
    for hlc in [3, 7] {
        assert_eq!(bench.copy("k", &hlc.to_string(), v(hlc)), Copied::Older(v(8)));
    }
    assert_eq!(bench.revert("k", v(4)), Reverted::Confirmed, "open still, although outranked");
    assert_eq!(bench.revert("k", v(8)), Reverted::Confirmed);
    assert_eq!(bench.get("k").as_deref(), Some("7"));
    assert_eq!(bench.revert("k", v(7)), Reverted::Kept);
    assert_eq!(bench.revert("k", v(6)), Reverted::Confirmed);
    assert_eq!(bench.revert("k", v(2)), Reverted::Confirmed);
}

#[test]
fn a_local_write_is_drawn_above_what_is_shown() {
    let bench = Bench::new();
    let write =
        |clock: &dyn Fn(Version) -> Version| bench.store.write_next(bench.slot, b"k", Some(b"mine"), None, NOW, clock);
    let first = write(&|shown| {
        assert_eq!(shown, Version::default());
        v(1)
    });
    assert_eq!(first, (v(1), Prior::default()));
    bench.set("k", "from afar", of_node(50, 2));
    let next = write(&|shown| Version::new(shown.hlc().next(), NodeIndex(0), StartNumber::new(START)));
    assert_eq!(next, (v(51), Prior { version: of_node(50, 2), live: true }));
    assert_eq!(bench.revert("k", v(51)), Reverted::Confirmed);
    assert_eq!(bench.get("k").as_deref(), Some("from afar"));
}

#[test]
fn listing_versions_shows_nothing() {
    let bench = Bench::new();
    bench.set("b", "1", v(1));
    bench.delete("a", v(2));
    let listed =
        |key: &'static str, version, (is_gone, value_bytes)| Listed { key: key.into(), version, is_gone, value_bytes };
    assert_eq!(bench.list(bench.slot), [listed("a", v(2), (true, 0)), listed("b", v(1), (false, 1))]);
    assert_eq!(bench.revert("b", v(1)), Reverted::Confirmed);
}

#[test]
fn without_replicas_writes_are_decided_and_deletes_leave_nothing() {
    let bench = Bench::unreplicated();
    bench.set("k", "a", v(1));
    bench.set("k", "b", v(2));
    assert_eq!(bench.revert("k", v(2)), Reverted::Kept);
    assert_eq!(bench.revert("k", v(9)), Reverted::Kept, "nothing would remember that it was deleted");
    assert_eq!(bench.set("k", "late", v(1)), Written::Stale(v(2)));
    assert_eq!(bench.delete("k", v(3)), applied(v(2), true));
    assert_eq!(bench.delete("k", v(4)), applied(Version::default(), false));
    bench.copy("k", "c", v(5));
    bench.store.copy(bench.slot, b"k", None, None, v(6), NOW);
    assert_eq!(bench.store.counts(), StoreCounts::default());
}

#[test]
fn a_version_of_an_unknown_node_is_taken_and_closes_with_time() {
    let bench = Bench::new();
    let stranger = of_node(5, 999);
    bench.set("k", "v", stranger);
    bench.store.sweep(LATER);
    assert_eq!(bench.store.counts().open_records, 0);
    assert_eq!(bench.store.revert(bench.slot, b"k", stranger, LATER), Reverted::Kept);
}

#[test]
fn counts_follow_what_is_held() {
    let bench = Bench::new();
    bench.set("a", "1", v(1));
    bench.set("a", "2", v(2));
    bench.set("b", "1", v(3));
    bench.delete("b", v(4));
    let counts = bench.store.counts();
    assert_eq!((counts.keys, counts.live_keys, counts.tombstones), (2, 1, 1));
    assert_eq!((counts.records, counts.open_records), (4, 4));
    assert_eq!(bench.store.live_keys(bench.slot), 1);
    assert!(bench.store.open_bytes() > 0);
}

#[test]
fn a_write_of_the_same_length_happens_in_place_unless_somebody_holds_the_record() {
    let bench = Bench::unreplicated();
    let address = |bench: &Bench| {
        bench.store.read(bench.slot, b"k", NOW, |found| found.live().map(|record| record.value().unwrap().as_ptr()))
    };
    let set = |value: &str, expires_at, hlc| {
        bench.store.write_next(bench.slot, b"k", Some(value.as_bytes()), expires_at, NOW, |_| v(hlc))
    };
    set("first", None, 1);
    let first = address(&bench);
    assert_eq!(set("again", None, 2), (v(2), Prior { version: v(1), live: true }));
    assert_eq!((bench.get("k").as_deref(), address(&bench)), (Some("again"), first));

    let held = bench.store.read(bench.slot, b"k", NOW, |found| found.live().cloned()).unwrap();
    set("third", None, 3);
    assert_eq!((held.value(), bench.get("k").as_deref()), (Some(&b"again"[..]), Some("third")));
    set("longer", None, 4);
    assert_eq!(bench.get_at("k", LATER).as_deref(), Some("longer"));
    assert_eq!((bench.store.counts().live_keys, bench.store.counts().records), (1, 1));
}

fn set_again(bench: &Bench, value: &str, version: Version) -> Written {
    bench.store.write_again(bench.slot, b"k", value.as_bytes(), None, version, NOW)
}

#[test]
fn a_write_that_comes_again_is_like_a_fresh_one_if_it_is_the_newest() {
    let bench = Bench::new();
    bench.set("k", "old", v(5));
    assert_eq!(set_again(&bench, "new", v(9)), applied(v(5), true));
    assert_eq!(bench.revert("k", v(9)), Reverted::Confirmed);
    assert_eq!(bench.get("k").as_deref(), Some("old"));
}

#[test]
fn a_write_that_comes_again_lies_below_newer_ones_and_shows_when_they_are_taken_back() {
    let bench = Bench::new();
    bench.set("k", "newer", v(10));
    bench.set("k", "newest", v(12));
    assert_eq!(set_again(&bench, "v", v(9)), applied(Version::default(), false));
    assert_eq!(set_again(&bench, "v", v(9)), applied(Version::default(), false), "a repetition changes nothing");
    assert_eq!(bench.revert("k", v(9)), Reverted::Kept, "it counts as acknowledged here");
    assert_eq!(bench.shown("k"), Some(v(12)));
    for newer in [10, 12] {
        assert_eq!(bench.revert("k", v(newer)), Reverted::Confirmed);
    }
    assert_eq!(bench.get("k").as_deref(), Some("v"));
}

#[test]
fn a_write_that_comes_again_is_refused_where_it_was_taken_back_or_a_flush_or_an_update_is_above() {
    let bench = Bench::new();
    bench.set("k", "newer", v(10));
    bench.revert("k", v(8));
    assert_eq!(set_again(&bench, "v", v(8)), Written::Void);

    let prepared = bench.store.prepare(bench.slot, b"k", (v(20), true), NOW, |_| ());
    assert_eq!(prepared, Prepared::Shows(()));
    let accepted = bench.store.accept(bench.slot, b"k", Some(b"updated"), None, (v(20), v(10)), NOW);
    assert_eq!(accepted, Accepted::Written(applied(v(10), true)));
    assert_eq!(set_again(&bench, "v", v(15)), Written::Stale(v(20)), "the update has not seen it");
    bench.set("k", "newest", v(30));
    assert_eq!(set_again(&bench, "v", v(25)), applied(Version::default(), false), "this one is above the update");

    drop(bench.store.flush(v(40)));
    assert_eq!(set_again(&bench, "v", v(35)), Written::Stale(v(40)));
}

/// An update that an earlier run promised has not seen it; what is above it here may still be taken back.
#[test]
fn a_write_that_comes_again_is_refused_below_what_an_earlier_run_may_have_promised() {
    let bench = Bench::new();
    bench.store.refuse_up_to(Hlc(20));
    bench.set("k", "newest", v(30));
    assert_eq!(set_again(&bench, "v", v(15)), Written::Stale(v(30)));
    assert_eq!(set_again(&bench, "v", v(25)), applied(Version::default(), false));
}

/// The writer goes above what it is told, and may be taken below all that is newer than that.
#[test]
fn a_write_that_a_flush_outranks_is_told_what_has_been_shown_since() {
    let bench = Bench::new();
    drop(bench.store.flush(v(50)));
    assert_eq!(bench.set("k", "late", v(40)), Written::Stale(v(50)));
    bench.set("k", "newer", v(100));
    assert_eq!(bench.set("k", "late", v(40)), Written::Stale(v(100)));
}

#[test]
fn an_expiry_holds_and_goes_whether_the_block_has_room_for_it_or_not() {
    let bench = Bench::unreplicated();
    let (slot, soon) = (bench.slot, UnixMs(NOW.0 + 1));
    let set = |value: &str, expires_at, hlc| {
        let written = bench.store.write_next(slot, b"k", Some(value.as_bytes()), expires_at, NOW, |_| v(hlc));
        assert_eq!(bench.get("k").as_deref(), Some(value));
        written
    };
    set("never", None, 1);
    assert_eq!(set("later", Some(LATER), 2), (v(2), Prior { version: v(1), live: true }));
    assert_eq!((bench.get_at("k", soon).as_deref(), bench.get_at("k", LATER)), (Some("later"), None));
    set("sooner", Some(LATER), 3);
    set("soones", Some(soon), 4);
    assert_eq!(bench.get_at("k", soon), None);
    set("again.", None, 5);
    assert_eq!(bench.get_at("k", LATER).as_deref(), Some("again."));
    assert_eq!((bench.store.counts().live_keys, bench.store.counts().records), (1, 1));
}

#[test]
fn a_version_of_a_run_without_a_place_is_kept_as_any_other() {
    // Every run but this one has a place while few have come.
    let unplaced = |hlc| Version::new(Hlc(hlc), NodeIndex(u16::MAX), StartNumber::new(u64::MAX));
    let alone = Bench::unreplicated();
    for (hlc, draw) in [(1, v as fn(u64) -> Version), (2, unplaced), (3, unplaced), (4, v)] {
        let value = hlc.to_string();
        let write = |_| draw(hlc);
        let (version, _) = alone.store.write_next(alone.slot, b"k", Some(value.as_bytes()), None, NOW, write);
        assert_eq!((alone.shown("k"), alone.get("k")), (Some(version), Some(value)));
        assert_eq!(alone.store.digest(alone.slot, NOW).sum, draw(hlc).mixed());
    }

    let bench = Bench::new();
    bench.set("k", "one", unplaced(1));
    assert_eq!(bench.set("k", "two", v(2)), applied(unplaced(1), true));
    assert_eq!(bench.set("k", "three", unplaced(3)), applied(v(2), true));
    assert_eq!(bench.revert("k", unplaced(3)), Reverted::Confirmed);
    assert_eq!(bench.revert("k", v(2)), Reverted::Confirmed);
    assert_eq!((bench.shown("k"), bench.get("k").as_deref()), (Some(unplaced(1)), Some("one")));
}
