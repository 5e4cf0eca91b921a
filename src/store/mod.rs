//! What one node holds itself.
//!
//! A replica must be able to give back what it has just accepted, for a write that misses its quorum is taken back;
//! yet it must never give back what anybody has seen. So [`LocalKvStore`] keeps of each key the newest *decided*
//! record and every *open* one, shows the newest of all, and remembers which were shown. Coordinators' watermarks,
//! time and a memory bound turn open records into decided ones, so there are only ever a few.
//!
//! The store never sees the network and reads no clock. Each of the 16384 slots has a lock of its own; no operation
//! on a key takes another lock, and no two slots are ever locked at a time. The usual write is one lock, one look-up,
//! one allocation and one push to the slot's open list (`open.rs`, where the invariants stand); a read of a record
//! that was seen before writes nothing.
//!
//! What the store does not do: place keys, talk, stamp versions, or decide which tombstones have become useless.

mod apart;
mod closing;
mod copy;
mod counts;
mod decide;
mod digest;
mod dirty;
mod due;
mod edit;
mod expiries;
mod flush;
mod header;
mod newest;
mod open;
mod outcome;
mod pending;
mod pick;
mod promise;
mod record;
mod revert;
mod runs;
mod scan;
mod slot_table;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod tombstones;
mod void;
mod warm;
mod watermark;
mod write;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};

use crate::mutation::{Mutation, is_on};
use crate::ring::{NodeIndex, SLOT_COUNT, Slot};
use crate::time::UnixMs;
use crate::version::{Hlc, StartNumber, Version};

pub use counts::StoreCounts;
pub use digest::{Listed, Page, SlotDigest};
pub use edit::SlotEditor;
pub use expiries::Expiries;
pub use flush::Flushed;
pub use outcome::{Accepted, Copied, Lookup, Prepared, Prior, Reverted, Written};
pub use record::{LARGE_BYTES, Record};
pub use scan::{RECORDS_PER_CALL, ScanPage, ScanRest, ScannedKey};
pub use slot_table::Debris;
pub use tombstones::{Dropped, Useless};
pub use warm::{WARM_KEYS_MAX, WarmKey};

use closing::{Closing, VISITED_MIN};
use copy::Origin;
use decide::{Context, Decider};
use dirty::DirtySlots;
use due::DueTimes;
use flush::Flushes;
use newest::NewestTimes;
use promise::Promises;
use record::Content;
use slot_table::{HashedKey, SlotTable};

/// What is passed is freed at once if what is open takes this part of the memory that it may take.
const SHORT_OF_ROOM: usize = 8;

/// How a store is to behave.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// How many nodes the cluster has: the versions' node indices lie below. Versions of other nodes are treated as
    /// ones whose watermark never comes.
    pub nodes: usize,
    /// Whether keys have more than one replica. If not, a write is decided at once and a delete leaves nothing.
    pub replicated: bool,
    /// After how many milliseconds an open record is decided without its coordinator's word: 2 × `request_timeout_ms`.
    pub open_ttl_ms: u64,
    /// No coordinator stamps a write anew above what is further ahead of its stamp.
    pub max_clock_drift_ms: u64,
    /// How many bytes the memory of what is open may take in all slots together. Above it, the slot being written
    /// closes its oldest open records early, which costs later reverts their certainty, and nothing else.
    pub open_bytes_max: usize,
}

/// A slot behind its lock, in a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct SlotCell(Mutex<SlotTable>);

const _: () =
    assert!(size_of::<SlotCell>() == 64, "a slot that takes two cache lines costs every request one more miss");

impl SlotCell {
    /// Where it is, to be fetched.
    fn line(&self) -> *const u8 {
        std::ptr::from_ref(self).cast()
    }

    fn lock(&self) -> MutexGuard<'_, SlotTable> {
        self.0.lock()
    }
}

fn cells() -> Box<[SlotCell; SLOT_COUNT as usize]> {
    let cells: Box<[SlotCell]> = Slot::all().map(|_| SlotCell::default()).collect();
    cells.try_into().unwrap_or_else(|_| unreachable!("each slot has a cell"))
}

/// The records of one node.
pub struct LocalKvStore {
    slots: Box<[SlotCell; SLOT_COUNT as usize]>,
    /// Slots that a sweep has to visit.
    dirty: DirtySlots,
    newest: NewestTimes,
    due: DueTimes,
    closing: Closing,
    promises: Promises,
    decider: Decider,
    hash_state: RandomState,
    flushes: Flushes,
    /// The sum of what is pending over all slots.
    open_bytes: AtomicUsize,
    open_bytes_max: usize,
    /// How many open records the memory bound has closed.
    closed_early: AtomicU64,
}

