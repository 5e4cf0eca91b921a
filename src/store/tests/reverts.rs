//! Taking back: what may be confirmed, and what must not.

use super::*;

#[test]
fn an_open_record_nobody_saw_is_taken_back() {
    let bench = Bench::new();
    bench.copy("k", "decided", of_node(1, 1));
    bench.set("k", "open", v(2));
    assert_eq!(bench.revert("k", v(2)), Reverted::Confirmed);
    assert_eq!(bench.get("k").as_deref(), Some("decided"));
    assert_eq!(bench.revert("k", v(2)), Reverted::Confirmed, "asked again, confirmed again");
}

#[test]
fn a_revert_in_the_middle_leaves_the_newer_ones() {
    let bench = Bench::new();
    for hlc in 1..=3 {
        bench.set("k", &hlc.to_string(), v(hlc));
    }
    assert_eq!(bench.revert("k", v(2)), Reverted::Confirmed);
    assert_eq!(bench.shown("k"), Some(v(3)));
    assert_eq!(bench.revert("k", v(3)), Reverted::Confirmed);
    assert_eq!(bench.get("k").as_deref(), Some("1"));
    assert_eq!(bench.revert("k", v(1)), Reverted::Kept, "the read showed it");
}

#[test]
fn a_first_write_taken_back_leaves_no_key() {
    let bench = Bench::new();
    bench.set("k", "open", v(2));
    assert_eq!(bench.revert("k", v(2)), Reverted::Confirmed);
    assert!(bench.store.read(bench.slot, b"k", NOW, |found| matches!(found, Lookup::Missing)));
    assert_eq!(bench.store.live_keys(bench.slot), 0);
}

#[test]
fn what_was_read_is_kept_even_when_something_newer_covers_it() {
    let bench = Bench::new();
    bench.set("k", "seen", v(1));
    assert_eq!(bench.get("k").as_deref(), Some("seen"));
    bench.set("k", "unseen", v(2));
    assert_eq!(bench.revert("k", v(1)), Reverted::Kept);
    assert_eq!(bench.revert("k", v(2)), Reverted::Confirmed);
    assert_eq!(bench.get("k").as_deref(), Some("seen"));
}

#[test]
fn a_delete_that_tells_what_was_there_has_shown_it() {
    let bench = Bench::new();
    bench.set("k", "told", v(1));
    bench.set("other", "covered", v(1));
    assert_eq!(bench.delete("k", v(2)), applied(v(1), true));
    assert_eq!(bench.set("other", "new", v(2)), applied(v(1), true));
    assert_eq!(bench.revert("k", v(1)), Reverted::Kept);
    assert_eq!(bench.revert("other", v(1)), Reverted::Confirmed, "a SET tells its client nothing");
}

#[test]
fn a_copy_of_an_open_version_decides_it() {
    let bench = Bench::new();
    bench.set("k", "a", v(1));
    bench.set("k", "b", v(2));
    assert_eq!(bench.copy("k", "b", v(2)), Copied::Newest);
    assert_eq!(bench.copy("k", "a", v(1)), Copied::Newest, "it once was");
    assert_eq!(bench.revert("k", v(2)), Reverted::Kept);
    assert_eq!(bench.revert("k", v(1)), Reverted::Kept);
}

#[test]
fn a_watermark_decides_what_lies_below_it() {
    let bench = Bench::new();
    bench.set("k", "passed", v(1));
    bench.set("k", "open", v(2));
    bench.pass(0, 2);
    assert_eq!(bench.revert("k", v(1)), Reverted::Kept);
    assert_eq!(bench.revert("k", v(2)), Reverted::Confirmed);
}

#[test]
fn a_new_run_of_the_coordinator_decides_all_that_it_left() {
    let bench = Bench::new();
    bench.set("k", "orphan", v(1));
    bench.store.advance_watermark(NodeIndex(0), StartNumber::new(START + 1), Hlc(0), NOW);
    assert_eq!(bench.revert("k", v(1)), Reverted::Kept);
}

