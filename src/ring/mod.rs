//! Placement: from a key to its slot, from a slot to the nodes that keep it.

mod node;
mod slot;

pub use node::{NodeId, NodeIndex};
pub use slot::{SLOT_COUNT, Slot};
