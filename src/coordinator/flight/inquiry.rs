//! A batch of plain reads with which all goes well, which is nearly always so: as one unit, without a state machine for each
//! of its reads.
//!
//! With R = 1 the first replica that is asked has a record, or none of them has; with R > 1 those that are asked agree. As
//! long as that is so there is nothing to decide. At the first answer of another kind, or when one takes long, the inquiry
//! becomes a [`Flight`] that has come as far, and what has to be decided then is decided there: whom to ask besides, and
//! what is written back to whom.

use std::sync::atomic::Ordering;

use super::Flight;
use super::choice::{Places, asking_order, joined};
use crate::coordinator::hurry::HurryTimer;
use crate::coordinator::journey::{Journey, Passenger};
use crate::coordinator::mail::{About, Letters, next_answers};
use crate::coordinator::outbox::{Item, Outbox, Step};
use crate::coordinator::read::{Found, ReadAnswer, ReadProgress};
use crate::coordinator::{ConsistentHashingKvStore, Operation, OperationKind, Outcome, Outcomes, Quorum};
use crate::peer::{Answers, Health, LinkFault, PeerReply, ReadRecord};
use crate::ring::{NodeIndex, Slot};
use crate::time::UnixMs;
use crate::version::StartNumber;

/// What is known of one read as long as it is plain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Sighting {
    /// Replicas whose answers are not here.
    awaited: Places,
    /// Replicas that have answered, all of them the same.
    answered: Places,
    /// What they have answered.
    found: Option<Found>,
    /// Whether that is the outcome.
    is_decided: bool,
    /// Whether there is no replica within reach that was not asked.
    is_exhaustive: bool,
}

/// What an answer makes of a plain read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sight {
    /// More answers are needed.
    Open,
    /// It has its outcome.
    Decided,
    /// It is plain no more; the answer is not taken.
    Odd,
}

/// An answer that makes a read one that is not plain; `None`: the value is to be asked for alone.
type Odd = (Item, Option<Result<PeerReply, LinkFault>>);

/// A launched batch of reads.
pub(super) struct Inquiry<'a> {
    coordinator: &'a ConsistentHashingKvStore,
    quorum: Quorum,
    operations: Vec<Operation>,
    sightings: Vec<Sighting>,
    mail: Letters,
    /// Reads without an outcome.
    undecided: usize,
}

impl<'a> Inquiry<'a> {
    /// Sends operations on their way. Gives them back if they are not all reads, or too few replicas of one are as they
    /// should be.
    pub(super) fn launch(
        coordinator: &'a ConsistentHashingKvStore,
        quorum: Quorum,
        operations: Vec<Operation>,
        now: UnixMs,
    ) -> Result<Box<Self>, Vec<Operation>> {
        let is_read = |operation: &Operation| matches!(operation.kind, OperationKind::Read);
        if !operations.iter().all(is_read) || !Sighting::has_room(quorum) {
            return Err(operations);
        }
        let quorum = quorum.of_read(coordinator.quorum);
        let mut outbox = Outbox::with_room(operations.iter().map(|operation| (&operation.key, None)));
        let (mut sightings, mut forwarded) = (Vec::with_capacity(operations.len()), 0);
        for (number, operation) in operations.iter().enumerate() {
            let Some(sighting) = coordinator.begin(quorum, (number, operation), &mut outbox, now) else {
                return Err(operations);
            };
            if sighting.is_decided {
                coordinator.note_plain(quorum, operation, now);
            }
            sightings.push(sighting);
            forwarded += u64::from(!coordinator.is_replica(operation.slot));
        }
        coordinator.forwarded.fetch_add(forwarded, Ordering::Relaxed);
        let undecided = sightings.iter().filter(|sighting| !sighting.is_decided).count();
        let mut mail = Letters::new();
        super::post(coordinator, outbox, &mut mail);
        Ok(Box::new(Self { coordinator, quorum, operations, sightings, mail, undecided }))
    }

