//! FLUSHALL: slot by slot, while requests go on.
//!
//! A slot takes the newest mark that is decided, and a newer one that has merely begun if no larger ballot was ever promised in
//! it.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::LocalKvStore;
use super::slot_table::{Debris, SlotTable};
use crate::flush::FlushMarks;
use crate::mutation::{Mutation, is_on};
use crate::ring::Slot;
use crate::version::{Hlc, Version};

/// Slots that are looked at in one go for what a flush has left.
const SLOTS_LOOKED_AT: usize = 1024;

/// Which marks a store knows, and how far it has come with them.
#[derive(Default)]
pub(super) struct Flushes {
    state: Mutex<State>,
    /// The slot in which to go on looking for what a flush has left.
    next_left: AtomicUsize,
}

#[derive(Clone, Copy, Default)]
struct State {
    marks: FlushMarks,
    /// The newest mark that all slots have taken.
    complete: Version,
}

/// What a flush came to.
#[must_use = "dropping the debris here and now frees all the memory on this thread"]
pub struct Flushed {
    /// What was dropped.
    pub debris: Debris,
    /// The time of a ballot for which some slots do not take the mark; `None` if all have taken it.
    pub refused_for: Option<Hlc>,
}

impl LocalKvStore {
    /// Drops everything up to `mark`, open or not, and refuses it from now on, but for slots in which a larger ballot was
    /// promised. When this returns no other slot shows anything older.
    pub fn flush(&self, mark: Version) -> Flushed {
        self.pass(mark, false)
    }

    /// The same for a mark that is known to be decided: all slots take it. The freed memory comes back, to be dropped where
    /// nobody waits for it.
    pub fn flush_decided(&self, mark: Version) -> Debris {
        self.pass(mark, true).debris
    }

    /// The newest marks that this store has heard of.
    #[must_use]
    pub fn flush_marks(&self) -> FlushMarks {
        self.flushes.state.lock().marks
    }

    /// The newest mark that all slots have taken, or the default version.
    #[must_use]
    pub fn flush_mark(&self) -> Version {
        self.flushes.state.lock().complete
    }

    /// At most `count` of the keys that a flush has left because of what was promised in their slots, although it may have
    /// dropped them elsewhere. Each call looks at some of the slots and the next one goes on from there.
    #[must_use]
    pub fn left_by_flush(&self, count: usize) -> Vec<Bytes> {
        let State { marks: FlushMarks { begun, decided }, complete } = *self.flushes.state.lock();
        if begun == complete || begun == decided {
            return Vec::new();
        }
        let mut keys = Vec::new();
        let from = self.flushes.next_left.fetch_add(SLOTS_LOOKED_AT, Ordering::Relaxed);
        for slot in (from..from + SLOTS_LOOKED_AT).map(|number| number % self.slots.len()) {
            let table = self.slots[slot].lock();
            if table.flush_mark() < begun {
                let older = table.records.iter().filter(|record| record.version() <= begun);
                keys.extend(older.take(count - keys.len()).map(|record| Bytes::copy_from_slice(record.key())));
            }
        }
        keys
    }

    fn pass(&self, mark: Version, is_decided: bool) -> Flushed {
        let mut flushed = Flushed { debris: Debris::default(), refused_for: None };
        {
            let mut state = self.flushes.state.lock();
            state.marks.note(mark, is_decided);
            if state.complete >= mark {
                return flushed;
            }
        }
        for slot in Slot::all() {
            let mut table = self.slots[slot.as_usize()].lock();
            self.take_marks(slot, &mut table, &mut flushed.debris);
            if table.flush_mark() < mark {
                flushed.refused_for = flushed.refused_for.max(self.promises.promised_above(slot, mark));
            }
        }
        if flushed.refused_for.is_none() {
            let mut state = self.flushes.state.lock();
            state.complete = state.complete.max(mark);
        }
        flushed
    }

    /// Lets a slot take the marks that it may take.
    fn take_marks(&self, slot: Slot, table: &mut SlotTable, debris: &mut Debris) {
        let FlushMarks { begun, decided } = self.flush_marks();
        let may_take_all = self.promises.promised_above(slot, begun).is_none() || is_on(Mutation::FlushIgnoresPromises);
        let pending_before = table.pending.bytes();
        table.flush(if may_take_all { begun } else { decided }, self.newest.of(slot), &self.hash_state, debris);
        self.open_bytes.fetch_sub(pending_before - table.pending.bytes(), Ordering::Relaxed);
    }
}
