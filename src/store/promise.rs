//! Promises: what keeps an update whole although no replica leads.
//!
//! An update reads its key from a quorum and writes what follows from that to another, under a *ballot*: a version that it has
//! drawn before it asked. A replica that has answered promises to take nothing older for that key that it has not shown yet:
//! neither a fresh write, nor a copy, nor the write of an update with a smaller ballot. And it takes the update's own write
//! only while that promise is in force and what it shows is no newer than what the update has seen. So of two
//! updates one sees the other, and none passes over a write that it has not seen. This is `CASPaxos` (Rystsov, "`CASPaxos`:
//! Replicated State Machines without logs", 2018) with versions for ballots.
//!
//! Who asks marks what he sees as shown, and so keeps it from being taken back. That must not befall a plain write for nothing: one
//! that has come to a single replica before the question, and to the others after it, is refused there and has to be taken back
//! and stamped anew. So updates ask *politely* first. A replica whose newest record is open, unseen and of another node than the one
//! that asks then promises as usual but *withholds* the record, and its answer counts for nothing. Nothing rests on it: it is like
//! an answer that was lost, and a promise only restricts. If enough others answer, an acknowledged write is among what
//! they show, and the one withheld will never be acknowledged under this stamp, for they did not have it and take it no more.
//! If not, the home asks again and *insists*: at once where that record is on a write quorum, else after a moment, in which writes
//! that race and lose are taken back.
//!
//! A promise is in force until the update's write comes, or a larger ballot, or for some time, for the update may never come
//! back: copies must not wait for ever. Whether it is in force is judged under the lock of the key's slot, where it matters.
//!
//! What was promised outlives that, for an update that failed may lie on a replica that nobody could ask. If it takes effect
//! after all, it covers what is older, so nothing older may be acknowledged or read that it has not seen. Its ballot was
//! promised by so many replicas that every write quorum meets one of them, and each of those either
//!
//! * shows its write, or something newer: then what is older is `STALE`; or
//! * has given it back, refused it, or never got it: then its ballot is a *floor* of the slot, which only rises. Fresh writes and
//!   ballots below it are refused, and so are copies of what is not shown; or
//! * has lost its memory: before a slot counts again, it has asked so many of the others for their clocks that one of those that
//!   promised is among them, and no promise is above the clock of whoever gave it. What it hears is a floor of all slots for what
//!   is fresh.
//!
//! Whoever writes is told the floor and goes on above it, so it costs a coordinator whose clock is behind one more round. A copy that
//! is refused was either missed here, or its write is unfinished and must not be finished below the floor; so the key is *settled* by
//! an update that changes nothing, whose ballot is above all that (`coordinator/update`). Where clocks agree and nothing was
//! missed nobody meets a floor: a promise that was merely not used becomes one when it is 2 × `request_timeout_ms` old. A plain
//! write pays with a comparison: most are above every ballot that was ever promised here.
//!
//! One limit is left: what an update has seen is copied to replicas whatever their floors, since the update is above them; if this one
//! fails as well, the copy stays. So does what a node fetches while it catches up from some of many (W > 2). An unfinished write that is
//! finished in this way may give way when the first update's write comes back.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use fnv::FnvHashMap;
use parking_lot::Mutex;

use super::copy::Origin;
use super::outcome::{Accepted, Copied, Lookup, Prepared, Written};
use super::record::{Content, Record};
use super::slot_table::{HashedKey, SlotTable};
use super::{Context, LocalKvStore};
use crate::mutation::{Mutation, is_on};
use crate::ring::{NodeIndex, SLOT_COUNT, Slot};
use crate::time::UnixMs;
use crate::version::{Hlc, StartNumber, Version};

/// Promises are spread over so many locks, a power of two.
const SHARDS: usize = 64;
/// Promises of one shard. Far more updates than a node can have under way at a time; whoever comes next is refused.
const SHARD_PROMISES_MAX: usize = 4096;

#[derive(Clone, Copy)]
struct Promise {
    ballot: Version,
    slot: Slot,
    ends_at: UnixMs,
}

/// The promises of one node, by the hash of the key. Each is looked at and changed under the lock of its key's slot, but for
/// the sweep, which makes a floor of it first.
pub(super) struct Promises {
    shards: Box<[Mutex<FnvHashMap<u64, Promise>>]>,
    count: AtomicUsize,
    /// By slot, the time of the largest ballot that was ever promised there.
    promised: Box<[AtomicU64]>,
    /// By slot, the time of the largest of those that came to nothing.
    floors: Box<[AtomicU64]>,
    /// The floor of all slots: what an earlier run of this node may have promised.
    floor_of_all: AtomicU64,
    /// No promise and no floor is above this.
    highest: AtomicU64,
}

