//! The way of an update to its home, and of the reply back.

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::UpdateOrder;
use super::queue::{Asker, Job};
use crate::codec::reply;
use crate::coordinator::{ConsistentHashingKvStore, QuorumError};
use crate::peer::{Exchange, LinkFault, LinkState, PeerReply, PeerRequest, RequestBatch, UpdateRequest};
use crate::replica::OwnCall;
use crate::ring::{NodeIndex, Slot};
use crate::version::StartNumber;

/// How long an update may take at its home, in `request_timeout`s: to wait for others, to be tried, and to be taken back.
pub(super) const PATIENCE_TIMEOUTS: u32 = 4;
/// How often it is looked whether the home is still there, in parts of `request_timeout`.
const LOOK_PARTS: u32 = 4;

/// An update that has left for its home.
struct Carried<'a> {
    /// Its home, and its call there; `None`: it is carried out here.
    to: Option<(NodeIndex, OwnCall<'a>)>,
    reply: oneshot::Receiver<Bytes>,
}

/// How long the next reply of one home is waited for. One that falls silent costs that time once, however many updates it has
/// taken on.
struct Patience {
    home: NodeIndex,
    /// The process that has taken them on.
    process: StartNumber,
    ends_at: Instant,
}

/// What leaves for one node.
struct Letter {
    to: NodeIndex,
    batch: RequestBatch,
    ids: Vec<u64>,
}

impl ConsistentHashingKvStore {
    /// Carries out updates and returns their replies, in order. Those of one slot take effect in order, unless a node
    /// fails meanwhile.
    pub async fn update(&self, orders: Vec<UpdateOrder>) -> Vec<Bytes> {
        let mut replies: Vec<Option<Bytes>> = vec![None; orders.len()];
        let mut left: Vec<usize> = (0..orders.len()).collect();
        let mut refused_by = SmallVec::<[NodeIndex; 4]>::new();
        while !left.is_empty() {
            left = self.try_to_carry(&orders, &left, &mut refused_by, &mut replies).await;
        }
        replies.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Sends the orders `left` to their homes and waits for their replies. Returns those that were not taken on, which
    /// is known to have had no effect.
    async fn try_to_carry(
        &self,
        orders: &[UpdateOrder],
        left: &[usize],
        refused_by: &mut SmallVec<[NodeIndex; 4]>,
        replies: &mut [Option<Bytes>],
    ) -> Vec<usize> {
        let (mut jobs, mut letters, mut carried) = (Vec::new(), Vec::<Letter>::new(), Vec::new());
        for &position in left {
            let order = &orders[position];
            let Some(home) = self.home_of(order.slot, refused_by) else {
                let error = QuorumError::TooFewForWrite { reachable: 0, needed: self.quorum.write };
                replies[position] = Some(refusal(&error));
                continue;
            };
            carried.push((position, self.send(order, home, &mut jobs, &mut letters)));
        }
        if !jobs.is_empty() {
            self.updates.hand_in(jobs);
            self.replica.calls.arrived.notify_one();
        }
        let mut patience: Vec<Patience> = letters.iter().map(|letter| self.patience_with(letter.to)).collect();
        let exchanges: Vec<(NodeIndex, Vec<u64>, Exchange)> =
            letters.into_iter().map(|Letter { to, batch, ids }| (to, ids, self.peers.exchange(to, batch))).collect();
        let mut not_taken = Vec::new();
        for (to, ids, exchange) in exchanges {
            not_taken.extend(self.calls_not_taken(to, ids, exchange, refused_by).await);
        }
        let mut left = Vec::new();
        for (position, Carried { to, reply }) in carried {
            let not_taken = to.as_ref().and_then(|(_, call)| not_taken.iter().find(|(known, _)| *known == call.id));
            match not_taken {
                Some((_, None)) => left.push(position),
                Some((_, Some(error))) => replies[position] = Some(refusal(error)),
                None => {
                    let home = to.as_ref().map(|(home, _)| *home);
                    replies[position] = Some(self.await_reply(home, reply, &mut patience).await);
                }
            }
        }
        left
    }

    /// The first replica of `slot` that can be reached and has caught up.
    fn home_of(&self, slot: Slot, refused_by: &[NodeIndex]) -> Option<NodeIndex> {
        let replicas = self.replica.ring.preference_list(slot).as_slice().iter();
        replicas.copied().find(|&node| self.counts(node, slot) && !refused_by.contains(&node))
    }

    /// Hands an update to its home, or puts it into the letter to that.
    fn send(
        &self,
        order: &UpdateOrder,
        home: NodeIndex,
        jobs: &mut Vec<Job>,
        letters: &mut Vec<Letter>,
    ) -> Carried<'_> {
        if home == self.replica.index {
            let (sender, reply) = oneshot::channel();
            jobs.push(Job::new(order.clone(), Asker::Here(sender)));
            return Carried { to: None, reply };
        }
        self.note_forwarded(order.slot);
        let (own, reply) = self.replica.calls.begin();
        let id = own.id;
        let position = letters.iter().position(|letter| letter.to == home).unwrap_or_else(|| {
            letters.push(Letter { to: home, batch: RequestBatch::new(), ids: Vec::new() });
            letters.len() - 1
        });
        let words = order.args.iter().map(|word| &**word).collect();
        let call = UpdateRequest::Call { id, protocol: order.protocol, words };
        letters[position].batch.push(&PeerRequest::Update(call));
        letters[position].ids.push(id);
        Carried { to: Some((home, own)), reply }
    }

