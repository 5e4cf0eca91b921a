//! When a tombstone has become useless.
//!
//! A tombstone must stay as long as anything older of its key may turn up: at a replica that was away, in a hint, in a
//! message that is late. Dropping it after some time, as is usual, brings deleted keys back whenever a replica was away
//! for longer. So time alone drops nothing here; it takes a proof, and this is it. Let `d` be a tombstone of this node,
//! and `x` an older value of the same key.
//!
//! 1. *No message brings `x`.* Whoever owes `x` to a replica gives up after `hint_ttl_ms`, and no message is on its way
//!    for longer than [`in_flight_ms`]. So the proof begins when `d` has been here for that long, and its stamp is older
//!    than anything that a clock within `max_clock_drift_ms` has stamped in that time ([`Useless`]). After that, only
//!    replicas can have `x`. (Should a sender have been frozen meanwhile with `x` in its hands, whoever has dropped `d`
//!    refuses it: the slot remembers the newest tombstone that it dropped. A sender that is a replica itself fails 2.)
//! 2. *No replica shows `x`.* Each other replica of the slot must show a digest equal to this node's, which does not
//!    count `d`: then it does not show `x`. It must not be syncing (then it counts for nothing), and neither side may be
//!    busy (an open tombstone that is taken back would uncover `x`). A replica that was away with `x` shows another
//!    digest until it has fetched `d`; a replica that is away shows none, so nothing is dropped while it is.
//! 3. *Not even in turns.* Replicas are not asked at one moment. One might fetch `x` from another after it was asked and
//!    before that one, and all would have agreed. But a replica loses `x` only to something newer, which it keeps until
//!    it completes such a proof itself, so `x` can escape the questions only by moving on to a replica that never had it.
//!    There are N-1 of those: after N-1 rounds of agreement, each begun when what was on its way in the one before has
//!    arrived, none is left. A peer that restarts loses `x` without anything newer; that, and every break of a link,
//!    begins the count anew.
//!
//! What is gone stays gone: where a replica still has `d`, or an older tombstone, when others have dropped theirs, it
//! harms nothing and follows in its own time. Tombstones do not wander: anti-entropy fetches one only where it outranks
//! something, and writing one back to a replica that has dropped it is acknowledged without keeping it. A node that
//! catches up fetches all tombstones, for the next replica that it hears may still have `x`; their life begins anew there.

use std::ops::Range;
use std::time::Duration;

use crate::config::ClusterConfig;
use crate::mutation::{Mutation, is_on};
use crate::ring::{SLOT_COUNT, Slot};
use crate::store::{Dropped, Useless};
use crate::time::UnixMs;

/// In units of `request_timeout_ms`: a large value may take ten (see `peer/mod.rs`), an answer to it one more.
const IN_FLIGHT_TIMEOUTS: u64 = 12;
/// Into so many parts the life of a tombstone is divided: a slot is looked through once in each at most.
const LOOKS_PER_LIFE: u64 = 8;

/// For how long anything that was sent may be on its way.
pub(super) fn in_flight_ms(config: &ClusterConfig) -> u64 {
    IN_FLIGHT_TIMEOUTS * config.request_timeout_ms
}

/// For how long a tombstone is needed in any case.
fn life_ms(config: &ClusterConfig) -> u64 {
    config.hint_ttl_ms + in_flight_ms(config)
}

/// What is known of who agreed when. Moments are milliseconds of a clock that never jumps; 0 is before all of them.
pub(super) struct Ledger {
    /// For each peer the slots shared with it, and when each was found equal last.
    peers: Vec<Shared>,
    /// By slot.
    proofs: Vec<Proof>,
    rounds_needed: u32,
    in_flight_ms: u64,
    life_ms: u64,
    drift_ms: u64,
}

struct Shared {
    slots: Box<[Slot]>,
    agreed_at: Box<[u64]>,
}

/// How far the proof for a slot's tombstones has come.
#[derive(Clone, Copy, Default)]
struct Proof {
    /// By the steady wall clock: tombstones whose life was over then are what it is about.
    began: UnixMs,
    /// Rounds in which all others agreed.
    rounds: u32,
    /// Agreement from this moment on counts for the next round.
    counts_from: u64,
    /// No tombstone's life ends before.
    look_at: UnixMs,
}

