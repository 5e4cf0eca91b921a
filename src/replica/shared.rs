//! The slots that this node and a peer both keep, and what they hold here: what the two compare.

use super::Replica;
use crate::peer::{Certainty, Digest, DigestScope, PeerReply};
use crate::ring::{HashRing, NodeIndex, SLOT_COUNT, Slot};
use crate::store::SlotDigest;
use crate::time::UnixMs;

/// Slots of a group.
const GROUP_SLOTS: u16 = SLOT_COUNT / DigestScope::GROUPS as u16;

/// The slots that each node shares with this one, in order. Both compute the same from the ring.
#[derive(Debug)]
pub(super) struct SharedSlots(Box<[Box<[Slot]>]>);

impl SharedSlots {
    pub(super) fn new(ring: &HashRing, own: NodeIndex) -> Self {
        let mut shared = vec![Vec::new(); usize::from(ring.node_count())];
        for slot in Slot::all() {
            let replicas = ring.preference_list(slot);
            if replicas.contains(own) {
                replicas.iter().filter(|&&node| node != own).for_each(|node| shared[node.as_usize()].push(slot));
            }
        }
        Self(shared.into_iter().map(Vec::into_boxed_slice).collect())
    }

    /// Those shared with `peer`; none with this node itself.
    pub(super) fn with(&self, peer: NodeIndex) -> &[Slot] {
        &self.0[peer.as_usize()]
    }

    /// Those of one group.
    pub(super) fn group(&self, peer: NodeIndex, group: u8) -> &[Slot] {
        let slots = self.with(peer);
        let before = |group: u16| slots.partition_point(|slot| slot.number() / GROUP_SLOTS < group);
        &slots[before(group.into())..before(u16::from(group) + 1)]
    }
}

impl Replica {
    /// The slots that `peer` keeps as well, in order.
    pub(super) fn shared_with(&self, peer: NodeIndex) -> &[Slot] {
        self.shared.with(peer)
    }

    /// The group of those with this number.
    pub(super) fn shared_group(&self, peer: NodeIndex, group: u8) -> &[Slot] {
        self.shared.group(peer, group)
    }

    /// The digests of what this node holds of the slots that it shares with `peer`.
    pub(super) fn digests(&self, peer: NodeIndex, scope: DigestScope, now: UnixMs) -> Vec<Digest> {
        let sum_of =
            |slots: &[Slot]| slots.iter().map(|&slot| self.digest(slot, now)).fold(Digest::default(), Digest::plus);
        match scope {
            DigestScope::All => vec![sum_of(self.shared_with(peer))],
            DigestScope::Groups => {
                (0..DigestScope::GROUPS).map(|group| sum_of(self.shared_group(peer, group))).collect()
            }
            DigestScope::Group(group) => {
                self.shared_group(peer, group).iter().map(|&slot| self.digest(slot, now)).collect()
            }
        }
    }

    /// What this node shows of some slots of its own.
    pub(crate) fn sums(&self, slots: &[Slot], now: UnixMs) -> PeerReply {
        let flush_marks = self.store.flush_marks();
        PeerReply::Digests { flush_marks, digests: slots.iter().map(|&slot| self.digest(slot, now)).collect() }
    }

    /// The digest of one slot; one that is still syncing has none.
    fn digest(&self, slot: Slot, now: UnixMs) -> Digest {
        if self.syncing.contains(slot) {
            return Digest::SYNCING;
        }
        let SlotDigest { sum, is_busy } = self.store.digest(slot, now);
        Digest { sum, certainty: if is_busy { Certainty::Busy } else { Certainty::Settled } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::NodeId;

    #[test]
    fn two_nodes_name_the_same_slots_in_the_same_groups() {
        let ids = ["a", "b", "c", "d", "e"].map(NodeId::from);
        let ring = HashRing::new(&ids, 16, 3);
        let of = |own| SharedSlots::new(&ring, NodeIndex(own));
        let (one, other) = (of(1), of(4));
        assert_eq!(one.with(NodeIndex(4)), other.with(NodeIndex(1)));
        assert!(!one.with(NodeIndex(4)).is_empty() && one.with(NodeIndex(1)).is_empty());
        let groups = (0..DigestScope::GROUPS).flat_map(|group| one.group(NodeIndex(4), group));
        assert!(groups.eq(one.with(NodeIndex(4))));
        assert!(one.group(NodeIndex(4), 3).iter().all(|slot| (384..512).contains(&slot.number())));
    }
}
