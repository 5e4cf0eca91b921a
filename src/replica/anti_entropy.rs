//! Anti-entropy: replicas compare what they hold, all the time, and copy what they lack.
//!
//! Hints and read repair mend what somebody has noticed. What nobody noticed (a hint that was dropped, a coordinator that
//! died) would stay different until somebody reads it. Scanning all data, or building trees of hashes over it, costs so
//! much that operators have to schedule it. Here each slot has its digest at hand (`store/tally.rs`), so that comparing
//! 16384 slots is one small exchange: one sum over all of them. Only where sums differ it goes down, to 128 groups and
//! then to the slots of those that differ.
//!
//! What a difference means is decided by a plain rule (`agreement.rs`), copying is shared with catching up (`fetch.rs`),
//! and who agreed when proves tombstones useless (`tombstones.rs`). Each node only fetches; what a peer lacks the peer
//! fetches in its own rounds. A round that takes long, because much differs, goes on in the next one, so no peer has to
//! wait for another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::Replica;
use super::agreement::{Doubt, Judgement, PeerAgreement, judge};
use super::fetch::{Fetcher, Heard, Purpose};
use super::tombstones::{Ledger, SteadyClock, in_flight_ms};
use crate::peer::{Answers, Digest, DigestScope, LinkState, NodeCommunicator, PeerReply, PeerRequest, RequestBatch};
use crate::ring::{NodeIndex, Slot};
use crate::time::UnixMs;
use crate::version::StartNumber;

/// How often to look whether this node has caught up, unless it is told.
const CATCH_UP_LOOK: Duration = Duration::from_millis(500);
/// Records that are looked at for tombstones before others get their turn.
const DROP_STEP_RECORDS: usize = 2_000;
/// Records that are looked at for tombstones in a round.
const DROP_ROUND_RECORDS: usize = 200_000;

/// Runs until it is dropped; at once over if `interval` is none, or if keys have no other replica.
pub async fn run(replica: Arc<Replica>, peers: Arc<dyn NodeCommunicator>, interval: Option<Duration>) {
    let (Some(interval), true) = (interval, replica.ring.replicas() > 1) else { return };
    while replica.syncing.count() > 0 {
        let _ = timeout(CATCH_UP_LOOK, replica.changed.notified()).await;
    }
    let mut comparing = Comparing::new(&replica, peers);
    let mut rounds = tokio::time::interval(interval);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        comparing.round(interval).await;
    }
}

/// What is remembered between rounds.
struct Comparing {
    replica: Arc<Replica>,
    peers: Arc<dyn NodeCommunicator>,
    fetcher: Fetcher,
    others: Vec<Other>,
    ledger: Ledger,
    clock: SteadyClock,
    began: Instant,
    /// Where dropping tombstones goes on.
    resume_drop: Slot,
}

/// A node that shares slots with this one.
struct Other {
    node: NodeIndex,
    /// The process that it was last.
    process: StartNumber,
    /// All slots were equal in the last comparison. While they are not, the sum over all need not be asked for.
    was_equal: bool,
    /// The slots that were found to differ.
    doubts: BTreeMap<Slot, Doubt>,
    /// Where exchanging goes on.
    resume: Slot,
}

/// What comparing with a peer has found.
#[derive(Default)]
struct Findings {
    equal: usize,
    differing: usize,
    /// Slots to exchange records of, in order.
    due: Vec<Slot>,
}

impl Comparing {
    fn new(replica: &Arc<Replica>, peers: Arc<dyn NodeCommunicator>) -> Self {
        let nodes = replica.config.node_indices().filter(|&node| !replica.shared_with(node).is_empty());
        let others: Vec<_> = nodes
            .map(|node| Other {
                node,
                process: StartNumber::default(),
                was_equal: true,
                doubts: BTreeMap::new(),
                resume: Slot::FIRST,
            })
            .collect();
        Self {
            ledger: Ledger::new(others.iter().map(|other| replica.shared_with(other.node)), &replica.config),
            others,
            fetcher: Fetcher::new(Arc::clone(replica), Arc::clone(&peers), Purpose::Repair),
            clock: SteadyClock::new(replica.wall.now()),
            began: Instant::now(),
            resume_drop: Slot::FIRST,
            replica: Arc::clone(replica),
            peers,
        }
    }

