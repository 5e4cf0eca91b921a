//! What it took to keep the replicas equal: counters for INFO and tests.
//!
//! Each repair is counted once, by the node that began it: a hint and a read repair by the coordinator whose copy was
//! accepted, anti-entropy by the node that fetched what it lacked.

use std::sync::atomic::AtomicU64;

/// Counts since this node's start.
#[derive(Debug, Default)]
pub struct Convergence {
    /// Writes that a replica had missed and that were delivered to it later.
    pub repairs_by_hint: AtomicU64,
    /// Records that a read found missing or old at a replica and that were written back to it.
    pub repairs_by_read: AtomicU64,
    /// Records that comparing digests brought to this node.
    pub repairs_by_anti_entropy: AtomicU64,
    /// Answers of replicas to reads that were older than the newest answer to the same read.
    pub stale_reads: AtomicU64,
    /// Writes of this node's coordinator that missed their quorum and were taken back.
    pub reverted_writes: AtomicU64,
}
