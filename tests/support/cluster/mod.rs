//! A cluster of real nodes (coordinator, replica, store, catching up) in one process, on a network that fails when it is told to.
//!
//! Only the sessions are missing: a test asks a node's coordinator as the commands do. All waits are in tokio's paused
//! time, so a minute of the cluster takes milliseconds, and nothing depends on the speed of the machine.

mod reply;
mod setup;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ringkv::codec::Protocol;
use ringkv::command::parse_update;
use ringkv::config::ClusterConfig;
use ringkv::coordinator::{ConsistentHashingKvStore, Operation, OperationKind, QuorumError, UpdateOrder, run_updates};
use ringkv::peer::{
    InMemoryCommunicator, InMemoryNetwork, LinkOptions, LinkState, LocalNode, NodeCommunicator, PeerReply, PeerRequest,
};
use ringkv::replica::{HintStatus, Replica, anti_entropy, hints, janitor, sync};
use ringkv::ring::{NodeIndex, Slot};
use ringkv::time::{UnixMs, WallClock};
use ringkv::version::Version;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use reply::Reply;
pub(crate) use setup::Setup;

/// What all clocks show when a test begins, before their skew.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// No test waits longer for what must come.
const PATIENCE: Duration = Duration::from_mins(2);

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One running process of a node.
#[derive(Clone)]
pub(crate) struct TestNode {
    pub(crate) store: Arc<ConsistentHashingKvStore>,
    /// Cancelled when the process ends.
    died: CancellationToken,
}

impl TestNode {
    pub(crate) fn replica(&self) -> &Replica {
        &self.store.replica
    }
}

/// The cluster. Nodes are named by their index.
pub(crate) struct TestCluster {
    pub(crate) network: InMemoryNetwork,
    pub(crate) config: ClusterConfig,
    hint_bytes_max: usize,
    origin: Instant,
    skews_ms: Mutex<Vec<i64>>,
    anti_entropy: Option<Duration>,
    nodes: Mutex<Vec<Option<TestNode>>>,
}

impl TestCluster {
    pub(crate) fn indices(&self) -> std::ops::Range<usize> {
        0..self.config.nodes.len()
    }

    /// Whether all replicas come to hold the same although nobody asks for their keys.
    pub(crate) fn converges(&self) -> bool {
        self.anti_entropy.is_some()
    }

    /// Starts a process of `node` with empty memory, in place of the one that ran, if any.
    pub(crate) fn start(&self, node: usize) {
        self.crash(node);
        let skew_ms = self.skews_ms.lock().expect("no test panics with it")[node];
        let epoch = UnixMs(u64::try_from(EPOCH_MS + skew_ms).expect("no clock before 1970"));
        let wall = WallClock::Simulated { epoch, origin: self.origin };
        let replica = Replica::new(self.config.clone(), index(node), wall.clone());
        let replica = Arc::new(replica.with_hint_bytes_max(self.hint_bytes_max));
        let options = LinkOptions::new(self.config.request_timeout(), wall);
        let others: Vec<NodeIndex> = self.indices().map(index).collect();
        let local: Arc<dyn LocalNode> = replica.clone();
        let peers = Arc::new(InMemoryCommunicator::new(&self.network, index(node), &others, &options, &local));
        let died = CancellationToken::new();
        peers.start(&TaskTracker::new(), &died);
        let peers: Arc<dyn NodeCommunicator> = peers;
        spawn_until(&died, sync::run(Arc::clone(&replica), Arc::clone(&peers)));
        spawn_until(&died, hints::run(Arc::clone(&replica), Arc::clone(&peers)));
        spawn_until(&died, janitor::run(Arc::clone(&replica)));
        spawn_until(&died, anti_entropy::run(Arc::clone(&replica), Arc::clone(&peers), self.anti_entropy));
        let store = Arc::new(ConsistentHashingKvStore::new(replica, peers));
        spawn_until(&died, run_updates(Arc::clone(&store), parse_update));
        let reads = Arc::clone(&store);
        spawn_until(&died, async move { reads.repair_reads().await });
        self.nodes.lock().expect("no test panics with it")[node] = Some(TestNode { store, died });
    }

    /// Ends the process of `node` like a `kill -9`; its memory is gone.
    pub(crate) fn crash(&self, node: usize) {
        if let Some(gone) = self.nodes.lock().expect("no test panics with it")[node].take() {
            self.network.crash(index(node));
            gone.died.cancel();
        }
    }

    /// From its next start on the clock of `node` is this far off.
    pub(crate) fn set_skew_ms(&self, node: usize, skew_ms: i64) {
        self.skews_ms.lock().expect("no test panics with it")[node] = skew_ms;
    }

