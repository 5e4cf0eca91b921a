//! What the node does per second: the mean over the last samples, which are taken ten times a second as in Redis.

use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use crate::command::server::Statistics;

/// Samples that the mean is taken over.
const SAMPLES: usize = 16;

/// The rates of all that is sampled.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<Sampled>);

#[derive(Debug, Default)]
struct Sampled {
    commands: Rate,
    input_bytes: Rate,
    output_bytes: Rate,
}

impl Rates {
    /// How often [`Rates::sample`] is to be called.
    pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

    /// Notes what the counters show, `elapsed` after the last time.
    pub(crate) fn sample(&self, statistics: &Statistics, elapsed: Duration) {
        let mut sampled = self.0.lock();
        sampled.commands.sample(statistics.commands.load(Ordering::Relaxed), elapsed);
        sampled.input_bytes.sample(statistics.input_bytes.load(Ordering::Relaxed), elapsed);
        sampled.output_bytes.sample(statistics.output_bytes.load(Ordering::Relaxed), elapsed);
    }

    /// Commands, bytes received and bytes sent, per second.
    pub(crate) fn per_second(&self) -> [u64; 3] {
        let sampled = self.0.lock();
        [&sampled.commands, &sampled.input_bytes, &sampled.output_bytes].map(Rate::per_second)
    }

    /// Forgets all samples.
    pub(super) fn reset(&self) {
        *self.0.lock() = Sampled::default();
    }
}

/// The rate of one counter.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    last: u64,
    samples: [u64; SAMPLES],
    next: usize,
}

impl Rate {
    /// Notes what the counter shows, `elapsed` after the last time. A counter that went back has started again.
    pub(crate) fn sample(&mut self, counter: u64, elapsed: Duration) {
        let grown = u128::from(counter.saturating_sub(self.last));
        let per_second = (grown * 1000).checked_div(elapsed.as_millis()).unwrap_or(0);
        self.samples[self.next] = u64::try_from(per_second).unwrap_or(u64::MAX);
        self.next = (self.next + 1) % SAMPLES;
        self.last = counter;
    }

    /// The mean of the samples.
    pub(crate) fn per_second(&self) -> u64 {
        self.samples.iter().fold(0, |sum: u64, sample| sum.saturating_add(*sample)) / SAMPLES as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_mean_over_the_last_samples() {
        let mut rate = Rate::default();
        let mut counter = 0;
        for _ in 0..SAMPLES {
            counter += 160;
            rate.sample(counter, Duration::from_millis(100));
        }
        assert_eq!(rate.per_second(), 1600);
        rate.sample(counter, Duration::from_millis(100));
        assert_eq!(rate.per_second(), 1500);
    }

    #[test]
    fn a_counter_that_starts_again_and_a_clock_that_stands_add_nothing() {
        let mut rate = Rate::default();
        rate.sample(1000, Duration::from_secs(1));
        rate.sample(10, Duration::from_secs(1));
        rate.sample(5000, Duration::ZERO);
        assert_eq!(rate.per_second(), 1000 / SAMPLES as u64);
    }
}
