//! A node without sockets and without living peers: one client's commands, dispatched one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;

use crate::codec::{DecodeLimits, RequestDecoder, Requests};
use crate::config::{ClusterConfig, NodeConfig, Secret, ServerConfig};
use crate::coordinator::{ConsistentHashingKvStore, Outcomes};
use crate::peer::{Exchange, LinkState, LinkStatus, NodeCommunicator, RequestBatch};
use crate::replica::Replica;
use crate::ring::{NodeId, NodeIndex, Slot};
use crate::time::{UnixMs, WallClock};
use crate::version::StartNumber;

use super::{
    Client, Clients, Flow, KillToken, LiveSettings, Order, Pause, Refusals, Server, State, Statistics, Turn,
    ask_cluster, dispatch,
};

/// When everything happens.
pub(super) const NOW: UnixMs = UnixMs(1_700_000_000_123);
/// How long every turn takes.
pub(super) const TURN_TIME: Duration = Duration::from_micros(5);
/// How long the node has run by then: a day, an hour, a minute and a second.
const UPTIME_MS: u64 = 90_061_000;

/// Links that are up or down as the test says, and carry nothing.
#[derive(Debug)]
pub(super) struct Links(Vec<AtomicBool>);

impl Links {
    /// Sets whether the link to `node` is up.
    pub(super) fn set(&self, node: NodeIndex, up: bool) {
        self.0[node.as_usize()].store(up, Ordering::Relaxed);
    }
}

impl NodeCommunicator for Links {
    fn exchange(&self, _: NodeIndex, _: RequestBatch) -> Exchange {
        unreachable!("no command tried here needs a peer")
    }

    fn link(&self, to: NodeIndex) -> LinkState {
        if self.0[to.as_usize()].load(Ordering::Relaxed) { LinkState::Up } else { LinkState::Down }
    }

    fn process(&self, _: NodeIndex) -> StartNumber {
        StartNumber::FIRST
    }

    fn status(&self, to: NodeIndex) -> Option<LinkStatus> {
        Some(LinkStatus {
            state: self.link(to),
            health: self.health(to),
            age: Duration::from_millis(1500),
            address: format!("127.0.0.1:{}", 7001 + to.0),
            last_error: String::new(),
            requests_in_flight: 3,
            asked_ago: None,
            heard_ago: None,
            clock_offset_ms: -7,
        })
    }
}

/// A node and one client of it.
pub(super) struct Bench {
    pub(super) server: Server,
    pub(super) peers: Arc<Links>,
    pub(super) client: Arc<Client>,
    pub(super) state: State,
}

impl Bench {
    /// A cluster of one node, which answers every command alone.
    pub(super) fn single_node() -> Self {
        Self::new(ClusterConfig::single_node())
    }

    /// The one node of a cluster, bound to `addr`.
    pub(super) fn bound_to(addr: &str) -> Self {
        let mut cluster = ClusterConfig::single_node();
        addr.clone_into(&mut cluster.nodes[0].addr);
        Self::new(cluster)
    }

    /// The first node of a cluster of three with N=3, W=2 and a secret; its links are down.
    pub(super) fn three_nodes() -> Self {
        let node = |number| NodeConfig {
            id: NodeId::from(format!("node-{number}").as_str()),
            addr: format!("127.0.0.1:700{number}"),
            announce: None,
        };
        Self::new(ClusterConfig {
            nodes: [1, 2, 3].map(node).into(),
            replication_factor: 3,
            write_quorum: 2,
            secret: Some(Secret::new("between us".to_owned())),
            ..ClusterConfig::single_node()
        })
    }

