//! Requests that are decoded before their turn comes, so that the store can fetch what they need for all of them at once.

use std::collections::VecDeque;

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use crate::codec::{DecodeLimits, ProtocolError, Request, RequestDecoder};
use crate::ring::Slot;
use crate::store::{LocalKvStore, WARM_KEYS_MAX};

/// The requests of a connection, in order, some of them decoded ahead.
#[derive(Debug)]
pub(super) struct Lookahead {
    decoder: RequestDecoder,
    ready: VecDeque<(Request, Slot)>,
    /// What is wrong with the bytes behind the requests that are ready.
    broken: Option<ProtocolError>,
    /// Whether each request may change what the next one may be, so that none is decoded before its turn.
    is_strict: bool,
}

impl Lookahead {
    pub(super) fn new(limits: DecodeLimits, is_strict: bool) -> Self {
        Self { decoder: RequestDecoder::new(limits), ready: VecDeque::new(), broken: None, is_strict }
    }

    /// It has turned out who is speaking: other limits apply to what is not decoded yet.
    pub(super) fn limit(&mut self, limits: DecodeLimits, is_strict: bool) {
        self.decoder.limit(limits);
        self.is_strict = is_strict;
    }

    /// The next request, if one has arrived, and the slot of its first argument, if that is known.
    ///
    /// # Errors
    /// The framing is broken; all requests before that were given out.
    #[inline]
    pub(super) fn next(
        &mut self,
        input: &mut BytesMut,
        store: &LocalKvStore,
    ) -> Result<Option<(Request, Option<Slot>)>, ProtocolError> {
        if let Some(next) = self.pop() {
            return Ok(Some(next));
        }
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        match self.decoder.decode(input)? {
            None => {
                // An idle connection keeps no room for what it may send some day.
                self.ready = VecDeque::new();
                Ok(None)
            }
            Some(request) if input.is_empty() || self.is_strict => Ok(Some((request, None))),
            Some(request) => {
                self.look_ahead(request, input, store);
                Ok(self.pop())
            }
        }
    }

    /// Decodes what has arrived behind `first`, but only so much that what is warmed stays warm.
    fn look_ahead(&mut self, first: Request, input: &mut BytesMut, store: &LocalKvStore) {
        self.push(first);
        while self.ready.len() < WARM_KEYS_MAX && self.broken.is_none() {
            match self.decoder.decode(input) {
                Ok(Some(request)) => self.push(request),
                Ok(None) => break,
                Err(error) => self.broken = Some(error),
            }
        }
        store.warm(self.ready.iter().map(|(request, slot)| (*slot, first_argument(request))));
    }

    fn push(&mut self, request: Request) {
        let slot = Slot::of_key(first_argument(&request));
        self.ready.push_back((request, slot));
    }

    fn pop(&mut self) -> Option<(Request, Option<Slot>)> {
        self.ready.pop_front().map(|(request, slot)| (request, Some(slot)))
    }
}

/// What is a key in nearly all commands on keys, between nodes too. What is none does no harm.
fn first_argument(request: &Request) -> &[u8] {
    if request.len() > 1 { request.arg(1) } else { &[] }
}
