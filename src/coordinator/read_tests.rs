//! One read, answer by answer.

use super::*;
use crate::ring::NodeIndex;
use crate::version::{Hlc, StartNumber};

fn found(hlc: u64, value: Option<&'static str>) -> Found {
    let version = Version::new(Hlc(hlc), NodeIndex(0), StartNumber::FIRST);
    Found { version, expires_at: None, value: value.map(|value| Bytes::from_static(value.as_bytes())) }
}

fn down() -> ReadAnswer {
    ReadAnswer::Uncounted("down".into())
}

fn ask(replicas: &[usize]) -> ReadVerdict {
    ReadVerdict::Ask(replicas.into())
}

fn read_of_three(write: u16, read: u16, reachable: [bool; 3]) -> ReadProgress {
    ReadProgress::new(Quorum { replicas: 3, write, read }, reachable.into_iter())
}

#[test]
fn first_record_answers_a_read_of_one() {
    let mut progress = read_of_three(2, 1, [true; 3]);
    assert_eq!(progress.verdict(), ask(&[0]));
    assert_eq!(progress.verdict(), ReadVerdict::Wait);
    progress.answered(0, 0, ReadAnswer::Found(found(1, Some("x"))));
    assert_eq!(progress.verdict(), ReadVerdict::Done);
    assert_eq!(progress.into_outcome(), ReadOutcome::Answer(Some(found(1, Some("x")))));
}

#[test]
fn nil_is_said_only_when_every_reachable_replica_has_none() {
    let mut progress = read_of_three(2, 1, [true, false, true]);
    assert_eq!(progress.verdict(), ask(&[0]));
    progress.answered(0, 0, ReadAnswer::Missing);
    assert_eq!(progress.verdict(), ask(&[2]));
    progress.answered(2, 0, ReadAnswer::Missing);
    assert_eq!(progress.verdict(), ReadVerdict::Done);
    assert_eq!(progress.into_outcome(), ReadOutcome::Answer(None));
}

#[test]
fn a_replica_that_fails_is_replaced_by_the_next() {
    let mut progress = read_of_three(2, 1, [true; 3]);
    assert_eq!(progress.verdict(), ask(&[0]));
    progress.answered(0, 0, down());
    assert_eq!(progress.verdict(), ask(&[1]));
    progress.answered(1, 0, ReadAnswer::Found(found(4, None)));
    assert_eq!(progress.verdict(), ReadVerdict::Done, "a tombstone is an answer");
    assert_eq!(progress.into_outcome(), ReadOutcome::Answer(Some(found(4, None))));
}

#[test]
fn nobody_reachable_is_no_quorum_and_never_nil() {
    let mut progress = read_of_three(2, 1, [false; 3]);
    assert_eq!(progress.verdict(), ReadVerdict::Done);
    assert_eq!(progress.into_outcome(), ReadOutcome::NoQuorum { answers: 0, reason: None });
}

#[test]
fn newest_of_a_read_quorum_that_a_write_quorum_holds_needs_no_write_back() {
    let mut progress = read_of_three(2, 2, [true; 3]);
    assert_eq!(progress.verdict(), ask(&[0, 1]));
    progress.answered(0, 0, ReadAnswer::Found(found(5, Some("x"))));
    assert_eq!(progress.verdict(), ReadVerdict::Wait);
    progress.answered(1, 0, ReadAnswer::Found(found(5, Some("x"))));
    assert_eq!(progress.verdict(), ReadVerdict::Done);
}

#[test]
fn newest_is_written_back_to_a_write_quorum_before_it_is_answered() {
    let mut progress = read_of_three(2, 2, [true; 3]);
    assert_eq!(progress.verdict(), ask(&[0, 1]));
    progress.answered(0, 0, ReadAnswer::Missing);
    progress.answered(1, 0, ReadAnswer::Found(found(5, Some("x"))));
    assert_eq!(progress.verdict(), ReadVerdict::WriteBack(found(5, Some("x")), SmallVec::from_slice(&[0, 2])));
    progress.written_back(0, 0, WriteBackAnswer::Uncounted("syncing".into()));
    assert_eq!(progress.verdict(), ReadVerdict::Wait);
    progress.written_back(2, 0, WriteBackAnswer::Held);
    assert_eq!(progress.verdict(), ReadVerdict::Done);
    assert_eq!(progress.into_outcome(), ReadOutcome::Answer(Some(found(5, Some("x")))));
}

