//! When to warn of a peer's clock: in time, and once.
//!
//! Versions of a clock that is too far ahead are refused, so whoever runs the nodes must hear of it well before, and the
//! log must not fill up while a clock wanders about the line.

/// Whether a warning stands for a clock that is off by `offset_ms`, if it did before. It is raised beyond half of the
/// limit, and taken back below three eighths of it.
pub(super) fn stands(stood: bool, offset_ms: i64, limit_ms: u64) -> bool {
    let off = u128::from(offset_ms.unsigned_abs());
    let limit = u128::from(limit_ms);
    if stood { 8 * off >= 3 * limit } else { 2 * off > limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT_MS: u64 = 60_000;

    #[test]
    fn a_warning_is_raised_beyond_half_of_the_limit_either_way() {
        for (offset_ms, expected) in
            [(0, false), (30_000, false), (30_001, true), (-30_000, false), (-30_001, true), (i64::MIN, true)]
        {
            assert_eq!(stands(false, offset_ms, LIMIT_MS), expected, "{offset_ms}");
        }
        assert!(!stands(false, i64::MAX, u64::MAX));
    }

    #[test]
    fn a_clock_that_wanders_about_the_line_is_warned_of_once() {
        let mut stood = false;
        let mut changes = 0;
        for offset_ms in [29_000, 31_000, 29_900, 30_100, 23_000, 30_500, 22_000, 29_000, 0] {
            let now = stands(stood, offset_ms, LIMIT_MS);
            changes += u32::from(now != stood);
            stood = now;
        }
        assert_eq!((changes, stood), (2, false), "raised once, taken back once");
    }
}
