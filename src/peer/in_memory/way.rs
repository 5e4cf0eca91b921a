//! The messages between two nodes while they travel, in both directions, in the order of their arrival.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use tokio::time::Instant;

use super::connection::ExchangeId;
use super::switchboard::Incarnation;

/// A message on its way.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) at: Instant,
    /// Order among those of the same time.
    pub(super) sequence: u64,
    pub(super) id: ExchangeId,
    /// The peer's process that it belongs to.
    pub(super) incarnation: Incarnation,
    pub(super) content: Content,
}

/// What a message carries, and with that its direction.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A mark and a batch, on their way to the peer.
    Requests(Vec<u8>),
    /// The answers to all of these, on their way back.
    Replies(Vec<u8>),
}

/// The messages on their way, in both directions.
#[derive(Default)]
pub(super) struct Way {
    pub(super) travelling: BinaryHeap<Reverse<Message>>,
    /// Arrived at a node that hangs, or from one.
    pub(super) held: VecDeque<Message>,
    pub(super) sequence: u64,
    /// When the last message of each direction arrives that others must not overtake: requests, replies.
    latest: [Option<Instant>; 2],
}

impl Way {
    /// When a message arrives: never before those ahead of it, unless it is loose.
    pub(super) fn arrival(&mut self, at: Instant, loose: bool, content: &Content) -> Instant {
        if loose {
            return at;
        }
        let latest = &mut self.latest[usize::from(matches!(content, Content::Replies(_)))];
        let at = latest.map_or(at, |latest| latest.max(at));
        *latest = Some(at);
        at
    }

    /// Tries what was held once more, before everything else.
    pub(super) fn release(&mut self) {
        for message in self.held.drain(..) {
            self.travelling.push(Reverse(message));
        }
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Message {}

impl PartialOrd for Message {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Message {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}
