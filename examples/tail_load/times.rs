//! How long things took.

use std::time::Duration;

/// The shares of which a quantile is told, each under its name.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("p9999", 0.9999)];
/// Bounds in milliseconds, above which times are counted.
const BOUNDS_MS: [u32; 4] = [1, 2, 5, 10];

/// Every time that was noted, in nanoseconds.
#[derive(Default)]
pub(crate) struct Times(Vec<u32>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(u32::try_from(time.as_nanos()).unwrap_or(u32::MAX));
    }

    /// Adds those of somebody else.
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Prints their number, their quantiles, and how many are above which bound.
    pub(crate) fn print(mut self) {
        self.0.sort_unstable();
        println!("count {}", self.0.len());
        let Some(last) = self.0.len().checked_sub(1) else { return };
        for (name, share) in QUANTILES {
            println!("{name} {:.1}", micros(self.0[rank(share, last)]));
        }
        println!("max {:.1}", micros(self.0[last]));
        for bound in BOUNDS_MS {
            let above = self.0.len() - self.0.partition_point(|&time| time <= bound * 1_000_000);
            println!("above_{bound}ms {above}");
        }
    }
}

fn micros(nanos: u32) -> f64 {
    f64::from(nanos) / 1e3
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank among some millions of times"
)]
fn rank(share: f64, last: usize) -> usize {
    ((last as f64 * share).ceil() as usize).min(last)
}
