//! A client's batch on its way through the cluster.
//!
//! All that a batch needs of one peer travels as one [`RequestBatch`] and is answered as one [`Exchange`], so that a
//! pipeline of 64 commands costs each peer about one read and one write. This file only carries: it hands messages
//! over, gives answers to the state machine of the operation that they belong to, and does what that says next.

mod choice;
mod inquiry;
mod lone_read;
mod mixed;
mod reads;
mod salvo;
mod updates;
mod volley;
mod writes;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use smallvec::smallvec;

use super::answers::{prepare_answer, read_answer, revert_answer, write_answer, write_back_answer};
use super::debts::Debts;
use super::group::Seats;
use super::hurry::HurryTimer;
use super::journey::{Ending, Journey, Passenger};
use super::mail::{About, Letters, Mail, next_answers};
use super::open_writes::Claim;
use super::outbox::{Item, Letter, Outbox, Step};
use super::roster::Roster;
use super::{ConsistentHashingKvStore, Operations, Outcome, Outcomes, Quorum, QuorumError};
use crate::peer::{Answers, LinkFault, PeerReply};
use crate::replica::Copies;
use crate::ring::NodeIndex;
use crate::time::UnixMs;
use crate::version::{Hlc, StartNumber};

use inquiry::Inquiry;
use lone_read::LoneRead;
use mixed::Mixed;
use salvo::Salvo;
use volley::Volley;

pub(super) use volley::is_plain;

/// A launched batch; [`Launched::settle`] waits for its outcomes.
pub struct Launched<'a>(Kind<'a>);

