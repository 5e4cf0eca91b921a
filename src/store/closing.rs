//! What a coordinator's next mark will close, in the order of its versions.
//!
//! A slot closes what is decided whenever it is written to, but a busy node has many slots, and by then the memory to be
//! freed has left the cache. So each open write is noted here as well, and a mark closes exactly what it has passed, many at
//! a time: what they need is fetched together, and the next records go where the freed ones were. Whether a record that is
//! passed is closed makes no difference to anybody but the memory that it takes.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::open::shrink;
use crate::ring::{NodeIndex, Slot};
use crate::time::UnixMs;
use crate::version::{Hlc, StartNumber, Version};

/// An open write: its version, without the node, and where it lies.
#[derive(Clone, Copy)]
struct Note {
    start: StartNumber,
    hlc: Hlc,
    arrived_at: UnixMs,
    slot: Slot,
}

/// Open writes by coordinator, oldest first. A coordinator's versions arrive in their order but for few, and one that
/// is out of order is merely closed with a later mark.
pub(super) struct Closing {
    queues: Box<[Mutex<VecDeque<Note>>]>,
}

impl Closing {
    pub(super) fn new(nodes: usize) -> Self {
        Self { queues: (0..nodes).map(|_| Mutex::default()).collect() }
    }

    /// Notes that an open write of `version` lies in `slot`.
    #[inline]
    pub(super) fn push(&self, version: Version, slot: Slot, arrived_at: UnixMs) {
        if let Some(queue) = self.queues.get(version.node().as_usize()) {
            queue.lock().push_back(Note { start: version.start(), hlc: version.hlc(), arrived_at, slot });
        }
    }

    /// Forgets the writes of `node` that its mark has passed, and lets `visit` see their slots, many at a time. As long as
    /// they are fewer than `at_least` they wait for a later mark.
    pub(super) fn passed(
        &self,
        node: NodeIndex,
        (start, lowest_open): (StartNumber, Hlc),
        at_least: usize,
        visit: impl FnMut(&[Slot]),
    ) {
        let Some(queue) = self.queues.get(node.as_usize()) else { return };
        let is_due = |note: &Note| (note.start, note.hlc) < (start, lowest_open);
        if queue.lock().get(at_least.saturating_sub(1)).is_some_and(is_due) {
            drain(queue, is_due, visit);
        }
    }

    /// Forgets the writes that arrived at `deadline` or before: whatever their coordinators say, they are closed. And gives the
    /// memory of a busy moment back, which the marks leave for the next one.
    pub(super) fn forget_until(&self, deadline: UnixMs) {
        for queue in &self.queues {
            drain(queue, |note| note.arrived_at <= deadline, |_| {});
            shrink(&mut queue.lock());
        }
    }
}

/// So many writes are worth a visit to their slots, for memory is waited for once for all of them.
pub(super) const VISITED_MIN: usize = 32;

/// How many notes are taken out under one lock.
const DRAINED_MAX: usize = 64;

/// Takes notes from the front while `is_due`, and lets `visit` see their slots, without the queue's lock.
fn drain(queue: &Mutex<VecDeque<Note>>, is_due: impl Fn(&Note) -> bool, mut visit: impl FnMut(&[Slot])) {
    loop {
        let mut queue = queue.lock();
        let due = queue.iter().take(DRAINED_MAX).take_while(|note| is_due(note)).count();
        let slots: smallvec::SmallVec<[Slot; DRAINED_MAX]> = queue.drain(..due).map(|note| note.slot).collect();
        drop(queue);
        if !slots.is_empty() {
            visit(&slots);
        }
        if due < DRAINED_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeIndex = NodeIndex(0);

    fn version(start: u64, hlc: u64) -> Version {
        Version::new(Hlc(hlc), NODE, StartNumber::new(start))
    }

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    fn passed(closing: &Closing, start: u64, lowest_open: u64) -> Vec<u16> {
        let mut slots = Vec::new();
        closing.passed(NODE, (StartNumber::new(start), Hlc(lowest_open)), VISITED_MIN, |passed| {
            slots.extend(passed.iter().map(|slot| slot.number()));
        });
        slots
    }

    #[test]
    fn a_mark_visits_exactly_what_it_has_passed() {
        let closing = Closing::new(1);
        (0..1000_u16).for_each(|hlc| closing.push(version(1, u64::from(hlc)), slot(hlc), UnixMs(5)));
        assert_eq!(passed(&closing, 1, 40), (0..40).collect::<Vec<_>>());
        assert_eq!(passed(&closing, 1, 40), [0; 0]);
        assert_eq!(passed(&closing, 1, 1000).len(), 960);
    }

    #[test]
    fn what_is_not_worth_a_visit_waits_for_a_later_mark() {
        let closing = Closing::new(1);
        (0..40_u16).for_each(|hlc| closing.push(version(1, u64::from(hlc)), slot(hlc), UnixMs(5)));
        let few = u64::try_from(VISITED_MIN).unwrap() - 1;
        assert_eq!(passed(&closing, 1, few), [0; 0]);
        assert_eq!(passed(&closing, 1, few + 1).len(), VISITED_MIN);
        assert_eq!(passed(&closing, 1, 40), [0; 0]);

        let mut rest = 0;
        closing.passed(NODE, (StartNumber::new(1), Hlc(40)), 1, |passed| rest += passed.len());
        assert_eq!(rest, 40 - VISITED_MIN, "unless memory is short");
    }

    #[test]
    fn a_newer_run_passes_all_of_the_older_ones() {
        let closing = Closing::new(1);
        (0..50_u16).for_each(|hlc| closing.push(version(1, 900 + u64::from(hlc)), slot(hlc), UnixMs(5)));
        closing.push(version(2, 10), slot(50), UnixMs(5));
        assert_eq!(passed(&closing, 2, 5), (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn the_memory_of_a_busy_moment_is_kept_until_the_sweep() {
        let closing = Closing::new(1);
        let capacity = || closing.queues[0].lock().capacity();
        (0..1000_u16).for_each(|hlc| closing.push(version(1, u64::from(hlc)), slot(hlc), UnixMs(5)));
        assert_eq!(passed(&closing, 1, 1000).len(), 1000);
        assert!(capacity() >= 1000);
        closing.forget_until(UnixMs(0));
        assert_eq!(capacity(), 0);
    }

    #[test]
    fn what_nobody_marks_is_forgotten_in_time() {
        let closing = Closing::new(1);
        closing.push(version(1, 1), slot(99), UnixMs(5));
        (0..40_u16).for_each(|hlc| closing.push(version(1, 2 + u64::from(hlc)), slot(hlc), UnixMs(6)));
        closing.forget_until(UnixMs(5));
        assert_eq!(passed(&closing, 1, 99), (0..40).collect::<Vec<_>>());
    }
}
