//! The reads of a batch: whom they ask, what they write back, and when they stop waiting for one replica alone.

use bytes::Bytes;
use smallvec::SmallVec;

use super::Flight;
use crate::coordinator::answers::{read_outcome, write_back_answer};
use crate::coordinator::journey::{Journey, Passenger};
use crate::coordinator::outbox::{Item, Outbox, Step};
use crate::coordinator::read::{Found, ReadAnswer, ReadVerdict};
use crate::coordinator::{ConsistentHashingKvStore, Outcome};
use crate::peer::{Health, PeerRequest};
use crate::ring::{NodeIndex, Slot};
use crate::store::Lookup;
use crate::time::UnixMs;

impl Flight<'_> {
    /// Whether a read waits for one replica although others could be asked.
    pub(super) fn may_hurry(&self) -> bool {
        let may = |passenger: &Passenger| matches!(&passenger.journey, Journey::Read { progress, .. } if progress.may_hurry());
        self.has_reads && self.steps.iter().any(may)
    }

    /// Asks one replica more for each read that waits for one.
    pub(super) fn hurry(&mut self, now: UnixMs) {
        let mut outbox = Outbox::default();
        for operation in 0..self.steps.len() {
            if let Journey::Read { progress, .. } = &mut self.steps[operation].journey {
                progress.hurry();
                self.advance_read(operation, &mut outbox, now);
            }
        }
        self.post(outbox);
    }

    /// Asks once more for a value that was too large to be told with others.
    pub(super) fn ask_alone(&self, node: NodeIndex, item: Item, outbox: &mut Outbox) {
        let Passenger { key, journey, .. } = &self.steps[item.operation];
        if matches!(journey, Journey::Read { .. }) {
            outbox.push(node, &PeerRequest::Read { key }, item);
        }
    }

    /// Does what a read's state machine says next, until it waits or has ended.
    pub(super) fn advance_read(&mut self, operation: usize, outbox: &mut Outbox, now: UnixMs) {
        let coordinator = self.coordinator;
        let Passenger { slot, key, journey } = &mut self.steps[operation];
        let Journey::Read { progress, order } = journey else { return };
        loop {
            let verdict = progress.verdict();
            // Only now: the verdict may have begun a new round.
            let round = progress.round();
            match verdict {
                ReadVerdict::Wait => return,
                ReadVerdict::Done => break,
                ReadVerdict::Ask(replicas) => {
                    for replica in replicas {
                        if order[replica] == coordinator.replica.index {
                            progress.answered(replica, round, coordinator.look_here(*slot, key, now));
                            continue;
                        }
                        let item = Item { operation, replica, step: Step::Ask { round } };
                        outbox.ask(order[replica], key, item);
                    }
                }
                ReadVerdict::WriteBack(Found { version, expires_at, value }, replicas) => {
                    let value = value.as_deref();
                    for replica in replicas {
                        if order[replica] == coordinator.replica.index {
                            let reply = coordinator.replica.copy(key, value, version, expires_at, now);
                            progress.written_back(replica, round, write_back_answer(Ok(reply)));
                            continue;
                        }
                        let item = Item { operation, replica, step: Step::WriteBack { round } };
                        outbox.push(order[replica], &PeerRequest::Copy { key, value, version, expires_at }, item);
                    }
                }
            }
        }
        coordinator.note_read(progress, *slot, key, now);
        let Journey::Read { progress, .. } = std::mem::replace(journey, Journey::Ended(Outcome::Read(None).into()))
        else {
            return;
        };
        self.end(operation, read_outcome(*progress).into());
    }
}

impl ConsistentHashingKvStore {
    /// The replicas of `slot` in the order in which to ask them: this node first if it is one, suspects last.
    pub(in crate::coordinator) fn reading_order(&self, slot: Slot) -> SmallVec<[NodeIndex; 5]> {
        let mut order: SmallVec<[NodeIndex; 5]> = self.replica.ring.preference_list(slot).iter().copied().collect();
        if let Some(here) = order.iter().position(|&node| node == self.replica.index) {
            order[..=here].rotate_right(1);
        }
        let is_quick = |node: &NodeIndex| *node == self.replica.index || self.peers.health(*node) != Health::Suspect;
        if order.iter().all(is_quick) {
            return order;
        }
        let (mut order, suspects): (SmallVec<[NodeIndex; 5]>, SmallVec<[NodeIndex; 5]>) =
            order.into_iter().partition(is_quick);
        order.extend(suspects);
        order
    }

    /// What this node shows of a key, as an answer to itself.
    pub(super) fn look_here(&self, slot: Slot, key: &[u8], now: UnixMs) -> ReadAnswer {
        self.replica.store.read(slot, key, now, found).map_or(ReadAnswer::Missing, ReadAnswer::Found)
    }
}

/// What a lookup has found, with a copy of the value, or a share in it if it is large.
pub(super) fn found(lookup: Lookup<'_>) -> Option<Found> {
    match lookup {
        Lookup::Missing => None,
        Lookup::Tombstone { version } => Some(Found { version, expires_at: None, value: None }),
        Lookup::Live(record) => Some(Found {
            version: record.version(),
            expires_at: record.expires_at(),
            value: record.large_value().or_else(|| record.value().map(Bytes::copy_from_slice)),
        }),
    }
}
