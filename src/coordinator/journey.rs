//! One operation of a batch on its way: its key, and how far it has come.

use bytes::Bytes;
use smallvec::SmallVec;

use super::prepare::{PrepareProgress, Prepared};
use super::quorum::Quorum;
use super::read::{Found, ReadProgress};
use super::write::{Before, WriteAnswer, WriteProgress};
use super::{ConsistentHashingKvStore, Operation, OperationKind, Outcome};
use crate::ring::{NodeIndex, Slot};
use crate::time::UnixMs;
use crate::version::Version;

/// One operation of a batch.
pub(super) struct Passenger {
    pub(super) slot: Slot,
    pub(super) key: Bytes,
    pub(super) journey: Journey,
}

/// Under which an update writes.
pub(super) struct Terms {
    /// The version of its write, which the replicas have promised.
    pub(super) ballot: Version,
    /// The newest version that it has seen.
    pub(super) base: Version,
    /// That record, if replicas may lack it.
    pub(super) seen: Option<Found>,
    /// Which replicas, by their place in the preference list, are known to show it.
    pub(super) holders: SmallVec<[bool; 5]>,
}

/// How far an operation has come.
pub(super) enum Journey {
    Read {
        progress: Box<ReadProgress>,
        /// The replicas in the order in which they are asked: this node first.
        order: SmallVec<[NodeIndex; 5]>,
    },
    Write {
        progress: WriteProgress,
        value: Option<Bytes>,
        expires_at: Option<UnixMs>,
        /// Under which an update writes.
        terms: Option<Box<Terms>>,
    },
    /// An update asks.
    Prepare {
        progress: Box<PrepareProgress>,
    },
    /// Refused for now by a stale quorum, and a later write of the same key in this batch stands in for it.
    Overtaken {
        by: usize,
        /// The acks that it needed.
        needed: u16,
    },
    Ended(Ending),
}

/// How an operation ended.
pub(super) enum Ending {
    /// As a client is told.
    Outcome(Outcome),
    /// The first round of an update: what it has seen.
    Prepared(Prepared),
    /// An update did not begin, for it must not see what may come to nothing unless it insists; after a while, if this version is
    /// contested.
    Withheld { contested: Option<Version> },
    /// An update was taken back, or did not begin, for this version or ballot was in its way: it may begin again above it.
    Outrun(Version),
}

impl From<Outcome> for Ending {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome(outcome)
    }
}

impl Journey {
    /// The value that a write carries.
    pub(super) fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Write { value, .. } => value.as_ref(),
            Self::Read { .. } | Self::Prepare { .. } | Self::Overtaken { .. } | Self::Ended(_) => None,
        }
    }
}

impl Passenger {
    /// An operation of a client with this quorum.
    pub(super) fn new(coordinator: &ConsistentHashingKvStore, quorum: Quorum, operation: Operation) -> Self {
        let Operation { slot, key, kind } = operation;
        let journey = match kind {
            OperationKind::Read => {
                let order = coordinator.reading_order(slot);
                let reachable = order.iter().map(|&node| coordinator.counts(node, slot));
                let quorum = quorum.of_read(coordinator.quorum);
                Journey::Read { progress: Box::new(ReadProgress::new(quorum, reachable)), order }
            }
            OperationKind::Write { value, expires_at } => {
                let progress = WriteProgress::new(quorum, coordinator.quorum);
                Journey::Write { progress, value, expires_at, terms: None }
            }
        };
        coordinator.note_forwarded(slot);
        Self { slot, key, journey }
    }

    /// The first round of an update of `key`.
    pub(super) fn prepare(coordinator: &ConsistentHashingKvStore, slot: Slot, key: Bytes, insists: bool) -> Self {
        let progress = Box::new(PrepareProgress::new(coordinator.quorum, insists));
        Self { slot, key, journey: Journey::Prepare { progress } }
    }

    /// The second round: the write that follows from what was seen.
    pub(super) fn accept(
        coordinator: &ConsistentHashingKvStore,
        slot: Slot,
        key: Bytes,
        (value, expires_at): (Option<Bytes>, Option<UnixMs>),
        prepared: Prepared,
    ) -> Self {
        let base = prepared.base();
        let is_agreed = prepared.held_by() >= usize::from(coordinator.quorum.update());
        let Prepared { ballot, newest, holders } = prepared;
        let terms = Terms { ballot, base, seen: newest.filter(|_| !is_agreed), holders };
        let progress = WriteProgress::of_update(coordinator.quorum);
        Self { slot, key, journey: Journey::Write { progress, value, expires_at, terms: Some(Box::new(terms)) } }
    }

    /// A read of all replicas within reach, which leaves the newest record on each. `None` if there is nothing to
    /// compare.
    pub(super) fn comparison(coordinator: &ConsistentHashingKvStore, slot: Slot, key: Bytes) -> Option<Self> {
        let order = coordinator.reading_order(slot);
        let reachable: SmallVec<[bool; 5]> = order.iter().map(|&node| coordinator.counts(node, slot)).collect();
        let all: u16 = reachable.iter().map(|&reachable| u16::from(reachable)).sum();
        let quorum = Quorum { replicas: coordinator.quorum.replicas, write: all, read: all };
        let progress = Box::new(ReadProgress::new(quorum, reachable.into_iter()));
        (all > 1).then_some(Self { slot, key, journey: Journey::Read { progress, order } })
    }

    /// Notes that the replica at this place has taken the write as it was stamped first.
    pub(super) fn acked(&mut self, replica: usize) {
        if let Journey::Write { progress, .. } = &mut self.journey {
            progress.answered(replica, 1, WriteAnswer::Acked(Before::default()));
        }
    }

    /// How it ended.
    pub(super) fn ending(self) -> Ending {
        match self.journey {
            Journey::Ended(ending) => ending,
            Journey::Read { .. } | Journey::Write { .. } | Journey::Prepare { .. } | Journey::Overtaken { .. } => {
                unreachable!("the batch has settled")
            }
        }
    }

    /// How it ended, if it is no part of an update.
    pub(super) fn outcome(ending: Ending) -> Outcome {
        match ending {
            Ending::Outcome(outcome) => outcome,
            Ending::Prepared(_) | Ending::Withheld { .. } | Ending::Outrun(_) => unreachable!("only updates end so"),
        }
    }
}
