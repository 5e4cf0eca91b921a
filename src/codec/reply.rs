//! Replies as bytes, appended to a connection's output.
//!
//! Commands name what they mean (a map, a double); the connection's [`Protocol`] decides how it is written. What RESP2
//! lacks is sent as the type that Redis itself uses there: maps as flat arrays, sets and pushes as arrays, doubles,
//! big numbers and verbatim strings as bulk strings, booleans as integers.
//!
//! The frequent replies are functions without an intermediate frame. A header is followed by its elements in further
//! calls; [`frame`] writes a whole tree.

use redis_protocol::resp3::types::{BytesFrame, Resp3Frame, VerbatimStringFormat};

use super::Protocol;

/// What ends every line.
const LINE_END: &[u8; 2] = b"\r\n";
/// The longest header: its type, a sign, 19 digits and the line end.
const HEADER_BYTES_MAX: usize = 1 + 20 + 2;
/// Doubles of at least this size are written with an exponent.
const PLAIN_DOUBLE_MAX: f64 = 1e17;
/// Doubles closer to zero than this are written with an exponent.
const PLAIN_DOUBLE_MIN: f64 = 1e-5;

/// `+text`. Line ends in the text become spaces, since they would end the reply early.
pub fn simple(out: &mut Vec<u8>, text: &str) {
    line(out, b'+', text.as_bytes());
}

/// `+OK`
#[inline]
pub fn ok(out: &mut Vec<u8>) {
    out.extend_from_slice(b"+OK\r\n");
}

/// `-text`, where the text begins with a code such as `ERR`. Line ends in the text become spaces.
pub fn error(out: &mut Vec<u8>, text: &str) {
    line(out, b'-', text.as_bytes());
}

/// `:number`
pub fn integer(out: &mut Vec<u8>, number: i64) {
    header(out, b':', number, 0);
}

/// `$length`, then the bytes.
#[inline]
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    match SHORT_BULK_HEADERS.get(bytes.len()) {
        Some(ShortHeader { text, len }) => {
            // All of it at once, since a copy of a length that is known is a single instruction.
            let end = out.len() + usize::from(*len);
            out.extend_from_slice(text);
            out.truncate(end);
        }
        None => header(out, b'$', bytes.len(), bytes.len() + LINE_END.len()),
    }
    out.extend_from_slice(bytes);
    out.extend_from_slice(LINE_END);
}

/// `$length` of bytes that are sent on their own; [`line_end`] follows them.
pub fn bulk_header(out: &mut Vec<u8>, bytes: usize) {
    header(out, b'$', bytes, 0);
}

/// What ends a bulk string.
pub fn line_end(out: &mut Vec<u8>) {
    out.extend_from_slice(LINE_END);
}

