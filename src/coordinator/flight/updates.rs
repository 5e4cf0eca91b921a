//! The two rounds of updates: the questions, and what their writes have besides those of others.

use smallvec::SmallVec;

use super::Flight;
use crate::coordinator::ConsistentHashingKvStore;
use crate::coordinator::answers::{prepare_answer, prepare_outcome, write_answer};
use crate::coordinator::journey::{Journey, Passenger, Terms};
use crate::coordinator::outbox::{Item, Outbox, Step};
use crate::coordinator::prepare::PrepareAnswer;
use crate::coordinator::read::Found;
use crate::coordinator::roster::Roster;
use crate::coordinator::write::WriteProgress;
use crate::peer::{PeerRequest, UpdateRequest};
use crate::ring::{NodeIndex, Slot};
use crate::time::UnixMs;
use crate::version::{Hlc, Version};

impl Flight<'_> {
    /// Draws the ballot of an update and asks all replicas of its key. To be called, and its letters posted, under the gate.
    pub(super) fn ask_to_prepare(
        &mut self,
        operation: usize,
        roster: &mut Roster<'_>,
        outbox: &mut Outbox,
        now: UnixMs,
    ) -> Hlc {
        let coordinator = self.coordinator;
        let replica = &coordinator.replica;
        let ballot = Version::new(replica.clock.tick(now), replica.index, replica.start());
        let Passenger { slot, key, journey } = &mut self.steps[operation];
        let Journey::Prepare { progress } = journey else { return ballot.hlc() };
        progress.stamp(ballot);
        let insists = progress.insists();
        for (place, &node) in replica.ring.preference_list(*slot).as_slice().iter().enumerate() {
            if node == replica.index {
                progress.sent(place);
                progress.answered(place, coordinator.prepare_here(*slot, key, (ballot, insists), now));
            } else if roster.process_of(node).is_some() {
                progress.sent(place);
                let item = Item { operation, replica: place, step: Step::Prepare };
                outbox.push(node, &PeerRequest::Update(UpdateRequest::Prepare { key, ballot, insists }), item);
            }
        }
        ballot.hlc()
    }

    /// Ends the questions of which enough is known.
    pub(super) fn advance_prepares(&mut self) {
        for operation in 0..self.steps.len() {
            if let Journey::Prepare { progress } = &mut self.steps[operation].journey
                && let Some(outcome) = progress.outcome()
            {
                self.end(operation, prepare_outcome(outcome));
            }
        }
    }
}

/// Hands an update's write to replicas, each with its place; those that may lack what it was based on get that first.
pub(super) fn hand_over_update(
    key: &[u8],
    (value, expires_at): (Option<&[u8]>, Option<UnixMs>),
    terms: &Terms,
    nodes: &[(NodeIndex, Item)],
    outbox: &mut Outbox,
) {
    if let Some(base) = &terms.seen {
        for &(node, item) in nodes.iter().filter(|(_, item)| !terms.holders[item.replica]) {
            let request = base_request(key, base, terms.ballot);
            outbox.push(node, &PeerRequest::Update(request), Item { step: Step::Base, ..item });
        }
    }
    let request = UpdateRequest::Accept { key, value, ballot: terms.ballot, base: terms.base, expires_at };
    outbox.push_to_all(nodes.iter().copied(), &PeerRequest::Update(request));
}

fn base_request<'a>(key: &'a [u8], base: &'a Found, ballot: Version) -> UpdateRequest<'a> {
    let Found { version, expires_at, value } = base;
    UpdateRequest::Base { key, value: value.as_deref(), version: *version, expires_at: *expires_at, ballot }
}

impl ConsistentHashingKvStore {
    fn prepare_here(&self, slot: Slot, key: &[u8], asked: (Version, bool), now: UnixMs) -> PrepareAnswer {
        match self.replica.prepare(slot, key, asked, now, super::reads::found) {
            Ok(found) => PrepareAnswer::Shows(found),
            Err(refusal) => prepare_answer(Ok(refusal)),
        }
    }

    /// Takes an update's write here, if this node is a replica.
    pub(super) fn accept_here(
        &self,
        slot: Slot,
        key: &[u8],
        (value, expires_at): (Option<&[u8]>, Option<UnixMs>),
        terms: &Terms,
        progress: &mut WriteProgress,
        now: UnixMs,
    ) {
        let replica = &self.replica;
        progress.stamp(terms.ballot);
        let Some(here) = replica.ring.preference_list(slot).iter().position(|&node| node == replica.index) else {
            return;
        };
        progress.sent(here, replica.start());
        if let Some(Found { version, expires_at, value }) = terms.seen.as_ref().filter(|_| !terms.holders[here]) {
            replica.copy_base(key, value.as_deref(), *expires_at, (*version, terms.ballot), now);
        }
        let reply = replica.accept(key, value, expires_at, (terms.ballot, terms.base), now);
        progress.answered(here, progress.attempt(), write_answer(Ok(reply)));
    }
}

/// The replicas that can be reached, each with its place.
pub(super) type Reached = SmallVec<[(NodeIndex, Item); 4]>;
