//! Rounds: the updates that a home works on together, from the question to the replies.

use std::time::Duration;

use bytes::Bytes;
use fnv::FnvHashMap;
use smallvec::SmallVec;
use tokio::time::{Instant, sleep};

use super::carry::refusal;
use super::{Change, Changes, Held, UpdateOrder, UpdateWords, Work};
use crate::coordinator::flight::Flight;
use crate::coordinator::group::Seats;
use crate::coordinator::hurry::HurryTimer;
use crate::coordinator::journey::{Ending, Passenger};
use crate::coordinator::prepare::Prepared;
use crate::coordinator::{ConsistentHashingKvStore, Outcome, QuorumError};
use crate::ring::Slot;
use crate::time::UnixMs;
use crate::version::Version;

/// How long an update that another one got in the way of waits before it begins again, at first and at most, in parts of
/// `request_timeout`. It gets longer each time, and is another one for each, so that two homes do not go on meeting.
const PAUSE_PARTS_FIRST: u32 = 1000;
const PAUSE_PARTS_MIN: u32 = 20;

/// One key of a round.
struct Key {
    slot: Slot,
    name: Bytes,
    state: State,
    /// A polite question was in vain.
    insists: bool,
}

/// How far a key has come in the present attempt.
enum State {
    /// Nothing is known of it.
    Unknown,
    /// It was seen, and this is what it holds now that some updates were worked out.
    Seen { prepared: Prepared, value: Option<Bytes>, expires_at: Option<UnixMs>, is_changed: bool },
    /// What the updates left of it is on its quorum, or it needed no write.
    Settled,
    /// Nothing was done, for this was in the way.
    Outrun(Version),
    /// Nothing was done, for what it holds may come to nothing: it is to be asked for with more force, after a while if this is
    /// contested.
    Withheld { contested: Option<Version> },
    /// The updates of it have failed.
    Failed(QuorumError),
}

/// One update of a round: its keys, and its reply once that is known.
struct Task<'a> {
    order: &'a UpdateOrder,
    keys: SmallVec<[usize; 1]>,
    /// Which of the keys it changes, and its reply if that succeeds.
    planned: Option<(SmallVec<[usize; 1]>, Bytes)>,
    reply: Option<Bytes>,
}

impl ConsistentHashingKvStore {
    /// Carries out updates of slots on which nobody else works here, and returns their replies. Those of one key take effect in
    /// order.
    pub(super) async fn carry_out(&self, orders: &[UpdateOrder]) -> Vec<Bytes> {
        if self.quorum.replicas == 1 {
            return orders.iter().map(|order| self.carry_out_here(order)).collect();
        }
        let mut round = Round::new(orders);
        let (began, request_timeout) = (Instant::now(), self.replica.config.request_timeout());
        let mut pause = request_timeout / PAUSE_PARTS_FIRST;
        loop {
            round.attempt(self).await;
            if round.is_done() {
                break;
            }
            // Who merely has to insist does so even if that is late: once for each key.
            let above = round.outrun_by();
            let patience = if above.is_some() { request_timeout } else { 2 * request_timeout };
            if began.elapsed() >= patience {
                round.give_up(self.quorum.write);
                break;
            }
            let Some(above) = above else { continue };
            // If that is too far ahead, the next ballot is below it, and time runs out.
            let _ = self.replica.clock.observe(above.hlc(), self.replica.wall.now());
            sleep(jittered(pause, above)).await;
            pause = (pause * 2).min(request_timeout / PAUSE_PARTS_MIN);
        }
        round.tasks.into_iter().map(|task| task.reply.unwrap_or_default()).collect()
    }

    /// An update of keys that have this node as their only replica.
    fn carry_out_here(&self, order: &UpdateOrder) -> Bytes {
        let keys: SmallVec<[&[u8]; 4]> = order.keys.iter().map(|key| &**key).collect();
        let args: SmallVec<[&[u8]; 8]> = order.args.iter().map(|word| &**word).collect();
        let UpdateOrder { slot, protocol, rule, .. } = *order;
        let words = UpdateWords { slot, keys: &keys, args: &args, protocol, rule };
        let mut out = Vec::new();
        match self.update_here(&words, self.replica.wall.now(), &mut out) {
            true => out.into(),
            false => refusal(&QuorumError::TooFewForWrite { reachable: 0, needed: self.quorum.write }),
        }
    }
}

