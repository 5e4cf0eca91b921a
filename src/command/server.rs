//! What commands work with: the parts of one node, as one sees them from a session.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use crate::config::ServerConfig;
use crate::coordinator::ConsistentHashingKvStore;
use crate::time::UnixMs;

use super::client::Clients;
use super::live::LiveSettings;
use super::pause::Pause;
use super::refusals::Refusals;
use super::watch::Watch;

/// Counters for INFO. Each is added to by sessions and only ever read otherwise.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections turned away because of `max_clients`.
    pub rejected_connections: AtomicU64,
    /// Commands served, peers' ones included.
    pub commands: AtomicU64,
    /// Bytes received from clients and peers.
    pub input_bytes: AtomicU64,
    /// Bytes sent to clients and peers.
    pub output_bytes: AtomicU64,
    /// Connections closed for what they sent.
    pub protocol_errors: AtomicU64,
}

impl Statistics {
    /// Adds `amount` to one of the counters.
    pub fn add(counter: &AtomicU64, amount: usize) {
        counter.fetch_add(amount as u64, Ordering::Relaxed);
    }

    /// Starts all counters again.
    pub(super) fn reset(&self) {
        let Self { connections, rejected_connections, commands, input_bytes, output_bytes, protocol_errors } = self;
        for counter in [connections, rejected_connections, commands, input_bytes, output_bytes, protocol_errors] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// One node, from a command's point of view.
pub struct Server {
    /// The keys, wherever they are.
    pub store: Arc<ConsistentHashingKvStore>,
    /// What this node decides for itself.
    pub settings: ServerConfig,
    /// Of that, what can change at run time.
    pub live: LiveSettings,
    /// The file that describes the cluster, as an absolute path; `None` for a node without one.
    pub config_file: Option<PathBuf>,
    /// Who is connected.
    pub clients: Clients,
    /// Whether clients have to wait.
    pub pause: Pause,
    /// Cancelled by SHUTDOWN: whoever runs the node stops it then.
    pub shutdown: CancellationToken,
    /// Nodes that were refused, for the log.
    pub refusals: Refusals,
    /// Counters for INFO.
    pub statistics: Statistics,
    /// What is seen of its commands.
    pub watch: Watch,
    /// When the process started.
    pub started_at: UnixMs,
    /// 40 hexadecimal digits that tell this run of the process from others.
    pub run_id: String,
    /// The TCP port that clients connect to.
    pub port: u16,
}
