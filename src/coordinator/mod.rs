//! The coordinator: the node that a client happens to ask carries its request to the replicas of the key.
//!
//! There is no leader to ask, so every node does this for every key. What one batch of a client's pipeline needs of a
//! peer leaves as one message and comes back as one ([`Launched`]); whether the answers make a quorum is decided by
//! plain state machines (`write.rs`, `read.rs`). What needs no peer does not get this far: [`ConsistentHashingKvStore::read_here`]
//! and [`ConsistentHashingKvStore::write_here`] serve it on the spot.

mod answers;
mod cluster_wide;
mod debts;
mod flight;
mod group;
mod hurry;
mod journey;
mod mail;
mod open_writes;
mod outbox;
mod prepare;
mod quorum;
mod random_key;
mod read;
mod read_repair;
mod roster;
mod scan;
mod scan_pages;
mod update;
mod wait;
mod write;
mod written;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::codec::LARGE_BULK_BYTES;
use crate::peer::NodeCommunicator;
use crate::replica::{HintStatus, Replica};
use crate::ring::{NodeIndex, Slot};
use crate::store::Lookup;
use crate::time::UnixMs;
use crate::version::Version;

use group::Group;
use open_writes::OpenWrites;
use read_repair::ReadRepair;
use update::UpdateQueue;

pub use flight::Launched;
pub use hurry::HurryTimer;
pub use quorum::Quorum;
pub use read::Found;
pub use scan_pages::{ScanRange, ScannedKeys};
pub use update::{Change, Changes, Held, Rule, UpdateOrder, UpdateWords, Work};
pub use update::{ParseUpdate, run as run_updates};

pub use write::Before;
pub use written::WrittenSlots;

/// A client's batch. Of those without a pipeline each has one, which needs no memory of its own.
pub type Operations = SmallVec<[Operation; 1]>;

/// What became of a batch's operations, in order.
pub type Outcomes = SmallVec<[Outcome; 1]>;

/// What a client wants of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The key's slot.
    pub slot: Slot,
    /// The key.
    pub key: Bytes,
    /// Read or write.
    pub kind: OperationKind,
}

impl Operation {
    /// The value that a write carries.
    fn value(&self) -> Option<&Bytes> {
        match &self.kind {
            OperationKind::Write { value, .. } => value.as_ref(),
            OperationKind::Read => None,
        }
    }

    /// Whether it changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        self.kind == OperationKind::Read
    }
}

/// The kinds of [`Operation`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OperationKind {
    /// Find the newest record.
    Read,
    /// Replace the record: `value: None` deletes.
    Write {
        /// The new value, or none. One of [`LARGE_BULK_BYTES`] or more is kept as it is: nothing else to speak of may lie in
        /// its memory.
        value: Option<Bytes>,
        /// When it expires, if ever.
        expires_at: Option<UnixMs>,
    },
}

/// What became of an [`Operation`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A read's newest record, `None` if there is none.
    Read(Option<Found>),
    /// A write is on its quorum; this is what it replaced.
    Written(Before),
    /// It could not be done.
    Failed(QuorumError),
}

/// Too few replicas. The message says what became of a write: nothing written, reverted, or unknown.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QuorumError {
    /// Known beforehand; nothing was written anywhere.
    #[error("NOQUORUM {reachable} of {needed} replicas reachable; nothing was written")]
    TooFewForWrite {
        /// Replicas within reach that count.
        reachable: u16,
        /// The write quorum.
        needed: u16,
    },
    /// The write was taken back from every replica that it was sent to; nobody has read it or ever will.
    #[error("NOQUORUM {acks} of {needed} acks; reverted{}", because(.reason.as_deref()))]
    Reverted {
        /// Acks received before giving up.
        acks: u16,
        /// The write quorum.
        needed: u16,
        /// Why one of the others did not ack.
        reason: Option<String>,
    },
    /// The write may stay, and then reaches every replica, or vanish.
    #[error("INDETERMINATE {acks} of {needed} acks; the write may stay or vanish{}", because(.reason.as_deref()))]
    Indeterminate {
        /// Acks received before giving up.
        acks: u16,
        /// The write quorum.
        needed: u16,
        /// Why one of the others did not ack or did not confirm that it took the write back.
        reason: Option<String>,
    },
    /// A read found a record that too few replicas hold, and that could not be written back to more: answering it might
    /// let a later read go back in time. The record itself is untouched.
    #[error("NOQUORUM the value is on {holders} of {needed} replicas and could not be written to more{}", because(.reason.as_deref()))]
    NotWrittenBack {
        /// Replicas known to hold it.
        holders: u16,
        /// The write quorum.
        needed: u16,
        /// Why one of the others does not.
        reason: Option<String>,
    },
    /// Too few replicas answered a read.
    #[error("NOQUORUM {answers} of {needed} replicas answered{}", because(.reason.as_deref()))]
    TooFewForRead {
        /// Replicas that answered.
        answers: u16,
        /// The read quorum.
        needed: u16,
        /// Why one of the others did not.
        reason: Option<String>,
    },
}

