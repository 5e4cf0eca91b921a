//! Hints: writes that a replica missed, which this node as their coordinator owes to it.
//!
//! A write is answered at its W-th ack, so a replica may well lack it: its link was down, broke, or did not answer in
//! time. Anti-entropy would find that out by and by; the coordinator knows it at once, and has the record at hand.
//!
//! The healthy case pays nothing for this. A link keeps a batch's bytes until it is answered instead of freeing them
//! earlier, and gives them back when it is not; only then they are read again, and what their writes were becomes a
//! record to copy. What the coordinator has not acknowledged it does not owe: see `coordinator/debts.rs`.
//!
//! What is owed is bounded in bytes, for each peer and in all, and in age. What is dropped is counted and left to
//! anti-entropy. It is lost with the process, too.

mod copies;
mod delivery;
mod queue;

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::mutation::{Mutation, is_on};
use crate::peer::{PeerReply, RequestBatch};
use crate::ring::NodeIndex;
use crate::time::UnixMs;
use crate::version::Version;

use super::Replica;
use queue::{Hint, HintQueue, Validity};

pub(crate) use copies::Copies;
pub use delivery::run;
pub use queue::HintStatus;

/// So many times the bound for one peer may be owed to all peers together.
const PEERS_AT_BOUND_MAX: usize = 4;
/// The bound for one peer until it is set.
const BYTES_MAX: usize = 64 << 20;

/// What this node owes to its peers.
#[derive(Debug)]
pub struct Hints {
    /// By node.
    debts: Box<[Debt]>,
    /// The bound for one peer; 0 if there are to be no hints.
    peer_bytes_max: usize,
    /// The memory of all hints. Changed under the lock of the queue that changes.
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Debt {
    /// Locked for the push of a batch of hints, or to take or answer one; never while anything waits.
    queue: Mutex<HintQueue>,
    /// Tells the delivery that the queue is not empty any more.
    added: Notify,
}

impl Replica {
    /// The same node, keeping at most so many bytes of hints for each peer; 0 keeps none.
    #[must_use]
    pub fn with_hint_bytes_max(mut self, bytes: usize) -> Self {
        self.hints.peer_bytes_max = bytes;
        self
    }

    /// Owes `copies` to `peer`, as far as `is_owed` says so.
    pub(crate) fn owe(&self, peer: NodeIndex, copies: &Copies, is_owed: impl Fn(Version) -> bool) {
        self.hints.owe(peer, copies, self.hint_validity(), is_owed);
    }

    /// Which hints may be kept and sent at this moment.
    fn hint_validity(&self) -> Validity {
        let ttl_ms = if is_on(Mutation::HintsOutliveTombstones) { u64::MAX } else { self.config.hint_ttl_ms };
        Validity { now: self.wall.now(), ttl_ms, flush_mark: self.store.flush_mark() }
    }
}

impl Hints {
    /// No hints, for so many nodes.
    pub(super) fn new(nodes: usize) -> Self {
        let debts = (0..nodes).map(|_| Debt::default()).collect();
        Self { debts, peer_bytes_max: BYTES_MAX, bytes: AtomicUsize::new(0) }
    }

    /// Whether hints are kept at all.
    pub(crate) fn are_kept(&self) -> bool {
        self.peer_bytes_max > 0
    }

    fn owe(&self, peer: NodeIndex, copies: &Copies, validity: Validity, is_owed: impl Fn(Version) -> bool) {
        if !self.are_kept() {
            return;
        }
        let debt = &self.debts[peer.as_usize()];
        for (version, copy) in copies.iter() {
            if version > validity.flush_mark && is_owed(version) {
                let hint = Hint::new(copy.into(), version, validity.now);
                self.change(debt, |queue, room| queue.push(hint, room));
            }
        }
        debt.added.notify_one();
    }

    /// What is owed to `peer`.
    pub fn status(&self, peer: NodeIndex, now: UnixMs) -> HintStatus {
        self.debts[peer.as_usize()].queue.lock().status(now)
    }

    /// Drops what is older than a FLUSHALL.
    pub(super) fn drop_older_than(&self, flush_mark: Version) {
        for debt in &self.debts {
            self.change(debt, |queue, _| queue.drop_older_than(flush_mark));
        }
    }

    /// Drops what is too old for `peer`, which is away.
    fn expire(&self, peer: NodeIndex, validity: Validity) {
        self.change(&self.debts[peer.as_usize()], |queue, _| queue.expire(validity.now, validity.ttl_ms));
    }

