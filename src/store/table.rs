//! The table of a slot: which record a key shows.
//!
//! A request finds its key through three places of memory: the slot, the table's entry, the record. Among millions of
//! keys each is a cache miss of its own, and together they are half of what a request costs. So the table makes one
//! miss of the entry: seven thin pointers and a tag byte for each of them fill one cache line, and which line it is
//! follows from the hash alone, before anything of the table was read. [`warm`](super::warm) asks for the lines of a
//! whole batch that way.
//!
//! It is an open-addressed table of such groups, as in Facebook's F14: a group counts the items that found no place in
//! it and went on to the next, so a search ends at the first group that nothing has passed, and removing leaves no
//! tombstones. Items are found by hash and predicate; the table never hashes by itself.

use std::mem;

/// Items of a group: with their tags and the count they fill 64 bytes.
const PLACES: usize = 7;
/// The byte behind the tags: how many items have passed this group by.
const PASSED: usize = PLACES;
/// A count that has reached this is not exact any more, and stays until the table is made anew.
const PASSED_MAX: u8 = u8::MAX;
/// One bit in each of the bytes that are tags: their highest, which only tags of items have.
const TAKEN: u64 = 0x0080_8080_8080_8080;
const LOWEST: u64 = 0x0101_0101_0101_0101;

/// A cache line of items.
#[repr(align(64))]
struct Group<T> {
    /// 0 at a free place.
    tags: [u8; PLACES + 1],
    items: [Option<T>; PLACES],
}

/// What a thin pointer takes on average: three places in four are taken.
pub(super) const ITEM_BYTES: usize = size_of::<Group<std::num::NonZero<usize>>>() * 4 / (PLACES * 3);

/// Items of a slot, each found by its hash.
pub(super) struct Table<T> {
    /// Never more than needed: a group has one place in eight free on average, or the only one is full.
    groups: Box<[Group<T>]>,
    len: u32,
}

/// Where an item is, until the table changes.
#[derive(Clone, Copy)]
pub(super) struct Place {
    group: usize,
    place: usize,
}