    fn new(cluster: ClusterConfig) -> Self {
        let peers = Arc::new(Links(cluster.nodes.iter().map(|_| AtomicBool::new(false)).collect()));
        let replica = Arc::new(Replica::new(cluster, NodeIndex(0), WallClock::System));
        let server = Server {
            store: Arc::new(ConsistentHashingKvStore::new(replica, Arc::<Links>::clone(&peers))),
            settings: ServerConfig::default(),
            live: LiveSettings::new(&ServerConfig::default()),
            config_file: None,
            clients: Clients::default(),
            pause: Pause::default(),
            shutdown: CancellationToken::new(),
            refusals: Refusals::default(),
            statistics: Statistics::default(),
            watch: super::Watch::default(),
            started_at: UnixMs(NOW.0 - UPTIME_MS),
            run_id: "0123456789".repeat(4),
            port: 7001,
        };
        let client = connect(&server);
        let state = State::new(&server);
        Self { server, peers, client, state }
    }

    /// Another client that has just connected.
    pub(super) fn connect(&self) -> Arc<Client> {
        connect(&self.server)
    }

    /// The answer to a request in its inline form.
    pub(super) fn ask(&mut self, request: &str) -> String {
        self.ask_for(request).0
    }

    /// The answer to a request in its inline form, waited for if it has to be.
    pub(super) async fn ask_and_wait(&mut self, request: &str) -> String {
        let (mut answer, flow) = self.ask_for(request);
        if let Flow::Await(request) = flow {
            let mut out = Vec::new();
            ask_cluster(&self.server, &self.state, self.state.quorum, *request, &mut out).await;
            answer.push_str(&String::from_utf8(out).expect("a test's answers are text"));
        }
        answer
    }

    /// The answer to a request in its inline form, which may be no text.
    pub(super) fn ask_for_bytes(&mut self, request: &str) -> Vec<u8> {
        let mut turn = Turn::default();
        self.dispatch(request, &mut turn);
        turn.finish(Outcomes::new(), Vec::new());
        turn.out
    }

    /// The answer to a request in its inline form, and what the session is to do next.
    pub(super) fn ask_for(&mut self, request: &str) -> (String, Flow) {
        let mut turn = Turn::default();
        let flow = self.dispatch(request, &mut turn);
        (self.finished(turn), flow)
    }

    /// The answers to requests that arrive together, so that they share a turn.
    pub(super) fn ask_together(&mut self, requests: &[&str]) -> String {
        let mut turn = Turn::default();
        for request in requests {
            assert_eq!(self.dispatch(request, &mut turn), Flow::Next, "{request}");
        }
        self.finished(turn)
    }

    /// The answers of a turn that needed no peer; it took [`TURN_TIME`].
    fn finished(&self, mut turn: Turn) -> String {
        turn.finish(Outcomes::new(), Vec::new());
        turn.meter.settle(TURN_TIME, &self.server.watch);
        String::from_utf8(turn.out).expect("a test's answers are text")
    }

    fn dispatch(&mut self, request: &str, turn: &mut Turn) -> Flow {
        self.dispatch_first(&self::request(request), turn)
    }

    /// Dispatches the first of these requests.
    pub(super) fn dispatch_first(&mut self, requests: &Requests, turn: &mut Turn) -> Flow {
        let request = &requests.first();
        let slot = Slot::of_key(request.args().nth(1).unwrap_or_default());
        dispatch(&self.server, &self.client, &mut self.state, Order { request, slot, from: 0 }, NOW, turn)
    }
}

/// A node of its own, which holds nothing at first, answers each of these requests so.
pub(super) fn hold(cases: &[(&str, &str)]) {
    let mut bench = Bench::single_node();
    for (request, answer) in cases {
        assert_eq!(bench.ask(request), *answer, "{request}");
    }
}

/// A request in its inline form.
pub(super) fn request(line: &str) -> Requests {
    let mut input = BytesMut::from(format!("{line}\r\n").as_str());
    let decoded = RequestDecoder::new(DecodeLimits::default()).decode(&mut input);
    decoded.expect("a well-formed request").expect("a whole request")
}

/// Clients are told apart by their ports.
fn connect(server: &Server) -> Arc<Client> {
    let address = format!("127.0.0.1:{}", 50_001 + server.clients.count());
    let local_address = "127.0.0.1:7001".to_owned();
    let stop = KillToken::default();
    server.clients.connect(address, local_address, NOW, usize::MAX, &stop).expect("there is room for every client")
}
