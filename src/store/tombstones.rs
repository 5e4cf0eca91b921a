//! Dropping tombstones that have been proven useless.
//!
//! The proof is not the store's business; see `replica/tombstones.rs`. Here it is about what stays behind: the slot
//! remembers the newest version that it has dropped, and a key without a record refuses whatever a peer sends that is not
//! newer, so that a message which comes later than any message may cannot bring a deleted key back.

use super::LocalKvStore;
use super::record::Record;
use crate::ring::Slot;
use crate::time::UnixMs;

/// Which tombstones may go.
#[derive(Clone, Copy, Debug)]
pub struct Useless {
    /// For how long a tombstone is needed in any case, in milliseconds.
    pub life_ms: u64,
    /// How far its stamp may be ahead of this node's clock, in milliseconds: its life does not begin before the moment
    /// from which on no clock stamps an older version.
    pub drift_ms: u64,
    /// Those whose life was over then may go.
    pub until: UnixMs,
}

impl Useless {
    /// When the tombstone's life ends.
    fn end(&self, tombstone: &Record) -> UnixMs {
        let stamped = tombstone.version().hlc().wall().0.saturating_add(self.drift_ms);
        UnixMs(tombstone.came_at().0.max(stamped).saturating_add(self.life_ms))
    }
}

/// What became of a slot's tombstones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    /// How many went.
    pub tombstones: usize,
    /// When the life of the first of those that stay ends.
    pub next: Option<UnixMs>,
    /// Something in the slot may still be taken back, so none were looked at.
    pub is_busy: bool,
    /// How many records were looked at.
    pub looked: usize,
}

impl LocalKvStore {
    /// Drops the tombstones of a slot that are `useless`. Nothing goes while anything in the slot may still be taken
    /// back.
    #[must_use = "it says when to come again"]
    pub fn drop_tombstones(&self, slot: Slot, useless: Useless, now: UnixMs) -> Dropped {
        let tombstones = {
            let table = self.slots[slot.as_usize()].lock();
            table.records.len() - table.tally.live as usize
        };
        if tombstones == 0 {
            return Dropped::default();
        }
        self.change(slot, now, |table, context| {
            let is_busy = !table.pending.is_empty();
            if is_busy {
                return Dropped { is_busy, ..Dropped::default() };
            }
            let mut dropped = Dropped { looked: table.records.len(), ..Dropped::default() };
            let mut newest = table.forgotten();
            table.retain(context, |record| {
                if !record.is_tombstone() {
                    return true;
                }
                let end = useless.end(record);
                if end > useless.until {
                    dropped.next = Some(dropped.next.map_or(end, |next| next.min(end)));
                    return true;
                }
                dropped.tombstones += 1;
                newest = newest.max(record.version());
                false
            });
            table.forget_up_to(newest);
            dropped
        })
    }
}
