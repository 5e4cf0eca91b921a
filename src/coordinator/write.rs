//! One write on its way to its quorum, as a plain state machine: no I/O, no clock.
//!
//! The caller stamps the write, hands it to every replica, and reports each answer; the machine says when the write
//! is acknowledged, when it must be stamped anew (`STALE` from so many replicas that it can never be read), and when
//! it must be taken back. A write that was handed to a replica may be there whatever the answer, or its absence,
//! says; therefore only a confirmation by each of them, as the same process, allows the word `reverted`.

use smallvec::SmallVec;

use super::quorum::Quorum;
use crate::mutation::{Mutation, is_on};
use crate::version::{StartNumber, Version};

/// How often one write is stamped before the coordinator gives up: each time a quorum of replicas has to have seen a yet newer
/// version meanwhile, and an update or a delete has to be in the way.
pub(crate) const STAMPS_MAX: usize = 32;

/// What a replica showed before a write: enough to count deletions truly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Before {
    /// The version shown, the smallest of all if there was no record.
    pub version: Version,
    /// Whether that record was a value.
    pub live: bool,
}

/// A replica's answer to a write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum WriteAnswer {
    /// It has the write, and showed this before.
    Acked(Before),
    /// It shows this larger version and refuses ours.
    Stale(Version),
    /// The same of a replica that is syncing, and so may lack what is newer still.
    StaleSyncing(Version),
    /// It refuses ours, for it has promised this larger ballot to an update, or has taken this version before an update's
    /// write.
    Promised(Version),
    /// It took the write, or refused it, but counts for nothing (syncing, drift, void): the reason.
    Uncounted(String),
    /// It was not handed over after all: the link was known to be down.
    Unsent,
    /// No answer; whether it arrived is unknown.
    Lost(String),
}

/// What the caller has to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Wait for more answers.
    Wait,
    /// Stamp the write above this version and hand it to all replicas again.
    Restamp(Version),
    /// Hand a revert of every stamp to the replicas that may hold one.
    Revert,
    /// Nothing more; the outcome stands.
    Done,
}

/// How a write ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum WriteOutcome {
    /// W replicas have it; of their earlier records this was the newest.
    Acked(Before),
    /// An update's write was taken back everywhere because this version or ballot was in its way: it may begin again.
    Outrun(Version),
    /// It was taken back everywhere, or never left: nobody has read it or ever will.
    Reverted {
        /// Acks received before giving up.
        acks: u16,
        /// Why one of the others did not ack.
        reason: Option<String>,
    },
    /// It may stay or vanish.
    Indeterminate {
        /// Acks received before giving up.
        acks: u16,
        /// Why one of the others did not ack, or did not confirm the revert.
        reason: Option<String>,
    },
}

/// One replica as this write sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Replica {
    /// The present stamp was not handed over yet, or could not be.
    Unsent,
    Awaited,
    Acked,
    Stale,
    /// The same, while it was syncing.
    StaleSyncing,
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Writing,
    /// With so many confirmations outstanding.
    Reverting(usize),
    Done,
}

/// The state of one write.
#[derive(Debug)]
pub(crate) struct WriteProgress {
    quorum: Quorum,
    /// STALE answers after which it can never be read.
    stale_limit: u16,
    /// Every stamp that this write bore, the last one being the present one. A revert names them all.
    stamps: SmallVec<[Version; 1]>,
    replicas: SmallVec<[Replica; 8]>,
    /// The process that each replica was when it was first handed a stamp; `None` if it never was.
    processes: SmallVec<[Option<StartNumber>; 3]>,
    before: Before,
    /// The largest version among the STALE answers.
    stale: Version,
    phase: Phase,
    /// A stale quorum, none of it syncing, has refused an earlier stamp.
    was_refused: bool,
    /// Whether it is an update's write: that is never merely stamped anew.
    is_update: bool,
    /// The largest ballot or version for which a replica refused it for now.
    promised: Version,
    /// The coordinator itself gave it up: it does not begin again.
    is_given_up: bool,
    /// Acks when the write was given up.
    acks_reached: u16,
    /// Replicas that cannot or will not confirm the revert.
    unconfirmed: u16,
    reason: Option<String>,
}

