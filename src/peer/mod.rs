//! Nodes among themselves: the messages, and the links that carry them.
//!
//! A coordinator wants three things of the way to a peer. It must be cheap: a round trip, a wake or a system call per
//! request would make three copies cost ten times one. It must be honest about failure: whether a request may have
//! reached the peer decides if a write can be called reverted. And it must end: a peer that hangs may cost one
//! timeout in all, not one per request.
//!
//! So there is one pipelined link per peer. [`NodeCommunicator::exchange`] takes a whole batch, appends its bytes to
//! those that wait for the next write, and queues one waiter for all its answers; answers are matched by order. Every
//! connection begins with an [`Introduction`], and has queues of its own, so that nothing late can be mistaken for the
//! answer to something newer. Two communicators share this contract and one suite of tests:
//!
//! * [`RespCommunicator`]: RESP over TCP, the clients' protocol and port;
//! * [`InMemoryCommunicator`]: whole clusters in one test and in paused time, with links that can be cut, slow or lossy.
//!
//! # How long an exchange takes
//!
//! Time is counted in ticks, an eighth of `request_timeout` each; seven ticks after it was queued an unanswered
//! exchange ends as timed out, so every exchange ends within `request_timeout`. No clock is read and no timer is set
//! per request, and a stall of our own process is not blamed on the peer. If then the peer has shown no sign of life
//! either, the link is dead: everything that waits ends at once, and further exchanges fail at once until the peer
//! has welcomed us again. An idle link is tried with a mark every four ticks. What a peer's silence means is decided in
//! one place for both communicators: see [`Health`]. Once a second its clock is asked for as well.
//!
//! One exception: a large value is not a hung peer. The exchange at the head of the line is given time, up to ten
//! times `request_timeout`, while its own bytes (being written, or read as its answers) flow at no less than 64 KiB
//! per tick. Exchanges behind it still end in time, as timed out, since they are sent already; their late answers are
//! read and dropped.
//!
//! # What the shortcuts are
//!
//! One link per peer, so a value of 512 MB delays the small requests behind it, or has them refused as overloaded. A null, an array of keys or a number
//! is not checked against the request that it answers; whoever asked does that.

mod admission;
mod backoff;
mod clock_probe;
mod digest;
mod exchange;
mod fresh_writes;
mod health;
mod in_memory;
mod introduction;
mod link;
mod links;
mod message;
mod outgoing;
mod pipeline;
mod reads;
mod reply;
mod reply_reader;
mod resp;
mod scan;
mod standing;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod testing;
mod update_message;
mod welcome;
mod words;

use std::time::Duration;

pub use admission::{IntroductionError, answer_introduction, check};
pub use digest::{Certainty, Digest, DigestScope};
pub use exchange::{Answers, Exchange, LinkFault, RequestBatch};
pub use fresh_writes::FreshWrite;
pub use health::Health;
pub use in_memory::{InMemoryCommunicator, InMemoryNetwork, LinkFaults};
pub use introduction::{INTRODUCTION_COMMAND, Introduction, PROTOCOL_VERSION};
pub use link::LinkOptions;
pub use message::{ListedRecord, PeerRequest, ReadRecord};
pub use reads::{Records, RecordsWriter, Shown};
pub use reply::{PeerReply, ReplyError};
pub use resp::RespCommunicator;
pub use scan::{ScanAnswer, ScanQuestion, ScanRest, ScanStop, ScannedKey};
pub use update_message::UpdateRequest;
pub use welcome::Welcome;
pub use words::ParseError;

use crate::ring::{NodeId, NodeIndex};
use crate::version::{Hlc, StartNumber};

/// A node's watermark, every version of its run `start` below `lowest_open` being decided, and its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The node's present run.
    pub start: StartNumber,
    /// Its lowest open version, or its clock when none is open. Never moves back within a run.
    pub lowest_open: Hlc,
    /// How far it has come in catching up.
    pub catch_up: CatchUp,
}

/// How far a node has come in catching up on its slots since it started without memory. For a slot on which it has
/// not caught up it counts for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CatchUp {
    /// It has caught up on no slot yet: in this run it has acknowledged, answered and confirmed nothing.
    Blank,
    /// On some, not on all.
    Partial,
    /// On all.
    Complete,
}

