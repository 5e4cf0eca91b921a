//! Watermarks: up to where a coordinator has made up its mind.
//!
//! With each batch a coordinator names its lowest version that it may still take back. Everything of that run below
//! it is decided, and so is everything of the node's earlier runs: a process that is gone takes nothing back.
//!
//! Every write asks, so asking takes no lock. A mark is two numbers which must not be mixed up between two runs; the
//! order of the stores sees to it that a reader who catches an update half-way finds *not passed*, which is always
//! safe: the record stays open a little longer.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::ring::NodeIndex;
use crate::version::{Hlc, StartNumber, Version};

/// One mark per node of the cluster.
pub(super) struct Watermarks {
    marks: Box<[Mark]>,
}

/// Invariant: `start` never falls, `lowest_open` never falls within one `start`, and `lowest_open` is 0 from before a
/// new `start` appears until the first value of that run is there. Hence a value read between two equal readings of
/// `start` belongs to that run, or is 0.
#[derive(Default)]
struct Mark {
    start: AtomicU64,
    lowest_open: AtomicU64,
    /// Writers take turns.
    turn: Mutex<()>,
}

impl Watermarks {
    /// Marks of `nodes` nodes that have passed nothing.
    pub(super) fn new(nodes: usize) -> Self {
        Self { marks: (0..nodes).map(|_| Mark::default()).collect() }
    }

    /// Takes note of a mark; an older one, or one of an unknown node, changes nothing.
    pub(super) fn advance(&self, node: NodeIndex, start: StartNumber, lowest_open: Hlc) {
        if let Some(mark) = self.marks.get(node.as_usize()) {
            mark.advance(start.get(), lowest_open.0);
        }
    }

    /// Whether the coordinator of `version` has decided it, as far as its marks tell.
    pub(super) fn passed(&self, version: Version) -> bool {
        self.marks
            .get(version.node().as_usize())
            .is_some_and(|mark| mark.passed(version.start().get(), version.hlc().0))
    }
}

impl Mark {
    fn advance(&self, start: u64, lowest_open: u64) {
        let _turn = self.turn.lock();
        let known = self.start.load(Ordering::Relaxed);
        if start < known {
            return;
        }
        if start > known {
            self.lowest_open.store(0, Ordering::Release);
            self.start.store(start, Ordering::Release);
        }
        if lowest_open > self.lowest_open.load(Ordering::Relaxed) {
            self.lowest_open.store(lowest_open, Ordering::Release);
        }
    }

    fn passed(&self, start: u64, hlc: u64) -> bool {
        let before = self.start.load(Ordering::Acquire);
        if start != before {
            return start < before;
        }
        let lowest_open = self.lowest_open.load(Ordering::Acquire);
        hlc < lowest_open && self.start.load(Ordering::Relaxed) == before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(hlc: u64, node: u16, start: u64) -> Version {
        Version::new(Hlc(hlc), NodeIndex(node), StartNumber::new(start))
    }

    fn advance(marks: &Watermarks, node: u16, start: u64, lowest_open: u64) {
        marks.advance(NodeIndex(node), StartNumber::new(start), Hlc(lowest_open));
    }

    #[test]
    fn a_mark_passes_what_lies_below_it_of_its_node_and_run() {
        let marks = Watermarks::new(2);
        advance(&marks, 1, 5, 10);
        assert!(marks.passed(version(9, 1, 5)));
        assert!(!marks.passed(version(10, 1, 5)));
        assert!(!marks.passed(version(9, 0, 5)));
        assert!(!marks.passed(version(9, 1, 6)));
    }

    #[test]
    fn a_newer_run_closes_the_older_ones_and_begins_at_nothing() {
        let marks = Watermarks::new(1);
        advance(&marks, 0, 5, 1000);
        advance(&marks, 0, 6, 0);
        assert!(marks.passed(version(u64::MAX, 0, 5)));
        assert!(!marks.passed(version(1, 0, 6)));
    }

    #[test]
    fn older_marks_are_ignored() {
        let marks = Watermarks::new(1);
        advance(&marks, 0, 5, 10);
        advance(&marks, 0, 4, 1000);
        advance(&marks, 0, 5, 3);
        assert!(marks.passed(version(9, 0, 5)));
        assert!(!marks.passed(version(11, 0, 5)));
    }

    #[test]
    fn a_node_outside_the_cluster_passes_nothing() {
        let marks = Watermarks::new(1);
        advance(&marks, 7, 5, 10);
        assert!(!marks.passed(version(1, 7, 5)));
    }
}