/// Between a half and the whole of `pause`, by the last digits of a version, which are as good as chance.
fn jittered(pause: Duration, version: Version) -> Duration {
    let share = (version.hlc().0 ^ u64::from(version.node().0) ^ version.start().get()) % 64;
    pause / 2 + pause.mul_f64(f64::from(u32::try_from(share).unwrap_or_default()) / 128.0)
}

/// The updates that are worked on together.
struct Round<'a> {
    keys: Vec<Key>,
    tasks: Vec<Task<'a>>,
}

impl<'a> Round<'a> {
    fn new(orders: &'a [UpdateOrder]) -> Self {
        let (mut keys, mut known) = (Vec::<Key>::new(), FnvHashMap::<Bytes, usize>::default());
        let mut position_of = |slot, name: &Bytes| {
            *known.entry(name.clone()).or_insert_with(|| {
                keys.push(Key { slot, name: name.clone(), state: State::Unknown, insists: false });
                keys.len() - 1
            })
        };
        let tasks = orders
            .iter()
            .map(|order| {
                let keys = order.keys.iter().map(|key| position_of(order.slot, key)).collect();
                Task { order, keys, planned: None, reply: None }
            })
            .collect();
        Self { keys, tasks }
    }

    /// Asks, works out, and writes, for all updates that have no reply yet.
    async fn attempt(&mut self, store: &ConsistentHashingKvStore) {
        let asked = self.keys_to_ask();
        let passengers = asked.iter().map(|&key| {
            let Key { slot, name, insists, .. } = &self.keys[key];
            Passenger::prepare(store, *slot, name.clone(), *insists)
        });
        let flight = Flight::carry(store, passengers.collect(), store.replica.wall.now());
        let (endings, claim) = flight.settle_keeping_claim(&mut HurryTimer::default(), &mut Seats::none()).await;
        for (&key, ending) in asked.iter().zip(endings) {
            let state = seen(ending);
            self.keys[key].insists |= matches!(state, State::Withheld { .. });
            self.keys[key].state = state;
        }
        self.work_out(store.replica.wall.now());
        let (written, passengers) = self.writes(store);
        if !written.is_empty() {
            let flight = Flight::carry(store, passengers, store.replica.wall.now());
            let endings = flight.settle_keeping_claim(&mut HurryTimer::default(), &mut Seats::none()).await.0;
            for (&key, ending) in written.iter().zip(endings) {
                self.keys[key].state = settled(ending);
            }
        }
        // Until here the writes could be taken back.
        drop(claim);
        self.reply(store.quorum().write);
    }