    /// Which calls of a letter were not taken on: `None` if that is certain, so that another home may be asked, else what the
    /// client is told.
    async fn calls_not_taken(
        &self,
        to: NodeIndex,
        ids: Vec<u64>,
        exchange: Exchange,
        refused_by: &mut SmallVec<[NodeIndex; 4]>,
    ) -> Vec<(u64, Option<QuorumError>)> {
        let answers = exchange.await;
        let (mut replies, mut not_taken) = (answers.replies.into_iter(), Vec::new());
        for id in ids {
            let reply = replies.next();
            if reply == Some(PeerReply::Ok) {
                continue;
            }
            let is_unknown = reply.is_none() && answers.fault.as_ref().is_some_and(LinkFault::was_sent);
            let error = is_unknown.then(|| self.unknown(to));
            if error.is_none() && !refused_by.contains(&to) {
                refused_by.push(to);
            }
            not_taken.push((id, error));
        }
        not_taken
    }

    /// The patience with what leaves for `home` now.
    fn patience_with(&self, home: NodeIndex) -> Patience {
        let ends_at = Instant::now() + self.replica.config.request_timeout() * PATIENCE_TIMEOUTS;
        Patience { home, process: self.peers.process(home), ends_at }
    }

    /// Waits for the reply of an update that its home has taken on.
    async fn await_reply(
        &self,
        home: Option<NodeIndex>,
        mut reply: oneshot::Receiver<Bytes>,
        patience: &mut [Patience],
    ) -> Bytes {
        let Some(home) = home else {
            return reply.await.unwrap_or_else(|_| refusal(&self.unknown(self.replica.index)));
        };
        let request_timeout = self.replica.config.request_timeout();
        if let Some(Patience { process, ends_at, .. }) = patience.iter_mut().find(|patience| patience.home == home) {
            loop {
                let look_at = (Instant::now() + request_timeout / LOOK_PARTS).min(*ends_at);
                let answer = timeout_at(look_at, &mut reply).await;
                let (now, is_gone) = (Instant::now(), self.peers.link(home) == LinkState::Down);
                match answer {
                    Ok(Ok(reply)) if now >= *ends_at => return reply,
                    Ok(Ok(reply)) => {
                        *ends_at = now + request_timeout * PATIENCE_TIMEOUTS;
                        return reply;
                    }
                    Err(_) if now < *ends_at => {
                        // It may still come on the home's own link, but not for long.
                        if is_gone || self.peers.process(home) != *process {
                            *ends_at = (*ends_at).min(now + request_timeout / 2);
                        }
                    }
                    Ok(Err(_)) | Err(_) => break,
                }
            }
        }
        refusal(&self.unknown(home))
    }

    /// What a client is told of an update whose home fell silent.
    fn unknown(&self, home: NodeIndex) -> QuorumError {
        let reason = Some(format!("{}, which carries it out, does not answer", self.name(home)));
        QuorumError::Indeterminate { acks: 0, needed: self.quorum.write, reason }
    }
}

/// An error as a reply.
pub(super) fn refusal(error: &QuorumError) -> Bytes {
    let mut out = Vec::new();
    reply::error(&mut out, &error.to_string());
    out.into()
}
