//! What requests and replies of peers consist of: versions, numbers and times as bulk strings, and what is wrong with one that is
//! none.

use super::message::NAMES;
use crate::codec::reply;
use crate::ring::Slot;
use crate::time::UnixMs;
use crate::version::{StartNumber, VERSION_TEXT_BYTES, Version};

/// Why a command is no peer request. The sender's fault; nothing was done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// No peer request goes by this word.
    #[error("unknown peer command '{0}'")]
    UnknownCommand(String),
    /// Too few or too many arguments, or a word other than PXAT in its place.
    #[error("wrong arguments for '{0}'")]
    WrongArguments(&'static str),
    /// An argument is not of its kind.
    #[error("'{text}' is not a {kind}")]
    WrongArgument {
        /// What should have stood there.
        kind: &'static str,
        /// What stood there, cut to a readable length.
        text: String,
    },
}

/// In place of an expiry that a record does not have.
pub(super) const NO_EXPIRY: &[u8] = b"-";
/// How much of a wrong argument an error shows.
const SHOWN_BYTES_MAX: usize = 64;

/// Appends `number` as a bulk string of decimal digits.
pub(super) fn bulk_number(number: u64, out: &mut Vec<u8>) {
    reply::bulk(out, itoa::Buffer::new().format(number).as_bytes());
}

/// Appends an expiry, or the sign for none, as a bulk string.
pub(super) fn bulk_expiry(expires_at: Option<UnixMs>, out: &mut Vec<u8>) {
    match expires_at {
        Some(at) => bulk_number(at.0, out),
        None => reply::bulk(out, NO_EXPIRY),
    }
}

/// Appends `version` as a bulk string.
pub(super) fn bulk_version(version: Version, out: &mut Vec<u8>) {
    const HEAD: &[u8; 5] = b"$34\r\n";
    let mut bulk = [0; HEAD.len() + VERSION_TEXT_BYTES + 2];
    bulk[..HEAD.len()].copy_from_slice(HEAD);
    bulk[HEAD.len()..HEAD.len() + VERSION_TEXT_BYTES].copy_from_slice(&version.to_text());
    bulk[HEAD.len() + VERSION_TEXT_BYTES..].copy_from_slice(b"\r\n");
    out.extend_from_slice(&bulk);
}

const _: () = assert!(VERSION_TEXT_BYTES == 34, "the length stands in the head of its bulk string");

pub(super) fn parse_expiry_or_none(expiry: &[u8]) -> Result<Option<UnixMs>, ParseError> {
    if expiry == NO_EXPIRY { Ok(None) } else { parse_expiry(expiry).map(Some) }
}

pub(super) fn parse_version(text: &[u8]) -> Result<Version, ParseError> {
    Version::parse(text).ok_or_else(|| wrong_argument("version", text))
}

pub(super) fn parse_expiry(text: &[u8]) -> Result<UnixMs, ParseError> {
    parse_number(text).map(UnixMs).ok_or_else(|| wrong_argument("time in Unix milliseconds", text))
}

pub(super) fn parse_slot(text: &[u8]) -> Result<Slot, ParseError> {
    let number = parse_number(text).and_then(|number| u16::try_from(number).ok());
    number.and_then(Slot::new).ok_or_else(|| wrong_argument("slot", text))
}

pub(super) fn parse_position(text: &[u8]) -> Result<u32, ParseError> {
    let number = parse_number(text).and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| wrong_argument("position", text))
}

/// Reads a start number; `None` if it does not fit into the bits that a version has for it.
pub(super) fn parse_start(text: &[u8]) -> Option<StartNumber> {
    let number = parse_number(text)?;
    Some(StartNumber::new(number)).filter(|start| start.get() == number)
}

/// Reads decimal digits; `None` if there are none, too many, or anything else.
pub(super) fn parse_number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

pub(super) fn wrong_arguments(name: &[u8]) -> ParseError {
    match NAMES.iter().find(|known| known.as_bytes() == name) {
        Some(known) => ParseError::WrongArguments(known),
        None => ParseError::UnknownCommand(shown(name)),
    }
}

pub(super) fn wrong_argument(kind: &'static str, text: &[u8]) -> ParseError {
    ParseError::WrongArgument { kind, text: shown(text) }
}

/// `text` as an error may show it: short, and without control characters that could tear the reply's line.
pub(super) fn shown(text: &[u8]) -> String {
    let cut = &text[..text.len().min(SHOWN_BYTES_MAX)];
    cut.escape_ascii().to_string()
}
