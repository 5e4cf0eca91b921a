//! A client's batch on its way through the cluster.
//!
//! All that a batch needs of one peer travels as one [`RequestBatch`] and is answered as one [`Exchange`], so that a
//! pipeline of 64 commands costs each peer about one read and one write. This file only carries: it hands messages
//! over, gives answers to the state machine of the operation that they belong to, and does what that says next.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use smallvec::SmallVec;

use super::answers::{read_answer, read_outcome, revert_answer, write_answer, write_back_answer, write_outcome};
use super::debts::Debts;
use super::journey::{Journey, Passenger};
use super::mail::{Letters, Mail, next_answers, next_answers_soon};
use super::open_writes::OpenTicket;
use super::outbox::{Item, Letter, Outbox, Step};
use super::read::{Found, ReadAnswer, ReadVerdict};
use super::roster::Roster;
use super::write::{Before, Verdict, WriteAnswer, WriteProgress};
use super::{ConsistentHashingKvStore, Operation, Outcome, QuorumError};
use crate::peer::{Answers, Health, LinkFault, PeerReply, PeerRequest};
use crate::ring::{NodeIndex, Slot};
use crate::store::Lookup;
use crate::time::UnixMs;
use crate::version::{Hlc, StartNumber, Version};

/// A launched batch; [`Flight::settle`] waits for its outcomes.
pub struct Flight<'a> {
    coordinator: &'a ConsistentHashingKvStore,
    steps: Vec<Passenger>,
    mail: Letters,
    /// Operations whose outcome is still open.
    undecided: usize,
    /// Whether there are reads among the operations.
    has_reads: bool,
    /// The claim on the watermark while a write may still be taken back.
    ticket: Option<OpenTicket>,
    /// What replicas missed so far, if they did: hardly ever, and a flight is moved often.
    debts: Option<Box<Debts>>,
}

impl<'a> Flight<'a> {
    pub(super) fn launch(coordinator: &'a ConsistentHashingKvStore, operations: Vec<Operation>, now: UnixMs) -> Self {
        let steps = operations.into_iter().map(|operation| Passenger::new(coordinator, operation)).collect();
        Self::carry(coordinator, steps, now)
    }

    /// Sends operations on their way.
    pub(super) fn carry(coordinator: &'a ConsistentHashingKvStore, steps: Vec<Passenger>, now: UnixMs) -> Self {
        let undecided = steps.len();
        let mut outbox = Outbox::for_all(&steps);
        let writes = steps.iter().filter(|passenger| matches!(passenger.journey, Journey::Write { .. })).count();
        let (mail, has_reads) = (Letters::new(), writes < undecided);
        let mut flight = Self { coordinator, steps, mail, undecided, has_reads, ticket: None, debts: None };
        let mut gate = (writes > 0).then(|| coordinator.gate.lock());
        let mut roster = Roster::new(coordinator);
        let mut stamped: Option<(Hlc, Hlc)> = None;
        for operation in 0..flight.steps.len() {
            match flight.steps[operation].journey {
                Journey::Read { .. } => flight.advance_read(operation, &mut outbox, now),
                Journey::Write { .. } => {
                    if let Some(hlc) = flight.hand_over(operation, &mut roster, &mut outbox, now) {
                        stamped = Some((stamped.map_or(hlc, |(first, _)| first), hlc));
                    }
                }
                Journey::Overtaken { .. } | Journey::Ended(_) => {}
            }
        }
        if let (Some(gate), Some((first, last))) = (&mut gate, stamped) {
            flight.ticket = Some(gate.open(first, last));
        }
        flight.post(outbox);
        drop(gate);
        flight.advance_writes(now);
        flight
    }

