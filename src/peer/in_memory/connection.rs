//! One introduced connection's exchanges: the twin of the TCP link's pipeline, with answers that may come in any order.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::oneshot;

use super::switchboard::Incarnation;
use crate::peer::health::{IDLE_TICKS, PATIENCE_TICKS, Pulse, Signs};
use crate::peer::links::GATHERED_BYTES_MAX;
use crate::peer::standing::Standing;
use crate::peer::{Answers, Health, LinkFault, LinkState, PeerReply, RequestBatch};
use crate::version::StartNumber;

/// Names an exchange of one link, over all its connections.
pub(super) type ExchangeId = u64;

/// A batch that goes out next.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) id: ExchangeId,
    pub(super) bytes: Vec<u8>,
}

/// The exchanges of one connection.
#[derive(Debug)]
pub(super) struct Connection {
    process: StartNumber,
    /// The peer's process; a connection does not outlive it.
    pub(super) incarnation: Incarnation,
    /// What waits for its answers, in the order of queueing.
    pending: BTreeMap<ExchangeId, Pending>,
    /// What is not sent yet.
    outbox: VecDeque<Outbound>,
    /// Bytes of all that is pending.
    bytes: usize,
    /// Ticks since the connection was made.
    now: u64,
    /// When an answer last came.
    heard_at: u64,
    /// When something was last sent.
    sent_at: u64,
}

#[derive(Debug)]
struct Pending {
    /// `None` for a mark that was sent because the link was idle.
    sender: Option<oneshot::Sender<Answers>>,
    asked: usize,
    bytes: usize,
    /// The batch, if it is wanted back in case of a fault.
    kept: Option<Vec<u8>>,
    queued_at: u64,
}

impl Connection {
    pub(super) fn new(process: StartNumber, incarnation: Incarnation) -> Self {
        Self {
            process,
            incarnation,
            pending: BTreeMap::new(),
            outbox: VecDeque::new(),
            bytes: 0,
            now: 0,
            heard_at: 0,
            sent_at: 0,
        }
    }

    /// What there is to tell of the peer's answers.
    pub(super) fn pulse(&self) -> Pulse {
        let requests = self.pending.values().map(|pending| pending.asked).sum();
        let asked = self.asked_at().map(|asked_at| self.now - asked_at);
        Pulse { requests, asked, heard: self.now - self.heard_at }
    }

    /// When the oldest exchange was queued.
    fn asked_at(&self) -> Option<u64> {
        self.pending.first_key_value().map(|(_, first)| first.queued_at)
    }

    pub(super) fn has_room(&self, queue_bytes_max: usize) -> bool {
        self.bytes < queue_bytes_max
    }

    /// Whether something was not sent yet, and it is little.
    pub(super) fn is_gathering(&self) -> bool {
        !self.outbox.is_empty() && self.bytes < GATHERED_BYTES_MAX
    }

    /// Queues a batch as exchange `id`, which is larger than every earlier one.
    pub(super) fn push(&mut self, id: ExchangeId, batch: RequestBatch, sender: Option<oneshot::Sender<Answers>>) {
        let (asked, is_kept) = (batch.len(), batch.is_kept());
        let bytes = batch.into_bytes();
        let kept = is_kept.then(|| bytes.clone());
        self.bytes += bytes.len();
        self.pending.insert(id, Pending { sender, asked, bytes: bytes.len(), kept, queued_at: self.now });
        self.outbox.push_back(Outbound { id, bytes });
    }

    /// The next batch to send.
    pub(super) fn take(&mut self) -> Option<Outbound> {
        let next = self.outbox.pop_front()?;
        self.sent_at = self.now;
        Some(next)
    }

    /// How many answers exchange `id` waits for; `None` if it is over.
    pub(super) fn asked(&self, id: ExchangeId) -> Option<usize> {
        self.pending.get(&id).map(|pending| pending.asked)
    }

    /// Exchange `id` ends with these answers.
    pub(super) fn finish(
        &mut self,
        id: ExchangeId,
        replies: Vec<PeerReply>,
        fault: Option<LinkFault>,
        standing: &Standing,
    ) {
        self.heard_at = self.now;
        if let Some(pending) = self.pending.remove(&id) {
            self.bytes -= pending.bytes;
            pending.end(Answers::new(self.process, replies, fault), standing);
        }
    }

    /// An eighth of the timeout has passed: what to think of the peer now. Down: the connection is to be closed.
    pub(super) fn tick(&mut self, standing: &Standing) -> Health {
        self.now += 1;
        loop {
            let signs = Signs { asked_at: self.asked_at(), heard_at: self.heard_at };
            let health = Health::judge(LinkState::Up, signs, self.now);
            match self.pending.first_key_value() {
                Some((&id, first)) if health != Health::Down && self.now - first.queued_at >= PATIENCE_TICKS => {
                    self.time_out(id, standing);
                }
                _ => return health,
            }
        }
    }

    fn time_out(&mut self, id: ExchangeId, standing: &Standing) {
        let heard_at = self.heard_at;
        self.finish(id, Vec::new(), Some(LinkFault::TimedOut), standing);
        self.heard_at = heard_at;
    }

    /// Whether nothing was sent for so long that the peer must be tried.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.now - self.sent_at >= IDLE_TICKS
    }

    /// The connection is gone. What was sent ends with `fault`, what was not ends as not sent.
    pub(super) fn close(mut self, fault: &LinkFault, standing: &Standing) {
        for outbound in std::mem::take(&mut self.outbox) {
            if let Some(pending) = self.pending.remove(&outbound.id) {
                pending.end(Answers::new(StartNumber::default(), Vec::new(), Some(LinkFault::Down)), standing);
            }
        }
        for pending in self.pending.into_values() {
            pending.end(Answers::new(self.process, Vec::new(), Some(fault.clone())), standing);
        }
    }
}

impl Pending {
    /// Hands the answers over. If nobody is there to take them any more, what was missed goes to the node.
    fn end(self, answers: Answers, standing: &Standing) {
        let answers = answers.with_kept(self.kept);
        if let Some(Err(answers)) = self.sender.map(|sender| sender.send(answers))
            && answers.missed.is_some()
        {
            standing.node().missed(standing.peer(), answers);
        }
    }
}
