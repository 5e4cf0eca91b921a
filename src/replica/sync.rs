//! Catching up after a start without memory: asks the other replicas what they hold until every slot counts again.
//!
//! Which slots count is decided by a plain rule (`is_caught_up`); this task gathers what the rule needs. It compares
//! lists of versions slot by slot, a few at a time, and fetches only what is missing or older here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::time::{Instant, timeout_at};

use super::Replica;
use super::catch_up::{Source, Span, is_caught_up};
use crate::peer::{LinkState, NodeCommunicator, PeerReply, PeerRequest, ReadRecord, RequestBatch};
use crate::ring::{NodeIndex, SLOT_COUNT, Slot};
use crate::time::UnixMs;
use crate::version::{StartNumber, Version};

/// Slots whose versions are asked for at once.
const SLOTS_PER_REQUEST: usize = 64;
/// Records that are fetched at once, if they are small.
const RECORDS_PER_REQUEST_MAX: usize = 256;
/// Records that are fetched first, when their size is not known.
const RECORDS_PER_REQUEST_FIRST: usize = 16;
/// Bytes of values that one answer should come to at most: all of them are in memory at once.
const ANSWER_BYTES: usize = 4 << 20;
/// How long to wait before asking again where something could not be had.
const RETRY: Duration = Duration::from_millis(100);

/// Runs until every slot of this node counts.
pub async fn run(replica: Arc<Replica>, peers: Arc<dyn NodeCommunicator>) {
    if replica.syncing.count() == 0 {
        return;
    }
    let began = Instant::now();
    let mut journal = Journal::new(&replica, Arc::clone(&peers));
    journal.wait_for_writes_in_flight(began).await;
    let timeout = replica.config.sync_timeout();
    // Large stores take their time: a node that can be heard is not out of reach.
    let mut heard_at = began;
    while replica.syncing.count() > 0 {
        let changed = journal.round().await;
        if changed {
            heard_at = Instant::now();
        } else if timeout.is_some_and(|timeout| heard_at.elapsed() >= timeout) {
            journal.settle_for_less();
        }
        if !changed && replica.syncing.count() > 0 {
            // Woken early when a peer comes into reach.
            let _ = timeout_at(Instant::now() + RETRY, replica.changed.notified()).await;
        }
    }
    tracing::info!(seconds = began.elapsed().as_secs_f64(), records = replica.store.counts().records, "caught up");
    replica.changed.notify_waiters();
    tell(&replica, peers.as_ref()).await;
}

/// Has the peers know at once that this node counts: any request does, since the node's mark goes ahead of it.
async fn tell(replica: &Replica, peers: &dyn NodeCommunicator) {
    let up = replica.config.node_indices().filter(|&node| peers.link(node) == LinkState::Up);
    let exchanges: Vec<_> = up
        .map(|node| {
            let mut batch = RequestBatch::new();
            batch.push(&PeerRequest::Clock);
            peers.exchange(node, batch)
        })
        .collect();
    for exchange in exchanges {
        // A peer that does not answer learns it from the next mark, or when it is introduced again.
        exchange.await;
    }
}

/// What has been heard of each slot from each node so far.
struct Journal {
    replica: Arc<Replica>,
    peers: Arc<dyn NodeCommunicator>,
    /// By slot, then node.
    sources: Vec<Source>,
    /// Counts the rounds of asking.
    round: u32,
    /// Records that are asked for at once, learnt from their size.
    records_per_request: usize,
}

impl Journal {
    fn new(replica: &Arc<Replica>, peers: Arc<dyn NodeCommunicator>) -> Self {
        let nodes = replica.config.nodes.len();
        Self {
            sources: vec![Source::Unheard; usize::from(SLOT_COUNT) * nodes],
            round: 0,
            records_per_request: RECORDS_PER_REQUEST_FIRST,
            replica: Arc::clone(replica),
            peers,
        }
    }