impl WriteProgress {
    /// A write that has not been stamped yet, of a client with this quorum in a cluster with the configured one.
    pub(crate) fn new(quorum: Quorum, configured: Quorum) -> Self {
        let count = usize::from(quorum.replicas);
        Self {
            quorum,
            stale_limit: quorum.stale_limit_beside(configured),
            stamps: SmallVec::new(),
            replicas: SmallVec::from_elem(Replica::Unsent, count),
            processes: SmallVec::from_elem(None, count),
            before: Before::default(),
            stale: Version::default(),
            phase: Phase::Writing,
            was_refused: false,
            is_update: false,
            promised: Version::default(),
            is_given_up: false,
            acks_reached: 0,
            unconfirmed: 0,
            reason: None,
        }
    }

    /// The write of an update, which has its stamp already.
    pub(crate) fn of_update(quorum: Quorum) -> Self {
        Self { is_update: true, ..Self::new(quorum, quorum) }
    }

    /// The acks that it needs.
    pub(crate) fn needed(&self) -> u16 {
        self.quorum.write
    }

    /// Begins an attempt under `version`, which exceeds every version seen so far.
    pub(crate) fn stamp(&mut self, version: Version) {
        debug_assert!(self.stamps.last().is_none_or(|&earlier| earlier < version));
        self.stamps.push(version);
        self.replicas.fill(Replica::Unsent);
        self.stale = Version::default();
        self.promised = Version::default();
    }

    /// The present attempt; answers to earlier ones are told apart by it.
    pub(crate) fn attempt(&self) -> usize {
        self.stamps.len()
    }

    /// Whether replicas may take it below newer writes. So many have shown what was older than the present stamp, after this
    /// write began, that whatever is newer there had no quorum then: it may as well have come right after this one.
    pub(crate) fn may_be_covered(&self) -> bool {
        self.was_refused
    }

    /// Every stamp that a revert has to name.
    pub(crate) fn stamps(&self) -> &[Version] {
        &self.stamps
    }

    /// Notes that the present stamp was handed to `replica`, at that time this process.
    pub(crate) fn sent(&mut self, replica: usize, process: StartNumber) {
        self.replicas[replica] = Replica::Awaited;
        let first = *self.processes[replica].get_or_insert(process);
        self.unconfirmed += u16::from(first != process);
    }

    /// Takes `replica`'s answer to the given attempt.
    pub(crate) fn answered(&mut self, replica: usize, attempt: usize, answer: WriteAnswer) {
        if attempt != self.attempt() || self.phase != Phase::Writing {
            return;
        }
        self.replicas[replica] = match answer {
            WriteAnswer::Acked(before) => {
                self.before = self.before.max(before);
                Replica::Acked
            }
            WriteAnswer::Stale(version) => self.refused_for(version, Replica::Stale),
            WriteAnswer::StaleSyncing(version) => self.refused_for(version, Replica::StaleSyncing),
            WriteAnswer::Promised(ballot) => {
                self.promised = self.promised.max(ballot);
                self.reason.get_or_insert_with(|| "an update of the same key was in the way".to_owned());
                Replica::Failed
            }
            WriteAnswer::Unsent => {
                if attempt == 1 {
                    self.processes[replica] = None;
                }
                Replica::Unsent
            }
            WriteAnswer::Uncounted(reason) | WriteAnswer::Lost(reason) => {
                self.reason = Some(reason);
                Replica::Failed
            }
        };
    }

    fn refused_for(&mut self, newer: Version, state: Replica) -> Replica {
        self.stale = self.stale.max(newer);
        self.reason.get_or_insert_with(|| "a replica shows a newer version".to_owned());
        state
    }

    /// What follows from the answers so far. Handing over must be complete: a replica still `Unsent` counts as missed.
    pub(crate) fn verdict(&mut self) -> Verdict {
        match self.phase {
            Phase::Writing => self.judge_write(),
            Phase::Reverting(0) if self.may_begin_again() => {
                self.phase = Phase::Writing;
                Verdict::Restamp(self.stale.max(self.promised))
            }
            Phase::Reverting(0) | Phase::Done => {
                self.phase = Phase::Done;
                Verdict::Done
            }
            Phase::Reverting(_) => Verdict::Wait,
        }
    }

