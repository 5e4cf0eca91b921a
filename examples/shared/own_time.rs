//! How busy the client itself is: one that needs a whole core measures itself.

use std::fs;

/// Hundredths of a second of processor time that this process has used.
pub(crate) fn own_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}
