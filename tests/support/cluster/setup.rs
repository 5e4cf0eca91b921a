//! How a cluster is to be built.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringkv::config::{ClusterConfig, NodeConfig};
use ringkv::peer::InMemoryNetwork;
use ringkv::ring::NodeId;
use tokio::time::Instant;

use super::TestCluster;

/// How a cluster is to be built.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) config: ClusterConfig,
    pub(crate) seed: u64,
    /// Bytes of hints that each node keeps for each other.
    pub(crate) hint_bytes_max: usize,
    /// How far each node's clock is off, in milliseconds.
    pub(crate) skews_ms: Vec<i64>,
    /// How often replicas compare; never if none.
    pub(crate) anti_entropy: Option<Duration>,
}

impl Setup {
    /// `nodes` nodes with N, W and R, clocks that agree, and 200 ms for a request.
    pub(crate) fn new(nodes: u16, (n, w, r): (u16, u16, u16)) -> Self {
        let name = |index: u16| format!("node-{}", index + 1);
        let node = |index| NodeConfig { id: NodeId::from(name(index).as_str()), addr: name(index), announce: None };
        let config = ClusterConfig {
            replication_factor: n,
            write_quorum: w,
            read_quorum: r,
            virtual_nodes: 16,
            request_timeout_ms: 200,
            sync_timeout_ms: 0,
            read_repair_chance: 0.0,
            nodes: (0..nodes).map(node).collect(),
            ..ClusterConfig::single_node()
        };
        let anti_entropy = Some(Duration::from_secs(1));
        let skews_ms = vec![0; usize::from(nodes)];
        Self { config, seed: 1, hint_bytes_max: 1 << 20, skews_ms, anti_entropy }
    }

    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub(crate) fn hint_bytes_max(mut self, bytes: usize) -> Self {
        self.hint_bytes_max = bytes;
        self
    }

    /// Nobody compares: what a test is about must not be mended by it.
    pub(crate) fn without_anti_entropy(mut self) -> Self {
        self.anti_entropy = None;
        self
    }

    pub(crate) fn skews_ms(mut self, skews_ms: &[i64]) -> Self {
        self.skews_ms = skews_ms.to_vec();
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut ClusterConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// The cluster with no node started.
    pub(crate) fn build(self) -> Arc<TestCluster> {
        let nodes = self.config.nodes.iter().map(|_| None).collect();
        Arc::new(TestCluster {
            network: InMemoryNetwork::new(self.seed),
            config: self.config,
            hint_bytes_max: self.hint_bytes_max,
            origin: Instant::now(),
            skews_ms: Mutex::new(self.skews_ms),
            anti_entropy: self.anti_entropy,
            nodes: Mutex::new(nodes),
        })
    }

    /// The cluster with all nodes linked and caught up.
    pub(crate) async fn start(self) -> Arc<TestCluster> {
        let cluster = self.build();
        cluster.indices().for_each(|node| cluster.start(node));
        cluster.until_whole().await;
        cluster
    }
}