    pub(crate) fn is_running(&self, node: usize) -> bool {
        self.nodes.lock().expect("no test panics with it")[node].is_some()
    }

    pub(crate) fn find(&self, node: usize) -> Option<TestNode> {
        self.nodes.lock().expect("no test panics with it")[node].clone()
    }

    /// The running process of `node`.
    pub(crate) fn node(&self, node: usize) -> TestNode {
        self.find(node).expect("it runs")
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        self.indices().filter(|&node| self.is_running(node)).collect()
    }

    /// Sends a batch to `node` and waits for all its answers.
    pub(crate) async fn batch(&self, node: usize, operations: Vec<Operation>) -> Vec<Reply> {
        let count = operations.len();
        let Some(TestNode { store, died }) = self.find(node) else { return vec![Reply::Died; count] };
        let flight = store.launch(operations, store.replica.wall.now());
        tokio::select! {
            biased;
            () = died.cancelled() => vec![Reply::Died; count],
            outcomes = flight.settle() => outcomes.into_iter().map(Reply::from).collect(),
        }
    }

    /// Sends the only operation of a client to `node`, as a session does: in a group with those of others if it may.
    pub(crate) async fn single(&self, node: usize, operation: Operation) -> Reply {
        let Some(TestNode { store, died }) = self.find(node) else { return Reply::Died };
        if !store.may_join(&operation) {
            return self.batch(node, vec![operation]).await.remove(0);
        }
        tokio::select! {
            biased;
            () = died.cancelled() => Reply::Died,
            outcome = store.join(operation) => outcome.into(),
        }
    }

    /// Several clients send `node` an operation each, at the same time.
    pub(crate) async fn at_once(self: &Arc<Self>, node: usize, operations: Vec<Operation>) -> Vec<Reply> {
        let ask = |operation| {
            let cluster = Arc::clone(self);
            tokio::spawn(async move { cluster.single(node, operation).await })
        };
        let asked: Vec<_> = operations.into_iter().map(ask).collect();
        let mut replies = Vec::with_capacity(asked.len());
        for reply in asked {
            replies.push(reply.await.expect("nobody who asks panics"));
        }
        replies
    }

    /// GET, as the command does it: on the spot if the node may answer alone.
    pub(crate) async fn get(&self, node: usize, key: &str) -> Reply {
        let Some(TestNode { store, .. }) = self.find(node) else { return Reply::Died };
        let found = |lookup: ringkv::store::Lookup<'_>| lookup.live().and_then(|record| record.value().map(text));
        let here = store.read_here(slot(key), key.as_bytes(), store.replica.wall.now(), found);
        match here {
            Some(value) => Reply::Value(value),
            None => self.single(node, read(key)).await,
        }
    }

    pub(crate) async fn set(&self, node: usize, key: &str, value: &str) -> Reply {
        self.single(node, write(key, Some(value))).await
    }

    pub(crate) async fn delete(&self, node: usize, key: &str) -> Reply {
        self.single(node, write(key, None)).await
    }

    /// Asks for updates of keys, which may be refused; each command is its words with single spaces.
    pub(crate) async fn update_all(&self, node: usize, commands: &[&str]) -> Vec<Reply> {
        let node = self.node(node);
        let orders: Vec<UpdateOrder> = commands.iter().map(|command| update(command)).collect();
        tokio::select! {
            replies = node.store.update(orders) => replies.iter().map(|reply| Reply::of_update(reply)).collect(),
            () = node.died.cancelled() => commands.iter().map(|_| Reply::Died).collect(),
        }
    }

    pub(crate) async fn update(&self, node: usize, command: &str) -> Reply {
        self.update_all(node, &[command]).await.remove(0)
    }

    /// FLUSHALL.
    pub(crate) async fn flush(&self, node: usize) -> Reply {
        let Some(TestNode { store, died }) = self.find(node) else { return Reply::Died };
        tokio::select! {
            biased;
            () = died.cancelled() => Reply::Died,
            flushed = store.flush_all() => flushed.map_or_else(Reply::from, |()| Reply::Done { live: false }),
        }
    }

    /// DBSIZE.
    pub(crate) async fn count(&self, node: usize) -> Result<u64, QuorumError> {
        self.node(node).store.count_keys().await
    }

    /// What `node` shows of a key, without being seen to look.
    pub(crate) fn version_at(&self, node: usize, key: &str) -> Option<Version> {
        self.node(node).replica().store.version_of(slot(key), key.as_bytes())
    }

    /// What `from` owes to `to`.
    pub(crate) fn hints(&self, from: usize, to: usize) -> HintStatus {
        self.node(from).store.hint_status(index(to))
    }

