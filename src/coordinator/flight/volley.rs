//! A batch of plain writes with which all goes well, which is nearly always so: as one unit, without a state machine for
//! each of its writes.
//!
//! As long as every replica takes part and answers `OK`, there is nothing to decide but whether W of them have done so. So
//! that is all that a volley knows. At the first answer of another kind it becomes a [`Flight`] that has come as far, and
//! what has to be decided then is decided there: restamping, taking back, what is owed to whom.

use smallvec::SmallVec;

use super::Flight;
use crate::codec::LARGE_BULK_BYTES;
use crate::coordinator::debts::Debts;
use crate::coordinator::hurry::HurryTimer;
use crate::coordinator::journey::{Journey, Passenger};
use crate::coordinator::mail::{About, Letters, next_answers};
use crate::coordinator::open_writes::{Claim, OpenWrites};
use crate::coordinator::outbox::{Item, Outbox, Step};
use crate::coordinator::roster::Roster;
use crate::coordinator::write::{Before, WriteAnswer, WriteProgress};
use crate::coordinator::{ConsistentHashingKvStore, Operation, OperationKind, Outcome, Outcomes, Quorum};
use crate::peer::{Answers, PeerReply, PeerRequest};
use crate::ring::NodeIndex;
use crate::time::UnixMs;
use crate::version::{StartNumber, Version};

/// The nodes that a volley goes to, this one among them, as the processes that they were then.
pub(super) type Crew = SmallVec<[(NodeIndex, StartNumber); 8]>;

/// One write on its way.
pub(super) struct Shot {
    pub(super) version: Version,
    /// What this node showed before, if it is a replica.
    pub(super) before: Before,
    pub(super) acks: u16,
}

impl Shot {
    /// Stamps a write and stores it here if this node is a replica. To be called under the gate.
    pub(super) fn fire(coordinator: &ConsistentHashingKvStore, operation: &Operation, now: UnixMs) -> Self {
        let (replica, Operation { slot, key, kind }) = (&coordinator.replica, operation);
        let OperationKind::Write { value, expires_at } = kind else { unreachable!("a volley is of writes") };
        if !coordinator.is_replica(*slot) {
            coordinator.note_forwarded(*slot);
            let version = Version::new(replica.clock.tick(now), replica.index, replica.start());
            return Self { version, before: Before::default(), acks: 0 };
        }
        let (version, before) = coordinator.store_bytes_here(*slot, key, value.as_ref(), *expires_at, now);
        Self { version, before, acks: 1 }
    }
}

/// A launched batch of writes.
pub(super) struct Volley<'a> {
    coordinator: &'a ConsistentHashingKvStore,
    quorum: Quorum,
    operations: Vec<Operation>,
    shots: Vec<Shot>,
    crew: Crew,
    mail: Letters,
    /// Letters that were answered.
    answered: SmallVec<[About; 4]>,
    /// Writes that have fewer acks than they need.
    undecided: usize,
    /// The claim on the watermark while a write may still be taken back.
    claim: Option<Claim<'a>>,
}

impl<'a> Volley<'a> {
    /// Sends operations on their way. Gives them back if they are not all writes of values, or a replica of one is out of
    /// reach or counts for nothing.
    pub(super) fn launch(
        coordinator: &'a ConsistentHashingKvStore,
        quorum: Quorum,
        operations: Vec<Operation>,
        now: UnixMs,
    ) -> Result<Box<Self>, Vec<Operation>> {
        if !operations.iter().all(is_plain) {
            return Err(operations);
        }
        let mut gate = coordinator.gate.lock();
        let Some(crew) = muster(coordinator, &operations) else { return Err(operations) };
        let undecided = operations.len();
        let (mail, answered, shots) = (Letters::new(), SmallVec::new(), Vec::with_capacity(undecided));
        let volley = Self { coordinator, quorum, operations, shots, crew, mail, answered, undecided, claim: None };
        let mut volley = Box::new(volley);
        let outbox = volley.fire(now);
        volley.claim = claim(coordinator, &mut gate, &volley.shots, now);
        super::post(coordinator, outbox, &mut volley.mail);
        drop(gate);
        Ok(volley)
    }

    /// Stamps every write, stores it here if this node is a replica, and puts it into the letters to the others.
    fn fire(&mut self, now: UnixMs) -> Outbox {
        let Self { coordinator, quorum, operations, shots, undecided, .. } = self;
        let replica = &coordinator.replica;
        let mut outbox = Outbox::with_room(operations.iter().map(|operation| (&operation.key, operation.value())));
        for (number, operation) in operations.iter().enumerate() {
            let Operation { slot, key, kind: OperationKind::Write { value, expires_at } } = operation else { continue };
            let shot = Shot::fire(coordinator, operation, now);
            let (version, expires_at) = (shot.version, *expires_at);
            *undecided -= usize::from(shot.acks >= quorum.write);
            shots.push(shot);
            let replicas = replica.ring.preference_list(*slot).as_slice();
            let others = replicas.iter().enumerate().filter(|&(_, &node)| node != replica.index);
            let step = Step::Write { attempt: 1 };
            let others = others.map(|(replica, &node)| (node, Item { operation: number, replica, step }));
            match value {
                Some(large) if large.len() >= LARGE_BULK_BYTES => {
                    outbox.push_large_to_all(others, (key, large, version), expires_at);
                }
                _ => {
                    let value = value.as_deref();
                    outbox.push_to_all(others, &PeerRequest::Write { key, value, version, expires_at });
                }
            }
        }
        outbox
    }

