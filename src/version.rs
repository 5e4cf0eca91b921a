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
        let mut text = [b'-'; VERSION_TEXT_BYTES];
        write_hex(&self.hlc.0.to_be_bytes(), &mut text[..16]);
        write_hex(&self.node().0.to_be_bytes(), &mut text[17..21]);
        write_hex(&self.start().0.to_be_bytes()[2..], &mut text[22..]);
        text
    }

    /// Reads the text form; `None` if `text` is not one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; VERSION_TEXT_BYTES] = text.try_into().ok()?;
        if text[16] != b'-' || text[21] != b'-' {
            return None;
        }
        let (hlc, node, start) = (parse_hex(&text[..16])?, parse_hex(&text[17..21])?, parse_hex(&text[22..])?);
        Some(Self::new(Hlc(hlc), NodeIndex(u16::try_from(node).ok()?), StartNumber(start)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_text().iter().try_for_each(|&byte| f.write_char(char::from(byte)))
    }
}

/// The two digits of each byte.
static HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// Writes `bytes` as lower-case hexadecimal digits.
pub(crate) fn write_hex(bytes: &[u8], text: &mut [u8]) {
    for (byte, digits) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        digits.copy_from_slice(&HEX[usize::from(*byte)]);
    }
}

/// Reads at most sixteen lower-case hexadecimal digits.
pub(crate) fn parse_hex(text: &[u8]) -> Option<u64> {
    let (mut number, mut wrong) = (0, 0);
    for &byte in text {
        let digit = DIGITS[usize::from(byte)];
        wrong |= digit;
        number = number << 4 | u64::from(digit & 15);
    }
    (wrong & NO_DIGIT == 0).then_some(number)
}

/// In place of a digit's value.
const NO_DIGIT: u8 = 0x80;
/// The value of each hexadecimal digit.
static DIGITS: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    table
};

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
