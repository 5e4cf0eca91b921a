//! Promises: what keeps an update whole although no replica leads.
//!
//! An update reads its key from a quorum and writes what follows from that to another, under a *ballot*: a version that it has
//! drawn before it asked. A replica that has answered promises to take nothing older for that key that it has not shown yet:
//! neither a fresh write, nor a copy, nor the write of an update with a smaller ballot. And it takes the update's own write
//! only while that promise is in force and what it shows is no newer than what the update has seen. So of two
//! updates one sees the other, and none passes over a write that it has not seen. This is `CASPaxos` (Rystsov, "`CASPaxos`:
//! Replicated State Machines without logs", 2018) with versions for ballots.
//!
//! A promise ends with the update's write, when a larger ballot comes, or after some time, for the update may never come
//! back. Whether it is in force is judged under the lock of the key's slot, where it matters. What the end of a promise gives away: an
//! update that ended as INDETERMINATE may lie on a replica that nobody could ask; if it takes effect after all, it knows nothing
//! of a write that was acknowledged since then under a smaller version, by a coordinator whose clock is behind. Plain writes pay for promises only while there are some.

use std::sync::atomic::{AtomicUsize, Ordering};

use fnv::FnvHashMap;
use parking_lot::Mutex;

use super::outcome::{Accepted, Lookup, Prepared, Written};
use super::record::{Content, Record};
use super::{Context, LocalKvStore};
use crate::mutation::{Mutation, is_on};
use crate::ring::Slot;
use crate::time::UnixMs;
use crate::version::Version;

/// Promises are spread over so many locks, a power of two.
const SHARDS: usize = 64;
/// Promises of one shard. Far more updates than a node can have under way at a time; whoever comes next is refused.
const SHARD_PROMISES_MAX: usize = 4096;

#[derive(Clone, Copy)]
struct Promise {
    ballot: Version,
    ends_at: UnixMs,
}

/// The promises of one node, by the hash of the key. Each is looked at and changed under the lock of its key's slot.
pub(super) struct Promises {
    shards: Box<[Mutex<FnvHashMap<u64, Promise>>]>,
    count: AtomicUsize,
}

impl Promises {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), count: AtomicUsize::new(0) }
    }

    /// The ballot up to which nothing new is taken for a key.
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
        let is_new = shard.insert(hash, promise).is_none();
        self.count.fetch_add(usize::from(is_new), Ordering::Relaxed);
        true
    }

    /// The update under `ballot` is over here.
    fn end(&self, hash: u64, ballot: Version) {
        let mut shard = self.shard(hash).lock();
        if shard.get(&hash).is_some_and(|promise| promise.ballot == ballot) {
            shard.remove(&hash);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Forgets the promises whose time is over.
    pub(super) fn sweep(&self, now: UnixMs) {
        if self.count.load(Ordering::Relaxed) > 0 {
            self.shards.iter().for_each(|shard| self.drop_ended(&mut shard.lock(), now));
        }
    }

    fn drop_ended(&self, shard: &mut FnvHashMap<u64, Promise>, now: UnixMs) {
        let before = shard.len();
        shard.retain(|_, promise| now < promise.ends_at);
        self.count.fetch_sub(before - shard.len(), Ordering::Relaxed);
    }

    fn shard(&self, hash: u64) -> &Mutex<FnvHashMap<u64, Promise>> {
        &self.shards[usize::from(hash.to_le_bytes()[7]) % SHARDS]
    }
}

impl LocalKvStore {
    /// Promises to take nothing older than `ballot` for `key` that is not shown yet, and lets `f` see what the key is, which
    /// counts as read.
    pub fn prepare<T>(
        &self,
        slot: Slot,
        key: &[u8],
        ballot: Version,
        now: UnixMs,
        f: impl FnOnce(Lookup<'_>) -> T,
    ) -> Prepared<T> {
        let key = self.hashed(key);
        let table = self.slots[slot.as_usize()].lock();
        if let Some(promised) = self.promises.ballot(key.hash, now).filter(|&promised| promised > ballot) {
            return Prepared::Promised(promised);
        }
        let promise = Promise { ballot, ends_at: UnixMs(now.0.saturating_add(self.decider.open_ttl_ms)) };
        if !self.promises.make(key.hash, promise, now) {
            return Prepared::Crowded;
        }
        Prepared::Shows(f(table.look_up(key, now)))
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
        let (content, is_open) = (Content::new(key, value, expires_at, now), self.context(now).opens(ballot));
        let record = if is_open { Record::open(content, ballot) } else { Record::decided(content, ballot) };
        let key = self.hashed(key);
        let accepted = self.change(slot, now, |table, context| {
            let promised = self.promises.ballot(key.hash, now);
            if promised != Some(ballot) && !is_on(Mutation::PromiseIsIgnored) {
                return Accepted::Refused(promised.unwrap_or_default());
            }
            self.promises.end(key.hash, ballot);
            let shown = table.look_up(key, now).version().unwrap_or_default();
            if shown > base && shown < ballot {
                return Accepted::Refused(shown);
            }
            Accepted::Written(table.write(key, record, context))
        });
        if is_open && matches!(accepted, Accepted::Written(Written::Applied { .. })) {
            self.closing.push(ballot, slot, now);
        }
        accepted
    }

    /// The ballot for which a write of `version`, which is not shown yet, has to be refused.
    #[inline]
    pub(super) fn promised_above(&self, hash: u64, version: Version, context: &Context<'_>) -> Option<Version> {
        let promised = self.promises.ballot(hash, context.now)?;
        (version < promised && !is_on(Mutation::PromiseIsIgnored)).then_some(promised)
    }
}