/// Nothing, where a value could be: `$-1` or `_`.
pub fn null(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"$-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// Nothing, where an array could be: `*-1` or `_`.
pub fn null_array(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::Resp2 => b"*-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// The header of an array; `elements` replies follow.
pub fn array(out: &mut Vec<u8>, elements: usize) {
    header(out, b'*', elements, 0);
}

/// The header of a map; `pairs` times a key and a value follow.
pub fn map(out: &mut Vec<u8>, protocol: Protocol, pairs: usize) {
    match protocol {
        Protocol::Resp2 => header(out, b'*', pairs * 2, 0),
        Protocol::Resp3 => header(out, b'%', pairs, 0),
    }
}

/// The header of a set; `elements` replies follow.
pub fn set(out: &mut Vec<u8>, protocol: Protocol, elements: usize) {
    header(out, by_protocol(protocol, b'*', b'~'), elements, 0);
}

/// The header of a message that no request asked for; `elements` replies follow.
pub fn push(out: &mut Vec<u8>, protocol: Protocol, elements: usize) {
    header(out, by_protocol(protocol, b'*', b'>'), elements, 0);
}

/// `#t` or `#f`; 1 or 0 in RESP2.
pub fn boolean(out: &mut Vec<u8>, protocol: Protocol, value: bool) {
    match protocol {
        Protocol::Resp2 => integer(out, i64::from(value)),
        Protocol::Resp3 => out.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" }),
    }
}

/// A double in the shortest form that reads back as the same; a bulk string in RESP2.
pub fn double(out: &mut Vec<u8>, protocol: Protocol, number: f64) {
    let text = double_text(number);
    match protocol {
        Protocol::Resp2 => bulk(out, text.as_bytes()),
        Protocol::Resp3 => line(out, b',', text.as_bytes()),
    }
}

/// An integer of any size, given as its decimal digits; a bulk string in RESP2.
pub fn big_number(out: &mut Vec<u8>, protocol: Protocol, digits: &[u8]) {
    match protocol {
        Protocol::Resp2 => bulk(out, digits),
        Protocol::Resp3 => line(out, b'(', digits),
    }
}

/// Text to be shown as it is, such as that of INFO; a bulk string in RESP2.
pub fn verbatim(out: &mut Vec<u8>, protocol: Protocol, format: &VerbatimStringFormat, text: &[u8]) {
    match protocol {
        Protocol::Resp2 => bulk(out, text),
        Protocol::Resp3 => {
            let prefix: &[u8; 4] = match format {
                VerbatimStringFormat::Text => b"txt:",
                VerbatimStringFormat::Markdown => b"mkd:",
            };
            header(out, b'=', prefix.len() + text.len(), prefix.len() + text.len() + LINE_END.len());
            out.extend_from_slice(prefix);
            out.extend_from_slice(text);
            out.extend_from_slice(LINE_END);
        }
    }
}

/// A whole tree of replies, attributes included (RESP2 has none and omits them).
///
/// The tree is one that a command has built, so its depth is that command's and recursion is safe.
pub fn frame(out: &mut Vec<u8>, protocol: Protocol, frame: &BytesFrame) {
    attributes_of(out, protocol, frame);
    match frame {
        BytesFrame::BlobString { data, .. } | BytesFrame::ChunkedString(data) => bulk(out, data),
        BytesFrame::BlobError { data, .. } => blob_error(out, protocol, data),
        BytesFrame::SimpleString { data, .. } => line(out, b'+', data),
        BytesFrame::SimpleError { data, .. } => error(out, data),
        BytesFrame::Boolean { data, .. } => boolean(out, protocol, *data),
        BytesFrame::Null => null(out, protocol),
        BytesFrame::Number { data, .. } => integer(out, *data),
        BytesFrame::Double { data, .. } => double(out, protocol, *data),
        BytesFrame::BigNumber { data, .. } => big_number(out, protocol, data),
        BytesFrame::VerbatimString { data, format, .. } => verbatim(out, protocol, format, data),
        BytesFrame::Array { data, .. } => {
            array(out, data.len());
            frames(out, protocol, data);
        }
        BytesFrame::Map { data, .. } => {
            map(out, protocol, data.len());
            frames(out, protocol, data.iter().flat_map(<[&BytesFrame; 2]>::from));
        }
        BytesFrame::Set { data, .. } => {
            set(out, protocol, data.len());
            frames(out, protocol, data);
        }
        BytesFrame::Push { data, .. } => {
            push(out, protocol, data.len());
            frames(out, protocol, data);
        }
        BytesFrame::Hello { .. } => error(out, "ERR HELLO is a request, not a reply"),
    }
}

fn frames<'a>(out: &mut Vec<u8>, protocol: Protocol, elements: impl IntoIterator<Item = &'a BytesFrame>) {
    for element in elements {
        frame(out, protocol, element);
    }
}

fn attributes_of(out: &mut Vec<u8>, protocol: Protocol, frame: &BytesFrame) {
    let (Protocol::Resp3, Some(attributes)) = (protocol, frame.attributes()) else { return };
    header(out, b'|', attributes.len(), 0);
    frames(out, protocol, attributes.iter().flat_map(<[&BytesFrame; 2]>::from));
}

fn blob_error(out: &mut Vec<u8>, protocol: Protocol, text: &[u8]) {
    match protocol {
        Protocol::Resp2 => line(out, b'-', text),
        Protocol::Resp3 => {
            header(out, b'!', text.len(), text.len() + LINE_END.len());
            out.extend_from_slice(text);
            out.extend_from_slice(LINE_END);
        }
    }
}

fn by_protocol(protocol: Protocol, resp2: u8, resp3: u8) -> u8 {
    match protocol {
        Protocol::Resp2 => resp2,
        Protocol::Resp3 => resp3,
    }
}

/// `$<number>\r\n` of a number with up to three digits.
#[derive(Clone, Copy)]
struct ShortHeader {
    text: [u8; 7],
    /// How many bytes of the text are meant.
    len: u8,
}

/// The headers of bulk strings of common sizes: every key has one of them, and nearly every value.
static SHORT_BULK_HEADERS: [ShortHeader; 1000] = short_bulk_headers();

const fn short_bulk_headers() -> [ShortHeader; 1000] {
    let mut headers = [ShortHeader { text: [0; 7], len: 0 }; 1000];
    let mut number = 0;
    while number < headers.len() {
        let [ones, tens, hundreds] = [digit(number), digit(number / 10), digit(number / 100)];
        headers[number] = match number {
            0..10 => ShortHeader { text: [b'$', ones, b'\r', b'\n', 0, 0, 0], len: 4 },
            10..100 => ShortHeader { text: [b'$', tens, ones, b'\r', b'\n', 0, 0], len: 5 },
            _ => ShortHeader { text: [b'$', hundreds, tens, ones, b'\r', b'\n', 0], len: 6 },
        };
        number += 1;
    }
    headers
}

/// The last digit of a number.
const fn digit(number: usize) -> u8 {
    b'0' + (number % 10).to_le_bytes()[0]
}

/// Appends `<kind><number>\r\n`, with room made for it and for `more` bytes.
#[inline]
fn header(out: &mut Vec<u8>, kind: u8, number: impl itoa::Integer, more: usize) {
    out.reserve(HEADER_BYTES_MAX + more);
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(LINE_END);
}

/// Appends `<kind><text>\r\n` with the text's own line ends made spaces.
fn line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.reserve(1 + text.len() + LINE_END.len());
    out.push(kind);
    let start = out.len();
    out.extend_from_slice(text);
    for byte in &mut out[start..] {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    out.extend_from_slice(LINE_END);
}

fn double_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    let size = number.abs();
    let plain = size == 0.0 || size.is_infinite() || (PLAIN_DOUBLE_MIN..PLAIN_DOUBLE_MAX).contains(&size);
    if plain { number.to_string() } else { format!("{number:e}") }
}