/// A reason in brackets, or nothing.
fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(" ({reason})")).unwrap_or_default()
}

/// A key-value store that keeps each key on the N nodes that the ring names, whichever node is asked.
pub struct ConsistentHashingKvStore {
    /// This node's own share.
    pub replica: Arc<Replica>,
    /// The way to the others.
    pub peers: Arc<dyn NodeCommunicator>,
    quorum: Quorum,
    /// Held while a batch is stamped and handed to every link and to the own store: so versions of one key leave this
    /// node in stamp order and a node is never stale to itself. Never held across an await.
    gate: Mutex<OpenWrites>,
    /// Writes that came alone and leave together.
    forming: Mutex<Group>,
    /// Operations for which another node had to be asked because this one is no replica of the key.
    forwarded: AtomicU64,
    /// Updates of which this node is the home.
    updates: UpdateQueue,
    /// Reads of one replica that are to be compared with the others.
    read_repair: ReadRepair,
}

impl ConsistentHashingKvStore {
    /// The coordinator of the node that `replica` is, reaching the others through `peers`.
    #[must_use]
    pub fn new(replica: Arc<Replica>, peers: Arc<dyn NodeCommunicator>) -> Self {
        let config = &replica.config;
        let quorum =
            Quorum { replicas: config.replication_factor, write: config.write_quorum, read: config.read_quorum };
        let is_compared = config.read_quorum == 1 && config.replication_factor > 1;
        let read_repair = ReadRepair::new(if is_compared { config.read_repair_chance } else { 0.0 });
        Self {
            peers,
            quorum,
            gate: Mutex::default(),
            forming: Mutex::default(),
            forwarded: AtomicU64::new(0),
            updates: UpdateQueue::default(),
            read_repair,
            replica,
        }
    }

    /// What is owed to `peer` of the writes that it missed.
    #[must_use]
    pub fn hint_status(&self, peer: NodeIndex) -> HintStatus {
        self.replica.hints.status(peer, self.replica.wall.now())
    }

