//! How many keys expire, and when on average: for INFO.
//!
//! To keep count would take room that a slot does not have in its cache line, and something of every write, for a number
//! that is looked at now and then. So it is counted when it is asked for: exactly where few records are in slots that
//! have any with an expiry, and otherwise by a sample, of some of these slots and of a part of each.

use super::LocalKvStore;
use super::slot_table::SlotTable;
use crate::ring::Slot;
use crate::time::UnixMs;

/// So many records are looked at, about: a millisecond or two.
const RECORDS_MAX: usize = 20_000;
/// Slots of a sample.
const SLOTS_MAX: usize = 1_000;
/// The upper halves of the tables' hashes.
const POSITIONS: u64 = 1 << 32;

/// Keys that expire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expiries {
    /// How many there are. An estimate if more than 20,000 records had to be looked at.
    pub keys: u64,
    /// How long they have left on average, in milliseconds; 0 if there are none.
    pub average_ttl_ms: u64,
}

/// What was found so far.
#[derive(Default)]
struct Sample {
    /// Live records that were looked at.
    live: u64,
    /// Those among them that expire.
    expiring: u64,
    /// How long these have left altogether.
    ttl_ms: u64,
}

impl LocalKvStore {
    /// How many live keys expire. Locks each slot for a moment: for INFO, not for each request.
    #[must_use]
    pub fn expiries(&self, now: UnixMs) -> Expiries {
        let (mut slots, mut records, mut live) = (Vec::new(), 0, 0);
        for slot in Slot::all() {
            let table = self.slots[slot.as_usize()].lock();
            if table.tally.has_expiries() {
                slots.push(slot);
                records += table.records.len();
                live += u64::from(table.tally.live);
            }
        }
        let is_sample = records > RECORDS_MAX;
        let step = if is_sample { slots.len().div_ceil(SLOTS_MAX) } else { 1 };
        let share = if is_sample { RECORDS_MAX / slots.len().div_ceil(step) } else { usize::MAX };
        let mut sample = Sample::default();
        for slot in slots.into_iter().step_by(step) {
            sample.look_at(&self.slots[slot.as_usize()].lock(), share, now);
        }
        sample.of(live)
    }
}

impl Sample {
    /// Looks at about `share` records of a slot.
    fn look_at(&mut self, table: &SlotTable, share: usize, now: UnixMs) {
        let records = table.records.len();
        let end = if records > share { POSITIONS * share as u64 / records as u64 } else { POSITIONS };
        for record in table.records.around(0, end).filter(|record| record.is_live(now)) {
            self.live += 1;
            if let Some(at) = record.expires_at() {
                self.expiring += 1;
                self.ttl_ms = self.ttl_ms.saturating_add(at.0 - now.0);
            }
        }
    }

    /// What that means for so many live records.
    fn of(&self, live: u64) -> Expiries {
        let scaled = u128::from(self.expiring) * u128::from(live.max(self.live)) / u128::from(self.live.max(1));
        Expiries { keys: u64::try_from(scaled).unwrap_or(live), average_ttl_ms: self.ttl_ms / self.expiring.max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::NodeIndex;
    use crate::store::tests::roomy;
    use crate::version::{Hlc, StartNumber, Version};

    const NOW: UnixMs = UnixMs(1_000_000);

    fn write(store: &LocalKvStore, key: &str, ttl_ms: Option<u64>) {
        let version = Version::new(Hlc(1), NodeIndex(0), StartNumber::new(1));
        let (key, expires_at) = (key.as_bytes(), ttl_ms.map(|ttl_ms| UnixMs(NOW.0 + ttl_ms)));
        let _ = store.write(Slot::of_key(key), key, Some(b"v"), expires_at, version, NOW);
    }

    #[test]
    fn few_keys_are_counted_exactly() {
        let store = roomy(false);
        assert_eq!(store.expiries(NOW), Expiries::default());
        for number in 0..3_000 {
            write(&store, &format!("k{number}"), None);
        }
        assert_eq!(store.expiries(NOW), Expiries::default());
        for number in 0..1_000 {
            write(&store, &format!("x{number}"), Some(1 + number));
        }
        assert_eq!(store.expiries(NOW), Expiries { keys: 1_000, average_ttl_ms: 500 });
        let later = UnixMs(NOW.0 + 500);
        let left = store.expiries(later);
        assert!(left.keys >= 500 && left.average_ttl_ms == 250, "{left:?}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn many_keys_are_estimated_within_a_tenth_wherever_they_are() {
        for key in [|number: u64| format!("k{number}"), |number: u64| format!("{{tag}}{number}")] {
            let store = roomy(false);
            for number in 0..200_000 {
                write(&store, &key(number), (number % 4 == 0).then_some(1_000));
            }
            let Expiries { keys, average_ttl_ms } = store.expiries(NOW);
            assert!((45_000..=55_000).contains(&keys), "{keys}");
            assert_eq!(average_ttl_ms, 1_000);
        }
    }
}
