//! Plain writes that all go to the same replicas, and with which all goes well: what a pipeline costs in a cluster of as many
//! nodes as there are copies, a group of clients without one there, and what a client without one costs in any.
//!
//! Every replica gets the same bytes and answers for all of them at once, so nothing has to be sorted by whom it goes to, and
//! there is one count of acks. If it comes otherwise, the writes go on as a [`Flight`] that has come as far.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use smallvec::SmallVec;

use super::Flight;
use super::volley::{Crew, Shot, all_is_well, claim, is_plain, passengers};
use crate::coordinator::debts::Debts;
use crate::coordinator::group::Seats;
use crate::coordinator::journey::Passenger;
use crate::coordinator::mail::{About, Letters, Mail};
use crate::coordinator::open_writes::Claim;
use crate::coordinator::outbox::{Item, SHARED_BYTES_MAX, Step, may_share, message_bytes};
use crate::coordinator::{
    ConsistentHashingKvStore, HurryTimer, Operation, OperationKind, Operations, Outcome, Outcomes, Quorum,
};
use crate::peer::{Answers, Exchange, FreshWrite, PeerRequest, RequestBatch};
use crate::ring::NodeIndex;
use crate::time::UnixMs;
use crate::version::StartNumber;

/// What another replica was sent.
struct Sent {
    to: NodeIndex,
    process: StartNumber,
    /// `None` once it has acknowledged.
    exchange: Option<Exchange>,
}

/// A launched batch of writes.
pub(super) struct Salvo<'a> {
    coordinator: &'a ConsistentHashingKvStore,
    quorum: Quorum,
    operations: Operations,
    shots: SmallVec<[Shot; 1]>,
    sent: SmallVec<[Sent; 2]>,
    /// Replicas that have all of the writes.
    acks: u16,
    /// The claim on the watermark while a write may be taken back.
    claim: Option<Claim<'a>>,
}

impl<'a> Salvo<'a> {
    /// Sends operations on their way if they are all writes of values, of keys with the same replicas. `None`, and they stay where
    /// they are, if they are not, or a replica is out of reach or counts for nothing.
    pub(super) fn launch(
        coordinator: &'a ConsistentHashingKvStore,
        quorum: Quorum,
        operations: &mut Operations,
        now: UnixMs,
    ) -> Option<Box<Self>> {
        if !operations.iter().all(is_plain) {
            return None;
        }
        let mut gate = coordinator.gate.lock();
        let sent = muster(coordinator, operations)?;
        let operations = std::mem::take(operations);
        let mut shots = SmallVec::<[Shot; 1]>::with_capacity(operations.len());
        shots.extend(operations.iter().map(|operation| Shot::fire(coordinator, operation, now)));
        let (claim, acks) = (claim(coordinator, &mut gate, &shots, now), shots.first()?.acks);
        let mut salvo = Box::new(Self { coordinator, quorum, operations, shots, sent, acks, claim });
        salvo.send();
        drop(gate);
        Some(salvo)
    }

    fn send(&mut self) {
        let batch = self.encode();
        let Some((last, others)) = self.sent.split_last_mut() else { return };
        for sent in others {
            sent.exchange = Some(self.coordinator.peers.exchange(sent.to, batch.clone()));
        }
        last.exchange = Some(self.coordinator.peers.exchange(last.to, batch));
    }

    fn encode(&self) -> RequestBatch {
        let mut batch = RequestBatch::with_capacity(self.operations.iter().map(bytes_of).sum());
        for (from, count) in self.requests() {
            let (operations, shots) = (&self.operations[from..from + count], &self.shots[from..from + count]);
            let [Operation { key, kind: OperationKind::Write { value, expires_at }, .. }] = operations else {
                batch.push_with(|out| {
                    FreshWrite::encode_head(shots.iter().map(|shot| shot.version), out);
                    for operation in operations {
                        let value = operation.value().map(AsRef::as_ref).unwrap_or_default();
                        FreshWrite::encode_record(&operation.key, value, out);
                    }
                });
                continue;
            };
            let version = shots[0].version;
            match value {
                Some(value) => batch.push_write(key, value, version, *expires_at),
                None => batch.push(&PeerRequest::Write { key, value: None, version, expires_at: *expires_at }),
            }
        }
        batch.keep();
        batch
    }

