//! How fast a node copies from its peers: catching up and anti-entropy must not starve clients.

use std::time::Duration;

/// Bytes per second: a million small records in well under a minute, and a fraction of what a link carries.
const BYTES_PER_SECOND: u32 = 32 << 20;
/// Records per second.
const RECORDS_PER_SECOND: u32 = 100_000;
/// How much may be taken at once after a rest.
const BURST: Duration = Duration::from_millis(100);

/// A budget that fills with time. Points in time are given as the time since some beginning.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Until when all is spent.
    spent_until: Duration,
}

impl Pace {
    /// Spends for `records` of `bytes` in all, and tells until when to rest.
    pub(super) fn spend(&mut self, records: usize, bytes: usize, now: Duration) -> Option<Duration> {
        let price = cost(records, RECORDS_PER_SECOND).max(cost(bytes, BYTES_PER_SECOND));
        self.spent_until = self.spent_until.max(now.saturating_sub(BURST)) + price;
        (self.spent_until > now).then_some(self.spent_until)
    }
}

fn cost(count: usize, per_second: u32) -> Duration {
    Duration::from_secs(count as u64) / per_second
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn small_amounts_after_a_rest_are_free() {
        let mut pace = Pace::default();
        assert_eq!(pace.spend(1000, 10_000, 10 * SECOND), None);
        assert_eq!(pace.spend(1000, 10_000, 11 * SECOND), None);
    }

    #[test]
    fn in_the_long_run_nobody_is_faster_than_allowed() {
        let (mut pace, mut now) = (Pace::default(), 10 * SECOND);
        for _ in 0..1000 {
            now = pace.spend(1000, 0, now).unwrap_or(now);
        }
        assert_eq!(now.as_secs(), 19, "a million records, but for a burst");
        for _ in 0..64 {
            now = pace.spend(1, 1 << 20, now).unwrap_or(now);
        }
        assert_eq!(now.as_secs(), 21, "64 MiB");
    }
}
