//! What this node owes to one peer, in order: a plain state machine without links, locks or clocks.
//!
//! The delivery takes a batch from the front, hands it to the link and reports what came of it: answered hints are
//! gone, the others stand in front again. A hint's age is checked when it is taken, because tombstones are dropped on
//! the promise that no hint is sent after `hint_ttl_ms`.

use std::collections::VecDeque;

use crate::peer::{PeerReply, RequestBatch};
use crate::time::UnixMs;
use crate::version::Version;

/// A write that the peer missed.
#[derive(Debug)]
pub(super) struct Hint {
    /// Its `RCOPY`, ready to be sent.
    request: Box<[u8]>,
    version: Version,
    /// From when on its age counts: never later than its version's own time.
    since: UnixMs,
}

/// What a hint takes beside its request: its place in a queue that may be half empty, and the allocator's margin.
const HINT_BYTES: usize = 2 * size_of::<Hint>() + 16;

impl Hint {
    /// A hint that is made now.
    pub(super) fn new(request: Box<[u8]>, version: Version, now: UnixMs) -> Self {
        Self { request, version, since: version.hlc().wall().min(now) }
    }

    /// The memory that it takes; size classes of allocators lie up to an eighth apart.
    pub(super) fn bytes(&self) -> usize {
        self.request.len() + self.request.len() / 8 + HINT_BYTES
    }

    fn age_ms(&self, now: UnixMs) -> u64 {
        now.0.saturating_sub(self.since.0)
    }
}

/// What is owed to one peer, for INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HintStatus {
    /// Writes that the peer missed and that wait for it.
    pub count: u64,
    /// The memory that they take.
    pub bytes: u64,
    /// The age of the oldest, in milliseconds; 0 if there is none.
    pub oldest_age_ms: u64,
    /// How many were given up since this node's start: no room, too old, or refused by the peer.
    pub dropped: u64,
}

/// Which hints may still be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Validity {
    /// The present time.
    pub(super) now: UnixMs,
    /// A hint of this age is not sent any more.
    pub(super) ttl_ms: u64,
    /// The newest FLUSHALL: what is older must not come back.
    pub(super) flush_mark: Version,
}

/// The hints for one peer.
#[derive(Debug, Default)]
pub(super) struct HintQueue {
    waiting: VecDeque<Hint>,
    /// Those that were taken and are not answered, older than all that wait.
    taken: VecDeque<Hint>,
    /// The memory of all of them.
    bytes: usize,
    dropped: u64,
}

impl HintQueue {
    /// The memory that the hints take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a hint if it fits into `room` bytes; otherwise it is dropped and counted.
    pub(super) fn push(&mut self, hint: Hint, room: usize) {
        if hint.bytes() > room {
            self.dropped += 1;
            return;
        }
        self.bytes += hint.bytes();
        self.waiting.push_back(hint);
    }

    /// Takes the next hints, of at most `budget` bytes but one in any case, and puts their requests into a batch, which
    /// is empty if there are none. To be followed by [`Self::answered`].
    pub(super) fn next_batch(&mut self, validity: Validity, budget: usize) -> RequestBatch {
        debug_assert!(self.taken.is_empty(), "one batch at a time");
        let mut batch = RequestBatch::new();
        while let Some(hint) = self.waiting.front() {
            if !batch.is_empty() && batch.bytes().len() + hint.request.len() > budget {
                break;
            }
            let Some(hint) = self.waiting.pop_front() else { break };
            if self.is_sendable(&hint, validity) {
                batch.push_encoded(&hint.request);
                self.taken.push_back(hint);
            }
        }
        self.give_memory_back();
        batch
    }

    /// Takes the answers to the last batch, in order; hints without one stand in front again. How many the peer took.
    pub(super) fn answered(&mut self, replies: &[PeerReply]) -> u64 {
        let mut delivered = 0;
        for reply in replies {
            let Some(hint) = self.taken.pop_front() else { break };
            self.bytes -= hint.bytes();
            match reply {
                PeerReply::Ok | PeerReply::Syncing => delivered += 1,
                // It has something newer.
                PeerReply::Stale(_) => {}
                // Asking again would be answered so again, and nothing behind it would ever be sent.
                _ => self.dropped += 1,
            }
        }
        while let Some(hint) = self.taken.pop_back() {
            self.waiting.push_front(hint);
        }
        self.give_memory_back();
        delivered
    }

