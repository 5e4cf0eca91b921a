//! What DUMP writes and RESTORE reads: a value as redis-server 7.0 serialises it, so that values can move both ways.
//!
//! A payload is an object as in an RDB file, the version of that format in two bytes, and a checksum of all that in
//! eight. Of the objects only strings are known here. A string is its bytes behind their number, a small integer in
//! its decimal form is that integer, and Redis compresses longer strings where that helps. All of these are read;
//! nothing is compressed on the way out, since no reader needs that.
//!
//! The checksum keeps no attacker away. So a length is believed when the bytes are there, never before.

mod crc64;
mod lzf;

use bytes::Buf;

use super::errors::CommandError;
use super::integer::parse_i64;

/// The version of the RDB format that redis-server 7.0 writes, and the newest that it reads.
const RDB_VERSION: u16 = 10;
const VERSION_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

/// The longest string there may be, as in Redis: a short payload may well be that of a longer one.
const STRING_BYTES_MAX: usize = 512 << 20;

/// The type of a string in an RDB file.
const STRING: u8 = 0;
/// Strings that are not longer than this are written as an integer, if they are one.
const INTEGER_TEXT_BYTES_MAX: usize = 11;

/// The payload of a value.
pub(super) fn encode(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + 5 + value.len() + VERSION_BYTES + CHECKSUM_BYTES);
    out.push(STRING);
    if !encode_integer(value, &mut out) {
        encode_length(value.len(), &mut out);
        out.extend_from_slice(value);
    }
    out.extend_from_slice(&RDB_VERSION.to_le_bytes());
    let checksum = crc64::of(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Writes a value that is a small integer as one. False: it is none.
fn encode_integer(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(number) = Some(value).filter(|value| value.len() <= INTEGER_TEXT_BYTES_MAX).and_then(parse_i64) else {
        return false;
    };
    if let Ok(number) = i8::try_from(number) {
        out.push(0xC0);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xC1);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xC2);
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        return false;
    }
    true
}

fn encode_length(len: usize, out: &mut Vec<u8>) {
    match (u16::try_from(len), u32::try_from(len)) {
        (Ok(len @ 0..0x40), _) => out.extend_from_slice(&len.to_be_bytes()[1..]),
        (Ok(len @ 0x40..0x4000), _) => out.extend_from_slice(&(0x4000 | len).to_be_bytes()),
        (_, Ok(len)) => {
            out.push(0x80);
            out.extend_from_slice(&len.to_be_bytes());
        }
        (_, Err(_)) => {
            out.push(0x81);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// The value that a payload holds.
///
/// # Errors
/// What Redis answers where version or checksum are wrong or the data make no sense, and an error of our own for a
/// value that is no string.
pub(super) fn decode(payload: &[u8]) -> Result<Vec<u8>, CommandError> {
    let (checked, checksum) =
        payload.split_last_chunk::<CHECKSUM_BYTES>().ok_or(CommandError::PayloadVersionOrChecksum)?;
    let (object, version) =
        checked.split_last_chunk::<VERSION_BYTES>().ok_or(CommandError::PayloadVersionOrChecksum)?;
    if u16::from_le_bytes(*version) > RDB_VERSION || crc64::of(checked) != u64::from_le_bytes(*checksum) {
        return Err(CommandError::PayloadVersionOrChecksum);
    }
    match object.split_first() {
        Some((&STRING, mut string)) => decode_string(&mut string).ok_or(CommandError::BadPayload),
        Some((&kind, _)) => Err(name(kind).map_or(CommandError::BadPayload, CommandError::PayloadIsNoString)),
        None => Err(CommandError::BadPayload),
    }
}

/// What Redis 7.0 keeps under this type of an RDB file, if not a string.
fn name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 | 10 | 14 | 18 => "list",
        2 | 11 => "set",
        3 | 5 | 12 | 17 => "sorted set",
        4 | 9 | 13 | 16 => "hash",
        6 | 7 => "module's value",
        15 | 19 => "stream",
        _ => return None,
    })
}

/// Takes a string off the front of `input`. As in Redis, it does not matter what follows.
fn decode_string(input: &mut &[u8]) -> Option<Vec<u8>> {
    let number = match *input.first()? {
        0xC0 => i64::from(tail(input)?.try_get_i8().ok()?),
        0xC1 => i64::from(tail(input)?.try_get_i16_le().ok()?),
        0xC2 => i64::from(tail(input)?.try_get_i32_le().ok()?),
        0xC3 => {
            *input = tail(input)?;
            let compressed_len = decode_length(input)?;
            let len = decode_length(input).filter(|&len| len <= STRING_BYTES_MAX)?;
            return lzf::expand(input.get(..compressed_len)?, len);
        }
        _ => {
            let len = decode_length(input)?;
            return input.get(..len).map(<[u8]>::to_vec);
        }
    };
    Some(number.to_string().into_bytes())
}

/// All but the first byte.
fn tail<'a>(input: &&'a [u8]) -> Option<&'a [u8]> {
    input.get(1..)
}

/// Takes a length off the front of `input`.
fn decode_length(input: &mut &[u8]) -> Option<usize> {
    let len = match *input.first()? {
        0..0x40 => u64::from(input.try_get_u8().ok()?),
        0x40..0x80 => u64::from(input.try_get_u16().ok()? & 0x3FFF),
        marker @ (0x80 | 0x81) => {
            input.advance(1);
            if marker == 0x80 { u64::from(input.try_get_u32().ok()?) } else { input.try_get_u64().ok()? }
        }
        _ => return None,
    };
    usize::try_from(len).ok()
}

#[cfg(test)]
mod tests;
