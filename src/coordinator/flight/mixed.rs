//! Reads and writes of one batch: each kind travels as a batch of its own, at the same time.
//!
//! Batches of one kind have their short ways ([`super::inquiry`], [`super::salvo`], [`super::volley`]), and two of them together
//! cost less than one in which each operation is decided by a state machine. They leave in the same message. No order is lost:
//! whoever wants a read and a write of one key in order does not launch them together.

use smallvec::SmallVec;

use super::Launched;
use crate::coordinator::hurry::HurryTimer;
use crate::coordinator::{ConsistentHashingKvStore, Operation, OperationKind, Operations, Outcomes, Quorum};
use crate::time::UnixMs;

/// A launched batch of both kinds.
pub(super) struct Mixed<'a> {
    reads: Launched<'a>,
    writes: Launched<'a>,
    /// Which of the operations are writes.
    order: SmallVec<[bool; 32]>,
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
        if others.iter().all(|other| is_write(other) == is_write(first)) {
            return None;
        }
        let order = operations.iter().map(is_write).collect();
        let (writes, reads): (Vec<_>, Vec<_>) = operations.drain(..).partition(is_write);
        let launch = |operations: Vec<_>| Launched::new(coordinator, quorum, operations.into(), now);
        Some(Box::new(Self { writes: launch(writes), reads: launch(reads), order }))
    }

    /// Waits for the outcomes, in order.
    pub(super) async fn settle(self, timer: &mut HurryTimer) -> Outcomes {
        let Self { reads, writes, order } = self;
        let mut timer_of_writes = HurryTimer::default();
        let settled = async { tokio::join!(reads.settle_with(timer), writes.settle_with(&mut timer_of_writes)) };
        // In a box: each of the two is what this is a part of.
        let (reads, writes) = Box::pin(settled).await;
        let (mut reads, mut writes) = (reads.into_iter(), writes.into_iter());
        order.into_iter().filter_map(|is_write| if is_write { writes.next() } else { reads.next() }).collect()
    }
}

fn is_write(operation: &Operation) -> bool {
    matches!(operation.kind, OperationKind::Write { .. })
}
