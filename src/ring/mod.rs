//! Placement: from a key to its slot, from a slot to the nodes that keep it.
//!
//! A list of nodes alone says who keeps a key, without a table to agree on and without a leader to ask: every node
//! computes the same ring from the same cluster.toml. Each node stands on the ring at many positions ([`Token`]s), each
//! of the 16384 [`Slot`]s at one, and the first distinct nodes clockwise from a slot that have room keep it
//! ([`PreferenceList`]). A node that comes or goes therefore moves little more than the slots next to its own positions.

mod bounded;
mod crc16;
mod fingerprint;
mod hash_ring;
mod node;
mod place;
mod preference;
mod slot;
mod token;

pub use crc16::crc16;
pub use fingerprint::RingFingerprint;
pub use hash_ring::{HashRing, Share, VirtualNode};
pub use node::{NodeId, NodeIndex};
pub use place::KeyPlace;
pub use preference::PreferenceList;
pub use slot::{SLOT_COUNT, Slot};
pub use token::Token;
