//! A slot: its records and how they come and go.
//!
//! The table holds the newest record of each key, which is the one shown; what a newer open record covers is owned by
//! the pending part. Writing is in `write.rs`, copying in `copy.rs`, taking back in `revert.rs`, sums in `tally.rs`.

use foldhash::fast::RandomState;

use super::decide::{Context, hash};
use super::newest::Newest;
use super::outcome::{Lookup, Prior};
use super::pending::{Arrival, Pending};
use super::record::Record;
use super::table::Table;
use super::tally::Tally;
use crate::time::UnixMs;
use crate::version::Version;

/// One slot's share of the store.
#[derive(Default)]
pub(super) struct SlotTable {
    /// The shown record of each key. Invariant: all are newer than `flush_mark`.
    pub(super) records: Table<Record>,
    pub(super) pending: Pending,
    pub(super) tally: Tally,
    /// In a box, for few slots are ever flushed or lose tombstones, and a slot has to fit into a cache line.
    floors: Option<Box<Floors>>,
}

/// Up to where a slot without a record of a key knows better than those who send one.
#[derive(Clone, Copy, Default)]
struct Floors {
    /// Everything up to this version is gone, and refused.
    flush_mark: Version,
    /// The newest tombstone that was dropped as useless.
    forgotten: Version,
}

/// A key and its hash.
#[derive(Clone, Copy)]
pub(super) struct HashedKey<'a> {
    pub(super) hash: u64,
    pub(super) bytes: &'a [u8],
}

impl SlotTable {
    /// What the key is. Whatever it is counts as read from now on.
    #[inline]
    pub(super) fn look_up(&self, key: HashedKey<'_>, now: UnixMs) -> Lookup<'_> {
        let Some(record) = self.shown(key) else { return self.nothing() };
        record.mark_shown();
        if record.is_live(now) { Lookup::Live(record) } else { Lookup::Tombstone { version: record.version() } }
    }

    /// The newest record of a key.
    #[inline]
    pub(super) fn shown(&self, key: HashedKey<'_>) -> Option<&Record> {
        self.records.find(key.hash, |record| record.key() == key.bytes)
    }

    /// What a key shows, or the flush mark. Being compared does not count as being read.
    pub(super) fn version_of(&self, key: HashedKey<'_>) -> Version {
        self.shown(key).map_or(self.flush_mark(), Record::version)
    }

    /// Whether a key shows `version` or something newer.
    pub(super) fn shows_since(&self, key: HashedKey<'_>, version: Version) -> bool {
        self.version_of(key) >= version
    }

    /// Everything up to this version is gone, and refused.
    pub(super) fn flush_mark(&self) -> Version {
        self.floors().flush_mark
    }

    /// The newest tombstone that was dropped. What is not newer and belongs to a key without a record is too late to
    /// be true, unless another replica shows it.
    pub(super) fn forgotten(&self) -> Version {
        self.floors().forgotten
    }

    /// Tombstones up to this version were dropped.
    pub(super) fn forget_up_to(&mut self, version: Version) {
        if version > self.forgotten() {
            self.floors.get_or_insert_default().forgotten = version;
        }
    }

    fn floors(&self) -> Floors {
        self.floors.as_deref().copied().unwrap_or_default()
    }

    fn nothing(&self) -> Lookup<'_> {
        match self.flush_mark() {
            version if version == Version::default() => Lookup::Missing,
            version => Lookup::Tombstone { version },
        }
    }

