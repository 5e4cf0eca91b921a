//! What the operator decides: the cluster that all nodes share, and the server that each node is.
//!
//! A mistake in a configuration is found when it costs nothing: before the node has started, with the line that holds it and
//! what to write instead. Afterwards only legal values exist, so nothing else in ringkv checks them again.

mod address;
mod consistency;
mod error;
mod file;
mod knob;
mod nodes;
mod output_limits;
mod raw;
mod secret;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::ring::{HashRing, NodeId, NodeIndex};

pub use consistency::Consistency;
pub use error::ConfigError;
pub use file::LoadedConfig;
pub use knob::{
    ANTI_ENTROPY_INTERVAL_MS, HINT_BYTES_MAX, HINT_TTL_MS, Knob, MAX_CLIENTS, MAX_CLOCK_DRIFT_MS, MAX_VALUE_BYTES,
    NAME_BYTES_MAX, NODES_MAX, REQUEST_TIMEOUT_MS, SECONDS, SECRET_BYTES_MAX, SYNC_TIMEOUT_MS, VIRTUAL_NODES,
    WORKER_THREADS,
};
pub use output_limits::{OutputLimit, OutputLimits, parse_bytes};
pub use secret::Secret;

/// The cluster: the tables `[cluster]` and `[[nodes]]`. Every node has the same.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The cluster's name. Nodes of clusters with different names refuse each other, which keeps a staging node with a
    /// wrong address out of production. 1 to 64 bytes without spaces, commas and control characters; `ringkv` by default.
    pub name: String,
    /// N: how many nodes keep each key. More survive more dead nodes and cost memory and writes in proportion. 1 to the
    /// number of nodes; 3 by default, or all nodes if there are fewer.
    pub replication_factor: u16,
    /// W: how many nodes have a write before it is answered. Writes go on while N - W of a key's nodes are dead. With
    /// 2 W > N, a write acknowledged later always beats one acknowledged earlier. 1 to N; the majority of N by default.
    pub write_quorum: u16,
    /// R: how many nodes a read asks. 1 is fastest, and answers from this node if it keeps the key; R + W > N (and R > 1)
    /// shows every acknowledged write. 1 to N; 1 by default.
    pub read_quorum: u16,
    /// At how many positions each node stands on the ring. No node is first for more than 1.05 times the mean of the slots;
    /// more positions bring the least busy up to it, let less move when a node joins, and lengthen the slot map that
    /// clients load. 1 to 4096; 256 by default.
    pub virtual_nodes: u32,
    /// After how many milliseconds a request to other nodes is given up. Well above the slowest round trip that is still
    /// healthy; clients see it as the longest wait. 10 to 600000; 1000 by default.
    pub request_timeout_ms: u64,
    /// How many milliseconds a write's stamp may lie ahead of a node's clock before the node refuses it. Above what time
    /// synchronisation lets happen, yet small enough that one broken clock cannot push all others far ahead.
    /// 1 to 86400000; 60000 by default.
    pub max_clock_drift_ms: u64,
    /// For how many milliseconds a node that has restarted empty waits for enough others to catch up from, before it goes
    /// on with those that it reached. 0 waits for ever, which is safest. 0 to 86400000; 30000 by default.
    pub sync_timeout_ms: u64,
    /// For how many milliseconds a coordinator keeps what it owes to a replica that missed a write. Longer spares more
    /// comparing after an absence; tombstones are kept at least as long. 1000 to 86400000; 600000 by default.
    pub hint_ttl_ms: u64,
    /// With R = 1, the share of reads whose replicas are compared afterwards, in the background, and made equal. Nodes
    /// may differ in it. 0.0 to 1.0; 0.01 by default.
    pub read_repair_chance: f64,
    /// What a node must know to be let in as a peer. Set one wherever clients can connect that should not be able to forge
    /// writes, at best 32 random characters. 1 to 1024 bytes; by default
    /// [`ServerConfig::requirepass`], if there is one.
    pub secret: Option<Secret>,
    /// The nodes, 1 to 1024, sorted by id: a node's place in this list is its [`NodeIndex`].
    pub nodes: Vec<NodeConfig>,
}