    /// A write that counted an earlier run of this node toward its quorum may still be on its way to the others;
    /// after `request_timeout` it has arrived or failed. If no other replica holds anything that counts, as when the
    /// whole cluster starts, there is nothing to wait for.
    async fn wait_for_writes_in_flight(&mut self, began: Instant) {
        let until = began + self.replica.config.request_timeout();
        let replica = Arc::clone(&self.replica);
        loop {
            let changed = replica.changed.notified();
            self.note_blank_nodes();
            if replica.syncing.count() == 0 || timeout_at(until, changed).await.is_err() {
                break;
            }
        }
        self.sources.fill(Source::Unheard);
    }

    /// Notes which nodes held nothing at all since this one started. So shortly after the start no more than N-W of
    /// them could have, one after the other, and still have caught up in between.
    fn note_blank_nodes(&mut self) {
        let all_along = Span { process: StartNumber::default(), since: 0, until: u32::MAX };
        let blank: Vec<_> =
            self.replica.config.node_indices().filter(|&node| self.replica.was_peer_blank(node)).collect();
        for slot in self.replica.syncing.iter().collect::<Vec<_>>() {
            for &node in &blank {
                *self.source(slot, node) = Source::Syncing(all_along);
            }
            self.judge(slot);
        }
    }

    /// Asks every reachable node once for what was not heard of it yet. Whether anything new was heard.
    async fn round(&mut self) -> bool {
        self.round += 1;
        let mut changed = false;
        for node in self.replica.config.node_indices() {
            if node == self.replica.index || self.peers.link(node) == LinkState::Down {
                continue;
            }
            let wanted: Vec<Slot> = self
                .replica
                .syncing
                .iter()
                .filter(|&slot| self.replica.ring.preference_list(slot).contains(node))
                .filter(|&slot| self.is_worth_asking(slot, node))
                .collect();
            for slots in wanted.chunks(SLOTS_PER_REQUEST) {
                changed |= self.hear(node, slots).await;
            }
        }
        changed
    }

    /// Whether `node` was not heard yet, or was syncing and it matters whether it still is.
    fn is_worth_asking(&self, slot: Slot, node: NodeIndex) -> bool {
        match self.sources[self.position(slot, node)] {
            Source::Merged => false,
            Source::Unheard => true,
            Source::Syncing(_) => !self.others(slot).contains(&Source::Unheard),
        }
    }

    /// Merges what `node` holds of `slots`. Whether anything new was heard.
    async fn hear(&mut self, node: NodeIndex, slots: &[Slot]) -> bool {
        let mut batch = RequestBatch::new();
        for &slot in slots {
            batch.push(&PeerRequest::Keys { slot });
        }
        let answers = self.peers.exchange(node, batch).await;
        let mut changed = false;
        for (&slot, reply) in slots.iter().zip(answers.replies) {
            let heard = match reply {
                PeerReply::Keys(keys) => self.merge(node, slot, keys).await.then_some(Source::Merged),
                PeerReply::Syncing => Some(self.still_syncing(slot, node, answers.process)),
                _ => None,
            };
            if let Some(heard) = heard {
                let before = std::mem::replace(self.source(slot, node), heard);
                self.judge(slot);
                changed |= std::mem::discriminant(&before) != std::mem::discriminant(&heard);
            }
        }
        changed
    }