impl Ledger {
    /// A ledger for peers by the slots shared with each.
    pub(super) fn new<'a>(shared: impl Iterator<Item = &'a [Slot]>, config: &ClusterConfig) -> Self {
        let shared = shared.map(|slots| Shared { slots: slots.into(), agreed_at: vec![0; slots.len()].into() });
        Self {
            peers: shared.collect(),
            proofs: vec![Proof::default(); SLOT_COUNT.into()],
            rounds_needed: u32::from(config.replication_factor).saturating_sub(1).max(1),
            in_flight_ms: in_flight_ms(config),
            life_ms: life_ms(config),
            drift_ms: config.max_clock_drift_ms,
        }
    }

    /// The peer, asked at `moment`, agreed on those of the shared slots that stand in this range.
    pub(super) fn agree(&mut self, peer: usize, range: Range<usize>, moment: u64) {
        self.peers[peer].agreed_at[range].fill(moment);
    }

    /// The peer is out of reach, or was lately, or is another process: what is proven so far is void.
    pub(super) fn disturb(&mut self, peer: usize, (moment, now): (u64, UnixMs)) {
        for slot in &self.peers[peer].slots {
            self.proofs[slot.as_usize()].restart(moment, now);
        }
    }

    /// Counts the agreements so far. The slots with a complete proof for tombstones whose life may be over.
    pub(super) fn advance(&mut self, (moment, now): (u64, UnixMs)) -> Vec<Slot> {
        let mut proven = Vec::new();
        for (slot, agreed_at) in self.agreed_by_all() {
            let proof = &mut self.proofs[slot.as_usize()];
            if proof.rounds < self.rounds_needed && agreed_at >= proof.counts_from && agreed_at > 0 {
                proof.rounds += 1;
                proof.counts_from = moment + self.in_flight_ms;
            }
            if proof.rounds >= self.rounds_needed || is_on(Mutation::TombstonesByAge) {
                if proof.began >= proof.look_at {
                    proven.push(slot);
                } else {
                    proof.restart(moment, now);
                }
            }
        }
        proven
    }

    /// Which tombstones of a slot from [`Self::advance`] may go.
    pub(super) fn useless(&self, slot: Slot) -> Useless {
        Useless { life_ms: self.life_ms, drift_ms: self.drift_ms, until: self.proofs[slot.as_usize()].began }
    }

    /// Those went; the next proof begins.
    pub(super) fn dropped(&mut self, slot: Slot, dropped: Dropped, (moment, now): (u64, UnixMs)) {
        let (life_ms, proof) = (self.life_ms, &mut self.proofs[slot.as_usize()]);
        let after = |ms| now.after(Duration::from_millis(ms));
        proof.look_at = match dropped {
            Dropped { is_busy: true, .. } => now,
            Dropped { next: Some(next), .. } => next.max(after(life_ms / LOOKS_PER_LIFE)),
            // What comes from now on lives for that long.
            Dropped { next: None, .. } => after(life_ms),
        };
        proof.restart(moment, now);
    }

    /// The slots of this node, with the moment since which all others have agreed.
    fn agreed_by_all(&self) -> Vec<(Slot, u64)> {
        let mut by_slot = vec![u64::MAX; SLOT_COUNT.into()];
        for Shared { slots, agreed_at } in &self.peers {
            for (slot, agreed_at) in slots.iter().zip(agreed_at) {
                let earliest = &mut by_slot[slot.as_usize()];
                *earliest = (*earliest).min(*agreed_at);
            }
        }
        Slot::all().zip(by_slot).filter(|(_, agreed_at)| *agreed_at < u64::MAX).collect()
    }
}

impl Proof {
    fn restart(&mut self, moment: u64, now: UnixMs) {
        *self = Self { began: now, rounds: 0, counts_from: moment, look_at: self.look_at };
    }
}

/// A wall clock without jumps ahead: when the machine's clock is set, or the machine slept, nothing has grown old.
#[derive(Debug)]
pub(super) struct SteadyClock {
    origin: UnixMs,
    /// How far the wall clock has ever been ahead of where it should be.
    skipped_ms: u64,
}

impl SteadyClock {
    pub(super) fn new(origin: UnixMs) -> Self {
        Self { origin, skipped_ms: 0 }
    }

