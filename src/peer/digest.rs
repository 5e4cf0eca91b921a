//! Digests on their way between nodes: what a replica holds of one slot or of many, in a word.

use bytes::Bytes;

use super::words::{ParseError, bulk_number, parse_number, wrong_argument, wrong_arguments};
use crate::codec::reply;
use crate::version::{digits_of, number_of};

/// The digits of a sum.
const SUM_DIGITS: usize = 16;

/// Of which slots a digest is asked. All are among the slots that both nodes keep; a slot's group is its number divided
/// by 128.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigestScope {
    /// One digest of all slots: `RDIGEST`.
    All,
    /// One of each group: `RDIGEST groups`.
    Groups,
    /// One of each slot of a group: `RDIGEST group number`.
    Group(u8),
}

impl DigestScope {
    /// How many groups there are.
    pub const GROUPS: u8 = 128;

    /// Appends the request.
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::All => out.extend_from_slice(b"*1\r\n$7\r\nRDIGEST\r\n"),
            Self::Groups => out.extend_from_slice(b"*2\r\n$7\r\nRDIGEST\r\n$6\r\ngroups\r\n"),
            Self::Group(number) => {
                out.extend_from_slice(b"*3\r\n$7\r\nRDIGEST\r\n$5\r\ngroup\r\n");
                bulk_number(number.into(), out);
            }
        }
    }

    /// Reads the request's arguments behind its word.
    pub(super) fn parse(args: &[&[u8]]) -> Result<Self, ParseError> {
        match args {
            [] => Ok(Self::All),
            [b"groups"] => Ok(Self::Groups),
            [b"group", text] => {
                let number = parse_number(text).and_then(|number| u8::try_from(number).ok());
                let group = number.filter(|&number| number < Self::GROUPS).map(Self::Group);
                group.ok_or_else(|| wrong_argument("group of slots", text))
            }
            _ => Err(wrong_arguments(b"RDIGEST")),
        }
    }
}

/// What a replica holds of some slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Digest {
    /// The wrapping sum of the slots' digests.
    pub sum: u64,
    /// How much it tells.
    pub certainty: Certainty,
}

/// How much a digest tells, the least telling last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Certainty {
    /// All of it is here to stay.
    #[default]
    Settled,
    /// Some of it may still be taken back, or something may come late.
    Busy,
    /// The replica has not caught up, and counts for nothing.
    Syncing,
}

impl Digest {
    /// Of a slot on which its replica has not caught up.
    pub const SYNCING: Self = Self { sum: 0, certainty: Certainty::Syncing };

    /// The digest of the slots of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { sum: self.sum.wrapping_add(other.sum), certainty: self.certainty.max(other.certainty) }
    }

    /// Whether two replicas that show these hold the same, for certain.
    #[must_use]
    pub fn agrees_with(self, other: Self) -> bool {
        self == other && self.certainty == Certainty::Settled
    }

    /// Appends the text form as a bulk string: sixteen hexadecimal digits, followed by a `~` if it is busy and by a `?` if
    /// it is syncing.
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        let mut text = [0; SUM_DIGITS + 1];
        text[..SUM_DIGITS].copy_from_slice(&digits_of(self.sum));
        text[SUM_DIGITS] = match self.certainty {
            Certainty::Settled => return reply::bulk(out, &text[..SUM_DIGITS]),
            Certainty::Busy => b'~',
            Certainty::Syncing => b'?',
        };
        reply::bulk(out, &text);
    }

    pub(super) fn parse(text: &Bytes) -> Option<Self> {
        let (digits, sign) = text.split_first_chunk::<SUM_DIGITS>()?;
        let certainty = match sign {
            b"" => Certainty::Settled,
            b"~" => Certainty::Busy,
            b"?" => Certainty::Syncing,
            _ => return None,
        };
        Some(Self { sum: number_of(*digits)?, certainty })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Certainty; 3] = [Certainty::Settled, Certainty::Busy, Certainty::Syncing];

    #[test]
    fn text_form_survives_a_round_trip_and_nothing_else_is_one() {
        for sum in [0, 1, u64::MAX] {
            for certainty in ALL {
                let digest = Digest { sum, certainty };
                let mut bulk = Vec::new();
                digest.encode(&mut bulk);
                let text = bulk[b"$16\r\n".len()..].strip_suffix(b"\r\n").map(Bytes::copy_from_slice);
                assert_eq!(text.and_then(|text| Digest::parse(&text)), Some(digest));
            }
        }
        for wrong in ["", "123", "+000000000000001", "000000000000000A", "0000000000000001!", "00000000000000001"] {
            assert_eq!(Digest::parse(&wrong.into()), None, "{wrong}");
        }
    }

    #[test]
    fn a_sum_is_as_certain_as_its_least_certain_part() {
        for (one, other) in ALL.into_iter().flat_map(|one| ALL.map(|other| (one, other))) {
            let digest = |sum, certainty| Digest { sum, certainty };
            let sum = digest(u64::MAX, one).plus(digest(2, other));
            assert_eq!(sum, digest(1, one.max(other)));
            assert_eq!(sum.agrees_with(sum), one.max(other) == Certainty::Settled);
        }
    }
}
