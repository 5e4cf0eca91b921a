//! Whether two nodes have computed the same ring, told by 64 bits.
//!
//! Nodes stand in versions and messages as numbers, their positions in the sorted list of ids. Between nodes with
//! different lists these numbers would name different nodes, so peers compare fingerprints before any data passes.

use std::fmt;
use std::hash::Hasher;

use fnv::FnvHasher;

use super::NodeId;
use super::bounded::RULE;
use super::token::avalanche;

/// A hash of everything that a ring is computed from. Displays as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RingFingerprint(pub u64);

impl RingFingerprint {
    /// The fingerprint of the ring over `nodes`. A byte that
    /// no text holds ends each id, so that no two lists run together into the same bytes.
    pub(super) fn of(nodes: &[NodeId], virtual_nodes: u32, replication_factor: u16) -> Self {
        let mut hasher = FnvHasher::default();
        hasher.write(RULE);
        hasher.write(&virtual_nodes.to_le_bytes());
        hasher.write(&replication_factor.to_le_bytes());
        for node in nodes {
            hasher.write(node.as_str().as_bytes());
            hasher.write(&[0xff]);
        }
        Self(avalanche(hasher.finish()))
    }
}

impl fmt::Display for RingFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(nodes: &[&str], virtual_nodes: u32, replication_factor: u16) -> RingFingerprint {
        let nodes: Vec<NodeId> = nodes.iter().copied().map(NodeId::from).collect();
        RingFingerprint::of(&nodes, virtual_nodes, replication_factor)
    }

    #[test]
    fn every_setting_of_a_ring_changes_its_fingerprint() {
        let base = fingerprint(&["a", "b"], 256, 2);
        assert_eq!(base, fingerprint(&["a", "b"], 256, 2));
        assert_ne!(base, fingerprint(&["a", "c"], 256, 2));
        assert_ne!(base, fingerprint(&["ab"], 256, 2));
        assert_ne!(base, fingerprint(&["a", "b"], 255, 2));
        assert_ne!(base, fingerprint(&["a", "b"], 256, 1));
    }

    #[test]
    fn text_form_has_sixteen_digits() {
        assert_eq!(RingFingerprint(0x1f).to_string(), "000000000000001f");
    }
}
