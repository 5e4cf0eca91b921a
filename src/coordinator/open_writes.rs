//! Which of this node's own writes it may still take back, and the watermark below which it will not.
//!
//! Replicas keep an open record beside the one below it, so they must learn soon that it is decided. Telling them of
//! each write would double the messages; one number does for all: every version of this run below it is decided.

use std::collections::VecDeque;

use super::ConsistentHashingKvStore;
use crate::time::UnixMs;
use crate::version::Hlc;

/// A batch's claim on the watermark, for as long as one of its writes may be taken back. What nobody waits for any more
/// will not be taken back: a claim that is dropped is given up.
pub(super) struct Claim<'a> {
    coordinator: &'a ConsistentHashingKvStore,
    ticket: OpenTicket,
    /// When the batch left. The clock is not read again for its mark, which closes what it has passed whatever the time.
    now: UnixMs,
}

impl<'a> Claim<'a> {
    pub(super) fn new(coordinator: &'a ConsistentHashingKvStore, ticket: OpenTicket, now: UnixMs) -> Self {
        Self { coordinator, ticket, now }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let lowest_open = self.coordinator.gate.lock().close(&self.ticket);
        self.coordinator.replica.publish_lowest_open(lowest_open, self.now);
    }
}

/// A batch of writes that is open; to be given back with [`OpenWrites::close`] exactly once.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct OpenTicket(u64);

/// The open batches of one coordinator, oldest first. Lives under the lock that also orders stamping.
#[derive(Debug, Default)]
pub(crate) struct OpenWrites {
    /// First version of each batch, `None` once closed. Versions grow along the queue because batches are stamped and
    /// opened under one lock.
    batches: VecDeque<Option<Hlc>>,
    /// The ticket number of the queue's front.
    front: u64,
    /// The largest version stamped so far.
    last: Hlc,
}

impl OpenWrites {
    /// Opens a batch whose versions lie within `first..=last`, above all opened before.
    pub(crate) fn open(&mut self, first: Hlc, last: Hlc) -> OpenTicket {
        assert!(first > self.last && last >= first, "batches are stamped in order");
        self.last = last;
        self.batches.push_back(Some(first));
        OpenTicket(self.front + self.batches.len() as u64 - 1)
    }

    /// Notes a version stamped anew for a write of a batch that is still open, above all stamped before.
    pub(crate) fn restamped(&mut self, version: Hlc) {
        assert!(version > self.last && !self.batches.is_empty(), "only an open write is stamped anew");
        self.last = version;
    }

    /// Closes a batch: none of its writes will be taken back any more. Returns the watermark: every version of this
    /// run below it is decided.
    ///
    /// It never exceeds an open version: it is the lowest open one or, if none is open, just above the last one
    /// stamped, which later stamps exceed.
    pub(crate) fn close(&mut self, ticket: &OpenTicket) -> Hlc {
        let position = usize::try_from(ticket.0 - self.front).expect("a ticket is closed once, so it is still queued");
        assert!(self.batches[position].take().is_some(), "a ticket is closed once");
        while self.batches.front() == Some(&None) {
            self.batches.pop_front();
            self.front += 1;
        }
        self.batches.front().copied().flatten().unwrap_or(self.last.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watermark_waits_for_the_oldest_open_batch() {
        let mut open = OpenWrites::default();
        let first = open.open(Hlc(10), Hlc(12));
        let second = open.open(Hlc(13), Hlc(13));
        let third = open.open(Hlc(20), Hlc(29));

        assert_eq!(open.close(&second), Hlc(10));
        assert_eq!(open.close(&first), Hlc(20));
        assert_eq!(open.close(&third), Hlc(30), "everything stamped is decided");

        let fourth = open.open(Hlc(30), Hlc(30));
        open.restamped(Hlc(40));
        assert_eq!(open.close(&fourth), Hlc(41), "and so is what was stamped anew");
    }
}