    /// Puts a record over what its key shows, and tells what that was. `make` sees the shown record and its version
    /// (if there is none, the version up to which all is refused) and returns a newer record; or `None`, then nothing
    /// changes.
    #[inline]
    pub(super) fn put(
        &mut self,
        key: HashedKey<'_>,
        context: &Context<'_>,
        make: impl FnOnce(Version, Option<&Record>) -> Option<Record>,
    ) -> Option<Prior> {
        let is_key = |record: &Record| record.key() == key.bytes;
        match self.records.find_mut(key.hash, is_key) {
            Some(shown) => {
                let version = shown.version();
                let record = make(version, Some(shown))?;
                let prior = Prior { version, live: shown.is_live(context.now) };
                self.tally.remove(shown, version);
                if context.keeps(&record) {
                    let arrival = Arrival::on_top(&record);
                    self.tally.add(&record, arrival.version);
                    context.newest.note(arrival.version);
                    let covered = std::mem::replace(shown, record);
                    self.pending.log(key.hash, arrival, Some(covered), context);
                } else {
                    self.records.remove(key.hash, is_key);
                }
                Some(prior)
            }
            None => {
                let Floors { flush_mark, forgotten } = self.floors();
                let record = make(flush_mark.max(forgotten), None)?;
                if context.keeps(&record) {
                    let arrival = Arrival::on_top(&record);
                    self.tally.add(&record, arrival.version);
                    context.newest.note(arrival.version);
                    self.pending.log(key.hash, arrival, None, context);
                    self.records.insert(key.hash, record, |record| context.hash(record.key()));
                }
                Some(Prior { version: flush_mark, live: false })
            }
        }
    }

    /// Whether `version` is, or once was, the newest of a key that shows `shown` now, as far as that is remembered.
    pub(super) fn was_newest(&self, key: HashedKey<'_>, version: Version, shown: Version) -> bool {
        if version == shown {
            return true;
        }
        match self.pending.entry(key.hash, version) {
            Some(entry) => entry.newest_once,
            None => self.pending.covered(key.bytes, version).is_some_and(|record| !record.is_buried()),
        }
    }

    /// Raises the flush mark and moves all that is older to `debris`.
    pub(super) fn flush(
        &mut self,
        flush_mark: Version,
        newest: &Newest,
        hash_state: &RandomState,
        debris: &mut Debris,
    ) {
        if flush_mark <= self.flush_mark() {
            return;
        }
        self.floors.get_or_insert_default().flush_mark = flush_mark;
        self.pending.flush(flush_mark, &mut debris.records);
        let are_all_older = || self.records.iter().all(|record| record.version() <= flush_mark);
        debug_assert!(!newest.is_before(flush_mark) || are_all_older(), "a newer record was not noted");
        if newest.is_before(flush_mark) || are_all_older() {
            debris.tables.push(std::mem::take(&mut self.records));
            self.tally = Tally::default();
            newest.forget();
            return;
        }
        let tally = &mut self.tally;
        self.records.extract(
            |record| hash(hash_state, record.key()),
            |record| record.version() <= flush_mark,
            |record| {
                tally.remove(&record, record.version());
                debris.records.push(record);
            },
        );
    }

    /// Turns expired records into tombstones, or removes them where tombstones are not kept.
    pub(super) fn expire(&mut self, context: &Context<'_>) {
        let mut tally = self.tally;
        self.retain(context, |record| {
            if record.is_tombstone() || !record.is_expired(context.now) {
                return true;
            }
            tally.remove(record, record.version());
            if context.decider.replicated {
                *record = record.without_value(context.now);
            }
            context.decider.replicated
        });
        tally.expires_at_first(self.records.iter().filter_map(Record::expires_at));
        self.tally = tally;
    }

    /// Drops the records that `keep` does not want, and gives memory back.
    pub(super) fn retain(&mut self, context: &Context<'_>, keep: impl FnMut(&mut Record) -> bool) {
        let hash_of = |record: &Record| context.hash(record.key());
        self.records.retain(hash_of, keep);
        self.records.shrink(hash_of);
    }
}

impl Arrival {
    fn on_top(record: &Record) -> Self {
        Self { version: record.version(), is_open: record.is_born_open(), is_newest: true }
    }
}

/// What a flush took out of the store. Dropping it frees the memory, which takes a while: do so where nobody waits.
#[derive(Default)]
#[must_use = "dropping it here and now frees all the memory on this thread"]
pub struct Debris {
    tables: Vec<Table<Record>>,
    records: Vec<Record>,
}

impl Debris {
    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records.len() + self.tables.iter().map(Table::len).sum::<usize>()
    }
}