    fn judge_write(&mut self) -> Verdict {
        let acks = self.count(Replica::Acked);
        if acks >= self.quorum.write {
            self.acks_reached = acks;
            self.phase = Phase::Done;
            return Verdict::Done;
        }
        let limit = if is_on(Mutation::RetryAtFirstStale) { 1 } else { self.stale_limit };
        let (stale, may_be_stamped) = (self.count(Replica::Stale), self.attempt() < STAMPS_MAX && !self.is_update);
        if stale >= limit && may_be_stamped {
            self.was_refused = true;
            return Verdict::Restamp(self.stale);
        }
        let awaited = self.count(Replica::Awaited);
        if !self.quorum.write_is_lost(acks, awaited) {
            return Verdict::Wait;
        }
        // Those that are syncing refuse it as well, but what they show proves nothing about what others had acknowledged.
        if stale + self.count(Replica::StaleSyncing) >= limit && may_be_stamped {
            let may_prove_it = stale + awaited >= limit;
            return if may_prove_it { Verdict::Wait } else { Verdict::Restamp(self.stale) };
        }
        self.acks_reached = acks;
        self.phase = Phase::Reverting(0);
        Verdict::Revert
    }

    /// Whether a write that was taken back may be stamped anew: a promise stood in its way, and nobody will ever read it under
    /// its present stamps.
    fn may_begin_again(&self) -> bool {
        let was_refused = self.promised > Version::default() && !self.is_update;
        was_refused && self.unconfirmed == 0 && self.attempt() < STAMPS_MAX && !self.is_given_up
    }

    /// Gives the write up for a reason of the coordinator's own.
    pub(crate) fn give_up(&mut self, reason: String) -> Verdict {
        assert_eq!(self.phase, Phase::Writing);
        self.is_given_up = true;
        self.reason = Some(reason);
        self.acks_reached = self.count(Replica::Acked);
        self.phase = Phase::Reverting(0);
        Verdict::Revert
    }

    /// Whether `replica` may hold a stamp of this write.
    pub(crate) fn may_hold(&self, replica: usize) -> bool {
        self.processes[replica].is_some()
    }

    /// Notes that a revert of one stamp was handed to a replica.
    pub(crate) fn revert_sent(&mut self) {
        if let Phase::Reverting(outstanding) = &mut self.phase {
            *outstanding += 1;
        }
    }

    /// Notes that a replica that may hold the write cannot be asked to take it back.
    pub(crate) fn revert_unsent(&mut self, reason: String) {
        self.unconfirmed = self.unconfirmed.saturating_add(1);
        self.reason.get_or_insert(reason);
    }

    /// Takes the answer of `replica`, by now this process, to one revert: `Err` names why it was not confirmed.
    pub(crate) fn revert_answered(&mut self, replica: usize, process: StartNumber, answer: Result<(), String>) {
        match answer {
            Ok(()) if self.processes[replica] == Some(process) || is_on(Mutation::SyncingConfirmsRevert) => {}
            // An earlier process may have passed the write on before it ended: nobody can confirm for it.
            Ok(()) => self.revert_unsent("a replica restarted meanwhile".to_owned()),
            Err(reason) => self.revert_unsent(reason),
        }
        if let Phase::Reverting(outstanding) = &mut self.phase {
            *outstanding -= 1;
        }
    }

    /// How it ended; meaningful once it is done.
    pub(crate) fn outcome(&self) -> WriteOutcome {
        let (acks, reason) = (self.acks_reached, self.reason.clone());
        let tolerated = if is_on(Mutation::RevertedTooEarly) { self.quorum.write - 1 } else { 0 };
        match acks >= self.quorum.write {
            true => WriteOutcome::Acked(self.before),
            false if self.unconfirmed > tolerated => WriteOutcome::Indeterminate { acks, reason },
            false if self.is_update && self.stale.max(self.promised) > Version::default() => {
                WriteOutcome::Outrun(self.stale.max(self.promised))
            }
            false => WriteOutcome::Reverted { acks, reason },
        }
    }

    fn count(&self, state: Replica) -> u16 {
        self.replicas.iter().map(|&replica| u16::from(replica == state)).sum()
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
