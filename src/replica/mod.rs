//! One node as its peers see it: it takes their records, shows its own, and says what it may be counted for.
//!
//! Peers' commands end here, past the coordinator: from the command straight to the local store. The rules that
//! concern this node alone stand between: clocks that are too far ahead are refused, and slots that are still
//! syncing take writes but count for nothing.

mod agreement;
pub mod anti_entropy;
mod calls;
mod catch_up;
pub mod convergence;
mod drift_alarm;
mod fetch;
mod flush;
pub mod hints;
pub mod janitor;
mod node;
mod pace;
mod progress;
mod reads;
mod scan;
mod shared;
pub mod sync;
mod tombstones;
mod updates;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::HybridClock;
use crate::codec::reply;
use crate::config::ClusterConfig;
use crate::mutation::{Mutation, is_on};
use crate::peer::{CatchUp, FreshWrite, ListedRecord, Mark, PeerReply, PeerRequest, ReadRecord};
use crate::ring::{HashRing, NodeIndex, Slot};
use crate::store::{Copied, Listed, LocalKvStore, Page, Prior, Reverted, StoreOptions, WARM_KEYS_MAX, Written};
use crate::time::{UnixMs, WallClock};
use crate::version::{Hlc, StartNumber, Version};

pub use agreement::PeerAgreement;
pub(crate) use calls::OwnCall;
pub use calls::{Call, Calls};
pub use catch_up::SyncingSlots;
pub use convergence::Convergence;
pub(crate) use hints::Copies;
pub use hints::{HintStatus, Hints};
pub use progress::SyncProgress;

use flush::FlushHolds;
use progress::SyncMeter;
use shared::SharedSlots;

/// Bytes of bookkeeping for open records above which the oldest are closed early: about half a million small writes.
const OPEN_BYTES_MAX: usize = 256 << 20;

/// What this node knows of one peer, from introductions and marks.
#[derive(Debug, Default)]
struct PeerMemory {
    /// The highest start number ever seen from it; a later run of its process must exceed it.
    start: AtomicU64,
    /// The start number by which it knows this very process; 0 before the two have met.
    known_as: AtomicU64,
    /// Whether it said last that there are slots for which it counts for nothing.
    syncing: AtomicBool,
    /// Whether it counted for nothing at all at any time since this node started: then no earlier run of this node
    /// has made up a quorum with it, and it held nothing that this node could have missed.
    seen_blank: AtomicBool,
    /// Its wall clock less ours by the latest measurements, in milliseconds.
    clock_offset_ms: AtomicI64,
    /// Whether a warning stands for its clock.
    clock_warned: AtomicBool,
    /// What comparing with it came to last. Locked for an assignment.
    agreement: Mutex<PeerAgreement>,
}

/// This node's share of the cluster: store, clock, ring, and what it knows of its peers.
pub struct Replica {
    /// The configuration that all nodes share.
    pub config: ClusterConfig,
    /// This node's position among the sorted ids.
    pub index: NodeIndex,
    /// Who keeps what.
    pub ring: HashRing,
    /// What this node holds.
    pub store: LocalKvStore,
    /// The clock that stamps this node's writes.
    pub clock: HybridClock,
    /// Where `now` comes from.
    pub wall: WallClock,
    /// Slots that count for nothing yet.
    pub syncing: SyncingSlots,
    /// What was needed so far to keep the replicas equal.
    pub convergence: Convergence,
    /// What this node, as a coordinator, owes to its peers.
    pub hints: Hints,
    /// Updates that peers want to have carried out here, and those of this node that are carried out elsewhere.
    pub calls: Calls,
    /// Flushes whose marks are about to come.
    holds: FlushHolds,
    /// Woken whenever a peer was introduced or left, and when this node has caught up.
    pub changed: Notify,
    /// The start number that new versions bear. Raised when a peer remembers a higher one of an earlier run.
    start: AtomicU64,
    /// The smallest version of this run that this node's coordinator may still take back.
    lowest_open: AtomicU64,
    peers: Box<[PeerMemory]>,
    /// Which slots the peers keep as well.
    shared: SharedSlots,
    /// How far catching up has come.
    sync_meter: SyncMeter,
}