    /// Waits until every operation has its outcome, and returns them in order.
    pub async fn settle(mut self) -> Vec<Outcome> {
        while self.undecided > 0 {
            let next = match self.may_hurry() {
                false => Some(next_answers(&mut self.mail).await),
                true => next_answers_soon(&mut self.mail, self.coordinator.replica.config.request_timeout()).await,
            };
            let now = self.coordinator.replica.wall.now();
            match next {
                Some((from, items, answers)) => self.take_answers(from, &items, answers, now),
                None => self.hurry(now),
            }
        }
        self.close();
        Debts::settle(self.debts.take(), &self.coordinator.replica, self.mail.drain(..));
        self.end_overtaken();
        std::mem::take(&mut self.steps).into_iter().map(Passenger::outcome).collect()
    }

    /// Gives overtaken writes their outcome: they took effect if the write that overtook them did; otherwise their
    /// own first stamp may still lie somewhere.
    fn end_overtaken(&mut self) {
        let needed = self.coordinator.quorum.write;
        for operation in (0..self.steps.len()).rev() {
            let Journey::Overtaken { by } = self.steps[operation].journey else { continue };
            // It stands behind, so it has its outcome already.
            let outcome = match &self.steps[by].journey {
                Journey::Ended(Outcome::Written(_)) => Outcome::Written(Before::default()),
                _ => {
                    let reason = Some("a later write of the same key in this pipeline failed".to_owned());
                    Outcome::Failed(QuorumError::Indeterminate { acks: 0, needed, reason })
                }
            };
            self.steps[operation].journey = Journey::Ended(outcome);
        }
    }

    /// Whether a read waits for one replica although others could be asked.
    fn may_hurry(&self) -> bool {
        let may = |passenger: &Passenger| matches!(&passenger.journey, Journey::Read { progress, .. } if progress.may_hurry());
        self.has_reads && self.steps.iter().any(may)
    }

    /// Asks one replica more for each read that waits for one.
    fn hurry(&mut self, now: UnixMs) {
        let mut outbox = Outbox::default();
        for operation in 0..self.steps.len() {
            if let Journey::Read { progress, .. } = &mut self.steps[operation].journey {
                progress.hurry();
                self.advance_read(operation, &mut outbox, now);
            }
        }
        self.post(outbox);
    }

    fn take_answers(&mut self, from: NodeIndex, items: &[Item], answers: Answers, now: UnixMs) {
        let Answers { process, replies, fault, missed } = answers;
        if let Some(requests) = missed {
            self.debts().unanswered(from, *requests, replies.len());
        }
        let mut replies = replies.into_iter();
        for &item in items {
            let answer = replies.next().ok_or_else(|| fault.clone().unwrap_or(LinkFault::TimedOut));
            self.coordinator.follow(&answer, now);
            self.take_answer(item, process, answer);
        }
        let mut outbox = Outbox::default();
        for item in items {
            if matches!(self.steps[item.operation].journey, Journey::Read { .. }) {
                self.advance_read(item.operation, &mut outbox, now);
            }
        }
        self.post(outbox);
        if items.iter().any(|item| matches!(item.step, Step::Write { .. } | Step::Revert)) {
            self.advance_writes(now);
        }
    }

    /// Gives one answer to the operation that it belongs to. Answers after its end are of no interest.
    fn take_answer(&mut self, item: Item, process: StartNumber, answer: Result<PeerReply, LinkFault>) {
        match (&mut self.steps[item.operation].journey, item.step) {
            (Journey::Write { progress, .. }, Step::Write { attempt }) => {
                progress.answered(item.replica, attempt, write_answer(answer));
            }
            (Journey::Write { progress, .. }, Step::Revert) => {
                progress.revert_answered(item.replica, process, revert_answer(answer));
            }
            (Journey::Read { progress, .. }, Step::Ask { round }) => {
                progress.answered(item.replica, round, read_answer(answer));
            }
            (Journey::Read { progress, .. }, Step::WriteBack { round }) => {
                progress.written_back(item.replica, round, write_back_answer(answer));
            }
            _ => {}
        }
    }

