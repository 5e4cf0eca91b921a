//! What concerns the whole cluster rather than a key: counting all keys, dropping all keys.

use std::collections::BTreeMap;

use super::{ConsistentHashingKvStore, QuorumError};
use crate::mutation::{Mutation, is_on};
use crate::peer::{Exchange, LinkState, PeerReply, PeerRequest, RequestBatch};
use crate::ring::{NodeIndex, Slot};
use crate::version::{Hlc, Version};

/// How often a count starts over because a node left in the midst of it.
const COUNT_ATTEMPTS_MAX: usize = 3;

/// What nodes answered to the mark of a flush.
#[derive(Default)]
struct FlushAnswers {
    acks: u16,
    /// Why one of them does not count.
    reason: Option<String>,
}

impl FlushAnswers {
    fn take(&mut self, reply: PeerReply, name: &str, counts: bool) {
        match reply {
            PeerReply::Ok if counts => self.acks += 1,
            PeerReply::Ok => self.reason = Some(format!("{name}: its clock could not be read")),
            PeerReply::Promised(_) => self.reason = Some(format!("{name}: updates were in the way")),
            other => self.reason = Some(format!("{name}: {}", super::answers::refusal(&other))),
        }
    }
}

impl ConsistentHashingKvStore {
    /// Live keys in the whole cluster, each counted once: every slot is counted by its first replica that can be
    /// reached and has caught up. Writes in flight may or may not be counted.
    ///
    /// # Errors
    /// [`QuorumError::TooFewForRead`] if some slot has no such replica.
    pub async fn count_keys(&self) -> Result<u64, QuorumError> {
        let mut failed = Vec::new();
        for _ in 0..COUNT_ATTEMPTS_MAX {
            let alive = self.caught_up_nodes(&failed);
            if let Some(reason) = self.uncovered(&alive) {
                return Err(QuorumError::TooFewForRead { answers: 0, needed: 1, reason: Some(reason) });
            }
            let request = PeerRequest::Count { alive: alive.clone() };
            let answers = self.ask_all(&request, &alive).await;
            let mut keys = match alive.contains(&self.replica.index) {
                true => self.replica.count_keys(&alive),
                false => 0,
            };
            failed.clear();
            for (node, answer) in answers {
                match answer {
                    Some(PeerReply::Integer(count)) => keys += count,
                    _ => failed.push(node),
                }
            }
            if failed.is_empty() {
                return Ok(keys);
            }
        }
        let reason = failed.first().map(|&node| format!("{} does not answer", self.name(node)));
        Err(QuorumError::TooFewForRead { answers: 0, needed: 1, reason })
    }

    /// Drops every key of the whole cluster that was written before: a mark above the clocks of all nodes reached,
    /// answered once at most N-W nodes lack it, so that every write quorum holds it. A node that was away learns of
    /// it when it is introduced, before any data. A write that runs at the same time may end before or after it.
    ///
    /// # Errors
    /// [`QuorumError::TooFewForWrite`] if too few nodes can be reached (nothing was dropped),
    /// [`QuorumError::Indeterminate`] if too few confirmed.
    pub async fn flush_all(&self) -> Result<(), QuorumError> {
        let nodes = self.all_nodes();
        let total = u16::try_from(nodes.len()).unwrap_or(u16::MAX);
        let needed = total - (self.quorum.replicas - self.quorum.write);
        let others: Vec<_> = nodes.into_iter().filter(|&node| self.is_up(node)).collect();
        let below = self.nodes_to_stamp_above(&others).await;
        let reachable = u16::try_from(below.len()).unwrap_or(u16::MAX);
        if reachable < needed {
            // A mark of nothing: who waits for one promises again.
            self.spread_flush(Version::default(), &others, &[]).await;
            return Err(QuorumError::TooFewForWrite { reachable, needed });
        }
        let version = self.stamp_flush();
        let FlushAnswers { acks, reason } = self.spread_flush(version, &others, &below).await;
        if acks < needed {
            return Err(QuorumError::Indeterminate { acks, needed, reason });
        }
        self.conclude_flush(version, &others);
        Ok(())
    }

