//! The wall clock, read here and nowhere else.
//!
//! Whatever decides takes `now` as an argument; this file is where `now` comes from. A test sets the clock by
//! building it over tokio's (pausable) time, with a skew of its own per node.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

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
}
