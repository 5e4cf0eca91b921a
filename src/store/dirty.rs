//! Which slots have something to be tidied up, so that nobody need visit all 16384.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ring::{SLOT_COUNT, Slot};

const WORDS: usize = SLOT_COUNT as usize / u64::BITS as usize;

/// One bit per slot. A slot's bit is set and cleared under that slot's lock alone, so relaxed access suffices.
pub(super) struct DirtySlots {
    words: [AtomicU64; WORDS],
}

impl DirtySlots {
    pub(super) fn new() -> Self {
        Self { words: [const { AtomicU64::new(0) }; WORDS] }
    }

    /// Notes that `slot` has something. Costs no write if that is known.
    pub(super) fn insert(&self, slot: Slot) {
        let (word, bit) = self.place(slot);
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Notes that `slot` has nothing any more.
    pub(super) fn remove(&self, slot: Slot) {
        let (word, bit) = self.place(slot);
        word.fetch_and(!bit, Ordering::Relaxed);
    }

    /// The slots that were dirty when the iteration came by.
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        (0_u16..).zip(&self.words).flat_map(|(index, word)| {
            let mut bits = word.load(Ordering::Relaxed);
            std::iter::from_fn(move || {
                let lowest = u16::try_from(bits.trailing_zeros()).ok().filter(|_| bits != 0)?;
                bits &= bits - 1;
                Slot::new(index * 64 + lowest)
            })
        })
    }

    fn place(&self, slot: Slot) -> (&AtomicU64, u64) {
        (&self.words[slot.as_usize() / 64], 1 << (slot.as_usize() % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_can_be_marked_and_unmarked() {
        let dirty = DirtySlots::new();
        for slot in Slot::all() {
            dirty.insert(slot);
            assert_eq!(dirty.iter().collect::<Vec<_>>(), [slot]);
            dirty.remove(slot);
        }
        assert_eq!(dirty.iter().count(), 0);
    }
}
