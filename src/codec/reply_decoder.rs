//! Peers' answers: a line, a bulk string, or an array of bulk strings.
//!
//! A peer is another process and may be anything that listens on its port, so the same bounds hold here as for
//! requests, and what a peer never sends is an error rather than a frame to look into.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use tokio_util::codec::Decoder;

use super::bulk_array::BulkArray;
use super::{DecodeLimits, ProtocolError, integer};

/// One answer. Text and values keep the read buffer alive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplyFrame {
    /// `+text`
    Simple(Bytes),
    /// `-text`
    Error(Bytes),
    /// `:number`
    Integer(i64),
    /// `$length`, then so many bytes.
    Bulk(Bytes),
    /// `$-1`, `*-1` or `_`
    Null,
    /// `*count`, then so many bulk strings, none of them null.
    Array(Vec<Bytes>),
}

/// What the bytes at the start of the buffer belong to.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The first byte of an answer decides.
    Start,
    /// A line without a carriage return in the first `searched` bytes.
    Line { searched: usize },
    /// An array whose count is not read yet.
    Count,
    /// An array whose count is read.
    Elements,
    /// `$`, and whether a null follows is not known yet.
    BulkOrNull,
    /// A bulk string.
    Bulk,
}

/// What a look at the buffer has shown.
enum Found {
    /// More bytes are needed.
    Nothing,
    /// A line of so many bytes, without its end.
    Line(usize),
    /// The reader has a complete bulk string.
    Bulk,
    /// The reader has a complete array.
    Array,
    /// An array of negative length.
    NullArray,
}

/// Decodes a peer's byte stream into answers. One per link.
///
/// After an error it takes all further bytes and yields nothing more: the link is to be closed.
#[derive(Debug)]
pub struct ReplyDecoder {
    limits: DecodeLimits,
    stage: Stage,
    array: BulkArray,
    /// The framing broke: nothing after it can be trusted.
    broken: bool,
}

impl ReplyDecoder {
    /// A decoder at the start of a link.
    #[must_use]
    pub fn new(limits: DecodeLimits) -> Self {
        Self { limits, stage: Stage::Start, array: BulkArray::default(), broken: false }
    }

    /// Bytes and elements looked at so far.
    #[cfg(test)]
    pub(super) fn work(&self) -> usize {
        self.array.work
    }

    /// Reads on until something is found or the bytes are used up.
    fn find(&mut self, buffer: &[u8]) -> Result<Found, ProtocolError> {
        loop {
            match self.stage {
                Stage::Start => match buffer.first() {
                    None => return Ok(Found::Nothing),
                    Some(first) => self.stage = stage_after(*first)?,
                },
                Stage::Line { searched } => return self.find_line(buffer, searched),
                Stage::Count => match self.array.read_count(buffer, &self.limits)? {
                    None => return Ok(Found::Nothing),
                    Some(-1) => return Ok(Found::NullArray),
                    Some(..-1) => return Err(ProtocolError::ArrayLength),
                    Some(0..) => self.stage = Stage::Elements,
                },
                Stage::Elements => {
                    let complete = self.array.read_bulks(buffer, &self.limits)?;
                    return Ok(if complete { Found::Array } else { Found::Nothing });
                }
                Stage::BulkOrNull => match buffer.get(1) {
                    None => return Ok(Found::Nothing),
                    Some(b'-') => self.stage = Stage::Line { searched: 0 },
                    Some(_) => {
                        self.array.expect_one();
                        self.stage = Stage::Bulk;
                    }
                },
                Stage::Bulk => {
                    let complete = self.array.read_bulks(buffer, &self.limits)?;
                    return Ok(if complete { Found::Bulk } else { Found::Nothing });
                }
            }
        }
    }

    fn find_line(&mut self, buffer: &[u8], searched: usize) -> Result<Found, ProtocolError> {
        let found = memchr(b'\r', &buffer[searched..]);
        let line_bytes = found.map_or(buffer.len(), |index| searched + index);
        #[cfg(test)]
        {
            self.array.work += line_bytes - searched;
        }
        if line_bytes > self.limits.inline_bytes_max {
            return Err(ProtocolError::ReplyLine);
        }
        self.stage = Stage::Line { searched: line_bytes };
        match buffer.get(line_bytes + 1) {
            None => Ok(Found::Nothing),
            Some(b'\n') => Ok(Found::Line(line_bytes)),
            Some(_) => Err(ProtocolError::ReplyLine),
        }
    }

    fn next_reply(&mut self, buffer: &mut BytesMut) -> Result<Option<ReplyFrame>, ProtocolError> {
        let reply = match self.find(buffer)? {
            Found::Nothing => {
                self.array.reserve(buffer);
                return Ok(None);
            }
            Found::Line(line_bytes) => {
                let mut line = buffer.split_to(line_bytes + 2).freeze();
                line.truncate(line_bytes);
                line_reply(line)?
            }
            Found::Bulk => {
                let frame = buffer.split_to(self.array.frame_bytes()).freeze();
                let spans = self.array.finish();
                ReplyFrame::Bulk(spans[0].slice(&frame))
            }
            Found::Array => {
                let frame = buffer.split_to(self.array.frame_bytes()).freeze();
                let spans = self.array.finish();
                ReplyFrame::Array(spans.iter().map(|span| span.slice(&frame)).collect())
            }
            Found::NullArray => {
                buffer.advance(self.array.frame_bytes());
                self.array.finish();
                ReplyFrame::Null
            }
        };
        self.stage = Stage::Start;
        Ok(Some(reply))
    }
}

impl Decoder for ReplyDecoder {
    type Item = ReplyFrame;
    type Error = ProtocolError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<ReplyFrame>, ProtocolError> {
        if self.broken {
            buffer.clear();
            return Ok(None);
        }
        self.next_reply(buffer).inspect_err(|_| {
            self.broken = true;
            buffer.clear();
        })
    }
}

fn stage_after(first: u8) -> Result<Stage, ProtocolError> {
    match first {
        b'+' | b'-' | b':' | b'_' => Ok(Stage::Line { searched: 0 }),
        b'$' => Ok(Stage::BulkOrNull),
        b'*' => Ok(Stage::Count),
        other => Err(ProtocolError::ReplyType(other)),
    }
}

/// The answer that a line is, without its end.
fn line_reply(mut line: Bytes) -> Result<ReplyFrame, ProtocolError> {
    match line.get_u8() {
        b'+' => Ok(ReplyFrame::Simple(line)),
        b'-' => Ok(ReplyFrame::Error(line)),
        b':' => integer::parse(&line).map(ReplyFrame::Integer).ok_or(ProtocolError::ReplyLine),
        b'_' if line.is_empty() => Ok(ReplyFrame::Null),
        b'$' if line == "-1" => Ok(ReplyFrame::Null),
        b'$' => Err(ProtocolError::BulkLength),
        _ => Err(ProtocolError::ReplyLine),
    }
}