    /// Waits until something is owed to `peer`.
    async fn wait_for_any(&self, peer: NodeIndex) {
        let debt = &self.debts[peer.as_usize()];
        while debt.queue.lock().is_empty() {
            debt.added.notified().await;
        }
    }

    fn next_batch(&self, peer: NodeIndex, validity: Validity, budget: usize) -> RequestBatch {
        self.change(&self.debts[peer.as_usize()], |queue, _| queue.next_batch(validity, budget))
    }

    fn answered(&self, peer: NodeIndex, replies: &[PeerReply]) -> u64 {
        self.change(&self.debts[peer.as_usize()], |queue, _| queue.answered(replies))
    }

    /// Changes a queue, given the room that it has, and keeps the sum of all up to date.
    fn change<T>(&self, debt: &Debt, action: impl FnOnce(&mut HintQueue, usize) -> T) -> T {
        let mut queue = debt.queue.lock();
        let before = queue.bytes();
        let all_max = self.peer_bytes_max.saturating_mul(PEERS_AT_BOUND_MAX);
        let left = all_max.saturating_sub(self.bytes.load(Ordering::Relaxed));
        let result = action(&mut queue, self.peer_bytes_max.saturating_sub(before).min(left));
        let after = queue.bytes();
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Hlc, StartNumber};

    const PEER: NodeIndex = NodeIndex(1);

    fn version(at_ms: u64) -> Version {
        Version::new(Hlc::first_of(UnixMs(at_ms)), NodeIndex(0), StartNumber::FIRST)
    }

    fn validity() -> Validity {
        Validity { now: UnixMs(100), ttl_ms: 1000, flush_mark: version(2) }
    }

    /// Copies of writes at the given times.
    fn copies(stamps_ms: &[u64]) -> Copies {
        let mut copies = Copies::default();
        for &at_ms in stamps_ms {
            copies.push(b"k", None, version(at_ms), None);
        }
        copies
    }

    fn copy(at_ms: u64) -> Vec<u8> {
        copies(&[at_ms]).iter().flat_map(|(_, copy)| copy.to_vec()).collect()
    }

    #[test]
    fn what_is_owed_is_kept_for_its_peer_alone() {
        let hints = Hints::new(3);
        hints.owe(PEER, &copies(&[4, 5, 6]), validity(), |owed| owed != version(5));
        assert_eq!(hints.status(PEER, UnixMs(104)).count, 2, "5 was not acknowledged");
        assert_eq!(hints.status(NodeIndex(2), UnixMs(104)), HintStatus::default());
        let sent = hints.next_batch(PEER, validity(), usize::MAX);
        assert_eq!(sent.bytes(), [copy(4), copy(6)].concat());
        assert_eq!(hints.answered(PEER, &[PeerReply::Ok, PeerReply::Ok]), 2);
        assert_eq!(hints.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_a_flush_has_dropped_is_not_owed() {
        let hints = Hints::new(3);
        hints.owe(PEER, &copies(&[1, 2, 3]), validity(), |_| true);
        assert_eq!(hints.status(PEER, UnixMs(100)).count, 1);
        hints.drop_older_than(version(3));
        assert_eq!(hints.status(PEER, UnixMs(100)), HintStatus::default());
        assert_eq!(hints.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn memory_is_bounded_for_each_peer_and_in_all() {
        let one = Hint::new(copy(4).into(), version(4), UnixMs(100)).bytes();
        let hints = Hints { peer_bytes_max: 3 * one, ..Hints::new(10) };
        for node in 0..10 {
            hints.owe(NodeIndex(node), &copies(&[4, 5, 6, 7]), validity(), |_| true);
        }
        let counts = (0..10).map(|node| hints.status(NodeIndex(node), UnixMs(100)).count);
        assert_eq!(counts.collect::<Vec<_>>(), [3, 3, 3, 3, 0, 0, 0, 0, 0, 0]);
        let dropped: u64 = (0..10).map(|node| hints.status(NodeIndex(node), UnixMs(100)).dropped).sum();
        assert_eq!(dropped, 28);
        let bytes: u64 = (0..10).map(|node| hints.status(NodeIndex(node), UnixMs(100)).bytes).sum();
        assert_eq!(hints.bytes.load(Ordering::Relaxed) as u64, bytes);
        assert!(bytes <= 12 * one as u64, "{bytes}");
    }

    #[test]
    fn with_a_bound_of_zero_nothing_is_kept() {
        let hints = Hints { peer_bytes_max: 0, ..Hints::new(3) };
        hints.owe(PEER, &copies(&[5]), validity(), |_| true);
        assert_eq!(hints.status(PEER, UnixMs(100)), HintStatus::default());
    }
}