    /// The reading when the wall clock shows `wall` and so much time has passed since the origin.
    pub(super) fn read(&mut self, wall: UnixMs, elapsed: Duration) -> UnixMs {
        let ahead = wall.0.saturating_sub(self.origin.after(elapsed).0);
        self.skipped_ms = self.skipped_ms.max(ahead);
        UnixMs(wall.0.saturating_sub(self.skipped_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RT_MS: u64 = 100;
    const IN_FLIGHT: u64 = IN_FLIGHT_TIMEOUTS * RT_MS;
    const LIFE: u64 = 10_000 + IN_FLIGHT;

    /// The ledger of a node with two peers and N = 3, who share one slot and have one each besides.
    fn ledger() -> Ledger {
        let config = ClusterConfig {
            replication_factor: 3,
            request_timeout_ms: RT_MS,
            hint_ttl_ms: 10_000,
            max_clock_drift_ms: 5_000,
            ..ClusterConfig::single_node()
        };
        let shared = [[slot(1), slot(5)], [slot(5), slot(7)]];
        Ledger::new(shared.iter().map(<[Slot; 2]>::as_slice), &config)
    }

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    fn at(moment: u64) -> (u64, UnixMs) {
        (moment, UnixMs(1_000_000 + moment))
    }

    fn agree(ledger: &mut Ledger, moment: u64) {
        (0..2).for_each(|peer| ledger.agree(peer, 0..2, moment));
    }

    #[test]
    fn a_proof_takes_as_many_rounds_as_there_are_other_replicas_with_time_in_between() {
        let mut ledger = ledger();
        agree(&mut ledger, 10);
        assert_eq!(ledger.advance(at(20)), []);
        agree(&mut ledger, 20 + IN_FLIGHT - 1);
        assert_eq!(ledger.advance(at(2000)), [], "a copy may have been on its way");
        agree(&mut ledger, 20 + IN_FLIGHT);
        assert_eq!(ledger.advance(at(3000)), [slot(1), slot(5), slot(7)]);
    }

    #[test]
    fn all_other_replicas_have_to_agree() {
        let mut ledger = ledger();
        for moment in [10, 10_000, 20_000] {
            ledger.agree(0, 0..2, moment);
            ledger.agree(1, 1..2, moment);
            let proven = ledger.advance(at(moment));
            let expected = if moment == 10 { vec![] } else { vec![slot(1), slot(7)] };
            assert_eq!(proven, expected, "slot 5 has two others");
        }
    }

    #[test]
    fn a_break_makes_the_slots_of_that_peer_begin_anew() {
        let mut ledger = ledger();
        agree(&mut ledger, 10);
        ledger.advance(at(10));
        ledger.disturb(0, at(5000));
        agree(&mut ledger, 6000);
        assert_eq!(ledger.advance(at(6000)), [slot(7)]);
        agree(&mut ledger, 9000);
        assert_eq!(ledger.advance(at(9000)), [slot(1), slot(5), slot(7)]);
        assert_eq!(ledger.useless(slot(1)).until, at(5000).1, "later tombstones are not what was proven");
    }

    #[test]
    fn a_slot_is_looked_through_when_a_life_in_it_may_have_ended() {
        let mut ledger = ledger();
        let prove = |ledger: &mut Ledger, from: u64| {
            let proven = [from, from + IN_FLIGHT].map(|moment| {
                agree(ledger, moment);
                ledger.advance(at(moment))
            });
            proven[1].contains(&slot(5))
        };
        assert!(prove(&mut ledger, 10));
        ledger.dropped(slot(5), Dropped::default(), at(2000));
        assert!(!prove(&mut ledger, 3000), "nothing can have come and lived its life");
        assert!(!prove(&mut ledger, 2000 + LIFE - 1));
        assert!(prove(&mut ledger, 2 * LIFE));
        let next = Some(UnixMs(at(2 * LIFE).1.0 + 1));
        ledger.dropped(slot(5), Dropped { next, ..Dropped::default() }, at(2 * LIFE));
        assert!(!prove(&mut ledger, 2 * LIFE + 5), "several are dropped at a time");
        ledger.dropped(slot(5), Dropped { is_busy: true, ..Dropped::default() }, at(3 * LIFE));
        assert!(prove(&mut ledger, 3 * LIFE));
    }

    #[test]
    fn a_clock_that_is_set_ahead_makes_nothing_older() {
        let seconds = Duration::from_secs;
        let mut clock = SteadyClock::new(UnixMs(1_000_000));
        assert_eq!(clock.read(UnixMs(1_001_000), seconds(1)), UnixMs(1_001_000));
        assert_eq!(clock.read(UnixMs(5_002_000), seconds(2)), UnixMs(1_002_000), "set ahead by more than an hour");
        assert_eq!(clock.read(UnixMs(5_012_000), seconds(12)), UnixMs(1_012_000));
        assert_eq!(clock.read(UnixMs(1_013_000), seconds(13)).0, 0, "set back: everything is young");
    }
}