    /// The requests that are made of the writes: the first write of each, and how many it has.
    fn requests(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let count = self.next_request(from)?;
            from += count;
            Some((from - count, count))
        })
    }

    /// How many writes share the request that begins with the one at `from`.
    fn next_request(&self, from: usize) -> Option<usize> {
        let first = self.operations.get(from)?;
        let (mut count, mut bytes) = (1, bytes_of(first));
        while shares(first)
            && bytes < SHARED_BYTES_MAX
            && let Some(next) = self.operations.get(from + count)
            && shares(next)
            && FreshWrite::may_follow(self.shots[from + count].version, self.shots[from + count - 1].version)
        {
            (count, bytes) = (count + 1, bytes + bytes_of(next));
        }
        Some(count)
    }

    /// Waits until every write has its outcome, and returns them in order.
    pub(super) async fn settle(mut self: Box<Self>, timer: &mut HurryTimer, seats: &mut Seats) -> Outcomes {
        while self.acks < self.quorum.write {
            let (position, answers) = next_answers(&mut self.sent).await;
            if !all_is_well(&answers) {
                return self.into_flight(position, answers).settle_telling(timer, seats).await;
            }
            self.acks += 1;
        }
        drop(self.claim.take());
        let out = self.sent.drain(..).filter_map(|Sent { to, exchange, .. }| Some((to, exchange?)));
        Debts::leave(&self.coordinator.replica, out);
        self.shots.iter().map(|shot| Outcome::Written(shot.before)).collect()
    }

    /// The flight that has come as far, and has got these answers of the replica at `position`.
    fn into_flight(self, position: usize, answers: Answers) -> Box<Flight<'a>> {
        let shared: SmallVec<_> = self.requests().filter(|&(_, count)| count > 1).collect();
        let Self { coordinator, quorum, operations, shots, sent, claim, .. } = self;
        let crew: Crew = sent.iter().map(|sent| (sent.to, sent.process)).chain([coordinator.this_process()]).collect();
        let mut steps = passengers(coordinator, quorum, &crew, operations.into_iter().zip(shots));
        let place = |node, step: &Passenger| {
            let replicas = coordinator.replica.ring.preference_list(step.slot);
            replicas.iter().position(|&replica| replica == node).unwrap_or_default()
        };
        let about = |node, steps: &[Passenger]| {
            let step = Step::Write { attempt: 1 };
            let item = |(operation, passenger)| Item { operation, replica: place(node, passenger), step };
            About { items: steps.iter().enumerate().map(item).collect(), shared: shared.clone() }
        };
        let (from, about_it) = (sent[position].to, about(sent[position].to, &steps));
        let mut mail = Letters::new();
        for (number, Sent { to, exchange, .. }) in sent.into_iter().enumerate() {
            match exchange {
                Some(exchange) => mail.push(Mail { to, about: about(to, &steps), exchange }),
                None if number == position => {}
                None => steps.iter_mut().for_each(|step| step.acked(place(to, step))),
            }
        }
        Flight::of_writes(coordinator, steps, mail, claim).after(from, &about_it, answers)
    }
}

/// The replicas besides this node, if they are the same for all keys, and all can be reached and count.
fn muster(coordinator: &ConsistentHashingKvStore, operations: &Operations) -> Option<SmallVec<[Sent; 2]>> {
    let replica = &coordinator.replica;
    let replicas = replica.ring.preference_list(operations.first()?.slot).as_slice();
    let is_here = replicas.contains(&replica.index);
    let is_everywhere = replicas.len() == replica.config.nodes.len();
    for &Operation { slot, .. } in operations {
        let others = || replica.ring.preference_list(slot).as_slice();
        if is_here && !replica.may_ack(slot) || !is_everywhere && !others().iter().all(|node| replicas.contains(node)) {
            return None;
        }
    }
    let others = replicas.iter().filter(|&&node| node != replica.index);
    others.map(|&to| Some(Sent { to, process: coordinator.counting_process(to)?, exchange: None })).collect()
}

/// About what the message of a write takes.
fn bytes_of(operation: &Operation) -> usize {
    message_bytes(&operation.key, operation.value())
}

/// Whether a write may share its request with others.
fn shares(Operation { kind, .. }: &Operation) -> bool {
    match kind {
        OperationKind::Write { value: Some(value), expires_at } => may_share(value, *expires_at),
        OperationKind::Write { .. } | OperationKind::Read => false,
    }
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
