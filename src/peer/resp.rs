//! Peers over TCP: one link to each, speaking RESP on the clients' port.

use std::sync::Arc;

use super::LocalNode;
use super::link::{Link, LinkOptions};
use super::links::Links;
use crate::ring::NodeIndex;

/// The communicator of a running node.
pub type RespCommunicator = Links<Link>;

impl RespCommunicator {
    /// Links from node `local` to `peers`, given as indices and addresses (`host:port`). All are down until
    /// [`start`](Self::start). An entry for `local` is passed over: nobody needs a link to itself.
    #[must_use]
    pub fn new(
        local: NodeIndex,
        peers: Vec<(NodeIndex, String)>,
        options: &LinkOptions,
        node: &Arc<dyn LocalNode>,
    ) -> Self {
        let others = peers.into_iter().filter(|(peer, _)| *peer != local);
        Self::of(others.map(|(peer, address)| Link::new(peer, address, options.clone(), Arc::clone(node))))
    }
}
