//! Counts replies as they come in pieces, and looks at no more of them than it must.

use std::io::{self, ErrorKind};

/// What is still to come of the replies to one pipeline.
#[derive(Default)]
pub(crate) struct Replies {
    /// Replies, and parts of replies, that have not begun.
    open: u64,
    /// Bytes of the present value that are still to come, its line end included.
    value: usize,
    /// The beginning of a line whose end is still to come.
    line: Vec<u8>,
    /// How many replicas WAIT has to count.
    replicas: u32,
    /// Values that were asked for and do not exist.
    pub(crate) missing: u64,
    /// Error replies, and the text of the first.
    pub(crate) errors: u64,
    pub(crate) error: Option<String>,
}

impl Replies {
    /// Replies of which those to WAIT have to count so many replicas.
    pub(crate) fn new(replicas: u32) -> Self {
        Self { replicas, ..Self::default() }
    }

    /// So many more are on their way.
    pub(crate) fn expect(&mut self, replies: u64) {
        self.open += replies;
    }

    /// Whether nothing more is to come.
    pub(crate) fn are_complete(&self) -> bool {
        self.open == 0 && self.value == 0
    }

    /// Takes what was read. A reply that nobody can have asked for is an error; one that refuses a request is counted.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let skipped = self.value.min(bytes.len());
            self.value -= skipped;
            bytes = &bytes[skipped..];
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.line.extend_from_slice(bytes);
                break;
            };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.line.is_empty() {
                self.begin(line)?;
            } else {
                self.line.extend_from_slice(line);
                let line = std::mem::take(&mut self.line);
                self.begin(&line)?;
            }
        }
        Ok(())
    }

    /// A line with its end: a whole reply, or the head of one.
    fn begin(&mut self, line: &[u8]) -> io::Result<()> {
        let text = line.strip_suffix(b"\r\n").unwrap_or_default();
        self.open = self.open.checked_sub(1).ok_or_else(|| malformed(format!("nobody asked for {}", shown(line))))?;
        match text {
            b"+OK" => {}
            b"$-1" | b"_" => self.missing += 1,
            [b'-', ..] => {
                self.errors += 1;
                self.error.get_or_insert_with(|| shown(line));
            }
            [b'$', length @ ..] => self.value = number(length)? + b"\r\n".len(),
            [b'*', length @ ..] => self.open += number(length)? as u64,
            [b':', count @ ..] if number(count)? >= self.replicas as usize => {}
            _ => return Err(malformed(shown(line))),
        }
        Ok(())
    }
}

fn number(digits: &[u8]) -> io::Result<usize> {
    let text = std::str::from_utf8(digits).unwrap_or_default();
    text.parse().map_err(|_| malformed(format!("{} is no number", shown(digits))))
}

fn malformed(text: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end().to_owned()
}
