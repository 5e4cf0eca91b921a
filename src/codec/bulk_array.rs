//! An array of bulk strings, read as its bytes arrive.
//!
//! The reader never holds bytes: it is shown everything of the frame that has arrived so far and remembers by offset
//! what it has understood. So a caller may move the bytes to another buffer between two calls, and no byte before
//! `position` is looked at twice. A header that has not ended is searched on from `searched`.

use bytes::{Bytes, BytesMut};
use memchr::memchr;
use smallvec::SmallVec;

use super::{DecodeLimits, ProtocolError, integer};

/// Arguments that need no allocation of their own: enough for `SET key value PX ms NX`.
const INLINE_SPANS: usize = 6;
/// How much room is made beyond the bytes received, in bytes, until a part of that has been received.
const AHEAD_BYTES_MAX: usize = 1 << 20;
/// From then on so many times the bytes received: whoever moves to more room copies them, and nobody should copy much at
/// a time. Room that is never written to is no memory.
const AHEAD_TIMES: usize = 16;
/// Less room than this, in bytes, is worth making more: what a read from a socket takes at once.
const READ_BYTES_MIN: usize = 16 << 10;
/// A bulk string of so many bytes gets a buffer that holds hardly anything else, so that whoever wants to keep it need not
/// copy it.
pub const LARGE_BULK_BYTES: usize = 1 << 20;
/// Room behind a large bulk string, in bytes, for what else its frame may have. It may be used for the next frame as well.
pub(super) const BEHIND_BYTES: usize = 4 << 10;
/// What may lie beside a large bulk string that is kept with its buffer.
pub(super) const OTHER_BYTES_MAX: usize = LARGE_BULK_BYTES / 16;
/// What ends a header and a bulk string.
const LINE_END: &[u8] = b"\r\n";

/// Where in its frame a bulk string lies. Half the size of a range of `usize`, so that a [`Spans`] is small to move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

/// The bulk strings of one frame, in order.
pub(super) type Spans = SmallVec<[Span; INLINE_SPANS]>;

