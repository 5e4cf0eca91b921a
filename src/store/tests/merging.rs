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
        let options = StoreOptions { nodes: 3, replicated: true, open_ttl_ms: OPEN_TTL_MS, open_bytes_max: usize::MAX };
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
    // Before each copy comes one open write of some odd version; all of them are reverted at the end.
    let odd = |open: usize| of_node(1 + 2 * open as u64, 1);
    let mut worlds = Worlds::new();
    let all = sequences(COPIES.len(), 4).flat_map(|copies| sequences(5, 4).map(move |opens| (copies.clone(), opens)));
    for (copies, opens) in all {
        worlds.next();
        for (&copy, &open) in copies.iter().zip(&opens) {
            worlds.bench.set(&worlds.key, "never", odd(open));
            worlds.merge(copy);
        }
        let world = format!("{copies:?} {opens:?}");
        for open in 0..5 {
            assert_eq!(worlds.bench.revert(&worlds.key, odd(open)), Reverted::Confirmed, "{world}");
        }
        worlds.assert_shows_the_largest_of(&copies, &world);
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
