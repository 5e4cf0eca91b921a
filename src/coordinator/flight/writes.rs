//! The writes of a batch: stamped, handed to all their replicas, stamped anew or taken back where they have to be.

use bytes::Bytes;
use smallvec::SmallVec;

use super::Flight;
use super::updates::{Reached, hand_over_update};
use crate::codec::LARGE_BULK_BYTES;
use crate::coordinator::answers::{revert_answer, write_outcome};
use crate::coordinator::journey::{Ending, Journey, Passenger};
use crate::coordinator::outbox::{Item, Outbox, Step};
use crate::coordinator::roster::Roster;
use crate::coordinator::write::{Before, Verdict, WriteAnswer, WriteProgress};
use crate::coordinator::{ConsistentHashingKvStore, Outcome, QuorumError};
use crate::peer::PeerRequest;
use crate::ring::Slot;
use crate::time::UnixMs;
use crate::version::{Hlc, Version};

impl Flight<'_> {
    /// Stamps a write and hands it to all its replicas, this node among them. To be called, and its letters posted,
    /// under the gate. `None` if it was refused: too few replicas are within reach, so nothing is written anywhere.
    pub(super) fn hand_over(
        &mut self,
        operation: usize,
        roster: &mut Roster<'_>,
        outbox: &mut Outbox,
        now: UnixMs,
    ) -> Option<Hlc> {
        let coordinator = self.coordinator;
        let Passenger { slot, key, journey } = &mut self.steps[operation];
        let Journey::Write { progress, value, expires_at, terms } = journey else { return None };
        let (reachable, needed) = (roster.counting(*slot), progress.needed());
        if progress.attempt() == 0 && reachable < needed {
            self.end(operation, Outcome::Failed(QuorumError::TooFewForWrite { reachable, needed }).into());
            return None;
        }
        let (bytes, value, expires_at) = (value.as_ref(), value.as_deref(), *expires_at);
        if let Some(terms) = terms {
            coordinator.accept_here(*slot, key, (value, expires_at), terms, progress, now);
        }
        let version = match terms {
            Some(terms) => terms.ballot,
            None => coordinator.stamp(*slot, key, bytes, expires_at, progress, now),
        };
        let request = match value {
            Some(value) if progress.may_be_covered() => PeerRequest::WriteAgain { key, value, version, expires_at },
            _ => PeerRequest::Write { key, value, version, expires_at },
        };
        let large = bytes.filter(|bytes| bytes.len() >= LARGE_BULK_BYTES && !progress.may_be_covered());
        let step = Step::Write { attempt: progress.attempt() };
        let replicas = coordinator.replica.ring.preference_list(*slot).as_slice().iter().enumerate();
        let others = replicas.filter(|&(_, &node)| node != coordinator.replica.index);
        let reachable = others.filter_map(|(replica, &node)| {
            progress.sent(replica, roster.process_of(node)?);
            Some((node, Item { operation, replica, step }))
        });
        match terms {
            None if let Some(large) = large => {
                outbox.push_large_to_all(reachable, (key, large, version), expires_at);
            }
            None => outbox.push_to_all(reachable, &request),
            Some(terms) => {
                let reachable: Reached = reachable.collect();
                hand_over_update(key, (value, expires_at), terms, &reachable, outbox);
            }
        }
        if roster.misses_some() && coordinator.replica.hints.are_kept() {
            for node in roster.missing(*slot) {
                outbox.unsent(node).push(key, value, version, expires_at);
            }
        }
        terms.is_none().then_some(version.hlc())
    }

    /// Does what the writes' state machines say next, until all of them wait or have ended.
    pub(super) fn advance_writes(&mut self, now: UnixMs) {
        for operation in 0..self.steps.len() {
            while let Journey::Write { progress, .. } = &mut self.steps[operation].journey {
                match progress.verdict() {
                    Verdict::Wait => break,
                    Verdict::Restamp(above) => {
                        self.debts.get_or_insert_default().disown(progress.stamps());
                        self.restamp(operation, above, now);
                    }
                    Verdict::Revert => self.revert(operation, now),
                    Verdict::Done => {
                        let ending = write_outcome(progress.outcome(), progress.needed());
                        if !matches!(ending, Ending::Outcome(Outcome::Written(_))) {
                            self.debts.get_or_insert_default().disown(progress.stamps());
                        }
                        self.end(operation, ending);
                    }
                }
            }
        }
    }

    /// Writes again above `above`, unless a later write of the same key in this batch does so anyway: then this one
    /// took effect just before that.
    pub(super) fn restamp(&mut self, operation: usize, above: Version, now: UnixMs) {
        let (coordinator, by) = (self.coordinator, self.later_write(operation));
        let Journey::Write { progress, .. } = &mut self.steps[operation].journey else { return };
        if let Some(by) = by {
            self.steps[operation].journey = Journey::Overtaken { by, needed: progress.needed() };
            self.undecided -= 1;
            return;
        }
        // Who refused it for something further ahead of it than that may take that back (`store/write.rs`).
        let refused = progress.stamps().last().map_or(now, |stamp| stamp.hlc().wall());
        if let Err(drift) = coordinator.replica.clock.observe(above.hlc(), now.min(refused)) {
            progress.give_up(drift.to_string());
            return self.revert(operation, now);
        }
        let mut gate = coordinator.gate.lock();
        let mut outbox = Outbox::default();
        if let Some(hlc) = self.hand_over(operation, &mut Roster::new(coordinator), &mut outbox, now) {
            gate.restamped(hlc);
        }
        self.post(outbox);
    }

    /// The next write of the same key in this batch.
    pub(super) fn later_write(&self, operation: usize) -> Option<usize> {
        let Passenger { slot, key, .. } = &self.steps[operation];
        let same = |later: &Passenger| {
            later.slot == *slot && later.key == *key && !matches!(later.journey, Journey::Read { .. })
        };
        (operation + 1..self.steps.len()).find(|&later| same(&self.steps[later]))
    }

    /// Takes a write back from every replica that may hold it.
    pub(super) fn revert(&mut self, operation: usize, now: UnixMs) {
        let coordinator = self.coordinator;
        let Passenger { slot, key, journey } = &mut self.steps[operation];
        let Journey::Write { progress, .. } = journey else { return };
        let stamps: SmallVec<[Version; 4]> = progress.stamps().into();
        let mut outbox = Outbox::default();
        for (replica, &node) in coordinator.replica.ring.preference_list(*slot).iter().enumerate() {
            if !progress.may_hold(replica) {
                continue;
            }
            let Some(process) = coordinator.process_of(node) else {
                progress.revert_unsent(format!("{} is down", coordinator.name(node)));
                continue;
            };
            for &version in &stamps {
                progress.revert_sent();
                if node == coordinator.replica.index {
                    let answer = revert_answer(Ok(coordinator.replica.revert(key, version, now)));
                    progress.revert_answered(replica, process, answer);
                } else {
                    let item = Item { operation, replica, step: Step::Revert };
                    outbox.push(node, &PeerRequest::Revert { key, version }, item);
                }
            }
        }
        self.post(outbox);
    }

    /// Gives overtaken writes their outcome once the write that overtook them has its own: they took effect if that did;
    /// otherwise their own first stamp may still lie somewhere.
    pub(super) fn end_overtaken(&mut self) {
        for operation in (0..self.steps.len()).rev() {
            let Journey::Overtaken { by, needed } = self.steps[operation].journey else { continue };
            // It stands behind, so if it was overtaken itself it has its outcome already.
            let outcome = match &self.steps[by].journey {
                Journey::Ended(Ending::Outcome(Outcome::Written(_))) => Outcome::Written(Before::default()),
                Journey::Ended(_) => {
                    let reason = Some("a later write of the same key that left with it failed".to_owned());
                    Outcome::Failed(QuorumError::Indeterminate { acks: 0, needed, reason })
                }
                _ => continue,
            };
            self.steps[operation].journey = Journey::Ended(outcome.into());
        }
    }
}

impl ConsistentHashingKvStore {
    /// Draws the next version of a write and, if this node is a replica, stores it here.
    pub(super) fn stamp(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&Bytes>,
        expires_at: Option<UnixMs>,
        progress: &mut WriteProgress,
        now: UnixMs,
    ) -> Version {
        let replica = &self.replica;
        let Some(here) = replica.ring.preference_list(slot).iter().position(|&node| node == replica.index) else {
            let version = Version::new(replica.clock.tick(now), replica.index, replica.start());
            progress.stamp(version);
            return version;
        };
        // Asked before the write: what was promised by an earlier run is known only by a slot that counts.
        let may_ack = replica.may_ack(slot);
        let (version, before) = self.store_bytes_here(slot, key, value, expires_at, now);
        progress.stamp(version);
        progress.sent(here, replica.start());
        let answer = match may_ack {
            true => WriteAnswer::Acked(before),
            false => WriteAnswer::Uncounted(format!("{} is syncing", self.name(replica.index))),
        };
        progress.answered(here, progress.attempt(), answer);
        version
    }
}
