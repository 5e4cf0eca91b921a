//! Versions: which of two writes of a key is the later one, without a leader to ask.
//!
//! Wall clocks alone cannot tell: a node whose clock runs ahead would swallow every later write of the others. So
//! each write is stamped from a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014), which every
//! version that a node sees pushes forward, and ties are broken by the writing node and by that process' start
//! number. The start number keeps a node that lost its memory from using one version for two different writes.

use std::fmt;

use crate::ring::NodeIndex;
use crate::time::UnixMs;

/// Bits of a [`Hlc`] that count events within one millisecond.
const COUNTER_BITS: u32 = 16;
/// Bits of a version's origin that hold the start number; the others hold the node.
const START_BITS: u32 = 48;
/// The longest text form of a [`Version`]: three hexadecimal numbers and two dashes.
pub const VERSION_TEXT_BYTES_MAX: usize = 16 + 1 + 4 + 1 + 12;

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
        Self { hlc, origin: u64::from(node.0) << START_BITS | start.0 }
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

    /// Appends the text form, `hlc-node-start` in hexadecimal, to `out`.
    pub fn write_to(self, out: &mut Vec<u8>) {
        write_hex(self.hlc.0, out);
        out.push(b'-');
        write_hex(u64::from(self.node().0), out);
        out.push(b'-');
        write_hex(self.start().0, out);
    }

    /// Reads the text form; `None` if `text` is not one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.splitn(3, |&byte| byte == b'-');
        let hlc = parse_hex(parts.next()?)?;
        let node = u16::try_from(parse_hex(parts.next()?)?).ok()?;
        let start = parse_hex(parts.next()?)?;
        (start >> START_BITS == 0).then(|| Self::new(Hlc(hlc), NodeIndex(node), StartNumber(start)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.hlc.0, self.node().0, self.start().0)
    }
}

/// Appends `number` in lower-case hexadecimal without leading zeros.
fn write_hex(number: u64, out: &mut Vec<u8>) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    let mut text = [0_u8; 16];
    let used = &mut text[..digits as usize];
    let mut rest = number;
    for digit in used.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
    out.extend_from_slice(used);
}

/// Reads one to sixteen hexadecimal digits.
fn parse_hex(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    text.iter().try_fold(0, |number, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
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
            let mut text = Vec::new();
            version.write_to(&mut text);
            assert!(text.len() <= VERSION_TEXT_BYTES_MAX);
            assert_eq!(text, version.to_string().as_bytes());
            assert_eq!(Version::parse(&text), Some(version));
        }
    }

    #[test]
    fn text_that_is_no_version_is_refused() {
        for text in ["", "1", "1-2", "1-2-", "-2-3", "g-1-1", "1-10000-1", "1-1-1000000000000", "1-1-1-1", "A-1-1"] {
            assert_eq!(Version::parse(text.as_bytes()), None, "{text}");
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
