//! Positions on the ring.
//!
//! A virtual node's position is a hash of its label, `node-1#17`. FNV-1a alone must not be that hash: the last byte of
//! a label hardly reaches the high bits, which are the ones that decide where on the ring it lands. Ten nodes of 256
//! virtual nodes each then differ by 1.84 times the mean. An avalanche finaliser behind it brings that down to 1.05.

use std::hash::Hasher;

use fnv::FnvHasher;

use super::{SLOT_COUNT, Slot};

/// The distance between neighbouring slots: together they go exactly once around the ring.
const SLOT_DISTANCE: u64 = 1 << 50;
const _: () = assert!(SLOT_COUNT as u128 * SLOT_DISTANCE as u128 == 1 << 64);

/// A position on the ring, which goes clockwise from 0 to 2^64 - 1 and then starts over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

impl Token {
    /// Where the virtual node named `label` stands.
    #[must_use]
    pub fn of_label(label: &str) -> Self {
        let mut hasher = FnvHasher::default();
        hasher.write(label.as_bytes());
        Self(avalanche(hasher.finish()))
    }

    /// Where `slot` stands. Slots keep their order on the ring, so neighbours mostly share their nodes and the map of
    /// slots that clients are told is a few hundred ranges long.
    #[must_use]
    pub fn of_slot(slot: Slot) -> Self {
        Self(u64::from(slot.number()) * SLOT_DISTANCE)
    }
}

/// Lets every bit of `hash` flip every bit of the result with even odds: the 64-bit finaliser of `MurmurHash3`.
pub(super) fn avalanche(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_never_change_between_builds() {
        assert_eq!(avalanche(0), 0);
        assert_eq!(avalanche(1), 0xb456_bcfc_34c2_cb2c);
        assert_eq!(Token::of_label("foobar"), Token(avalanche(0x8594_4171_f739_67e8)));
    }

    #[test]
    fn labels_that_differ_in_the_last_byte_spread_over_the_ring() {
        let mut per_sixteenth = [0; 16];
        for number in 0..256 {
            per_sixteenth[(Token::of_label(&format!("node-1#{number}")).0 >> 60) as usize] += 1;
        }
        assert!(per_sixteenth.iter().all(|count| (4..=32).contains(count)), "{per_sixteenth:?}");
    }

    #[test]
    fn slots_stand_in_order_from_one_end_of_the_ring_to_the_other() {
        assert!(Slot::all().map(Token::of_slot).is_sorted());
        assert_eq!(Slot::all().next().map(Token::of_slot), Some(Token(0)));
        assert_eq!(Slot::all().next_back().map(Token::of_slot), Some(Token(u64::MAX - SLOT_DISTANCE + 1)));
    }
}
