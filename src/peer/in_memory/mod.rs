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

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use switchboard::{InMemoryNetwork, LinkFaults};

use self::link::MemoryLink;
use super::{Answers, Exchange, Health, LinkFault, LinkOptions, LinkState, LinkStatus, LocalNode, NodeCommunicator};
use super::{RequestBatch, standing::Standing};
use crate::ring::NodeIndex;
use crate::version::StartNumber;

/// The communicator of one node in an [`InMemoryNetwork`].
pub struct InMemoryCommunicator {
    /// By node index; `None` for the node itself and for indices without a node.
    links: Vec<Option<Arc<MemoryLink>>>,
}

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
        let mut links = Vec::new();
        for &peer in peers.iter().filter(|&&peer| peer != local) {
            if links.len() <= peer.as_usize() {
                links.resize(peer.as_usize() + 1, None);
            }
            let standing = Standing::new(peer, format!("in-memory:{}", peer.0), Arc::clone(node));
            let link = MemoryLink::new(network.clone(), (local, own), standing, options.clone());
            links[peer.as_usize()] = Some(Arc::new(link));
        }
        Self { links }
    }

    /// Dials every peer, again and again, in tasks of `tracker` that end with `cancel` or with this node's crash. To be
    /// called once.
    pub fn start(&self, tracker: &TaskTracker, cancel: &CancellationToken) {
        for link in self.links.iter().flatten() {
            let (link, cancel) = (Arc::clone(link), cancel.clone());
            tracker.spawn(async move { link.run(cancel).await });
        }
    }

    fn find(&self, node: NodeIndex) -> Option<&MemoryLink> {
        self.links.get(node.as_usize())?.as_deref()
    }
}

impl NodeCommunicator for InMemoryCommunicator {
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
        self.find(to).map(MemoryLink::status)
    }
}