impl Promises {
    pub(super) fn new() -> Self {
        let by_slot = || (0..SLOT_COUNT).map(|_| AtomicU64::new(0)).collect();
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            promised: by_slot(),
            floors: by_slot(),
            floor_of_all: AtomicU64::new(0),
            highest: AtomicU64::new(0),
        }
    }

    /// The version below which nothing fresh is taken for a key, if it is above `version`.
    #[inline]
    fn refuses(&self, slot: Slot, hash: u64, version: Version, now: UnixMs) -> Option<Version> {
        match self.is_above_all(version) {
            true => None,
            false => self.limit(slot, hash, now).max(floor(&self.floor_of_all)).filter(|&limit| version < limit),
        }
    }

    /// Whether nothing that was ever promised can stand in the way of `version`.
    #[inline]
    fn is_above_all(&self, version: Version) -> bool {
        version.hlc().0 > self.highest.load(Ordering::Relaxed)
    }

    /// The ballot promised for a key, in force or not, or the slot's floor, whichever is larger.
    #[cold]
    fn limit(&self, slot: Slot, hash: u64, now: UnixMs) -> Option<Version> {
        if is_on(Mutation::PromiseIsForgotten) {
            return self.ballot(hash, now);
        }
        // A promise that the sweep takes out is among the floors by then.
        let promised = self.shard(hash).lock().get(&hash).map(|promise| promise.ballot);
        promised.max(floor(&self.floors[slot.as_usize()]))
    }

    /// Refuses, from now on, what is fresh in a slot and not above `ballot`.
    pub(super) fn raise_floor(&self, slot: Slot, ballot: Version) {
        self.raise_promised(slot, ballot);
        self.floors[slot.as_usize()].fetch_max(ballot.hlc().0, Ordering::AcqRel);
    }

    fn raise_promised(&self, slot: Slot, ballot: Version) {
        self.highest.fetch_max(ballot.hlc().0, Ordering::AcqRel);
        self.promised[slot.as_usize()].fetch_max(ballot.hlc().0, Ordering::AcqRel);
    }

    /// The time of the largest ballot that was ever promised in a slot, if `mark` is not above it.
    pub(super) fn promised_above(&self, slot: Slot, mark: Version) -> Option<Hlc> {
        let promised = Hlc(self.promised[slot.as_usize()].load(Ordering::Acquire));
        (promised >= mark.hlc() && promised > Hlc::default()).then_some(promised)
    }

    /// Whether this node, in this run or an earlier one, may have promised a ballot in a slot that `version` is not above.
    pub(super) fn may_have_promised_above(&self, slot: Slot, version: Version) -> bool {
        let earlier = Hlc(self.floor_of_all.load(Ordering::Acquire));
        self.promised_above(slot, version).is_some() || earlier >= version.hlc() && earlier > Hlc::default()
    }

    /// Refuses, from now on, what is fresh in any slot and not above `floor`.
    fn raise_all_floors(&self, floor: Hlc) {
        self.highest.fetch_max(floor.0, Ordering::AcqRel);
        self.floor_of_all.fetch_max(floor.0, Ordering::AcqRel);
    }

    /// The ballot up to which nothing new is taken for a key, not even a copy.
    #[inline]
    pub(super) fn ballot(&self, hash: u64, now: UnixMs) -> Option<Version> {
        match self.count.load(Ordering::Relaxed) {
            0 => None,
            _ => self.look_up(hash, now),
        }
    }

    #[cold]
    fn look_up(&self, hash: u64, now: UnixMs) -> Option<Version> {
        self.shard(hash).lock().get(&hash).filter(|promise| now < promise.ends_at).map(|promise| promise.ballot)
    }

    /// Promises `ballot`, which is larger than what was promised before. False if there are too many promises already.
    fn make(&self, hash: u64, promise: Promise, now: UnixMs) -> bool {
        let mut shard = self.shard(hash).lock();
        if shard.len() >= SHARD_PROMISES_MAX && !shard.contains_key(&hash) {
            self.drop_ended(&mut shard, now);
            if shard.len() >= SHARD_PROMISES_MAX {
                return false;
            }
        }
        self.raise_promised(promise.slot, promise.ballot);
        let is_new = shard.insert(hash, promise).is_none();
        self.count.fetch_add(usize::from(is_new), Ordering::Relaxed);
        true
    }

    /// The update under `ballot` is over here: its write shows, or the floor was raised.
    fn end(&self, hash: u64, ballot: Version) {
        let mut shard = self.shard(hash).lock();
        if shard.get(&hash).is_some_and(|promise| promise.ballot == ballot) {
            shard.remove(&hash);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Makes floors of the promises whose time is over.
    pub(super) fn sweep(&self, now: UnixMs) {
        if self.count.load(Ordering::Relaxed) > 0 {
            self.shards.iter().for_each(|shard| self.drop_ended(&mut shard.lock(), now));
        }
    }

    fn drop_ended(&self, shard: &mut FnvHashMap<u64, Promise>, now: UnixMs) {
        let before = shard.len();
        shard.retain(|_, promise| {
            let is_in_force = now < promise.ends_at;
            if !is_in_force {
                self.raise_floor(promise.slot, promise.ballot);
            }
            is_in_force
        });
        self.count.fetch_sub(before - shard.len(), Ordering::Relaxed);
    }

    fn shard(&self, hash: u64) -> &Mutex<FnvHashMap<u64, Promise>> {
        &self.shards[usize::from(hash.to_le_bytes()[7]) % SHARDS]
    }
}

/// The smallest version above a floor, if there is one.
fn floor(time: &AtomicU64) -> Option<Version> {
    match time.load(Ordering::Acquire) {
        0 => None,
        time => Some(Version::new(Hlc(time).next(), NodeIndex(0), StartNumber::default())),
    }
}

impl SlotTable {
    /// What a key shows, if that may come to nothing: a node other than `asker` may still take it back, and nobody has seen it.
    fn uncertain(&self, key: HashedKey<'_>, asker: NodeIndex, context: &Context<'_>) -> Option<Version> {
        let shown = self.shown(key).filter(|shown| !shown.is_shown() && shown.version().node() != asker)?;
        let at = self.pending.position(key.hash, shown.version())?;
        self.pending.is_open(at, context).then(|| shown.version())
    }
}

impl LocalKvStore {
    /// Promises to take nothing older than `ballot` for `key` that is not shown yet, and lets `f` see what the key is, which
    /// counts as read. Who does not insist does not see what another node may still take back and nobody has seen.
    pub fn prepare<T>(
        &self,
        slot: Slot,
        key: &[u8],
        (ballot, insists): (Version, bool),
        now: UnixMs,
        f: impl FnOnce(Lookup<'_>) -> T,
    ) -> Prepared<T> {
        let key = self.hashed(key);
        let table = self.slots[slot.as_usize()].lock();
        if let Some(promised) = self.promises.refuses(slot, key.hash, ballot, now) {
            return Prepared::Promised(promised);
        }
        let promise = Promise { ballot, slot, ends_at: UnixMs(now.0.saturating_add(self.decider.open_ttl_ms)) };
        if !self.promises.make(key.hash, promise, now) {
            return Prepared::Crowded;
        }
        match table.uncertain(key, ballot.node(), &self.context(slot, now)) {
            Some(uncertain) if !insists => Prepared::Withheld(uncertain),
            _ => Prepared::Shows(f(table.look_up(key, now))),
        }
    }

    /// Takes the write of the update under `ballot` that saw `base`, as a write that may be taken back, if that was promised here
    /// and nothing newer than `base` came in between. Whatever becomes of it, the promise is over.
    pub fn accept(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<UnixMs>,
        (ballot, base): (Version, Version),
        now: UnixMs,
    ) -> Accepted {
        let (content, is_open) = (Content::new(key, value, expires_at, now), self.context(slot, now).opens(ballot));
        let record = if is_open { Record::open(content, ballot) } else { Record::decided(content, ballot) };
        let key = self.hashed(key);
        let accepted = self.change(slot, now, |table, context| {
            let promised = self.promises.ballot(key.hash, now);
            if promised != Some(ballot) && !is_on(Mutation::PromiseIsIgnored) {
                return Accepted::Refused(promised.unwrap_or_default());
            }
            // Not a read: nobody is told more than that.
            let shown = table.version_of(key);
            let accepted = match shown > base && shown < ballot {
                true => Accepted::Refused(shown),
                // What is refused is not merely stamped anew, so nothing has to stay for its sake.
                false => Accepted::Written(
                    table.place(key, record, context).unwrap_or_else(|| Written::Stale(table.outranked_by(key))),
                ),
            };
            match accepted {
                Accepted::Written(Written::Applied { .. }) => table.pending.note_update(key.hash, ballot),
                Accepted::Written(_) | Accepted::Refused(_) => self.promises.raise_floor(slot, ballot),
            }
            self.promises.end(key.hash, ballot);
            accepted
        });
        if is_open && matches!(accepted, Accepted::Written(Written::Applied { .. })) {
            self.closing.push(ballot, slot, now);
        }
        accepted
    }

    /// Takes nothing fresh any more that is not above `floor`, whatever its slot: an earlier run of this node may have promised
    /// so.
    pub fn refuse_up_to(&self, floor: Hlc) {
        self.promises.raise_all_floors(floor);
    }

    /// The ballot or floor for which a fresh write of `version`, which is not shown yet, has to be refused.
    #[inline]
    pub(super) fn refused_below(
        &self,
        slot: Slot,
        hash: u64,
        version: Version,
        context: &Context<'_>,
    ) -> Option<Version> {
        let limit = self.promises.refuses(slot, hash, version, context.now)?;
        (!is_on(Mutation::PromiseIsIgnored)).then_some(limit)
    }

    /// Why a copy of `version`, which is not shown yet, has to be refused, if it has.
    pub(super) fn refused_copy(
        &self,
        (slot, hash): (Slot, u64),
        version: Version,
        origin: Origin,
        context: &Context<'_>,
    ) -> Option<Copied> {
        if self.promises.is_above_all(version) || is_on(Mutation::PromiseIsIgnored) {
            return None;
        }
        match self.promises.ballot(hash, context.now) {
            Some(ballot) if origin == Origin::Base(ballot) => None,
            Some(ballot) if version < ballot => Some(Copied::Promised(ballot)),
            _ => {
                let limit = self.promises.limit(slot, hash, context.now);
                limit.filter(|&limit| version < limit).map(Copied::Unsettled)
            }
        }
    }
}
