//! One batch of requests to a peer, and what came of it.
//!
//! A client's pipeline of 64 commands becomes one batch per peer: one entry in a queue, one wake of the session when
//! the last answer is there. A batch never fails as a whole without saying how far it got, because a coordinator's
//! promise ("reverted", "indeterminate") depends on whether a request may have reached the peer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{PeerReply, PeerRequest, message};
use crate::codec::LARGE_BULK_BYTES;
use crate::time::UnixMs;
use crate::version::{StartNumber, Version};

/// Encoded requests to one peer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RequestBatch {
    bytes: Vec<u8>,
    /// Values that belong between these bytes, in order. In a box, for hardly any batch has one.
    large: Option<Box<LargeValues>>,
    /// Requests in `bytes`.
    count: u32,
    /// Whether the bytes are wanted back if not all requests are answered.
    is_kept: bool,
}

/// Values that are sent from where they lie, each with its place among the other bytes.
type LargeValues = SmallVec<[(usize, Bytes); 1]>;

impl RequestBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Appends a request.
    pub fn push(&mut self, request: &PeerRequest<'_>) {
        request.encode(&mut self.bytes);
        self.count += 1;
    }

    /// Appends a fresh write ([`PeerRequest::Write`]). A large value is not copied: the batch takes a share of its memory.
    pub fn push_write(&mut self, key: &[u8], value: &Bytes, version: Version, expires_at: Option<UnixMs>) {
        if value.len() < LARGE_BULK_BYTES {
            return self.push(&PeerRequest::Write { key, value: Some(value), version, expires_at });
        }
        let at = message::encode_around(value.len(), (key, version, expires_at), &mut self.bytes);
        self.large.get_or_insert_default().push((at, value.clone()));
        self.count += 1;
    }

    /// Appends the one request that `encode` writes.
    pub fn push_with(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(&mut self.bytes);
        self.count += 1;
    }

    /// Appends a request that [`PeerRequest::encode`] wrote before, so that several peers get the same bytes.
    pub fn push_encoded(&mut self, request: &[u8]) {
        self.bytes.extend_from_slice(request);
        self.count += 1;
    }

    /// Has the requests come back if not all of them are answered: in [`Answers::missed`], or, once nobody waits for
    /// those any more, to [`LocalNode::missed`](super::LocalNode::missed).
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// How many requests there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The requests' bytes, back to back, but for large values.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same with all values in their places, if there are large ones.
    #[inline]
    pub(super) fn take_pieces(&mut self) -> Option<Vec<Bytes>> {
        self.large.take().map(|large| self.cut(*large))
    }

    #[cold]
    fn cut(&mut self, large: LargeValues) -> Vec<Bytes> {
        let small = Bytes::from(std::mem::take(&mut self.bytes));
        let (mut pieces, mut from) = (Vec::with_capacity(2 * large.len() + 1), 0);
        for (at, value) in large {
            pieces.extend([small.slice(from..at), value]);
            from = at;
        }
        pieces.push(small.slice(from..));
        pieces
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// The requests' bytes, to be sent or given back.
    #[inline]
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        match self.take_pieces() {
            None => self.bytes,
            Some(pieces) => pieces.concat(),
        }
    }
}

/// The answers to a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answers {
    /// The peer's process that the batch was sent to; 0 when it was not sent.
    pub process: StartNumber,
    /// The answers in the order of the requests. With a fault there may be fewer than requests.
    pub replies: Vec<PeerReply>,
    /// Why answers are missing, if some are.
    pub fault: Option<LinkFault>,
    /// With a fault, the whole batch back if it was to be kept, the answered requests too. In a box, because answers
    /// are moved often, and hardly ever with it.
    pub missed: Option<Box<Bytes>>,
}

impl Answers {
    /// Answers with nothing to give back.
    pub(super) fn new(process: StartNumber, replies: Vec<PeerReply>, fault: Option<LinkFault>) -> Self {
        Self { process, replies, fault, missed: None }
    }

    /// With what was kept of the batch, which goes back if there is a fault.
    pub(super) fn with_kept(mut self, kept: Option<impl Into<Bytes>>) -> Self {
        if self.fault.is_some() {
            self.missed = kept.map(|kept| Box::new(kept.into()));
        }
        self
    }
}

/// Why a batch has fewer answers than requests.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkFault {
    /// The link is down. Nothing of the batch was sent, nor will be.
    #[error("the peer is down")]
    Down,
    /// Too much waits for the peer already. Nothing of the batch was sent, nor will be.
    #[error("too much waits for the peer already")]
    Overloaded,
    /// The link broke, or the peer sent what no node sends. Requests without an answer may have been taken or not.
    #[error("the link broke: {0}")]
    Lost(String),
    /// The peer did not answer in time. Requests without an answer may have been taken, or be taken later, or never.
    #[error("the peer did not answer in time")]
    TimedOut,
}

