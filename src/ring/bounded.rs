//! Who keeps a slot: the first nodes clockwise that have room for it.
//!
//! Virtual nodes alone leave the shares uneven: the more nodes, the unluckier the unluckiest (of 100 with 256 positions
//! each, one is first for 1.23 times the mean of the slots). So a node takes no more than 1.05 times the mean, and what
//! does not fit goes on clockwise to the next (Mirrokni, Thorup and Zadimoghaddam: "Consistent Hashing with Bounded
//! Loads", 2018). Two things are bounded: for how many slots a node stands first, which is what clients ask of it, and
//! how many it keeps in all, which is its memory. All firsts are chosen before anything else. One that is passed over
//! as first mostly stays further back in the same list, and then no data is elsewhere than it would be without a bound.
//!
//! The price is that a node that joins or leaves also moves some of what had not fitted: with 256 positions and N = 3 up
//! to 1.2 times the least possible for 200 nodes. With N = 1 there is no list to stay in: up to 1.25 times for 50 nodes,
//! 1.45 times for 100 (`ringkv ring --simulate`).

use super::hash_ring::{VirtualNode, successor};
use super::{NodeIndex, SLOT_COUNT, Slot, Token};

/// What the rule is called in a ring's fingerprint: nodes that place by another rule have another one.
pub(super) const RULE: &[u8] = b"bounded loads 21/20";
/// The most that a node takes over the mean, as a fraction.
const BOUND: (usize, usize) = (21, 20);

/// The most slots that a node may stand in if each slot names `replicas` of `node_count` nodes.
pub(super) fn capacity(replicas: usize, node_count: usize) -> usize {
    (usize::from(SLOT_COUNT) * replicas * BOUND.0).div_ceil(node_count * BOUND.1)
}

/// The preference lists of all slots, one behind the other.
pub(super) fn preference_lists(positions: &[VirtualNode], node_count: usize, replicas: usize) -> Box<[NodeIndex]> {
    let mut room = Room::new(replicas, node_count);
    let primaries: Vec<NodeIndex> = primaries(positions, node_count).collect();
    for &primary in &primaries {
        room.take(primary);
    }
    let mut lists = Vec::with_capacity(primaries.len() * replicas);
    // For each node the last slot that it was taken for: spares a search through the list at every step.
    let mut taken_for = vec![None; node_count];
    for (slot, primary) in Slot::all().zip(primaries) {
        lists.push(primary);
        taken_for[primary.as_usize()] = Some(slot);
        // So few may have room towards the end that no bound can hold (that is so where N is near the number of nodes).
        let bounded = room.nodes >= replicas;
        let others = clockwise(positions, slot)
            .filter(|&node| !bounded || room.of(node) > 0)
            .filter(|node| taken_for[node.as_usize()].replace(slot) != Some(slot))
            .take(replicas - 1);
        let start = lists.len();
        lists.extend(others);
        for &node in &lists[start..] {
            room.take(node);
        }
    }
    assert_eq!(lists.len(), usize::from(SLOT_COUNT) * replicas, "every slot found its replicas");
    lists.into_boxed_slice()
}

/// The first node of each slot: there is always one, for together the nodes have room for more than all slots.
fn primaries(positions: &[VirtualNode], node_count: usize) -> impl Iterator<Item = NodeIndex> {
    let mut room = Room::new(1, node_count);
    Slot::all().filter_map(move |slot| {
        let primary = clockwise(positions, slot).find(|&node| room.of(node) > 0)?;
        room.take(primary);
        Some(primary)
    })
}

/// The nodes of all positions, from the slot once around the ring.
fn clockwise(positions: &[VirtualNode], slot: Slot) -> impl Iterator<Item = NodeIndex> {
    let (before, after) = positions.split_at(successor(positions, Token::of_slot(slot)));
    after.iter().chain(before).map(|position| position.node)
}

/// How many more slots each node takes.
struct Room {
    left: Vec<usize>,
    /// How many nodes have room left.
    nodes: usize,
}

impl Room {
    fn new(replicas: usize, node_count: usize) -> Self {
        Self { left: vec![capacity(replicas, node_count); node_count], nodes: node_count }
    }

    fn of(&self, node: NodeIndex) -> usize {
        self.left[node.as_usize()]
    }

    fn take(&mut self, node: NodeIndex) {
        let left = &mut self.left[node.as_usize()];
        if *left == 1 {
            self.nodes -= 1;
        }
        *left = left.saturating_sub(1);
    }
}