    /// Waits until every read has its outcome, and returns them in order.
    pub(super) async fn settle(mut self: Box<Self>, timer: &mut HurryTimer) -> Outcomes {
        let request_timeout = self.coordinator.replica.config.request_timeout();
        let may_hurry = self.quorum.read == 1 && self.quorum.replicas > 1;
        while self.undecided > 0 {
            let next = match may_hurry {
                false => Some(next_answers(&mut self.mail).await),
                true => timer.soon(request_timeout, next_answers(&mut self.mail)).await,
            };
            let now = self.coordinator.replica.wall.now();
            let Some((from, about, answers)) = next else {
                let mut flight = self.into_flight();
                flight.hurry(now);
                return flight.settle(timer).await;
            };
            let process = answers.process;
            let odd = self.take_answers(&about, answers, now);
            if !odd.is_empty() {
                let mut flight = self.into_flight();
                flight.take_odd(from, process, odd, now);
                return flight.settle(timer).await;
            }
        }
        self.sightings.into_iter().map(|sighting| Outcome::Read(sighting.found)).collect()
    }

    /// Takes the answers that are as they should be, and returns the others.
    fn take_answers(&mut self, about: &About, answers: Answers, now: UnixMs) -> Vec<Odd> {
        let Self { coordinator, quorum, operations, sightings, undecided, .. } = self;
        let mut odd = Vec::new();
        about.hand_out(answers.replies, answers.fault.as_ref(), |item, answer| {
            let shown = match answer {
                Some(Ok(PeerReply::Record(record))) => Some(record),
                Some(Ok(PeerReply::Missing)) => None,
                other => return odd.push((item, other)),
            };
            let found = shown.map(|ReadRecord { version, expires_at, value }| Found { version, expires_at, value });
            if let Some(found) = &found {
                // One that is too far ahead is not followed.
                let _ = coordinator.replica.clock.observe(found.version.hlc(), now);
            }
            let sighting = &mut sightings[item.operation];
            match sighting.judge(*quorum, found.as_ref()) {
                Sight::Odd => return odd.push((item, Some(Ok(reply_of(found))))),
                Sight::Open => {}
                Sight::Decided => {
                    sighting.is_decided = true;
                    *undecided -= 1;
                    coordinator.note_plain(*quorum, &operations[item.operation], now);
                }
            }
            sighting.take(item.replica, found);
        });
        odd
    }

    /// The flight that has come as far as this inquiry.
    fn into_flight(self) -> Box<Flight<'a>> {
        let Self { coordinator, quorum, operations, sightings, mut mail, undecided } = self;
        let under_way = |(operation, sighting)| passenger(coordinator, quorum, operation, sighting);
        let steps: Vec<Passenger> = operations.into_iter().zip(sightings).map(under_way).collect();
        for mail in &mut mail {
            for item in &mut mail.about.items {
                item.replica = place_of(mail.to, &steps[item.operation]);
            }
        }
        Box::new(Flight { coordinator, steps, mail, undecided, has_reads: true, claim: None, debts: None })
    }
}

impl Flight<'_> {
    /// Takes the answers of `from` that an inquiry could not.
    fn take_odd(&mut self, from: NodeIndex, process: StartNumber, odd: Vec<Odd>, now: UnixMs) {
        let mut outbox = Outbox::default();
        for (item, answer) in odd {
            let item = Item { replica: place_of(from, &self.steps[item.operation]), ..item };
            match answer {
                None => self.ask_alone(from, item, &mut outbox),
                Some(answer) => self.take_answer(item, process, answer),
            }
            self.advance_read(item.operation, &mut outbox, now);
        }
        self.post(outbox);
    }
}

