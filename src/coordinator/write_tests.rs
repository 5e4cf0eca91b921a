//! What becomes of a write, answer by answer.

use super::*;
use crate::ring::NodeIndex;
use crate::version::Hlc;

const PROCESS: StartNumber = StartNumber::FIRST;

fn version(hlc: u64) -> Version {
    Version::new(Hlc(hlc), NodeIndex(0), PROCESS)
}

fn acked() -> WriteAnswer {
    WriteAnswer::Acked(Before::default())
}

fn lost() -> WriteAnswer {
    WriteAnswer::Lost("timed out".into())
}

/// A write of quorum `write` of three, stamped 10 and handed to the first `sent` replicas.
fn write_of_three(write: u16, sent: usize) -> WriteProgress {
    let quorum = Quorum { replicas: 3, write, read: 1 };
    let mut progress = WriteProgress::new(quorum, quorum);
    progress.stamp(version(10));
    (0..sent).for_each(|replica| progress.sent(replica, PROCESS));
    progress
}

/// What stood in the way may be further ahead than this node's clock follows.
#[test]
fn a_write_that_is_given_up_after_a_promise_does_not_begin_again() {
    let take_back = |progress: &mut WriteProgress| {
        for replica in 0..2 {
            progress.revert_sent();
            progress.revert_answered(replica, PROCESS, Ok(()));
        }
        progress.verdict()
    };
    let mut progress = write_of_three(2, 2);
    progress.answered(0, 1, acked());
    progress.answered(1, 1, WriteAnswer::Promised(version(99)));
    assert_eq!(progress.verdict(), Verdict::Revert);
    assert_eq!(take_back(&mut progress), Verdict::Restamp(version(99)));

    assert_eq!(progress.give_up("drift".to_owned()), Verdict::Revert);

    assert_eq!(take_back(&mut progress), Verdict::Done);
    assert!(matches!(progress.outcome(), WriteOutcome::Reverted { acks: 1, .. }));
}

#[test]
fn is_done_at_the_quorums_ack_and_not_before() {
    let mut progress = write_of_three(2, 3);
    assert_eq!(progress.verdict(), Verdict::Wait);
    progress.answered(1, 1, acked());
    assert_eq!(progress.verdict(), Verdict::Wait);
    progress.answered(0, 1, acked());
    assert_eq!(progress.verdict(), Verdict::Done);
    assert_eq!(progress.outcome(), WriteOutcome::Acked(Before::default()));
}

#[test]
fn newest_record_before_the_write_is_reported() {
    let mut progress = write_of_three(2, 3);
    progress.answered(0, 1, WriteAnswer::Acked(Before { version: version(3), live: true }));
    progress.answered(1, 1, WriteAnswer::Acked(Before { version: version(4), live: false }));
    assert_eq!(progress.verdict(), Verdict::Done);
    assert_eq!(progress.outcome(), WriteOutcome::Acked(Before { version: version(4), live: false }));
}

#[test]
fn one_stale_answer_of_a_majority_write_only_waits() {
    let mut progress = write_of_three(2, 3);
    progress.answered(0, 1, WriteAnswer::Stale(version(20)));
    assert_eq!(progress.verdict(), Verdict::Wait, "retrying now could let one write take effect twice");
    progress.answered(1, 1, acked());
    progress.answered(2, 1, acked());
    assert_eq!(progress.verdict(), Verdict::Done);
}

#[test]
fn a_stale_quorum_stamps_anew_above_the_largest_and_ignores_late_answers() {
    let mut progress = write_of_three(2, 3);
    progress.answered(0, 1, WriteAnswer::Stale(version(20)));
    progress.answered(1, 1, WriteAnswer::Stale(version(30)));
    assert_eq!(progress.verdict(), Verdict::Restamp(version(30)));

    progress.stamp(version(31));
    (0..3).for_each(|replica| progress.sent(replica, PROCESS));
    progress.answered(2, 1, acked());
    assert_eq!(progress.verdict(), Verdict::Wait, "that ack was for the first stamp");
    progress.answered(0, 2, acked());
    progress.answered(1, 2, acked());
    assert_eq!(progress.verdict(), Verdict::Done);
}

