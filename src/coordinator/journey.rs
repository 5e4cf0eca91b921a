//! One operation of a batch on its way: its key, and how far it has come.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use smallvec::SmallVec;

use super::quorum::Quorum;
use super::read::ReadProgress;
use super::write::WriteProgress;
use super::{ConsistentHashingKvStore, Operation, OperationKind, Outcome};
use crate::ring::{NodeIndex, Slot};
use crate::time::UnixMs;

/// One operation of a batch.
pub(super) struct Passenger {
    pub(super) slot: Slot,
    pub(super) key: Bytes,
    pub(super) journey: Journey,
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
    },
    /// Refused for now by a stale quorum, and a later write of the same key in this batch stands in for it.
    Overtaken {
        by: usize,
    },
    Ended(Outcome),
}

impl Journey {
    /// The value that a write carries.
    pub(super) fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Write { value, .. } => value.as_ref(),
            Self::Read { .. } | Self::Overtaken { .. } | Self::Ended(_) => None,
        }
    }
}

impl Passenger {
    pub(super) fn new(coordinator: &ConsistentHashingKvStore, operation: Operation) -> Self {
        let Operation { slot, key, kind } = operation;
        let journey = match kind {
            OperationKind::Read => {
                let order = coordinator.reading_order(slot);
                let reachable = order.iter().map(|&node| coordinator.counts(node, slot));
                Journey::Read { progress: Box::new(ReadProgress::new(coordinator.quorum, reachable)), order }
            }
            OperationKind::Write { value, expires_at } => {
                Journey::Write { progress: WriteProgress::new(coordinator.quorum), value, expires_at }
            }
        };
        if !coordinator.is_replica(slot) {
            coordinator.forwarded.fetch_add(1, Ordering::Relaxed);
        }
        Self { slot, key, journey }
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

    /// How it ended.
    pub(super) fn outcome(self) -> Outcome {
        match self.journey {
            Journey::Ended(outcome) => outcome,
            Journey::Read { .. } | Journey::Write { .. } | Journey::Overtaken { .. } => {
                unreachable!("the batch has settled")
            }
        }
    }
}