    /// Compares with every peer within reach, and copies from it for as long as a round may take.
    async fn round(&mut self, interval: Duration) {
        for other in 0..self.others.len() {
            if let Some(findings) = self.compare(other).await {
                self.publish(other, &findings);
                self.exchange(other, &findings.due, Instant::now() + interval).await;
            }
        }
        self.drop_tombstones().await;
    }

    /// Compares with one peer; `None` if that could not be finished.
    async fn compare(&mut self, other: usize) -> Option<Findings> {
        let (node, moment) = (self.others[other].node, self.moment());
        self.check_link(other);
        let slots = self.replica.shared_with(node).len();
        if self.others[other].was_equal && self.agrees_on_all(other).await? {
            self.ledger.agree(other, 0..slots, moment);
            return Some(Findings { equal: slots, ..Findings::default() });
        }
        let theirs = self.ask(other, &[DigestScope::Groups]).await?;
        let ours = self.replica.digests(node, DigestScope::Groups, self.replica.wall.now());
        let is_equal: Vec<bool> = ours.iter().zip(&theirs[0]).map(|(ours, theirs)| ours.agrees_with(*theirs)).collect();
        let groups = || (0..DigestScope::GROUPS).zip(&is_equal);
        let scopes: Vec<_> =
            groups().filter(|(_, is_equal)| !**is_equal).map(|(group, _)| DigestScope::Group(group)).collect();
        let mut theirs = self.ask(other, &scopes).await?.into_iter();
        let (mut findings, mut position) = (Findings::default(), 0);
        for (group, is_equal) in groups() {
            let theirs = if *is_equal { None } else { theirs.next() };
            self.compare_group((other, position), group, theirs.as_deref(), moment, &mut findings);
            position += self.replica.shared_group(node, group).len();
        }
        self.others[other].was_equal = findings.equal == slots;
        Some(findings)
    }

    /// Whether the sums over all slots agree.
    async fn agrees_on_all(&self, other: usize) -> Option<bool> {
        let theirs = self.ask(other, &[DigestScope::All]).await?;
        let ours = self.replica.digests(self.others[other].node, DigestScope::All, self.replica.wall.now());
        Some(ours[0].agrees_with(theirs[0][0]))
    }

    /// Compares one group, which begins at `position` of the shared slots; without `theirs` it is equal.
    fn compare_group(
        &mut self,
        (other, position): (usize, usize),
        group: u8,
        theirs: Option<&[Digest]>,
        moment: u64,
        findings: &mut Findings,
    ) {
        let node = self.others[other].node;
        let slots = self.replica.shared_group(node, group);
        let doubts = &mut self.others[other].doubts;
        let Some(theirs) = theirs else {
            doubts.retain(|slot, _| slots.binary_search(slot).is_err());
            self.ledger.agree(other, position..position + slots.len(), moment);
            findings.equal += slots.len();
            return;
        };
        let ours = self.replica.digests(node, DigestScope::Group(group), self.replica.wall.now());
        for (at, ((&slot, ours), theirs)) in (position..).zip(slots.iter().zip(ours).zip(theirs)) {
            let (judgement, doubt) = judge(doubts.remove(&slot), ours, *theirs);
            doubts.extend(doubt.map(|doubt| (slot, doubt)));
            match judgement {
                Judgement::Agree => {
                    self.ledger.agree(other, at..at + 1, moment);
                    findings.equal += 1;
                }
                Judgement::Unsure => {}
                Judgement::Differ => findings.differing += 1,
                Judgement::Exchange => {
                    findings.differing += 1;
                    findings.due.push(slot);
                }
            }
        }
    }

    /// A link that is down, or was lately, or leads to another process than before, voids what has been proven: things
    /// may have been on their way for longer than is known.
    fn check_link(&mut self, other: usize) {
        let Other { node, process, .. } = self.others[other];
        let needed = Duration::from_millis(in_flight_ms(&self.replica.config));
        let is_steady =
            self.peers.status(node).is_some_and(|status| status.state == LinkState::Up && status.age >= needed);
        let present = self.peers.process(node);
        if !is_steady || present != process {
            self.others[other].process = present;
            let now = self.now();
            self.ledger.disturb(other, now);
        }
    }

