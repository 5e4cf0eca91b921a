//! How much a store holds.

use std::sync::atomic::Ordering;

use super::LocalKvStore;
use crate::ring::Slot;

/// What a store holds, slot by slot summed up; slots change while others are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreCounts {
    /// Keys that have a record, a value or a tombstone.
    pub keys: usize,
    /// Keys that show a value; an expired one counts until the sweep finds it.
    pub live_keys: usize,
    /// Keys that show a tombstone.
    pub tombstones: usize,
    /// Records, the ones covered by open newer ones included.
    pub records: usize,
    /// Versions that may still be taken back, or that were copied before their coordinator declared them decided; and some that
    /// were decided less than a second ago.
    pub open_records: usize,
    /// Versions that are refused.
    pub void_marks: usize,
    /// Bytes that all open records and void marks take.
    pub open_bytes: usize,
    /// Open records closed since the start because `open_bytes_max` was reached.
    pub closed_early: u64,
}

impl LocalKvStore {
    /// How many keys of a slot show a value; an expired one counts until the sweep finds it.
    #[must_use]
    pub fn live_keys(&self, slot: Slot) -> usize {
        self.slots[slot.as_usize()].lock().tally.live as usize
    }

    /// Bytes that all open records and void marks take.
    #[must_use]
    pub fn open_bytes(&self) -> usize {
        self.open_bytes.load(Ordering::Relaxed)
    }

    /// Counts everything. Locks each slot for a moment: for INFO and tests, not for each request.
    #[must_use]
    pub fn counts(&self) -> StoreCounts {
        let mut counts = StoreCounts {
            open_bytes: self.open_bytes(),
            closed_early: self.closed_early.load(Ordering::Relaxed),
            ..StoreCounts::default()
        };
        for slot in self.slots.iter() {
            let table = slot.lock();
            counts.keys += table.records.len();
            counts.tombstones += table.records.len() - table.tally.live as usize;
            counts.live_keys += table.tally.live as usize;
            counts.records += table.records.len() + table.pending.records_below();
            counts.open_records += table.pending.open_records();
            counts.void_marks += table.pending.void_marks();
        }
        counts
    }
}
