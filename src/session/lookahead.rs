//! Requests that are decoded before their turn comes, so that the store can fetch what they need for all of them at once.

use std::collections::VecDeque;

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use crate::codec::{ProtocolError, Request, RequestDecoder};
use crate::store::{LocalKvStore, WARM_KEYS_MAX};

/// The requests of a connection, in order, some of them decoded ahead.
#[derive(Debug)]
pub(super) struct Lookahead {
    decoder: RequestDecoder,
    ready: VecDeque<Request>,
    /// What is wrong with the bytes behind the requests that are ready.
    broken: Option<ProtocolError>,
}

impl Lookahead {
    pub(super) fn new(decoder: RequestDecoder) -> Self {
        Self { decoder, ready: VecDeque::new(), broken: None }
    }

    /// The decoder of what is not decoded yet.
    pub(super) fn decoder(&mut self) -> &mut RequestDecoder {
        &mut self.decoder
    }

    /// The next request, if one has arrived.
    ///
    /// # Errors
    /// The framing is broken; all requests before that were given out.
    #[inline]
    pub(super) fn next(
        &mut self,
        input: &mut BytesMut,
        store: &LocalKvStore,
    ) -> Result<Option<Request>, ProtocolError> {
        if let Some(request) = self.ready.pop_front() {
            return Ok(Some(request));
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
            Some(request) if input.is_empty() => Ok(Some(request)),
            Some(request) => {
                self.look_ahead(request, input, store);
                Ok(self.ready.pop_front())
            }
        }
    }

    /// Decodes what has arrived behind `first`, but only so much that what is warmed stays warm.
    fn look_ahead(&mut self, first: Request, input: &mut BytesMut, store: &LocalKvStore) {
        self.ready.push_back(first);
        while self.ready.len() < WARM_KEYS_MAX && self.broken.is_none() {
            match self.decoder.decode(input) {
                Ok(Some(request)) => self.ready.push_back(request),
                Ok(None) => break,
                Err(error) => self.broken = Some(error),
            }
        }
        // The first argument of nearly all commands on keys, between nodes too, is a key. What is none does no harm.
        store.warm(self.ready.iter().filter(|request| request.len() > 1).map(|request| request.arg(1)));
    }
}
