//! Catching up after a start without memory: asks the other replicas what they hold until every slot counts again.
//!
//! Which slots count is decided by a plain rule (`is_caught_up`); this task gathers what the rule needs. It compares
//! lists of versions slot by slot, a few at a time, and fetches only what is missing or older here (`fetch.rs`).

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::{Instant, timeout_at};

use super::Replica;
use super::catch_up::{Source, Span, is_caught_up};
use super::fetch::{Fetcher, Heard, Purpose};
use crate::peer::{LinkState, NodeCommunicator, PeerRequest, RequestBatch};
use crate::ring::{NodeIndex, SLOT_COUNT, Slot};
use crate::version::StartNumber;

/// Every how many rounds a replica that was syncing is asked again while another one was not heard yet.
const REPEAT_ROUNDS: u32 = 10;
/// How long to wait before asking again where something could not be had.
const RETRY: Duration = Duration::from_millis(100);

/// Runs until every slot of this node counts.
pub async fn run(replica: Arc<Replica>, peers: Arc<dyn NodeCommunicator>) {
    if replica.syncing.count() == 0 {
        replica.sync_meter.end(replica.wall.now());
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
    replica.sync_meter.end(replica.wall.now());
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
    fetcher: Fetcher,
}

impl Journal {
    fn new(replica: &Arc<Replica>, peers: Arc<dyn NodeCommunicator>) -> Self {
        let nodes = replica.config.nodes.len();
        Self {
            sources: vec![Source::Unheard; usize::from(SLOT_COUNT) * nodes],
            round: 0,
            fetcher: Fetcher::new(Arc::clone(replica), Arc::clone(&peers), Purpose::CatchUp),
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
            let mut rest = wanted.as_slice();
            while !rest.is_empty() {
                let (slots, later) = rest.split_at(self.fetcher.slots_at_once().min(rest.len()));
                changed |= self.hear(node, slots).await;
                rest = later;
            }
        }
        changed
    }

    /// Whether `node` was not heard yet, or was syncing: it may have caught up meanwhile, and if all the rest were heard
    /// it matters whether it still has not.
    fn is_worth_asking(&self, slot: Slot, node: NodeIndex) -> bool {
        match self.sources[self.position(slot, node)] {
            Source::Merged => false,
            Source::Unheard => true,
            Source::Syncing(_) => {
                self.round.is_multiple_of(REPEAT_ROUNDS) || !self.others(slot).contains(&Source::Unheard)
            }
        }
    }

    /// Merges what `node` holds of `slots`. Whether anything new was heard.
    async fn hear(&mut self, node: NodeIndex, slots: &[Slot]) -> bool {
        let mut changed = false;
        for (&slot, heard) in slots.iter().zip(self.fetcher.hear(node, slots).await) {
            let source = match heard {
                Heard::Merged(_) => Source::Merged,
                Heard::Syncing(process) => self.still_syncing(slot, node, process),
                Heard::Nothing => continue,
            };
            let before = std::mem::replace(self.source(slot, node), source);
            self.judge(slot);
            changed |= std::mem::discriminant(&before) != std::mem::discriminant(&source);
        }
        changed
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
