//! Versions: which of two writes of a key is the later one, without a leader to ask.
//!
//! Wall clocks alone cannot tell: a node whose clock runs ahead would swallow every later write of the others. So
//! each write is stamped from a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014), which every
//! version that a node sees pushes forward, and ties are broken by the writing node and by that process' start
//! number. The start number keeps a node that lost its memory from using one version for two different writes.

use std::fmt::{self, Write as _};

use crate::mutation::{Mutation, is_on};
use crate::ring::NodeIndex;
use crate::time::UnixMs;

/// Bits of a [`Hlc`] that count events within one millisecond.
const COUNTER_BITS: u32 = 16;
/// Bits of a version's origin that hold the start number; the others hold the node.
const START_BITS: u32 = 48;
/// Bytes of a [`Version`]'s text form: three hexadecimal numbers of fixed width and two dashes.
pub const VERSION_TEXT_BYTES: usize = 16 + 1 + 4 + 1 + 12;

/// A reading of the hybrid logical clock: 48 bits of Unix milliseconds, then a 16-bit counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first reading within the millisecond `now`.
    #[must_use]
    pub fn first_of(now: UnixMs) -> Self {
        Self(now.0 << COUNTER_BITS)
    }

    /// The next larger reading. A full counter flows over into the milliseconds, which keeps the order.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The wall-clock part.
    #[must_use]
    pub fn wall(self) -> UnixMs {
        UnixMs(self.0 >> COUNTER_BITS)
    }
}

/// Which run of a node's process: its wall clock at start, raised above what peers remember of earlier runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct StartNumber(u64);

impl StartNumber {
    /// The smallest start number of a process; zero stands for none.
    pub const FIRST: Self = Self(1);

    /// The start number `number`, cut to the 48 bits that a version has room for (enough until the year 10889).
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number & ((1 << START_BITS) - 1))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The smallest start number above this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self::new(self.0 + 1)
    }
}

/// The stamp of one write: totally ordered, equal only for the same write.
///
/// ```
/// use ringkv::ring::NodeIndex;
/// use ringkv::version::{Hlc, StartNumber, Version};
/// let earlier = Version::new(Hlc(7), NodeIndex(2), StartNumber::new(9));
/// let later = Version::new(Hlc(8), NodeIndex(0), StartNumber::new(1));
/// assert!(earlier < later);
/// assert_eq!(Version::parse(later.to_string().as_bytes()), Some(later));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Version {
    hlc: Hlc,
    /// Node in the high 16 bits, start number in the low 48.
    origin: u64,
}

impl Version {
    /// The version of the write that `node` stamped `hlc` in the run `start`.
    #[must_use]
    pub fn new(hlc: Hlc, node: NodeIndex, start: StartNumber) -> Self {
        let start = if is_on(Mutation::NoStartNumber) { 0 } else { start.0 };
        Self { hlc, origin: u64::from(node.0) << START_BITS | start }
    }

    /// When it was written, by the writer's hybrid logical clock.
    #[must_use]
    pub fn hlc(self) -> Hlc {
        self.hlc
    }

    /// The node that coordinated the write.
    #[must_use]
    pub fn node(self) -> NodeIndex {
        NodeIndex((self.origin >> START_BITS) as u16)
    }

    /// The run of that node's process.
    #[must_use]
    pub fn start(self) -> StartNumber {
        StartNumber::new(self.origin)
    }

    /// The run that wrote it, in one word: the node, then the start number.
    pub(crate) fn run(self) -> u64 {
        self.origin
    }

    /// The version of the write that a run stamped `hlc`; `run` is the word of another version.
    pub(crate) fn of_run(hlc: Hlc, run: u64) -> Self {
        Self { hlc, origin: run }
    }

    /// The version's bits stirred into one word: sums of such words tell sets of versions apart. Two multiplications, for
    /// it is done at every write.
    #[must_use]
    #[inline]
    pub fn mixed(self) -> u64 {
        let mut word = self.hlc.0.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ self.origin;
        word ^= word >> 32;
        word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        word ^ word >> 32
    }

    /// The text form, `hlc-node-start` in hexadecimal. Its width is fixed, so that text, too, sorts by time.
    #[must_use]
    pub fn to_text(self) -> [u8; VERSION_TEXT_BYTES] {
        let [hlc, origin] = [digits_of(self.hlc.0), digits_of(self.origin)];
        let mut text = [b'-'; VERSION_TEXT_BYTES];
        text[..16].copy_from_slice(&hlc);
        text[17..21].copy_from_slice(&origin[..4]);
        text[22..].copy_from_slice(&origin[4..]);
        text
    }

