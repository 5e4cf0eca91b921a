//! Reads and writes of one batch: each kind travels as a batch of its own, at the same time.
//!
//! Batches of one kind have their short ways ([`super::inquiry`], [`super::salvo`], [`super::volley`]), and two of them together
//! cost less than one in which each operation is decided by a state machine. They leave in the same message. No order is lost:
//! whoever wants a read and a write of one key in order does not launch them together.

use smallvec::SmallVec;

use super::Launched;
use crate::coordinator::hurry::HurryTimer;
use crate::coordinator::{ConsistentHashingKvStore, Operation, Operations, Outcomes, Quorum};
use crate::time::UnixMs;

/// A launched batch of both kinds.
pub(super) struct Mixed<'a> {
    reads: Launched<'a>,
    writes: Launched<'a>,
    /// For each operation, whether it is a read.
    are_reads: SmallVec<[bool; 32]>,
}

impl<'a> Mixed<'a> {
    /// Sends the operations on their way if there are both reads and writes among them. `None`, and they stay where they are, otherwise.
    pub(super) fn launch(
        coordinator: &'a ConsistentHashingKvStore,
        quorum: Quorum,
        operations: &mut Operations,
        now: UnixMs,
    ) -> Option<Box<Self>> {
        let (first, others) = operations.split_first()?;
        if others.iter().all(|other| other.is_read() == first.is_read()) {
            return None;
        }
        let are_reads = operations.iter().map(Operation::is_read).collect();
        let (reads, writes): (Vec<_>, Vec<_>) = operations.drain(..).partition(Operation::is_read);
        let launch = |operations: Vec<_>| Launched::new(coordinator, quorum, operations.into(), now);
        Some(Box::new(Self { writes: launch(writes), reads: launch(reads), are_reads }))
    }

    /// Waits for the outcomes, in order.
    pub(super) async fn settle(self, timer: &mut HurryTimer) -> Outcomes {
        let Self { reads, writes, are_reads } = self;
        let mut timer_of_writes = HurryTimer::default();
        let settled = async { tokio::join!(reads.settle_with(timer), writes.settle_with(&mut timer_of_writes)) };
        // In a box: each of the two is what this is a part of.
        let (reads, writes) = Box::pin(settled).await;
        let (mut reads, mut writes) = (reads.into_iter(), writes.into_iter());
        are_reads.into_iter().filter_map(|is_read| if is_read { reads.next() } else { writes.next() }).collect()
    }
}
