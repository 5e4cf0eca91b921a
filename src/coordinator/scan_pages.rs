//! What a scan makes of the replicas' answers: which keys there are, and how far they were told.
//!
//! A replica alone may have missed a write, a delete or a FLUSHALL; of any N-W+1 that have caught up one has not. So each
//! slot's keys are told by so many, and the newest record of a key decides whether it is there. Replicas stop at
//! different places; only what all of them were asked about as far is known.

use std::cmp::Reverse;

use bytes::Bytes;

use super::Quorum;
use crate::peer::ScannedKey;
use crate::ring::{KeyPlace, NodeIndex, SLOT_COUNT, Slot};
use crate::version::Version;

/// All keys between two places.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScannedKeys {
    /// Each once, by their places.
    pub keys: Vec<Bytes>,
    /// The place before which they were all told; `None` if nothing is left.
    pub next: Option<KeyPlace>,
}

/// The slots that are walked through: the first to begin with, from a place on, and the number before which to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanRange {
    /// Where to begin.
    pub from: KeyPlace,
    /// The number of the slot before which to stop.
    pub until: u16,
}

impl ScanRange {
    /// Every key.
    pub const ALL: Self = Self { from: KeyPlace::FIRST, until: SLOT_COUNT };

    /// Every key of one slot.
    #[must_use]
    pub fn slot(slot: Slot) -> Self {
        Self { from: KeyPlace::new(slot, 0), until: slot.number() + 1 }
    }

    /// What is left of it from `place` on.
    #[must_use]
    pub fn from(self, place: KeyPlace) -> Self {
        Self { from: self.from.max(place), ..self }
    }

    /// Whether no slot is left.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.from.slot().number() >= self.until
    }
}

/// What one node has told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ScanPart {
    /// The newest FLUSHALL that it knows of.
    pub(super) flush_mark: Version,
    /// All its keys before this place were told; `None` if nothing is left.
    pub(super) stop: Option<KeyPlace>,
    /// Some of its keys, perhaps those behind the place, too; one may stand here twice.
    pub(super) keys: Vec<ScannedKey>,
}

/// The keys that are there by what the nodes have told, as far as all of them have come; at most before `limit`.
pub(super) fn merge(parts: Vec<ScanPart>, limit: Option<KeyPlace>) -> ScannedKeys {
    let next = parts.iter().filter_map(|part| part.stop).chain(limit).min();
    let flush_mark = parts.iter().map(|part| part.flush_mark).max().unwrap_or_default();
    let told = parts.into_iter().flat_map(|part| part.keys);
    let mut told: Vec<_> = told.map(|told| (KeyPlace::of_key(&told.key), told)).collect();
    told.retain(|(place, _)| next.is_none_or(|next| *place < next));
    told.sort_unstable_by(|(place, one), (other_place, other)| {
        let by_key = (place, &one.key).cmp(&(other_place, &other.key));
        by_key.then_with(|| (Reverse(one.version), !one.is_gone).cmp(&(Reverse(other.version), !other.is_gone)))
    });
    told.dedup_by(|(_, other), (_, newest)| other.key == newest.key);
    let is_there = |told: &ScannedKey| !told.is_gone && told.version > flush_mark;
    let keys = told.into_iter().filter(|(_, told)| is_there(told)).map(|(_, told)| told.key).collect();
    ScannedKeys { keys, next }
}

/// How many keys each of `nodes` nodes is asked for, so that they tell about `count` different ones together: each key
/// is told by `tellers` of them. A quarter more than on average, since no two have the same.
pub(super) fn share(count: usize, tellers: u16, nodes: usize) -> usize {
    let average = count.saturating_mul(tellers.into()).div_ceil(nodes.max(1));
    average.saturating_add(average / 4 + 2)
}

/// Whether a call that has found so many of `count` keys need not go on: a count is a hint.
pub(super) fn is_enough(found: usize, count: usize) -> bool {
    found >= count - count / 4
}

