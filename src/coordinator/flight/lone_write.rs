//! A write of a value that is alone in its batch, and with which all goes well: what a client without a pipeline costs.
//!
//! It is a [`Volley`](super::volley::Volley) of one, and nothing has to be gathered, shared out or counted for it but acks. If it
//! comes otherwise, the write goes on as a [`Flight`] that has come as far.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use smallvec::SmallVec;

use super::Flight;
use super::volley::{Crew, Shot, all_is_well, passenger};
use crate::coordinator::debts::Debts;
use crate::coordinator::hurry::HurryTimer;
use crate::coordinator::journey::Journey;
use crate::coordinator::mail::{About, Letters, Mail};
use crate::coordinator::open_writes::Claim;
use crate::coordinator::outbox::{Item, MESSAGE_BYTES, Shared, Step};
use crate::coordinator::write::{Before, WriteAnswer};
use crate::coordinator::{ConsistentHashingKvStore, Operation, OperationKind, Outcome, Quorum};
use crate::peer::{Answers, Exchange, PeerRequest, RequestBatch};
use crate::ring::NodeIndex;
use crate::time::UnixMs;
use crate::version::StartNumber;

/// What another replica was sent.
struct Sent {
    to: NodeIndex,
    process: StartNumber,
    /// Its place in the preference list.
    place: usize,
    /// `None` once it has acknowledged.
    exchange: Option<Exchange>,
}

/// A launched write.
pub(super) struct LoneWrite<'a> {
    coordinator: &'a ConsistentHashingKvStore,
    quorum: Quorum,
    operation: Operation,
    shot: Shot,
    sent: SmallVec<[Sent; 2]>,
    /// The claim on the watermark while it may be taken back.
    claim: Option<Claim<'a>>,
}

impl<'a> LoneWrite<'a> {
    /// Sends the operation on its way if it is the only one, and writes a value. Otherwise, or if a replica is out of reach or
    /// counts for nothing, gives the operations back.
    pub(super) fn launch(
        coordinator: &'a ConsistentHashingKvStore,
        quorum: Quorum,
        mut operations: Vec<Operation>,
        now: UnixMs,
    ) -> Result<Box<Self>, Vec<Operation>> {
        let [Operation { kind: OperationKind::Write { value: Some(_), .. }, .. }] = &operations[..] else {
            return Err(operations);
        };
        let mut gate = coordinator.gate.lock();
        let Some(sent) = muster(coordinator, &operations[0]) else { return Err(operations) };
        let Some(operation) = operations.pop() else { return Err(operations) };
        let shot = Shot::fire(coordinator, &operation, now);
        let ticket = gate.open(shot.version.hlc(), shot.version.hlc());
        let claim = Some(Claim::new(coordinator, ticket));
        let mut write = Box::new(Self { coordinator, quorum, operation, shot, sent, claim });
        write.send();
        drop(gate);
        Ok(write)
    }

    fn send(&mut self) {
        let Operation { key, kind: OperationKind::Write { value, expires_at }, .. } = &self.operation else { return };
        let value = value.as_deref();
        let bytes = MESSAGE_BYTES + key.len() + value.map_or(0, <[u8]>::len);
        let mut batch = RequestBatch::with_capacity(bytes);
        let version = self.shot.version;
        batch.push(&PeerRequest::Write { key, value, version, expires_at: *expires_at });
        batch.keep();
        if let Some((last, others)) = self.sent.split_last_mut() {
            for sent in others {
                sent.exchange = Some(self.coordinator.peers.exchange(sent.to, batch.clone()));
            }
            last.exchange = Some(self.coordinator.peers.exchange(last.to, batch));
        }
    }

    /// Waits for the outcome.
    pub(super) async fn settle(mut self: Box<Self>, timer: &mut HurryTimer) -> Vec<Outcome> {
        while self.shot.acks < self.quorum.write {
            let (position, answers) = next_answers(&mut self.sent).await;
            if !all_is_well(&answers) {
                return self.into_flight(position, answers).settle(timer).await;
            }
            self.shot.acks += 1;
        }
        drop(self.claim.take());
        let out = self.sent.drain(..).filter_map(|Sent { to, exchange, .. }| Some((to, exchange?)));
        Debts::leave(&self.coordinator.replica, out);
        vec![Outcome::Written(self.shot.before)]
    }

    /// The flight that has come as far, and has got these answers of the replica at `position`.
    fn into_flight(self, position: usize, answers: Answers) -> Box<Flight<'a>> {
        let Self { coordinator, quorum, operation, shot, sent, claim } = self;
        let crew: Crew = sent.iter().map(|sent| (sent.to, sent.process)).chain([coordinator.this_process()]).collect();
        let about = |place| About {
            items: vec![Item { operation: 0, replica: place, step: Step::Write { attempt: 1 } }],
            shared: Shared::new(),
        };
        let (from, about_it) = (sent[position].to, about(sent[position].place));
        let mut step = passenger(coordinator, quorum, &crew, operation, &shot);
        let mut mail = Letters::new();
        for (number, Sent { to, place, exchange, .. }) in sent.into_iter().enumerate() {
            match (exchange, &mut step.journey) {
                (Some(exchange), _) if number != position => mail.push(Mail { to, about: about(place), exchange }),
                (None, Journey::Write { progress, .. }) => {
                    progress.answered(place, 1, WriteAnswer::Acked(Before::default()));
                }
                _ => {}
            }
        }
        Flight::of_writes(coordinator, vec![step], mail, claim).after(from, &about_it, answers)
    }
}

/// The other replicas of the key, if all of them can be reached and all replicas count.
fn muster(coordinator: &ConsistentHashingKvStore, operation: &Operation) -> Option<SmallVec<[Sent; 2]>> {
    let (replica, slot) = (&coordinator.replica, operation.slot);
    let mut sent = SmallVec::new();
    for (place, &to) in replica.ring.preference_list(slot).as_slice().iter().enumerate() {
        if to != replica.index {
            sent.push(Sent { to, process: coordinator.counting_process(to)?, place, exchange: None });
        } else if !replica.may_ack(slot) {
            return None;
        }
    }
    Some(sent)
}

/// The next replica that answers, by its position in `sent`, and the answers.
async fn next_answers(sent: &mut [Sent]) -> (usize, Answers) {
    poll_fn(|context| {
        for (position, Sent { exchange, .. }) in sent.iter_mut().enumerate() {
            if let Some(waiting) = exchange
                && let Poll::Ready(answers) = Pin::new(waiting).poll(context)
            {
                *exchange = None;
                return Poll::Ready((position, answers));
            }
        }
        Poll::Pending
    })
    .await
}