impl LocalKvStore {
    /// An empty store.
    #[must_use]
    pub fn new(options: StoreOptions) -> Self {
        Self {
            slots: cells(),
            dirty: DirtySlots::new(),
            newest: NewestTimes::new(),
            due: DueTimes::default(),
            closing: Closing::new(options.nodes),
            promises: Promises::new(),
            decider: Decider::new(&options),
            hash_state: RandomState::default(),
            flushes: Flushes::default(),
            open_bytes: AtomicUsize::new(0),
            open_bytes_max: options.open_bytes_max,
            closed_early: AtomicU64::new(0),
        }
    }

    /// Lets `f` see what a key is at `now`, under the slot's lock: be quick, or clone the record. Whatever it is counts
    /// as read, so it is not taken back any more.
    pub fn read<T>(&self, slot: Slot, key: &[u8], now: UnixMs, f: impl FnOnce(Lookup<'_>) -> T) -> T {
        let key = self.hashed(key);
        f(self.slots[slot.as_usize()].lock().look_up(key, now))
    }

    /// A coordinator's fresh write; no `value` deletes. If it is newer than what is shown it shows at once, and may be
    /// taken back by [`Self::revert`] until it is decided or somebody sees it.
    pub fn write(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<UnixMs>,
        version: Version,
        now: UnixMs,
    ) -> Written {
        self.write_fresh(slot, Content::new(key, value, expires_at, now), version, now, SlotTable::write)
    }

    /// A fresh write of a coordinator that is a replica itself. `clock` gets the version that the key shows here (the
    /// version up to which all is refused if there is no record) and must return a new one above it; since that happens
    /// under the slot's lock, such a write is never stale here, and versions of a key leave the node in order.
    /// It may be asked twice; then the second version counts.
    ///
    /// # Panics
    ///
    /// If `clock` returns a version that is not above the one it got.
    pub fn write_next(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<UnixMs>,
        now: UnixMs,
        clock: impl Fn(Version) -> Version,
    ) -> (Version, Prior) {
        let content = Content::new(key, value, expires_at, now);
        if !self.decider.replicated {
            let mut table = self.slots[slot.as_usize()].lock();
            if let Some(done) = table.overwrite(self.hashed(key), content, &clock, (now, self.newest.of(slot))) {
                self.due.note(slot, &table.tally);
                return done;
            }
        }
        let record = Record::unstamped(content, self.decider.replicated);
        self.show_next(slot, self.hashed(key), record, now, clock)
    }

    /// Shows an unstamped record under the version that `clock` draws.
    #[inline]
    fn show_next(
        &self,
        slot: Slot,
        key: HashedKey<'_>,
        record: Record,
        now: UnixMs,
        clock: impl Fn(Version) -> Version,
    ) -> (Version, Prior) {
        let (version, prior) = self.change(slot, now, |table, context| table.write_next(key, record, context, clock));
        if self.decider.replicated {
            self.closing.push(version, slot, now);
        }
        (version, prior)
    }

    /// A record that another replica has shown or decided: it is decided here as well, void mark or not, and kept
    /// below newer records that may still be taken back. One that a peer has sent of its own accord, perhaps long ago:
    /// where a tombstone was dropped, what is older is refused.
    pub fn copy(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<UnixMs>,
        version: Version,
        now: UnixMs,
    ) -> Copied {
        let content = Content::new(key, value, expires_at, now);
        self.copy_from(Origin::Sent, slot, content, version, now)
    }

    /// The same for a record that this node has just asked for: another replica shows it, so it is kept, however old.
    pub fn copy_fetched(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<UnixMs>,
        version: Version,
        now: UnixMs,
    ) -> Copied {
        let content = Content::new(key, value, expires_at, now);
        self.copy_from(Origin::Fetched, slot, content, version, now)
    }

    /// The same for the record that the update under `ballot` has seen, so that it is not passed over where it is lacking.
    pub fn copy_base(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<UnixMs>,
        (version, ballot): (Version, Version),
        now: UnixMs,
    ) -> Copied {
        let content = Content::new(key, value, expires_at, now);
        self.copy_from(Origin::Base(ballot), slot, content, version, now)
    }

    fn copy_from(&self, origin: Origin, slot: Slot, content: Content<'_>, version: Version, now: UnixMs) -> Copied {
        let (key, record) = (self.hashed(content.key), Record::decided(content, version));
        self.change(slot, now, |table, context| match self.refused_copy((slot, key.hash), version, origin, context) {
            Some(refusal) if !table.shows_since(key, version) => refusal,
            _ => table.copy(key, record, origin, context),
        })
    }

    /// Takes a fresh write back, whether it has arrived yet or not.
    pub fn revert(&self, slot: Slot, key: &[u8], version: Version, now: UnixMs) -> Reverted {
        let key = self.hashed(key);
        self.change(slot, now, |table, context| {
            let is_of_update = table.pending.entry(key.hash, version).is_some_and(|entry| entry.of_update);
            let reverted = table.revert(key, version, context);
            if is_of_update && reverted == Reverted::Confirmed {
                self.promises.raise_floor(slot, version);
            }
            reverted
        })
    }

    /// Takes note that `node`, in its run `start`, has decided all its versions below `lowest_open`, and that its
    /// earlier runs are over. Older marks change nothing.
    ///
    /// What that closes is freed now, unless it is too little to be worth it and memory is not short: then a later mark, the slot's
    /// next write or the sweep does it.
    pub fn advance_watermark(&self, node: NodeIndex, start: StartNumber, lowest_open: Hlc, now: UnixMs) {
        let start = if is_on(Mutation::NoStartNumber) { StartNumber::default() } else { start };
        self.decider.watermarks.advance(node, start, lowest_open);
        let is_short = self.open_bytes.load(Ordering::Relaxed) > self.open_bytes_max / SHORT_OF_ROOM;
        let at_least = if is_short { 1 } else { VISITED_MIN };
        self.closing.passed(node, (start, lowest_open), at_least, |slots| {
            self.warm_pending(slots);
            let close =
                |&slot: &Slot| self.slots[slot.as_usize()].lock().pending.close_and_hand_on(&self.context(slot, now));
            self.open_bytes.fetch_sub(slots.iter().map(close).sum(), Ordering::Relaxed);
        });
    }

    /// The version of the record that a key shows, if any. Being compared does not count as being read.
    #[must_use]
    pub fn version_of(&self, slot: Slot, key: &[u8]) -> Option<Version> {
        let key = self.hashed(key);
        self.slots[slot.as_usize()].lock().shown(key).map(Record::version)
    }

    /// Whether a copy of `version` would add anything: it is not held yet, or only as a write that may be taken back,
    /// and no newer record that stays outranks it. Being compared does not count as being read.
    #[must_use]
    pub fn lacks(&self, slot: Slot, key: &[u8], version: Version, now: UnixMs) -> bool {
        let (key, context) = (self.hashed(key), self.context(slot, now));
        self.slots[slot.as_usize()].lock().lacks(key, version, &context)
    }

    /// Closes what is due in all slots and gives memory back: to be called now and then, for slots that nobody
    /// writes to close nothing by themselves.
    pub fn sweep(&self, now: UnixMs) {
        self.promises.sweep(now);
        self.closing.forget_until(UnixMs(now.0.saturating_sub(self.decider.open_ttl_ms)));
        for slot in self.dirty.iter() {
            self.change(slot, now, |table, _| {
                if table.pending.rest() {
                    self.dirty.remove(slot);
                }
            });
        }
    }

    fn hashed<'a>(&self, key: &'a [u8]) -> HashedKey<'a> {
        HashedKey { hash: decide::hash(&self.hash_state, key), bytes: key }
    }

    fn context(&self, slot: Slot, now: UnixMs) -> Context<'_> {
        let has_room = self.open_bytes.load(Ordering::Relaxed) < self.open_bytes_max;
        Context { now, decider: &self.decider, hash_state: &self.hash_state, has_room, newest: self.newest.of(slot) }
    }

    /// Closes what is due in a slot, lets `act` change it, and keeps the books of what is pending.
    #[inline]
    fn change<T>(&self, slot: Slot, now: UnixMs, act: impl FnOnce(&mut SlotTable, &Context<'_>) -> T) -> T {
        let context = self.context(slot, now);
        let mut table = self.slots[slot.as_usize()].lock();
        let bytes_before = table.pending.bytes();
        table.pending.close_due(&context);
        let outcome = act(&mut table, &context);
        self.due.note(slot, &table.tally);
        self.settle(slot, &mut table, bytes_before, &context);
        outcome
    }

    #[inline]
    fn settle(&self, slot: Slot, table: &mut SlotTable, bytes_before: usize, context: &Context<'_>) {
        let bytes = table.pending.bytes();
        if bytes <= bytes_before {
            if bytes < bytes_before {
                self.open_bytes.fetch_sub(bytes_before - bytes, Ordering::Relaxed);
            }
            return;
        }
        self.dirty.insert(slot);
        let more = bytes - bytes_before;
        if self.open_bytes.fetch_add(more, Ordering::Relaxed) + more > self.open_bytes_max {
            self.close_early(table, context);
        }
    }

    /// Closes the slot's oldest open records until the total is within its bound, or none is left.
    #[cold]
    fn close_early(&self, table: &mut SlotTable, context: &Context<'_>) {
        let mut bytes = table.pending.bytes();
        while self.open_bytes.load(Ordering::Relaxed) > self.open_bytes_max && table.pending.close_oldest(context) {
            let left = table.pending.bytes();
            self.open_bytes.fetch_sub(bytes - left, Ordering::Relaxed);
            self.closed_early.fetch_add(1, Ordering::Relaxed);
            bytes = left;
        }
    }
}