/// A node of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeConfig {
    /// Its name, for as long as it lives. 1 to 64 bytes without spaces, commas and control characters.
    pub id: NodeId,
    /// What it binds, `host:port`.
    pub addr: String,
    /// Where the other nodes and the clients reach it, `host:port`, if that is not what it binds: behind a proxy, in a
    /// container, or when it binds `0.0.0.0`.
    pub announce: Option<String>,
}

impl NodeConfig {
    /// Where the other nodes and the clients reach it, `host:port`.
    #[must_use]
    pub fn announced(&self) -> &str {
        self.announce.as_deref().unwrap_or(&self.addr)
    }
}

/// What a node decides for itself: the `[server]` table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerConfig {
    /// The threads that serve requests. 1 to 1024; as many as there are processors by default.
    pub worker_threads: usize,
    /// How many clients may be connected at a time; the next is turned away with an error. Below the limit of open
    /// files (`ulimit -n`). 1 to 1000000; 10000 by default.
    pub max_clients: usize,
    /// The longest value that a client may send, in bytes. Smaller saves memory from a careless client.
    /// 1024 to 536870912 (512 MiB), which is the default.
    pub max_value_bytes: usize,
    /// How many bytes of writes this node keeps for each replica that missed them, and four times as many in all; what
    /// is over is left to the comparing of replicas. 0 to 1099511627776 (1 TiB), 0 keeps none; 67108864 (64 MiB) by
    /// default.
    pub hint_bytes_max: usize,
    /// Every how many milliseconds this node compares what it holds with the other replicas, and copies what it lacks.
    /// 0 switches that off, and with it the dropping of tombstones. 0 to 3600000; 1000 by default.
    pub anti_entropy_interval_ms: u64,
    /// What a client must say before it is served. Where the cluster has no secret this is its secret, too: otherwise
    /// whoever can connect could introduce itself as a node and pass the password by. 1 to 1024 bytes; none by default.
    pub requirepass: Option<Secret>,
    /// Whether a node without a password refuses clients of other machines. True by default.
    pub protected_mode: bool,
    /// After how many seconds of silence a client is closed. 0 to 2147483647; 0, the default, is never.
    pub timeout: u64,
    /// After how many seconds of silence the system asks whether a client is still there. 0 to 2147483647, 0 never asks;
    /// 300 by default.
    pub tcp_keepalive: u64,
    /// When a client that does not take its replies is closed; never by default.
    pub client_output_buffer_limit: OutputLimits,
}

impl ServerConfig {
    /// [`Self::anti_entropy_interval_ms`] as a duration; `None` if it is switched off.
    #[must_use]
    pub fn anti_entropy_interval(&self) -> Option<Duration> {
        (self.anti_entropy_interval_ms > 0).then(|| Duration::from_millis(self.anti_entropy_interval_ms))
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            worker_threads: std::thread::available_parallelism().map_or(1, usize::from),
            max_clients: 10_000,
            max_value_bytes: 512 * 1024 * 1024,
            hint_bytes_max: 64 * 1024 * 1024,
            anti_entropy_interval_ms: 1000,
            requirepass: None,
            protected_mode: true,
            timeout: 0,
            tcp_keepalive: 300,
            client_output_buffer_limit: OutputLimits::default(),
        }
    }
}