impl ConsistentHashingKvStore {
    /// Asks as many replicas as a plain read needs. `None` if there are not so many that should be asked first.
    fn begin(
        &self,
        quorum: Quorum,
        (number, Operation { slot, key, .. }): (usize, &Operation),
        outbox: &mut Outbox,
        now: UnixMs,
    ) -> Option<Sighting> {
        let replicas = self.replica.ring.preference_list(*slot).as_slice();
        // One that is the only one proves by itself that there is nothing.
        let mut sighting = Sighting { is_exhaustive: quorum.replicas == 1, ..Sighting::default() };
        let here = replicas.iter().position(|&node| node == self.replica.index);
        if let Some(here) = here.filter(|_| self.replica.may_answer(*slot)) {
            let found = match self.look_here(*slot, key, now) {
                ReadAnswer::Found(found) => Some(found),
                ReadAnswer::Missing | ReadAnswer::Uncounted(_) => None,
            };
            // One of several that has none proves nothing: all the others are asked.
            sighting.is_exhaustive |= quorum.read == 1 && found.is_none();
            sighting.is_decided = sighting.judge(quorum, found.as_ref()) == Sight::Decided;
            sighting.take(here, found);
        }
        if sighting.is_decided {
            return Some(sighting);
        }
        let joined = joined(replicas, |node| outbox.has_short_letter(node) || self.peers.is_gathering(node));
        for place in asking_order(replicas.len(), joined) {
            let node = replicas[place];
            if sighting.asked() >= u32::from(quorum.read) && !sighting.is_exhaustive {
                return Some(sighting);
            }
            let may_ask = match sighting.is_exhaustive {
                true => self.counts(node, *slot),
                false => self.is_quick(node, *slot),
            };
            if Some(place) != here && may_ask {
                sighting.awaited |= 1 << place;
                outbox.ask(node, key, Item { operation: number, replica: place, step: Step::Ask { round: 0 } });
            }
        }
        sighting.is_decided |= sighting.is_exhaustive && sighting.answered != 0 && sighting.awaited == 0;
        (sighting.asked() >= u32::from(quorum.read)).then_some(sighting)
    }

    /// Whether `node` counts for `slot` and is to be asked before suspects.
    pub(super) fn is_quick(&self, node: NodeIndex, slot: Slot) -> bool {
        self.counts(node, slot) && self.peers.health(node) == Health::Alive
    }

    /// Notes that a read was answered that met nothing unusual.
    pub(super) fn note_plain(&self, quorum: Quorum, operation: &Operation, now: UnixMs) {
        if quorum.read == 1 {
            self.read_repair.note(operation.slot, &operation.key, now);
        }
    }
}

impl Sighting {
    /// Whether all replicas of a key have their places; with more of them all reads are decided one by one.
    pub(super) fn has_room(quorum: Quorum) -> bool {
        u32::from(quorum.replicas) <= Places::BITS
    }

    /// Of a read that has asked the replica at this place alone.
    pub(super) fn of_one(place: usize) -> Self {
        Self { awaited: 1 << place, ..Self::default() }
    }

    /// How many replicas were asked.
    fn asked(&self) -> u32 {
        (self.awaited | self.answered).count_ones()
    }

    /// What comes of one more replica showing this, or having no record.
    fn judge(&self, quorum: Quorum, found: Option<&Found>) -> Sight {
        let is_same = self.found.as_ref().map(|found| found.version) == found.map(|found| found.version);
        if self.answered != 0 && !is_same {
            return Sight::Odd;
        }
        let answers = self.answered.count_ones() + 1;
        match found {
            // All that are within reach have to say so.
            None if quorum.read == 1 && !self.is_exhaustive => Sight::Odd,
            None if quorum.read == 1 && self.awaited.count_ones() != 1 => Sight::Open,
            _ if answers < u32::from(quorum.read) => Sight::Open,
            // It would have to be written back first.
            Some(_) if quorum.read > 1 && answers < u32::from(quorum.write) => Sight::Odd,
            _ => Sight::Decided,
        }
    }

    /// Takes what was judged.
    fn take(&mut self, place: usize, found: Option<Found>) {
        self.awaited &= !(1 << place);
        self.answered |= 1 << place;
        self.found = found;
    }
}

/// The operation as a flight carries it once it has come as far.
pub(super) fn passenger(
    coordinator: &ConsistentHashingKvStore,
    quorum: Quorum,
    Operation { slot, key, .. }: Operation,
    Sighting { awaited, answered, found, is_decided, .. }: Sighting,
) -> Passenger {
    if is_decided {
        return Passenger { slot, key, journey: Journey::Ended(Outcome::Read(found).into()) };
    }
    let order = coordinator.reading_order(slot);
    let mut progress = ReadProgress::new(quorum, order.iter().map(|&node| coordinator.counts(node, slot)));
    for (place, node) in coordinator.replica.ring.preference_list(slot).iter().enumerate() {
        let Some(replica) = order.iter().position(|asked| asked == node) else { continue };
        if awaited & 1 << place != 0 {
            progress.asked(replica);
        } else if answered & 1 << place != 0 {
            progress.answered(replica, 0, found.clone().map_or(ReadAnswer::Missing, ReadAnswer::Found));
        }
    }
    Passenger { slot, key, journey: Journey::Read { progress: Box::new(progress), order } }
}

