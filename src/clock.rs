//! The hybrid logical clock of one node.
//!
//! It follows the wall clock, never runs backwards, and is pushed forward by every version that the node sees, so
//! what a node writes next outranks all that it has seen, however its wall clock is set. A version too far ahead of
//! the wall clock is refused instead: one broken clock must not drag the whole cluster into the future.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::UnixMs;
use crate::version::Hlc;

/// A version that lies further ahead of this node's wall clock than `max_clock_drift_ms` allows. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub struct ClockDrift {
    /// The wall-clock part of the refused version.
    pub theirs: UnixMs,
    /// This node's wall clock.
    pub ours: UnixMs,
    /// The limit, in milliseconds.
    pub limit_ms: u64,
}

impl fmt::Display for ClockDrift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ahead = self.theirs.0.saturating_sub(self.ours.0);
        write!(
            f,
            "the write's clock {} is {ahead} ms ahead of this node's clock {}, more than max_clock_drift_ms {}; set the clocks right",
            self.theirs, self.ours, self.limit_ms
        )
    }
}

/// A node's hybrid logical clock; shared by all its sessions.
#[derive(Debug)]
pub struct HybridClock {
    /// The largest reading ever issued or observed. Only grows; a reading at or below it is never issued again.
    last: AtomicU64,
    max_drift_ms: u64,
}

impl HybridClock {
    /// A clock that has seen nothing yet and follows others at most `max_drift_ms` ahead of the wall clock.
    #[must_use]
    pub fn new(max_drift_ms: u64) -> Self {
        Self { last: AtomicU64::new(0), max_drift_ms }
    }

    /// A reading larger than every one issued or observed before and not behind the wall clock `now`.
    pub fn tick(&self, now: UnixMs) -> Hlc {
        self.tick_above(Hlc::default(), now)
    }

    /// A reading larger than `seen` too, which this node's own store holds and so accepted within the limit.
    pub fn tick_above(&self, seen: Hlc, now: UnixMs) -> Hlc {
        let floor = seen.next().max(Hlc::first_of(now));
        let above = |last| Hlc(last).next().max(floor);
        let step = |last| Some(above(last).0);
        let last = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).unwrap_or_else(|last| last);
        above(last)
    }

    /// Moves the clock to at least `seen`.
    ///
    /// # Errors
    /// [`ClockDrift`] if `seen` is too far ahead of `now`; the clock stays.
    pub fn observe(&self, seen: Hlc, now: UnixMs) -> Result<(), ClockDrift> {
        self.check(seen, now)?;
        if self.last.load(Ordering::Acquire) < seen.0 {
            self.last.fetch_max(seen.0, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Whether `seen` is within the limit, without moving the clock.
    ///
    /// # Errors
    /// [`ClockDrift`] if it is not.
    pub fn check(&self, seen: Hlc, now: UnixMs) -> Result<(), ClockDrift> {
        if seen.wall().0 > now.0.saturating_add(self.max_drift_ms) {
            return Err(ClockDrift { theirs: seen.wall(), ours: now, limit_ms: self.max_drift_ms });
        }
        Ok(())
    }

    /// The largest reading issued or observed so far.
    #[must_use]
    pub fn last(&self) -> Hlc {
        Hlc(self.last.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_grow_while_the_wall_clock_stands_or_steps_back() {
        let clock = HybridClock::new(1000);
        let readings = [5, 5, 4, 6, 1].map(|ms| clock.tick(UnixMs(ms)));
        assert!(readings.is_sorted_by(|a, b| a < b), "{readings:?}");
        assert_eq!(readings[3].wall(), UnixMs(6));
    }

    #[test]
    fn next_reading_outranks_whatever_was_observed() {
        let clock = HybridClock::new(1000);
        let ahead = Hlc::first_of(UnixMs(900));
        clock.observe(ahead, UnixMs(0)).unwrap();
        assert!(clock.tick(UnixMs(1)) > ahead);
    }

    #[test]
    fn a_reading_above_a_version_outranks_that_and_all_that_was_issued() {
        let clock = HybridClock::new(1000);
        let first = clock.tick(UnixMs(500));
        let behind = clock.tick_above(Hlc::first_of(UnixMs(3)), UnixMs(500));
        let ahead = clock.tick_above(Hlc::first_of(UnixMs(900)), UnixMs(500));
        assert_eq!([behind, ahead], [first.next(), Hlc::first_of(UnixMs(900)).next()]);
        assert_eq!(clock.last(), ahead);
    }

    #[test]
    fn a_clock_too_far_ahead_is_refused_with_both_clocks_named_and_moves_nothing() {
        let clock = HybridClock::new(1000);
        let refused = clock.observe(Hlc::first_of(UnixMs(61_000)), UnixMs(60_000));
        assert_eq!(refused, Ok(()), "at the limit it is still taken");
        let error = clock.observe(Hlc::first_of(UnixMs(62_001)), UnixMs(61_000)).unwrap_err();
        assert!(error.to_string().contains("62001") && error.to_string().contains("61000"), "{error}");
        assert_eq!(clock.last(), Hlc::first_of(UnixMs(61_000)));
    }

    #[test]
    fn observing_the_past_changes_nothing() {
        let clock = HybridClock::new(1000);
        let reading = clock.tick(UnixMs(500));
        clock.observe(Hlc::first_of(UnixMs(3)), UnixMs(500)).unwrap();
        assert_eq!(clock.last(), reading);
    }
}
