//! Who can be reached, as one batch sees it: each node is looked up once for all operations.

use smallvec::SmallVec;

use super::ConsistentHashingKvStore;
use crate::mutation::{Mutation, is_on};
use crate::peer::LinkState;
use crate::ring::{NodeIndex, Slot};
use crate::version::StartNumber;

/// What is known of a node.
#[derive(Clone, Copy)]
struct Standing {
    node: NodeIndex,
    /// The process that it is, if a request handed over now would reach it.
    process: Option<StartNumber>,
    /// Whether it counts toward quorums, as far as is known here.
    counts: bool,
}

/// The nodes that a batch has to do with so far.
pub(super) struct Roster<'a> {
    coordinator: &'a ConsistentHashingKvStore,
    standings: SmallVec<[Standing; 8]>,
    /// Whether one of them is out of reach.
    misses_some: bool,
}

impl<'a> Roster<'a> {
    pub(super) fn new(coordinator: &'a ConsistentHashingKvStore) -> Self {
        Self { coordinator, standings: SmallVec::new(), misses_some: false }
    }

    /// The process that `node` is, if a request handed over now would reach it.
    pub(super) fn process_of(&mut self, node: NodeIndex) -> Option<StartNumber> {
        self.standing(node).process
    }

    /// The process that `node` is, if it can be reached and counts toward quorums, as far as is known here.
    pub(super) fn counting_process(&mut self, node: NodeIndex) -> Option<StartNumber> {
        let Standing { process, counts, .. } = self.standing(node);
        process.filter(|_| counts)
    }

    /// Whether some node, so far, is out of reach.
    pub(super) fn misses_some(&self) -> bool {
        self.misses_some
    }

    /// The replicas of `slot` that are known to be out of reach.
    pub(super) fn missing(&self, slot: Slot) -> impl Iterator<Item = NodeIndex> {
        let replicas = self.coordinator.replica.ring.preference_list(slot);
        let is_missing = move |known: &&Standing| known.process.is_none() && replicas.contains(known.node);
        self.standings.iter().filter(is_missing).map(|known| known.node)
    }

    /// How many replicas of `slot` can be reached and count toward its quorums, as far as is known here.
    pub(super) fn counting(&mut self, slot: Slot) -> u16 {
        let coordinator = self.coordinator;
        let here = coordinator.replica.index;
        let replicas = coordinator.replica.ring.preference_list(slot).as_slice().iter();
        replicas
            .map(|&node| match node == here {
                true => u16::from(coordinator.replica.may_ack(slot)),
                false => u16::from(self.standing(node).counts),
            })
            .sum()
    }

    fn standing(&mut self, node: NodeIndex) -> Standing {
        if let Some(known) = self.standings.iter().find(|standing| standing.node == node) {
            return *known;
        }
        let process = self.coordinator.process_of(node);
        let counts = process.is_some() && self.coordinator.acks_count(node);
        self.misses_some |= process.is_none();
        self.standings.push(Standing { node, process, counts });
        Standing { node, process, counts }
    }
}

impl ConsistentHashingKvStore {
    /// The process that `node` is, if a request handed over now would reach it.
    pub(super) fn process_of(&self, node: NodeIndex) -> Option<StartNumber> {
        if node == self.replica.index {
            return Some(self.replica.start());
        }
        (self.peers.link(node) == LinkState::Up).then(|| self.peers.process(node))
    }

    /// The process that `node`, another one, is, if it can be reached and counts toward write quorums, as far as is known here.
    pub(super) fn counting_process(&self, node: NodeIndex) -> Option<StartNumber> {
        self.process_of(node).filter(|_| self.acks_count(node))
    }

    /// The process that this node is.
    pub(super) fn this_process(&self) -> (NodeIndex, StartNumber) {
        (self.replica.index, self.replica.start())
    }

    fn acks_count(&self, node: NodeIndex) -> bool {
        !self.replica.is_peer_syncing(node) || is_on(Mutation::SyncingAcks)
    }

    /// Whether `node` can be reached and counts toward quorums of `slot`, as far as is known here.
    pub(super) fn counts(&self, node: NodeIndex, slot: Slot) -> bool {
        match node == self.replica.index {
            true => self.replica.may_answer(slot),
            false => {
                let is_caught_up = !self.replica.is_peer_syncing(node) || is_on(Mutation::SyncingAnswers);
                self.peers.link(node) == LinkState::Up && is_caught_up
            }
        }
    }
}
