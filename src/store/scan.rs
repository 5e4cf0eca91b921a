//! The keys of a slot in the order of [`KeyPlace`], a page at a time.
//!
//! A table stands in the order of a seeded hash, so a page in an order that all nodes share has to look at every record
//! of its slot. That is nothing for a slot of some dozen keys; a slot may hold a million, though, all with one hash tag.
//! So a page of such a slot holds at least [`PAGES_MAX`]-th of it, whatever was asked for: going through it stays linear.
//! The lock is held for [`RECORDS_PER_LOCK`] records at a time, each asked for before it is needed, and one call looks
//! at [`RECORDS_PER_CALL`]: what is left of the page is the next call's, on from a position as in
//! [`page`](LocalKvStore::page). A record that stays is found whatever comes, goes or moves meanwhile; one that was
//! replaced may be found twice, with two versions.

use bytes::Bytes;

use super::LocalKvStore;
use super::record::Record;
use super::slot_table::SlotTable;
use crate::prefetch::prefetch;
use crate::ring::{KeyPlace, Slot};
use crate::time::UnixMs;
use crate::version::Version;

/// A slot is gone through in so many pages, unless fewer keys than that are asked for altogether.
const PAGES_MAX: usize = 64;
/// Records that are looked at while the lock is held.
const RECORDS_PER_LOCK: u64 = 2048;
/// Records that one call looks at: some milliseconds.
pub const RECORDS_PER_CALL: usize = 1 << 17;
/// Bytes of keys after which a page ends.
const KEY_BYTES_MAX: usize = 1 << 20;
/// How far ahead of being looked at a record is asked for.
const AHEAD: usize = 12;
/// The upper halves of the tables' hashes.
const POSITIONS: u64 = 1 << 32;

/// A key that was found, whether it is there or was deleted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ScannedKey {
    /// Its place in its slot.
    pub hash: u64,
    /// The key.
    pub key: Bytes,
    /// The stamp of the write that it shows.
    pub version: Version,
    /// It is a tombstone, or has expired.
    pub is_gone: bool,
}

/// What is still to be done for a page of a large slot. Means nothing to another process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanRest {
    /// Where in the table to go on.
    pub position: u32,
    /// The hash before which the page ends.
    pub end: u64,
}

/// Some of a slot's keys, from a place on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanPage {
    /// By their places; a key may stand there with two versions.
    pub keys: Vec<ScannedKey>,
    /// The hash before which the page ends; the number of hashes if the slot does.
    pub end: u64,
    /// What has to be asked for as well before the page is whole.
    pub rest: Option<ScanRest>,
    /// How many records were looked at.
    pub looked_at: usize,
}

impl LocalKvStore {
    /// How many records a slot has, tombstones included.
    #[must_use]
    pub fn records_in(&self, slot: Slot) -> usize {
        self.slots[slot.as_usize()].lock().records.len()
    }

    /// At least `count` keys of `slot`, if there are so many, from the hash `from` on; or what was left of such a page.
    /// All that are returned count as read.
    #[must_use]
    pub fn scan(&self, slot: Slot, from: u64, count: usize, rest: Option<ScanRest>, now: UnixMs) -> ScanPage {
        let records = self.records_in(slot);
        let step = (POSITIONS * RECORDS_PER_LOCK / (records as u64).max(RECORDS_PER_LOCK)).max(1);
        let (mut position, mut page) = match rest {
            Some(rest) => (u64::from(rest.position), Sieve::new(from, rest.end, usize::MAX)),
            None => (0, Sieve::for_page(from, count, records)),
        };
        let mut looked_at = 0;
        while position < POSITIONS && looked_at < RECORDS_PER_CALL {
            let table = self.slots[slot.as_usize()].lock();
            looked_at += table.sift(position, position + step, &mut page, now);
            position += step;
        }
        let (keys, end) = page.finish();
        let rest = u32::try_from(position).ok().map(|position| ScanRest { position, end });
        ScanPage { keys, end, rest, looked_at }
    }
}

impl SlotTable {
    /// Offers the records of a part of the table to the sieve. How many there were.
    fn sift(&self, from: u64, end: u64, page: &mut Sieve, now: UnixMs) -> usize {
        let mut ahead = self.records.around(from, end).map(Record::address);
        ahead.by_ref().take(AHEAD).for_each(prefetch);
        let mut looked_at = 0;
        for record in self.records.around(from, end) {
            ahead.next().into_iter().for_each(prefetch);
            looked_at += 1;
            if page.offer(record, now) {
                record.mark_shown();
            }
        }
        looked_at
    }
}