impl Replica {
    /// A node that has just started, without memory, and counts for nothing until it has caught up; a node whose keys
    /// have no other replica counts at once.
    #[must_use]
    pub fn new(config: ClusterConfig, index: NodeIndex, wall: WallClock) -> Self {
        let ring = config.ring();
        let replicated = config.replication_factor > 1;
        let store = LocalKvStore::new(StoreOptions {
            nodes: config.nodes.len(),
            replicated,
            open_ttl_ms: 2 * config.request_timeout_ms,
            max_clock_drift_ms: config.max_clock_drift_ms,
            open_bytes_max: OPEN_BYTES_MAX,
        });
        let own = |slot: &Slot| replicated && ring.preference_list(*slot).contains(index);
        let syncing = SyncingSlots::new(Slot::all().filter(own));
        let start = StartNumber::new(wall.now().0).max(StartNumber::FIRST);
        Self {
            index,
            store,
            syncing,
            clock: HybridClock::new(config.max_clock_drift_ms),
            convergence: Convergence::default(),
            hints: Hints::new(config.nodes.len()),
            calls: Calls::new(start),
            holds: FlushHolds::default(),
            changed: Notify::new(),
            start: AtomicU64::new(start.get()),
            lowest_open: AtomicU64::new(0),
            peers: config.nodes.iter().map(|_| PeerMemory::default()).collect(),
            shared: SharedSlots::new(&ring, index),
            sync_meter: SyncMeter::new(wall.now()),
            ring,
            wall,
            config,
        }
    }

    /// The start number of this run, borne by every version that this node stamps.
    pub fn start(&self) -> StartNumber {
        StartNumber::new(self.start.load(Ordering::Acquire))
    }

    /// Publishes that this node's coordinator takes back no version of this run below `lowest_open` any more.
    pub(crate) fn publish_lowest_open(&self, lowest_open: Hlc, now: UnixMs) {
        if self.lowest_open.fetch_max(lowest_open.0, Ordering::AcqRel) < lowest_open.0 {
            // To its own store the coordinator's mark does not come by any link.
            self.store.advance_watermark(self.index, self.start(), lowest_open, now);
        }
    }

    /// Whether `peer` said last that it is syncing and so counts for nothing.
    pub(crate) fn is_peer_syncing(&self, peer: NodeIndex) -> bool {
        self.peers[peer.as_usize()].syncing.load(Ordering::Acquire)
    }

    /// Whether `peer` counted for nothing at all at any time since this node started.
    pub(crate) fn was_peer_blank(&self, peer: NodeIndex) -> bool {
        self.peers[peer.as_usize()].seen_blank.load(Ordering::Acquire)
    }

    /// Whether what this node shows of `slot` is an answer: not while it is syncing.
    pub(crate) fn may_answer(&self, slot: Slot) -> bool {
        !self.syncing.contains(slot) || is_on(Mutation::SyncingAnswers)
    }

    /// Whether what this node takes for `slot` counts toward a quorum: not while it is syncing.
    pub(crate) fn may_ack(&self, slot: Slot) -> bool {
        !self.syncing.contains(slot) || is_on(Mutation::SyncingAcks)
    }

    /// `peer`'s wall clock less ours by the latest measurements, in milliseconds.
    pub fn clock_offset_ms(&self, peer: NodeIndex) -> i64 {
        self.peers[peer.as_usize()].clock_offset_ms.load(Ordering::Acquire)
    }

    /// Live keys in those slots whose first replica among `alive` is this node: the share of this node in a count of
    /// the whole cluster that counts every key once.
    pub(crate) fn count_keys(&self, alive: &[NodeIndex]) -> u64 {
        self.counted_slots(alive).map(|slot| self.store.live_keys(slot) as u64).sum()
    }

    /// The slots whose first replica among `alive` is this node.
    fn counted_slots(&self, alive: &[NodeIndex]) -> impl Iterator<Item = Slot> {
        let mut is_alive = vec![false; self.config.nodes.len()];
        for node in alive {
            if let Some(flag) = is_alive.get_mut(node.as_usize()) {
                *flag = true;
            }
        }
        Slot::all().filter(move |slot| {
            let first = self.ring.preference_list(*slot).iter().find(|node| is_alive[node.as_usize()]).copied();
            first == Some(self.index)
        })
    }