#[test]
fn gives_up_after_a_few_stamps_and_names_them_all_in_the_revert() {
    let mut progress = write_of_three(3, 3);
    for (attempt, stamp) in (1..=STAMPS_MAX).zip(0..) {
        assert_eq!(progress.attempt(), attempt);
        progress.answered(0, progress.attempt(), WriteAnswer::Stale(version(1000)));
        if progress.attempt() < STAMPS_MAX {
            assert_eq!(progress.verdict(), Verdict::Restamp(version(1000)));
            progress.stamp(version(1001 + stamp));
            (0..3).for_each(|replica| progress.sent(replica, PROCESS));
        }
    }
    assert_eq!(progress.verdict(), Verdict::Revert);
    assert_eq!(progress.stamps().len(), STAMPS_MAX);
}

#[test]
fn says_reverted_only_when_every_replica_it_was_sent_to_has_confirmed() {
    for confirmations in 0..=2_usize {
        let mut progress = write_of_three(3, 2);
        progress.answered(0, 1, acked());
        assert_eq!(progress.verdict(), Verdict::Revert, "the third replica was known to be down");
        assert!(progress.may_hold(0) && progress.may_hold(1) && !progress.may_hold(2));
        (0..2).for_each(|_| progress.revert_sent());
        for replica in 0..2 {
            assert_eq!(progress.verdict(), Verdict::Wait);
            let answer = if replica < confirmations { Ok(()) } else { Err("kept".into()) };
            progress.revert_answered(replica, PROCESS, answer);
        }
        assert_eq!(progress.verdict(), Verdict::Done);
        let reverted = matches!(progress.outcome(), WriteOutcome::Reverted { acks: 1, .. });
        assert_eq!(reverted, confirmations == 2, "{confirmations} confirmations");
    }
}

#[test]
fn a_restarted_replica_cannot_confirm_for_its_earlier_process() {
    let mut progress = write_of_three(2, 3);
    progress.answered(1, 1, lost());
    progress.answered(2, 1, lost());
    assert_eq!(progress.verdict(), Verdict::Revert);
    for (replica, process) in [(0, PROCESS), (1, PROCESS), (2, PROCESS.next())] {
        progress.revert_sent();
        progress.revert_answered(replica, process, Ok(()));
    }
    assert_eq!(progress.verdict(), Verdict::Done);
    assert!(matches!(progress.outcome(), WriteOutcome::Indeterminate { acks: 0, .. }));
}

#[test]
fn a_replica_that_cannot_be_asked_leaves_the_outcome_open() {
    let mut progress = write_of_three(2, 2);
    progress.answered(1, 1, lost());
    assert_eq!(progress.verdict(), Verdict::Revert);
    progress.revert_sent();
    progress.revert_unsent("node-2 is down".into());
    progress.revert_answered(0, PROCESS, Ok(()));
    assert_eq!(progress.verdict(), Verdict::Done);
    assert!(matches!(progress.outcome(), WriteOutcome::Indeterminate { .. }));
}

#[test]
fn a_write_handed_to_nobody_is_reverted_by_itself() {
    let mut progress = write_of_three(1, 0);
    assert_eq!(progress.verdict(), Verdict::Revert);
    assert_eq!(progress.verdict(), Verdict::Done);
    assert_eq!(progress.outcome(), WriteOutcome::Reverted { acks: 0, reason: None });
}

#[test]
fn a_write_that_a_promise_refuses_is_stamped_anew_once_it_was_taken_back() {
    let mut progress = write_of_three(2, 3);
    progress.answered(0, 1, acked());
    progress.answered(1, 1, WriteAnswer::Promised(version(20)));
    assert_eq!(progress.verdict(), Verdict::Wait);
    progress.answered(2, 1, WriteAnswer::Promised(version(30)));
    assert_eq!(progress.verdict(), Verdict::Revert);
    (0..3).for_each(|_| progress.revert_sent());
    (0..3).for_each(|replica| progress.revert_answered(replica, PROCESS, Ok(())));
    assert_eq!(progress.verdict(), Verdict::Restamp(version(30)));
}