/// The first slot of `slots` of which fewer than N-W+1 replicas are among `nodes`, and how many.
pub(super) fn uncovered<'a>(
    slots: impl Iterator<Item = Slot>,
    replicas: impl Fn(Slot) -> &'a [NodeIndex],
    nodes: &[NodeIndex],
    quorum: Quorum,
) -> Option<(Slot, u16)> {
    let needed = quorum.stale_limit();
    let covering = |slot| replicas(slot).iter().map(|node| u16::from(nodes.contains(node))).sum::<u16>();
    slots.map(|slot| (slot, covering(slot))).find(|&(_, covering)| covering < needed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Hlc, StartNumber};

    fn version(hlc: u64) -> Version {
        Version::new(Hlc(hlc), NodeIndex(0), StartNumber::FIRST)
    }

    /// A key at a version; gone if that is negative.
    fn told((key, hlc): (&str, i64)) -> ScannedKey {
        ScannedKey { key: Bytes::from(key.to_owned()), version: version(hlc.unsigned_abs()), is_gone: hlc < 0 }
    }

    fn part(keys: &[(&str, i64)], stop: Option<KeyPlace>) -> ScanPart {
        ScanPart { flush_mark: Version::default(), stop, keys: keys.iter().copied().map(told).collect() }
    }

    fn names(scanned: &ScannedKeys) -> Vec<&str> {
        let mut names: Vec<_> = scanned.keys.iter().map(|key| std::str::from_utf8(key).unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_newest_record_of_a_key_decides_whether_it_is_there() {
        let one = part(&[("both", 1), ("deleted", 1), ("recreated", -2), ("missed", 3), ("expired", 4)], None);
        let other = part(&[("both", 1), ("deleted", -2), ("recreated", 3), ("expired", -4)], None);
        for parts in [vec![one.clone(), other.clone()], vec![other, one]] {
            let merged = merge(parts, None);
            assert_eq!((names(&merged), merged.next), (vec!["both", "missed", "recreated"], None));
            assert!(merged.keys.is_sorted_by_key(|key| KeyPlace::of_key(key)));
        }
    }

    #[test]
    fn what_one_node_knows_to_be_flushed_is_gone_though_another_has_it() {
        let (missed, mut knows) = (part(&[("old", 4), ("new", 6)], None), part(&[], None));
        knows.flush_mark = version(5);
        assert_eq!(names(&merge(vec![missed, knows], None)), ["new"]);
    }

    #[test]
    fn nothing_is_told_from_where_the_first_node_stopped_or_the_limit_stands() {
        let mut keys = ["a", "b", "c", "d", "e", "f"].map(|key| (KeyPlace::of_key(key.as_bytes()), key));
        keys.sort_unstable();
        let all: Vec<_> = keys.iter().map(|&(_, key)| (key, 1)).collect();
        let (third, fifth) = (keys[2].0, keys[4].0);
        for (stops, limit, expected) in [
            ([None, None], None, 6),
            ([Some(fifth), None], None, 4),
            ([Some(fifth), Some(third)], None, 2),
            ([Some(fifth), None], Some(third), 2),
        ] {
            let merged = merge(stops.map(|stop| part(&all, stop)).into(), limit);
            assert_eq!(merged.keys.len(), expected);
            assert_eq!(merged.next, stops.into_iter().flatten().chain(limit).min());
        }
    }

    #[test]
    fn shares_come_to_what_was_asked_for_and_a_quarter_more() {
        let table =
            [((10, 1, 1), 14), ((10, 2, 3), 10), ((10, 1, 3), 7), ((1000, 2, 3), 835), ((1, 3, 3), 3), ((10, 2, 5), 7)];
        for ((count, tellers, nodes), expected) in table {
            assert_eq!(share(count, tellers, nodes), expected, "{count} {tellers} {nodes}");
        }
        assert!(share(usize::MAX, 2, 3) > 0);
        assert!(is_enough(8, 10) && !is_enough(7, 10) && is_enough(1, 1) && !is_enough(0, 1));
    }

    #[test]
    fn a_slot_is_covered_by_as_many_replicas_as_meet_every_write_quorum() {
        let lists = [[0, 1, 2], [1, 2, 3], [2, 3, 4]].map(|list| list.map(NodeIndex));
        let quorum = Quorum { replicas: 3, write: 2, read: 1 };
        let uncovered = |nodes: &[u16]| {
            let nodes: Vec<_> = nodes.iter().copied().map(NodeIndex).collect();
            let slots = Slot::all().take(3);
            uncovered(slots, |slot| lists[slot.as_usize()].as_slice(), &nodes, quorum)
                .map(|(slot, count)| (slot.number(), count))
        };
        assert_eq!(uncovered(&[0, 1, 2, 3, 4]), None);
        assert_eq!(uncovered(&[1, 2, 3]), None);
        assert_eq!(uncovered(&[0, 1, 2]), Some((2, 1)));
        assert_eq!(uncovered(&[3, 4]), Some((0, 0)));
    }
}
