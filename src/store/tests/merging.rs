//! Merging is commutative, associative and idempotent: over all small worlds, however copies arrive, whether once or
//! twice, whatever is open and taken back in between, the replicas end up showing the same.

use super::*;

/// A copy to be merged: its version, and whether it is a value.
const COPIES: [(u64, bool); 4] = [(2, true), (4, false), (6, true), (8, true)];

/// All sequences of `length` over the numbers below `choices`.
fn sequences(choices: usize, length: u32) -> impl Iterator<Item = Vec<usize>> + Clone {
    (0..choices.pow(length)).map(move |code| (0..length).map(|place| code / choices.pow(place) % choices).collect())
}

/// A store in which each world has a key of its own, and nearly a slot.
struct Worlds {
    bench: Bench,
    key: String,
    count: u16,
}

impl Worlds {
    fn new() -> Self {
        let options = StoreOptions { open_bytes_max: usize::MAX, ..OPTIONS };
        Self { bench: Bench::with(options), key: String::new(), count: 0 }
    }

    fn next(&mut self) {
        self.count = (self.count + 1) % crate::ring::SLOT_COUNT;
        self.bench.slot = Slot::new(self.count).unwrap();
        self.key = format!("{}.{}", self.count, self.bench.list(self.bench.slot).len());
    }

    fn merge(&self, index: usize) {
        let (hlc, has_value) = COPIES[index];
        let value = has_value.then(|| hlc.to_string());
        let value = value.as_ref().map(String::as_bytes);
        self.bench.store.copy(self.bench.slot, self.key.as_bytes(), value, None, v(hlc), NOW);
    }

    fn assert_shows_the_largest_of(&self, sequence: &[usize], world: &str) {
        let (hlc, has_value) = COPIES[*sequence.iter().max().unwrap()];
        assert_eq!(self.bench.shown(&self.key), Some(v(hlc)), "{world}");
        assert_eq!(self.bench.get(&self.key), has_value.then(|| hlc.to_string()), "{world}");
    }
}

/// The largest version of these copies.
fn largest_of(sequence: &[usize]) -> Version {
    v(sequence.iter().map(|&index| COPIES[index].0).max().unwrap())
}

#[test]
fn any_order_and_any_repetition_shows_the_largest() {
    let mut worlds = Worlds::new();
    for sequence in sequences(COPIES.len(), 5) {
        worlds.next();
        for &index in &sequence {
            worlds.merge(index);
        }
        worlds.assert_shows_the_largest_of(&sequence, &format!("{sequence:?}"));
    }
}

#[test]
fn open_writes_that_are_taken_back_change_no_merge() {
    // Before each copy comes one open write of some odd version; all of them are reverted at the end, and those for which another
    // one was refused stay.
    let odd = |open: usize| of_node(1 + 2 * open as u64, 1);
    let mut worlds = Worlds::new();
    let all = sequences(COPIES.len(), 4).flat_map(|copies| sequences(5, 4).map(move |opens| (copies.clone(), opens)));
    for (copies, opens) in all {
        worlds.next();
        let mut binding = Vec::new();
        for (&copy, &open) in copies.iter().zip(&opens) {
            if let Written::Stale(newer) = worlds.bench.set(&worlds.key, "open", odd(open)) {
                binding.push(newer);
            }
            worlds.merge(copy);
        }
        let world = format!("{copies:?} {opens:?}");
        for version in (0..5).map(odd) {
            let is_binding = binding.contains(&version);
            let expected = if is_binding { Reverted::Kept } else { Reverted::Confirmed };
            assert_eq!(worlds.bench.revert(&worlds.key, version), expected, "{world}");
        }
        match binding.iter().max() {
            Some(&stays) if stays > largest_of(&copies) => {
                assert_eq!(worlds.bench.shown(&worlds.key), Some(stays), "{world}");
            }
            _ => worlds.assert_shows_the_largest_of(&copies, &world),
        }
    }
}

#[test]
fn a_copy_adds_something_unless_what_is_here_stays() {
    let bench = Bench::new();
    let lacks = |version| bench.store.lacks(bench.slot, b"k", version, NOW);
    assert!(lacks(v(10)), "nothing is here");
    bench.set("k", "v", v(10));
    assert!(lacks(v(10)) && lacks(v(5)) && lacks(v(11)), "it may be taken back");
    bench.copy("k", "below", v(5));
    bench.get("k");
    assert!(!lacks(v(10)) && !lacks(v(5)) && lacks(v(11)), "somebody has read it");

    bench.set("k", "v", v(20));
    assert!(lacks(v(20)), "it is open");
    bench.copy("k", "v", v(20));
    assert!(!lacks(v(20)), "another replica keeps it");
    drop(bench.store.flush(v(30)));
    assert!(!lacks(v(30)) && lacks(v(31)), "a flush outranks all before it");
}