/// Lets the keys pass that come first from a place on.
struct Sieve {
    from: u64,
    /// Keys from this hash on are not wanted.
    end: u64,
    keys_max: usize,
    keys: Vec<ScannedKey>,
    key_bytes: usize,
    /// When those that came last are dropped: at so many keys, or bytes of keys.
    cut_at: (usize, usize),
}

impl Sieve {
    /// For `count` keys, or the smallest page that a slot of so many records allows.
    fn for_page(from: u64, count: usize, records: usize) -> Self {
        let keys_max = count.max(records / PAGES_MAX).max(1);
        if records <= RECORDS_PER_CALL {
            return Self::new(from, KeyPlace::HASHES, keys_max);
        }
        // The page is found in several calls, of which none knows what the others find: so its end is reckoned now.
        let width = u128::from(KeyPlace::HASHES) * keys_max as u128 / records as u128;
        let width = u64::try_from(width).unwrap_or(KeyPlace::HASHES).max(1);
        Self::new(from, from.saturating_add(width), usize::MAX)
    }

    fn new(from: u64, end: u64, keys_max: usize) -> Self {
        let cut_at = (keys_max.saturating_mul(2), 2 * KEY_BYTES_MAX);
        Self { from, end: end.min(KeyPlace::HASHES), keys_max, keys: Vec::new(), key_bytes: 0, cut_at }
    }

    /// Takes a record if its key may be one of the first. Whether it was taken.
    fn offer(&mut self, record: &Record, now: UnixMs) -> bool {
        let hash = KeyPlace::hash_of(record.key());
        if !(self.from..self.end).contains(&hash) {
            return false;
        }
        let (key, version) = (Bytes::copy_from_slice(record.key()), record.version());
        self.push(ScannedKey { hash, key, version, is_gone: !record.is_live(now) });
        true
    }

    fn push(&mut self, key: ScannedKey) {
        self.key_bytes += key.key.len();
        self.keys.push(key);
        if self.keys.len() >= self.cut_at.0 || self.key_bytes >= self.cut_at.1 {
            self.cut();
            // However much shares one place: each cut has as much to do as the page has grown by.
            self.cut_at = (self.cut_at.0.max(2 * self.keys.len()), self.cut_at.1.max(2 * self.key_bytes));
        }
    }

    /// Drops what comes behind the page's bounds; keys of one place stay together.
    fn cut(&mut self) {
        self.keys.sort_unstable();
        self.keys.dedup();
        let mut bytes = 0;
        let full = self.keys.iter().enumerate().position(|(index, key)| {
            bytes += key.key.len();
            index > 0 && (index >= self.keys_max || bytes > KEY_BYTES_MAX)
        });
        if let Some(full) = full {
            // If all before it stand at one place, that place is the page.
            self.end = self.keys[full].hash.max(self.keys[0].hash + 1);
            self.keys.retain(|key| key.hash < self.end);
        }
        self.key_bytes = self.keys.iter().map(|key| key.key.len()).sum();
    }

