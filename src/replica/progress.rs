//! How far catching up has come, for INFO.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Replica;
use crate::time::UnixMs;

/// Catching up after the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyncProgress {
    /// Slots that this node keeps.
    pub slots_total: usize,
    /// Of those, the ones that count for nothing yet.
    pub slots_left: usize,
    /// Records that were fetched from others.
    pub records_fetched: u64,
    /// Bytes of keys, versions and values that came from others for it.
    pub bytes_fetched: u64,
    /// When it began.
    pub began: UnixMs,
    /// When it ended, if it has.
    pub ended: Option<UnixMs>,
}

/// What is counted for it.
#[derive(Debug)]
pub(super) struct SyncMeter {
    began: UnixMs,
    /// 0 while it goes on.
    ended: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl SyncMeter {
    pub(super) fn new(began: UnixMs) -> Self {
        Self { began, ended: AtomicU64::new(0), records: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    pub(super) fn add(&self, records: usize, bytes: usize) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn end(&self, now: UnixMs) {
        self.ended.store(now.0.max(1), Ordering::Release);
    }
}

impl Replica {
    /// How far this node has come in catching up since its start.
    #[must_use]
    pub fn sync_progress(&self) -> SyncProgress {
        let SyncMeter { began, ended, records, bytes } = &self.sync_meter;
        let ended = ended.load(Ordering::Acquire);
        SyncProgress {
            slots_total: self.syncing.count_at_start(),
            slots_left: self.syncing.count(),
            records_fetched: records.load(Ordering::Relaxed),
            bytes_fetched: bytes.load(Ordering::Relaxed),
            began: *began,
            ended: (ended > 0).then_some(UnixMs(ended)),
        }
    }
}