#[test]
fn a_write_behind_its_own_watermark_is_decided_on_arrival() {
    let bench = Bench::new();
    bench.pass(0, 10);
    bench.set("k", "late", v(3));
    assert_eq!(bench.store.counts().open_records, 0);
    assert_eq!(bench.revert("k", v(3)), Reverted::Kept);
}

#[test]
fn time_decides_when_the_coordinator_is_silent() {
    let bench = Bench::new();
    bench.set("k", "v", v(1));
    let just_before = UnixMs(LATER.0 - 1);
    bench.set("other", "v", v(2));
    assert_eq!(bench.store.revert(bench.slot, b"other", v(2), just_before), Reverted::Confirmed);
    assert_eq!(bench.store.revert(bench.slot, b"k", v(1), LATER), Reverted::Kept);
}

#[test]
fn a_revert_that_overtakes_its_write_stops_it() {
    let bench = Bench::new();
    bench.copy("k", "base", of_node(1, 1));
    assert_eq!(bench.revert("k", v(5)), Reverted::Confirmed);
    assert_eq!(bench.set("k", "too late", v(5)), Written::Void);
    assert_eq!(bench.revert("never there", v(6)), Reverted::Confirmed);
    assert_eq!(bench.set("never there", "too late", v(6)), Written::Void);
    assert_eq!(bench.get("k").as_deref(), Some("base"));
}

#[test]
fn a_mark_never_refuses_what_another_replica_shows() {
    let bench = Bench::new();
    assert_eq!(bench.revert("k", v(5)), Reverted::Confirmed);
    assert_eq!(bench.copy("k", "shown elsewhere", v(5)), Copied::Newest);
    assert_eq!(bench.revert("k", v(5)), Reverted::Kept);
    assert!(matches!(bench.set("k", "shown elsewhere", v(5)), Written::Applied { .. }));
    assert_eq!(bench.get("k").as_deref(), Some("shown elsewhere"));
}

#[test]
fn a_version_that_was_here_and_is_superseded_is_not_confirmed() {
    // The read at the start must not be denied later, whatever was forgotten in between.
    let bench = Bench::new();
    bench.set("k", "read", v(3));
    assert_eq!(bench.get("k").as_deref(), Some("read"));
    bench.copy("k", "newer", of_node(5, 1));
    bench.store.sweep(LATER);
    assert_eq!(bench.store.counts().open_records, 0);
    assert_eq!(bench.store.write(bench.slot, b"k", Some(b"read"), None, v(3), LATER), Written::Stale(of_node(5, 1)));
    assert_eq!(bench.store.revert(bench.slot, b"k", v(3), LATER), Reverted::Kept);
}

#[test]
fn a_version_refused_by_something_decided_is_confirmed() {
    let bench = Bench::new();
    bench.copy("k", "ahead", of_node(9, 1));
    assert_eq!(bench.set("k", "slow clock", v(3)), Written::Stale(of_node(9, 1)));
    assert_eq!(bench.revert("k", v(3)), Reverted::Confirmed);
    assert_eq!(bench.set("k", "slow clock", v(3)), Written::Void);
}

#[test]
fn a_version_refused_by_something_open_is_confirmed() {
    let bench = Bench::new();
    bench.set("k", "ahead", of_node(9, 1));
    assert_eq!(bench.set("k", "slow clock", v(3)), Written::Stale(of_node(9, 1)));
    assert_eq!(bench.revert("k", v(3)), Reverted::Confirmed);
    assert_eq!(bench.revert("k", of_node(9, 1)), Reverted::Kept, "it was refused for this one");
    assert_eq!(bench.set("k", "slow clock", v(3)), Written::Void);
}

#[test]
fn a_reverted_tombstone_brings_the_value_back() {
    let bench = Bench::new();
    bench.copy("k", "value", of_node(1, 1));
    assert_eq!(bench.delete("k", v(2)), applied(of_node(1, 1), true));
    assert_eq!(bench.revert("k", v(2)), Reverted::Confirmed);
    assert_eq!(bench.get("k").as_deref(), Some("value"));
    assert_eq!(bench.store.live_keys(bench.slot), 1);
}
