//! The nodes that keep a slot.

use std::ops::Deref;

use super::NodeIndex;

/// The first distinct nodes clockwise from a slot that have room for it: its replicas, in order. Never empty; derefs to the slice of nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PreferenceList<'ring>(&'ring [NodeIndex]);

impl<'ring> PreferenceList<'ring> {
    /// The list that `nodes`, which must be distinct and at least one, make up.
    pub(super) fn new(nodes: &'ring [NodeIndex]) -> Self {
        debug_assert!(!nodes.is_empty());
        Self(nodes)
    }

    /// The first node. It has no say over the others; it is merely the one that clients are told to ask.
    #[must_use]
    pub fn primary(self) -> NodeIndex {
        self.0[0]
    }

    /// Whether `node` keeps the slot.
    #[must_use]
    pub fn contains(self, node: NodeIndex) -> bool {
        self.0.contains(&node)
    }

    /// The nodes, for as long as the ring lives.
    #[must_use]
    pub fn as_slice(self) -> &'ring [NodeIndex] {
        self.0
    }
}

impl Deref for PreferenceList<'_> {
    type Target = [NodeIndex];

    fn deref(&self) -> &[NodeIndex] {
        self.0
    }
}