    /// Stamps a write and hands it to all its replicas, this node among them. To be called, and its letters posted,
    /// under the gate. `None` if it was refused: too few replicas are within reach, so nothing is written anywhere.
    fn hand_over(
        &mut self,
        operation: usize,
        roster: &mut Roster<'_>,
        outbox: &mut Outbox,
        now: UnixMs,
    ) -> Option<Hlc> {
        let coordinator = self.coordinator;
        let Passenger { slot, key, journey } = &mut self.steps[operation];
        let Journey::Write { progress, value, expires_at } = journey else { return None };
        let (reachable, needed) = (roster.counting(*slot), coordinator.quorum.write);
        if progress.attempt() == 0 && reachable < needed {
            self.end(operation, Outcome::Failed(QuorumError::TooFewForWrite { reachable, needed }));
            return None;
        }
        let (value, expires_at) = (value.as_deref(), *expires_at);
        let version = coordinator.stamp(*slot, key, value, expires_at, progress, now);
        let request = PeerRequest::Write { key, value, version, expires_at };
        let step = Step::Write { attempt: progress.attempt() };
        let replicas = coordinator.replica.ring.preference_list(*slot).as_slice().iter().enumerate();
        let others = replicas.filter(|&(_, &node)| node != coordinator.replica.index);
        let reachable = others.filter_map(|(replica, &node)| {
            progress.sent(replica, roster.process_of(node)?);
            Some((node, Item { operation, replica, step }))
        });
        outbox.push_to_all(reachable, &request);
        if roster.misses_some() && coordinator.replica.hints.are_kept() {
            for node in roster.missing(*slot) {
                outbox.unsent(node).push(key, value, version, expires_at);
            }
        }
        Some(version.hlc())
    }

    /// Does what the writes' state machines say next, until all of them wait or have ended.
    fn advance_writes(&mut self, now: UnixMs) {
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
                        let outcome = write_outcome(progress.outcome(), self.coordinator.quorum.write);
                        if !matches!(outcome, Outcome::Written(_)) {
                            self.debts.get_or_insert_default().disown(progress.stamps());
                        }
                        self.end(operation, outcome);
                    }
                }
            }
        }
    }

    /// Writes again above `above`, unless a later write of the same key in this batch does so anyway: then this one
    /// took effect just before that.
    fn restamp(&mut self, operation: usize, above: Version, now: UnixMs) {
        if let Some(by) = self.later_write(operation) {
            self.steps[operation].journey = Journey::Overtaken { by };
            self.undecided -= 1;
            return;
        }
        let coordinator = self.coordinator;
        let Journey::Write { progress, .. } = &mut self.steps[operation].journey else { return };
        if let Err(drift) = coordinator.replica.clock.observe(above.hlc(), now) {
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
    fn later_write(&self, operation: usize) -> Option<usize> {
        let Passenger { slot, key, .. } = &self.steps[operation];
        let same = |later: &Passenger| {
            later.slot == *slot && later.key == *key && !matches!(later.journey, Journey::Read { .. })
        };
        (operation + 1..self.steps.len()).find(|&later| same(&self.steps[later]))
    }

    /// Takes a write back from every replica that may hold it.
    fn revert(&mut self, operation: usize, now: UnixMs) {
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

    /// Does what a read's state machine says next, until it waits or has ended.
    fn advance_read(&mut self, operation: usize, outbox: &mut Outbox, now: UnixMs) {
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
                        outbox.push(order[replica], &PeerRequest::Read { key }, item);
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
        let Journey::Read { progress, .. } = std::mem::replace(journey, Journey::Ended(Outcome::Read(None))) else {
            return;
        };
        self.end(operation, read_outcome(progress.into_outcome(), coordinator.quorum));
    }

    fn end(&mut self, operation: usize, outcome: Outcome) {
        if let Outcome::Failed(QuorumError::Reverted { .. }) = outcome {
            self.coordinator.replica.convergence.reverted_writes.fetch_add(1, Ordering::Relaxed);
        }
        self.steps[operation].journey = Journey::Ended(outcome);
        self.undecided -= 1;
    }

    /// Hands every letter to its link.
    fn post(&mut self, outbox: Outbox) {
        for Letter { to, batch, items } in outbox.letters {
            let exchange = self.coordinator.peers.exchange(to, batch);
            self.mail.push(Mail { to, items, exchange });
        }
        for (node, copies) in outbox.unsent {
            self.debts().missed(node, copies);
        }
    }

    fn debts(&mut self) -> &mut Debts {
        self.debts.get_or_insert_default()
    }

    /// Declares all writes of this batch decided.
    fn close(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let lowest_open = self.coordinator.gate.lock().close(&ticket);
            let replica = &self.coordinator.replica;
            replica.publish_lowest_open(lowest_open, replica.wall.now());
        }
    }
}

impl Drop for Flight<'_> {
    /// A batch that nobody waits for any more will not be taken back: its writes are decided.
    fn drop(&mut self) {
        self.close();
    }
}

