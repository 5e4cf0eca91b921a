//! Requests that are decoded before their turn comes, so that the store can fetch what they need for many of them at once.

use bytes::BytesMut;

use super::buffers;
use crate::codec::{DecodeLimits, ProtocolError, Request, RequestDecoder, Requests};
use crate::ring::Slot;
use crate::store::{LocalKvStore, WARM_KEYS_MAX};

/// Requests that are decoded at a time, and answered together unless that takes long: some hundred microseconds of work.
const REQUESTS_MAX: usize = 512;

/// The requests of a connection, in order, some of them decoded ahead.
#[derive(Debug)]
pub(super) struct Lookahead {
    decoder: RequestDecoder,
    batch: Requests,
    /// Which of the batch is next.
    next: usize,
    /// The slots of the first arguments of the next requests, as far as they were warmed; the request `next` is at
    /// `next % WARM_KEYS_MAX`.
    slots: [Slot; WARM_KEYS_MAX],
    /// Whether more may have arrived than the batch took.
    is_cut: bool,
    /// What is wrong with the bytes behind the batch.
    broken: Option<ProtocolError>,
    /// Whether each request may change what the next one may be, so that none is decoded before its turn.
    is_strict: bool,
}

impl Lookahead {
    pub(super) fn new(limits: DecodeLimits, is_strict: bool) -> Self {
        Self {
            decoder: RequestDecoder::new(limits),
            batch: Requests::default(),
            next: 0,
            slots: [Slot::FIRST; WARM_KEYS_MAX],
            is_cut: false,
            broken: None,
            is_strict,
        }
    }

    /// It has turned out who is speaking: other limits apply to what is not decoded yet.
    pub(super) fn limit(&mut self, limits: DecodeLimits, is_strict: bool) {
        self.decoder.limit(limits);
        self.is_strict = is_strict;
    }

    /// Decodes what has arrived, unless there is something left of what was decoded before. Tells how many requests came
    /// of it.
    #[inline]
    pub(super) fn refill(&mut self, input: &mut BytesMut, store: &LocalKvStore) -> usize {
        if self.next < self.batch.len() || self.broken.is_some() {
            return 0;
        }
        if self.next == 0 {
            self.batch = buffers::take_requests();
        }
        self.next = 0;
        let requests_max = if self.is_strict { 1 } else { REQUESTS_MAX };
        self.broken = self.decoder.decode_up_to(requests_max, input, &mut self.batch).err();
        self.is_cut = self.batch.len() == requests_max;
        self.warm(store);
        self.batch.len()
    }

    /// The next request and the slot of its first argument.
    #[inline]
    pub(super) fn current(&self) -> Option<(Request<'_>, Slot)> {
        Some((self.batch.get(self.next)?, self.slots[self.next % WARM_KEYS_MAX]))
    }

    /// Where [`Self::current`] stands, for [`Self::at`].
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.next
    }

    /// A request of the batch, whether it was served or not.
    pub(super) fn at(&self, position: usize) -> Option<Request<'_>> {
        self.batch.get(position)
    }

    /// Goes on to the one behind.
    #[inline]
    pub(super) fn advance(&mut self, store: &LocalKvStore) {
        self.next += 1;
        if self.next.is_multiple_of(WARM_KEYS_MAX) {
            self.warm(store);
        }
    }

    /// Whether more may have arrived than the batch took.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// What is wrong with the bytes behind the last request, once that was served.
    pub(super) fn take_error(&mut self) -> Option<ProtocolError> {
        self.broken.take()
    }

    /// Lets go of the batch: an idle connection keeps no room for what it may send some day.
    #[inline]
    pub(super) fn rest(&mut self) {
        self.next = 0;
        buffers::give_requests(std::mem::take(&mut self.batch));
    }

    /// Has the store fetch what the next requests need, only so many that what is warmed stays warm.
    #[inline]
    fn warm(&mut self, store: &LocalKvStore) {
        let next = (self.next..self.batch.len()).take(WARM_KEYS_MAX);
        let mut keys = next.filter_map(|index| self.batch.get(index)).map(|request| first_argument(&request));
        if self.batch.len() - self.next > 1 {
            store.warm(keys, &mut self.slots);
        } else if let Some(key) = keys.next() {
            self.slots[0] = store.warm_slot(key);
        }
    }
}

/// What is a key in nearly all commands on keys, between nodes too. What is none does no harm.
#[inline]
pub(super) fn first_argument<'a>(request: &Request<'a>) -> &'a [u8] {
    if request.len() > 1 { request.arg(1) } else { &[] }
}