impl CatchUp {
    /// Its word in messages.
    fn word(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Partial => "syncing",
            Self::Complete => "caught-up",
        }
    }

    fn parse(word: &[u8]) -> Option<Self> {
        [Self::Blank, Self::Partial, Self::Complete].into_iter().find(|state| state.word().as_bytes() == word)
    }
}

/// What a communicator needs of the node that it serves. Called from the links' tasks: nothing here may block.
pub trait LocalNode: Send + Sync + 'static {
    /// What this node says of itself when it dials.
    fn introduction(&self) -> Introduction;

    /// Another node dialled this one: who it is, and the answer.
    ///
    /// # Errors
    ///
    /// When the nodes must not talk. Nothing has changed then.
    fn introduce(&self, theirs: &Introduction) -> Result<(NodeIndex, Welcome), IntroductionError>;

    /// The node at the address of `peer` accepted this node's introduction. Called before the link is up, so that the
    /// flush mark, the start numbers and the clock are known here before any data passes.
    ///
    /// # Errors
    ///
    /// When this node must not talk to the one that answered, for example because it is not `peer`.
    fn welcomed(&self, peer: NodeIndex, welcome: &Welcome) -> Result<(), IntroductionError>;

    /// This node's watermark, sent ahead of the requests of a write to the socket.
    fn mark(&self) -> Mark;

    /// Carries out one request of `from` and appends exactly one reply to `out`.
    fn handle(&self, from: NodeIndex, request: PeerRequest<'_>, out: &mut Vec<u8>);

    /// `peer` may have missed requests of a batch that was to be kept, and nobody waits for its answers any more.
    /// Called once per such batch.
    fn missed(&self, peer: NodeIndex, answers: Answers);

    /// The link to `peer` came up or went down. Called once per change, in order.
    fn link_changed(&self, peer: NodeIndex, state: LinkState);

    /// The wall clock of `peer` was found to be ahead of this node's by so much. Called when the link comes up and about
    /// once a second from then on.
    fn clock_measured(&self, peer: NodeIndex, offset_ms: i64);

    /// The name of `peer`, for the log.
    fn name_of(&self, peer: NodeIndex) -> NodeId;
}

/// How this node talks to its peers.
pub trait NodeCommunicator: Send + Sync + 'static {
    /// Queues `batch` to `to` before it returns, so the order of calls is the order at the peer; the future gets the
    /// answers. It ends in time whatever the peer does: see the module's text. The bound on queued bytes refuses a
    /// batch by what waits before it, not by its own size.
    fn exchange(&self, to: NodeIndex, batch: RequestBatch) -> Exchange;

    /// Whether `to` can be talked to: one atomic load. Up only after an introduction, and while it answers in time.
    fn link(&self, to: NodeIndex) -> LinkState;

    /// What to think of `to`: one atomic load. Down exactly when the link is.
    fn health(&self, to: NodeIndex) -> Health {
        match self.link(to) {
            LinkState::Down => Health::Down,
            LinkState::Up => Health::Alive,
        }
    }

    /// Whether a message to `to` is about to leave, with room for a small request. False of one that does not tell.
    fn is_gathering(&self, to: NodeIndex) -> bool {
        let _ = to;
        false
    }

    /// What is queued is to leave without waiting for more: whoever queued it has let others join already.
    fn send_now(&self) {}

    /// The start number of the process that the link is up to; 0 when it is down.
    fn process(&self, to: NodeIndex) -> StartNumber;

    /// What is known of the link, for INFO; `None` if `to` is no peer.
    fn status(&self, to: NodeIndex) -> Option<LinkStatus>;
}

/// Whether a peer can be talked to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// Not connected, not introduced, or not answering.
    Down,
    /// Introduced, and answering in time.
    Up,
}

/// What is known of a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkStatus {
    /// Up or down.
    pub state: LinkState,
    /// What to think of the peer.
    pub health: Health,
    /// How long it has been so.
    pub age: Duration,
    /// Where the peer is dialled.
    pub address: String,
    /// Why the link was last down or could not be made; empty before the first failure.
    pub last_error: String,
    /// Requests that were accepted and are not answered.
    pub requests_in_flight: usize,
    /// How long the oldest of these has waited, to an eighth of `request_timeout`.
    pub asked_ago: Option<Duration>,
    /// How long ago the peer was last heard, to an eighth of `request_timeout`; `None` if never.
    pub heard_ago: Option<Duration>,
    /// How far the peer's wall clock is ahead of this node's by the latest measurements, in milliseconds.
    pub clock_offset_ms: i64,
}
