//! Bringing the records of a whole batch into the cache before the first of them is used.
//!
//! Looking a key up misses the cache three times among millions of keys: at the slot, at the table's group, at the
//! record, and each address is known only when the line before is there. For a batch the misses of one kind are asked
//! for all together, so a batch waits three times and not three times per key. What a mark closes in many slots is fetched in
//! the same way.

use smallvec::SmallVec;

use super::LocalKvStore;
use super::record::Record;
use super::table::Item;
use crate::prefetch::prefetch;
use crate::ring::Slot;

/// So many keys are worth warming at a time: their lines have to stay in the first-level cache until they are used.
pub const WARM_KEYS_MAX: usize = 32;
/// The head of a record and a key of a common size take fewer bytes than a line, and may begin anywhere in one.
const KEY_END_OFFSET: usize = 63;
/// A record of a common size begins anywhere in a line and takes 112 bytes, so its end is on a line of its own half the time.
const LAST_LINE_OFFSET: usize = 104;

/// A key whose entry in its slot's table is on its way to the cache.
#[derive(Clone, Copy, Debug)]
pub struct WarmKey {
    slot: Slot,
    hash: u64,
}

impl LocalKvStore {
    /// Tells the slots of `keys`, which are no more than there is room for in `slots`, and brings what is needed to find
    /// the keys and to read their records into the cache. That is a hint: nothing changes.
    #[inline]
    pub fn warm<'a>(&self, keys: impl Iterator<Item = &'a [u8]>, slots: &mut [Slot; WARM_KEYS_MAX]) {
        let mut hashes: SmallVec<[u64; WARM_KEYS_MAX]> = SmallVec::new();
        for (key, slot) in keys.zip(slots.iter_mut()) {
            *slot = self.warm_slot(key);
            hashes.push(self.hashed(key).hash);
        }
        for (&slot, &hash) in slots.iter().zip(&hashes) {
            self.prefetch_entry(slot, hash);
        }
        for (&slot, &hash) in slots.iter().zip(&hashes) {
            self.prefetch_record(slot, hash);
        }
    }

    /// Tells the slot of a key and has its line brought into the cache. A key that comes alone needs no more: waiting for its other
    /// lines here would be no shorter than waiting where they are used.
    #[inline]
    pub fn warm_slot(&self, key: &[u8]) -> Slot {
        let slot = Slot::of_key(key);
        prefetch(self.slots[slot.as_usize()].line());
        slot
    }

    /// Has the table's entry of a key brought into the cache, for [`Self::warm_record`] to be called a little later.
    #[inline]
    pub fn warm_entry(&self, slot: Slot, key: &[u8]) -> WarmKey {
        let hash = self.hashed(key).hash;
        self.prefetch_entry(slot, hash);
        WarmKey { slot, hash }
    }

    /// The same for the record of a key, if it has one.
    #[inline]
    pub fn warm_record(&self, WarmKey { slot, hash }: WarmKey) {
        self.prefetch_record(slot, hash);
    }

    /// Brings what a mark will close in these slots into the cache, and the records that are freed with it: the next ones will
    /// be written there.
    pub(super) fn warm_pending(&self, slots: &[Slot]) {
        for slot in slots {
            prefetch(self.slots[slot.as_usize()].line());
        }
        for slot in slots {
            self.slots[slot.as_usize()].lock().pending.address().into_iter().for_each(prefetch);
        }
        for slot in slots {
            self.slots[slot.as_usize()].lock().pending.covered_first().into_iter().for_each(prefetch_block);
        }
    }

    #[inline]
    fn prefetch_entry(&self, slot: Slot, hash: u64) {
        if let Some(line) = self.slots[slot.as_usize()].lock().records.group_line(hash) {
            prefetch(line);
        }
    }

    #[inline]
    fn prefetch_record(&self, slot: Slot, hash: u64) {
        self.slots[slot.as_usize()].lock().records.for_candidates(hash, prefetch_block);
    }
}

impl Item for Record {
    #[inline]
    fn prefetch(&self) {
        let block = self.address();
        prefetch(block);
        prefetch(block.wrapping_add(KEY_END_OFFSET));
    }
}

/// Asks for all of a record of a common size.
#[inline]
fn prefetch_block(record: &Record) {
    let block = record.address();
    prefetch(block);
    prefetch(block.wrapping_add(64));
    prefetch(block.wrapping_add(LAST_LINE_OFFSET));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::NodeIndex;
    use crate::store::{Reverted, StoreOptions};
    use crate::time::UnixMs;
    use crate::version::{Hlc, StartNumber, Version};

    #[test]
    fn warming_is_not_reading() {
        let options = StoreOptions {
            nodes: 1,
            replicated: true,
            open_ttl_ms: 1000,
            max_clock_drift_ms: 60_000,
            open_bytes_max: 1 << 20,
        };
        let (store, now) = (LocalKvStore::new(options), UnixMs(1_000_000));
        let version = Version::new(Hlc(1), NodeIndex(0), StartNumber::new(1));
        let keys: Vec<Vec<u8>> = (0..3 * WARM_KEYS_MAX).map(|number| number.to_string().into_bytes()).collect();
        for key in keys.iter().step_by(2) {
            let _ = store.write(Slot::of_key(key), key, Some(b"value"), None, version, now);
        }

        let mut slots = [Slot::FIRST; WARM_KEYS_MAX];
        store.warm(keys.iter().map(Vec::as_slice), &mut slots);
        let expected: Vec<Slot> = keys.iter().take(WARM_KEYS_MAX).map(|key| Slot::of_key(key)).collect();
        assert_eq!(slots.as_slice(), expected);
        store.warm(std::iter::empty(), &mut slots);
        for key in &keys {
            store.warm_record(store.warm_entry(Slot::of_key(key), key));
        }

        for key in &keys {
            assert_eq!(store.revert(Slot::of_key(key), key, version, now), Reverted::Confirmed, "nobody has seen it");
        }
    }
}
