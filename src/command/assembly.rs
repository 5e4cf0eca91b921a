//! Replies in the making: bytes that were known at once, what outcomes bring, and large values, which are sent from where they lie.

use std::iter::Peekable;
use std::vec;

use bytes::Bytes;

use crate::codec::reply;

/// A value that is sent from where it lies.
#[derive(Debug)]
pub struct LargeValue {
    /// Where it belongs among the other bytes.
    pub at: usize,
    /// What is sent.
    pub value: Bytes,
}

/// Replies in the making, from the bytes known at once and those made of outcomes.
pub(super) struct Assembly {
    /// The replies so far.
    pub(super) out: Vec<u8>,
    /// What belongs between their bytes.
    pub(super) large: Vec<LargeValue>,
    known: Vec<u8>,
    known_large: Peekable<vec::IntoIter<LargeValue>>,
    used: usize,
}

impl Assembly {
    /// Begins with what was known at once; `room` is a guess at the bytes that come to it.
    pub(super) fn new(mut known: Vec<u8>, known_large: Vec<LargeValue>, room: usize) -> Self {
        // With nothing to put between them the replies can have that room.
        let mut out = if known.is_empty() { std::mem::take(&mut known) } else { Vec::new() };
        out.reserve(known.len() + room);
        Self { out, large: Vec::new(), known, known_large: known_large.into_iter().peekable(), used: 0 }
    }

    /// What was known before byte `end` comes next.
    #[inline]
    pub(super) fn copy_until(&mut self, end: usize) {
        // Neither is so for any reply of a pipeline of which nothing was known at once.
        if end > self.used || self.known_large.len() > 0 {
            self.copy_known(end);
        }
    }

    #[inline(never)]
    fn copy_known(&mut self, end: usize) {
        while let Some(LargeValue { at, value }) = self.known_large.next_if(|large| large.at <= end) {
            let at = self.out.len() + at - self.used;
            self.large.push(LargeValue { at, value });
        }
        self.out.extend_from_slice(&self.known[self.used..end]);
        self.used = end;
    }

    /// What was known before byte `end` is left out.
    pub(super) fn skip_until(&mut self, end: usize) {
        while self.known_large.next_if(|large| large.at <= end).is_some() {}
        self.used = end;
    }

    /// The replies, with the rest of what was known.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<LargeValue>) {
        self.copy_until(self.known.len());
        (self.out, self.large)
    }
}

/// Appends a bulk string of which the value itself is to be sent from where it lies.
pub(super) fn push_large(out: &mut Vec<u8>, large: &mut Vec<LargeValue>, value: Bytes) {
    reply::bulk_header(out, value.len());
    large.push(LargeValue { at: out.len(), value });
    reply::line_end(out);
}
