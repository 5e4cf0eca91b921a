//! A node's part in FLUSHALL: the marks that it takes, and those that it hears of.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::Replica;
use crate::clock::ClockDrift;
use crate::flush::FlushMarks;
use crate::mutation::{Mutation, is_on};
use crate::peer::PeerReply;
use crate::ring::NodeIndex;
use crate::store::{Debris, Flushed};
use crate::time::UnixMs;
use crate::version::{Hlc, StartNumber, Version};

/// So many flushed records are freed on the spot.
const DEBRIS_FREED_AT_ONCE: usize = 1000;
/// Flushes that may be under way at a time; whoever comes next is refused.
const HOLDS_MAX: usize = 1024;
/// For how long nothing is promised if the mark does not come, in `request_timeout`s: one for the coordinator to hear from all nodes,
/// and one for the mark.
const HOLD_TIMEOUTS: u32 = 2;
/// Keys that a flush has left which are settled at a time.
const SETTLED_AT_ONCE: usize = 256;

/// The flushes that have read this node's clock, until their marks have come. Meanwhile nothing is promised to updates, so that no
/// slot has to refuse a mark.
#[derive(Default)]
pub(super) struct FlushHolds {
    holds: Mutex<Vec<Hold>>,
    /// How many there are.
    count: AtomicUsize,
}

struct Hold {
    /// The coordinator.
    from: NodeIndex,
    /// When it has to be dead.
    ends_at: UnixMs,
}

impl FlushHolds {
    /// False if there are too many already.
    fn begin(&self, hold: Hold, now: UnixMs) -> bool {
        let mut holds = self.holds.lock();
        holds.retain(|hold| now < hold.ends_at);
        let has_room = holds.len() < HOLDS_MAX;
        if has_room {
            holds.push(hold);
        }
        self.count.store(holds.len(), Ordering::SeqCst);
        has_room
    }

    /// The mark of this coordinator's oldest flush has come.
    fn end(&self, from: NodeIndex) {
        let mut holds = self.holds.lock();
        if let Some(at) = holds.iter().position(|hold| hold.from == from) {
            holds.remove(at);
        }
        self.count.store(holds.len(), Ordering::SeqCst);
    }

    fn is_any(&self, now: UnixMs) -> bool {
        self.count.load(Ordering::SeqCst) > 0 && self.holds.lock().iter().any(|hold| now < hold.ends_at)
    }
}

impl Replica {
    /// Lets a flush of the coordinator `from` read the clock. If that is an answer nothing is promised to updates until the mark
    /// has come, or its coordinator has to be dead.
    ///
    /// A node that is still syncing gives none: it may have forgotten a write that it made up a quorum for, and with it how late
    /// that was.
    pub(crate) fn hold(&self, from: NodeIndex, now: UnixMs) -> Result<Hlc, PeerReply> {
        if self.syncing.count() > 0 && !is_on(Mutation::SyncingCountsForFlush) {
            return Err(PeerReply::Syncing);
        }
        let ends_at = now.after(self.config.request_timeout() * HOLD_TIMEOUTS);
        // First the hold, then the clock: what is promised in between, if anything is, is below what is read.
        if !self.holds.begin(Hold { from, ends_at }, now) {
            return Err(PeerReply::Refused("ERR too many flushes are under way".to_owned()));
        }
        Ok(self.clock.last())
    }

    pub(super) fn hold_for_peer(&self, from: NodeIndex, now: UnixMs) -> PeerReply {
        self.hold(from, now).map_or_else(|refusal| refusal, |reading| PeerReply::Integer(reading.0))
    }

    /// Whether this node promises anything now.
    ///
    /// # Errors
    /// What to answer if it does not.
    pub(super) fn promises_now(&self, now: UnixMs) -> Result<(), PeerReply> {
        match self.holds.is_any(now) && !is_on(Mutation::FlushIgnoresPromises) {
            true => Err(PeerReply::Promised(version_at(self.clock.last()))),
            false => Ok(()),
        }
    }

    /// Takes the mark of a flush of the coordinator `from`, but for slots in which a larger ballot was promised to an update.
    pub(crate) fn flush(&self, from: NodeIndex, mark: Version, now: UnixMs) -> PeerReply {
        let taken = self.take_begun(mark, now);
        self.holds.end(from);
        match taken {
            Ok(None) => PeerReply::Ok,
            Ok(Some(ballot)) => PeerReply::Promised(version_at(ballot)),
            Err(drift) => PeerReply::Drift(drift.to_string()),
        }
    }

    /// Takes a mark that is decided, whatever was promised.
    pub(crate) fn flush_decided(&self, mark: Version, now: UnixMs) -> PeerReply {
        match self.take_decided(mark, now) {
            Ok(()) => PeerReply::Ok,
            Err(drift) => PeerReply::Drift(drift.to_string()),
        }
    }

    /// Catches up on flushes that this node has missed.
    pub(super) fn learn_flushes(&self, theirs: FlushMarks, now: UnixMs) {
        let ours = self.store.flush_marks();
        let mut learned = Ok(());
        if theirs.decided > ours.decided {
            learned = self.take_decided(theirs.decided, now);
        }
        if theirs.begun > ours.begun.max(theirs.decided) && learned.is_ok() {
            learned = self.take_begun(theirs.begun, now).map(drop);
        }
        if let Err(drift) = learned {
            tracing::warn!(%drift, "cannot catch up on a FLUSHALL");
        }
    }

    /// Has some of the keys written anew that a flush has left here and may have dropped elsewhere.
    pub(super) fn settle_flushed(&self) {
        self.store.left_by_flush(SETTLED_AT_ONCE).iter().for_each(|key| self.calls.settle(key));
    }

    /// The time of a ballot for which some slots do not take the mark.
    fn take_begun(&self, mark: Version, now: UnixMs) -> Result<Option<Hlc>, ClockDrift> {
        self.clock.check(mark.hlc(), now)?;
        let Flushed { debris, refused_for } = self.store.flush(mark);
        self.flushed(mark, debris, refused_for.is_none(), now)?;
        Ok(refused_for)
    }

    fn take_decided(&self, mark: Version, now: UnixMs) -> Result<(), ClockDrift> {
        self.clock.check(mark.hlc(), now)?;
        let debris = self.store.flush_decided(mark);
        self.flushed(mark, debris, true, now)
    }

    fn flushed(&self, mark: Version, debris: Debris, is_complete: bool, now: UnixMs) -> Result<(), ClockDrift> {
        if is_complete {
            self.hints.drop_older_than(mark);
        }
        // Freeing millions of records takes a while: not on the way of requests.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if debris.records() > DEBRIS_FREED_AT_ONCE => {
                drop(runtime.spawn_blocking(move || drop(debris)));
            }
            Ok(_) | Err(_) => drop(debris),
        }
        self.clock.observe(mark.hlc(), now)
    }
}

/// A version of this time, for whoever has to go above it.
fn version_at(time: Hlc) -> Version {
    Version::new(time, NodeIndex(0), StartNumber::default())
}
