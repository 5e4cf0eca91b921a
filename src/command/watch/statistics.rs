//! Calls and times of every command, in memory that all threads share; sessions add to it once per turn.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::Histogram;
use crate::command::spec::CommandId;
use crate::command::table;

/// The counters of one command. Threads that serve different commands do not share a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Row {
    calls: AtomicU64,
    nanos: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    /// Made by the first call: many commands are never called.
    histogram: OnceLock<Histogram>,
}

impl Row {
    /// Notes `count` calls that took `nanos` each.
    pub(crate) fn add(&self, count: u64, nanos: u64) {
        self.calls.fetch_add(count, Ordering::Relaxed);
        self.nanos.fetch_add(nanos.saturating_mul(count), Ordering::Relaxed);
        self.histogram.get_or_init(Histogram::default).add(nanos, count);
    }

    pub(super) fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls that were served, whatever they were answered.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// What all calls took, in microseconds.
    pub(crate) fn micros(&self) -> u64 {
        self.nanos.load(Ordering::Relaxed) / 1000
    }

    /// Calls that were refused before they began.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Calls that were answered with an error.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How long the calls took, if there were any.
    pub(crate) fn histogram(&self) -> Option<&Histogram> {
        self.histogram.get().filter(|_| self.calls() > 0)
    }

    fn reset(&self) {
        for counter in [&self.calls, &self.nanos, &self.rejected, &self.failed] {
            counter.store(0, Ordering::Relaxed);
        }
        if let Some(histogram) = self.histogram.get() {
            histogram.reset();
        }
    }
}

/// A row for each command and subcommand, those between nodes included.
#[derive(Debug)]
pub(crate) struct CommandStatistics(Box<[Row]>);

impl Default for CommandStatistics {
    fn default() -> Self {
        let last = table::everything().map(|spec| spec.id as usize).max().unwrap_or(0);
        Self((0..=last).map(|_| Row::default()).collect())
    }
}

impl CommandStatistics {
    /// The counters of `command`.
    pub(crate) fn row(&self, command: CommandId) -> &Row {
        &self.0[command as usize]
    }

    pub(super) fn reset(&self) {
        for row in &self.0 {
            row.reset();
        }
    }
}
