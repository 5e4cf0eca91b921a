//! The node as a process: builds the parts, joins them, accepts connections, and stops in order.

mod accept;
mod log;
mod memory;
mod rates;

use std::future::Future;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::cli::ServeOptions;
use crate::command::{Clients, KillToken, LiveSettings, Pause, Refusals, Server, Statistics, Watch, parse_update};
use crate::coordinator::{ConsistentHashingKvStore, run_updates};
use crate::peer::{LinkOptions, LocalNode, RespCommunicator};
use crate::replica::{Replica, anti_entropy, hints, janitor, sync};
use crate::ring::NodeIndex;
use crate::time::WallClock;

/// How long running commands may take to finish once the node was told to stop, and its tasks after that.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a node that stops waits for its peers to take what it has sent them.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it looks.
const SETTLE_LOOK: Duration = Duration::from_millis(5);

/// Why the node could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be bound: taken, or not of this machine.
    #[error("cannot listen on {address}: {source}; {advice}")]
    Bind {
        /// The address as configured.
        address: String,
        /// What the system says.
        source: std::io::Error,
        /// What to do about it.
        advice: &'static str,
    },
    /// The filter of the log cannot be understood.
    #[error("cannot understand the log filter '{filter}': {reason}; write a level such as info, or target=level")]
    LogFilter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The runtime or the signal handlers could not be set up.
    #[error("cannot set up the process: {0}")]
    Setup(#[from] std::io::Error),
}

/// Serves one node until SIGTERM, SIGINT or SHUTDOWN, then ends within a few seconds.
///
/// # Errors
/// [`ServeError`] if it cannot start.
pub fn run(options: ServeOptions) -> Result<(), ServeError> {
    log::start(options.log.as_deref())?;
    memory::refuse_huge_pages();
    let mut builder = match options.server.worker_threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if options.server.worker_threads > 1 {
        builder.worker_threads(options.server.worker_threads);
    }
    let runtime = builder.enable_all().build()?;
    let result = runtime.block_on(async {
        // The handlers come first: a signal that arrives during the start stops the node in order, too.
        let stop = StopSignals::new()?;
        let node = Node::start(options).await?;
        tokio::select! {
            () = stop.received() => {}
            () = node.server.shutdown.cancelled() => tracing::info!("stopping"),
        }
        node.stop().await;
        Ok(())
    });
    // Background work on the blocking pool (freeing flushed records) need not be waited for.
    runtime.shutdown_background();
    result
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn received(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!(signal = "SIGTERM", "stopping"),
            _ = self.interrupt.recv() => tracing::info!(signal = "SIGINT", "stopping"),
        }
    }
}

/// A running node.
pub struct Node {
    /// What its sessions work with.
    pub server: Arc<Server>,
    /// The address that it listens on.
    pub address: SocketAddr,
    /// Ended first: the listener and the sessions, whose running commands still need the links.
    sessions: TaskTracker,
    stop_sessions: KillToken,
    /// Ended last: links and background work.
    tasks: TaskTracker,
    stop_tasks: CancellationToken,
}

impl Node {
    /// Builds the parts and starts them. Must be called within a runtime.
    ///
    /// # Errors
    /// [`ServeError::Bind`] if the address cannot be bound.
    pub async fn start(options: ServeOptions) -> Result<Self, ServeError> {
        let ServeOptions { cluster, node: index, server: settings, config_file, .. } = options;
        let listener = accept::bind(&cluster.nodes[index.as_usize()].addr).await?;
        let address = listener.local_addr()?;
        let wall = WallClock::System;
        let replica = Replica::new(cluster, index, wall.clone()).with_hint_bytes_max(settings.hint_bytes_max);
        let replica = Arc::new(replica);
        let peers = Arc::new(communicator(&replica));
        let server = Arc::new(Server {
            store: Arc::new(ConsistentHashingKvStore::new(Arc::clone(&replica), peers.clone())),
            started_at: wall.now(),
            run_id: run_id(&replica),
            port: address.port(),
            live: LiveSettings::new(&settings),
            settings,
            config_file,
            clients: Clients::default(),
            pause: Pause::default(),
            shutdown: CancellationToken::new(),
            refusals: Refusals::default(),
            statistics: Statistics::default(),
            watch: Watch::default(),
        });
        announce(&server, address);
        let node = Self {
            server,
            address,
            sessions: TaskTracker::new(),
            stop_sessions: KillToken::default(),
            tasks: TaskTracker::new(),
            stop_tasks: CancellationToken::new(),
        };
        peers.start(&node.tasks, &node.stop_tasks);
        node.start_tasks(listener);
        Ok(node)
    }

