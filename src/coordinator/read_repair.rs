//! Background read repair: with R = 1 nobody notices that the nearest copy is old, so a share of reads is compared.
//!
//! A read is answered first, and drawn afterwards; what is drawn waits in a short list, and what the list has no room
//! for is forgotten. One task reads those keys from all replicas within reach, with the rules of a read whose quorums
//! are all of them: the newest record is on each before that read ends. Its outcome is thrown away.
//!
//! The draw reads no counter that threads would share: it spreads the slot and the millisecond of the read evenly.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::flight::Flight;
use super::hurry::HurryTimer;
use super::journey::Passenger;
use super::read::{Disagreement, ReadProgress};
use super::{ConsistentHashingKvStore, Outcome};
use crate::ring::Slot;
use crate::time::UnixMs;

/// Keys that may wait.
const WAITING_MAX: usize = 64;
/// A longer key is not compared.
const KEY_BYTES_MAX: usize = 64 << 10;
/// Keys that are compared at a time, if their values are small.
const AT_ONCE: usize = 8;
/// Values larger than this together are compared one at a time.
const SMALL_BYTES: usize = 1 << 20;
/// At least so long between two comparisons.
const PAUSE: Duration = Duration::from_millis(1);
/// Bytes of values that are compared in a second.
const BYTES_PER_SECOND: u64 = 16 << 20;
/// Out of so many reads a share is drawn.
const DRAWS: u64 = 1 << 32;

/// Which reads to compare.
#[derive(Debug)]
pub(super) struct ReadRepair {
    /// So many of [`DRAWS`] reads are drawn.
    drawn: u64,
    waiting: Mutex<VecDeque<(Slot, Bytes)>>,
    /// Tells the task that there is something to compare.
    added: Notify,
}

impl ReadRepair {
    /// Draws this share of reads.
    pub(super) fn new(chance: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^32")]
        #[expect(clippy::cast_precision_loss, reason = "a power of two is exact")]
        let drawn = (chance.clamp(0.0, 1.0) * DRAWS as f64) as u64;
        Self { drawn, waiting: Mutex::default(), added: Notify::new() }
    }

    /// Notes that a read was answered.
    #[inline]
    pub(super) fn note(&self, slot: Slot, key: &[u8], now: UnixMs) {
        if draw(slot, now) < self.drawn {
            self.add(slot, key);
        }
    }

    #[cold]
    fn add(&self, slot: Slot, key: &[u8]) {
        let mut waiting = self.waiting.lock();
        let is_known = || waiting.iter().any(|(_, other)| other == key);
        if key.len() > KEY_BYTES_MAX || waiting.len() >= WAITING_MAX || is_known() {
            return;
        }
        waiting.push_back((slot, Bytes::copy_from_slice(key)));
        drop(waiting);
        self.added.notify_one();
    }

    /// Waits for keys to compare, and takes at most so many.
    async fn take(&self, count: usize) -> Vec<(Slot, Bytes)> {
        loop {
            let taken: Vec<_> = {
                let mut waiting = self.waiting.lock();
                let count = count.min(waiting.len());
                waiting.drain(..count).collect()
            };
            if !taken.is_empty() {
                return taken;
            }
            self.added.notified().await;
        }
    }
}

/// A number below [`DRAWS`]: even over the milliseconds of a slot, and over the slots of a millisecond.
#[inline]
fn draw(slot: Slot, now: UnixMs) -> u64 {
    const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;
    (now.0 ^ u64::from(slot.number()) << 40).wrapping_mul(GOLDEN_RATIO) >> 32
}

/// How many keys to compare next, and how long to wait before, after values of so many bytes.
fn pace(bytes: usize) -> (usize, Duration) {
    let paced = Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / BYTES_PER_SECOND);
    (if bytes > SMALL_BYTES { 1 } else { AT_ONCE }, paced.max(PAUSE))
}

impl ConsistentHashingKvStore {
    /// Notes what a read that went to peers found out.
    pub(super) fn note_read(&self, progress: &ReadProgress, slot: Slot, key: &[u8], now: UnixMs) {
        let Disagreement { stale, repaired } = progress.disagreement();
        if stale > 0 {
            self.replica.convergence.stale_reads.fetch_add(stale, Ordering::Relaxed);
            self.replica.convergence.repairs_by_read.fetch_add(repaired, Ordering::Relaxed);
        }
        if progress.is_of_one() {
            self.read_repair.note(slot, key, now);
        }
    }

    /// Compares what was drawn, and repairs it, until it is dropped.
    pub async fn repair_reads(&self) {
        let mut at_once = AT_ONCE;
        loop {
            let keys = self.read_repair.take(at_once).await;
            let comparisons =
                keys.into_iter().filter_map(|(slot, key)| Passenger::comparison(self, slot, key)).collect();
            let flight = Flight::carry(self, comparisons, self.replica.wall.now());
            let outcomes = flight.settle(&mut HurryTimer::default()).await;
            let pause;
            (at_once, pause) = pace(outcomes.iter().map(value_bytes).sum());
            tokio::time::sleep(pause).await;
        }
    }
}

fn value_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Read(Some(found)) => found.value.as_ref().map_or(0, Bytes::len),
        Outcome::Read(None) | Outcome::Written(_) | Outcome::Failed(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_drawn(chance: f64, reads: &[(Slot, UnixMs)]) -> f64 {
        let repair = ReadRepair::new(chance);
        let count = |reads: usize| f64::from(u32::try_from(reads).unwrap());
        count(reads.iter().filter(|(slot, now)| draw(*slot, *now) < repair.drawn).count()) / count(reads.len())
    }

    #[test]
    fn the_share_is_drawn_over_slots_and_over_time() {
        let now = UnixMs(1_700_000_000_123);
        let slots: Vec<_> = Slot::all().map(|slot| (slot, now)).collect();
        let times: Vec<_> = (0..100_000).map(|ms| (Slot::FIRST, UnixMs(now.0 + ms))).collect();
        for (chance, margin) in [(0.0, 0.0), (0.01, 0.002), (0.5, 0.01), (1.0, 0.0)] {
            for reads in [&slots, &times] {
                let drawn = share_drawn(chance, reads);
                assert!((drawn - chance).abs() <= margin, "{drawn} for {chance} of {} reads", reads.len());
            }
        }
    }

    #[test]
    fn what_waits_is_bounded_and_each_key_waits_once() {
        let repair = ReadRepair::new(1.0);
        for number in 0..2 * WAITING_MAX {
            for _ in 0..2 {
                let key = number.to_string();
                repair.note(Slot::of_key(key.as_bytes()), key.as_bytes(), UnixMs(1));
            }
        }
        assert_eq!(repair.waiting.lock().len(), WAITING_MAX);
    }

    #[test]
    fn large_values_are_compared_singly_and_slower() {
        assert_eq!(pace(0), (AT_ONCE, PAUSE));
        assert_eq!(pace(1 << 20), (AT_ONCE, Duration::from_micros(62_500)));
        assert_eq!(pace(32 << 20), (1, Duration::from_secs(2)));
    }
}
