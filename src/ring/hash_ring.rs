//! The consistent-hash ring.
//!
//! Walking the ring for each request would cost a binary search and a walk over other nodes' tokens. A ring never
//! changes once it is built and there are only 16384 slots, so all preference lists are computed at the start, one
//! behind the other in a single allocation: afterwards a lookup is an array index.

use super::{NodeId, NodeIndex, PreferenceList, RingFingerprint, SLOT_COUNT, Slot, Token};

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
fn successor(positions: &[VirtualNode], token: Token) -> usize {
    let after = positions.partition_point(|position| position.token < token);
    if after == positions.len() { 0 } else { after }
}

/// The preference lists of all slots, one behind the other.
fn preference_lists(positions: &[VirtualNode], node_count: usize, replicas: usize) -> Box<[NodeIndex]> {
    let mut lists = Vec::with_capacity(usize::from(SLOT_COUNT) * replicas);
    // For each node the last slot that it was taken for: spares a search through the list at every step.
    let mut taken_for = vec![None; node_count];
    for slot in Slot::all() {
        let first = successor(positions, Token::of_slot(slot));
        let clockwise = positions[first..].iter().chain(&positions[..first]).map(|position| position.node);
        lists.extend(clockwise.filter(|node| taken_for[node.as_usize()].replace(slot) != Some(slot)).take(replicas));
    }
    assert_eq!(lists.len(), usize::from(SLOT_COUNT) * replicas, "every slot found its replicas");
    lists.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(node_count: u16, virtual_nodes: u32, replication_factor: u16) -> HashRing {
        HashRing::new(&names("node-", node_count), virtual_nodes, replication_factor)
    }

    fn names(prefix: &str, count: u16) -> Vec<NodeId> {
        let mut names: Vec<NodeId> = (1..=count).map(|n| NodeId::from(format!("{prefix}{n}").as_str())).collect();
        names.sort();
        names
    }

    /// The largest share as primary over the mean.
    fn imbalance(ring: &HashRing) -> f64 {
        let largest = ring.shares().iter().map(|share| share.primary_slots).max().unwrap();
        f64::from(largest) * f64::from(ring.node_count()) / f64::from(SLOT_COUNT)
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
    fn ten_nodes_share_the_slots_evenly_however_they_are_named() {
        for prefix in ["node-", "n", "ringkv-eu-west-", "10.0.0.1:700", "db_"] {
            let imbalance = imbalance(&HashRing::new(&names(prefix, 10), 256, 3));
            assert!(imbalance <= 1.15, "{prefix}: {imbalance}");
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
    fn a_node_that_joins_takes_slots_and_moves_none_between_the_others() {
        let (before, after) = (HashRing::new(&names("node-", 8), 256, 1), HashRing::new(&names("node-", 9), 256, 1));
        let newcomer = NodeIndex(8); // "node-9" sorts last
        let moved = Slot::all().filter(|&slot| before.preference_list(slot) != after.preference_list(slot));
        assert!(moved.into_iter().all(|slot| after.preference_list(slot).primary() == newcomer));
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

        #[test]
        fn preference_lists_agree_with_a_linear_walk(ring in small_ring(), number in 0..SLOT_COUNT) {
            let slot = Slot::new(number).unwrap();
            let mut naive: Vec<NodeIndex> = Vec::new();
            for node in clockwise_from(&ring, Token::of_slot(slot)) {
                if !naive.contains(&node) && naive.len() < ring.replicas() {
                    naive.push(node);
                }
            }
            prop_assert_eq!(ring.preference_list(slot).as_slice(), naive.as_slice());
        }
    }
}