    fn start_tasks(&self, listener: TcpListener) {
        let server = Arc::clone(&self.server);
        let stop = self.stop_sessions.clone();
        self.sessions.spawn(accept::run(server, listener, self.sessions.clone(), stop));
        let store = &self.server.store;
        self.spawn_background(sync::run(Arc::clone(&store.replica), Arc::clone(&store.peers)));
        self.spawn_background(hints::run(Arc::clone(&store.replica), Arc::clone(&store.peers)));
        self.spawn_background(janitor::run(Arc::clone(&store.replica)));
        self.spawn_background(run_updates(Arc::clone(store), parse_update));
        let server = Arc::clone(&self.server);
        self.spawn_background(async move { server.store.repair_reads().await });
        let interval = self.server.settings.anti_entropy_interval();
        self.spawn_background(anti_entropy::run(Arc::clone(&store.replica), Arc::clone(&store.peers), interval));
        self.spawn_background(rates::sample(Arc::clone(&self.server)));
        self.spawn_background(accept::close_idle(Arc::clone(&self.server)));
    }

    /// Runs `work` until the node stops. Should it panic the log says so: nobody else would miss it soon.
    fn spawn_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop_tasks.clone();
        let work = AbortOnDropHandle::new(tokio::spawn(work));
        self.tasks.spawn(async move {
            if let Some(Err(error)) = stop.run_until_cancelled(work).await {
                tracing::error!(%error, "background work has ended, which is a bug; restart this node");
            }
        });
    }

    /// Stops accepting, lets running commands finish and their replies leave, and the last copies of what they wrote
    /// arrive, then ends every task.
    pub async fn stop(self) {
        self.stop_sessions.kill();
        end(&self.sessions, "sessions").await;
        if tokio::time::timeout(SETTLE_TIMEOUT, self.until_links_settle()).await.is_err() {
            tracing::warn!("not all peers answered in time");
        }
        self.stop_tasks.cancel();
        end(&self.tasks, "tasks").await;
        tracing::info!("stopped");
    }

    /// Returns when the peers within reach have answered all that was sent to them: a write is acknowledged before
    /// its last copies have arrived.
    async fn until_links_settle(&self) {
        let (peers, nodes) = (&self.server.store.peers, self.server.store.replica.config.node_indices());
        for node in nodes {
            while peers.status(node).is_some_and(|link| link.requests_in_flight > 0) {
                tokio::time::sleep(SETTLE_LOOK).await;
            }
        }
    }
}

/// Waits for the tasks of `tracker`, which were told to end.
async fn end(tracker: &TaskTracker, what: &str) {
    tracker.close();
    if tokio::time::timeout(STOP_TIMEOUT, tracker.wait()).await.is_err() {
        tracing::warn!(what, left = tracker.len(), "not all ended in time");
    }
}

/// The links to all other nodes.
fn communicator(replica: &Arc<Replica>) -> RespCommunicator {
    let options = LinkOptions::new(replica.config.request_timeout(), replica.wall.clone());
    let nodes = replica.config.node_indices().zip(&replica.config.nodes);
    let others = nodes.filter(|(index, _)| *index != replica.index);
    let dialled: Vec<(NodeIndex, String)> = others.map(|(index, node)| (index, node.announced().to_owned())).collect();
    let node: Arc<dyn LocalNode> = replica.clone();
    RespCommunicator::new(replica.index, dialled, &options, &node)
}

/// 40 hexadecimal digits, as Redis' run ids have.
fn run_id(replica: &Replica) -> String {
    let seed = foldhash::fast::RandomState::default();
    let part = |salt: u64| seed.hash_one((salt, replica.start().get(), std::process::id()));
    format!("{:016x}{:016x}{:08x}", part(0), part(1), part(2) >> 32)
}

/// The one line that says what started.
fn announce(server: &Server, address: SocketAddr) {
    let replica = &server.store.replica;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = %replica.config.nodes[replica.index.as_usize()].id,
        %address,
        ring = %replica.ring.fingerprint(),
        threads = server.settings.worker_threads,
        "ringkv started"
    );
}