impl ClusterConfig {
    /// The cluster of one node, `node-1` on 127.0.0.1:6379, that runs when no file is given.
    #[must_use]
    pub fn single_node() -> Self {
        let node = NodeConfig { id: NodeId::from("node-1"), addr: "127.0.0.1:6379".to_owned(), announce: None };
        Self {
            name: defaults::NAME.to_owned(),
            replication_factor: 1,
            write_quorum: 1,
            read_quorum: 1,
            virtual_nodes: defaults::VIRTUAL_NODES,
            request_timeout_ms: defaults::REQUEST_TIMEOUT_MS,
            max_clock_drift_ms: defaults::MAX_CLOCK_DRIFT_MS,
            sync_timeout_ms: defaults::SYNC_TIMEOUT_MS,
            hint_ttl_ms: defaults::HINT_TTL_MS,
            read_repair_chance: defaults::READ_REPAIR_CHANCE,
            secret: None,
            nodes: vec![node],
        }
    }

    /// The node named `id`.
    ///
    /// # Errors
    /// If there is none; the error names those that exist.
    pub fn node(&self, id: &str) -> Result<NodeIndex, ConfigError> {
        self.node_indices()
            .zip(&self.nodes)
            .find(|(_, node)| node.id.as_str() == id)
            .map(|(index, _)| index)
            .ok_or_else(|| {
                ConfigError::elsewhere(format!("no node is named `{id}`; write one of {} instead", self.id_list(", ")))
            })
    }

    /// The indices of all nodes, in order.
    pub fn node_indices(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..).map(NodeIndex).take(self.nodes.len())
    }

    /// The ring of these nodes.
    #[must_use]
    pub fn ring(&self) -> HashRing {
        let ids: Vec<NodeId> = self.nodes.iter().map(|node| node.id.clone()).collect();
        HashRing::new(&ids, self.virtual_nodes, self.replication_factor)
    }

    /// The settings, by key, that two nodes must share before data may pass between them: with different ones they would
    /// place keys, count acknowledgements, close open records or drop tombstones differently. (Names are compared before.)
    #[must_use]
    pub fn peer_settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("replication_factor", self.replication_factor.to_string()),
            ("write_quorum", self.write_quorum.to_string()),
            ("virtual_nodes", self.virtual_nodes.to_string()),
            ("request_timeout_ms", self.request_timeout_ms.to_string()),
            ("hint_ttl_ms", self.hint_ttl_ms.to_string()),
            ("max_clock_drift_ms", self.max_clock_drift_ms.to_string()),
            ("nodes", self.id_list(",")),
        ]
    }

    /// [`Self::request_timeout_ms`] as a duration.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// [`Self::max_clock_drift_ms`] as a duration.
    #[must_use]
    pub fn max_clock_drift(&self) -> Duration {
        Duration::from_millis(self.max_clock_drift_ms)
    }

    /// [`Self::sync_timeout_ms`] as a duration; `None` waits for ever.
    #[must_use]
    pub fn sync_timeout(&self) -> Option<Duration> {
        (self.sync_timeout_ms > 0).then(|| Duration::from_millis(self.sync_timeout_ms))
    }

    fn id_list(&self, separator: &str) -> String {
        let ids: Vec<&str> = self.nodes.iter().map(|node| node.id.as_str()).collect();
        ids.join(separator)
    }
}

/// What holds where the file is silent.
mod defaults {
    pub(super) const NAME: &str = "ringkv";
    pub(super) const REPLICATION_FACTOR: u16 = 3;
    pub(super) const READ_QUORUM: u16 = 1;
    pub(super) const VIRTUAL_NODES: u32 = 256;
    pub(super) const REQUEST_TIMEOUT_MS: u64 = 1000;
    pub(super) const MAX_CLOCK_DRIFT_MS: u64 = 60_000;
    pub(super) const SYNC_TIMEOUT_MS: u64 = 30_000;
    pub(super) const HINT_TTL_MS: u64 = 600_000;
    pub(super) const READ_REPAIR_CHANCE: f64 = 0.01;

    /// The smallest quorum that meets every other of its kind.
    pub(super) fn write_quorum(replication_factor: u16) -> u16 {
        replication_factor / 2 + 1
    }
}
