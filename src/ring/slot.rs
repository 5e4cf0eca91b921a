//! Slots: the 16384 Redis Cluster hash slots, the unit of placement, locking and repair.
//!
//! The rule from key to slot is Redis' own to the bit, so that a client that knows Redis Cluster can go straight to a
//! node that holds the key.

use super::crc16::{Crc16, crc16};

/// How many slots there are: the number that every cluster-aware Redis client knows.
pub const SLOT_COUNT: u16 = 16384;

/// One of the 16384 slots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u16);

impl Slot {
    /// The first slot.
    pub const FIRST: Self = Self(0);

    /// The slot with this number, if there is one.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (number < SLOT_COUNT).then_some(Self(number))
    }

    /// The slot of `key`: of its `{hash tag}` if it has one, else of all of it. Keys with the same tag share a slot.
    ///
    /// ```
    /// use ringkv::ring::Slot;
    /// assert_eq!(Slot::of_key(b"foo").number(), 12182);
    /// assert_eq!(Slot::of_key(b"{user1000}.following"), Slot::of_key(b"{user1000}.followers"));
    /// ```
    #[must_use]
    #[inline]
    pub fn of_key(key: &[u8]) -> Self {
        // Few keys have a tag, so the checksum of all of it is made while a brace is looked for.
        let (blocks, rest) = key.as_chunks();
        let (mut crc, mut may_have_tag) = (Crc16::default(), rest.contains(&b'{'));
        for block in blocks {
            may_have_tag |= has_brace(*block);
            crc.add_block(*block);
        }
        for &byte in rest {
            crc.add_byte(byte);
        }
        Self(if may_have_tag { crc16(hashed_part(key)) } else { crc.sum() } % SLOT_COUNT)
    }

    /// Every slot, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + DoubleEndedIterator {
        (0..SLOT_COUNT).map(Self)
    }

    /// The slot's number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// The number as an index into a list with an entry per slot. No number is too large; so the compiler knows, too.
    #[must_use]
    #[inline]
    pub fn as_usize(self) -> usize {
        usize::from(self.0 % SLOT_COUNT)
    }
}

/// Whether one of eight bytes is a `{`.
#[inline]
fn has_brace(bytes: [u8; 8]) -> bool {
    const BRACES: u64 = u64::from_ne_bytes([b'{'; 8]);
    const LOWEST: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
    let other = u64::from_ne_bytes(bytes) ^ BRACES;
    // A byte that is zero now borrows from its highest bit, which was not set.
    other.wrapping_sub(LOWEST) & !other & HIGHEST != 0
}

/// What lies between the first `{` and the first `}` after it; the whole key if there is no such pair or nothing in it.
fn hashed_part(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    let tagged = &key[open + 1..];
    match memchr::memchr(b'}', tagged) {
        None | Some(0) => key,
        Some(close) => &tagged[..close],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_slots_that_redis_gives_them() {
        for (key, slot) in [("", 0), ("foo", 12182), ("bar", 5061), ("hello", 866), ("123456789", 12739)] {
            assert_eq!(Slot::of_key(key.as_bytes()).number(), slot, "{key}");
        }
    }

    #[test]
    fn only_the_first_non_empty_tag_is_hashed() {
        for (key, hashed) in [
            ("{user1000}.following", "user1000"),
            ("foo{bar}", "bar"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("}foo{bar}", "bar"),
            ("foo{bar", "foo{bar"),
            ("foo}bar{", "foo}bar{"),
            ("{}", "{}"),
            ("{", "{"),
        ] {
            assert_eq!(hashed_part(key.as_bytes()), hashed.as_bytes(), "{key}");
        }
    }

    #[test]
    fn a_tag_is_noticed_wherever_it_stands() {
        for before in 0..20 {
            for behind in 0..20 {
                let key = format!("{}{{tag}}{}", "z".repeat(before), "|".repeat(behind));
                assert_eq!(Slot::of_key(key.as_bytes()), Slot::of_key(b"tag"), "{key}");
            }
        }
        let without: Vec<u8> = (0..=u8::MAX).filter(|&byte| byte != b'{').collect();
        assert!(without.windows(8).all(|bytes| !has_brace(bytes.try_into().unwrap())));
    }

    #[test]
    fn numbers_beyond_the_last_slot_are_none() {
        assert_eq!(Slot::new(SLOT_COUNT - 1), Slot::all().next_back());
        assert_eq!(Slot::new(SLOT_COUNT), None);
    }
}
