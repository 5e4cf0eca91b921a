//! The longest times of a task, with the moments at which they began: so that those of several processes can be laid side by
//! side.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many are kept.
const KEPT: usize = 32;

/// One of them, with other nanoseconds that were noted beside it.
struct Entry<const NOTES: usize> {
    began: Instant,
    took: Duration,
    notes: [u64; NOTES],
}

/// The longest that were noted.
pub(crate) struct Longest<const NOTES: usize> {
    names: [&'static str; NOTES],
    entries: Vec<Entry<NOTES>>,
}

impl<const NOTES: usize> Longest<NOTES> {
    /// `names` is what the notes are called.
    pub(crate) fn new(names: [&'static str; NOTES]) -> Self {
        Self { names, entries: Vec::with_capacity(KEPT + 1) }
    }

    pub(crate) fn add(&mut self, began: Instant, took: Duration, notes: impl FnOnce() -> [u64; NOTES]) {
        if self.entries.len() == KEPT && self.entries[KEPT - 1].took >= took {
            return;
        }
        let at = self.entries.partition_point(|entry| entry.took >= took);
        self.entries.insert(at, Entry { began, took, notes: notes() });
        self.entries.truncate(KEPT);
    }

    /// Prints them, the longest first: when each began by the wall clock, how long it took, and the notes.
    pub(crate) fn print(&self) {
        let (now, wall) = (Instant::now(), wall());
        for (rank, Entry { began, took, notes }) in self.entries.iter().enumerate() {
            println!("longest{rank}_began {}", wall.saturating_sub(now - *began).as_micros());
            println!("longest{rank}_took {}", took.as_micros());
            for (name, nanos) in self.names.iter().zip(notes) {
                println!("longest{rank}_{name} {}", nanos / 1000);
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "other processes have no other clock in common with this one")]
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
