//! The checkers find what is wrong and let pass what is right.

use super::*;

/// A history of one key from lines like `0-5 set a`, `6-7 get a`, `2-? set b` (unknown), `2-3! set c` (taken back), `4-5 swap b a` (b
/// for a).
fn history(lines: &[&str]) -> Vec<Call> {
    lines.iter().enumerate().map(|(client, line)| call(client, line)).collect()
}

fn call(client: usize, line: &str) -> Call {
    let mut words = line.split(' ');
    let (begin, end) = words.next().and_then(|times| times.split_once('-')).expect("two times");
    let action = match words.next() {
        Some("set") => Action::Write(words.next().map(str::to_owned)),
        Some("del") => Action::Write(None),
        Some("append") => Action::Append(words.next().map(str::to_owned).expect("a value")),
        Some("swap") => Action::Swap(words.next().map(str::to_owned)),
        _ => Action::Read,
    };
    let fate = match (&action, end) {
        (_, "?") => Fate::Unknown,
        (_, end) if end.ends_with('!') => Fate::TakenBack,
        (Action::Read | Action::Swap(_) | Action::Append(_), _) => {
            Fate::Saw(words.next().filter(|&value| value != "nil").map(str::to_owned))
        }
        _ => Fate::Acknowledged,
    };
    let returned = end.trim_end_matches('!').parse().unwrap_or(1000);
    let invoked = begin.parse().expect("a time");
    Call { client, node: 0, key: "k".to_owned(), action, fate, words: String::new(), invoked, returned }
}

#[test]
fn reads_in_the_order_of_writes_are_linearizable() {
    for lines in [
        &["0-1 get nil", "2-3 set a", "4-5 get a", "6-7 del", "8-9 get nil"][..],
        &["0-9 set a", "1-2 get nil", "3-4 get a"],
        &["0-9 set a", "0-9 set b", "1-2 get a", "3-4 get b"],
        &["0-1 set a", "2-? set b", "3-4 get a", "5-6 get b", "7-8 set c", "9-10 get c"],
        &["0-1 set a", "2-? set b", "3-4 set c", "5-6 get c", "7-8 get b"],
        &["0-1 set a", "2-3! set b", "4-5 get a"],
        &["0-1 set a", "2-? del", "3-4 get a", "5-6 get nil", "7-8 get nil"],
    ] {
        assert_eq!(is_linearizable(&history(lines)), Ok(()), "{lines:?}");
        assert_eq!(nothing_taken_back_is_read(&history(lines)), Ok(()), "{lines:?}");
    }
}

#[test]
fn swaps_that_saw_one_another_are_linearizable() {
    for lines in [
        &["0-1 set a", "2-9 swap b a", "2-9 swap c b", "10-11 get c"][..],
        &["0-9 swap a nil", "0-9 set b", "10-11 get a"],
        &["0-1 set a", "2-? swap b", "3-4 swap c b", "5-6 get c"],
        &["0-1 set a", "2-3! swap b", "4-5 swap c a"],
    ] {
        assert_eq!(swaps_see_one_another(&history(lines)), Ok(()), "{lines:?}");
    }
    assert_eq!(is_linearizable(&history(&["0-1 set a", "2-9 swap b a", "2-9 swap c b", "10-11 get c"])), Ok(()));
}

#[test]
fn what_is_appended_stands_behind_what_was_there() {
    for lines in [
        &["0-1 set a", "2-9 append b 3", "2-9 append c 5", "10-11 get a.b.c"][..],
        &["0-1 append a 2", "2-? append b", "3-4 append c 6", "5-6 get .a.b.c"],
        &["0-1 set a", "2-? set bb", "3-4 append c 4", "5-6 set d", "7-8 get d"],
        &["0-1 set a", "2-? del", "3-4 append c 2", "5-6 get .c"],
        &["0-1 set a", "2-? del", "3-? append c", "5-6 get .c"],
        &[
            "0-1 set a",
            "2-? append b",
            "3-? append c",
            "5-6 append d 5",
            "7-? append e",
            "8-9 append f 9",
            "10-11 set g",
        ],
    ] {
        assert_eq!(is_linearizable(&history(lines)), Ok(()), "{lines:?}");
        assert_eq!(nothing_taken_back_is_read(&history(lines)), Ok(()), "{lines:?}");
        assert_eq!(reads_return_the_last_acknowledged(&history(lines)), Ok(()), "{lines:?}");
    }
    for lines in [
        &["0-1 set a", "2-3 append b 3", "4-5 append c 3"][..],
        &["0-1 set a", "2-3 set b", "4-? append c", "5-6 get a.c"],
        &["0-1 set a", "2-3 append b 3", "4-5 get a"],
    ] {
        assert!(is_linearizable(&history(lines)).is_err(), "{lines:?}");
    }
    assert!(nothing_taken_back_is_read(&history(&["0-1 set a", "2-3! append b", "4-5 get a.b"])).is_err());
}

