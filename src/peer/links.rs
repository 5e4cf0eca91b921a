//! All links of one node, whatever carries them: who asks about a peer is answered by the link to it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::standing::Standing;
use super::{Answers, Exchange, Health, LinkFault, LinkState, LinkStatus, NodeCommunicator, RequestBatch};
use crate::ring::NodeIndex;
use crate::version::StartNumber;

/// With so many bytes a message is long enough: to spread the answers over nodes is worth more than to save another message. A peer
/// that has stopped reading draws no more than that to itself.
pub(super) const GATHERED_BYTES_MAX: usize = 4 << 10;

/// The link to one peer.
pub trait PeerLink: Send + Sync + 'static {
    /// What is known of it.
    fn standing(&self) -> &Standing;

    /// The same, for INFO.
    fn status(&self) -> LinkStatus;

    /// Whether something is queued that has not left, and it is less than [`GATHERED_BYTES_MAX`].
    fn is_gathering(&self) -> bool;

    /// What is queued is to leave without waiting for more.
    fn send_now(&self) {}

    /// Queues a batch, which is not empty.
    fn exchange(&self, batch: RequestBatch) -> Exchange;

    /// Keeps the link up until `cancel`, or until this node has crashed.
    fn run(&self, cancel: CancellationToken) -> impl Future<Output = ()> + Send;
}

/// A communicator with one link per peer.
pub struct Links<L> {
    /// By node index; `None` for the node itself and for indices without a node.
    by_node: Vec<Option<Arc<L>>>,
}

impl<L: PeerLink> Links<L> {
    /// All are down until [`start`](Self::start).
    pub(super) fn of(links: impl Iterator<Item = L>) -> Self {
        let mut by_node = Vec::new();
        for link in links {
            let peer = link.standing().peer().as_usize();
            if by_node.len() <= peer {
                by_node.resize(peer + 1, None);
            }
            by_node[peer] = Some(Arc::new(link));
        }
        Self { by_node }
    }

    /// Dials every peer, again and again, in tasks of `tracker` that end with `cancel`, or with this node's crash. To be
    /// called once.
    pub fn start(&self, tracker: &TaskTracker, cancel: &CancellationToken) {
        for link in self.by_node.iter().flatten() {
            let (link, cancel) = (Arc::clone(link), cancel.clone());
            tracker.spawn(async move { link.run(cancel).await });
        }
    }

    fn find(&self, node: NodeIndex) -> Option<&L> {
        self.by_node.get(node.as_usize())?.as_deref()
    }
}

impl<L: PeerLink> NodeCommunicator for Links<L> {
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

    fn is_gathering(&self, to: NodeIndex) -> bool {
        self.find(to).is_some_and(L::is_gathering)
    }

    fn send_now(&self) {
        self.by_node.iter().flatten().for_each(|link| link.send_now());
    }

    fn process(&self, to: NodeIndex) -> StartNumber {
        self.find(to).map_or(StartNumber::default(), |link| link.standing().process())
    }

    fn status(&self, to: NodeIndex) -> Option<LinkStatus> {
        self.find(to).map(L::status)
    }
}
