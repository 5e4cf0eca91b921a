//! Updates on their way between coordinators and homes.
//!
//! A home takes a call on at once and carries it out later; the reply comes back as a request of its own. Here calls wait for
//! the home's coordinator to take them up, and this node's own calls wait for their replies. Both are bounded, and what
//! is no longer waited for is forgotten.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fnv::{FnvBuildHasher, FnvHashMap};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::codec::Protocol;
use crate::peer::PeerReply;
use crate::ring::NodeIndex;
use crate::version::StartNumber;

/// Calls of all peers that wait to be taken up, and bytes of them. Whoever comes next is told so.
const WAITING_MAX: usize = 1 << 16;
const WAITING_BYTES_MAX: usize = 256 << 20;
/// Calls that are remembered, so that one that comes twice is carried out once.
const REMEMBERED_MAX: usize = 1 << 16;
/// Keys that wait to be settled. Those for which there is no room come again when replicas compare.
const UNSETTLED_MAX: usize = 1024;
/// Calls of one run of a node are numbered from its start number on, so many for each of its milliseconds.
const CALLS_PER_MS_BITS: u32 = 16;

/// An update that a peer wants to have carried out here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// The coordinator, to which the reply goes.
    pub from: NodeIndex,
    /// By which it knows the call.
    pub id: u64,
    /// The version of RESP of the reply.
    pub protocol: Protocol,
    /// The client's command.
    pub words: Vec<Bytes>,
}

#[derive(Default)]
struct Waiting {
    calls: Vec<Call>,
    bytes: usize,
    remembered: Remembered,
}

/// The calls that were taken on lately.
#[derive(Default)]
struct Remembered {
    known: HashSet<(NodeIndex, u64), FnvBuildHasher>,
    /// In the order of arrival.
    order: VecDeque<(NodeIndex, u64)>,
}

impl Remembered {
    /// Whether the call is news.
    fn note(&mut self, call: (NodeIndex, u64)) -> bool {
        if !self.known.insert(call) {
            return false;
        }
        self.order.push_back(call);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// The calls of one node: its peers' and its own.
pub struct Calls {
    waiting: Mutex<Waiting>,
    /// Keys of which this node has refused a copy, so that somebody has to write them anew.
    unsettled: Mutex<HashSet<Bytes>>,
    /// Woken when there is something to be taken up.
    pub(crate) arrived: Notify,
    /// Own calls that wait for their replies.
    pending: Mutex<FnvHashMap<u64, oneshot::Sender<Bytes>>>,
    next_id: AtomicU64,
}

impl Calls {
    pub(super) fn new(start: StartNumber) -> Self {
        let next_id = AtomicU64::new(start.get() << CALLS_PER_MS_BITS);
        Self {
            waiting: Mutex::default(),
            unsettled: Mutex::default(),
            arrived: Notify::new(),
            pending: Mutex::default(),
            next_id,
        }
    }

    /// Takes a peer's call on.
    pub(super) fn take(&self, from: NodeIndex, id: u64, protocol: Protocol, words: &[&[u8]]) -> PeerReply {
        let bytes: usize = words.iter().map(|word| word.len()).sum();
        let mut waiting = self.waiting.lock();
        if waiting.calls.len() >= WAITING_MAX || waiting.bytes > WAITING_BYTES_MAX {
            return PeerReply::Refused("ERR too many updates wait at this node".to_owned());
        }
        if waiting.remembered.note((from, id)) {
            let words = words.iter().map(|word| Bytes::copy_from_slice(word)).collect();
            waiting.bytes += bytes;
            waiting.calls.push(Call { from, id, protocol, words });
            self.arrived.notify_one();
        }
        PeerReply::Ok
    }

    /// What peers want to have carried out.
    pub(crate) fn take_up(&self) -> Vec<Call> {
        let mut waiting = self.waiting.lock();
        waiting.bytes = 0;
        std::mem::take(&mut waiting.calls)
    }

    /// Has this node's coordinator write `key` anew.
    pub(super) fn settle(&self, key: &[u8]) {
        let mut unsettled = self.unsettled.lock();
        if unsettled.len() < UNSETTLED_MAX && unsettled.insert(Bytes::copy_from_slice(key)) {
            self.arrived.notify_one();
        }
    }

    /// The keys that are to be written anew.
    pub(crate) fn take_unsettled(&self) -> HashSet<Bytes> {
        std::mem::take(&mut self.unsettled.lock())
    }

    /// A call of this node's own, and where its reply will be.
    pub(crate) fn begin(&self) -> (OwnCall<'_>, oneshot::Receiver<Bytes>) {
        let (sender, receiver) = oneshot::channel();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.pending.lock().insert(id, sender);
        (OwnCall { calls: self, id }, receiver)
    }

    /// The reply to a call of this node's own has come.
    pub(super) fn done(&self, id: u64, reply: &[u8]) {
        let waiting = self.pending.lock().remove(&id);
        if let Some(waiting) = waiting {
            // Who waited may have left this very moment.
            let _ = waiting.send(Bytes::copy_from_slice(reply));
        }
    }
}

/// A call of this node's own. Once it is dropped nobody waits for its reply any more.
pub(crate) struct OwnCall<'a> {
    calls: &'a Calls,
    /// By which the home knows it.
    pub(crate) id: u64,
}

impl Drop for OwnCall<'_> {
    fn drop(&mut self) {
        self.calls.pending.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_comes_twice_is_taken_up_once() {
        let calls = Calls::new(StartNumber::FIRST);
        for (from, id) in [(1, 7), (1, 8), (1, 7), (2, 7)] {
            let words = [b"INCR".as_slice(), b"k"];
            assert_eq!(calls.take(NodeIndex(from), id, Protocol::Resp2, &words), PeerReply::Ok);
        }
        let taken: Vec<_> = calls.take_up().into_iter().map(|call| (call.from.0, call.id)).collect();
        assert_eq!(taken, [(1, 7), (1, 8), (2, 7)]);
        assert!(calls.take_up().is_empty());
    }

    #[test]
    fn calls_that_nobody_takes_up_are_refused_at_last() {
        let calls = Calls::new(StartNumber::FIRST);
        let value = vec![b'x'; WAITING_BYTES_MAX / 2];
        let words = [b"APPEND".as_slice(), b"k", &value];
        let took: Vec<bool> =
            (0..4).map(|id| calls.take(NodeIndex(1), id, Protocol::Resp2, &words) == PeerReply::Ok).collect();
        assert_eq!(took, [true, true, false, false]);
        calls.take_up();
        assert_eq!(calls.take(NodeIndex(1), 9, Protocol::Resp2, &words), PeerReply::Ok);
    }

    #[tokio::test]
    async fn a_reply_reaches_who_waits_for_it_and_nobody_else() {
        let calls = Calls::new(StartNumber::FIRST);
        let ((first, one), (second, other)) = (calls.begin(), calls.begin());
        let (first_id, second_id) = (first.id, second.id);
        drop(first);
        calls.done(first_id, b":1\r\n");
        calls.done(second_id, b":2\r\n");
        calls.done(second_id, b":3\r\n");
        assert!(one.await.is_err());
        assert_eq!(other.await, Ok(Bytes::from_static(b":2\r\n")));
    }
}
