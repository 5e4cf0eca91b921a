//! When an open record is decided.
//!
//! Normally its coordinator's watermark says so. A coordinator may be dead or cut off, so a replica also decides on
//! its own, after 2 × `request_timeout_ms` or when memory runs short. It remembers up to which time it has done so:
//! below that it no longer knows what has been here, and confirms no revert of what it cannot find.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

use super::StoreOptions;
use super::newest::Newest;
use super::record::Record;
use super::watermark::Watermarks;
use crate::time::UnixMs;
use crate::version::{Hlc, Version};

/// What decides, shared by all slots.
pub(super) struct Decider {
    /// False if each key has one replica: then every write is decided at once, and nothing remembers a deleted key.
    pub(super) replicated: bool,
    pub(super) open_ttl_ms: u64,
    max_clock_drift_ms: u64,
    pub(super) watermarks: Watermarks,
    /// The latest time of a version that was decided here without its coordinator's word.
    ///
    /// It is raised and read under the lock of the slot whose key it concerns; other slots may see it late.
    decided_alone: AtomicU64,
}

/// What an operation on a slot needs to know of the world outside it.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) now: UnixMs,
    pub(super) decider: &'a Decider,
    pub(super) hash_state: &'a RandomState,
    /// Whether the store has memory for one more void mark.
    pub(super) has_room: bool,
    /// The slot's.
    pub(super) newest: &'a Newest,
}

impl Decider {
    pub(super) fn new(options: &StoreOptions) -> Self {
        Self {
            replicated: options.replicated,
            open_ttl_ms: options.open_ttl_ms,
            max_clock_drift_ms: options.max_clock_drift_ms,
            watermarks: Watermarks::new(options.nodes),
            decided_alone: AtomicU64::new(0),
        }
    }

    /// Notes that a version is forgotten although its coordinator has not declared it decided.
    pub(super) fn decide_alone(&self, version: Version) {
        self.decided_alone.fetch_max(version.hlc().0, Ordering::Relaxed);
    }

    /// Whether a version that was ever here could be gone without a trace by now.
    pub(super) fn may_have_forgotten(&self, version: Version) -> bool {
        self.watermarks.passed(version) || version.hlc() <= Hlc(self.decided_alone.load(Ordering::Relaxed))
    }
}

impl Context<'_> {
    /// The table hash of a key.
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        hash(self.hash_state, key)
    }

    /// Whether the table keeps such a record.
    pub(super) fn keeps(&self, record: &Record) -> bool {
        self.decider.replicated || !record.is_tombstone()
    }

    /// Whether a fresh write with this version may still be taken back when it arrives.
    pub(super) fn opens(&self, version: Version) -> bool {
        self.decider.replicated && !self.passed(version)
    }

    /// Whether the coordinator has declared `version` decided.
    pub(super) fn passed(&self, version: Version) -> bool {
        self.decider.watermarks.passed(version)
    }

    /// Whether a coordinator whose write `refused` was refused for `newer` may write it again above that.
    pub(super) fn may_be_followed(&self, newer: Version, refused: Version) -> bool {
        newer.hlc().wall().0 <= refused.hlc().wall().0.saturating_add(self.decider.max_clock_drift_ms)
    }

    /// Whether a record that arrived then has been open for long enough.
    pub(super) fn is_overdue(&self, arrived_at: UnixMs) -> bool {
        self.now >= UnixMs(arrived_at.0.saturating_add(self.decider.open_ttl_ms))
    }

    /// When a void mark that is left now ends.
    pub(super) fn mark_end(&self) -> UnixMs {
        UnixMs(self.now.0.saturating_add(self.decider.open_ttl_ms))
    }
}

/// The table hash of a key: seeded, since clients choose the keys.
pub(super) fn hash(state: &RandomState, key: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(key);
    hasher.finish()
}