#[test]
fn a_write_that_was_read_before_a_promise_refused_it_is_not_stamped_anew() {
    let mut progress = write_of_three(2, 3);
    progress.answered(0, 1, acked());
    progress.answered(1, 1, WriteAnswer::Promised(version(20)));
    progress.answered(2, 1, WriteAnswer::Promised(version(20)));
    assert_eq!(progress.verdict(), Verdict::Revert);
    (0..3).for_each(|_| progress.revert_sent());
    progress.revert_answered(0, PROCESS, Err("a replica could not take the write back any more".to_owned()));
    (1..3).for_each(|replica| progress.revert_answered(replica, PROCESS, Ok(())));
    assert_eq!(progress.verdict(), Verdict::Done);
    assert!(matches!(progress.outcome(), WriteOutcome::Indeterminate { .. }));
}

#[test]
fn an_updates_write_is_taken_back_instead_of_stamped_anew() {
    let mut progress = WriteProgress::of_update(Quorum { replicas: 3, write: 2, read: 1 });
    progress.stamp(version(10));
    (0..3).for_each(|replica| progress.sent(replica, PROCESS));
    progress.answered(0, 1, acked());
    progress.answered(1, 1, WriteAnswer::Stale(version(20)));
    progress.answered(2, 1, WriteAnswer::Stale(version(20)));
    assert_eq!(progress.verdict(), Verdict::Revert);
    (0..3).for_each(|_| progress.revert_sent());
    (0..3).for_each(|replica| progress.revert_answered(replica, PROCESS, Ok(())));
    assert_eq!(progress.verdict(), Verdict::Done);
    assert_eq!(progress.outcome(), WriteOutcome::Outrun(version(20)));
}

/// Where two replicas make a write, a read may have shown it from the two that took it.
#[test]
fn a_write_of_all_replicas_is_not_stamped_anew_while_the_cluster_could_read_it() {
    let configured = Quorum { replicas: 3, write: 2, read: 2 };
    let mut progress = WriteProgress::new(Quorum { write: 3, ..configured }, configured);
    progress.stamp(version(10));
    (0..3).for_each(|replica| progress.sent(replica, PROCESS));
    progress.answered(0, 1, acked());
    progress.answered(1, 1, acked());
    progress.answered(2, 1, WriteAnswer::Stale(version(20)));
    assert_eq!(progress.verdict(), Verdict::Revert);
}

#[test]
fn only_a_stale_quorum_lets_replicas_take_it_below_newer_ones() {
    let mut progress = write_of_three(2, 3);
    assert!(!progress.may_be_covered());
    progress.answered(0, 1, WriteAnswer::Stale(version(20)));
    assert_eq!(progress.verdict(), Verdict::Wait);
    assert!(!progress.may_be_covered(), "what is newer there may have had its quorum before");
    progress.answered(1, 1, WriteAnswer::Stale(version(30)));
    assert_eq!(progress.verdict(), Verdict::Restamp(version(30)));
    assert!(progress.may_be_covered());
}

#[test]
fn what_a_syncing_replica_shows_does_not_let_it_be_covered() {
    let mut progress = write_of_three(2, 3);
    progress.answered(0, 1, WriteAnswer::Stale(version(20)));
    progress.answered(1, 1, WriteAnswer::StaleSyncing(version(30)));
    assert_eq!(progress.verdict(), Verdict::Wait, "the third may know better");
    progress.answered(2, 1, WriteAnswer::Lost("late".to_owned()));
    assert_eq!(progress.verdict(), Verdict::Restamp(version(30)), "they refuse it all the same");
    assert!(!progress.may_be_covered());
}
