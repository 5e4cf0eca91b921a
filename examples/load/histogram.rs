//! Times of many requests in little room: buckets that grow with the time, each at most 3 % wide.

use std::time::Duration;

/// Buckets of one doubling of the time.
const PARTS: u64 = 32;
const PARTS_BITS: u32 = PARTS.trailing_zeros();
/// Room for more than an hour in nanoseconds.
const BUCKETS: usize = 40 << PARTS_BITS;

/// How many requests took how long.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum_ns: u64,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, sum_ns: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// Notes that `requests` of them took `time` each.
    pub(crate) fn note(&mut self, time: Duration, requests: u64) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(ns)] += requests;
        self.count += requests;
        self.sum_ns += ns * requests;
        self.max_ns = self.max_ns.max(ns);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn mean_us(&self) -> f64 {
        us(self.sum_ns / self.count.max(1))
    }

    /// The time within which this part of the requests was answered, at the upper end of its bucket.
    pub(crate) fn quantile_us(&self, part: f64) -> f64 {
        let wanted = part * super::count(self.count);
        let mut sum = 0;
        let found = self.buckets.iter().position(|&requests| {
            sum += requests;
            requests > 0 && super::count(sum) >= wanted
        });
        us(found.map_or(0, upper_ns).min(self.max_ns))
    }

    /// The buckets that hold anything: the longest time in microseconds, and the requests.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let all = self.buckets.iter().enumerate();
        all.filter(|(_, requests)| **requests > 0).map(|(number, &requests)| (us(upper_ns(number)), requests))
    }
}

fn bucket(ns: u64) -> usize {
    let index = if ns < PARTS {
        ns
    } else {
        let doublings = ns.ilog2() - PARTS_BITS;
        u64::from(doublings) * PARTS + (ns >> doublings)
    };
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The longest time that falls into a bucket.
fn upper_ns(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let doublings = bucket / PARTS - 1;
    ((bucket - doublings * PARTS + 1) << doublings) - 1
}

fn us(ns: u64) -> f64 {
    super::count(ns) / 1000.0
}
