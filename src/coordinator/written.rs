//! The slots that a connection has written: what WAIT asks about, and what its own reads have to see.
//!
//! A bit per slot, 2 KiB in all, and nothing for a connection that only reads.

use crate::ring::{SLOT_COUNT, Slot};

const WORDS: usize = SLOT_COUNT as usize / WORD_BITS;
const WORD_BITS: usize = u64::BITS as usize;

/// A set of slots.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WrittenSlots(Option<Box<[u64; WORDS]>>);

impl WrittenSlots {
    /// Adds a slot.
    #[inline]
    pub fn insert(&mut self, slot: Slot) {
        let words = self.0.get_or_insert_with(|| Box::new([0; WORDS]));
        words[slot.as_usize() / WORD_BITS] |= 1 << (slot.as_usize() % WORD_BITS);
    }

    /// Takes a slot out.
    pub fn remove(&mut self, slot: Slot) {
        if let Some(words) = &mut self.0 {
            words[slot.as_usize() / WORD_BITS] &= !(1 << (slot.as_usize() % WORD_BITS));
        }
    }

    /// Whether the slot is among them.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        let word = self.0.as_ref().map_or(0, |words| words[slot.as_usize() / WORD_BITS]);
        word >> (slot.as_usize() % WORD_BITS) & 1 == 1
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|words| words.iter().all(|&word| word == 0))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        Slot::all().filter(|&slot| self.contains(slot))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_set_holds(steps in prop::collection::vec((any::<bool>(), 0..SLOT_COUNT), 0..50)) {
            let (mut written, mut twin) = (WrittenSlots::default(), BTreeSet::new());
            for (is_added, number) in steps {
                let slot = Slot::new(number).unwrap();
                if is_added {
                    written.insert(slot);
                    twin.insert(slot);
                } else {
                    written.remove(slot);
                    twin.remove(&slot);
                }
                prop_assert_eq!(written.is_empty(), twin.is_empty());
                prop_assert!(written.iter().eq(twin.iter().copied()));
            }
        }
    }
}