#[test]
fn a_replica_with_something_newer_makes_it_read_again() {
    let mut progress = read_of_three(3, 2, [true; 3]);
    assert_eq!(progress.verdict(), ask(&[0, 1]));
    progress.answered(0, 0, ReadAnswer::Found(found(5, Some("x"))));
    progress.answered(1, 0, ReadAnswer::Found(found(5, Some("x"))));
    assert_eq!(progress.verdict(), ReadVerdict::WriteBack(found(5, Some("x")), SmallVec::from_slice(&[2])));
    progress.written_back(2, 0, WriteBackAnswer::Newer);
    assert_eq!(progress.verdict(), ask(&[2, 0]), "the one with something newer first");
    assert_eq!(progress.round(), 1);
    progress.answered(0, 0, ReadAnswer::Missing);
    assert_eq!(progress.verdict(), ReadVerdict::Wait, "an answer of the round before does not count");
}

#[test]
fn a_record_that_cannot_be_written_back_is_not_answered() {
    let mut progress = read_of_three(3, 2, [true, true, false]);
    assert_eq!(progress.verdict(), ask(&[0, 1]));
    (0..2).for_each(|replica| progress.answered(replica, 0, ReadAnswer::Found(found(5, Some("x")))));
    assert_eq!(progress.verdict(), ReadVerdict::WriteBack(found(5, Some("x")), SmallVec::new()));
    assert_eq!(progress.verdict(), ReadVerdict::Done);
    assert_eq!(progress.into_outcome(), ReadOutcome::NotWrittenBack { holders: 2, reason: None });
}

#[test]
fn too_few_answers_are_no_quorum() {
    let mut progress = read_of_three(2, 2, [true, true, false]);
    assert_eq!(progress.verdict(), ask(&[0, 1]));
    progress.answered(0, 0, ReadAnswer::Found(found(5, Some("x"))));
    progress.answered(1, 0, down());
    assert_eq!(progress.verdict(), ReadVerdict::Done);
    assert_eq!(progress.into_outcome(), ReadOutcome::NoQuorum { answers: 1, reason: Some("down".into()) });
}

/// A stale one, one that has none, and one that cannot be asked.
#[test]
fn stale_answers_and_those_of_them_that_were_repaired_are_counted() {
    let mut progress =
        ReadProgress::new(Quorum { replicas: 4, write: 3, read: 3 }, [true, true, true, false].into_iter());
    assert_eq!(progress.verdict(), ask(&[0, 1, 2]));
    progress.answered(0, 0, ReadAnswer::Found(found(4, Some("old"))));
    progress.answered(1, 0, ReadAnswer::Missing);
    progress.answered(2, 0, ReadAnswer::Found(found(5, Some("new"))));
    assert_eq!(progress.verdict(), ReadVerdict::WriteBack(found(5, Some("new")), SmallVec::from_slice(&[0, 1])));
    assert_eq!(progress.disagreement(), Disagreement { stale: 2, repaired: 0 });
    progress.written_back(1, 0, WriteBackAnswer::Uncounted("down".into()));
    progress.written_back(0, 0, WriteBackAnswer::Held);
    assert_eq!(progress.disagreement(), Disagreement { stale: 2, repaired: 1 });
}

#[test]
fn a_replica_without_the_record_that_another_has_is_stale_for_a_read_of_one_too() {
    let mut progress = read_of_three(2, 1, [true; 3]);
    assert_eq!(progress.verdict(), ask(&[0]));
    progress.answered(0, 0, ReadAnswer::Missing);
    assert_eq!(progress.verdict(), ask(&[1, 2]));
    progress.answered(1, 0, ReadAnswer::Found(found(1, None)));
    assert_eq!(progress.verdict(), ReadVerdict::Done);
    assert_eq!(progress.disagreement(), Disagreement { stale: 1, repaired: 0 });
}

#[test]
fn a_read_of_one_in_a_hurry_asks_one_more_and_takes_the_first_answer() {
    let mut progress = read_of_three(2, 1, [true; 3]);
    assert_eq!(progress.verdict(), ask(&[0]));
    assert!(progress.may_hurry());
    progress.hurry();
    assert_eq!(progress.verdict(), ask(&[1]));
    assert_eq!(progress.verdict(), ReadVerdict::Wait);
    progress.answered(1, 0, down());
    assert_eq!(progress.verdict(), ReadVerdict::Wait, "0 may answer yet");
    progress.hurry();
    assert_eq!(progress.verdict(), ask(&[2]));
    progress.hurry();
    assert_eq!(progress.verdict(), ReadVerdict::Wait, "nobody is left");
    progress.answered(2, 0, ReadAnswer::Found(found(1, Some("x"))));
    assert_eq!(progress.verdict(), ReadVerdict::Done);
    assert!(!progress.may_hurry());
}

#[test]
fn a_quorum_read_is_never_in_a_hurry() {
    let mut progress = read_of_three(2, 2, [true; 3]);
    assert_eq!(progress.verdict(), ask(&[0, 1]));
    progress.hurry();
    assert_eq!(progress.verdict(), ReadVerdict::Wait);
}
