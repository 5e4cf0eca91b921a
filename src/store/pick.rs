//! A random key of a slot, without a look at all of them.

use bytes::Bytes;

use super::LocalKvStore;
use super::record::Record;
use crate::ring::Slot;
use crate::time::UnixMs;

/// One of so many neighbours is chosen: keys behind a wide gap are hardly likelier than others then.
const NEIGHBOURS: u64 = 64;
/// The upper halves of the tables' hashes.
const POSITIONS: u64 = 1 << 32;

impl LocalKvStore {
    /// A live key of `slot` by a random number, each about as likely as any other. `None` if none was found: there is
    /// none, or many records are tombstones.
    #[must_use]
    pub fn pick(&self, slot: Slot, draw: u64, now: UnixMs) -> Option<Bytes> {
        let table = self.slots[slot.as_usize()].lock();
        let width = POSITIONS * NEIGHBOURS / (table.records.len() as u64).max(NEIGHBOURS);
        // The row goes round past the end; a row of all begins at the beginning.
        let from = if width == POSITIONS { 0 } else { draw >> 32 };
        let (end, behind) = ((from + width).min(POSITIONS), (from + width).saturating_sub(POSITIONS));
        let row = || {
            let wrapped = (behind > 0).then(|| table.records.around(0, behind));
            table.records.around(from, end).chain(wrapped.into_iter().flatten())
        };
        let live = || row().filter(|record| record.is_live(now));
        let count = live().count() as u64;
        let chosen = u64::from(u32::try_from(draw % POSITIONS).unwrap_or_default()) % count.max(1);
        let record: &Record = live().nth(usize::try_from(chosen).unwrap_or_default())?;
        record.mark_shown();
        Some(Bytes::copy_from_slice(record.key()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ring::NodeIndex;
    use crate::store::tests::roomy;
    use crate::version::{Hlc, StartNumber, Version};

    /// Numbers without a pattern: `SplitMix64` (Steele et al., 2014).
    fn spread(number: u64) -> u64 {
        let mut mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    #[test]
    fn keys_are_picked_evenly_and_only_live_ones() {
        let now = UnixMs(1_000_000);
        for count in [0_u64, 1, 50, 2_000] {
            let store = roomy(true);
            for number in 0..2 * count {
                let (key, value) = (format!("{{tag}}{number}"), Some(b"v".as_slice()).filter(|_| number < count));
                let version = Version::new(Hlc(1), NodeIndex(0), StartNumber::new(1));
                let _ = store.write(Slot::of_key(b"tag"), key.as_bytes(), value, None, version, now);
            }
            let mut times = BTreeMap::<Bytes, u64>::new();
            for draw in 0..50 * count {
                let draw = spread(draw);
                if let Some(key) = store.pick(Slot::of_key(b"tag"), draw, now) {
                    *times.entry(key).or_default() += 1;
                }
            }
            // How far apart keys lie is up to the table's seed: of many keys some are picked seldom, or often.
            let even = times.values().filter(|times| (10..=125).contains(*times)).count() as u64;
            let most = times.values().max().copied().unwrap_or_default();
            assert!(even * 10 >= count * 8 && most <= 250, "{even} of {count} keys evenly, one {most} times");
        }
    }
}
