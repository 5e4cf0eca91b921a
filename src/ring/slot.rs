//! Slots: the 16384 Redis Cluster hash slots, the unit of placement, locking and repair.

/// How many slots there are: the number that every cluster-aware Redis client knows.
pub const SLOT_COUNT: u16 = 16384;

/// One of the 16384 slots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u16);

impl Slot {
    /// The slot with this number, if there is one.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (number < SLOT_COUNT).then_some(Self(number))
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
