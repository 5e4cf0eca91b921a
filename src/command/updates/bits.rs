//! SETBIT and BITOP.

use crate::command::bits;
use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;
use crate::coordinator::Work;

use super::Reply;

/// SETBIT key offset value.
pub(super) fn set_bit(work: &mut Work<'_>) -> Result<(), CommandError> {
    let offset = bits::parse_offset(work.args[2])?;
    let on = match parse_i64(work.args[3]) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(CommandError::BitValue),
    };
    let held = work.first();
    let value = held.map_or(&[][..], |held| held.value);
    let was_on = bits::is_set(value, offset);
    if was_on != on || offset / 8 >= value.len() {
        let mut value = value.to_vec();
        value.resize(value.len().max(offset / 8 + 1), 0);
        bits::set(&mut value, offset, on);
        work.put(0, value, held.and_then(|held| held.expires_at));
    }
    work.integer(i64::from(was_on));
    Ok(())
}

/// BITOP AND | OR | XOR | NOT destination source [source ...]. Sources are as long as the longest, with zeros behind.
pub(super) fn bit_op(work: &mut Work<'_>) -> Result<(), CommandError> {
    let operation = Operation::named(work.args[1]).ok_or(CommandError::Syntax)?;
    let (destination, sources) = work.held.split_first().ok_or(CommandError::Syntax)?;
    if operation == Operation::Not && sources.len() > 1 {
        return Err(CommandError::BitOpNot);
    }
    let sources = sources.iter().map(|held| held.map_or(&[][..], |held| held.value));
    let length = sources.clone().map(<[u8]>::len).max().unwrap_or(0);
    if length == 0 {
        if destination.is_some() {
            work.delete(0);
        }
    } else {
        work.put(0, operation.combine(sources, length), None);
    }
    work.length(length);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn named(word: &[u8]) -> Option<Self> {
        let names: [(&[u8], Self); 4] =
            [(b"AND", Self::And), (b"OR", Self::Or), (b"XOR", Self::Xor), (b"NOT", Self::Not)];
        names.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, operation)| operation)
    }

    /// All sources, of `length` bytes with zeros behind, made one.
    fn combine<'a>(self, mut sources: impl Iterator<Item = &'a [u8]>, length: usize) -> Vec<u8> {
        let mut result = sources.next().unwrap_or_default().to_vec();
        result.resize(length, 0);
        if self == Self::Not {
            for byte in &mut result {
                *byte = !*byte;
            }
        }
        for source in sources {
            let (common, beyond) = result.split_at_mut(source.len());
            for (byte, other) in common.iter_mut().zip(source) {
                *byte = self.apply(*byte, *other);
            }
            if self == Self::And {
                beyond.fill(0);
            }
        }
        result
    }

    fn apply(self, one: u8, other: u8) -> u8 {
        match self {
            Self::And => one & other,
            Self::Or => one | other,
            Self::Xor => one ^ other,
            Self::Not => !one,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::hold;

    // The answers were read off redis-server 7.0.15.

    #[test]
    fn a_bit_is_changed_and_the_value_grows_to_hold_it() {
        let not_a_bit = "-ERR bit is not an integer or out of range\r\n";
        let bad_offset = "-ERR bit offset is not an integer or out of range\r\n";
        hold(&[
            ("SETBIT k 7 1", ":0\r\n"),
            ("GET k", "$1\r\n\x01\r\n"),
            ("SETBIT k 7 0", ":1\r\n"),
            ("SETBIT k 100 0", ":0\r\n"),
            ("STRLEN k", ":13\r\n"),
            ("SETBIT k 7 2", not_a_bit),
            ("SETBIT k 7 x", not_a_bit),
            ("SETBIT k 4294967295 2", not_a_bit),
            ("SETBIT k 4294967296 1", bad_offset),
            ("SETBIT k -1 1", bad_offset),
            ("SETBIT none x y", bad_offset),
            ("SET k a EX 100", "+OK\r\n"),
            ("SETBIT k 6 1", ":0\r\n"),
            ("GET k", "$1\r\nc\r\n"),
            ("TTL k", ":100\r\n"),
        ]);
    }

    #[test]
    fn values_are_combined_bit_by_bit() {
        hold(&[
            (r#"MSET {t}a "\x0f\x3f" {t}c "\x33""#, "+OK\r\n"),
            ("BITOP AND {t}d {t}a {t}c", ":2\r\n"),
            ("GET {t}d", "$2\r\n\x03\0\r\n"),
            ("BITOP or {t}d {t}a {t}c", ":2\r\n"),
            ("GET {t}d", "$2\r\n\x3f\x3f\r\n"),
            ("BITOP XOR {t}d {t}c {t}a", ":2\r\n"),
            ("GET {t}d", "$2\r\n\x3c\x3f\r\n"),
            ("BITOP AND {t}d {t}a {t}none {t}c", ":2\r\n"),
            ("GET {t}d", "$2\r\n\0\0\r\n"),
            ("BITOP NOT {t}a {t}a", ":2\r\n"),
            ("BITCOUNT {t}a", ":6\r\n"),
            ("BITOP NOT {t}d {t}a", ":2\r\n"),
            ("GET {t}d", "$2\r\n\x0f\x3f\r\n"),
        ]);
    }

    #[test]
    fn bitop_writes_anew_and_deletes_where_nothing_comes_of_it() {
        hold(&[
            ("MSET {t}a x {t}e ''", "+OK\r\n"),
            ("SET {t}d x EX 100", "+OK\r\n"),
            ("BITOP OR {t}d {t}a", ":1\r\n"),
            ("TTL {t}d", ":-1\r\n"),
            ("BITOP AND {t}d {t}none", ":0\r\n"),
            ("EXISTS {t}d", ":0\r\n"),
            ("BITOP NOT {t}d {t}e", ":0\r\n"),
            ("EXISTS {t}d", ":0\r\n"),
            ("BITOP NOT {t}d {t}a {t}e", "-ERR BITOP NOT must be called with a single source key.\r\n"),
            ("BITOP FOO {t}d {t}a", "-ERR syntax error\r\n"),
            ("BITOP OR a b", "-CROSSSLOT Keys in request don't hash to the same slot\r\n"),
        ]);
    }
}
