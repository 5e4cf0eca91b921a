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
//!
//! Whoever looks at all items, as growing does, needs the memory that each points to, so items are asked for some groups ahead:
//! waiting for one after the other took a fifth of a node's time while ten million keys were loaded.

use std::mem;

/// What a table holds: pointers to what tells an item's hash.
pub(super) trait Item {
    /// Asks for the memory that this needs.
    fn prefetch(&self);
}

/// Items of so many groups are asked for ahead: up to 14 of them, about as many lines as a processor waits for at a time.
const GROUPS_AHEAD: usize = 2;
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

impl<T: Item> Table<T> {
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
            ask_ahead(&self.groups, group);
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
        self.groups.iter().enumerate().flat_map(|(number, group)| {
            ask_ahead(&self.groups, number);
            group.items.iter().flatten()
        })
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
        let mut old = mem::replace(self, Self { groups: fresh, len: 0 }).groups;
        for group in 0..old.len() {
            ask_ahead(&old, group);
            for item in old[group].items.iter_mut().filter_map(Option::take) {
                self.place(hash_of(&item), item);
            }
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

/// Asks for the items that are looked at some groups after this one, and at the first for those before them, too.
#[inline]
fn ask_ahead<T: Item>(groups: &[Group<T>], group: usize) {
    let from = if group == 0 { 0 } else { group + GROUPS_AHEAD };
    let wanted = groups.iter().take(group + GROUPS_AHEAD + 1).skip(from);
    wanted.flat_map(|group| group.items.iter().flatten()).for_each(Item::prefetch);
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
#[path = "table_tests.rs"]
mod tests;