impl ConsistentHashingKvStore {
    /// Moves the clock past every version that a peer shows, so that what this node writes next outranks it. One that
    /// is too far ahead is not followed; a write that it stands in the way of says so.
    fn follow(&self, answer: &Result<PeerReply, LinkFault>, now: UnixMs) {
        let seen = match answer {
            Ok(PeerReply::Stale(version) | PeerReply::Prior { version, .. }) => *version,
            Ok(PeerReply::Record(record)) => record.version,
            _ => return,
        };
        let _ = self.replica.clock.observe(seen.hlc(), now);
    }

    /// Draws the next version of a write and, if this node is a replica, stores it here.
    fn stamp(
        &self,
        slot: Slot,
        key: &[u8],
        value: Option<&[u8]>,
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
        let (version, before) = self.store_here(slot, key, value, expires_at, now);
        progress.stamp(version);
        progress.sent(here, replica.start());
        let answer = match replica.may_ack(slot) {
            true => WriteAnswer::Acked(before),
            false => WriteAnswer::Uncounted(format!("{} is syncing", self.name(replica.index))),
        };
        progress.answered(here, progress.attempt(), answer);
        version
    }

    /// The replicas of `slot` in the order in which to ask them: this node first if it is one, suspects last.
    pub(super) fn reading_order(&self, slot: Slot) -> SmallVec<[NodeIndex; 5]> {
        let mut order: SmallVec<[NodeIndex; 5]> = self.replica.ring.preference_list(slot).iter().copied().collect();
        if let Some(here) = order.iter().position(|&node| node == self.replica.index) {
            order[..=here].rotate_right(1);
        }
        let is_quick = |node: &NodeIndex| *node == self.replica.index || self.peers.health(*node) != Health::Suspect;
        let (mut order, suspects): (SmallVec<[NodeIndex; 5]>, SmallVec<[NodeIndex; 5]>) =
            order.into_iter().partition(is_quick);
        order.extend(suspects);
        order
    }

    /// What this node shows of a key, as an answer to itself.
    fn look_here(&self, slot: Slot, key: &[u8], now: UnixMs) -> ReadAnswer {
        self.replica.store.read(slot, key, now, |lookup| match lookup {
            Lookup::Missing => ReadAnswer::Missing,
            Lookup::Tombstone { version } => ReadAnswer::Found(Found { version, expires_at: None, value: None }),
            Lookup::Live(record) => ReadAnswer::Found(Found {
                version: record.version(),
                expires_at: record.expires_at(),
                value: record.value().map(Bytes::copy_from_slice),
            }),
        })
    }

    /// The name of `node`, for messages.
    pub(super) fn name(&self, node: NodeIndex) -> &str {
        self.replica.config.nodes[node.as_usize()].id.as_str()
    }
}
