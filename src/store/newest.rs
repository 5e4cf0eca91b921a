//! Up to when each slot has records, so that a flush need not look at them.
//!
//! The mark of a flush is newer than nearly all that there is, but to see that of millions of records takes 40 ns for each, in
//! which nobody else is served. A slot's own cache line is full, so this stands beside the slots.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ring::{SLOT_COUNT, Slot};
use crate::version::Version;

/// One [`Newest`] per slot.
pub(super) struct NewestTimes(Box<[Newest; SLOT_COUNT as usize]>);

impl NewestTimes {
    pub(super) fn new() -> Self {
        let times: Box<[Newest]> = Slot::all().map(|_| Newest::default()).collect();
        Self(times.try_into().unwrap_or_else(|_| unreachable!("each slot has one")))
    }

    #[inline]
    pub(super) fn of(&self, slot: Slot) -> &Newest {
        &self.0[slot.as_usize()]
    }
}

/// A time that no record shown by a slot exceeds. It is noted and asked under the slot's lock, so relaxed access suffices.
#[derive(Default)]
pub(super) struct Newest(AtomicU64);

impl Newest {
    /// Notes that the slot shows a record of `version`, or a tombstone.
    #[inline]
    pub(super) fn note(&self, version: Version) {
        if version.hlc().0 > self.0.load(Ordering::Relaxed) {
            self.0.store(version.hlc().0, Ordering::Relaxed);
        }
    }

    /// The slot shows nothing any more.
    pub(super) fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether whatever the slot shows is older than `mark`. If not, it may be so all the same.
    pub(super) fn is_before(&self, mark: Version) -> bool {
        self.0.load(Ordering::Relaxed) < mark.hlc().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::NodeIndex;
    use crate::version::{Hlc, StartNumber};

    fn version(hlc: u64) -> Version {
        Version::new(Hlc(hlc), NodeIndex(0), StartNumber::FIRST)
    }

    #[test]
    fn only_what_is_older_for_certain_is_called_so() {
        let times = NewestTimes::new();
        let newest = times.of(Slot::FIRST);
        assert!(newest.is_before(version(1)));
        [5, 9, 7].map(version).into_iter().for_each(|version| newest.note(version));
        assert!(!newest.is_before(version(8)));
        assert!(!newest.is_before(version(9)), "of the same time it may be newer by its node");
        assert!(newest.is_before(version(10)));
        assert!(times.of(Slot::new(1).unwrap()).is_before(version(1)), "each slot has its own");
        newest.forget();
        assert!(newest.is_before(version(1)));
    }
}
