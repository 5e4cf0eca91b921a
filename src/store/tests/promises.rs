//! Promises: what a replica takes while an update is under way, and what it does not.

use super::*;

#[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not general enough in its lifetime")]
fn prepare(bench: &Bench, ballot: Version, now: UnixMs) -> Prepared<Option<Version>> {
    bench.store.prepare(bench.slot, b"k", (ballot, true), now, |lookup| lookup.version())
}

fn accept(bench: &Bench, value: &str, ballot: Version, base: Version, now: UnixMs) -> Accepted {
    bench.store.accept(bench.slot, b"k", Some(value.as_bytes()), None, (ballot, base), now)
}

/// The smallest version above the floor that the ballot `v(hlc)` has become.
fn floor(hlc: u64) -> Version {
    Version::new(Hlc(hlc + 1), NodeIndex(0), StartNumber::default())
}

#[test]
fn an_update_writes_over_what_it_has_seen() {
    let bench = Bench::new();
    bench.set("k", "a", v(5));
    assert_eq!(prepare(&bench, v(10), NOW), Prepared::Shows(Some(v(5))));
    assert_eq!(accept(&bench, "b", v(10), v(5), NOW), Accepted::Written(applied(v(5), true)));
    assert_eq!(bench.get("k").as_deref(), Some("b"));
}

#[test]
fn who_asks_politely_does_not_see_what_another_node_may_take_back() {
    let bench = Bench::new();
    let asked = |ballot| {
        bench.store.prepare(bench.slot, b"k", (ballot, false), NOW, |lookup| lookup.version().unwrap_or_default())
    };
    bench.copy("k", "decided", of_node(3, 1));
    assert_eq!(asked(v(4)), Prepared::Shows(of_node(3, 1)));
    bench.set("k", "own", v(5));
    assert_eq!(asked(v(6)), Prepared::Shows(v(5)), "who asks knows what becomes of it");

    bench.set("k", "uncertain", of_node(10, 1));
    assert_eq!(asked(v(12)), Prepared::Withheld(of_node(10, 1)));
    assert_eq!(bench.set("k", "late", of_node(11, 2)), Written::Promised(v(12)), "it is promised all the same");
    assert_eq!(accept(&bench, "b", v(12), v(5), NOW), Accepted::Refused(of_node(10, 1)));
    assert_eq!(bench.revert("k", of_node(10, 1)), Reverted::Confirmed, "nobody has seen it");

    bench.set("k", "uncertain", of_node(20, 1));
    assert_eq!(prepare(&bench, v(21), NOW), Prepared::Shows(Some(of_node(20, 1))), "who insists sees it");
    assert_eq!(asked(v(22)), Prepared::Shows(of_node(20, 1)), "so others may");
    bench.set("k", "uncertain", of_node(30, 1));
    assert_eq!(asked(v(31)), Prepared::Withheld(of_node(30, 1)));
    bench.pass(1, 31);
    assert_eq!(asked(v(32)), Prepared::Shows(of_node(30, 1)), "it is decided");
}

#[test]
fn nothing_older_than_a_promise_is_taken_that_was_not_shown_before() {
    let bench = Bench::new();
    bench.set("k", "a", v(5));
    assert_eq!(prepare(&bench, v(10), NOW), Prepared::Shows(Some(v(5))));

    assert_eq!(bench.set("k", "late", v(7)), Written::Promised(v(10)));
    assert_eq!(bench.copy("k", "late", v(7)), Copied::Promised(v(10)));
    assert_eq!(bench.set("k", "a", v(5)), applied(Version::default(), false), "a repetition changes nothing");
    assert_eq!(bench.set("other", "x", v(6)), applied(Version::default(), false), "it is of one key alone");
    assert_eq!(bench.set("k", "newer", v(11)), applied(v(5), true));
    assert_eq!(accept(&bench, "b", v(10), v(5), NOW), Accepted::Written(Written::Stale(v(11))));
}

/// It is not merely stamped anew, so nothing has to stay for its sake.
#[test]
fn an_updates_write_that_is_refused_binds_nothing() {
    let bench = Bench::new();
    assert_eq!(prepare(&bench, v(10), NOW), Prepared::Shows(None));
    bench.set("k", "newer", v(11));
    assert_eq!(accept(&bench, "b", v(10), Version::default(), NOW), Accepted::Written(Written::Stale(v(11))));
    assert_eq!(bench.revert("k", v(11)), Reverted::Confirmed);
}

#[test]
fn a_write_is_taken_only_under_the_ballot_that_was_promised_last() {
    let bench = Bench::new();
    assert_eq!(accept(&bench, "b", v(10), Version::default(), NOW), Accepted::Refused(Version::default()));
    assert_eq!(prepare(&bench, v(10), NOW), Prepared::Shows(None));
    assert_eq!(prepare(&bench, v(20), NOW), Prepared::Shows(None));
    assert_eq!(prepare(&bench, v(15), NOW), Prepared::Promised(v(20)));
    assert_eq!(accept(&bench, "b", v(10), Version::default(), NOW), Accepted::Refused(v(20)));
    assert_eq!(
        accept(&bench, "c", v(20), Version::default(), NOW),
        Accepted::Written(applied(Version::default(), false))
    );
    assert_eq!(accept(&bench, "c", v(20), Version::default(), NOW), Accepted::Refused(Version::default()), "once");
    assert_eq!(bench.get("k").as_deref(), Some("c"));
}

