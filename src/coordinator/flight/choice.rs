//! Which of a key's replicas a read asks, where any of them will do: one to which a message is about to leave anyway.
//!
//! A message costs its sender and its receiver a system call each and the receiver a wake-up, many times what one more read in it
//! costs. So reads that are launched at the same time, by one session or by several, go to few nodes. To which ones is up to the
//! first of them, which asks the first replica of its key; so in the long run all nodes have the same share, and a node that
//! does not answer is asked no more often than otherwise.

use crate::ring::NodeIndex;

/// Replicas by their places in the preference list, a bit each.
pub(super) type Places = u64;

/// The places of the replicas for which something leaves.
pub(super) fn joined(replicas: &[NodeIndex], leaves: impl Fn(NodeIndex) -> bool) -> Places {
    replicas.iter().rev().fold(0, |places, &node| places << 1 | Places::from(leaves(node)))
}

/// The places of so many replicas in the order in which a read should ask them: the joined ones first.
pub(super) fn asking_order(replicas: usize, joined: Places) -> impl Iterator<Item = usize> {
    let is_joined = move |place: &usize| joined & 1 << place != 0;
    (0..replicas).filter(is_joined).chain((0..replicas).filter(move |place| !is_joined(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(leaving: &[u16]) -> Vec<usize> {
        let replicas = [7, 3, 5].map(NodeIndex);
        asking_order(replicas.len(), joined(&replicas, |node| leaving.contains(&node.0))).collect()
    }

    #[test]
    fn those_for_whom_something_leaves_are_asked_first_and_otherwise_the_ring_decides() {
        assert_eq!(order(&[]), [0, 1, 2]);
        assert_eq!(order(&[5]), [2, 0, 1]);
        assert_eq!(order(&[5, 3, 9]), [1, 2, 0]);
        assert_eq!(order(&[3, 5, 7]), [0, 1, 2]);
    }
}