    fn finish(mut self) -> (Vec<ScannedKey>, u64) {
        self.cut();
        (self.keys, self.end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::ring::NodeIndex;
    use crate::store::tests::roomy;
    use crate::version::{Hlc, StartNumber};

    const NOW: UnixMs = UnixMs(1_000_000);

    fn write(store: &LocalKvStore, number: u32, hlc: u64, value: Option<&[u8]>) {
        let (key, version) = (key(number), Version::new(Hlc(hlc), NodeIndex(0), StartNumber::new(1)));
        let _ = store.write(Slot::of_key(&key), &key, value, None, version, NOW);
    }

    fn key(number: u32) -> Vec<u8> {
        format!("{{tag}}{number}").into_bytes()
    }

    fn slot() -> Slot {
        Slot::of_key(&key(0))
    }

    /// All pages of the slot, each put together from its calls; `between` is called after each call.
    fn pages(store: &LocalKvStore, count: usize, mut between: impl FnMut()) -> Vec<Vec<ScannedKey>> {
        let (mut pages, mut from) = (Vec::new(), 0);
        while from < KeyPlace::HASHES {
            let (mut keys, mut rest) = (Vec::new(), None);
            loop {
                let page = store.scan(slot(), from, count, rest, NOW);
                keys.extend(page.keys);
                rest = page.rest;
                between();
                if rest.is_none() {
                    assert!(page.end > from);
                    keys.retain(|key: &ScannedKey| key.hash < page.end);
                    from = page.end;
                    break;
                }
            }
            pages.push(keys);
        }
        pages
    }

    #[test]
    fn pages_hold_what_was_asked_for_and_each_key_is_on_one_of_them() {
        let store = roomy(true);
        (0..1000).for_each(|number| write(&store, number, 1, (number % 10 > 0).then_some(b"v".as_slice())));
        let pages = pages(&store, 100, || ());
        assert!(pages[..10].iter().all(|page| page.len() == 100) && pages.len() <= 11);
        let found: Vec<ScannedKey> = pages.concat();
        assert!(found.is_sorted());
        assert_eq!(found.iter().map(|key| &key.key).collect::<BTreeSet<_>>().len(), 1000);
        assert_eq!(found.iter().filter(|key| key.is_gone).count(), 100);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn a_huge_slot_takes_few_pages_and_each_call_looks_at_a_part() {
        let store = roomy(true);
        let count = 400_000;
        (0..count).for_each(|number| write(&store, number, 1, Some(b"v")));
        let first = store.scan(slot(), 0, 10, None, NOW);
        assert!((RECORDS_PER_CALL..2 * RECORDS_PER_CALL).contains(&first.looked_at), "{}", first.looked_at);
        let pages = pages(&store, 10, || ());
        assert!((60..=70).contains(&pages.len()), "{}", pages.len());
        // A record that did not find room where it belongs may be looked at by two calls.
        let found: BTreeSet<ScannedKey> = pages.concat().into_iter().collect();
        assert_eq!(found.len(), count as usize);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn keys_that_stay_are_found_while_others_come_and_the_table_grows() {
        let store = roomy(true);
        (0..200_000).for_each(|number| write(&store, number, 1, Some(b"v")));
        let mut next = 200_000;
        let found: BTreeSet<Bytes> = pages(&store, 10, || {
            (next..next + 2_000).for_each(|number| write(&store, number, 1, Some(b"v")));
            (0..200).for_each(|number| write(&store, (next * 7 + number * 13) % 200_000, u64::from(next), Some(b"w")));
            next += 2_000;
        })
        .concat()
        .into_iter()
        .map(|key| key.key)
        .collect();
        assert!((0..200_000).all(|number| found.contains(key(number).as_slice())));
    }

    #[test]
    fn large_keys_end_a_page_early() {
        let store = roomy(true);
        for number in 0..9 {
            let key = [key(number), vec![b'x'; 300_000]].concat();
            let version = Version::new(Hlc(1), NodeIndex(0), StartNumber::new(1));
            let _ = store.write(slot(), &key, Some(b"v"), None, version, NOW);
        }
        assert_eq!(pages(&store, 100, || ()).iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3]);
    }

    #[test]
    fn what_was_scanned_counts_as_read() {
        let store = roomy(true);
        write(&store, 1, 5, Some(b"v"));
        assert_eq!(store.scan(slot(), 0, 10, None, NOW).keys.len(), 1);
        let version = Version::new(Hlc(5), NodeIndex(0), StartNumber::new(1));
        assert_eq!(store.revert(slot(), &key(1), version, NOW), crate::store::Reverted::Kept);
    }

    proptest! {
        #[test]
        fn a_sieve_lets_the_first_pass_and_parts_no_place(
            hashes in prop::collection::vec(0..40_u64, 0..200),
            keys_max in 1..20_usize,
            from in 0..40_u64,
        ) {
            let mut sieve = Sieve::new(from, KeyPlace::HASHES, keys_max);
            let key = |(number, hash): (usize, u64)| {
                let key = Bytes::from(number.to_string());
                ScannedKey { hash, key, version: Version::default(), is_gone: false }
            };
            let mut expected: Vec<ScannedKey> =
                hashes.into_iter().enumerate().map(key).filter(|key| key.hash >= from).collect();
            for key in &expected {
                if key.hash < sieve.end {
                    sieve.push(key.clone());
                }
            }
            let (found, end) = sieve.finish();
            expected.sort_unstable();
            let all = expected.len();
            expected.retain(|key| key.hash < end);
            prop_assert_eq!(&found, &expected);
            prop_assert!(found.len() <= keys_max || found.iter().all(|key| key.hash == found[0].hash));
            prop_assert!(found.len() == all || !found.is_empty());
        }
    }
}
