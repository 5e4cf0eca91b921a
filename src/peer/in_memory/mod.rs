//! Nodes within one process: a cluster for a test, in paused time, on links that fail when they are told to.
//!
//! Nothing of the real way is left out but the sockets. Every message is encoded, decoded and checked as on TCP, links
//! come up by the same introductions, batches keep their order, and exchanges end with the same faults in the same
//! time. What TCP hides can be seen here: a message may be lost without the link going down, come twice, or overtake
//! another, as if each batch were a datagram. Requests on their way to a node that hangs are delivered when it goes
//! on, even if their link was given up long before, as the buffers of a real machine would.
//!
//! Chance comes from one seed, and every wait is in tokio's time, so a run on a current-thread runtime repeats itself.

mod connection;
mod link;
mod switchboard;
mod way;

use std::sync::Arc;

pub use switchboard::{InMemoryNetwork, LinkFaults};

use self::link::MemoryLink;
use super::links::Links;
use super::standing::Standing;
use super::{LinkOptions, LocalNode};
use crate::ring::NodeIndex;

/// The communicator of one node in an [`InMemoryNetwork`].
pub type InMemoryCommunicator = Links<MemoryLink>;

impl InMemoryCommunicator {
    /// Puts `node` onto `network` as node `local`, in place of an earlier process of that name, with links to `peers`.
    /// All are down until [`start`](Self::start). An entry for `local` is passed over.
    #[must_use]
    pub fn new(
        network: &InMemoryNetwork,
        local: NodeIndex,
        peers: &[NodeIndex],
        options: &LinkOptions,
        node: &Arc<dyn LocalNode>,
    ) -> Self {
        let own = network.join(local, Arc::clone(node));
        Self::of(peers.iter().filter(|&&peer| peer != local).map(|&peer| {
            let standing = Standing::new(peer, format!("in-memory:{}", peer.0), Arc::clone(node));
            MemoryLink::new(network.clone(), (local, own), standing, options.clone())
        }))
    }
}
