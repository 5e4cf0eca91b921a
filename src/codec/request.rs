//! Requests from clients and peers: an array of bulk strings, or an inline line.
//!
//! Empty requests (`*0`, `*-1`, a line without words) are passed over without an answer, as in Redis: `redis-cli --pipe`
//! sends an empty line between commands.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use tokio_util::codec::Decoder;

use super::bulk_array::{BulkArray, Spans};
use super::{DecodeLimits, ProtocolError, inline};

/// One request with at least one argument, the command's name. Cheap to move; keeps its read buffer alive.
pub struct Request {
    frame: Bytes,
    spans: Spans,
}

impl Request {
    /// How many arguments there are, the command's name included.
    #[must_use]
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "a request is never empty")]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Argument `index`; 0 is the command's name. Panics from [`Self::len`] on.
    #[must_use]
    #[inline]
    pub fn arg(&self, index: usize) -> &[u8] {
        self.spans[index].of(&self.frame)
    }

    /// Argument `index` as a handle on the read buffer, without a copy. Panics from [`Self::len`] on.
    #[must_use]
    #[inline]
    pub fn bytes(&self, index: usize) -> Bytes {
        self.spans[index].slice(&self.frame)
    }

    /// All arguments in order.
    pub fn args(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.spans.iter().map(|span| span.of(&self.frame))
    }

    /// How many bytes of its read buffer the request spans.
    #[must_use]
    #[inline]
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }
}

impl fmt::Debug for Request {
    /// Shape only: arguments are the client's secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Request").field("len", &self.len()).field("frame_len", &self.frame_len()).finish()
    }
}

/// What the bytes at the start of the buffer belong to.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The first byte of a request decides.
    Start,
    /// An array whose count is not read yet.
    Count,
    /// An array whose count is read.
    Bulks,
    /// A line without an end in the first `searched` bytes.
    Line { searched: usize },
}

/// What a look at the buffer has shown.
enum Found {
    /// More bytes are needed.
    Nothing,
    /// So many bytes that ask for nothing.
    Skip(usize),
    /// The reader has a complete array.
    Array,
    /// A line of `words` bytes, `frame` with its end.
    Line { words: usize, frame: usize },
}

/// Decodes a client's byte stream into requests. One per connection.
///
/// After an error it takes all further bytes and yields nothing more: the connection is to be closed.
///
/// ```
/// use bytes::BytesMut;
/// use ringkv::codec::{DecodeLimits, RequestDecoder};
/// use tokio_util::codec::Decoder;
/// let mut decoder = RequestDecoder::new(DecodeLimits::default());
/// let mut buffer = BytesMut::from("*2\r\n$3\r\nGET\r\n$1\r\nk\r\nSET k 'a ");
/// let get = decoder.decode(&mut buffer)?.expect("the first request has arrived");
/// assert_eq!(get.args().collect::<Vec<_>>(), [b"GET".as_slice(), b"k"]);
/// assert!(decoder.decode(&mut buffer)?.is_none());
/// buffer.extend_from_slice(b"b'\r\n");
/// let set = decoder.decode(&mut buffer)?.expect("now the second one has, too");
/// assert_eq!(set.arg(2), b"a b");
/// # Ok::<(), ringkv::codec::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct RequestDecoder {
    limits: DecodeLimits,
    stage: Stage,
    array: BulkArray,
    /// The framing broke: nothing after it can be trusted.
    broken: bool,
}

impl RequestDecoder {
    /// A decoder at the start of a connection.
    #[must_use]
    pub fn new(limits: DecodeLimits) -> Self {
        Self { limits, stage: Stage::Start, array: BulkArray::default(), broken: false }
    }

    /// From now on other limits apply: it has turned out who is speaking.
    pub fn limit(&mut self, limits: DecodeLimits) {
        self.limits = limits;
    }

    /// Bytes and arguments looked at so far.
    #[cfg(test)]
    pub(super) fn work(&self) -> usize {
        self.array.work
    }

    /// Reads on until something is found or the bytes are used up.
    #[inline]
    fn find(&mut self, buffer: &[u8]) -> Result<Found, ProtocolError> {
        loop {
            match self.stage {
                Stage::Start => match buffer.first() {
                    None => return Ok(Found::Nothing),
                    Some(b'*') => self.stage = Stage::Count,
                    Some(_) => self.stage = Stage::Line { searched: 0 },
                },
                Stage::Count => match self.array.read_count(buffer, &self.limits)? {
                    None => return Ok(Found::Nothing),
                    Some(..=0) => return Ok(Found::Skip(self.array.frame_bytes())),
                    Some(_) => self.stage = Stage::Bulks,
                },
                Stage::Bulks => {
                    let complete = self.array.read_bulks(buffer, &self.limits)?;
                    return Ok(if complete { Found::Array } else { Found::Nothing });
                }
                Stage::Line { searched } => return self.find_line(buffer, searched),
            }
        }
    }

    fn find_line(&mut self, buffer: &[u8], searched: usize) -> Result<Found, ProtocolError> {
        let found = memchr(b'\n', &buffer[searched..]);
        let line_bytes = found.map_or(buffer.len(), |index| searched + index);
        #[cfg(test)]
        {
            self.array.work += line_bytes - searched;
        }
        if line_bytes > self.limits.inline_bytes_max {
            return Err(ProtocolError::InlineTooLong);
        }
        if found.is_none() {
            self.stage = Stage::Line { searched: line_bytes };
            return Ok(Found::Nothing);
        }
        let carriage_return = usize::from(buffer[..line_bytes].ends_with(b"\r"));
        Ok(Found::Line { words: line_bytes - carriage_return, frame: line_bytes + 1 })
    }

    /// Makes ready for the next request.
    #[inline]
    fn finish(&mut self) -> Spans {
        self.stage = Stage::Start;
        self.array.finish()
    }

    /// The next request, if it has arrived.
    #[inline]
    fn next_request(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, ProtocolError> {
        while !buffer.is_empty() {
            match self.find(buffer)? {
                Found::Nothing => {
                    self.array.reserve(buffer);
                    return Ok(None);
                }
                Found::Skip(bytes) => {
                    buffer.advance(bytes);
                    self.finish();
                }
                Found::Array => {
                    let frame = buffer.split_to(self.array.frame_bytes()).freeze();
                    return Ok(Some(Request { frame, spans: self.finish() }));
                }
                Found::Line { words, frame } => {
                    self.stage = Stage::Start;
                    let mut frame = buffer.split_to(frame);
                    let spans = inline::split(&mut frame[..words])?;
                    if !spans.is_empty() {
                        return Ok(Some(Request { frame: frame.freeze(), spans }));
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Decoder for RequestDecoder {
    type Item = Request;
    type Error = ProtocolError;

    #[inline]
    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, ProtocolError> {
        if self.broken {
            buffer.clear();
            return Ok(None);
        }
        self.next_request(buffer).inspect_err(|_| {
            self.broken = true;
            buffer.clear();
        })
    }
}