    /// Drops hints from the front that are too old, so that they take no memory while the peer is away.
    pub(super) fn expire(&mut self, now: UnixMs, ttl_ms: u64) {
        while let Some(hint) = self.waiting.pop_front_if(|hint| hint.age_ms(now) >= ttl_ms) {
            self.bytes -= hint.bytes();
            self.dropped += 1;
        }
        self.give_memory_back();
    }

    /// Drops hints older than a FLUSHALL. Those on their way are refused by the peer, or not sent again.
    pub(super) fn drop_older_than(&mut self, flush_mark: Version) {
        let bytes = &mut self.bytes;
        self.waiting.retain(|hint| {
            let is_newer = hint.version > flush_mark;
            if !is_newer {
                *bytes -= hint.bytes();
            }
            is_newer
        });
        self.give_memory_back();
    }

    pub(super) fn status(&self, now: UnixMs) -> HintStatus {
        let oldest = self.taken.front().or(self.waiting.front());
        HintStatus {
            count: (self.waiting.len() + self.taken.len()) as u64,
            bytes: self.bytes as u64,
            oldest_age_ms: oldest.map_or(0, |hint| hint.age_ms(now)),
            dropped: self.dropped,
        }
    }

    /// Whether a hint that was taken off the queue may be sent; if not, it is gone.
    fn is_sendable(&mut self, hint: &Hint, validity: Validity) -> bool {
        let Validity { now, ttl_ms, flush_mark } = validity;
        let (is_expired, is_flushed) = (hint.age_ms(now) >= ttl_ms, hint.version <= flush_mark);
        if is_expired || is_flushed {
            self.bytes -= hint.bytes();
            self.dropped += u64::from(is_expired);
            return false;
        }
        true
    }

