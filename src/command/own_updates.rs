//! Which slots a connection has updated lately: its own reads have to see that.
//!
//! A write goes to all replicas from the node that the client asked, on the same links as the reads behind it. An update is
//! carried out by another node, so a replica may be asked for what it has not received. Where the asked node is a replica
//! itself there is nothing to fear: it hears of the update before it hears that it was done. Otherwise the read asks so many
//! replicas that one of them has the update, for as long as it may be under way to the others.

use std::time::Duration;

use crate::coordinator::WrittenSlots;
use crate::ring::Slot;
use crate::time::UnixMs;

/// The slots, and until when they matter.
#[derive(Debug, Default)]
pub(crate) struct OwnUpdates {
    slots: WrittenSlots,
    until: UnixMs,
}

impl OwnUpdates {
    /// Updates of these slots were answered; they may be under way to some replicas for so long.
    pub(crate) fn add(&mut self, slots: impl IntoIterator<Item = Slot>, now: UnixMs, under_way: Duration) {
        if !self.is_recent(now) {
            self.slots = WrittenSlots::default();
        }
        for slot in slots {
            self.slots.insert(slot);
            self.until = self.until.max(now.after(under_way));
        }
    }

    /// Whether any update may be under way.
    #[inline]
    pub(crate) fn is_recent(&self, now: UnixMs) -> bool {
        now < self.until
    }

    /// Whether one of these slots may have an update under way.
    #[inline]
    pub(crate) fn may_concern(&self, slots: &[Slot], now: UnixMs) -> bool {
        self.is_recent(now) && slots.iter().any(|&slot| self.slots.contains(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNDER_WAY: Duration = Duration::from_secs(1);

    fn slot(number: u16) -> Slot {
        Slot::new(number).expect("there are more")
    }

    #[test]
    fn an_update_concerns_reads_of_its_slot_until_it_has_arrived() {
        let mut updates = OwnUpdates::default();
        assert!(!updates.may_concern(&[slot(1)], UnixMs(0)));
        updates.add([slot(1)], UnixMs(5000), UNDER_WAY);
        assert!(updates.may_concern(&[slot(3), slot(1)], UnixMs(5000)));
        assert!(updates.may_concern(&[slot(1)], UnixMs(5999)));
        assert!(!updates.may_concern(&[slot(2)], UnixMs(5000)), "another slot");
        assert!(!updates.may_concern(&[slot(1)], UnixMs(6000)), "it has arrived");
    }

    #[test]
    fn later_updates_keep_earlier_ones_in_mind_until_none_is_under_way() {
        let mut updates = OwnUpdates::default();
        updates.add([slot(1)], UnixMs(5000), UNDER_WAY);
        updates.add([slot(2)], UnixMs(5900), UNDER_WAY);
        assert!(updates.may_concern(&[slot(1)], UnixMs(6500)) && updates.may_concern(&[slot(2)], UnixMs(6500)));
        updates.add([slot(3)], UnixMs(7000), UNDER_WAY);
        assert!(!updates.may_concern(&[slot(1), slot(2)], UnixMs(7000)), "they are forgotten");
        assert!(updates.may_concern(&[slot(3)], UnixMs(7000)));
        updates.add([], UnixMs(9000), UNDER_WAY);
        assert!(!updates.is_recent(UnixMs(9000)));
    }
}