    /// Has all nodes take the mark `version`; those in `below` count. One that has restarted since its clock was read is still right
    /// to be counted, for it learns of the mark with its next introduction, before it counts for anything else.
    async fn spread_flush(&self, version: Version, others: &[NodeIndex], below: &[NodeIndex]) -> FlushAnswers {
        let asked = self.ask_each(&PeerRequest::Flush { version, is_decided: false }, others);
        let here = self.replica.flush(self.replica.index, version, self.replica.wall.now());
        let mut answers = FlushAnswers::default();
        answers.take(here, self.name(self.replica.index), below.contains(&self.replica.index));
        for (node, exchange) in asked {
            match exchange.await.replies.into_iter().next() {
                Some(reply) => answers.take(reply, self.name(node), below.contains(&node)),
                None => answers.reason = Some(format!("{} does not answer", self.name(node))),
            }
        }
        answers
    }

    /// Tells all nodes that the mark is decided. Whom that does not reach learns it from the others.
    fn conclude_flush(&self, version: Version, others: &[NodeIndex]) {
        drop(self.replica.flush_decided(version, self.replica.wall.now()));
        drop(self.ask_each(&PeerRequest::Flush { version, is_decided: true }, others));
    }

    /// Reads the clocks of `others` and this node's own, and names those that a version drawn now is above. They promise nothing to
    /// updates until that version comes.
    async fn nodes_to_stamp_above(&self, others: &[NodeIndex]) -> Vec<NodeIndex> {
        let mut below = Vec::with_capacity(others.len() + 1);
        if self.replica.hold(self.replica.index, self.replica.wall.now()).is_ok() {
            below.push(self.replica.index);
        }
        if is_on(Mutation::FlushByOwnClock) {
            below.extend_from_slice(others);
            return below;
        }
        for (node, answer) in self.ask_all(&PeerRequest::Hold, others).await {
            if let Some(PeerReply::Integer(reading)) = answer
                && self.replica.clock.observe(Hlc(reading), self.replica.wall.now()).is_ok()
            {
                below.push(node);
            }
        }
        below
    }

    /// Draws the version of a flush between two batches, so that it is above every write that left this node before.
    fn stamp_flush(&self) -> Version {
        let mut gate = self.gate.lock();
        let now = self.replica.wall.now();
        let hlc = self.replica.clock.tick(now);
        let ticket = gate.open(hlc, hlc);
        self.replica.publish_lowest_open(gate.close(&ticket), now);
        Version::new(hlc, self.replica.index, self.replica.start())
    }

    /// Asks these nodes the same, all at once; `None` where no answer came. This node itself is passed over.
    pub(super) async fn ask_all(
        &self,
        request: &PeerRequest<'_>,
        nodes: &[NodeIndex],
    ) -> BTreeMap<NodeIndex, Option<PeerReply>> {
        let mut answers = BTreeMap::new();
        for (node, exchange) in self.ask_each(request, nodes) {
            answers.insert(node, exchange.await.replies.into_iter().next());
        }
        answers
    }

    /// Sends these nodes the same. This node itself is passed over.
    fn ask_each(&self, request: &PeerRequest<'_>, nodes: &[NodeIndex]) -> Vec<(NodeIndex, Exchange)> {
        let others = nodes.iter().filter(|&&node| node != self.replica.index);
        let ask = |&node: &NodeIndex| {
            let mut batch = RequestBatch::default();
            batch.push(request);
            (node, self.peers.exchange(node, batch))
        };
        others.map(ask).collect()
    }

    /// Nodes that count for all their slots, as far as is known here, less those in `failed`.
    pub(super) fn caught_up_nodes(&self, failed: &[NodeIndex]) -> Vec<NodeIndex> {
        let counts = |&node: &NodeIndex| match node == self.replica.index {
            true => self.replica.syncing.count() == 0,
            false => self.is_up(node) && !self.replica.is_peer_syncing(node) && !failed.contains(&node),
        };
        self.all_nodes().into_iter().filter(counts).collect()
    }

    /// Why not every slot has a replica among `alive`, if so.
    pub(super) fn uncovered(&self, alive: &[NodeIndex]) -> Option<String> {
        Slot::all()
            .find(|&slot| !self.replica.ring.preference_list(slot).iter().any(|node| alive.contains(node)))
            .map(|slot| format!("no replica of slot {} can be reached", slot.number()))
    }

    fn all_nodes(&self) -> Vec<NodeIndex> {
        (0..u16::try_from(self.replica.config.nodes.len()).unwrap_or(u16::MAX)).map(NodeIndex).collect()
    }

    fn is_up(&self, node: NodeIndex) -> bool {
        node != self.replica.index && self.peers.link(node) == LinkState::Up
    }
}
