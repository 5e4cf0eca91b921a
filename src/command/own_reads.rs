//! Reads of what the same turn writes: read your own writes, without waiting for them twice.
//!
//! Commands of one connection on one key take effect in order. A read behind a write of its key could wait until that is on its
//! quorum, and ask then; but a pipeline on keys that are in demand would be cut into many turns, each with a round trip of its
//! own. If the write succeeds, a read that takes effect right after it finds just what was written, whatever others write
//! afterwards, so there is nobody to ask. It is answered together with the write, when that can be taken back no more. If the
//! write fails, the read is asked for after all. If by then a later write of the turn has changed the key, or may have, that is too late, and
//! the read fails with its write.

use std::collections::HashMap;
use std::vec;

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::coordinator::{Found, Operation, OperationKind, Operations, Outcome, Outcomes, QuorumError};
use crate::ring::Slot;
use crate::time::UnixMs;
use crate::version::Version;

/// A write that is read in its turn.
#[derive(Debug)]
struct ReadWrite {
    /// Its place among the operations.
    write: usize,
    slot: Slot,
    key: Bytes,
    /// What is found if it succeeds.
    found: Found,
}

/// The last write of a key so far.
#[derive(Clone, Copy, Debug)]
struct LastWrite {
    write: usize,
    /// Its place among those that are read.
    read: Option<usize>,
}

/// The reads of a turn that are answered by its writes.
#[derive(Debug, Default)]
pub(super) struct OwnReads {
    /// The writes that are read, in the order in which they are read first.
    writes: Vec<ReadWrite>,
    /// For each read in order, where its outcome belongs among those of the operations and of the other reads, and its write.
    reads: Vec<(usize, usize)>,
    /// Bytes of the values that are read, as often as they are.
    value_bytes: usize,
    last: HashMap<Bytes, LastWrite, RandomState>,
    /// For each operation that was looked at, the next write of its key.
    next: Vec<Option<usize>>,
}

impl OwnReads {
    /// Adds a read of `key` if one of `operations`, those of the turn so far, writes it; whether that is so.
    pub(super) fn add(&mut self, operations: &[Operation], key: &[u8], now: UnixMs) -> bool {
        self.look_at(operations);
        let Some(last) = self.last.get_mut(key) else { return false };
        let place = operations.len() + self.reads.len();
        let read = *last.read.get_or_insert_with(|| {
            let Operation { slot, key, kind } = operations[last.write].clone();
            let (value, expires_at) = match kind {
                OperationKind::Write { value, expires_at } => (value, expires_at),
                OperationKind::Read => (None, None),
            };
            let value = value.filter(|_| expires_at.is_none_or(|at| at > now));
            let found = Found { version: Version::default(), expires_at, value };
            self.writes.push(ReadWrite { write: last.write, slot, key, found });
            self.writes.len() - 1
        });
        self.value_bytes += self.writes[read].found.value.as_ref().map_or(0, Bytes::len);
        self.reads.push((place, read));
        true
    }

    /// Notes the writes among the operations that have come since it was last called.
    fn look_at(&mut self, operations: &[Operation]) {
        for (position, operation) in operations.iter().enumerate().skip(self.next.len()) {
            self.next.push(None);
            if operation.is_read() {
                continue;
            }
            let last = LastWrite { write: position, read: None };
            if let Some(before) = self.last.insert(operation.key.clone(), last) {
                self.next[before.write] = Some(position);
            }
        }
    }

    /// Whether no operation of the turn was looked at.
    pub(super) fn is_blank(&self) -> bool {
        self.next.is_empty()
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
        if !self.next.is_empty() {
            self.look_at(operations);
            self.last = HashMap::default();
        }
        if self.reads.is_empty() {
            self.next = Vec::new();
        }
    }

    /// What has to be asked for, now that the operations have come to `outcomes`: once for each write that failed, `reads_max` times at
    /// most.
    pub(super) fn unanswered(&self, outcomes: &[Outcome], reads_max: usize) -> Operations {
        let unanswered = self.writes.iter().filter(|write| self.may_ask(write, outcomes)).take(reads_max);
        unanswered
            .map(|write| Operation { slot: write.slot, key: write.key.clone(), kind: OperationKind::Read })
            .collect()
    }

    /// Whether a write has failed, and none behind it can have changed the key since.
    fn may_ask(&self, write: &ReadWrite, outcomes: &[Outcome]) -> bool {
        let mut later = std::iter::successors(self.next[write.write], |&write| self.next[write]);
        failure(&outcomes[write.write]).is_some() && later.all(|write| is_nothing(&outcomes[write]))
    }

    /// Puts their outcomes among those of the operations; `asked` are those of [`Self::unanswered`].
    pub(super) fn settle(&mut self, outcomes: Outcomes, asked: Outcomes) -> Outcomes {
        if self.reads.is_empty() {
            return outcomes;
        }
        let mut asked = asked.into_iter();
        let answers: Vec<Outcome> = self
            .writes
            .iter()
            .map(|write| match failure(&outcomes[write.write]) {
                None => Outcome::Read(Some(write.found.clone())),
                Some(failure) if !self.may_ask(write, &outcomes) => failure.clone(),
                Some(failure) => asked.next().unwrap_or_else(|| failure.clone()),
            })
            .collect();
        let mut all = Outcomes::with_capacity(outcomes.len() + self.reads.len());
        let mut outcomes: vec::IntoIter<Outcome> = outcomes.into_vec().into_iter();
        for &(place, read) in &self.reads {
            all.extend(outcomes.by_ref().take(place - all.len()));
            all.push(answers[read].clone());
        }
        all.extend(outcomes);
        *self = Self::default();
        all
    }
}

/// What became of a write, if it did not succeed.
fn failure(outcome: &Outcome) -> Option<&Outcome> {
    if matches!(outcome, Outcome::Written(_)) { None } else { Some(outcome) }
}

/// Whether nothing is left of a write, and nothing ever will be.
fn is_nothing(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(QuorumError::TooFewForWrite { .. } | QuorumError::Reverted { .. }))
}
