//! Where a key stands in the order in which the whole cluster is walked through.
//!
//! A walk may be taken up at another node, for the one that began it may have died, and nobody remembers how far it has
//! come. So the order must be the same on every node: by slot, and within a slot by a hash without a seed. (The hash of
//! a store's tables has one, for clients choose the keys and must not choose who collides. Here a collision costs
//! nothing but a larger page: keys of one place are never parted.)

use std::hash::Hasher;

use fnv::FnvHasher;

use super::token::avalanche;
use super::{SLOT_COUNT, Slot};

/// The bits of a cursor below the slot's.
const HASH_BITS: u32 = 49;
const _: () = assert!((SLOT_COUNT as u64) << HASH_BITS == 1 << 63, "a cursor fits into a positive i64");

/// A place in the order of all keys: a slot, then a hash within it.
///
/// ```
/// use ringkv::ring::{KeyPlace, Slot};
/// let place = KeyPlace::of_key(b"foo");
/// assert_eq!(place.slot(), Slot::of_key(b"foo"));
/// assert_eq!(KeyPlace::from_cursor(place.cursor()), Some(place));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyPlace(u64);

impl KeyPlace {
    /// Before all keys.
    pub const FIRST: Self = Self(0);
    /// How many hashes a slot has.
    pub const HASHES: u64 = 1 << HASH_BITS;

    /// Where `key` stands.
    #[must_use]
    pub fn of_key(key: &[u8]) -> Self {
        Self::new(Slot::of_key(key), Self::hash_of(key))
    }

    /// The place of this hash, which has to be below [`Self::HASHES`], in `slot`.
    #[must_use]
    pub fn new(slot: Slot, hash: u64) -> Self {
        debug_assert!(hash < Self::HASHES);
        Self(u64::from(slot.number()) << HASH_BITS | hash)
    }

    /// The place within its slot where a key stands.
    #[must_use]
    pub fn hash_of(key: &[u8]) -> u64 {
        let mut hasher = FnvHasher::default();
        hasher.write(key);
        avalanche(hasher.finish()) >> (u64::BITS - HASH_BITS)
    }

    /// The place that a number below 2^63 stands for.
    #[must_use]
    pub fn from_cursor(cursor: u64) -> Option<Self> {
        (cursor < 1 << 63).then_some(Self(cursor))
    }

    /// The place as a number, 0 for the first.
    #[must_use]
    pub fn cursor(self) -> u64 {
        self.0
    }

    /// The slot.
    #[must_use]
    pub fn slot(self) -> Slot {
        let number = u16::try_from(self.0 >> HASH_BITS).unwrap_or_default();
        Slot::new(number).unwrap_or(Slot::FIRST)
    }

    /// The hash within the slot.
    #[must_use]
    pub fn hash(self) -> u64 {
        self.0 % Self::HASHES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_never_change_between_builds() {
        // A walk goes on at a node of another build.
        assert_eq!(KeyPlace::hash_of(b"foobar"), avalanche(0x8594_4171_f739_67e8) >> 15);
        assert_eq!(KeyPlace::of_key(b"foo").cursor() >> 49, 12182);
    }

    #[test]
    fn places_are_ordered_by_slot_first() {
        let last = Slot::all().next_back().unwrap_or(Slot::FIRST);
        let end = KeyPlace::new(last, KeyPlace::HASHES - 1);
        assert_eq!((end.cursor(), end.slot(), end.hash()), ((1 << 63) - 1, last, KeyPlace::HASHES - 1));
        assert_eq!(KeyPlace::from_cursor(1 << 63), None);
        assert!(KeyPlace::FIRST < KeyPlace::new(Slot::FIRST, 1));
        assert!(KeyPlace::new(Slot::FIRST, KeyPlace::HASHES - 1) < KeyPlace::new(last, 0));
    }

    #[test]
    fn keys_of_one_slot_spread_over_its_places() {
        let mut per_sixteenth = [0; 16];
        for number in 0..1600 {
            let place = KeyPlace::of_key(format!("{{tag}}{number}").as_bytes());
            per_sixteenth[usize::try_from(place.hash() >> (HASH_BITS - 4)).unwrap_or_default()] += 1;
        }
        assert!(per_sixteenth.iter().all(|count| (50..=150).contains(count)), "{per_sixteenth:?}");
    }
}
