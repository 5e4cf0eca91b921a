//! The wall clock, read here and nowhere else.
//!
//! Whatever decides takes `now` as an argument; this file is where `now` comes from. A test sets the clock by
//! building it over tokio's (pausable) time, with a skew of its own per node.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// So long the machine's clock is not read again by who has read the monotonic one: so late it is seen that somebody has set it.
const REREAD_AFTER: Duration = Duration::from_millis(10);

thread_local! {
    /// When this thread last read the machine's clock for [`WallClock::now_at`], and what it showed, in microseconds.
    static LAST_READ: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
}

/// A point in time: milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// This point moved into the future by `duration`, saturating at the end of time.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where the wall clock's reading comes from.
#[derive(Clone, Debug)]
pub enum WallClock {
    /// The machine's clock.
    System,
    /// `epoch` at the instant `origin`, advancing with tokio's time: a simulated node's clock, skewed at will.
    Simulated {
        /// The reading at `origin`.
        epoch: UnixMs,
        /// The instant at which the clock showed `epoch`.
        origin: Instant,
    },
}

impl WallClock {
    /// The present reading in microseconds, for those who look closely.
    #[must_use]
    #[allow(clippy::disallowed_methods)] // the one place
    pub fn now_micros(&self) -> u64 {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        match self {
            Self::System => micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Self::Simulated { epoch, origin } => epoch.0.saturating_mul(1000).saturating_add(micros(origin.elapsed())),
        }
    }

    /// The present reading. A machine's clock set before 1970 reads as 0.
    #[must_use]
    #[allow(clippy::disallowed_methods)] // the one place
    pub fn now(&self) -> UnixMs {
        match self {
            Self::System => UnixMs(0).after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Self::Simulated { epoch, origin } => epoch.after(origin.elapsed()),
        }
    }

    /// The reading at `instant`, which is the present: for who asks at each turn and has read the monotonic clock, as reading
    /// the other one too would take longer than much of the turn.
    #[must_use]
    #[inline]
    pub fn now_at(&self, instant: Instant) -> UnixMs {
        match self {
            Self::System => UnixMs(self.micros_at(instant) / 1000),
            Self::Simulated { epoch, origin } => epoch.after(instant.saturating_duration_since(*origin)),
        }
    }

    #[inline]
    fn micros_at(&self, instant: Instant) -> u64 {
        let last = LAST_READ.get().map(|(at, micros)| (instant.saturating_duration_since(at), micros));
        match last {
            Some((since, micros)) if since < REREAD_AFTER => micros + u64::from(since.subsec_micros()),
            _ => self.reread_micros(),
        }
    }

    #[cold]
    fn reread_micros(&self) -> u64 {
        // Both at once: what lies between them is an error until the next time.
        let (micros, at) = (self.now_micros(), Instant::now());
        LAST_READ.set(Some((at, micros)));
        micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_clock_goes_on_between_two_readings_of_it() {
        let wall = WallClock::System;
        let long_ago = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        let read = wall.micros_at(long_ago);
        let (first, _) = LAST_READ.get().expect("it was read");
        assert!(first >= long_ago + Duration::from_millis(1), "who asks late gets no clock that is ahead");
        for millis in [0, 1, 9] {
            assert_eq!(wall.micros_at(first + Duration::from_millis(millis)), read + millis * 1000);
        }
        let now = Instant::now();
        assert!(wall.now_at(now).0.abs_diff(wall.now().0) <= 20);
        // Nobody can have read it then: it is read anew.
        let read_again = wall.micros_at(first + REREAD_AFTER);
        assert!(
            read_again.abs_diff(wall.now_micros()) < 1_000_000 && LAST_READ.get().is_some_and(|(at, _)| at > first)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_is_read_at_the_instant() {
        let origin = Instant::now();
        let wall = WallClock::Simulated { epoch: UnixMs(5000), origin };
        tokio::time::advance(Duration::from_millis(7)).await;
        assert_eq!((wall.now_at(Instant::now()), wall.now()), (UnixMs(5007), UnixMs(5007)));
        assert_eq!(wall.now_at(origin + Duration::from_millis(3)), UnixMs(5003));
    }
}