    /// Waits until every write has its outcome, and returns them in order.
    pub(super) async fn settle(mut self: Box<Self>, timer: &mut HurryTimer) -> Outcomes {
        while self.undecided > 0 {
            let (from, about, answers) = next_answers(&mut self.mail).await;
            if !all_is_well(&answers) {
                return self.into_flight(from, &about, answers).settle(timer).await;
            }
            self.count(&about);
            self.answered.push(about);
        }
        drop(self.claim.take());
        Debts::settle(None, &self.coordinator.replica, self.mail.drain(..));
        self.shots.iter().map(|shot| Outcome::Written(shot.before)).collect()
    }

    fn count(&mut self, about: &About) {
        for item in &about.items {
            let shot = &mut self.shots[item.operation];
            shot.acks += 1;
            self.undecided -= usize::from(shot.acks == self.quorum.write);
        }
    }

    /// The flight that has come as far as this volley, and has got these answers.
    fn into_flight(self, from: NodeIndex, about: &About, answers: Answers) -> Box<Flight<'a>> {
        let Self { coordinator, quorum, operations, shots, crew, mail, answered, claim, .. } = self;
        let mut steps = passengers(coordinator, quorum, &crew, operations.into_iter().zip(shots));
        for item in answered.iter().flat_map(|about| &about.items) {
            steps[item.operation].acked(item.replica);
        }
        Flight::of_writes(coordinator, steps, mail, claim).after(from, about, answers)
    }
}

/// Whether it writes a value. A delete tells whether the key was there, for which answers have to be looked at.
pub(in crate::coordinator) fn is_plain(operation: &Operation) -> bool {
    matches!(operation.kind, OperationKind::Write { value: Some(_), .. })
}

/// The nodes that keep these keys, if all of them can be reached and count.
fn muster(coordinator: &ConsistentHashingKvStore, operations: &[Operation]) -> Option<Crew> {
    let replica = &coordinator.replica;
    let (mut roster, mut crew, mut known) = (Roster::new(coordinator), Crew::new(), [].as_slice());
    crew.push(coordinator.this_process());
    for operation in operations {
        let replicas = replica.ring.preference_list(operation.slot).as_slice();
        if replicas.contains(&replica.index) && !replica.may_ack(operation.slot) {
            return None;
        }
        if replicas == known {
            continue;
        }
        known = replicas;
        for &node in replicas {
            if !crew.iter().any(|&(mustered, _)| mustered == node) {
                crew.push((node, roster.counting_process(node)?));
            }
        }
    }
    Some(crew)
}

/// Whether these answers, and there are as many as requests, are all `OK`.
pub(super) fn all_is_well(answers: &Answers) -> bool {
    answers.fault.is_none() && answers.replies.iter().all(|reply| matches!(reply, PeerReply::Ok))
}

/// The claim on the watermark of what was stamped just now; none if that is nothing.
pub(super) fn claim<'a>(
    coordinator: &'a ConsistentHashingKvStore,
    gate: &mut OpenWrites,
    shots: &[Shot],
    now: UnixMs,
) -> Option<Claim<'a>> {
    let [first, last] = [shots.first()?, shots.last()?].map(|shot| shot.version.hlc());
    Some(Claim::new(coordinator, gate.open(first, last), now))
}

/// The writes as a flight carries them once each was handed over to all of its replicas.
pub(super) fn passengers(
    coordinator: &ConsistentHashingKvStore,
    quorum: Quorum,
    crew: &Crew,
    writes: impl Iterator<Item = (Operation, Shot)>,
) -> Vec<Passenger> {
    writes.map(|(operation, shot)| passenger(coordinator, quorum, crew, operation, &shot)).collect()
}

fn passenger(
    coordinator: &ConsistentHashingKvStore,
    quorum: Quorum,
    crew: &Crew,
    Operation { slot, key, kind }: Operation,
    shot: &Shot,
) -> Passenger {
    let OperationKind::Write { value, expires_at } = kind else { unreachable!("a volley is of writes") };
    let mut progress = WriteProgress::new(quorum, coordinator.quorum);
    progress.stamp(shot.version);
    for (replica, &node) in coordinator.replica.ring.preference_list(slot).as_slice().iter().enumerate() {
        if let Some(&(_, process)) = crew.iter().find(|&&(mustered, _)| mustered == node) {
            progress.sent(replica, process);
        }
        if node == coordinator.replica.index {
            progress.answered(replica, 1, WriteAnswer::Acked(shot.before));
        }
    }
    Passenger { slot, key, journey: Journey::Write { progress, value, expires_at, terms: None } }
}
