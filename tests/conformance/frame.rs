//! Replies as they came: every byte, and the tree that they spell, for those that are not compared byte for byte.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::harness::{PATIENCE, command};

/// How far apart numbers may be that are nearly equal, such as a time to live that was asked for a moment later.
const NEAR_PERCENT: i64 = 2;
/// The same for small numbers.
const NEAR_MIN: i64 = 2;

/// One value of RESP2 or RESP3.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Frame {
    /// The byte that it begins with.
    pub(crate) kind: u8,
    /// Its text or bytes; the number of children of those that have any; `-1` for RESP2's two kinds of nil.
    pub(crate) content: Vec<u8>,
    pub(crate) children: Vec<Frame>,
}

impl Frame {
    /// Whether it is an aggregate.
    fn is_aggregate(&self) -> bool {
        matches!(self.kind, b'*' | b'%' | b'~' | b'>')
    }

    /// The same with the members of every aggregate sorted, which makes a set of an array.
    pub(crate) fn sorted(&self) -> Self {
        let mut sorted: Vec<Self> = self.children.iter().map(Self::sorted).collect();
        if self.kind == b'%' {
            let mut pairs: Vec<&[Self]> = sorted.chunks(2).collect();
            pairs.sort();
            sorted = pairs.concat();
        } else {
            sorted.sort();
        }
        let kind = if self.kind == b'~' { b'*' } else { self.kind };
        Self { kind, children: sorted, ..self.clone() }
    }

    /// Whether both have one shape and equal texts, and numbers that nearly are.
    pub(crate) fn is_near(&self, other: &Self) -> bool {
        if self.kind != other.kind || self.children.len() != other.children.len() {
            return false;
        }
        let contents = self.content == other.content || (self.kind == b':' && numbers_near(self, other));
        contents && self.children.iter().zip(&other.children).all(|(one, other)| one.is_near(other))
    }

    /// The number that it is.
    pub(crate) fn number(&self) -> Option<i64> {
        std::str::from_utf8(&self.content).ok()?.parse().ok()
    }
}

fn numbers_near(one: &Frame, other: &Frame) -> bool {
    let (Some(one), Some(other)) = (one.number(), other.number()) else { return false };
    // What is below zero has a meaning of its own, and is not nearly anything.
    one >= 0 && other >= 0 && one.abs_diff(other) <= (one / 100 * NEAR_PERCENT).max(NEAR_MIN).unsigned_abs()
}

/// A reply: its bytes and what they mean.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) frame: Frame,
}

/// A connection whose replies are kept as bytes.
pub(crate) struct Wire {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Wire {
    /// Connects to a port of this machine and speaks this version of the protocol.
    pub(crate) fn connect(port: u16, protocol: u8) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        let mut wire = Self { stream, reader };
        if protocol == 3 {
            wire.ask(&["HELLO", "3"])?;
        }
        Ok(wire)
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The reply to a command.
    pub(crate) fn ask<T: AsRef<[u8]>>(&mut self, words: &[T]) -> io::Result<Answer> {
        self.send(&command(words))?;
        self.answer()
    }

    /// The next reply.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        let frame = self.frame(&mut bytes)?;
        Ok(Answer { bytes, frame })
    }

    /// All that comes until `end` has come or the connection ends, without `end`.
    pub(crate) fn bytes_until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end) {
            let mut byte = [0];
            match self.reader.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let so_far = bytes.escape_ascii();
                    return Err(io::Error::new(ErrorKind::TimedOut, format!("nothing more comes after \"{so_far}\"")));
                }
                // A reset is an end as well: the server did not take all that was sent.
                _ => return Ok([&bytes[..], b"<closed>"].concat()),
            }
        }
        bytes.truncate(bytes.len() - end.len());
        Ok(bytes)
    }

    fn frame(&mut self, bytes: &mut Vec<u8>) -> io::Result<Frame> {
        let line = self.line(bytes)?;
        let (&kind, content) = line.split_first().ok_or_else(|| malformed(&line))?;
        let mut frame = Frame { kind, content: content.to_vec(), children: Vec::new() };
        match kind {
            b'$' | b'=' | b'!' if content != b"-1" => frame.content = self.bulk(&frame, bytes)?,
            b'+' | b'-' | b':' | b'$' | b'_' | b',' | b'#' | b'(' => {}
            _ if frame.is_aggregate() => {
                // RESP2's nil array has none.
                let count = frame.number().ok_or_else(|| malformed(&line))?.max(0);
                let count = if kind == b'%' { count * 2 } else { count };
                frame.children = (0..count).map(|_| self.frame(bytes)).collect::<io::Result<_>>()?;
            }
            _ => return Err(malformed(&line)),
        }
        Ok(frame)
    }

    fn bulk(&mut self, head: &Frame, bytes: &mut Vec<u8>) -> io::Result<Vec<u8>> {
        let length = head.number().and_then(|number| usize::try_from(number).ok());
        let length = length.ok_or_else(|| malformed(&head.content))?;
        let mut content = vec![0; length + 2];
        self.reader.read_exact(&mut content)?;
        bytes.extend_from_slice(&content);
        content.truncate(length);
        Ok(content)
    }

    fn line(&mut self, bytes: &mut Vec<u8>) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        bytes.extend_from_slice(&line);
        if !line.ends_with(b"\r\n") {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("ended after {line:?}")));
        }
        line.truncate(line.len() - 2);
        Ok(line)
    }
}

fn malformed(line: &[u8]) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("no reply: {:?}", String::from_utf8_lossy(line)))
}
