//! The table against a list, and how it waits for memory.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

/// Few different hashes, so that groups overflow and tags collide.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that the table asks for")]
fn hash(item: &u32) -> u64 {
    u64::from(item % 5) << 62 | u64::from(item % 3) << 33 | u64::from(item % 11)
}

impl Item for u32 {
    fn prefetch(&self) {}
}

/// An item that knows whether it was asked for since it was last looked at.
struct Watched(u32, Cell<bool>);

impl Watched {
    fn look(&self) -> u64 {
        assert!(self.1.take(), "{} is looked at before its memory was asked for", self.0);
        u64::from(self.0).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

impl Item for Watched {
    fn prefetch(&self) {
        self.1.set(true);
    }
}

#[test]
fn whatever_looks_at_all_items_asks_for_each_beforehand() {
    let mut table = Table::default();
    for number in 0..1000 {
        let item = Watched(number, Cell::new(true));
        table.insert(item.look(), item, Watched::look);
    }
    assert_eq!(table.iter().filter(|item| item.look() > 0).count(), 999);
    table.retain(|item| u64::from(item.0).wrapping_mul(0x9E37_79B9_7F4A_7C15), |item| item.look() > 0 && item.0 < 50);
    assert_eq!(table.len(), 49);
    table.shrink(Watched::look);
    assert_eq!(table.iter().filter(|item| item.look() > 0).count(), 49);
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
    let looked: Vec<usize> =
        (0..100).map(|part| table.around(part * ((1 << 32) / 100), (part + 1) * ((1 << 32) / 100)).count()).collect();
    assert!(looked.iter().all(|&looked| looked < 2_000), "{looked:?}");
}

/// How many different items a random table may hold, and in how many steps; after each, all of them are looked for.
const ITEMS: u32 = if cfg!(miri) { 40 } else { 120 };
const STEPS: usize = if cfg!(miri) { 60 } else { 400 };

proptest! {
    #[test]
    fn it_holds_what_a_list_holds(steps in prop::collection::vec((0..6_u8, 0..ITEMS), 1..STEPS)) {
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
            for item in 0..ITEMS {
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