    /// The keys of updates that have no reply yet.
    fn keys_to_ask(&self) -> Vec<usize> {
        let mut keys: Vec<usize> =
            self.tasks.iter().filter(|task| task.reply.is_none()).flat_map(|task| task.keys.iter().copied()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Works out the updates whose keys were all seen, in order.
    fn work_out(&mut self, now: UnixMs) {
        for task in self.tasks.iter_mut().filter(|task| task.reply.is_none()) {
            let are_seen = task.keys.iter().all(|&key| matches!(self.keys[key].state, State::Seen { .. }));
            task.planned = are_seen.then(|| {
                let (changes, reply) = task.work(&self.keys, now);
                let changed = changes.into_iter().map(|(position, change)| {
                    let key = task.keys[position];
                    self.keys[key].change(change, now);
                    key
                });
                (changed.collect(), reply)
            });
        }
    }

    /// The writes that follow: of what was changed, and of what was seen on too few replicas to be relied on. The other keys
    /// are settled.
    fn writes(&mut self, store: &ConsistentHashingKvStore) -> (Vec<usize>, Vec<Passenger>) {
        let needed = usize::from(store.quorum().update());
        let (mut written, mut passengers) = (Vec::new(), Vec::new());
        for (position, key) in self.keys.iter_mut().enumerate() {
            if !matches!(key.state, State::Seen { .. }) {
                continue;
            }
            let State::Seen { prepared, value, expires_at, is_changed } =
                std::mem::replace(&mut key.state, State::Settled)
            else {
                continue;
            };
            if is_changed || prepared.held_by() < needed {
                written.push(position);
                passengers.push(Passenger::accept(store, key.slot, key.name.clone(), (value, expires_at), prepared));
            }
        }
        (written, passengers)
    }

    /// Gives replies to all updates but those that may begin again.
    fn reply(&mut self, write_quorum: u16) {
        for task in self.tasks.iter_mut().filter(|task| task.reply.is_none()) {
            let states = || task.keys.iter().map(|&key| &self.keys[key].state);
            let failed = states().find_map(|state| if let State::Failed(error) = state { Some(error) } else { None });
            let is_outrun = states().any(|state| matches!(state, State::Outrun(_)));
            let planned = task.planned.take();
            let has_written = planned
                .as_ref()
                .is_some_and(|(changed, _)| changed.iter().any(|&key| matches!(self.keys[key].state, State::Settled)));
            task.reply = match (failed, is_outrun, planned) {
                (None, false, Some((_, reply))) => Some(reply),
                // Several keys of one slot have the same replicas, so this takes a node that fails between two of them.
                (Some(_), ..) | (None, true, _) if has_written => {
                    let reason = Some("some of the command's keys were written".to_owned());
                    Some(refusal(&QuorumError::Indeterminate { acks: 0, needed: write_quorum, reason }))
                }
                (Some(error), ..) => Some(refusal(error)),
                (None, ..) => None,
            };
        }
    }

    /// Whether all updates have replies.
    fn is_done(&self) -> bool {
        self.tasks.iter().all(|task| task.reply.is_some())
    }

    /// What was in the way of the updates that may begin again; `None` if they merely have to insist.
    fn outrun_by(&self) -> Option<Version> {
        let left = self.tasks.iter().filter(|task| task.reply.is_none());
        let states = left.flat_map(|task| task.keys.iter().map(|&key| &self.keys[key].state));
        let in_the_way = states.filter_map(|state| match state {
            State::Outrun(version) => Some(*version),
            State::Withheld { contested } => *contested,
            State::Unknown | State::Seen { .. } | State::Settled | State::Failed(_) => None,
        });
        in_the_way.max()
    }

    /// Ends what still has no reply: each attempt was taken back.
    fn give_up(&mut self, needed: u16) {
        for task in self.tasks.iter_mut().filter(|task| task.reply.is_none()) {
            let reason = Some("other writes of the key were in the way all the time".to_owned());
            task.reply = Some(refusal(&QuorumError::Reverted { acks: 0, needed, reason }));
        }
    }
}

impl Task<'_> {
    /// Lets the rule work on what the keys hold.
    fn work(&self, keys: &[Key], now: UnixMs) -> (Changes, Bytes) {
        let held: SmallVec<[Option<Held<'_>>; 2]> = self.keys.iter().map(|&key| keys[key].held(now)).collect();
        let args: SmallVec<[&[u8]; 8]> = self.order.args.iter().map(|word| &**word).collect();
        let mut out = Vec::new();
        let protocol = self.order.protocol;
        let mut work = Work { args: &args, held: &held, now, protocol, changes: SmallVec::new(), out: &mut out };
        (self.order.rule)(&mut work);
        (work.changes, out.into())
    }
}

impl Key {
    fn held(&self, now: UnixMs) -> Option<Held<'_>> {
        match &self.state {
            State::Seen { value: Some(value), expires_at, .. } if expires_at.is_none_or(|at| now < at) => {
                Some(Held { value, expires_at: *expires_at })
            }
            _ => None,
        }
    }

    fn change(&mut self, change: Change, now: UnixMs) {
        if let State::Seen { value, expires_at, is_changed, .. } = &mut self.state {
            *is_changed = true;
            (*value, *expires_at) = match change {
                Change::Put { expires_at: Some(at), .. } if at <= now => (None, None),
                Change::Put { value, expires_at } => (Some(value), expires_at),
                Change::Delete => (None, None),
            };
        }
    }
}

fn seen(ending: Ending) -> State {
    match ending {
        Ending::Prepared(prepared) => {
            let newest = prepared.newest.as_ref();
            let value = newest.and_then(|found| found.value.clone());
            let expires_at = newest.and_then(|found| found.expires_at);
            State::Seen { prepared, value, expires_at, is_changed: false }
        }
        other => settled(other),
    }
}

fn settled(ending: Ending) -> State {
    match ending {
        Ending::Outcome(Outcome::Written(_)) => State::Settled,
        Ending::Outrun(above) => State::Outrun(above),
        Ending::Withheld { contested } => State::Withheld { contested },
        Ending::Outcome(Outcome::Failed(error)) => State::Failed(error),
        Ending::Outcome(Outcome::Read(_)) | Ending::Prepared(_) => unreachable!("a write ends as a write"),
    }
}
