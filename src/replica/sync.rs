//! Catching up after a start without memory: asks the other replicas what they hold until every slot counts again.
//!
//! Which slots count is decided by a plain rule (`is_caught_up`); this task gathers what the rule needs. It compares
//! lists of versions slot by slot, a few at a time, and fetches only what is missing or older here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::Replica;
use super::catch_up::{Source, is_caught_up};
use crate::peer::{LinkState, NodeCommunicator, PeerReply, PeerRequest, RequestBatch};
use crate::ring::{NodeIndex, SLOT_COUNT, Slot};
use crate::version::Version;

/// Slots whose versions are asked for at once.
const SLOTS_PER_REQUEST: usize = 64;
/// Records that are fetched at once.
const RECORDS_PER_REQUEST: usize = 256;
/// How long to wait before asking again where something could not be had.
const RETRY: Duration = Duration::from_millis(100);

/// Runs until every slot of this node counts.
pub async fn run(replica: Arc<Replica>, peers: Arc<dyn NodeCommunicator>) {
    if replica.syncing.count() == 0 {
        return;
    }
    let began = Instant::now();
    let mut journal = Journal::new(&replica, peers);
    journal.wait_for_writes_in_flight(began).await;
    let give_up = replica.config.sync_timeout().map(|timeout| began + timeout);
    while replica.syncing.count() > 0 {
        let changed = journal.round().await;
        if give_up.is_some_and(|give_up| Instant::now() >= give_up) {
            journal.settle_for_less();
        }
        if !changed && replica.syncing.count() > 0 {
            // Woken early when a peer comes into reach.
            let _ = timeout_at(Instant::now() + RETRY, replica.changed.notified()).await;
        }
    }
    tracing::info!(seconds = began.elapsed().as_secs_f64(), records = replica.store.counts().records, "caught up");
    replica.changed.notify_waiters();
}

/// What has been heard of each slot from each node so far.
struct Journal {
    replica: Arc<Replica>,
    peers: Arc<dyn NodeCommunicator>,
    /// By slot, then node.
    sources: Vec<Source>,
}

impl Journal {
    fn new(replica: &Arc<Replica>, peers: Arc<dyn NodeCommunicator>) -> Self {
        let nodes = replica.config.nodes.len();
        Self { sources: vec![Source::Unheard; usize::from(SLOT_COUNT) * nodes], replica: Arc::clone(replica), peers }
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
                return;
            }
        }
    }

    /// Notes which nodes held nothing that counts since this one started.
    fn note_blank_nodes(&mut self) {
        let blank: Vec<_> =
            self.replica.config.node_indices().filter(|&node| self.replica.was_peer_blank(node)).collect();
        for slot in self.replica.syncing.iter().collect::<Vec<_>>() {
            for &node in &blank {
                if *self.source(slot, node) == Source::Unheard {
                    *self.source(slot, node) = Source::Syncing;
                }
            }
            self.judge(slot);
        }
    }

    /// Asks every reachable node once for what was not heard of it yet. Whether anything new was heard.
    async fn round(&mut self) -> bool {
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
                .filter(|&slot| self.sources[self.position(slot, node)] == Source::Unheard)
                .collect();
            for slots in wanted.chunks(SLOTS_PER_REQUEST) {
                changed |= self.hear(node, slots).await;
            }
        }
        changed
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
                PeerReply::Syncing => Some(Source::Syncing),
                _ => None,
            };
            if let Some(heard) = heard {
                *self.source(slot, node) = heard;
                self.judge(slot);
                changed = true;
            }
        }
        changed
    }

    /// Fetches the records of `keys` that are missing here, or not here to stay: what may still be taken back here
    /// stands for nothing, and may be taken back there too unless it is fetched. Whether all could be had.
    async fn merge(&self, node: NodeIndex, slot: Slot, keys: Vec<(Bytes, Version)>) -> bool {
        let now = self.replica.wall.now();
        let is_lacking = |(key, version): &(Bytes, Version)| self.replica.store.lacks(slot, key, *version, now);
        let wanted: Vec<(Bytes, Version)> = keys.into_iter().filter(is_lacking).collect();
        for part in wanted.chunks(RECORDS_PER_REQUEST) {
            let mut batch = RequestBatch::new();
            for (key, _) in part {
                batch.push(&PeerRequest::Read { key });
            }
            let answers = self.peers.exchange(node, batch).await;
            if answers.replies.len() < part.len() {
                return false;
            }
            for ((key, _), reply) in part.iter().zip(answers.replies) {
                match reply {
                    PeerReply::Record(record) => {
                        self.replica.copy(key, record.value.as_deref(), record.version, record.expires_at, now);
                    }
                    // Reverted meanwhile.
                    PeerReply::Missing => {}
                    _ => return false,
                }
            }
        }
        true
    }

    /// Lets `slot` count if enough was heard.
    fn judge(&mut self, slot: Slot) {
        let replica = Arc::clone(&self.replica);
        let others = replica.ring.preference_list(slot);
        let heard: Vec<Source> =
            others.iter().filter(|&&node| node != replica.index).map(|&node| *self.source(slot, node)).collect();
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

    fn source(&mut self, slot: Slot, node: NodeIndex) -> &mut Source {
        let position = self.position(slot, node);
        &mut self.sources[position]
    }

    fn position(&self, slot: Slot, node: NodeIndex) -> usize {
        slot.as_usize() * self.replica.config.nodes.len() + node.as_usize()
    }
}