enum Kind<'a> {
    LoneRead(Box<LoneRead<'a>>),
    Salvo(Box<Salvo<'a>>),
    Inquiry(Box<Inquiry<'a>>),
    Volley(Box<Volley<'a>>),
    Mixed(Box<Mixed<'a>>),
    Flight(Box<Flight<'a>>),
}

impl<'a> Launched<'a> {
    /// Sends the operations of a client with this quorum on their way.
    pub(super) fn new(
        coordinator: &'a ConsistentHashingKvStore,
        quorum: Quorum,
        mut operations: Operations,
        now: UnixMs,
    ) -> Self {
        if let Some(read) = LoneRead::launch(coordinator, quorum, &mut operations, now) {
            return Self(Kind::LoneRead(read));
        }
        if let Some(salvo) = Salvo::launch(coordinator, quorum, &mut operations, now) {
            return Self(Kind::Salvo(salvo));
        }
        if let Some(mixed) = Mixed::launch(coordinator, quorum, &mut operations, now) {
            return Self(Kind::Mixed(mixed));
        }
        let operations = operations.into_vec();
        let operations = match Inquiry::launch(coordinator, quorum, operations, now) {
            Ok(inquiry) => return Self(Kind::Inquiry(inquiry)),
            Err(operations) => operations,
        };
        Self(match Volley::launch(coordinator, quorum, operations, now) {
            Ok(volley) => Kind::Volley(volley),
            Err(operations) => {
                let passengers = operations.into_iter().map(|operation| Passenger::new(coordinator, quorum, operation));
                Kind::Flight(Flight::carry(coordinator, passengers.collect(), now))
            }
        })
    }

    /// Waits until every operation has its outcome, and returns them in order.
    pub async fn settle(self) -> Outcomes {
        self.settle_with(&mut HurryTimer::default()).await
    }

    /// As [`Launched::settle`], with the timer of one who does this again and again.
    pub async fn settle_with(self, timer: &mut HurryTimer) -> Outcomes {
        match self.0 {
            Kind::LoneRead(read) => smallvec![read.settle(timer).await],
            Kind::Salvo(salvo) => salvo.settle(timer, &mut Seats::none()).await,
            Kind::Inquiry(inquiry) => inquiry.settle(timer).await,
            Kind::Volley(volley) => volley.settle(timer).await,
            Kind::Mixed(mixed) => mixed.settle(timer).await,
            Kind::Flight(flight) => flight.settle(timer).await,
        }
    }

    /// As [`Launched::settle_with`], for a batch of one operation.
    pub(crate) async fn settle_one(self, timer: &mut HurryTimer) -> Outcome {
        match self.0 {
            Kind::LoneRead(read) => read.settle(timer).await,
            other => Self(other).settle_with(timer).await.pop().expect("each operation has an outcome"),
        }
    }

    /// Waits for the outcomes of a group, and tells each to whom it is for as soon as it is known.
    pub(super) async fn tell(self, timer: &mut HurryTimer, seats: &mut Seats) {
        let outcomes = match self.0 {
            Kind::Salvo(salvo) => salvo.settle(timer, seats).await,
            Kind::Flight(flight) => flight.settle_telling(timer, seats).await,
            other => Self(other).settle_with(timer).await,
        };
        for (operation, outcome) in outcomes.into_iter().enumerate() {
            seats.tell(operation, || outcome);
        }
    }
}

/// A batch whose operations are decided one by one.
pub(super) struct Flight<'a> {
    coordinator: &'a ConsistentHashingKvStore,
    steps: Vec<Passenger>,
    mail: Letters,
    /// Operations whose outcome is still open.
    undecided: usize,
    /// Whether there are reads among the operations.
    has_reads: bool,
    /// The claim on the watermark while a write may still be taken back.
    claim: Option<Claim<'a>>,
    /// What replicas missed so far, if they did: hardly ever, and a flight is moved often.
    debts: Option<Box<Debts>>,
}

impl<'a> Flight<'a> {
    /// Sends operations on their way.
    pub(super) fn carry(coordinator: &'a ConsistentHashingKvStore, steps: Vec<Passenger>, now: UnixMs) -> Box<Self> {
        let undecided = steps.len();
        let mut outbox = Outbox::with_room(steps.iter().map(|passenger| (&passenger.key, passenger.journey.value())));
        let reads = steps.iter().filter(|passenger| matches!(passenger.journey, Journey::Read { .. })).count();
        let (mail, has_reads) = (Letters::new(), reads > 0);
        let flight = Self { coordinator, steps, mail, undecided, has_reads, claim: None, debts: None };
        let mut flight = Box::new(flight);
        let mut gate = (reads < undecided).then(|| coordinator.gate.lock());
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
                Journey::Prepare { .. } => {
                    let hlc = flight.ask_to_prepare(operation, &mut roster, &mut outbox, now);
                    stamped = Some((stamped.map_or(hlc, |(first, _)| first), hlc));
                }
                Journey::Overtaken { .. } | Journey::Ended(_) => {}
            }
        }
        if let (Some(gate), Some((first, last))) = (&mut gate, stamped) {
            flight.claim = Some(Claim::new(coordinator, gate.open(first, last), now));
        }
        flight.post(outbox);
        drop(gate);
        flight.advance_prepares();
        flight.advance_writes(now);
        flight
    }

    /// Writes that were stamped and sent before.
    fn of_writes(
        coordinator: &'a ConsistentHashingKvStore,
        steps: Vec<Passenger>,
        mail: Letters,
        claim: Option<Claim<'a>>,
    ) -> Box<Self> {
        let undecided = steps.len();
        Box::new(Self { coordinator, steps, mail, undecided, has_reads: false, claim, debts: None })
    }

    /// This flight, once it has got these answers.
    fn after(mut self: Box<Self>, from: NodeIndex, about: &About, answers: Answers) -> Box<Self> {
        let now = self.coordinator.replica.wall.now();
        self.take_answers(from, about, answers, now);
        self.advance_writes(now);
        self
    }

    /// Waits until every operation has its outcome, and returns them in order.
    pub(super) async fn settle(self: Box<Self>, timer: &mut HurryTimer) -> Outcomes {
        self.settle_telling(timer, &mut Seats::none()).await
    }

    /// As [`Flight::settle`]; those who wait for one outcome each are told as soon as it is known, if that is before all are.
    pub(super) async fn settle_telling(self: Box<Self>, timer: &mut HurryTimer, seats: &mut Seats) -> Outcomes {
        // In a box: few batches come here, and what the others wait in is to be small.
        let (endings, _) = Box::pin(self.settle_keeping_claim(timer, seats)).await;
        endings.into_iter().map(Passenger::outcome).collect()
    }

    /// As [`Flight::settle`]; with the claim on the watermark, for what is to follow under the same stamps.
    pub(super) async fn settle_keeping_claim(
        mut self: Box<Self>,
        timer: &mut HurryTimer,
        seats: &mut Seats,
    ) -> (Vec<Ending>, Option<Claim<'a>>) {
        let request_timeout = self.coordinator.replica.config.request_timeout();
        while self.undecided > 0 {
            self.tell_ended(seats);
            let next = match self.may_hurry() {
                false => Some(next_answers(&mut self.mail).await),
                true => timer.soon(request_timeout, next_answers(&mut self.mail)).await,
            };
            let now = self.coordinator.replica.wall.now();
            match next {
                Some((from, about, answers)) => self.take_answers(from, &about, answers, now),
                None => self.hurry(now),
            }
        }
        let claim = self.claim.take();
        Debts::settle(self.debts.take(), &self.coordinator.replica, self.mail.drain(..));
        self.end_overtaken();
        let endings = std::mem::take(&mut self.steps).into_iter().map(Passenger::ending).collect();
        (endings, claim)
    }

    fn take_answers(&mut self, from: NodeIndex, about: &About, answers: Answers, now: UnixMs) {
        let Answers { process, replies, fault, missed } = answers;
        if let Some(requests) = missed {
            self.debts().unanswered(from, *requests, replies.len());
        }
        let mut outbox = Outbox::default();
        about.hand_out(replies, fault.as_ref(), |item, answer| {
            let Some(answer) = answer else { return self.ask_alone(from, item, &mut outbox) };
            self.coordinator.follow(&answer, now);
            self.take_answer(item, process, answer);
        });
        let items = about.items.as_slice();
        for item in items {
            if matches!(self.steps[item.operation].journey, Journey::Read { .. }) {
                self.advance_read(item.operation, &mut outbox, now);
            }
        }
        self.post(outbox);
        if items.iter().any(|item| matches!(item.step, Step::Write { .. } | Step::Revert)) {
            self.advance_writes(now);
        }
        if items.iter().any(|item| matches!(item.step, Step::Prepare)) {
            self.advance_prepares();
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
            (Journey::Prepare { progress }, Step::Prepare) => progress.answered(item.replica, prepare_answer(answer)),
            (Journey::Read { progress, .. }, Step::Ask { round }) => {
                progress.answered(item.replica, round, read_answer(answer));
            }
            (Journey::Read { progress, .. }, Step::WriteBack { round }) => {
                progress.written_back(item.replica, round, write_back_answer(answer));
            }
            _ => {}
        }
    }

    /// Tells the outcomes that are known. What has ended stays here until all has, so that the next one can be told by its key; of
    /// a client that goes on it keeps no buffer.
    fn tell_ended(&mut self, seats: &mut Seats) {
        if seats.is_empty() {
            return;
        }
        self.end_overtaken();
        for (operation, step) in self.steps.iter_mut().enumerate() {
            if let Journey::Ended(Ending::Outcome(outcome)) = &step.journey
                && seats.tell(operation, || outcome.clone())
            {
                step.key = Bytes::copy_from_slice(&step.key);
            }
        }
    }

    fn end(&mut self, operation: usize, ending: Ending) {
        if let Ending::Outcome(Outcome::Failed(QuorumError::Reverted { .. })) = ending {
            self.coordinator.replica.convergence.reverted_writes.fetch_add(1, Ordering::Relaxed);
        }
        self.steps[operation].journey = Journey::Ended(ending);
        self.undecided -= 1;
    }

    /// Hands every letter to its link.
    fn post(&mut self, outbox: Outbox) {
        for (node, copies) in post(self.coordinator, outbox, &mut self.mail) {
            self.debts().missed(node, copies);
        }
    }

    fn debts(&mut self) -> &mut Debts {
        self.debts.get_or_insert_default()
    }
}

/// Hands every letter to its link. Returns what replicas out of reach miss.
fn post(coordinator: &ConsistentHashingKvStore, outbox: Outbox, mail: &mut Letters) -> Vec<(NodeIndex, Copies)> {
    let (letters, unsent) = outbox.finish();
    for Letter { to, batch, items, shared, .. } in letters {
        let exchange = coordinator.peers.exchange(to, batch);
        mail.push(Mail { to, about: About { items, shared }, exchange });
    }
    unsent
}

impl ConsistentHashingKvStore {
    /// Moves the clock past every version that a peer shows, so that what this node writes next outranks it. One that
    /// is too far ahead is not followed; a write that it stands in the way of says so.
    fn follow(&self, answer: &Result<PeerReply, LinkFault>, now: UnixMs) {
        let seen = match answer {
            Ok(
                PeerReply::Stale(version)
                | PeerReply::StaleSyncing(version)
                | PeerReply::Promised(version)
                | PeerReply::Withheld(version)
                | PeerReply::Prior { version, .. },
            ) => *version,
            Ok(PeerReply::Record(record)) => record.version,
            _ => return,
        };
        let _ = self.replica.clock.observe(seen.hlc(), now);
    }

    /// The name of `node`, for messages.
    pub(super) fn name(&self, node: NodeIndex) -> &str {
        self.replica.config.nodes[node.as_usize()].id.as_str()
    }
}