/// The replica was not among those whose answers the update waited for.
#[test]
fn what_an_update_has_not_seen_is_not_written_over() {
    let bench = Bench::new();
    bench.set("k", "unseen", v(7));
    assert_eq!(prepare(&bench, v(10), NOW), Prepared::Shows(Some(v(7))));
    assert_eq!(accept(&bench, "b", v(10), v(5), NOW), Accepted::Refused(v(7)));
    assert_eq!(bench.get("k").as_deref(), Some("unseen"));
    assert_eq!(bench.set("k", "late", v(8)), Written::Promised(floor(10)), "others may have taken the update's write");
    assert_eq!(bench.set("k", "later", v(12)), applied(v(7), true), "the promise is over");
}

#[test]
fn what_an_update_is_based_on_may_come_while_it_is_under_way() {
    let bench = Bench::new();
    assert_eq!(prepare(&bench, v(10), NOW), Prepared::Shows(None));
    let base = |ballot| bench.store.copy_base(bench.slot, b"k", Some(b"seen"), None, (v(5), ballot), NOW);
    assert_eq!(base(v(9)), Copied::Promised(v(10)));
    assert_eq!(base(v(10)), Copied::Newest);
    assert_eq!(accept(&bench, "b", v(10), v(5), NOW), Accepted::Written(applied(v(5), true)));
    assert_eq!(bench.set("k", "seen", v(5)), applied(Version::default(), false), "it was the newest here");
}

#[test]
fn a_promise_that_nobody_keeps_ends() {
    let bench = Bench::new();
    prepare(&bench, v(10), NOW);
    assert_eq!(accept(&bench, "b", v(10), Version::default(), LATER), Accepted::Refused(Version::default()));
    bench.store.sweep(LATER);
    assert_eq!(bench.store.promises.ballot(bench.store.hashed(b"k").hash, NOW), None);
}

/// The update may lie elsewhere.
#[test]
fn what_was_promised_holds_for_fresh_writes_when_the_promise_has_ended() {
    let bench = Bench::new();
    bench.set("k", "a", v(5));
    prepare(&bench, v(10), NOW);
    let write = |version| bench.store.write(bench.slot, b"k", Some(b"v"), None, version, LATER);
    assert_eq!(write(v(7)), Written::Promised(v(10)));
    assert_eq!(write(v(5)), applied(Version::default(), false), "a repetition changes nothing");
    bench.store.sweep(LATER);
    assert_eq!(write(v(7)), Written::Promised(floor(10)));
    assert_eq!(prepare(&bench, v(8), LATER), Prepared::Promised(floor(10)), "updates are refused like writes");
    assert_eq!(write(v(12)), applied(v(5), true));
    assert_eq!(prepare(&bench, v(13), LATER), Prepared::Shows(Some(v(12))));
}

#[test]
fn an_update_that_was_taken_back_may_have_been_taken_elsewhere() {
    let bench = Bench::new();
    bench.set("k", "a", v(5));
    prepare(&bench, v(10), NOW);
    accept(&bench, "b", v(10), v(5), NOW);
    assert_eq!(bench.revert("k", v(10)), Reverted::Confirmed);
    assert_eq!(bench.set("k", "late", v(7)), Written::Promised(floor(10)));
    assert_eq!(bench.copy("k", "unfinished", v(7)), Copied::Unsettled(floor(10)));
    assert_eq!(bench.copy("k", "a", v(5)), Copied::Newest, "it is shown");
    assert_eq!(bench.copy("k", "b", v(10)), Copied::Unsettled(floor(10)), "it was taken elsewhere: it is written anew");
    assert_eq!(bench.copy("k", "settled", v(11)), Copied::Newest);
}

#[test]
fn a_plain_write_that_is_taken_back_stands_in_nobodys_way() {
    let bench = Bench::new();
    bench.set("k", "a", v(10));
    assert_eq!(bench.revert("k", v(10)), Reverted::Confirmed);
    assert_eq!(bench.set("k", "b", v(7)), applied(Version::default(), false));
}

/// What the update has seen stays where the update's write may be.
#[test]
fn what_an_update_is_based_on_comes_below_a_floor() {
    let bench = Bench::new();
    prepare(&bench, v(10), NOW);
    bench.store.sweep(LATER);
    assert_eq!(prepare(&bench, v(20), LATER), Prepared::Shows(None));
    let base = bench.store.copy_base(bench.slot, b"k", Some(b"seen"), None, (v(5), v(20)), LATER);
    assert_eq!(base, Copied::Newest);
}

#[test]
fn a_new_run_keeps_the_promises_of_the_one_before() {
    let bench = Bench::new();
    bench.store.refuse_up_to(v(10).hlc());
    assert_eq!(bench.set("k", "late", v(7)), Written::Promised(floor(10)));
    assert_eq!(prepare(&bench, v(7), NOW), Prepared::Promised(floor(10)));
    assert_eq!(bench.copy("k", "missed", v(7)), Copied::Newest, "it is catching up");
    assert_eq!(bench.set("k", "newer", v(12)), applied(v(7), true));
}

#[test]
fn an_updates_write_can_be_taken_back() {
    let bench = Bench::new();
    bench.set("k", "a", v(5));
    prepare(&bench, v(10), NOW);
    accept(&bench, "b", v(10), v(5), NOW);
    assert_eq!(bench.revert("k", v(10)), Reverted::Confirmed);
    assert_eq!(bench.get("k").as_deref(), Some("a"));
}