    /// Waits until no running node owes anything to `node`.
    pub(crate) async fn until_paid(&self, node: usize) {
        self.until("all hints are delivered", |cluster| {
            cluster.running().into_iter().all(|other| other == node || cluster.hints(other, node).count == 0)
        })
        .await;
    }

    /// What `node` itself shows of a key. Counts as a read there.
    pub(crate) fn value_at(&self, node: usize, key: &str) -> Option<String> {
        let node = self.node(node);
        let replica = node.replica();
        replica.store.read(slot(key), key.as_bytes(), replica.wall.now(), |lookup| {
            lookup.live().and_then(|record| record.value().map(text))
        })
    }

    /// Hands `node` a request as if it came from the peer `from`, and forgets the answer.
    pub(crate) fn hand(&self, from: usize, node: usize, request: PeerRequest<'_>) {
        let node = self.node(node);
        node.replica().serve(index(from), request, None, node.replica().wall.now(), &mut Vec::new());
    }

    /// The replicas of a key, in order.
    pub(crate) fn replicas_of(&self, key: &str) -> Vec<usize> {
        self.config.ring().preference_list(slot(key)).iter().map(|node| node.as_usize()).collect()
    }

    /// A key whose replicas are these, in order.
    pub(crate) fn key_on(&self, replicas: &[usize]) -> String {
        let ring = self.config.ring();
        (0..100_000)
            .map(|number| format!("key-{number}"))
            .find(|key| ring.preference_list(slot(key)).iter().map(|node| node.as_usize()).eq(replicas.iter().copied()))
            .expect("some key has these replicas")
    }

    pub(crate) fn is_linked(&self, from: usize, to: usize) -> bool {
        self.node(from).store.peers.link(index(to)) == LinkState::Up
    }

    pub(crate) fn is_syncing(&self, node: usize) -> bool {
        self.node(node).replica().syncing.count() > 0
    }

    /// How long ago the test began.
    pub(crate) fn age_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).expect("minutes")
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Waits for what must come true.
    pub(crate) async fn until(&self, what: &str, is_true: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_true(self) {
            assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until all running nodes see each other.
    pub(crate) async fn until_linked(&self) {
        self.until("all running nodes are linked", |cluster| {
            let running = cluster.running();
            running.iter().all(|&from| running.iter().all(|&to| from == to || cluster.is_linked(from, to)))
        })
        .await;
    }

    /// Waits until all running nodes see each other, have caught up, and know it of each other.
    pub(crate) async fn until_whole(&self) {
        self.until_linked().await;
        self.until("all running nodes have caught up", |cluster| {
            cluster.running().into_iter().all(|node| !cluster.is_syncing(node))
        })
        .await;
        // An idle link is tried every half timeout; that carries the news.
        tokio::time::sleep(self.config.request_timeout()).await;
    }

    /// Waits until no link leads to `node` any more, for all others that run.
    pub(crate) async fn until_missed(&self, node: usize) {
        self.until("the node is missed", |cluster| {
            cluster.running().into_iter().all(|other| other == node || !cluster.is_linked(other, node))
        })
        .await;
    }

    /// Cuts `node` off from all others.
    pub(crate) fn isolate(&self, node: usize) {
        self.indices().filter(|&other| other != node).for_each(|other| self.network.cut(index(node), index(other)));
    }
}

pub(crate) fn read(key: &str) -> Operation {
    Operation { slot: slot(key), key: bytes(key), kind: OperationKind::Read }
}

/// SET, or DEL without a value.
pub(crate) fn write(key: &str, value: Option<&str>) -> Operation {
    let kind = OperationKind::Write { value: value.map(bytes), expires_at: None };
    Operation { slot: slot(key), key: bytes(key), kind }
}

/// An update in its words.
pub(crate) fn update(command: &str) -> UpdateOrder {
    let words = command.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    parse_update(words, Protocol::Resp2).expect("a test's updates are offered")
}

pub(crate) fn index(node: usize) -> NodeIndex {
    NodeIndex(u16::try_from(node).expect("a small cluster"))
}

pub(crate) fn slot(key: &str) -> Slot {
    Slot::of_key(key.as_bytes())
}

/// Whether `reply` to a peer's request, as bytes, is of a kind that tests name by its first characters.
pub(crate) fn encoded(reply: &PeerReply) -> Vec<u8> {
    let mut out = Vec::new();
    reply.encode(&mut out);
    out
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn text(value: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(value.as_ref()).into_owned()
}

fn spawn_until(died: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    let died = died.clone();
    tokio::spawn(async move { died.run_until_cancelled(work).await });
}