    /// The peer's digests, by scope; `None` if they cannot be had from the process that was checked.
    async fn ask(&self, other: usize, scopes: &[DigestScope]) -> Option<Vec<Vec<Digest>>> {
        let Other { node, process, .. } = self.others[other];
        if scopes.is_empty() || self.peers.link(node) == LinkState::Down {
            return scopes.is_empty().then(Vec::new);
        }
        let mut batch = RequestBatch::new();
        for &scope in scopes {
            batch.push(&PeerRequest::Digest(scope));
        }
        let answers: Answers = self.peers.exchange(node, batch).await;
        if answers.process != process || answers.replies.len() != scopes.len() {
            return None;
        }
        let digests = |(&scope, reply)| match reply {
            PeerReply::Digests { flush_marks, digests } => {
                self.replica.learn_flushes(flush_marks, self.replica.wall.now());
                (digests.len() == self.count(node, scope)).then_some(digests)
            }
            _ => None,
        };
        scopes.iter().zip(answers.replies).map(digests).collect()
    }

    /// How many digests answer a question.
    fn count(&self, node: NodeIndex, scope: DigestScope) -> usize {
        match scope {
            DigestScope::All => 1,
            DigestScope::Groups => DigestScope::GROUPS.into(),
            DigestScope::Group(group) => self.replica.shared_group(node, group).len(),
        }
    }

    fn publish(&self, other: usize, findings: &Findings) {
        let (node, now) = (self.others[other].node, self.replica.wall.now());
        let count = |slots: usize| u32::try_from(slots).unwrap_or(u32::MAX);
        let is_equal = findings.equal == self.replica.shared_with(node).len();
        self.replica.note_agreement(node, |before| PeerAgreement {
            equal: count(findings.equal),
            differing: count(findings.differing),
            compared_at: Some(now),
            agreed_at: if is_equal { Some(now) } else { before.agreed_at },
        });
    }

    /// Fetches what is lacking in the slots that are due, from where the last round stopped, until `deadline`.
    async fn exchange(&mut self, other: usize, due: &[Slot], deadline: Instant) {
        let Other { node, resume, .. } = self.others[other];
        let (earlier, later) = due.split_at(due.partition_point(|&slot| slot < resume));
        let slots = [later, earlier].concat();
        let mut rest = slots.as_slice();
        while !rest.is_empty() && Instant::now() < deadline && self.peers.link(node) == LinkState::Up {
            let (part, left) = rest.split_at(self.fetcher.slots_at_once().min(rest.len()));
            let heard = self.fetcher.hear(node, part).await;
            let Other { doubts, resume, .. } = &mut self.others[other];
            for (slot, heard) in part.iter().zip(heard) {
                let records = if let Heard::Merged(records) = heard { records } else { 0 };
                doubts.entry(*slot).and_modify(|doubt| doubt.exchanged(records));
            }
            *resume = left.first().copied().unwrap_or(Slot::FIRST);
            rest = left;
        }
    }

    /// Drops the tombstones that are proven useless by now, slot by slot.
    async fn drop_tombstones(&mut self) {
        let now = self.now();
        let proven = self.ledger.advance(now);
        let (earlier, later) = proven.split_at(proven.partition_point(|&slot| slot < self.resume_drop));
        let (mut looked, mut stepped) = (0, 0);
        for &slot in later.iter().chain(earlier) {
            if looked >= DROP_ROUND_RECORDS {
                self.resume_drop = slot;
                break;
            }
            let useless = self.ledger.useless(slot);
            let dropped = self.replica.store.drop_tombstones(slot, useless, self.replica.wall.now());
            self.ledger.dropped(slot, dropped, now);
            (looked, stepped) = (looked + dropped.looked, stepped + dropped.looked);
            if stepped >= DROP_STEP_RECORDS {
                stepped = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// The present moment, as the ledger counts.
    fn moment(&self) -> u64 {
        1 + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// The present moment and what the steady wall clock shows.
    fn now(&mut self) -> (u64, UnixMs) {
        (self.moment(), self.clock.read(self.replica.wall.now(), self.began.elapsed()))
    }
}

impl Replica {
    /// What comparing with `peer` came to last, over the slots that both keep.
    #[must_use]
    pub fn agreement(&self, peer: NodeIndex) -> PeerAgreement {
        *self.peers[peer.as_usize()].agreement.lock()
    }

    fn note_agreement(&self, peer: NodeIndex, change: impl FnOnce(PeerAgreement) -> PeerAgreement) {
        let agreement = &mut *self.peers[peer.as_usize()].agreement.lock();
        *agreement = change(*agreement);
    }
}