    /// Keeps the queue from being mostly empty.
    fn give_memory_back(&mut self) {
        if self.waiting.len() < self.waiting.capacity() / 4 {
            self.waiting.shrink_to(2 * self.waiting.len());
        }
        if self.taken.is_empty() && self.waiting.is_empty() {
            self.taken = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::PeerRequest;
    use crate::ring::NodeIndex;
    use crate::version::{Hlc, StartNumber};

    const ROOM: usize = usize::MAX;
    const TTL_MS: u64 = 1000;

    fn version(at_ms: u64) -> Version {
        Version::new(Hlc::first_of(UnixMs(at_ms)), NodeIndex(0), StartNumber::FIRST)
    }

    /// The request of a hint that was stamped then.
    fn request(at_ms: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let key = at_ms.to_string();
        PeerRequest::Copy { key: key.as_bytes(), value: None, version: version(at_ms), expires_at: None }
            .encode(&mut out);
        out
    }

    fn hint(at_ms: u64) -> Hint {
        Hint::new(request(at_ms).into(), version(at_ms), UnixMs(at_ms))
    }

    fn queue_of(stamps_ms: &[u64]) -> HintQueue {
        let mut queue = HintQueue::default();
        for &at_ms in stamps_ms {
            queue.push(hint(at_ms), ROOM);
        }
        queue
    }

    fn valid_at(now_ms: u64) -> Validity {
        Validity { now: UnixMs(now_ms), ttl_ms: TTL_MS, flush_mark: Version::default() }
    }

    fn sent(stamps_ms: &[u64]) -> Vec<u8> {
        stamps_ms.iter().flat_map(|&at_ms| request(at_ms)).collect()
    }

    #[test]
    fn hints_leave_in_order_and_within_the_budget() {
        let mut queue = queue_of(&[1, 2, 3]);
        let batch = queue.next_batch(valid_at(3), 2 * request(1).len());
        assert_eq!(batch.bytes(), sent(&[1, 2]));
        assert_eq!(queue.answered(&[PeerReply::Ok, PeerReply::Ok]), 2);

        assert_eq!(queue.next_batch(valid_at(3), 1).bytes(), sent(&[3]), "one that is too large goes alone");
        assert_eq!(queue.answered(&[PeerReply::Ok]), 1);
        assert!(queue.next_batch(valid_at(3), 1).is_empty());
        assert_eq!(queue.status(UnixMs(3)), HintStatus::default());
    }

    #[test]
    fn what_was_not_answered_is_sent_again_first() {
        let mut queue = queue_of(&[1, 2, 3]);
        assert_eq!(queue.next_batch(valid_at(3), ROOM).len(), 3);
        queue.push(hint(4), ROOM);
        assert_eq!(queue.status(UnixMs(11)).oldest_age_ms, 10, "on its way is still owed");

        assert_eq!(queue.answered(&[PeerReply::Ok]), 1);
        assert_eq!(queue.status(UnixMs(12)).count, 3);
        assert_eq!(queue.next_batch(valid_at(4), ROOM).bytes(), sent(&[2, 3, 4]));
        assert_eq!(queue.answered(&[]), 0, "the link broke");
        assert_eq!(queue.next_batch(valid_at(4), ROOM).bytes(), sent(&[2, 3, 4]));
    }

    #[test]
    fn only_what_a_peer_took_is_a_repair_and_a_refused_hint_holds_nothing_up() {
        let mut queue = queue_of(&[1, 2, 3, 4]);
        assert_eq!(queue.next_batch(valid_at(4), ROOM).len(), 4);
        let refused = PeerReply::Refused("ERR".to_owned());
        let replies = [PeerReply::Ok, PeerReply::Stale(version(9)), PeerReply::Syncing, refused];
        assert_eq!(queue.answered(&replies), 2);
        assert_eq!(queue.status(UnixMs(4)), HintStatus { dropped: 1, ..HintStatus::default() });
    }

    #[test]
    fn a_hint_without_room_is_dropped_and_counted() {
        let mut queue = queue_of(&[1]);
        queue.push(hint(2), hint(2).bytes() - 1);
        assert_eq!((queue.status(UnixMs(2)).count, queue.status(UnixMs(2)).dropped), (1, 1));
        queue.push(hint(2), hint(2).bytes());
        assert_eq!((queue.status(UnixMs(2)).count, queue.bytes()), (2, hint(1).bytes() + hint(2).bytes()));
    }

    #[test]
    fn no_hint_is_sent_at_its_full_age_wherever_it_stands() {
        let mut queue = queue_of(&[50, 1, 60]);
        assert_eq!(queue.next_batch(valid_at(1000), ROOM).len(), 3, "one millisecond is left");
        queue.answered(&[]);
        assert_eq!(queue.next_batch(valid_at(1001), ROOM).bytes(), sent(&[50, 60]));
        queue.answered(&[]);
        queue.expire(UnixMs(1055), TTL_MS);
        assert_eq!(queue.status(UnixMs(1055)).count, 1);
        assert!(queue.next_batch(valid_at(1060), ROOM).is_empty());
        assert_eq!(queue.status(UnixMs(1060)), HintStatus { dropped: 3, ..HintStatus::default() });
    }

    #[test]
    fn age_counts_from_the_version_or_from_the_hint_if_a_clock_runs_ahead() {
        let late = Hint::new(request(10).into(), version(10), UnixMs(500));
        assert_eq!(late.age_ms(UnixMs(510)), 500, "its answer was waited for");
        let ahead = Hint::new(request(9000).into(), version(9000), UnixMs(500));
        assert_eq!(ahead.age_ms(UnixMs(510)), 10);
    }

    #[test]
    fn a_flush_drops_what_is_older_also_what_was_on_its_way() {
        let mut queue = queue_of(&[1, 2, 3, 4]);
        assert_eq!(queue.next_batch(valid_at(4), 1).bytes(), sent(&[1]));
        queue.drop_older_than(version(3));
        assert_eq!(queue.status(UnixMs(4)).count, 2, "1 is on its way");
        queue.answered(&[]);
        let flushed = Validity { flush_mark: version(3), ..valid_at(4) };
        assert_eq!(queue.next_batch(flushed, ROOM).bytes(), sent(&[4]));
        queue.answered(&[PeerReply::Ok]);
        assert_eq!(queue.status(UnixMs(4)), HintStatus::default(), "that is no loss");
    }

    #[test]
    fn memory_is_given_back_with_the_hints() {
        let mut queue = HintQueue::default();
        (0..10_000).for_each(|at_ms| queue.push(hint(at_ms), ROOM));
        assert!(queue.bytes() >= queue.waiting.capacity() * size_of::<Hint>());
        while !queue.next_batch(valid_at(0), 1000).is_empty() {
            let replies = vec![PeerReply::Ok; queue.taken.len()];
            queue.answered(&replies);
        }
        assert_eq!((queue.bytes(), queue.waiting.capacity(), queue.taken.capacity()), (0, 0, 0));
    }
}
