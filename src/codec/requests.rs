//! Requests that arrived in one piece, as ranges of the buffer that they came in.
//!
//! A pipeline brings many small requests at once. One handle on the buffer and one list of ranges serve them all: a
//! request of its own would cost each of them two counts of references and its list.

use std::fmt;

use bytes::Bytes;

use super::bulk_array::{LARGE_BULK_BYTES, OTHER_BYTES_MAX, Span};

/// Requests in the order of their arrival. Keeps their read buffer alive.
#[derive(Default)]
pub struct Requests {
    buffer: Bytes,
    /// Arguments of all requests, one after the other.
    spans: Vec<Span>,
    extents: Vec<Extent>,
}

/// Which part of a batch is one request.
#[derive(Clone, Copy)]
struct Extent {
    first_span: u32,
    spans: u32,
    frame_bytes: u32,
}

impl Requests {
    /// How many there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.extents.len()
    }

    /// Whether there are none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// The request at `index`, if there are so many.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<Request<'_>> {
        Some(self.request(self.extents.get(index)?))
    }

    #[inline]
    fn request(&self, extent: &Extent) -> Request<'_> {
        let first = extent.first_span as usize;
        let spans = &self.spans[first..first + extent.spans as usize];
        Request { buffer: &self.buffer, spans, frame_bytes: extent.frame_bytes }
    }

    /// The first request.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn first(&self) -> Request<'_> {
        self.get(0).expect("the batch is not empty")
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Request<'_>> {
        self.extents.iter().map(|extent| self.request(extent))
    }

    /// Forgets all requests and lets go of their buffer. Keeps its own memory unless that is large.
    #[inline]
    pub fn clear(&mut self) {
        self.buffer = Bytes::new();
        self.extents.clear();
        self.spans.clear();
        if self.spans.capacity() > SPANS_KEPT_MAX {
            *self = Self::default();
        }
    }

    /// The list that the next request's arguments are appended to, each where it lies in the buffer.
    #[inline]
    pub(super) fn spans(&mut self) -> &mut Vec<Span> {
        &mut self.spans
    }

    /// Takes what was appended to [`Self::spans`] since the last request as one of `frame_bytes`.
    ///
    /// `None` if there is no number for so many.
    #[inline]
    pub(super) fn close(&mut self, frame_bytes: usize) -> Option<()> {
        let first = self.extents.last().map_or(0, |last| last.first_span + last.spans);
        let end = u32::try_from(self.spans.len()).ok()?;
        let frame_bytes = u32::try_from(frame_bytes).ok()?;
        self.extents.push(Extent { first_span: first, spans: end - first, frame_bytes });
        Some(())
    }

    /// Says which buffer it is all about.
    #[inline]
    pub(super) fn lie_in(&mut self, buffer: Bytes) {
        self.buffer = buffer;
    }
}

/// Arguments of a batch above which its memory is given back with its requests: 64 KiB.
const SPANS_KEPT_MAX: usize = 8 << 10;

impl fmt::Debug for Requests {
    /// Shapes only: arguments are the client's secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

/// One request with at least one argument, the command's name.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    buffer: &'a Bytes,
    spans: &'a [Span],
    frame_bytes: u32,
}

impl<'a> Request<'a> {
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
    pub fn arg(&self, index: usize) -> &'a [u8] {
        self.spans[index].of(self.buffer)
    }

    /// Argument `index` as a handle on the read buffer, without a copy. Panics from [`Self::len`] on.
    #[must_use]
    #[inline]
    pub fn bytes(&self, index: usize) -> Bytes {
        self.spans[index].slice(self.buffer)
    }

    /// Argument `index` as a handle on the read buffer for who wants to keep it: only if it is large and the buffer holds hardly
    /// anything else. Panics from [`Self::len`] on.
    #[must_use]
    pub fn to_keep(&self, index: usize) -> Option<Bytes> {
        let bytes = self.arg(index).len();
        let is_alone = bytes >= LARGE_BULK_BYTES && self.buffer.len() - bytes <= OTHER_BYTES_MAX;
        is_alone.then(|| self.bytes(index))
    }

    /// All arguments in order.
    #[must_use]
    #[inline]
    pub fn args(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let buffer = self.buffer;
        self.spans.iter().map(move |span| span.of(buffer))
    }

    /// How many bytes of its read buffer the request spans.
    #[must_use]
    #[inline]
    pub fn frame_len(&self) -> usize {
        self.frame_bytes as usize
    }
}

impl fmt::Debug for Request<'_> {
    /// Shape only: arguments are the client's secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Request").field("len", &self.len()).field("frame_len", &self.frame_len()).finish()
    }
}