    /// The quorum sizes.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// Operations so far on keys of which this node is no replica.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// Serves a read on the spot if this node may answer alone and has a record: R = 1, a replica, caught up.
    /// `None`: it has to be launched.
    pub fn read_here<T>(&self, slot: Slot, key: &[u8], now: UnixMs, found: impl FnOnce(Lookup<'_>) -> T) -> Option<T> {
        self.read_here_for(self.quorum, slot, key, now, found)
    }

    /// As [`Self::read_here`], for a client with this quorum.
    #[inline]
    pub fn read_here_for<T>(
        &self,
        quorum: Quorum,
        slot: Slot,
        key: &[u8],
        now: UnixMs,
        found: impl FnOnce(Lookup<'_>) -> T,
    ) -> Option<T> {
        if !self.reads_alone(quorum, slot) {
            return None;
        }
        let alone = self.quorum.replicas == 1;
        let answer = self.replica.store.read(slot, key, now, |lookup| match lookup {
            Lookup::Missing if !alone => None,
            lookup => Some(found(lookup)),
        });
        if answer.is_some() {
            self.read_repair.note(slot, key, now);
        }
        answer
    }

    /// Serves a write on the spot if this node is the key's only replica. `None`: it has to be launched.
    #[inline]
    pub fn write_here(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<UnixMs>,
        now: UnixMs,
    ) -> Option<Before> {
        if !self.writes_alone(slot) {
            return None;
        }
        Some(self.store_here(slot, key, value, expires_at, now).1)
    }

    /// As [`Self::write_here`], for a large value, which is kept as it is: whatever else lies in its memory is kept with it.
    pub fn keep_here(
        &self,
        slot: Slot,
        key: &[u8],
        value: &Bytes,
        expires_at: Option<UnixMs>,
        now: UnixMs,
    ) -> Option<Before> {
        self.writes_alone(slot).then(|| self.store_large_here(slot, key, value, expires_at, now).1)
    }

    /// Whether one replica is enough for a client with this quorum to read keys of `slot`, and this node may be that one.
    #[inline]
    #[must_use]
    pub fn reads_alone(&self, quorum: Quorum, slot: Slot) -> bool {
        quorum.read <= 1 && self.is_replica(slot) && self.replica.may_answer(slot)
    }

    /// Whether this node is the only replica of the keys of `slot`.
    #[inline]
    #[must_use]
    pub fn writes_alone(&self, slot: Slot) -> bool {
        self.quorum.replicas <= 1 && self.is_replica(slot)
    }

    /// Stamps a write above what this node shows and stores it here.
    fn store_here(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<UnixMs>,
        now: UnixMs,
    ) -> (Version, Before) {
        let stamp = |shown: Version| self.stamp_above(shown, now);
        let (version, prior) = self.replica.store.write_next(slot, key, value, expires_at, now, stamp);
        (version, Before { version: prior.version, live: prior.live })
    }

    /// The same for a value with its memory: if it is large it stays there.
    #[inline]
    fn store_bytes_here(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&Bytes>,
        expires_at: Option<UnixMs>,
        now: UnixMs,
    ) -> (Version, Before) {
        match value {
            Some(large) if large.len() >= LARGE_BULK_BYTES => self.store_large_here(slot, key, large, expires_at, now),
            _ => self.store_here(slot, key, value.map(AsRef::as_ref), expires_at, now),
        }
    }

    #[cold]
    fn store_large_here(
        &self,
        slot: Slot,
        key: &[u8],
        value: &Bytes,
        expires_at: Option<UnixMs>,
        now: UnixMs,
    ) -> (Version, Before) {
        let stamp = |shown: Version| self.stamp_above(shown, now);
        let (version, prior) = self.replica.store.write_next_apart(slot, key, value.clone(), expires_at, now, stamp);
        (version, Before { version: prior.version, live: prior.live })
    }

    #[inline]
    fn stamp_above(&self, shown: Version, now: UnixMs) -> Version {
        let replica = &self.replica;
        Version::new(replica.clock.tick_above(shown.hlc(), now), replica.index, replica.start())
    }

    /// Sends a client's batch on its way: everything is stamped, stored here where this node is a replica, and handed
    /// to the links before this returns.
    #[must_use]
    pub fn launch(&self, operations: impl Into<Operations>, now: UnixMs) -> Launched<'_> {
        self.launch_for(self.quorum, operations.into(), now)
    }

    /// As [`Self::launch`], for a client with this quorum.
    #[must_use]
    pub fn launch_for(&self, quorum: Quorum, operations: Operations, now: UnixMs) -> Launched<'_> {
        Launched::new(self, quorum, operations, now)
    }

    /// Counts an operation for which another node has to be asked because this one is no replica of the key.
    fn note_forwarded(&self, slot: Slot) {
        if !self.is_replica(slot) {
            self.forwarded.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether every node keeps every key.
    fn is_everywhere(&self) -> bool {
        usize::from(self.quorum.replicas) == self.replica.config.nodes.len()
    }

    /// Whether this node keeps the keys of `slot`.
    #[must_use]
    pub fn is_replica(&self, slot: Slot) -> bool {
        self.is_everywhere() || self.replica.ring.preference_list(slot).contains(self.replica.index)
    }
}
