//! Reads of what the same turn writes: read your own writes, without waiting for them twice.
//!
//! Commands of one connection on one key take effect in order. A read behind a write of its key could wait until that is on its
//! quorum, and ask then; but a pipeline on keys that are in demand would be cut into many turns, each with a round trip of its
//! own. If the write succeeds, a read that takes effect right after it finds just what was written, whatever others write
//! afterwards, so there is nobody to ask. It is answered together with the write, when that can be taken back no more. If the
//! write fails, the read is asked for after all.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::coordinator::{Found, Operation, OperationKind, Operations, Outcome, Outcomes};
use crate::ring::Slot;
use crate::time::UnixMs;
use crate::version::Version;

/// A read that a write of the same turn answers.
#[derive(Debug)]
struct OwnRead {
    /// Where its outcome belongs among those of the operations and of the other own reads.
    place: usize,
    /// The write among the operations.
    write: usize,
    slot: Slot,
    key: Bytes,
    /// What it finds if the write succeeds.
    found: Found,
    /// Whether the turn writes to the slot again behind it. To ask after that would be too late.
    is_followed: bool,
}

/// All of a turn, in order.
#[derive(Debug, Default)]
pub(super) struct OwnReads {
    reads: Vec<OwnRead>,
    value_bytes: usize,
}

impl OwnReads {
    /// Adds a read of `key` if one of `operations`, those of the turn so far, writes it; whether that is so.
    pub(super) fn add(&mut self, operations: &[Operation], slot: Slot, key: &[u8], now: UnixMs) -> bool {
        let is_its_write = |operation: &Operation| {
            operation.slot == slot && operation.key == key && matches!(operation.kind, OperationKind::Write { .. })
        };
        let Some(write) = operations.iter().rposition(is_its_write) else { return false };
        let Operation { key, kind: OperationKind::Write { value, expires_at }, .. } = &operations[write] else {
            return false;
        };
        let value = value.clone().filter(|_| expires_at.is_none_or(|at| at > now));
        self.value_bytes += value.as_ref().map_or(0, Bytes::len);
        let found = Found { version: Version::default(), expires_at: *expires_at, value };
        let (place, key) = (operations.len() + self.reads.len(), key.clone());
        self.reads.push(OwnRead { place, write, slot, key, found, is_followed: false });
        true
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.reads.len()
    }

    /// How long their values are together.
    pub(super) fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Notes that the turn is complete, with these operations.
    pub(super) fn complete(&mut self, operations: &[Operation]) {
        for read in &mut self.reads {
            let writes_again =
                |behind: &Operation| behind.slot == read.slot && matches!(behind.kind, OperationKind::Write { .. });
            read.is_followed = operations[read.write + 1..].iter().any(writes_again);
        }
    }

    /// The reads that have to be asked for, now that their writes have come to `outcomes`.
    pub(super) fn unanswered(&self, outcomes: &[Outcome]) -> Operations {
        let unanswered = self.reads.iter().filter(|read| !read.is_followed && failure(read, outcomes).is_some());
        unanswered.map(|read| Operation { slot: read.slot, key: read.key.clone(), kind: OperationKind::Read }).collect()
    }

    /// Puts their outcomes among those of the operations; `asked` are those of [`Self::unanswered`].
    pub(super) fn settle(&mut self, outcomes: Outcomes, asked: Outcomes) -> Outcomes {
        self.value_bytes = 0;
        let mut asked = asked.into_iter();
        let reads = std::mem::take(&mut self.reads).into_iter().map(|read| {
            let outcome = match failure(&read, &outcomes) {
                None => Outcome::Read(Some(read.found)),
                Some(failure) if read.is_followed => failure.clone(),
                Some(_) => asked.next().expect("what was not answered was asked for"),
            };
            (read.place, outcome)
        });
        let reads: SmallVec<[(usize, Outcome); 4]> = reads.collect();
        let mut all = Outcomes::with_capacity(outcomes.len() + reads.len());
        let mut outcomes = outcomes.into_iter();
        for (place, outcome) in reads {
            all.extend(outcomes.by_ref().take(place - all.len()));
            all.push(outcome);
        }
        all.extend(outcomes);
        all
    }
}

/// What became of the write, if it did not succeed.
fn failure<'a>(read: &OwnRead, outcomes: &'a [Outcome]) -> Option<&'a Outcome> {
    outcomes.get(read.write).filter(|outcome| !matches!(outcome, Outcome::Written(_)))
}