#[test]
fn many_writes_of_unknown_fate_do_not_hide_the_order_that_there_is() {
    let unknown: Vec<String> = (0..20).map(|at| format!("{}-? append {at:02}", at + 2)).collect();
    let known = ["0-1 set a", "40-41 append b 3", "50-51 get a.b", "52-53 append c 5", "60-61 get a.b.c"];
    let lines: Vec<&str> = known.into_iter().chain(unknown.iter().map(String::as_str)).collect();
    assert_eq!(is_linearizable(&history(&lines)), Ok(()));
}

#[test]
fn a_lost_swap_is_found() {
    for lines in [
        &["0-1 set a", "2-9 swap b a", "2-9 swap c a"][..],
        &["0-1 set a", "2-3 swap b a", "4-5 swap c a"],
        &["0-1 set a", "2-3 set b", "4-5 swap c a"],
    ] {
        assert!(swaps_see_one_another(&history(lines)).is_err(), "{lines:?}");
        assert!(is_linearizable(&history(lines)).is_err(), "{lines:?}");
    }
    assert!(is_linearizable(&history(&["0-1 set a", "2-5 swap b a", "2-5 set c", "6-7 get b"])).is_err());
}

#[test]
fn a_stale_read_is_found() {
    assert!(is_linearizable(&history(&["0-1 set a", "2-3 set b", "4-5 get a"])).is_err());
    assert!(is_linearizable(&history(&["0-1 set a", "2-3 get nil"])).is_err());
    assert!(is_linearizable(&history(&["0-1 set a", "2-3 del", "4-5 get a"])).is_err());
}

#[test]
fn reads_that_go_back_in_time_are_found() {
    let lines = ["0-1 set a", "2-9 set b", "3-4 get b", "5-6 get a"];
    assert!(is_linearizable(&history(&lines)).is_err());
    assert_eq!(reads_return_the_last_acknowledged(&history(&lines)), Ok(()), "that one was never promised");
}

#[test]
fn a_write_that_takes_effect_twice_is_found() {
    let lines = ["0-9 set x", "1-2 get x", "3-4 set y", "5-6 get y", "7-8 get x"];
    assert!(is_linearizable(&history(&lines)).is_err());
}

#[test]
fn a_lost_acknowledged_write_is_found() {
    let lines = ["0-1 set a", "2-3 set b", "4-? set c", "5-6 get a"];
    assert!(is_linearizable(&history(&lines)).is_err());
    assert!(reads_return_the_last_acknowledged(&history(&lines)).is_err());
}

#[test]
fn an_unknown_write_takes_effect_once_only() {
    let lines = ["0-? set a", "1-2 get a", "3-4 set b", "5-6 get b", "7-8 get a"];
    assert!(is_linearizable(&history(&lines)).is_err());
}

#[test]
fn a_value_that_was_taken_back_must_never_be_read() {
    for lines in [&["0-5! set a", "1-2 get a"][..], &["0-1! set a", "8-9 get a"]] {
        assert!(nothing_taken_back_is_read(&history(lines)).is_err(), "{lines:?}");
        assert!(is_linearizable(&history(lines)).is_err(), "{lines:?}");
        assert!(reads_return_the_last_acknowledged(&history(lines)).is_err(), "{lines:?}");
    }
}

#[test]
fn a_value_from_nowhere_or_from_the_future_is_found() {
    assert!(nothing_taken_back_is_read(&history(&["0-1 get a"])).is_err());
    assert!(nothing_taken_back_is_read(&history(&["0-1 get a", "2-3 set a"])).is_err());
}

#[test]
fn a_deleted_value_that_is_back_after_all_faults_is_found() {
    let mut calls = history(&["0-1 set a", "2-3 del", "4-5 get a", "6-7 get a"]);
    assert_eq!(final_reads_return_the_last_acknowledged(&calls), Ok(()), "until then an old read is allowed");
    calls[3].client = NOBODY;
    assert!(final_reads_return_the_last_acknowledged(&calls).is_err());
    calls[1].fate = Fate::Unknown;
    assert_eq!(final_reads_return_the_last_acknowledged(&calls), Ok(()), "that delete may never have been");
}

#[test]
fn the_last_acknowledged_write_or_one_in_flight_may_be_read() {
    for lines in [
        &["0-1 set a", "2-3 get a"][..],
        &["0-1 set a", "2-9 set b", "3-4 get a", "5-6 get b", "7-8 get a"],
        &["0-5 set a", "1-6 set b", "7-8 get a"],
        &["0-1 set a", "2-? set b", "3-4 set c", "5-6 get b", "7-8 get c"],
    ] {
        assert_eq!(reads_return_the_last_acknowledged(&history(lines)), Ok(()), "{lines:?}");
    }
    assert!(reads_return_the_last_acknowledged(&history(&["0-1 set a", "2-3 set b", "4-5 get a"])).is_err());
    assert!(reads_return_the_last_acknowledged(&history(&["0-1 set a", "2-3 get nil"])).is_err());
}
