//! How long something took, as counts in ranges that grow with the time: no range is wider than 1/128 of its times.
//!
//! Ranges and answers are those of the histograms in Redis (HDR histograms of two digits), so that tools read the same
//! bounds from both.

use std::sync::atomic::{AtomicU64, Ordering};

/// Ranges for each doubling.
const STEPS: u64 = 128;
/// Times below this have a range each.
const EXACT: u64 = 2 * STEPS;
/// Longer times count as this long: about a minute, in nanoseconds.
const NANOS_MAX: u64 = (1 << 36) - 1;
const RANGES: usize = range_of(NANOS_MAX) + 1;
/// The upper bound, in nanoseconds, of the first step that [`Histogram::steps`] tells of.
const FIRST_STEP: u64 = 1024;

/// Counts by range; many threads add to them.
#[derive(Debug)]
pub(crate) struct Histogram(Box<[AtomicU64]>);

impl Default for Histogram {
    fn default() -> Self {
        Self((0..RANGES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Histogram {
    /// Notes that something took `nanos`, `count` times.
    pub(crate) fn add(&self, nanos: u64, count: u64) {
        self.0[range_of(nanos.min(NANOS_MAX))].fetch_add(count, Ordering::Relaxed);
    }

    /// Starts again.
    pub(crate) fn reset(&self) {
        for count in &self.0 {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// How many times were noted.
    pub(crate) fn total(&self) -> u64 {
        self.counts().map(|(_, count)| count).sum()
    }

    /// The nanoseconds that `percent` of all times do not exceed, rounded up to the end of a range; 0 if there are none.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        let wanted = ((percent / 100.0 * self.total() as f64 + 0.5) as u64).max(1);
        let mut seen = 0;
        let reached = self.counts().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        reached.map_or(0, |(range, _)| end_of(range))
    }

    /// Upper bounds in microseconds, each about twice the one before, and how many times do not exceed them; bounds
    /// that add nothing are left out.
    pub(crate) fn steps(&self) -> Vec<(u64, u64)> {
        let mut steps = Vec::new();
        let (mut bound, mut seen, mut told) = (step_end(FIRST_STEP), 0, 0);
        for (range, count) in self.counts().filter(|(_, count)| *count > 0) {
            while end_of(range) > bound {
                if seen > told {
                    steps.push((bound / 1000, seen));
                    told = seen;
                }
                bound = step_end((bound + 1) / (STEPS + 1) * STEPS * 2);
            }
            seen += count;
        }
        if seen > told {
            steps.push((bound / 1000, seen));
        }
        steps
    }

    fn counts(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).enumerate()
    }
}

/// The range that `nanos` belongs to.
#[allow(clippy::cast_possible_truncation, reason = "there are a few thousand ranges")]
const fn range_of(nanos: u64) -> usize {
    if nanos < EXACT {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - STEPS.ilog2();
    (STEPS * shift as u64 + (nanos >> shift)) as usize
}

/// The longest time of a range.
const fn end_of(range: usize) -> u64 {
    let range = range as u64;
    if range < EXACT {
        return range;
    }
    let shift = range / STEPS - 1;
    ((range - STEPS * shift + 1) << shift) - 1
}

/// The longest time of the range that begins at `nanos`, a power of two.
const fn step_end(nanos: u64) -> u64 {
    nanos + nanos / STEPS - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: &[u64]) -> Histogram {
        let histogram = Histogram::default();
        for micros in micros {
            histogram.add(micros * 1000, 1);
        }
        histogram
    }

    #[test]
    fn ranges_follow_each_other_without_a_gap() {
        for range in 0..RANGES - 1 {
            assert_eq!((range_of(end_of(range)), range_of(end_of(range) + 1)), (range, range + 1));
        }
        assert_eq!(end_of(RANGES - 1), NANOS_MAX);
    }

    #[test]
    fn bounds_are_those_of_redis() {
        // Read off LATENCY HISTOGRAM and INFO latencystats of redis-server 7.0.15.
        let histogram = of(&[1, 2, 4, 8, 16, 33, 50, 100, 200, 400, 1000, 2000, 4000, 8000, 16000, 33000, 200_000]);
        let bounds: Vec<u64> = histogram.steps().into_iter().map(|(bound, _)| bound).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056, 2113, 4227, 8454, 16908, 33816, 270_532]);
        for (micros, shown) in [(4, 4_015), (10, 10_047), (5, 5_023), (60, 60_159)] {
            assert_eq!(of(&[micros]).percentile(50.0), shown);
        }
    }

    #[test]
    fn steps_are_cumulative_and_tell_only_what_is_new() {
        assert_eq!(of(&[3, 5, 7, 9, 9, 12]).steps(), [(4, 1), (8, 3), (16, 6)]);
        assert_eq!(of(&[2, 300]).steps(), [(2, 1), (528, 2)]);
        assert_eq!(of(&[]).steps(), []);
    }

    #[test]
    fn percentiles_are_the_ends_of_ranges() {
        let histogram = Histogram::default();
        histogram.add(1000, 98);
        histogram.add(2000, 1);
        histogram.add(u64::MAX, 1);
        assert_eq!(
            [50.0, 98.0, 99.0, 99.9].map(|percent| histogram.percentile(percent)),
            [1003, 1003, 2007, NANOS_MAX]
        );
        assert_eq!(histogram.total(), 100);
        histogram.reset();
        assert_eq!((histogram.total(), histogram.percentile(50.0)), (0, 0));
    }
}
