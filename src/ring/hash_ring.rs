//! The consistent-hash ring.
//!
//! Walking the ring for each request would cost a binary search and a walk over other nodes' tokens. A ring never
//! changes once it is built and there are only 16384 slots, so all preference lists are computed at the start, one
//! behind the other in a single allocation: afterwards a lookup is an array index.

use super::bounded::preference_lists;
use super::{NodeId, NodeIndex, PreferenceList, RingFingerprint, Slot, Token};

/// One of the positions of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct VirtualNode {
    /// Where it stands.
    pub token: Token,
    /// Whose position it is.
    pub node: NodeIndex,
}

/// How many slots a node keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// The slots that have the node first in their preference list.
    pub primary_slots: u16,
    /// The slots that have the node further back in their preference list.
    pub replica_slots: u16,
}

/// Which nodes keep which slots.
///
/// ```
/// use ringkv::ring::{HashRing, NodeId, Slot};
/// let nodes = ["node-1", "node-2", "node-3"].map(NodeId::from);
/// let ring = HashRing::new(&nodes, 256, 2);
/// let replicas = ring.preference_list(Slot::of_key(b"foo"));
/// assert_eq!(replicas.len(), 2);
/// assert!(replicas.contains(replicas.primary()));
/// ```
#[derive(Clone, Debug)]
pub struct HashRing {
    /// Invariant: sorted by token, then by node, so that every node of the cluster resolves a tie alike.
    positions: Box<[VirtualNode]>,
    /// Invariant: `replicas` entries for each slot, in the order of the slots.
    lists: Box<[NodeIndex]>,
    /// The length of every preference list.
    replicas: usize,
    node_count: u16,
    fingerprint: RingFingerprint,
}

impl HashRing {
    /// The ring on which each of `nodes` stands `virtual_nodes` times and each slot is kept by `replication_factor` nodes,
    /// or by all if there are fewer. A node's [`NodeIndex`] is its place in `nodes`.
    ///
    /// # Panics
    /// If `nodes` is empty, not sorted, holds a name twice or has more than 65535 names, or if one of the numbers is 0.
    /// A checked configuration has none of these.
    #[must_use]
    pub fn new(nodes: &[NodeId], virtual_nodes: u32, replication_factor: u16) -> Self {
        assert!(nodes.is_sorted_by(|a, b| a < b), "node ids are sorted and distinct");
        assert!(!nodes.is_empty() && virtual_nodes > 0 && replication_factor > 0, "a ring has nodes and replicas");
        let node_count = u16::try_from(nodes.len()).expect("a node index has 16 bits");
        let positions = positions(nodes, virtual_nodes);
        let replicas = node_count.min(replication_factor).into();
        Self {
            lists: preference_lists(&positions, node_count.into(), replicas),
            positions,
            replicas,
            node_count,
            fingerprint: RingFingerprint::of(nodes, virtual_nodes, replication_factor),
        }
    }

    /// The nodes that keep `slot`.
    #[must_use]
    pub fn preference_list(&self, slot: Slot) -> PreferenceList<'_> {
        let start = slot.as_usize() * self.replicas;
        PreferenceList::new(&self.lists[start..start + self.replicas])
    }

    /// How many nodes keep each slot.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// How many nodes there are.
    #[must_use]
    pub fn node_count(&self) -> u16 {
        self.node_count
    }

    /// The first position at `token` or clockwise from it, past the end of the ring if need be.
    #[must_use]
    pub fn successor(&self, token: Token) -> VirtualNode {
        self.positions[successor(&self.positions, token)]
    }

    /// The slots as runs, as long as they can be, of neighbours with the same preference list: the first slot, the last
    /// slot, the list.
    pub fn ranges(&self) -> impl Iterator<Item = (Slot, Slot, PreferenceList<'_>)> {
        let mut slots = Slot::all().map(|slot| (slot, self.preference_list(slot))).peekable();
        std::iter::from_fn(move || {
            let (first, list) = slots.next()?;
            let others = std::iter::from_fn(|| slots.next_if(|(_, next)| *next == list));
            Some((first, others.last().map_or(first, |(slot, _)| slot), list))
        })
    }

    /// How many slots each node keeps, by node index.
    #[must_use]
    pub fn shares(&self) -> Vec<Share> {
        let mut shares = vec![Share::default(); self.node_count.into()];
        for list in self.lists.chunks_exact(self.replicas) {
            shares[list[0].as_usize()].primary_slots += 1;
            for node in &list[1..] {
                shares[node.as_usize()].replica_slots += 1;
            }
        }
        shares
    }

    /// How many bytes the positions and the preference lists take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.positions) + size_of_val(&*self.lists)
    }

    /// Equal for rings that place every key alike and number their nodes alike.
    #[must_use]
    pub fn fingerprint(&self) -> RingFingerprint {
        self.fingerprint
    }
}

