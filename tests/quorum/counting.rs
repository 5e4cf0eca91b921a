//! A communicator that counts what it is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringkv::peer::{Exchange, LinkState, LinkStatus, NodeCommunicator, RequestBatch};
use ringkv::ring::NodeIndex;
use ringkv::version::StartNumber;

/// Counts the requests that a node sends.
pub(crate) struct CountingPeers {
    inner: Arc<dyn NodeCommunicator>,
    requests: AtomicUsize,
}

impl CountingPeers {
    pub(crate) fn around(inner: &Arc<dyn NodeCommunicator>) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), requests: AtomicUsize::new(0) })
    }

    /// How many there were so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl NodeCommunicator for CountingPeers {
    fn exchange(&self, to: NodeIndex, batch: RequestBatch) -> Exchange {
        self.requests.fetch_add(batch.len(), Ordering::Relaxed);
        self.inner.exchange(to, batch)
    }

    fn link(&self, to: NodeIndex) -> LinkState {
        self.inner.link(to)
    }

    fn process(&self, to: NodeIndex) -> StartNumber {
        self.inner.process(to)
    }

    fn status(&self, to: NodeIndex) -> Option<LinkStatus> {
        self.inner.status(to)
    }
}
