//! The table from which the longest common subsequence is read.
//!
//! An entry for each pair of prefixes of the two values is the length of what these have in common. The way back through
//! the table asks only which of two neighbours is larger, so one bit per entry is kept, and the lengths of one row.
//! Rows run along the shorter value, so that a row is done in little time.

use crate::command::errors::CommandError;

/// What the table would take at most if it had 32 bits per entry: Redis' bound, where the largest value is 512 MiB.
const BYTES_MAX: usize = 512 << 20;

/// Two values being compared.
#[derive(Debug)]
pub(super) struct Table<'a> {
    one: &'a [u8],
    other: &'a [u8],
    /// Rows that are done, one for each byte of the longer value.
    rows: usize,
    /// What the prefixes of the shorter value have in common with what the done rows stand for.
    lengths: Vec<u32>,
    /// For each pair whether `one` is rather to be shortened than `other`; empty if the length is all that is asked.
    shorten_one: Vec<u64>,
}

/// A run of bytes that both values have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Match {
    /// Where it begins in the first value.
    pub(super) one: usize,
    /// Where it begins in the second.
    pub(super) other: usize,
    pub(super) length: usize,
}

impl<'a> Table<'a> {
    /// Nothing is compared yet. With `way` it will be known where the values agree.
    pub(super) fn new(one: &'a [u8], other: &'a [u8], way: bool) -> Result<Self, CommandError> {
        let bytes = (one.len() + 1).saturating_mul(other.len() + 1).saturating_mul(size_of::<u32>());
        if bytes > BYTES_MAX {
            return Err(CommandError::LcsTooLarge);
        }
        let (longer, shorter) = (one.len().max(other.len()), one.len().min(other.len()));
        let words = if way { longer * words_per_row(shorter) } else { 0 };
        Ok(Self { one, other, rows: 0, lengths: vec![0; shorter + 1], shorten_one: vec![0; words] })
    }

    /// Compares about so many pairs more; whether that was the last.
    pub(super) fn advance(&mut self, pairs: usize) -> bool {
        let (longer, shorter) = self.by_length();
        let rows = (pairs / shorter.len().max(1)).max(1);
        let end = longer.len().min(self.rows + rows);
        while self.rows < end {
            self.add_row(longer[self.rows], shorter);
            self.rows += 1;
        }
        end == longer.len()
    }

    fn add_row(&mut self, byte: u8, shorter: &[u8]) {
        let is_one_longer = self.is_one_longer();
        let words = words_per_row(shorter.len());
        let row = match self.shorten_one.is_empty() {
            true => &mut [],
            false => &mut self.shorten_one[self.rows * words..][..words],
        };
        let (mut left, mut diagonal) = (0, 0);
        for (column, other) in shorter.iter().enumerate() {
            let above = self.lengths[column + 1];
            let length = if *other == byte { diagonal + 1 } else { above.max(left) };
            // Above, a byte of the longer value is missing; to the left, one of the shorter.
            let shorten_one = if is_one_longer { above > left } else { left > above };
            if let Some(word) = row.get_mut(column / 64) {
                *word |= u64::from(shorten_one) << (column % 64);
            }
            self.lengths[column + 1] = length;
            (left, diagonal) = (length, above);
        }
    }

    /// The length of the longest common subsequence, once all is compared.
    pub(super) fn length(&self) -> usize {
        self.lengths.last().map_or(0, |length| *length as usize)
    }

    /// Where the values agree, the last match first. Of several ways it is the one that Redis finds.
    pub(super) fn matches(&self) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        let (mut one, mut other) = (self.one.len(), self.other.len());
        while one > 0 && other > 0 {
            if self.one[one - 1] == self.other[other - 1] {
                match matches.last_mut().filter(|last| (last.one, last.other) == (one, other)) {
                    Some(last) => *last = Match { one: one - 1, other: other - 1, length: last.length + 1 },
                    None => matches.push(Match { one: one - 1, other: other - 1, length: 1 }),
                }
                (one, other) = (one - 1, other - 1);
            } else if self.is_one_to_be_shortened(one - 1, other - 1) {
                one -= 1;
            } else {
                other -= 1;
            }
        }
        matches
    }

    /// The bytes of these matches, in order.
    pub(super) fn text(&self, matches: &[Match]) -> Vec<u8> {
        let parts = matches.iter().rev().map(|found| &self.one[found.one..found.one + found.length]);
        parts.collect::<Vec<_>>().concat()
    }

    fn is_one_to_be_shortened(&self, one: usize, other: usize) -> bool {
        let (row, column) = if self.is_one_longer() { (one, other) } else { (other, one) };
        let words = words_per_row(self.by_length().1.len());
        self.shorten_one[row * words + column / 64] >> (column % 64) & 1 == 1
    }

    /// The longer value and the shorter.
    fn by_length(&self) -> (&'a [u8], &'a [u8]) {
        if self.is_one_longer() { (self.one, self.other) } else { (self.other, self.one) }
    }

    fn is_one_longer(&self) -> bool {
        self.one.len() >= self.other.len()
    }
}

fn words_per_row(columns: usize) -> usize {
    columns.div_ceil(64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by a table of all lengths, as it is found in textbooks: the length, and the matches from the last on.
    fn textbook(one: &[u8], other: &[u8]) -> (usize, Vec<(usize, usize)>) {
        let mut lengths = vec![vec![0; other.len() + 1]; one.len() + 1];
        for i in 1..=one.len() {
            for j in 1..=other.len() {
                lengths[i][j] = match one[i - 1] == other[j - 1] {
                    true => lengths[i - 1][j - 1] + 1,
                    false => lengths[i - 1][j].max(lengths[i][j - 1]),
                };
            }
        }
        let (mut i, mut j, mut pairs) = (one.len(), other.len(), Vec::new());
        while i > 0 && j > 0 {
            if one[i - 1] == other[j - 1] {
                (i, j) = (i - 1, j - 1);
                pairs.push((i, j));
            } else if lengths[i - 1][j] > lengths[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        (lengths[one.len()][other.len()], pairs)
    }

    proptest! {
        #[test]
        fn a_bit_per_pair_finds_the_way_that_all_lengths_find(
            one in prop::collection::vec(b'a'..b'd', 0..90),
            other in prop::collection::vec(b'a'..b'd', 0..90),
            pairs in 1_usize..500,
        ) {
            let mut table = Table::new(&one, &other, true).unwrap();
            while !table.advance(pairs) {}
            let matches = table.matches();
            let found: Vec<_> = matches
                .iter()
                .flat_map(|found| (0..found.length).rev().map(|at| (found.one + at, found.other + at)))
                .collect();
            prop_assert_eq!((table.length(), found), textbook(&one, &other));
            prop_assert_eq!(table.text(&matches).len(), table.length());
        }
    }

    #[test]
    fn the_bound_is_that_of_redis() {
        let value = vec![0; 11_585];
        assert!(Table::new(&value[..11_584], &value[..11_584], false).is_ok());
        assert!(Table::new(&value, &value[..11_584], false).is_err());
        assert!(Table::new(&value, &[], false).is_ok());
    }
}
