//! Inline requests: words on a plain line, as a person types them.
//!
//! Words are separated by white space. Within double quotes `\n`, `\r`, `\t`, `\a`, `\b` and `\xHH` stand for bytes and
//! a backslash before any other byte for that byte; within single quotes only `\'` is special. A closing quote ends its
//! word, an opening one does not begin it (`a"b c"` is one word). A word without its quotes and escapes is never longer
//! than with them, so words are unpacked within the line's own bytes.

use super::ProtocolError;
use super::bulk_array::{Span, Spans};

/// Unpacks the words of `line` towards its start and says where they lie now.
///
/// # Errors
/// A quote is not closed, or something other than white space follows a closing quote.
pub(super) fn split(line: &mut [u8]) -> Result<Spans, ProtocolError> {
    let mut words = Words { line, next: 0, end: 0 };
    let mut spans = Spans::new();
    while words.skip_space() {
        let start = words.end;
        words.unpack_word()?;
        spans.push(Span::new(start, words.end).ok_or(ProtocolError::InlineTooLong)?);
    }
    Ok(spans)
}

/// A line while it is unpacked: `end` never passes `next`.
struct Words<'a> {
    line: &'a mut [u8],
    /// The next byte to read.
    next: usize,
    /// Where the next unpacked byte goes.
    end: usize,
}

impl Words<'_> {
    /// Passes over white space: false at the end of the line.
    fn skip_space(&mut self) -> bool {
        while self.peek().is_some_and(is_space) {
            self.next += 1;
        }
        self.peek().is_some()
    }

    fn unpack_word(&mut self) -> Result<(), ProtocolError> {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => return Ok(()),
                b'"' => return self.unpack_double_quoted(),
                b'\'' => return self.unpack_single_quoted(),
                _ => self.copy_byte(),
            }
        }
        Ok(())
    }

    fn unpack_double_quoted(&mut self) -> Result<(), ProtocolError> {
        self.next += 1;
        loop {
            match self.rest() {
                [] => return Err(ProtocolError::UnbalancedQuotes),
                [b'"', ..] => return self.close_quote(),
                [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    let byte = hex_value(*high) << 4 | hex_value(*low);
                    self.put(byte, 4);
                }
                [b'\\', escaped, ..] => {
                    let byte = unescaped(*escaped);
                    self.put(byte, 2);
                }
                _ => self.copy_byte(),
            }
        }
    }

    fn unpack_single_quoted(&mut self) -> Result<(), ProtocolError> {
        self.next += 1;
        loop {
            match self.rest() {
                [] => return Err(ProtocolError::UnbalancedQuotes),
                [b'\'', ..] => return self.close_quote(),
                [b'\\', b'\'', ..] => self.put(b'\'', 2),
                _ => self.copy_byte(),
            }
        }
    }

    fn close_quote(&mut self) -> Result<(), ProtocolError> {
        self.next += 1;
        if self.peek().is_none_or(is_space) { Ok(()) } else { Err(ProtocolError::UnbalancedQuotes) }
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.next).copied()
    }

    fn rest(&self) -> &[u8] {
        &self.line[self.next..]
    }

    fn copy_byte(&mut self) {
        self.put(self.line[self.next], 1);
    }

    /// Writes one byte for `read` bytes of the line.
    fn put(&mut self, byte: u8, read: usize) {
        self.next += read;
        self.line[self.end] = byte;
        self.end += 1;
    }
}

/// White space as C's `isspace` has it: one byte, the vertical tab, more than Rust's.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'\x0b'
}

fn unescaped(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => b'\x08',
        b'a' => b'\x07',
        other => other,
    }
}

/// The value of a hexadecimal digit.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
