//! Slots: the 16384 Redis Cluster hash slots, the unit of placement, locking and repair.
//!
//! The rule from key to slot is Redis' own to the bit, so that a client that knows Redis Cluster can go straight to a
//! node that holds the key.

use super::crc16::crc16;

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
        let hashed = if may_have_tag(key) { hashed_part(key) } else { key };
        Self(crc16(hashed) % SLOT_COUNT)
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

    /// The number as an index into a list with an entry per slot.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::from(self.0)
    }
}

/// Keys up to this length are searched for a brace here; a search that is made for length costs more than they take.
const SHORT_KEY_BYTES: usize = 64;

/// Whether `key` may have a `{hash tag}`: false only if there is no opening brace. Compares eight bytes at a time.
#[inline]
fn may_have_tag(key: &[u8]) -> bool {
    const BRACES: u64 = u64::from_ne_bytes([b'{'; 8]);
    const LOWEST: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
    if key.len() > SHORT_KEY_BYTES {
        return true;
    }
    let (words, rest) = key.as_chunks::<8>();
    // A byte of `other` that is zero borrows from its highest bit, which was not set.
    let found = words
        .iter()
        .map(|word| u64::from_ne_bytes(*word) ^ BRACES)
        .fold(0, |found, other| found | (other.wrapping_sub(LOWEST) & !other & HIGHEST));
    found != 0 || rest.contains(&b'{')
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
    fn a_brace_is_noticed_wherever_it_stands() {
        for bytes in 1..=2 * SHORT_KEY_BYTES {
            for at in 0..bytes {
                let mut key = vec![b'z'; bytes];
                key[at] = b'{';
                assert!(may_have_tag(&key), "at {at} of {bytes}");
            }
            let without: Vec<u8> = (0..=u8::MAX).filter(|&byte| byte != b'{').cycle().take(bytes).collect();
            assert_eq!(may_have_tag(&without), bytes > SHORT_KEY_BYTES);
        }
    }

    #[test]
    fn numbers_beyond_the_last_slot_are_none() {
        assert_eq!(Slot::new(SLOT_COUNT - 1), Slot::all().next_back());
        assert_eq!(Slot::new(SLOT_COUNT), None);
    }
}