/// All positions of all nodes, clockwise.
fn positions(nodes: &[NodeId], virtual_nodes: u32) -> Box<[VirtualNode]> {
    let mut positions: Box<[VirtualNode]> = (0..)
        .map(NodeIndex)
        .zip(nodes)
        .flat_map(|(node, id)| {
            (0..virtual_nodes)
                .map(move |number| VirtualNode { token: Token::of_label(&format!("{id}#{number}")), node })
        })
        .collect();
    positions.sort_unstable();
    positions
}

/// The index in `positions` of the first one at `token` or clockwise from it.
pub(super) fn successor(positions: &[VirtualNode], token: Token) -> usize {
    let after = positions.partition_point(|position| position.token < token);
    if after == positions.len() { 0 } else { after }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::ring::SLOT_COUNT;
    use crate::ring::bounded::capacity;

    fn ring(node_count: u16, virtual_nodes: u32, replication_factor: u16) -> HashRing {
        HashRing::new(&names("node-", node_count), virtual_nodes, replication_factor)
    }

    fn names(prefix: &str, count: u16) -> Vec<NodeId> {
        let mut names: Vec<NodeId> = (1..=count).map(|n| NodeId::from(format!("{prefix}{n}").as_str())).collect();
        names.sort();
        names
    }

    /// The largest share over the mean: as primary, and of all that is kept.
    fn imbalance(ring: &HashRing) -> (f64, f64) {
        let shares = ring.shares();
        let first = shares.iter().map(|share| share.primary_slots).max().unwrap();
        let kept = shares.iter().map(|share| share.primary_slots + share.replica_slots).max().unwrap();
        let mean = f64::from(SLOT_COUNT) / f64::from(ring.node_count());
        (f64::from(first) / mean, f64::from(kept) / mean / f64::from(u32::try_from(ring.replicas()).unwrap()))
    }

    /// The copies of slots that are with a node in `after` and were not in `before`, over the least there could be.
    fn moved_to_ideal(before: (&[NodeId], u16), after: (&[NodeId], u16)) -> f64 {
        let copies = |(ids, factor): (&[NodeId], u16)| {
            let ring = HashRing::new(ids, 256, factor);
            let copies = Slot::all()
                .flat_map(|slot| ring.preference_list(slot).to_vec().into_iter().map(move |node| (slot, node)));
            copies.map(|(slot, node)| (slot, ids[node.as_usize()].clone())).collect::<HashSet<_>>()
        };
        let (old, new) = (copies(before), copies(after));
        let moved = u32::try_from(new.difference(&old).count()).unwrap();
        let larger = u32::try_from(before.0.len().max(after.0.len())).unwrap();
        f64::from(moved * larger) / f64::from(u32::try_from(new.len()).unwrap())
    }

    #[test]
    fn every_slot_has_distinct_replicas() {
        for (nodes, factor, replicas) in [(1, 1, 1), (1, 3, 1), (2, 3, 2), (3, 3, 3), (5, 3, 3), (7, 5, 5)] {
            let ring = ring(nodes, 64, factor);
            for slot in Slot::all() {
                let mut list = ring.preference_list(slot).to_vec();
                list.sort();
                list.dedup();
                assert_eq!(list.len(), replicas, "{nodes} nodes, {slot:?}");
            }
        }
    }

    #[test]
    fn nodes_share_the_slots_evenly_however_they_are_named() {
        for prefix in ["node-", "n", "ringkv-eu-west-", "10.0.0.1:700", "db_"] {
            for count in [5, 10, 100] {
                let (first, kept) = imbalance(&HashRing::new(&names(prefix, count), 256, 3));
                assert!(first <= 1.06 && kept <= 1.06, "{count} named {prefix}: {first}, {kept}");
            }
        }
    }

    #[test]
    fn one_node_keeps_every_slot() {
        let ring = ring(1, 1, 3);
        assert_eq!(ring.shares(), [Share { primary_slots: SLOT_COUNT, replica_slots: 0 }]);
        let ranges: Vec<_> =
            ring.ranges().map(|(first, last, list)| (first.number(), last.number(), list.len())).collect();
        assert_eq!(ranges, [(0, SLOT_COUNT - 1, 1)]);
    }

    #[test]
    fn shares_count_every_replica_of_every_slot_once() {
        let shares = ring(5, 256, 3).shares();
        assert_eq!(shares.iter().map(|share| u32::from(share.primary_slots)).sum::<u32>(), u32::from(SLOT_COUNT));
        assert_eq!(shares.iter().map(|share| u32::from(share.replica_slots)).sum::<u32>(), 2 * u32::from(SLOT_COUNT));
    }

    #[test]
    fn ranges_are_few_cover_every_slot_and_cannot_be_joined() {
        let ring = ring(3, 256, 3);
        let ranges: Vec<_> = ring.ranges().collect();
        assert!(ranges.len() < 600, "{} ranges", ranges.len());
        let covered =
            ranges.iter().flat_map(|(first, last, list)| (first.number()..=last.number()).map(move |n| (n, *list)));
        let slots = Slot::all().map(|slot| (slot.number(), ring.preference_list(slot)));
        assert!(covered.eq(slots));
        assert!(ranges.windows(2).all(|pair| pair[0].2 != pair[1].2));
    }

    #[test]
    fn the_same_nodes_give_the_same_ring() {
        let (one, other) = (ring(5, 256, 3), ring(5, 256, 3));
        assert_eq!(one.lists, other.lists);
        assert_eq!(one.fingerprint(), other.fingerprint());
        assert_ne!(one.fingerprint(), ring(6, 256, 3).fingerprint());
    }

    #[test]
    fn a_node_that_joins_or_leaves_moves_little_more_than_its_own_share() {
        for (count, factor) in [(6, 1), (6, 2), (10, 3), (30, 1), (30, 3), (100, 3)] {
            let all = names("node-", count);
            for gone in [0, all.len() / 2, all.len() - 1] {
                let mut fewer = all.clone();
                fewer.remove(gone);
                let join = moved_to_ideal((&fewer, factor), (&all, factor));
                let leave = moved_to_ideal((&all, factor), (&fewer, factor));
                assert!(join <= 1.25 && leave <= 1.25, "{count} nodes, {factor} replicas: {join} and {leave}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "sorted and distinct")]
    fn a_name_that_stands_twice_is_our_mistake() {
        let _ = HashRing::new(&["a", "a"].map(NodeId::from), 1, 1);
    }

    /// The naive twin: all positions in the order of their clockwise distance from `token`.
    fn clockwise_from(ring: &HashRing, token: Token) -> Vec<NodeIndex> {
        let mut positions = ring.positions.to_vec();
        positions.sort_by_key(|position| (position.token.0.wrapping_sub(token.0), position.node));
        positions.iter().map(|position| position.node).collect()
    }

    /// The naive twin of a whole ring: every list is filled by walking and counting.
    fn naive_lists(ring: &HashRing) -> Vec<Vec<NodeIndex>> {
        let (nodes, replicas) = (usize::from(ring.node_count()), ring.replicas());
        let walks: Vec<_> = Slot::all().map(|slot| clockwise_from(ring, Token::of_slot(slot))).collect();
        let mut room = vec![capacity(1, nodes); nodes];
        let mut lists: Vec<Vec<NodeIndex>> = Vec::new();
        for walk in &walks {
            let first = *walk.iter().find(|node| room[node.as_usize()] > 0).unwrap();
            room[first.as_usize()] -= 1;
            lists.push(vec![first]);
        }
        let mut room = vec![capacity(replicas, nodes); nodes];
        for list in &lists {
            room[list[0].as_usize()] -= 1;
        }
        for (list, walk) in lists.iter_mut().zip(&walks) {
            let bounded = room.iter().filter(|&&room| room > 0).count() >= replicas;
            for &node in walk {
                let room = &mut room[node.as_usize()];
                if list.len() < replicas && !list.contains(&node) && (!bounded || *room > 0) {
                    *room = room.saturating_sub(1);
                    list.push(node);
                }
            }
        }
        lists
    }

    fn small_ring() -> impl Strategy<Value = HashRing> {
        (prop::collection::btree_set("[a-z]{1,8}", 1..8), 1_u32..12, 1_u16..6).prop_map(
            |(ids, virtual_nodes, factor)| {
                let ids: Vec<NodeId> = ids.iter().map(|id| NodeId::from(id.as_str())).collect();
                HashRing::new(&ids, virtual_nodes, factor)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn binary_search_agrees_with_a_linear_walk(ring in small_ring(), anywhere: u64, near in 0_usize..100) {
            let at = ring.positions[near % ring.positions.len()].token.0;
            for token in [anywhere, at, at.wrapping_add(1), at.wrapping_sub(1), 0, u64::MAX].map(Token) {
                prop_assert_eq!(ring.successor(token).node, clockwise_from(&ring, token)[0]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn preference_lists_agree_with_a_linear_walk(ring in small_ring()) {
            let lists: Vec<_> = Slot::all().map(|slot| ring.preference_list(slot).to_vec()).collect();
            prop_assert_eq!(lists, naive_lists(&ring));
        }

        #[test]
        fn no_node_is_first_for_more_slots_than_it_has_room_for(ring in small_ring()) {
            let room = capacity(1, ring.node_count().into());
            for share in ring.shares() {
                prop_assert!(usize::from(share.primary_slots) <= room, "{share:?} of {room}");
            }
        }
    }
}
