//! Values as rows of bits, the first bit of a byte being its highest: finding, counting and changing them.

use std::ops::RangeInclusive;

use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;

/// One beyond the last bit that a value may have: 512 MiB of bytes, as in Redis.
const OFFSET_END: i64 = 1 << 32;

/// A part of a value as a client names it: both ends belong to it, negative ones count from the value's end, and what
/// lies outside of the value is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) unit: Unit,
}

/// What the ends of a [`Span`] are counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    Byte,
    Bit,
}

impl Span {
    /// All of a value.
    pub(crate) const WHOLE: Self = Self { start: 0, end: -1, unit: Unit::Byte };
    /// Nothing of any value.
    pub(crate) const NOTHING: Self = Self { start: 1, end: 0, unit: Unit::Byte };

    /// The places, out of `length`, that belong to it, if any does.
    pub(crate) fn clip(self, length: usize) -> Option<RangeInclusive<usize>> {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let from_start = |place: i64| if place < 0 { length.saturating_add(place).max(0) } else { place };
        let (start, end) = (from_start(self.start), from_start(self.end).min(length - 1));
        (start <= end).then_some(usize::try_from(start).ok()?..=usize::try_from(end).ok()?)
    }

    /// The bits of `value` that belong to it, if any does.
    fn bits(self, value: &[u8]) -> Option<RangeInclusive<usize>> {
        match self.unit {
            Unit::Bit => self.clip(value.len() * 8),
            Unit::Byte => self.clip(value.len()).map(|bytes| bytes.start() * 8..=bytes.end() * 8 + 7),
        }
    }
}

/// Reads the place of a bit.
pub(crate) fn parse_offset(text: &[u8]) -> Result<usize, CommandError> {
    parse_i64(text).and_then(offset_within).ok_or(CommandError::BitOffset)
}

/// The same place, if a value may have a bit there.
pub(crate) fn offset_within(offset: i64) -> Option<usize> {
    usize::try_from(offset).ok().filter(|_| offset < OFFSET_END)
}

/// Whether the bit at `offset` is set; what lies behind the value is not.
pub(crate) fn is_set(value: &[u8], offset: usize) -> bool {
    value.get(offset / 8).is_some_and(|byte| byte & mask(offset) != 0)
}

/// Sets or clears the bit at `offset`, which the value has.
pub(crate) fn set(value: &mut [u8], offset: usize, on: bool) {
    let byte = &mut value[offset / 8];
    *byte = if on { *byte | mask(offset) } else { *byte & !mask(offset) };
}

/// How many bits of a part of `value` are set.
pub(crate) fn count(value: &[u8], span: Span) -> usize {
    let Some(bits) = span.bits(value) else { return 0 };
    let (start, end) = (*bits.start(), *bits.end());
    let (words, rest) = value[start / 8..=end / 8].as_chunks::<8>();
    let in_words = words.iter().map(|word| u64::from_ne_bytes(*word).count_ones() as usize).sum::<usize>();
    let in_rest = rest.iter().map(|byte| byte.count_ones() as usize).sum::<usize>();
    // Bits of the outer bytes that do not belong to the part.
    let before = value[start / 8] & !(0xFF >> (start % 8));
    let after = value[end / 8] & low_bits(7 - end % 8);
    in_words + in_rest - (before.count_ones() + after.count_ones()) as usize
}

/// Where the first bit is that is set (or clear, if not `on`) in a part of `value`. A client that names no end of the
/// part sees what is clear behind the value, too.
pub(crate) fn position(value: &[u8], on: bool, span: Span, open_ended: bool) -> Option<usize> {
    let bits = span.bits(value)?;
    let (start, end) = (*bits.start(), *bits.end());
    let beyond = (open_ended && !on).then_some(end + 1);
    let dull = if on { 0x00 } else { 0xFF };
    // The first byte without the bits before the part.
    let head = (start..=end.min(start | 7)).find(|&offset| is_set(value, offset) == on);
    if head.is_some() {
        return head;
    }
    let next = start / 8 + 1;
    let Some(tail) = value.get(next..=end / 8) else { return beyond };
    let words = tail.as_chunks::<8>().0;
    let skipped = words.iter().position(|word| *word != [dull; 8]).unwrap_or(words.len()) * 8;
    let Some(byte) = tail[skipped..].iter().position(|byte| *byte != dull) else { return beyond };
    let first = (next + skipped + byte) * 8;
    (first..=end.min(first | 7)).find(|&offset| is_set(value, offset) == on).or(beyond)
}

fn mask(offset: usize) -> u8 {
    0x80 >> (offset % 8)
}

/// The lowest `count` bits of a byte, up to seven.
fn low_bits(count: usize) -> u8 {
    (1 << count) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(start: i64, end: i64, unit: Unit) -> Span {
        Span { start, end, unit }
    }

    #[test]
    fn a_span_keeps_to_the_value() {
        let clip = |start, end, length| span(start, end, Unit::Byte).clip(length);
        assert_eq!(clip(0, -1, 3), Some(0..=2));
        assert_eq!(clip(-2, 100, 3), Some(1..=2));
        assert_eq!(clip(-100, -3, 3), Some(0..=0));
        assert_eq!(clip(i64::MIN, i64::MAX, 3), Some(0..=2));
        for (start, end, length) in [(0, -1, 0), (3, 3, 3), (2, 1, 3), (i64::MAX, i64::MAX, 3)] {
            assert_eq!(clip(start, end, length), None);
        }
        assert_eq!(Span::NOTHING.clip(9), None);
    }

    #[test]
    fn offsets_reach_as_far_as_the_longest_value() {
        assert_eq!(parse_offset(b"4294967295"), Ok(4_294_967_295));
        for text in ["4294967296", "-1", "x", "", "01"] {
            assert_eq!(parse_offset(text.as_bytes()), Err(CommandError::BitOffset), "{text}");
        }
    }

    proptest! {
        #[test]
        fn bits_are_counted_and_found_as_if_looked_at_one_by_one(
            value in prop::collection::vec(prop_oneof![Just(0_u8), Just(0xFF), any::<u8>()], 0..40),
            start in -330_i64..330,
            end in -330_i64..330,
            in_bits: bool,
            on: bool,
        ) {
            let span = span(start, end, if in_bits { Unit::Bit } else { Unit::Byte });
            let within: Vec<usize> = span.bits(&value).into_iter().flatten().collect();
            prop_assert_eq!(count(&value, span), within.iter().filter(|&&offset| is_set(&value, offset)).count());
            let first = within.iter().copied().find(|&offset| is_set(&value, offset) == on);
            prop_assert_eq!(position(&value, on, span, false), first);
            let beyond = within.last().map(|last| last + 1).filter(|_| !on);
            prop_assert_eq!(position(&value, on, span, true), first.or(beyond));
        }

        #[test]
        fn a_bit_that_is_written_is_read_back_and_no_other_changes(
            mut value in prop::collection::vec(any::<u8>(), 1..5),
            place: prop::sample::Index,
            on: bool,
        ) {
            let before = value.clone();
            let offset = place.index(value.len() * 8);
            set(&mut value, offset, on);
            for other in 0..value.len() * 8 {
                let expected = if other == offset { on } else { is_set(&before, other) };
                prop_assert_eq!(is_set(&value, other), expected);
            }
        }
    }
}
