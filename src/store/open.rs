//! The open list of a slot: which records may still be taken back, and what would show instead.
//!
//! A record that is put over another one pushes an entry that owns the record it covers, like an undo log. So a write
//! costs one push, taking one back is a splice, and a hot key with hundreds of open versions needs no list of its own.
//!
//! Invariants:
//! 1. The record of an entry's version is the key's shown one or lies below another entry, unless the entry is
//!    decided. Hence what is not found need not be asked whether it was shown: it is kept.
//! 2. An entry that is not decided stands before the entry of whatever covers its record: a fresh write enters only
//!    above everything else of its key, and entries leave from the front. A walk down a key's versions therefore only
//!    ever goes towards the front.
//! 3. Every version that is, or ever was, here has an entry until its coordinator's watermark has passed it, or else
//!    [`Decider::decide_alone`](super::decide::Decider::decide_alone) knows of it. This is what lets a replica say with
//!    certainty that a version never was here.
//!
//! Two keys whose 64-bit seeded hashes collide within a slot are told apart by the version, which is one write's own.

use std::collections::VecDeque;

use super::decide::Context;
use super::record::Record;
use crate::time::UnixMs;
use crate::version::Version;

/// Below this capacity a queue is not worth shrinking.
const SHRINK_ABOVE: usize = 64;

/// A version that arrived lately.
pub(super) struct Entry {
    /// Of the key.
    pub(super) hash: u64,
    pub(super) version: Version,
    pub(super) arrived_at: UnixMs,
    /// What was shown before, or what a copy slipped in below.
    pub(super) below: Option<Record>,
    /// Another replica has shown or decided it; only the memory that it is here remains.
    pub(super) decided: bool,
    /// It is, or was, the newest of its key here.
    pub(super) newest_once: bool,
    /// It is the write of an update: what was promised to that holds when it is taken back.
    pub(super) of_update: bool,
}

/// How a version would stand among those of a key whose shown version is newer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// A decided record is newer.
    Outranked,
    /// All newer ones are open; the entry with this index is the lowest of them.
    Below(usize),
}

/// The entries of a slot, in the order of arrival.
#[derive(Default)]
pub(super) struct OpenList {
    entries: VecDeque<Entry>,
    /// What entries and the records below them take.
    bytes: usize,
}

impl OpenList {
    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry_bytes(entry.below.as_ref());
        self.entries.push_back(entry);
    }

    /// Closes what is decided, from the front on up to the first entry that is not.
    pub(super) fn close_due(&mut self, context: &Context<'_>) {
        loop {
            if let Some(entry) = self.entries.pop_front_if(|entry| context.passed(entry.version)) {
                self.closed(entry);
            } else if self.entries.front().is_some_and(|entry| context.is_overdue(entry.arrived_at)) {
                self.close_oldest(context);
            } else {
                return;
            }
        }
    }

    /// Closes the oldest entry, due or not; false if there is none.
    pub(super) fn close_oldest(&mut self, context: &Context<'_>) -> bool {
        let Some(entry) = self.entries.pop_front() else { return false };
        if !context.passed(entry.version) {
            context.decider.decide_alone(entry.version);
        }
        self.closed(entry);
        true
    }

    /// What lies below an entry that is closed is outranked by a decided record now, and freed.
    #[inline]
    fn closed(&mut self, entry: Entry) {
        self.bytes -= entry_bytes(entry.below.as_ref());
        if let Some(below) = entry.below {
            below.retire();
        }
    }

    /// What lies below the entry that is closed first.
    pub(super) fn covered_first(&self) -> Option<&Record> {
        self.entries.front()?.below.as_ref()
    }

    /// Where the entry of a version is. Searched from the newest on, where the sought one nearly always is.
    pub(super) fn position(&self, hash: u64, version: Version) -> Option<usize> {
        position_before(&self.entries, self.entries.len(), hash, version)
    }

    pub(super) fn entry(&self, at: usize) -> &Entry {
        &self.entries[at]
    }

    pub(super) fn entry_mut(&mut self, at: usize) -> &mut Entry {
        &mut self.entries[at]
    }

    /// Below which entry the record of `version` lies, if below any.
    pub(super) fn cover_of(&self, key: &[u8], version: Version) -> Option<usize> {
        let is_it = |record: &Record| record.version() == version && record.key() == key;
        self.entries.iter().rposition(|entry| entry.below.as_ref().is_some_and(is_it))
    }

    /// Whether the entry's coordinator may still take it back.
    pub(super) fn is_open(&self, at: usize, context: &Context<'_>) -> bool {
        let entry = &self.entries[at];
        !entry.decided && !context.passed(entry.version) && !context.is_overdue(entry.arrived_at)
    }

    /// How `version` stands in a key that shows `top`, which is newer.
    pub(super) fn standing(&self, hash: u64, top: Version, version: Version, context: &Context<'_>) -> Standing {
        let (mut newer, mut end) = (top, self.entries.len());
        loop {
            let open = position_before(&self.entries, end, hash, newer).filter(|&at| self.is_open(at, context));
            let Some(at) = open else { return Standing::Outranked };
            match &self.entries[at].below {
                Some(below) if below.version() > version => (newer, end) = (below.version(), at),
                _ => return Standing::Below(at),
            }
        }
    }

    /// Puts another record below an entry and gives back what lay there.
    pub(super) fn replace_below(&mut self, at: usize, below: Option<Record>) -> Option<Record> {
        self.bytes += entry_bytes(below.as_ref());
        let before = std::mem::replace(&mut self.entries[at].below, below);
        self.bytes -= entry_bytes(before.as_ref());
        before
    }

    /// Forgets an entry whose version has been taken back.
    pub(super) fn remove(&mut self, at: usize) {
        if let Some(entry) = self.entries.remove(at) {
            self.bytes -= entry_bytes(entry.below.as_ref());
        }
    }

    /// Drops everything older than `flush_mark`; the freed records go to `freed`. The memory of what was here stays until
    /// its time: a copy may have come before the write itself, and to say `STALE` of what somebody has read would let it
    /// be written a second time, after the flush.
    pub(super) fn flush(&mut self, flush_mark: Version, freed: &mut Vec<Record>) {
        for entry in &mut self.entries {
            freed.extend(entry.below.take_if(|below| below.version() <= flush_mark));
            entry.decided |= entry.version <= flush_mark;
        }
        self.bytes = self.entries.iter().map(|entry| entry_bytes(entry.below.as_ref())).sum();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many records lie below others.
    pub(super) fn records_below(&self) -> usize {
        self.entries.iter().filter(|entry| entry.below.is_some()).count()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub(super) fn shrink(&mut self) {
        shrink(&mut self.entries);
    }
}

/// Gives back the memory of a burst that is over.
#[inline]
pub(super) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > SHRINK_ABOVE {
        shrink_large(queue);
    }
}

#[cold]
fn shrink_large<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() / 4 > queue.len() {
        queue.shrink_to(queue.len() * 2);
    }
}

fn position_before(entries: &VecDeque<Entry>, end: usize, hash: u64, version: Version) -> Option<usize> {
    entries.range(..end).rposition(|entry| entry.hash == hash && entry.version == version)
}

fn entry_bytes(below: Option<&Record>) -> usize {
    size_of::<Entry>() + below.map_or(0, Record::heap_bytes)
}
