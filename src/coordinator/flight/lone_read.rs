//! A read that is alone in its batch and has to be passed on: what a client without a pipeline costs through a node that
//! has no copy.
//!
//! It asks one replica, which has a record, and that is the answer. For this nothing has to be gathered or shared out. If
//! it comes otherwise, or takes long, the read goes on as a [`Flight`] that has come as far.

use super::Flight;
use super::choice::{asking_order, joined};
use super::inquiry::{Sighting, passenger, place_of};
use crate::coordinator::hurry::HurryTimer;
use crate::coordinator::mail::{About, Letters, Mail};
use crate::coordinator::outbox::{Item, Shared, Step};
use crate::coordinator::read::Found;
use crate::coordinator::{ConsistentHashingKvStore, Operation, OperationKind, Operations, Outcome, Quorum};
use crate::peer::{Answers, Exchange, PeerReply, PeerRequest, ReadRecord, RequestBatch};
use crate::ring::NodeIndex;
use crate::time::UnixMs;

/// What a request takes beside its key while it is written.
const REQUEST_BYTES: usize = 40;

/// A launched read.
pub(super) struct LoneRead<'a> {
    coordinator: &'a ConsistentHashingKvStore,
    quorum: Quorum,
    operation: Operation,
    /// Which replica is asked, and its place in the preference list.
    asked: (NodeIndex, usize),
    exchange: Exchange,
    launched_at: UnixMs,
}

impl<'a> LoneRead<'a> {
    /// Sends the operation on its way if it is the only one, and a read of one replica of which this node is none. `None`, and it stays
    /// where it is, otherwise.
    pub(super) fn launch(
        coordinator: &'a ConsistentHashingKvStore,
        quorum: Quorum,
        operations: &mut Operations,
        now: UnixMs,
    ) -> Option<Box<Self>> {
        let [Operation { slot, kind: OperationKind::Read, .. }] = operations[..] else { return None };
        if quorum.read > 1 || coordinator.is_replica(slot) || !Sighting::has_room(quorum) {
            return None;
        }
        let replicas = coordinator.replica.ring.preference_list(slot).as_slice();
        let mut places = asking_order(replicas.len(), joined(replicas, |node| coordinator.peers.is_gathering(node)));
        let (place, operation) =
            (places.find(|&place| coordinator.is_quick(replicas[place], slot))?, operations.pop()?);
        coordinator.note_forwarded(slot);
        let mut batch = RequestBatch::with_capacity(REQUEST_BYTES + operation.key.len());
        batch.push_with(|out| PeerRequest::Read { key: &operation.key }.encode(out));
        let exchange = coordinator.peers.exchange(replicas[place], batch);
        Some(Box::new(Self {
            coordinator,
            quorum,
            operation,
            asked: (replicas[place], place),
            exchange,
            launched_at: now,
        }))
    }

    /// Waits for the outcome.
    pub(super) async fn settle(mut self: Box<Self>, timer: &mut HurryTimer) -> Outcome {
        let (coordinator, (from, _)) = (self.coordinator, self.asked);
        let answers = match self.quorum.replicas {
            1 => Some((&mut self.exchange).await),
            _ => timer.soon(coordinator.replica.config.request_timeout(), &mut self.exchange).await,
        };
        let answers = match answers.map(record_of) {
            Some(Ok(ReadRecord { version, expires_at, value })) => {
                // One that is too far ahead is not followed.
                let _ = coordinator.replica.clock.observe(version.hlc(), self.launched_at);
                coordinator.note_plain(self.quorum, &self.operation, self.launched_at);
                return Outcome::Read(Some(Found { version, expires_at, value }));
            }
            Some(Err(answers)) => Some(answers),
            None => None,
        };
        let now = coordinator.replica.wall.now();
        let (mut flight, mail) = self.into_flight();
        match answers {
            Some(answers) => flight.take_answers(from, &mail.about, answers, now),
            None => {
                flight.mail.push(mail);
                flight.hurry(now);
            }
        }
        flight.settle(timer).await.pop().expect("a read has an outcome")
    }

    /// The flight that has come as far, and the letter that is out.
    fn into_flight(self) -> (Box<Flight<'a>>, Mail) {
        let Self { coordinator, quorum, operation, asked: (to, place), exchange, .. } = self;
        let step = passenger(coordinator, quorum.of_read(coordinator.quorum), operation, Sighting::of_one(place));
        let item = Item { operation: 0, replica: place_of(to, &step), step: Step::Ask { round: 0 } };
        let mail = Mail { to, about: About { items: vec![item], shared: Shared::new() }, exchange };
        let (steps, letters) = (vec![step], Letters::new());
        let flight =
            Flight { coordinator, steps, mail: letters, undecided: 1, has_reads: true, claim: None, debts: None };
        (Box::new(flight), mail)
    }
}

/// The record that answers the only request, if it does.
fn record_of(mut answers: Answers) -> Result<ReadRecord, Answers> {
    match answers.replies.pop() {
        Some(PeerReply::Record(record)) => Ok(record),
        other => {
            answers.replies.extend(other);
            Err(answers)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::LinkFault;
    use crate::version::Version;

    #[test]
    fn only_a_record_answers_at_once() {
        let answers = |replies, fault| Answers { process: Version::default().start(), replies, fault, missed: None };
        let record = ReadRecord { version: Version::default(), expires_at: None, value: None };
        assert_eq!(record_of(answers(vec![PeerReply::Record(record.clone())], None)), Ok(record));
        for other in [
            answers(vec![PeerReply::Missing], None),
            answers(vec![PeerReply::Syncing], None),
            answers(vec![], Some(LinkFault::TimedOut)),
        ] {
            assert_eq!(record_of(other.clone()), Err(other));
        }
    }
}