    /// Serves one request of the peer `from`; the reply is appended to `out`. `slot` is that of its first argument, if it
    /// was reckoned before.
    pub fn serve(&self, from: NodeIndex, request: PeerRequest<'_>, slot: Option<Slot>, now: UnixMs, out: &mut Vec<u8>) {
        let slot_of = |key| slot.unwrap_or_else(|| Slot::of_key(key));
        match request {
            PeerRequest::Write { key, value, version, expires_at } => {
                self.write(slot_of(key), key, value, version, expires_at, now).encode(out);
            }
            PeerRequest::WriteAgain { key, value, version, expires_at } => {
                self.write_again(key, value, version, expires_at, now).encode(out);
            }
            PeerRequest::WriteMany(writes) => self.write_many(&writes, now).encode(out),
            PeerRequest::Copy { key, value, version, expires_at } => {
                self.copy(key, value, version, expires_at, now).encode(out);
            }
            PeerRequest::Revert { key, version } => self.revert(key, version, now).encode(out),
            PeerRequest::Read { key } => {
                if let Some(value) = self.read(slot_of(key), key, now, out) {
                    reply::bulk(out, &value);
                }
            }
            PeerRequest::ReadMany(keys) => self.read_many(&keys, now, out),
            PeerRequest::Mark(Mark { start, lowest_open, catch_up }) => {
                self.store.advance_watermark(from, start, lowest_open, now);
                // A connection of an earlier process may still have something to be read.
                if start.get() >= self.peers[from.as_usize()].start.load(Ordering::Acquire) {
                    self.note_catch_up(from, catch_up);
                }
                PeerReply::Ok.encode(out);
            }
            PeerRequest::Keys { slot, from } => self.keys(slot, from, now).encode(out),
            PeerRequest::Digest(scope) => {
                let (flush_marks, digests) = (self.store.flush_marks(), self.digests(from, scope, now));
                PeerReply::Digests { flush_marks, digests }.encode(out);
            }
            PeerRequest::Count { alive } => PeerReply::Integer(self.count_keys(&alive)).encode(out),
            PeerRequest::Scan(question) => self.scan(&question, now).encode(out),
            PeerRequest::Pick { draws, nodes } => self.pick_for_peer(draws, &nodes, now).encode(out),
            PeerRequest::Sums { slots } => self.sums(&slots, now).encode(out),
            PeerRequest::Clock if self.syncing.count() > 0 => PeerReply::Syncing.encode(out),
            PeerRequest::Clock | PeerRequest::Promises => PeerReply::Integer(self.clock.last().0).encode(out),
            PeerRequest::Beat => PeerReply::Integer(now.0).encode(out),
            PeerRequest::Hold => self.hold_for_peer(from, now).encode(out),
            PeerRequest::Flush { version, is_decided: false } => self.flush(from, version, now).encode(out),
            PeerRequest::Flush { version, is_decided: true } => self.flush_decided(version, now).encode(out),
            PeerRequest::Update(request) => self.serve_update(from, request, now, out),
        }
    }

    /// Whether a record with this version and expiry can be one of this cluster's; if so the clock follows it.
    fn admit(&self, version: Version, expires_at: Option<UnixMs>, now: UnixMs) -> Result<(), PeerReply> {
        if version.node().as_usize() >= self.config.nodes.len() {
            return Err(PeerReply::Refused(format!("ERR version {version} is of no node of this cluster")));
        }
        if expires_at.is_some_and(|at| i64::try_from(at.0).is_err()) {
            return Err(PeerReply::Refused("ERR no record expires that late".to_owned()));
        }
        self.clock.observe(version.hlc(), now).map_err(|drift| PeerReply::Drift(drift.to_string()))
    }

