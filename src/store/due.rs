//! When something expires at the earliest, for groups of slots: so the sweep goes only where something is due.
//!
//! To look at each of 16384 slots, twice a second, brings a megabyte into the cache for nothing where few keys expire. The times
//! of all groups take as much as 64 slots.

use std::sync::atomic::{AtomicU32, Ordering};

use super::LocalKvStore;
use super::tally::{NEVER, Tally, second};
use crate::ring::{SLOT_COUNT, Slot};
use crate::time::UnixMs;

/// Slots of a group.
const GROUP_SLOTS: u16 = 16;
const GROUPS: usize = (SLOT_COUNT / GROUP_SLOTS) as usize;

/// The second in which something in a group of slots expires, or an earlier one. It is brought forward under the lock of a slot, and put
/// off only before the locks of all its slots are taken in turn, so relaxed access suffices.
pub(super) struct DueTimes([AtomicU32; GROUPS]);

impl Default for DueTimes {
    fn default() -> Self {
        Self([const { AtomicU32::new(NEVER) }; GROUPS])
    }
}

impl DueTimes {
    /// Notes what a slot has come to.
    #[inline]
    pub(super) fn note(&self, slot: Slot, tally: &Tally) {
        if tally.has_expiries() {
            self.bring_forward(group_of(slot), tally.expires_from());
        }
    }

    #[inline]
    fn bring_forward(&self, group: usize, to: u32) {
        if to < self.0[group].load(Ordering::Relaxed) {
            self.0[group].fetch_min(to, Ordering::Relaxed);
        }
    }

    fn put_off(&self, group: usize) {
        self.0[group].store(NEVER, Ordering::Relaxed);
    }

    fn is_due(&self, group: usize, now: UnixMs) -> bool {
        self.0[group].load(Ordering::Relaxed) <= second(now)
    }
}

fn group_of(slot: Slot) -> usize {
    usize::from(slot.number() / GROUP_SLOTS)
}

/// The slots of its group from this one on.
fn rest_of_group(begin: Slot) -> impl Iterator<Item = Slot> {
    let end = (begin.number() / GROUP_SLOTS + 1) * GROUP_SLOTS;
    (begin.number()..end).filter_map(Slot::new)
}

impl LocalKvStore {
    /// Frees the values of expired records, slot by slot beginning with `from`, and stops after the slot in which it
    /// has looked at `budget` records or slots, or more; slots near which nothing is due do not count. Returns where to go on.
    #[must_use = "the next call goes on from there"]
    pub fn sweep_expired(&self, from: Slot, budget: usize, now: UnixMs) -> Slot {
        let (first, mut seen) = (group_of(from), 0);
        let starts = (0..SLOT_COUNT).step_by(GROUP_SLOTS.into()).filter_map(Slot::new);
        // The slots of its group that lie before `from` come last.
        let others = starts.clone().skip(first + 1).chain(starts.take(first + 1));
        for begin in std::iter::once(from).chain(others) {
            let group = group_of(begin);
            if !self.due.is_due(group, now) {
                let is_noted = |slot| !self.is_due(slot, now) || self.due.is_due(group, now);
                debug_assert!(rest_of_group(begin).all(is_noted), "an expiry was not noted");
            } else if let Some(next) = self.sweep_group(begin, budget, &mut seen, now) {
                return next;
            }
        }
        from
    }

    /// The same for the slots of one group from `begin` on. `None` if all were visited.
    fn sweep_group(&self, begin: Slot, budget: usize, seen: &mut usize, now: UnixMs) -> Option<Slot> {
        let group = group_of(begin);
        if begin.number().is_multiple_of(GROUP_SLOTS) {
            self.due.put_off(group);
        }
        for slot in rest_of_group(begin) {
            if *seen >= budget {
                // What was visited is put off once the whole group is visited in one go.
                self.due.bring_forward(group, second(now));
                return Some(slot);
            }
            *seen += 1;
            let mut table = self.slots[slot.as_usize()].lock();
            if table.tally.is_due(now) {
                *seen += table.records.len();
                table.expire(&self.context(slot, now));
            }
            self.due.note(slot, &table.tally);
        }
        None
    }

    fn is_due(&self, slot: Slot, now: UnixMs) -> bool {
        self.slots[slot.as_usize()].lock().tally.is_due(now)
    }
}