/// Where `node` stands among those that a read asks; of no interest if the read has ended.
pub(super) fn place_of(node: NodeIndex, passenger: &Passenger) -> usize {
    match &passenger.journey {
        Journey::Read { order, .. } => order.iter().position(|&asked| asked == node).unwrap_or_default(),
        _ => 0,
    }
}

fn reply_of(found: Option<Found>) -> PeerReply {
    found.map_or(PeerReply::Missing, |Found { version, expires_at, value }| {
        PeerReply::Record(ReadRecord { version, expires_at, value })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Hlc, Version};

    /// What a replica shows: nothing, or a version.
    fn shown(hlc: u64) -> Option<Found> {
        let version = Version::new(Hlc(hlc), NodeIndex(0), StartNumber::FIRST);
        (hlc > 0).then_some(Found { version, expires_at: None, value: None })
    }

    /// What comes of these answers, one after the other, to a read that has asked as many replicas.
    fn sights(read: u16, is_exhaustive: bool, answers: &[u64]) -> Vec<Sight> {
        let awaited = (1 << answers.len()) - 1;
        let mut sighting = Sighting { awaited, is_exhaustive, ..Sighting::default() };
        let judge = |(place, &hlc): (usize, &u64)| {
            let sight = sighting.judge(Quorum { replicas: 5, write: 3, read }, shown(hlc).as_ref());
            if sight != Sight::Odd {
                sighting.take(place, shown(hlc));
            }
            sight
        };
        answers.iter().enumerate().map(judge).collect()
    }

    #[test]
    fn with_one_the_first_record_decides() {
        assert_eq!(sights(1, false, &[1]), [Sight::Decided]);
    }

    #[test]
    fn with_one_nothing_is_said_before_all_within_reach_have_none() {
        assert_eq!(sights(1, false, &[0]), [Sight::Odd], "the others have to be asked");
        assert_eq!(sights(1, true, &[0]), [Sight::Decided]);
        assert_eq!(sights(1, true, &[0, 0, 0]), [Sight::Open, Sight::Open, Sight::Decided]);
        assert_eq!(sights(1, true, &[0, 1]), [Sight::Open, Sight::Odd], "a stale replica is to be counted");
    }

    #[test]
    fn with_one_this_node_alone_does_not_prove_that_there_is_nothing() {
        let sighting = Sighting { is_exhaustive: true, ..Sighting::default() };
        assert_eq!(sighting.judge(Quorum { replicas: 3, write: 2, read: 1 }, None), Sight::Open);
    }

    #[test]
    fn with_several_those_that_agree_decide_if_they_are_a_write_quorum() {
        assert_eq!(sights(3, false, &[1, 1, 1]), [Sight::Open, Sight::Open, Sight::Decided]);
        assert_eq!(sights(2, false, &[1, 1]), [Sight::Open, Sight::Odd], "it has to be written back");
        assert_eq!(sights(2, false, &[0, 0]), [Sight::Open, Sight::Decided], "nothing needs no write-back");
    }

    #[test]
    fn with_several_those_that_do_not_agree_are_left_to_the_other_way() {
        assert_eq!(sights(3, false, &[1, 2]), [Sight::Open, Sight::Odd]);
        assert_eq!(sights(3, false, &[2, 1]), [Sight::Open, Sight::Odd]);
        assert_eq!(sights(3, false, &[0, 1]), [Sight::Open, Sight::Odd]);
        assert_eq!(sights(3, false, &[1, 0]), [Sight::Open, Sight::Odd]);
    }

    #[test]
    fn what_is_taken_is_awaited_no_more() {
        let mut sighting = Sighting { awaited: 0b110, ..Sighting::default() };
        assert_eq!(sighting.asked(), 2);
        sighting.take(1, shown(1));
        assert_eq!((sighting.awaited, sighting.answered, sighting.asked()), (0b100, 0b010, 2));
        assert_eq!(sighting.found, shown(1));
    }
}
