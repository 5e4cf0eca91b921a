//! How many reads of other nodes' keys a session may have in flight.
//!
//! How large the answers will be nobody knows before they are here, and all of them are in memory at once. A thousand
//! reads of a value of a megabyte would be a gigabyte; asked for one by one, small values would take a round trip each.
//! So a session begins with some, doubles them as long as the answers are small, and otherwise goes by their mean.

/// Bytes of answers that one turn should come to at most.
const ANSWER_BYTES: usize = 4 << 20;
/// Reads that a session launches in its first turn.
const READS_FIRST: usize = 16;

/// The pace of one session.
#[derive(Debug)]
pub(super) struct ReadPace {
    reads_max: usize,
}

impl Default for ReadPace {
    fn default() -> Self {
        Self { reads_max: READS_FIRST }
    }
}

impl ReadPace {
    /// How many reads the next turn may launch: at least one.
    pub(super) fn reads_max(&self) -> usize {
        self.reads_max
    }

    /// Learns that a turn's `reads` were answered with `bytes` of values; `reads_limit` is never exceeded.
    pub(super) fn learn(&mut self, reads: usize, bytes: usize, reads_limit: usize) {
        if reads == 0 {
            return;
        }
        let fitting = ANSWER_BYTES / (bytes / reads).max(1);
        self.reads_max = match fitting < reads {
            true => fitting.max(1),
            // The turn shows nothing about more reads than it had, but twice as many may be tried.
            false => self.reads_max.max((2 * reads).min(fitting)),
        };
        self.reads_max = self.reads_max.min(reads_limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1024;

    fn after(turns: &[(usize, usize)]) -> usize {
        let mut pace = ReadPace::default();
        for &(reads, bytes) in turns {
            pace.learn(reads, bytes, LIMIT);
        }
        pace.reads_max()
    }

    #[test]
    fn small_answers_double_the_pace_up_to_the_limit() {
        assert_eq!(after(&[]), READS_FIRST);
        assert_eq!(after(&[(64, 0)]), 128);
        assert_eq!(after(&[(64, 6400), (128, 12_800), (256, 0), (512, 0), (1024, 0)]), LIMIT);
        assert_eq!(after(&[(1, 64)]), READS_FIRST, "a short turn shows nothing about a long one");
    }

    #[test]
    fn large_answers_set_the_pace_by_their_mean() {
        assert_eq!(after(&[(64, 64 << 20)]), 4);
        assert_eq!(after(&[(64, 64 << 20), (4, 4 << 20)]), 4);
        assert_eq!(after(&[(64, 64 << 30)]), 1);
        assert_eq!(after(&[(1, 64 << 20)]), 1);
    }

    #[test]
    fn the_pace_recovers_when_answers_are_small_again() {
        assert_eq!(after(&[(64, 64 << 20), (4, 40), (8, 80), (16, 160)]), 32);
    }
}