impl LinkFault {
    /// Whether the peer may have got, or may yet get, the requests that were not answered.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        match self {
            Self::Down | Self::Overloaded => false,
            Self::Lost(_) | Self::TimedOut => true,
        }
    }
}

/// The future of the answers to one batch. Dropping it does not take the requests back.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    Done(Option<Answers>),
    Waiting(oneshot::Receiver<Answers>),
}

impl Exchange {
    /// An exchange that is over already.
    #[must_use]
    pub fn done(answers: Answers) -> Self {
        Self(State::Done(Some(answers)))
    }

    /// An exchange of which nothing was sent.
    pub(super) fn unsent(fault: LinkFault, batch: RequestBatch) -> Self {
        debug_assert!(!fault.was_sent());
        let kept = batch.is_kept().then(|| batch.into_bytes());
        Self::done(Answers::new(StartNumber::default(), Vec::new(), Some(fault)).with_kept(kept))
    }

    /// Waits no longer. The answers if they are there; otherwise what is missed of a batch to be kept goes to
    /// [`LocalNode::missed`](super::LocalNode::missed), as it does when the exchange is dropped.
    #[must_use]
    pub fn leave(self) -> Option<Answers> {
        match self.0 {
            State::Done(answers) => answers,
            State::Waiting(mut receiver) => {
                receiver.close();
                receiver.try_recv().ok()
            }
        }
    }

    /// An exchange that ends when the other end of `receiver` says so.
    pub(super) fn waiting(receiver: oneshot::Receiver<Answers>) -> Self {
        Self(State::Waiting(receiver))
    }
}

impl Future for Exchange {
    type Output = Answers;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answers> {
        let answers = match &mut self.0 {
            State::Done(answers) => answers.take(),
            State::Waiting(receiver) => match Pin::new(receiver).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answers) => answers.ok(),
            },
        };
        Poll::Ready(answers.unwrap_or_else(abandoned))
    }
}

/// What an exchange gets whose link went away without a word: the whole node is shutting down.
fn abandoned() -> Answers {
    let fault = Some(LinkFault::Lost("this node is shutting down".to_owned()));
    Answers::new(StartNumber::default(), Vec::new(), fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::NodeIndex;
    use crate::version::{Hlc, Version};

    #[test]
    fn encoded_requests_can_be_shared_between_batches() {
        let version = Version::new(Hlc(1), NodeIndex(1), StartNumber::new(1));
        let request = PeerRequest::Write { key: b"k", value: Some(b"v"), version, expires_at: None };
        let (mut one, mut other) = (RequestBatch::new(), RequestBatch::new());
        assert!(one.is_empty());

        one.push(&request);
        other.push_encoded(one.bytes());

        assert_eq!(one, other);
        assert_eq!(one.len(), 1);
    }

    #[test]
    fn a_large_value_is_the_same_on_the_wire_and_not_copied() {
        let version = Version::new(Hlc(1), NodeIndex(1), StartNumber::new(1));
        let (large, small) = (Bytes::from(vec![b'l'; LARGE_BULK_BYTES]), Bytes::from_static(b"s"));
        let (mut batch, mut expected) = (RequestBatch::new(), RequestBatch::new());
        for (value, expires_at) in [(&large, None), (&small, None), (&large, Some(UnixMs(9)))] {
            batch.push_write(b"k", value, version, expires_at);
            expected.push(&PeerRequest::Write { key: b"k", value: Some(value), version, expires_at });
        }
        assert_eq!((batch.len(), batch.clone().into_bytes()), (3, expected.into_bytes()));
        let pieces = batch.take_pieces().unwrap();
        assert_eq!(pieces.iter().filter(|piece| piece.as_ptr() == large.as_ptr()).count(), 2);
    }

    #[test]
    fn only_faults_after_sending_count_as_sent() {
        let sent = |fault: LinkFault| fault.was_sent();
        assert!(!sent(LinkFault::Down) && !sent(LinkFault::Overloaded));
        assert!(sent(LinkFault::TimedOut) && sent(LinkFault::Lost(String::new())));
    }

    #[tokio::test]
    async fn an_exchange_whose_link_vanished_counts_as_sent() {
        let (sender, receiver) = oneshot::channel();
        drop(sender);
        assert!(Exchange::waiting(receiver).await.fault.is_some_and(|fault| fault.was_sent()));
    }
}
