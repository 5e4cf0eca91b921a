//! Which slots this node has caught up on since it started without memory.
//!
//! A node that restarted may have acknowledged writes that it no longer holds. If it counted at once, a restart would
//! be a quorum that forgot. So each slot counts for nothing (not toward W or R, not as an answer, not for reverts)
//! until this node has merged what enough other replicas hold that no acknowledged write can be missing.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::peer::CatchUp;
use crate::ring::{SLOT_COUNT, Slot};
use crate::version::StartNumber;

const WORD_BITS: usize = u64::BITS as usize;
const WORDS: usize = SLOT_COUNT as usize / WORD_BITS;

/// What is known of one other replica of a slot, for the rule of catching up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// All that it holds of the slot is merged here.
    Merged,
    /// It was not caught up on the slot itself, and so held nothing that counts, for this time.
    Syncing(Span),
    /// Not heard yet.
    Unheard,
}

/// For how long one process was seen not to be caught up: from a question of one round to one of another, or the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) process: StartNumber,
    pub(crate) since: u32,
    pub(crate) until: u32,
}

/// Whether a slot is caught up: merged from `needed` other replicas (N-W+1: every write quorum meets them), or from
/// all that hold anything that counts.
///
/// The latter takes a moment at which all the rest were syncing. That each was at some time proves nothing: what one
/// held when it restarted, another may have caught up on before. `needed` may exceed the number of others (W = 1);
/// then all of them are it.
#[must_use]
pub(crate) fn is_caught_up(sources: &[Source], needed: u16) -> bool {
    let merged = sources.iter().filter(|&&source| source == Source::Merged).count();
    merged >= usize::from(needed) || !sources.contains(&Source::Unheard) && are_syncing_at_once(sources)
}

/// Whether the spans of all that were syncing have a moment in common. Within a round the order is not known.
fn are_syncing_at_once(sources: &[Source]) -> bool {
    let spans = || {
        sources.iter().filter_map(|source| match source {
            Source::Syncing(span) => Some(span),
            Source::Merged | Source::Unheard => None,
        })
    };
    let (last_begin, first_end) = (spans().map(|span| span.since).max(), spans().map(|span| span.until).min());
    spans().count() <= 1 || last_begin < first_end
}

/// The slots of this node that are still syncing; asked on every request, so all atomics.
#[derive(Debug)]
pub struct SyncingSlots {
    words: Box<[AtomicU64]>,
    count: AtomicUsize,
    /// How many there were at the start.
    count_at_start: usize,
}

impl SyncingSlots {
    /// Starts with `slots` syncing.
    pub(crate) fn new(slots: impl Iterator<Item = Slot>) -> Self {
        let mut words = vec![0_u64; WORDS];
        slots.for_each(|slot| words[slot.as_usize() / WORD_BITS] |= 1 << (slot.as_usize() % WORD_BITS));
        let count = words.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        Self {
            words: words.into_iter().map(AtomicU64::new).collect(),
            count: AtomicUsize::new(count),
            count_at_start: count,
        }
    }

    /// Whether `slot` counts for nothing here yet.
    pub fn contains(&self, slot: Slot) -> bool {
        self.count() > 0
            && self.words[slot.as_usize() / WORD_BITS].load(Ordering::Acquire) >> (slot.as_usize() % WORD_BITS) & 1 == 1
    }

    /// Slots still syncing.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// How many there were at the start.
    pub(super) fn count_at_start(&self) -> usize {
        self.count_at_start
    }

    /// How far this node has come. While it is blank no slot has ever counted.
    pub fn state(&self) -> CatchUp {
        match self.count() {
            0 => CatchUp::Complete,
            count if count == self.count_at_start => CatchUp::Blank,
            _ => CatchUp::Partial,
        }
    }

    /// The slots still syncing, in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        Slot::all().filter(|&slot| self.contains(slot))
    }

    /// From now on `slot` counts. Called by one task only.
    pub(crate) fn caught_up(&self, slot: Slot) {
        let bit = 1 << (slot.as_usize() % WORD_BITS);
        // The count goes first: when a slot counts, this node must not pass for blank any more.
        if self.words[slot.as_usize() / WORD_BITS].load(Ordering::Acquire) & bit != 0 {
            self.count.fetch_sub(1, Ordering::AcqRel);
            self.words[slot.as_usize() / WORD_BITS].fetch_and(!bit, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caught_up_as_in_the_table() {
        use Source::{Merged, Unheard};
        let syncing = |since, until| Source::Syncing(Span { process: StartNumber::FIRST, since, until });
        // (other replicas, N-W+1, caught up)
        let table: [(&[Source], u16, bool); 12] = [
            (&[], 1, true),
            (&[Merged, Unheard], 2, false),
            (&[Merged, Merged], 2, true),
            (&[Merged, syncing(4, 4)], 2, true),
            (&[syncing(0, 2), syncing(1, 2)], 2, true),
            (&[syncing(0, 1), syncing(1, 2)], 2, false),
            (&[syncing(1, 1), syncing(1, 1)], 2, false),
            (&[Merged, syncing(0, 1), syncing(3, 4), Merged], 3, false),
            (&[syncing(0, 9), Unheard], 2, false),
            (&[Merged, Unheard], 1, true),
            (&[Merged, Merged], 3, true),
            (&[Merged, Unheard, Unheard, Unheard], 2, false),
        ];
        for (sources, needed, expected) in table {
            assert_eq!(is_caught_up(sources, needed), expected, "{sources:?} of {needed}");
        }
    }

    #[test]
    fn a_slot_counts_from_the_moment_it_is_caught_up() {
        let slots = [0, 63, 64, 16383].map(|number| Slot::new(number).unwrap());
        let syncing = SyncingSlots::new(slots.into_iter());
        assert_eq!((syncing.count(), syncing.contains(slots[1])), (4, true));
        assert_eq!(syncing.state(), CatchUp::Blank);
        assert!(!syncing.contains(Slot::new(1).unwrap()));
        syncing.caught_up(slots[1]);
        syncing.caught_up(slots[1]);
        assert_eq!((syncing.count(), syncing.contains(slots[1])), (3, false));
        assert_eq!(syncing.iter().collect::<Vec<_>>(), [slots[0], slots[2], slots[3]]);
        assert_eq!(syncing.state(), CatchUp::Partial);
        for slot in slots {
            syncing.caught_up(slot);
        }
        assert_eq!(syncing.state(), CatchUp::Complete);
    }
}
