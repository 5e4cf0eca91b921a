//! What replicas compare: a word per slot, and the list of its records if the words differ.
//!
//! A slot may hold a million records, so its list is given out in pages. Records have no order, and come and go between
//! two pages; yet a record that stays must be on one of them. So a page is a range of the records' hashes: these do not
//! change while the process runs, wherever the table keeps its records.

use bytes::Bytes;

use super::LocalKvStore;
use super::decide::Context;
use super::record::Record;
use super::slot_table::SlotTable;
use crate::ring::Slot;
use crate::time::UnixMs;
use crate::version::Version;

/// Records that a page has room for on average.
const PAGE_RECORDS: u64 = 1024;
/// Bytes of keys after which a page ends.
const PAGE_KEY_BYTES_MAX: usize = 1 << 20;
/// The hashes' upper halves: where in the order of pages a record stands.
const POSITIONS: u64 = 1 << 32;

/// What a slot holds, in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotDigest {
    /// Equal on two replicas that show the same values; if it is not, they do not.
    pub sum: u64,
    /// Something may still be taken back, or arrive late: equal sums prove nothing.
    pub is_busy: bool,
}

/// A shown record without its value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Listed {
    /// The key.
    pub key: Bytes,
    /// The stamp of the write.
    pub version: Version,
    /// It is a tombstone, or has expired.
    pub is_gone: bool,
    /// The size of the value: whoever fetches it must not ask for too many large ones at once. 0 if it is gone.
    pub value_bytes: usize,
}

/// Some of a slot's records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// In no order.
    pub records: Vec<Listed>,
    /// Where the next page begins; `None` if this was the last one.
    pub next: Option<u32>,
}

impl LocalKvStore {
    /// What a slot holds at `now`, in a word. What has expired is turned into tombstones before.
    #[must_use]
    pub fn digest(&self, slot: Slot, now: UnixMs) -> SlotDigest {
        {
            let table = self.slots[slot.as_usize()].lock();
            if table.pending.is_empty() && !table.tally.is_due(now) {
                return SlotDigest { sum: table.tally.digest, is_busy: false };
            }
        }
        self.change(slot, now, |table, context| {
            if table.tally.is_due(now) {
                table.expire(context);
            }
            SlotDigest { sum: table.tally.digest, is_busy: !table.pending.is_empty() }
        })
    }

    /// The records of a slot, tombstones included, from the position `from` on (0: from the beginning). Being listed
    /// does not count as being read.
    #[must_use]
    pub fn page(&self, slot: Slot, from: u32, now: UnixMs) -> Page {
        let context = self.context(slot, now);
        let table = self.slots[slot.as_usize()].lock();
        let (chosen, next) = choose(&table, from, &context);
        let mut keys = Vec::with_capacity(chosen.iter().map(|record| record.key().len()).sum());
        for record in &chosen {
            keys.extend_from_slice(record.key());
        }
        let mut keys = Bytes::from(keys);
        let listed = |record: &Record| {
            let value = record.value().filter(|_| record.is_live(now));
            let (is_gone, value_bytes) = (value.is_none(), value.map_or(0, <[u8]>::len));
            Listed { key: keys.split_to(record.key().len()), version: record.version(), is_gone, value_bytes }
        };
        Page { records: chosen.into_iter().map(listed).collect(), next }
    }

    /// Whether the key shows a record that is older than `version`.
    #[must_use]
    pub fn is_outranked(&self, slot: Slot, key: &[u8], version: Version) -> bool {
        self.version_of(slot, key).is_some_and(|shown| shown < version)
    }
}

/// The records of the page that begins at `from`, and where the next one does.
fn choose<'a>(table: &'a SlotTable, from: u32, context: &Context<'_>) -> (Vec<&'a Record>, Option<u32>) {
    let records = table.records.len() as u64;
    let width = POSITIONS * PAGE_RECORDS / records.max(PAGE_RECORDS);
    let end = u64::from(from) + width;
    let mut chosen: Vec<_> = table.records_between(from.into(), end, context).collect();
    let bytes = chosen.iter().map(|(_, record)| record.key().len()).sum::<usize>();
    let end = if bytes > PAGE_KEY_BYTES_MAX { cut(&mut chosen) } else { None }.unwrap_or(end);
    (chosen.into_iter().map(|(_, record)| record).collect(), u32::try_from(end).ok())
}

/// Ends a page early for the size of its keys. Where it ends, if that is early; records of one position stay together.
fn cut(chosen: &mut Vec<(u32, &Record)>) -> Option<u64> {
    chosen.sort_unstable_by_key(|(position, _)| *position);
    let mut bytes = 0;
    let full = chosen.iter().position(|(_, record)| {
        bytes += record.key().len();
        bytes > PAGE_KEY_BYTES_MAX
    });
    let last = chosen[full?].0;
    let end = match chosen[0].0 {
        first if first == last => u64::from(last) + 1,
        _ => u64::from(last),
    };
    chosen.retain(|(position, _)| u64::from(*position) < end);
    Some(end)
}

impl SlotTable {
    /// The records whose hashes' upper halves lie in a range, each with that.
    fn records_between(&self, from: u64, end: u64, context: &Context<'_>) -> impl Iterator<Item = (u32, &Record)> {
        self.records
            .around(from, end)
            .map(move |record| (position(context.hash(record.key())), record))
            .filter(move |(position, _)| (from..end).contains(&u64::from(*position)))
    }
}

/// Where a record of this hash stands in the order of pages.
pub(super) fn position(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}
