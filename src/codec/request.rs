//! Requests from clients and peers: an array of bulk strings, or an inline line.
//!
//! Empty requests (`*0`, `*-1`, a line without words) are passed over without an answer, as in Redis: `redis-cli --pipe`
//! sends an empty line between commands.

use bytes::BytesMut;
use memchr::memchr;
use tokio_util::codec::Decoder;

use super::bulk_array::BulkArray;
use super::requests::Requests;
use super::{DecodeLimits, ProtocolError, inline, whole_frame};

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
/// As a [`Decoder`] it yields one request at a time, each in a batch of its own; [`Self::decode_up_to`] yields many. After an
/// error it takes all further bytes and yields nothing more: the connection is to be closed.
///
/// ```
/// use bytes::BytesMut;
/// use ringkv::codec::{DecodeLimits, RequestDecoder};
/// use tokio_util::codec::Decoder;
/// let mut decoder = RequestDecoder::new(DecodeLimits::default());
/// let mut buffer = BytesMut::from("*2\r\n$3\r\nGET\r\n$1\r\nk\r\nSET k 'a ");
/// let get = decoder.decode(&mut buffer)?.expect("the first request has arrived");
/// assert_eq!(get.first().args().collect::<Vec<_>>(), [b"GET".as_slice(), b"k"]);
/// assert!(decoder.decode(&mut buffer)?.is_none());
/// buffer.extend_from_slice(b"b'\r\n");
/// let set = decoder.decode(&mut buffer)?.expect("now the second one has, too");
/// assert_eq!(set.first().arg(2), b"a b");
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

    /// Replaces `requests` by what has arrived whole, `requests_max` at most, and takes their bytes from `buffer`.
    ///
    /// # Errors
    /// The framing broke behind the requests that were decoded; nothing after it can be trusted.
    // Once per batch, and a function of its own in profiles: scripts/budget.py counts it.
    #[inline(never)]
    pub fn decode_up_to(
        &mut self,
        requests_max: usize,
        buffer: &mut BytesMut,
        requests: &mut Requests,
    ) -> Result<(), ProtocolError> {
        requests.clear();
        if self.broken {
            buffer.clear();
            return Ok(());
        }
        let mut used = 0;
        let read = self.read_up_to(requests_max, buffer, &mut used, requests);
        if used > 0 {
            requests.lie_in(buffer.split_to(used).freeze());
        }
        match read {
            Ok(()) => self.array.reserve(buffer),
            Err(_) => {
                self.broken = true;
                buffer.clear();
            }
        }
        read
    }

    /// Reads requests from `used` on, which it moves behind them.
    #[inline]
    fn read_up_to(
        &mut self,
        requests_max: usize,
        buffer: &mut BytesMut,
        used: &mut usize,
        requests: &mut Requests,
    ) -> Result<(), ProtocolError> {
        while requests.len() < requests_max && *used < buffer.len() {
            if matches!(self.stage, Stage::Start)
                && let Some(end) = whole_frame::read(buffer, *used, &self.limits, requests.spans())
            {
                requests.close(end - *used).ok_or(ProtocolError::FrameTooLong)?;
                *used = end;
            } else if !self.read_closely(buffer, used, requests)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads on in what cannot be read the quick way: false once more bytes are needed.
    #[inline(never)]
    fn read_closely(
        &mut self,
        buffer: &mut BytesMut,
        used: &mut usize,
        requests: &mut Requests,
    ) -> Result<bool, ProtocolError> {
        let start = *used;
        let (frame_bytes, spans) = match self.find(&buffer[start..])? {
            Found::Nothing => return Ok(false),
            Found::Skip(bytes) => (bytes, self.array.finish()),
            Found::Array => (self.array.frame_bytes(), self.array.finish()),
            Found::Line { words, frame } => (frame, inline::split(&mut buffer[start..start + words])?),
        };
        self.stage = Stage::Start;
        *used += frame_bytes;
        if !spans.is_empty() {
            for span in spans {
                requests.spans().push(span.behind(start).ok_or(ProtocolError::FrameTooLong)?);
            }
            requests.close(frame_bytes).ok_or(ProtocolError::FrameTooLong)?;
        }
        Ok(true)
    }
}

impl Decoder for RequestDecoder {
    type Item = Requests;
    type Error = ProtocolError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Requests>, ProtocolError> {
        let mut requests = Requests::default();
        self.decode_up_to(1, buffer, &mut requests)?;
        Ok((!requests.is_empty()).then_some(requests))
    }
}