impl<T> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Where the item is that has this hash and `is_it`.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a call takes as long as the search in a group")]
    pub(super) fn position(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<Place> {
        let mut group = self.home(hash)?;
        for _ in 0..self.groups.len() {
            let Group { tags, items } = &self.groups[group];
            let mut matches = places_of(*tags, tag(hash));
            while let Some(place) = next_place(&mut matches) {
                if items[place].as_ref().is_some_and(&is_it) {
                    return Some(Place { group, place });
                }
            }
            if tags[PASSED] == 0 {
                return None;
            }
            group = self.after(group);
        }
        None
    }

    /// The item that has this hash and `is_it`.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a call takes as long as the search in a group")]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        let at = self.position(hash, is_it)?;
        self.groups[at.group].items[at.place].as_ref()
    }

    /// The item that has this hash and `is_it`, to change or replace by one of the same hash.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a call takes as long as the search in a group")]
    pub(super) fn find_mut(&mut self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<&mut T> {
        let at = self.position(hash, is_it)?;
        self.groups[at.group].items[at.place].as_mut()
    }

    /// Adds an item; `hash_of` tells the hash of those that have to move.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, item: T, hash_of: impl Fn(&T) -> u64) {
        if self.len() >= room(self.groups.len()) {
            self.resize(grown(self.groups.len()), hash_of);
        }
        self.place(hash, item);
    }

    /// Takes out the item that has this hash and `is_it`.
    pub(super) fn remove(&mut self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let at = self.position(hash, is_it)?;
        self.take(hash, at)
    }

    /// Drops the items that `keep` does not want; it may replace those that stay by others of the same hash.
    pub(super) fn retain(&mut self, hash_of: impl Fn(&T) -> u64, mut keep: impl FnMut(&mut T) -> bool) {
        self.extract(hash_of, |item| !keep(item), drop);
    }

    /// Hands those items to `taken` that are `unwanted`.
    pub(super) fn extract(
        &mut self,
        hash_of: impl Fn(&T) -> u64,
        mut unwanted: impl FnMut(&mut T) -> bool,
        mut taken: impl FnMut(T),
    ) {
        for group in 0..self.groups.len() {
            for place in 0..PLACES {
                let Some(item) = &mut self.groups[group].items[place] else { continue };
                if unwanted(item) {
                    let hash = hash_of(item);
                    self.take(hash, Place { group, place }).into_iter().for_each(&mut taken);
                }
            }
        }
    }

    /// Gives memory back if far more is held than the items need.
    pub(super) fn shrink(&mut self, hash_of: impl Fn(&T) -> u64) {
        if self.len == 0 {
            self.groups = Box::default();
        } else if self.len() < room(self.groups.len()) / 8 {
            self.resize(groups_for(2 * self.len()), hash_of);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.groups.iter().flat_map(|group| group.items.iter().flatten())
    }

    /// All items whose hashes' upper halves lie from `from` on and below `end`, and a few others that stand among them.
    ///
    /// Items stand in the order of these halves but for those that had to go on to another group, so this takes as long
    /// as there are such items, and not as the table is large.
    pub(super) fn around(&self, from: u64, end: u64) -> impl Iterator<Item = &T> {
        let home = |half: u64| self.home(half.min(u32::MAX.into()) << 32).unwrap_or_default();
        let (first, last) = (home(from), home(end.saturating_sub(1)));
        let behind = (last..self.groups.len()).chain(0..first);
        let over = behind.take_while(|&group| self.groups[group].tags[PASSED] > 0).count();
        let all = (first..self.groups.len()).chain(0..first);
        all.take(last + 1 - first + over).flat_map(|group| self.groups[group].items.iter().flatten())
    }

    /// The group where a search for this hash begins, without a look at it.
    #[inline]
    pub(super) fn group_line(&self, hash: u64) -> Option<*const u8> {
        self.home(hash).map(|group| std::ptr::from_ref(&self.groups[group]).cast())
    }

    /// Hands the items of that group to `candidate` which may have this hash, without a look at them.
    #[inline]
    pub(super) fn for_candidates(&self, hash: u64, candidate: impl Fn(&T)) {
        let Some(group) = self.home(hash) else { return };
        let Group { tags, items } = &self.groups[group];
        let mut matches = places_of(*tags, tag(hash));
        while let Some(place) = next_place(&mut matches) {
            items[place].iter().for_each(&candidate);
        }
    }

    /// The group that an item of this hash goes to first.
    #[inline]
    fn home(&self, hash: u64) -> Option<usize> {
        // The upper half of the hash, scaled to the number of groups: no division, and any number will do.
        let groups = self.groups.len() as u64;
        (groups > 0).then(|| usize::try_from(((hash >> 32) * groups) >> 32).unwrap_or_default())
    }

    fn after(&self, group: usize) -> usize {
        if group + 1 == self.groups.len() { 0 } else { group + 1 }
    }

    /// Adds an item, for which there is room.
    fn place(&mut self, hash: u64, item: T) {
        let Some(mut group) = self.home(hash) else { return };
        loop {
            let Group { tags, items } = &mut self.groups[group];
            if let Some(place) = next_place(&mut free_places(*tags)) {
                tags[place] = tag(hash);
                items[place] = Some(item);
                self.len += 1;
                return;
            }
            tags[PASSED] = tags[PASSED].saturating_add(1);
            group = self.after(group);
        }
    }

    fn take(&mut self, hash: u64, at: Place) -> Option<T> {
        let mut group = self.home(hash)?;
        while group != at.group {
            let passed = &mut self.groups[group].tags[PASSED];
            *passed -= u8::from(*passed < PASSED_MAX);
            group = self.after(group);
        }
        let Group { tags, items } = &mut self.groups[at.group];
        tags[at.place] = 0;
        self.len -= 1;
        items[at.place].take()
    }

    fn resize(&mut self, groups: usize, hash_of: impl Fn(&T) -> u64) {
        let fresh = (0..groups).map(|_| Group::default()).collect();
        let old = mem::replace(self, Self { groups: fresh, len: 0 });
        for item in old.groups.into_iter().flat_map(|group| group.items.into_iter().flatten()) {
            self.place(hash_of(&item), item);
        }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { groups: Box::default(), len: 0 }
    }
}

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self { tags: [0; PLACES + 1], items: [const { None }; PLACES] }
    }
}

/// How many items so many groups may hold: in one alone all places are used, otherwise one in eight stays free, so that
/// few items have to go to another group than their own.
fn room(groups: usize) -> usize {
    let places = groups * PLACES;
    places - places / 8 * usize::from(groups > 1)
}

/// By half, so that a table has a third of its places free at most, and an item moves twice in its life.
fn grown(groups: usize) -> usize {
    groups + groups.div_ceil(2).max(1)
}

fn groups_for(items: usize) -> usize {
    let mut groups = 1;
    while room(groups) < items {
        groups = grown(groups);
    }
    groups
}

/// What tells most items of a group apart, from the half of the hash that does not choose the group. Never 0.
fn tag(hash: u64) -> u8 {
    hash.to_le_bytes()[0] | 0x80
}

/// The tag bytes that are `tag`, each as its highest bit. Now and then one too many, above a true one.
fn places_of(tags: [u8; PLACES + 1], tag: u8) -> u64 {
    let differing = u64::from_le_bytes(tags) ^ (LOWEST * u64::from(tag));
    differing.wrapping_sub(LOWEST) & !differing & TAKEN
}

/// The places without an item, in the same form.
fn free_places(tags: [u8; PLACES + 1]) -> u64 {
    !u64::from_le_bytes(tags) & TAKEN
}

