//! When two replicas whose digests differ are to exchange records.
//!
//! Under load a slot differs for a moment whenever a write is on its way. If each difference were acted upon, writing
//! would cost everything twice. So a difference must either stand still, seen twice with both digests unchanged, or
//! last: a slot that is written all the time never stands still, and is looked into after [`ROUNDS_MAX`] rounds. An
//! exchange that brought nothing (the peer is the one that lacks something, or cannot take it) makes the next one wait
//! twice as long.

use crate::peer::{Certainty, Digest};
use crate::time::UnixMs;

/// Rounds for which a slot may differ, whatever its digests.
const ROUNDS_MAX: u32 = 8;
/// How often the wait is doubled.
const DOUBLINGS_MAX: u32 = 5;

/// What comparing with one peer came to, over the slots that both keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PeerAgreement {
    /// Slots that were found equal in the last comparison.
    pub equal: u32,
    /// Slots that were found to differ. Those that were being written, or synced, count for neither.
    pub differing: u32,
    /// When that was; `None` before the first time.
    pub compared_at: Option<UnixMs>,
    /// When all slots were found equal last.
    pub agreed_at: Option<UnixMs>,
}

/// What to do about a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Judgement {
    /// Nothing: the two hold the same.
    Agree,
    /// Nothing: nothing can be told now.
    Unsure,
    /// Nothing yet, but the two differ.
    Differ,
    /// Exchange records now.
    Exchange,
}

/// What is remembered of a slot that was found to differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Doubt {
    /// Both digests at the last comparison, if they were settled.
    sums: Option<(u64, u64)>,
    /// For how many comparisons these have not changed.
    unchanged: u32,
    /// For how many the slot has differed.
    rounds: u32,
    /// How many exchanges in a row brought nothing.
    fruitless: u32,
}

impl Doubt {
    /// Takes note of an exchange that brought so many records.
    pub(super) fn exchanged(&mut self, records: usize) {
        let fruitless = if records == 0 { (self.fruitless + 1).min(DOUBLINGS_MAX) } else { 0 };
        *self = Self { sums: self.sums, fruitless, ..Self::default() };
    }

    fn next(self, ours: Digest, theirs: Digest) -> Self {
        let is_settled = ours.certainty.max(theirs.certainty) == Certainty::Settled;
        let sums = is_settled.then_some((ours.sum, theirs.sum));
        let is_unchanged = is_settled && sums == self.sums;
        // Something has moved, so the next exchange may bring something.
        let fruitless = if is_settled && self.sums.is_some() && !is_unchanged { 0 } else { self.fruitless };
        let unchanged = if is_unchanged { self.unchanged + 1 } else { 0 };
        Self { sums, unchanged, rounds: self.rounds + 1, fruitless }
    }

    fn is_due(self) -> bool {
        self.unchanged >= 1 << self.fruitless || self.rounds >= ROUNDS_MAX << self.fruitless
    }
}

/// What the digests of a slot mean, after `before`, and what is to be remembered.
pub(super) fn judge(before: Option<Doubt>, ours: Digest, theirs: Digest) -> (Judgement, Option<Doubt>) {
    if ours.agrees_with(theirs) {
        return (Judgement::Agree, None);
    }
    if ours.certainty.max(theirs.certainty) == Certainty::Syncing || ours.sum == theirs.sum {
        return (Judgement::Unsure, None);
    }
    let doubt = before.unwrap_or_default().next(ours, theirs);
    let judgement = match doubt.sums {
        _ if doubt.is_due() => Judgement::Exchange,
        Some(_) => Judgement::Differ,
        None => Judgement::Unsure,
    };
    (judgement, Some(doubt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(sum: u64) -> Digest {
        Digest { sum, certainty: Certainty::Settled }
    }

    fn busy(sum: u64) -> Digest {
        Digest { sum, certainty: Certainty::Busy }
    }

    /// Judges one pair of digests after the other.
    fn judge_all(pairs: impl IntoIterator<Item = (Digest, Digest)>) -> Vec<Judgement> {
        let mut doubt = None;
        let one = |(ours, theirs)| {
            let (judgement, next) = judge(doubt, ours, theirs);
            doubt = next;
            judgement
        };
        pairs.into_iter().map(one).collect()
    }

    use Judgement::{Agree, Differ, Exchange, Unsure};

    #[test]
    fn a_difference_that_stands_still_is_acted_upon_when_it_is_seen_again() {
        assert_eq!(judge_all([(settled(1), settled(2)); 2]), [Differ, Exchange]);
        let moves = [(settled(1), settled(2)), (settled(3), settled(2)), (settled(3), settled(2))];
        assert_eq!(judge_all(moves), [Differ, Differ, Exchange]);
    }

    #[test]
    fn a_difference_that_goes_away_leaves_nothing_behind() {
        let pairs = [(settled(1), settled(2)), (settled(2), settled(2)), (settled(1), settled(2))];
        assert_eq!(judge_all(pairs), [Differ, Agree, Differ]);
    }

    #[test]
    fn a_slot_that_is_always_busy_is_looked_into_after_some_rounds() {
        let judgements = judge_all((0..8).map(|round| (busy(round), settled(100))));
        assert_eq!(judgements, [[Unsure; 7].as_slice(), &[Exchange]].concat());
    }

    #[test]
    fn equal_sums_of_a_busy_slot_are_neither_agreement_nor_difference() {
        assert_eq!(judge_all([(busy(1), settled(1)); 20]), [Unsure; 20]);
    }

    #[test]
    fn a_syncing_slot_is_left_out() {
        assert_eq!(judge_all([(settled(1), Digest::SYNCING); 20]), [Unsure; 20]);
        assert_eq!(judge_all([(Digest::SYNCING, Digest::SYNCING); 2]), [Unsure; 2]);
    }

    #[test]
    fn an_exchange_that_brought_nothing_is_repeated_less_and_less_often_until_something_moves() {
        let (ours, theirs) = (settled(1), settled(2));
        let (mut doubt, mut waits) = (None, Vec::new());
        for _ in 0..8 {
            let mut wait = 0;
            loop {
                let (judgement, next) = judge(doubt, ours, theirs);
                doubt = next;
                wait += 1;
                if judgement == Exchange {
                    break;
                }
            }
            doubt.as_mut().unwrap().exchanged(0);
            waits.push(wait);
        }
        assert_eq!(waits, [2, 2, 4, 8, 16, 32, 32, 32]);
        let (_, moved) = judge(doubt, settled(3), theirs);
        assert_eq!(judge(moved, settled(3), theirs).0, Exchange);
    }
}