    fn write_many(&self, writes: &[FreshWrite<'_>], now: UnixMs) -> PeerReply {
        let mut each = Vec::new();
        let mut slots = [Slot::FIRST; WARM_KEYS_MAX];
        for (done, writes) in writes.chunks(WARM_KEYS_MAX).enumerate() {
            self.store.warm(writes.iter().map(|write| write.key), &mut slots);
            for (place, (&slot, &FreshWrite { key, value, version })) in slots.iter().zip(writes).enumerate() {
                let reply = self.write(slot, key, Some(value), version, None, now);
                if reply != PeerReply::Ok {
                    each.resize(done * WARM_KEYS_MAX + place, PeerReply::Ok);
                    each.push(reply);
                }
            }
        }
        if each.is_empty() {
            return PeerReply::Ok;
        }
        each.resize(writes.len(), PeerReply::Ok);
        PeerReply::Each(each)
    }

    /// Keeps what an earlier run of this node may have promised to updates: nothing above `clock`, which is that of a node that
    /// promised it too, nor above the limit within which this node follows others, however far that node's clock has gone astray.
    pub(crate) fn keep_promises(&self, clock: Hlc, now: UnixMs) {
        let floor = clock.min(Hlc::first_of(UnixMs(now.0.saturating_add(self.config.max_clock_drift_ms))));
        self.store.refuse_up_to(floor);
        // What this node stamps itself has to be above that, too.
        let _ = self.clock.observe(floor, now);
    }

    fn write(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&[u8]>,
        version: Version,
        expires_at: Option<UnixMs>,
        now: UnixMs,
    ) -> PeerReply {
        let is_delete = value.is_none();
        let write = |store: &LocalKvStore| store.write(slot, key, value, expires_at, version, now);
        self.admitted(slot, (version, expires_at, now), is_delete, write)
    }

    /// What comes of `write`, unless it is refused before.
    #[inline]
    fn admitted(
        &self,
        slot: Slot,
        (version, expires_at, now): (Version, Option<UnixMs>, UnixMs),
        is_delete: bool,
        write: impl FnOnce(&LocalKvStore) -> Written,
    ) -> PeerReply {
        if let Err(refusal) = self.admit(version, expires_at, now) {
            return refusal;
        }
        // Asked before: what was promised by an earlier run is known only by a slot that counts.
        let may_ack = self.may_ack(slot);
        written(write(&self.store), may_ack, is_delete)
    }

    /// Serves a [`PeerRequest::Write`] of a large value, which is kept as it is: whatever else lies in its memory is kept with it.
    pub fn keep(
        &self,
        slot: Slot,
        (key, value): (&[u8], Bytes),
        version: Version,
        expires_at: Option<UnixMs>,
        now: UnixMs,
    ) -> PeerReply {
        let write = |store: &LocalKvStore| store.write_apart(slot, key, value, expires_at, version, now);
        self.admitted(slot, (version, expires_at, now), false, write)
    }

    fn write_again(
        &self,
        key: &[u8],
        value: &[u8],
        version: Version,
        expires_at: Option<UnixMs>,
        now: UnixMs,
    ) -> PeerReply {
        let slot = Slot::of_key(key);
        let write = |store: &LocalKvStore| store.write_again(slot, key, value, expires_at, version, now);
        self.admitted(slot, (version, expires_at, now), false, write)
    }

    pub(crate) fn copy(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
        version: Version,
        expires_at: Option<UnixMs>,
        now: UnixMs,
    ) -> PeerReply {
        if let Err(refusal) = self.admit(version, expires_at, now) {
            return refusal;
        }
        let slot = Slot::of_key(key);
        match self.store.copy(slot, key, value, expires_at, version, now) {
            Copied::Promised(ballot) => PeerReply::Promised(ballot),
            Copied::Unsettled(limit) => {
                self.calls.settle(key);
                PeerReply::Promised(limit)
            }
            _ if !self.may_ack(slot) => PeerReply::Syncing,
            Copied::Newest => PeerReply::Ok,
            Copied::Older(newer) => PeerReply::Stale(newer),
        }
    }

    /// Keeps a record that this node has asked another replica for.
    pub(crate) fn copy_fetched(&self, key: &[u8], record: &ReadRecord, now: UnixMs) -> PeerReply {
        let ReadRecord { version, expires_at, value } = record;
        if let Err(refusal) = self.admit(*version, *expires_at, now) {
            return refusal;
        }
        match self.store.copy_fetched(Slot::of_key(key), key, value.as_deref(), *expires_at, *version, now) {
            Copied::Unsettled(limit) => {
                self.calls.settle(key);
                PeerReply::Promised(limit)
            }
            Copied::Promised(_) | Copied::Newest | Copied::Older(_) => PeerReply::Ok,
        }
    }

    pub(crate) fn revert(&self, key: &[u8], version: Version, now: UnixMs) -> PeerReply {
        let slot = Slot::of_key(key);
        match self.store.revert(slot, key, version, now) {
            // It may have forgotten, in a restart, that the write was read.
            _ if self.syncing.contains(slot) && !is_on(Mutation::SyncingConfirmsRevert) => PeerReply::Syncing,
            Reverted::Confirmed => PeerReply::Ok,
            Reverted::Kept => PeerReply::Kept,
        }
    }

    fn keys(&self, slot: Slot, from: u32, now: UnixMs) -> PeerReply {
        if self.syncing.contains(slot) {
            return PeerReply::Syncing;
        }
        let Page { records, next } = self.store.page(slot, from, now);
        let listed =
            |Listed { key, version, is_gone, value_bytes }| ListedRecord { key, version, is_gone, value_bytes };
        PeerReply::Keys { records: records.into_iter().map(listed).collect(), next }
    }

    fn note_catch_up(&self, peer: NodeIndex, state: CatchUp) {
        let memory = &self.peers[peer.as_usize()];
        let (is_blank, is_syncing) = (state == CatchUp::Blank, state != CatchUp::Complete);
        let is_news = is_blank && !memory.seen_blank.swap(true, Ordering::AcqRel);
        if memory.syncing.swap(is_syncing, Ordering::AcqRel) != is_syncing || is_news {
            self.changed.notify_waiters();
        }
    }
}

/// What a replica answers to a fresh write.
fn written(written: Written, may_ack: bool, is_delete: bool) -> PeerReply {
    match written {
        Written::Applied { .. } if !may_ack => PeerReply::Syncing,
        Written::Applied { prior: Prior { version, live } } if is_delete && version != Version::default() => {
            PeerReply::Prior { version, live }
        }
        Written::Applied { .. } => PeerReply::Ok,
        Written::Stale(_) if is_on(Mutation::NoStaleRule) => PeerReply::Ok,
        Written::Stale(newer) if !may_ack => PeerReply::StaleSyncing(newer),
        Written::Stale(newer) => PeerReply::Stale(newer),
        Written::Void => PeerReply::Void,
        Written::Promised(ballot) => PeerReply::Promised(ballot),
    }
}