fn next_place(places: &mut u64) -> Option<usize> {
    if *places == 0 {
        return None;
    }
    let place = places.trailing_zeros() as usize / 8;
    *places &= *places - 1;
    Some(place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few different hashes, so that groups overflow and tags collide.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that the table asks for")]
    fn hash(item: &u32) -> u64 {
        u64::from(item % 5) << 62 | u64::from(item % 3) << 33 | u64::from(item % 11)
    }

    fn position_count(table: &Table<u32>, item: u32) -> usize {
        table.iter().filter(|&&found| found == item).count()
    }

    #[test]
    fn a_group_is_one_cache_line() {
        assert_eq!(size_of::<Group<super::super::record::Record>>(), 64);
    }

    #[test]
    fn an_empty_table_holds_no_memory_and_finds_nothing() {
        let mut table = Table::<u32>::default();
        assert!(table.find(7, |_| true).is_none() && table.remove(7, |_| true).is_none());
        assert!(table.group_line(7).is_none());
        table.insert(hash(&1), 1, hash);
        table.remove(hash(&1), |_| true);
        table.shrink(hash);
        assert_eq!(table.groups.len(), 0);
    }

    #[test]
    fn one_group_takes_seven_items_and_larger_tables_stay_two_thirds_full() {
        let mut table = Table::default();
        let spread = |item: &u32| u64::from(*item).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for item in 0..if cfg!(miri) { 1_000 } else { 100_000_u32 } {
            table.insert(spread(&item), item, spread);
            assert_eq!(table.groups.len() == 1, item < 7);
            assert!(table.len() * 100 >= table.groups.len() * PLACES * 55 || table.len() < 16, "{item}");
        }
        let passed = table.groups.iter().filter(|group| group.tags[PASSED] > 0).count();
        assert!(passed * 2 < table.groups.len(), "most groups are passed by nothing: {passed}");
    }

    #[test]
    fn hashes_that_are_all_the_same_are_slow_and_right() {
        let mut table = Table::default();
        let count = if cfg!(miri) { 100 } else { 2000 };
        for item in 0..count {
            table.insert(0, item, |_| 0);
        }
        assert!((0..count).all(|item| table.find(0, |&found| found == item) == Some(&item)));
        for item in 0..count {
            assert_eq!(table.remove(0, |&found| found == item), Some(item));
        }
        assert_eq!((table.len(), table.iter().count()), (0, 0));
    }

    #[test]
    #[cfg_attr(miri, ignore = "asks nothing of memory that the others do not, and takes minutes")]
    fn a_small_part_of_a_large_table_is_found_without_a_look_at_the_rest() {
        let mut table = Table::default();
        let spread = |item: &u32| u64::from(*item).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (0..100_000).for_each(|item| table.insert(spread(&item), item, spread));
        let looked: Vec<usize> = (0..100)
            .map(|part| table.around(part * ((1 << 32) / 100), (part + 1) * ((1 << 32) / 100)).count())
            .collect();
        assert!(looked.iter().all(|&looked| looked < 2_000), "{looked:?}");
    }

    proptest! {
        #[test]
        fn it_holds_what_a_list_holds(steps in prop::collection::vec((0..6_u8, 0..120_u32), 1..400)) {
            let (mut table, mut twin) = (Table::default(), Vec::<u32>::new());
            for (step, item) in steps {
                match step {
                    0..=2 => if !twin.contains(&item) {
                        table.insert(hash(&item), item, hash);
                        twin.push(item);
                    },
                    3 => {
                        let removed = table.remove(hash(&item), |&found| found == item);
                        prop_assert_eq!(removed.is_some(), twin.contains(&item));
                        twin.retain(|&other| other != item);
                    }
                    4 => {
                        table.retain(hash, |found| *found % 7 != item % 7);
                        twin.retain(|&other| other % 7 != item % 7);
                    }
                    _ => table.shrink(hash),
                }
                prop_assert_eq!(table.len(), twin.len());
                for item in 0..120 {
                    let expected = usize::from(twin.contains(&item));
                    prop_assert_eq!(table.find(hash(&item), |&found| found == item).is_some(), expected == 1);
                    prop_assert_eq!(position_count(&table, item), expected);
                }
            }
            for (from, end) in [(0, 1 << 32), (0, 1 << 30), (1 << 30, 3 << 30), (3 << 30, 1 << 32), (5, 6)] {
                let is_between = |item: &&u32| (from..end).contains(&(hash(item) >> 32));
                let (mut found, mut expected): (Vec<_>, Vec<_>) =
                    (table.around(from, end).filter(is_between).collect(), twin.iter().filter(is_between).collect());
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
            let passing: u32 = table.groups.iter().map(|group| u32::from(group.tags[PASSED])).sum();
            prop_assert!(table.len() > 0 || passing == 0, "nothing is passed when nothing is there");
        }
    }
}
