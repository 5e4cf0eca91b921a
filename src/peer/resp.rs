//! Peers over TCP: one link to each, speaking RESP on the clients' port.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::link::{Link, LinkOptions};
use super::{Answers, Exchange, Health, LinkFault, LinkState, LinkStatus, LocalNode, NodeCommunicator, RequestBatch};
use crate::ring::NodeIndex;
use crate::version::StartNumber;

/// The communicator of a running node.
pub struct RespCommunicator {
    /// By node index; `None` for the node itself and for indices without a node.
    links: Vec<Option<Arc<Link>>>,
}

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
        let mut links = Vec::new();
        for (peer, address) in peers.into_iter().filter(|(peer, _)| *peer != local) {
            if links.len() <= peer.as_usize() {
                links.resize(peer.as_usize() + 1, None);
            }
            links[peer.as_usize()] = Some(Arc::new(Link::new(peer, address, options.clone(), Arc::clone(node))));
        }
        Self { links }
    }

    /// Dials every peer, again and again, in tasks of `tracker` that end with `cancel`. To be called once.
    pub fn start(&self, tracker: &TaskTracker, cancel: &CancellationToken) {
        for link in self.links.iter().flatten() {
            let (link, cancel) = (Arc::clone(link), cancel.clone());
            tracker.spawn(async move { link.run(cancel).await });
        }
    }

    fn find(&self, node: NodeIndex) -> Option<&Link> {
        self.links.get(node.as_usize())?.as_deref()
    }
}

impl NodeCommunicator for RespCommunicator {
    fn exchange(&self, to: NodeIndex, batch: RequestBatch) -> Exchange {
        let Some(link) = self.find(to) else { return Exchange::unsent(LinkFault::Down, batch) };
        if batch.is_empty() {
            return Exchange::done(Answers::new(link.standing().process(), Vec::new(), None));
        }
        link.exchange(batch)
    }

    fn link(&self, to: NodeIndex) -> LinkState {
        self.find(to).map_or(LinkState::Down, |link| link.standing().state())
    }

    fn health(&self, to: NodeIndex) -> Health {
        self.find(to).map_or(Health::Down, |link| link.standing().health())
    }

    fn process(&self, to: NodeIndex) -> StartNumber {
        self.find(to).map_or(StartNumber::default(), |link| link.standing().process())
    }

    fn status(&self, to: NodeIndex) -> Option<LinkStatus> {
        self.find(to).map(Link::status)
    }
}