    /// Reads the text form; `None` if `text` is not one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; VERSION_TEXT_BYTES] = text.try_into().ok()?;
        if text[16] != b'-' || text[21] != b'-' {
            return None;
        }
        let (mut hlc, mut origin) = ([0; 16], [0; 16]);
        hlc.copy_from_slice(&text[..16]);
        origin[..4].copy_from_slice(&text[17..21]);
        origin[4..].copy_from_slice(&text[22..]);
        let (hlc, origin) = (Hlc(number_of(hlc)?), number_of(origin)?);
        Some(Self::new(hlc, NodeIndex((origin >> START_BITS) as u16), StartNumber::new(origin)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_text().iter().try_for_each(|&byte| f.write_char(char::from(byte)))
    }
}

/// One in each byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

/// A number's sixteen lower-case hexadecimal digits. Eight at a time, since every message between nodes has some.
#[inline]
pub(crate) fn digits_of(number: u64) -> [u8; 16] {
    let halves = [number >> 32, number & u64::from(u32::MAX)].map(|half| letters(spread(half)).to_be_bytes());
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&halves[0]);
    digits[8..].copy_from_slice(&halves[1]);
    digits
}

/// The number with these digits; `None` if they are not as [`digits_of`] writes them.
#[inline]
pub(crate) fn number_of(digits: [u8; 16]) -> Option<u64> {
    let (high, low) = digits.split_first_chunk()?;
    let low = low.first_chunk()?;
    Some(gathered(u64::from_be_bytes(*high))? << 32 | gathered(u64::from_be_bytes(*low))?)
}

/// The eight digits of 32 bits, each in a byte of its own.
#[inline]
fn spread(half: u64) -> u64 {
    let word = (half | half << 16) & 0x0000_FFFF_0000_FFFF;
    let word = (word | word << 8) & 0x00FF_00FF_00FF_00FF;
    (word | word << 4) & (0x0F * EACH)
}

/// The letters of eight digits.
#[inline]
fn letters(digits: u64) -> u64 {
    let above_nine = (digits + 6 * EACH) >> 4 & EACH;
    digits + u64::from(b'0') * EACH + above_nine * u64::from(b'a' - b'0' - 10)
}

/// The 32 bits whose digits have these letters, if they have.
#[inline]
fn gathered(text: u64) -> Option<u64> {
    let digits = (text & (0x0F * EACH)) + 9 * (text >> 6 & EACH);
    // A letter that is none may come to more than a digit has room for; then others come of it.
    if digits & (0xF0 * EACH) != 0 || letters(digits) != text {
        return None;
    }
    let word = (digits | digits >> 4) & 0x00FF_00FF_00FF_00FF;
    let word = (word | word >> 8) & 0x0000_FFFF_0000_FFFF;
    Some((word | word >> 16) & u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_survives_a_round_trip_at_the_edges() {
        for (hlc, node, start) in
            [(0, 0, 0), (1, 1, 1), (u64::MAX, u16::MAX, (1 << START_BITS) - 1), (0x10, 0xa0, 0xf00)]
        {
            let version = Version::new(Hlc(hlc), NodeIndex(node), StartNumber::new(start));
            assert_eq!(version.to_text(), version.to_string().as_bytes());
            assert_eq!(Version::parse(&version.to_text()), Some(version));
        }
    }

    #[test]
    fn text_that_is_no_version_is_refused() {
        let right = "0000000000000001-0002-000000000003";
        assert!(Version::parse(right.as_bytes()).is_some());
        let wrong =
            ["", "1-2-3", &right[1..], "0000000000000001_0002-000000000003", "0000000000000001-0002_000000000003"];
        for text in
            wrong.into_iter().chain(["000000000000000G-0002-000000000003", "0000000000000001-000A-000000000003"])
        {
            assert_eq!(Version::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_byte_but_a_digit_is_refused_at_every_place() {
        let right = digits_of(0x0123_4567_89ab_cdef);
        assert_eq!(&right, b"0123456789abcdef");
        for place in 0..right.len() {
            for byte in 0..=u8::MAX {
                let mut text = right;
                text[place] = byte;
                let expected = std::str::from_utf8(&text).ok().filter(|_| !byte.is_ascii_uppercase());
                let expected = expected.and_then(|text| u64::from_str_radix(text.trim_start_matches('+'), 16).ok());
                assert_eq!(number_of(text), expected.filter(|_| byte != b'+'), "{byte} at {place}");
            }
        }
    }

    #[test]
    fn neighbouring_versions_differ_in_half_of_their_mixed_bits() {
        let version = |hlc, node, start| Version::new(Hlc(hlc), NodeIndex(node), StartNumber::new(start)).mixed();
        let (one, hlc) = (version(1 << 40, 1, 1 << 40), 1_u64 << 40);
        let others = [version(hlc + 1, 1, hlc), version(hlc, 2, hlc), version(hlc, 1, hlc + 1)];
        for other in others {
            assert!((16..48).contains(&(one ^ other).count_ones()), "{one:x} {other:x}");
        }
    }

    #[test]
    fn time_outranks_node_and_node_outranks_start() {
        let version = |hlc, node, start| Version::new(Hlc(hlc), NodeIndex(node), StartNumber::new(start));
        assert!(version(1, 9, 9) < version(2, 0, 0));
        assert!(version(1, 1, 9) < version(1, 2, 0));
        assert!(version(1, 1, 1) < version(1, 1, 2));
    }
}
