//! The names of nodes.

use std::fmt;
use std::sync::Arc;

/// A node's name in cluster.toml. Its address may change, its name is its identity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NodeId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node's position in the cluster's list of ids, sorted. Nodes that share a ring fingerprint share these numbers, so
/// they may stand for the name in versions and messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeIndex(pub u16);

impl NodeIndex {
    /// The position as an index into a list with an entry per node.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::from(self.0)
    }
}