    /// Fetches the records of `keys` that are missing here, or not here to stay: what may still be taken back here
    /// stands for nothing, and may be taken back there too unless it is fetched. Whether all could be had.
    async fn merge(&mut self, node: NodeIndex, slot: Slot, keys: Vec<(Bytes, Version)>) -> bool {
        let now = self.replica.wall.now();
        let is_lacking = |(key, version): &(Bytes, Version)| self.replica.store.lacks(slot, key, *version, now);
        let wanted: Vec<Bytes> = keys.into_iter().filter(is_lacking).map(|(key, _)| key).collect();
        let mut rest = wanted.as_slice();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(self.records_per_request.min(rest.len()));
            if !self.fetch(node, part).await {
                return false;
            }
            rest = later;
        }
        true
    }

    /// Fetches the records of `keys` at once. Whether all could be had; what could is kept in any case.
    async fn fetch(&mut self, node: NodeIndex, keys: &[Bytes]) -> bool {
        let mut batch = RequestBatch::new();
        for key in keys {
            batch.push(&PeerRequest::Read { key });
        }
        let replies = self.peers.exchange(node, batch).await.replies;
        let is_complete = replies.len() == keys.len();
        let bytes = replies.iter().map(value_bytes).sum();
        self.records_per_request = match is_complete {
            true => records_per_request(keys.len(), bytes),
            false => (keys.len() / 2).max(1),
        };
        let now = self.replica.wall.now();
        let taken = keys.iter().zip(replies).filter(|(key, reply)| self.take(key, reply, now)).count();
        taken == keys.len()
    }

    /// Keeps what the reply to a read shows of `key`. Whether nothing of it is missing here now.
    fn take(&self, key: &[u8], reply: &PeerReply, now: UnixMs) -> bool {
        match reply {
            PeerReply::Record(record) => {
                let ReadRecord { version, expires_at, value } = record;
                match self.replica.copy(key, value.as_deref(), *version, *expires_at, now) {
                    PeerReply::Drift(drift) => {
                        tracing::debug!(%drift, "cannot take a record of another replica");
                        false
                    }
                    _ => true,
                }
            }
            // Reverted meanwhile.
            PeerReply::Missing => true,
            _ => false,
        }
    }

    /// Lets `slot` count if enough was heard.
    fn judge(&mut self, slot: Slot) {
        let replica = Arc::clone(&self.replica);
        let heard = self.others(slot);
        let needed = replica.config.replication_factor - replica.config.write_quorum + 1;
        if is_caught_up(&heard, needed) {
            replica.syncing.caught_up(slot);
        }
    }

    /// Goes on with what could be had: too few nodes were within reach for too long.
    fn settle_for_less(&self) {
        let slots: Vec<Slot> = self.replica.syncing.iter().collect();
        tracing::warn!(
            slots = slots.len(),
            "not all replicas could be reached within sync_timeout_ms; writes that only they hold will be missed until they return"
        );
        for slot in slots {
            self.replica.syncing.caught_up(slot);
        }
    }

    /// A process that was syncing before, and still is, has been so all the time.
    fn still_syncing(&mut self, slot: Slot, node: NodeIndex, process: StartNumber) -> Source {
        let until = self.round;
        let since = match *self.source(slot, node) {
            Source::Syncing(span) if span.process == process => span.since,
            Source::Syncing(_) | Source::Merged | Source::Unheard => until,
        };
        Source::Syncing(Span { process, since, until })
    }

    /// What was heard of the other replicas of `slot`.
    fn others(&self, slot: Slot) -> SmallVec<[Source; 4]> {
        let replicas = self.replica.ring.preference_list(slot);
        let others = replicas.iter().filter(|&&node| node != self.replica.index);
        others.map(|&node| self.sources[self.position(slot, node)]).collect()
    }

    fn source(&mut self, slot: Slot, node: NodeIndex) -> &mut Source {
        let position = self.position(slot, node);
        &mut self.sources[position]
    }

    fn position(&self, slot: Slot, node: NodeIndex) -> usize {
        slot.as_usize() * self.replica.config.nodes.len() + node.as_usize()
    }
}

fn value_bytes(reply: &PeerReply) -> usize {
    match reply {
        PeerReply::Record(ReadRecord { value: Some(value), .. }) => value.len(),
        _ => 0,
    }
}

/// How many records to ask for after `records` of them came with `bytes` of values: as many as fit by their mean, but
/// at most twice as many.
fn records_per_request(records: usize, bytes: usize) -> usize {
    let fitting = ANSWER_BYTES / (bytes / records.max(1)).max(1);
    fitting.min(2 * records).clamp(1, RECORDS_PER_REQUEST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_fetched_by_their_size() {
        assert_eq!(records_per_request(16, 1600), 32, "small ones by more and more");
        assert_eq!(records_per_request(256, 25_600), RECORDS_PER_REQUEST_MAX);
        assert_eq!(records_per_request(16, 16 << 20), 4, "a few of a megabyte");
        assert_eq!(records_per_request(16, 16 << 30), 1, "huge ones singly");
        assert_eq!(records_per_request(1, 0), 2);
    }
}