impl Span {
    /// The span, if it lies within the first 4 GiB of its frame.
    #[inline]
    pub(super) fn new(start: usize, end: usize) -> Option<Self> {
        Some(Self { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    /// The same span where its frame begins `bytes` into a larger buffer, if it lies within the first 4 GiB of that.
    pub(super) fn behind(self, bytes: usize) -> Option<Self> {
        Self::new(bytes + self.start as usize, bytes + self.end as usize)
    }

    /// Where it begins and ends.
    #[inline]
    pub(super) fn bounds(self) -> (usize, usize) {
        (self.start as usize, self.end as usize)
    }

    /// The bytes of the span in its frame.
    #[inline]
    pub(super) fn of(self, frame: &[u8]) -> &[u8] {
        &frame[self.start as usize..self.end as usize]
    }

    /// The same as a handle on the frame's buffer.
    #[inline]
    pub(super) fn slice(self, frame: &Bytes) -> Bytes {
        frame.slice(self.start as usize..self.end as usize)
    }
}

/// A header line: what it counts decides what Redis says of a bad one.
#[derive(Clone, Copy)]
enum Header {
    /// `*<number>`: elements of an array.
    Array,
    /// `$<number>`: bytes of a bulk string.
    Bulk,
}

impl Header {
    fn too_long(self) -> ProtocolError {
        match self {
            Self::Array => ProtocolError::ArrayHeaderTooLong,
            Self::Bulk => ProtocolError::BulkHeaderTooLong,
        }
    }

    fn invalid(self) -> ProtocolError {
        match self {
            Self::Array => ProtocolError::ArrayLength,
            Self::Bulk => ProtocolError::BulkLength,
        }
    }
}

/// How much room may be made beyond `received` bytes.
fn ahead_max(received: usize) -> usize {
    AHEAD_BYTES_MAX.max(received.saturating_mul(AHEAD_TIMES))
}

/// How large a frame's own buffer is to be now that `received` bytes of it are there, of `wanted`. If it cannot be so large yet,
/// it has to move when it is full. So it is as small as may be for its next buffer to be as large as wanted.
fn own_buffer_bytes(received: usize, wanted: usize) -> usize {
    let mut bytes = wanted;
    while bytes.saturating_sub(received) > ahead_max(received) {
        bytes = bytes.div_ceil(AHEAD_TIMES) + READ_BYTES_MIN;
    }
    bytes
}

/// The state of reading one frame.
#[derive(Debug, Default)]
pub(super) struct BulkArray {
    /// Bytes at the start of the frame that are understood; never more than have arrived.
    position: usize,
    /// No header's end begins in the frame before this offset. Matters only for a torn header.
    searched: usize,
    /// Bulk strings still to come.
    missing: usize,
    /// Length of the bulk string at `position`, if its header is read but not all of it has arrived.
    bulk_bytes: Option<usize>,
    /// Whether the frame's buffer was made for it.
    has_own_buffer: bool,
    spans: Spans,
    /// Bytes and bulk strings looked at, to prove that reading is linear.
    #[cfg(test)]
    pub(super) work: usize,
}

impl BulkArray {
    /// Reads the frame's first header, `*<number>`: `None` while it is incomplete.
    ///
    /// # Errors
    /// The header is no number, above the limit, or does not end. Negative numbers are the caller's to judge.
    #[inline]
    pub(super) fn read_count(&mut self, frame: &[u8], limits: &DecodeLimits) -> Result<Option<i64>, ProtocolError> {
        let short = frame.get(1..).and_then(|number| self.read_short_header(number));
        let count = match short.and_then(|count| i64::try_from(count).ok()) {
            Some(count) => count,
            None => match self.search_header(Header::Array, frame, limits)? {
                Some(count) => count,
                None => return Ok(None),
            },
        };
        self.missing = usize::try_from(count).unwrap_or(0);
        if self.missing > limits.arguments_max { Err(ProtocolError::ArrayLength) } else { Ok(Some(count)) }
    }

    /// Says that the frame is a single bulk string.
    pub(super) fn expect_one(&mut self) {
        self.missing = 1;
    }

    /// Reads on: true once all bulk strings have arrived.
    ///
    /// # Errors
    /// An element is no bulk string, has a bad or too large length, or does not end where its length says.
    #[inline]
    pub(super) fn read_bulks(&mut self, frame: &[u8], limits: &DecodeLimits) -> Result<bool, ProtocolError> {
        while self.missing > 0 {
            let Some(bytes) = self.read_bulk_length(frame, limits)? else { return Ok(false) };
            let end = self.position + bytes;
            let Some(line_end) = frame.get(end..end + LINE_END.len()) else {
                self.bulk_bytes = Some(bytes);
                return Ok(false);
            };
            if line_end != LINE_END {
                return Err(ProtocolError::BulkLength);
            }
            self.spans.push(Span::new(self.position, end).ok_or(ProtocolError::FrameTooLong)?);
            self.position = end + LINE_END.len();
            self.missing -= 1;
        }
        Ok(true)
    }

    /// The length of the frame, once it is complete.
    #[inline]
    pub(super) fn frame_bytes(&self) -> usize {
        self.position
    }

    /// Takes the bulk strings of the complete frame, and is ready for the next one.
    #[inline]
    pub(super) fn finish(&mut self) -> Spans {
        debug_assert!(self.missing == 0 && self.bulk_bytes.is_none(), "only a complete frame is finished");
        self.position = 0;
        self.searched = 0;
        self.has_own_buffer = false;
        std::mem::take(&mut self.spans)
    }

    /// Makes room in `buffer` for the bulk string that is arriving: for all of it, unless that is far more than its
    /// sender has sent yet. For a large one that nothing to speak of precedes, `buffer` becomes one that begins with this frame.
    /// Any other shares its buffer anyway, which grows as it has to: a frame of many large ones is not moved for each.
    pub(super) fn reserve(&mut self, buffer: &mut BytesMut) {
        let Some(bytes) = self.bulk_bytes else { return };
        let frame_bytes = self.position + bytes + LINE_END.len();
        let ahead = frame_bytes.saturating_sub(buffer.len());
        let has_room = buffer.capacity() - buffer.len() >= ahead.min(READ_BYTES_MIN);
        let may_be_kept = bytes >= LARGE_BULK_BYTES && self.position <= OTHER_BYTES_MAX;
        if !may_be_kept {
            if !has_room {
                buffer.reserve(ahead.min(ahead_max(buffer.len())));
            }
        } else if !has_room || !std::mem::replace(&mut self.has_own_buffer, true) {
            let mut own = BytesMut::with_capacity(own_buffer_bytes(buffer.len(), frame_bytes + BEHIND_BYTES));
            own.extend_from_slice(buffer);
            *buffer = own;
        }
    }

    /// The length of the bulk string whose bytes begin at `position` afterwards: `None` while it is incomplete.
    #[inline]
    fn read_bulk_length(&mut self, frame: &[u8], limits: &DecodeLimits) -> Result<Option<usize>, ProtocolError> {
        if let Some(bytes) = self.bulk_bytes.take() {
            return Ok(Some(bytes));
        }
        let bytes = match &frame[self.position..] {
            [] => return Ok(None),
            [b'$', number @ ..] => match self.read_short_header(number) {
                Some(bytes) => bytes,
                None => match self.search_header(Header::Bulk, frame, limits)? {
                    Some(length) => usize::try_from(length).map_err(|_| ProtocolError::BulkLength)?,
                    None => return Ok(None),
                },
            },
            [other, ..] => return Err(ProtocolError::NotBulk(*other)),
        };
        if bytes > limits.bulk_bytes_max {
            return Err(ProtocolError::BulkLength);
        }
        if self.position + bytes > limits.frame_bytes_max {
            return Err(ProtocolError::FrameTooLong);
        }
        Ok(Some(bytes))
    }

    /// Reads the header at `position`, given from its number on, if that is short and complete.
    #[inline]
    fn read_short_header(&mut self, number: &[u8]) -> Option<usize> {
        #[cfg(test)]
        {
            self.work += 1;
        }
        let (value, bytes) = integer::short_line(number)?;
        self.position += 1 + bytes;
        Some(value)
    }

    /// Reads the number of the header at `position` that is torn, long, or wrong.
    #[cold]
    fn search_header(
        &mut self,
        header: Header,
        frame: &[u8],
        limits: &DecodeLimits,
    ) -> Result<Option<i64>, ProtocolError> {
        let start = self.position + 1;
        let from = self.searched.max(start);
        let found = memchr(b'\r', &frame[from..]);
        let stop = found.map_or(frame.len(), |index| from + index);
        #[cfg(test)]
        {
            self.work += stop - from;
        }
        self.searched = stop;
        if stop - start > limits.inline_bytes_max {
            return Err(header.too_long());
        }
        let Some(line_end) = frame.get(stop..stop + LINE_END.len()) else { return Ok(None) };
        let number = integer::parse(&frame[start..stop]).filter(|_| line_end == LINE_END);
        self.position = stop + LINE_END.len();
        number.map(Some).ok_or_else(|| header.invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_count_makes_no_room() {
        let mut array = BulkArray::default();

        let count = array.read_count(b"*1048576\r\n", &DecodeLimits::default());

        assert!(matches!(count, Ok(Some(1_048_576))));
        assert_eq!(array.spans.capacity(), INLINE_SPANS);
    }
}
