//! Clients that write, overwrite, delete and read through whatever happens to the nodes, and know what must be there
//! afterwards.
//!
//! Each client owns its keys, one generation after the other, so what it was told last about a key is what must be read.
//! Values are numbers that only grow: a smaller one that is read back was lost or has come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, AsyncTypedCommands, Client, RedisError, RedisResult};
use tokio::task::JoinHandle;

use crate::harness::{PATIENCE, poll};

/// How long a client waits for a reply before it asks another node.
pub(crate) const REPLY_WAIT_MAX: Duration = Duration::from_secs(4);
/// Keys of a generation.
const KEYS: usize = 20;
/// Generations before the first is written again, so that what must be read back does not grow for ever.
const GENERATIONS: usize = 300;
/// How often each key of a generation is written.
const WRITES_PER_KEY: usize = 3;
/// A client's pause after a failure.
const PAUSE: Duration = Duration::from_millis(20);

/// What a request has to do with the faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Before,
    During,
    After,
}

/// What the test tells its clients.
pub(crate) struct Stage {
    ports: Vec<u16>,
    /// Reads ask for a quorum: each must show what was acknowledged last.
    has_read_quorum: bool,
    is_over: AtomicBool,
    phase: AtomicUsize,
    served: AtomicUsize,
    /// Nodes that are dead, hang, or cannot reach a write quorum: their clients' requests may fail.
    excused: Vec<AtomicBool>,
    /// Counts how often a node was excused, for requests that began before and ended after.
    excuses: Vec<AtomicUsize>,
}

impl Stage {
    fn phase(&self) -> usize {
        self.phase.load(Ordering::Acquire)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn is_excused(&self, node: usize) -> bool {
        self.excused[node].load(Ordering::Acquire)
    }

    fn excuses(&self, node: usize) -> usize {
        self.excuses[node].load(Ordering::Acquire)
    }
}

/// A write or deletion that may take effect, or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Doubtful {
    value: Option<usize>,
    /// Its node may still carry it out, even after later writes of the same client.
    may_come_late: bool,
}

/// A key, and what must be read of it.
#[derive(Debug)]
pub(crate) struct Fate {
    pub(crate) key: String,
    /// What was acknowledged last; `None`: deleted, or never written.
    pub(crate) acknowledged: Option<usize>,
    doubtful: Vec<Doubtful>,
}

impl Fate {
    fn new(key: String) -> Self {
        Self { key, acknowledged: None, doubtful: Vec::new() }
    }

    fn acknowledge(&mut self, value: Option<usize>) {
        self.acknowledged = value;
        self.doubtful.retain(|doubtful| doubtful.may_come_late);
    }

    /// Whether reading `value` shows that nothing was lost and nothing came back.
    pub(crate) fn allows(&self, value: Option<usize>) -> bool {
        value == self.acknowledged || self.doubtful.iter().any(|doubtful| doubtful.value == value)
    }
}

/// What one client went through.
pub(crate) struct Story {
    client: usize,
    home: usize,
    written: usize,
    pub(crate) fates: Vec<Fate>,
    /// The longest that a request to a living node took, failed or not.
    pub(crate) longest: Duration,
    /// Microseconds that these requests took, by phase.
    pub(crate) latencies: [Vec<u32>; 3],
    /// Failures at nodes that were dead, hung or alone.
    pub(crate) excused: usize,
    /// Failures at living nodes while a write quorum was within reach: there must be none.
    pub(crate) unexcused: Vec<String>,
    /// Reads that showed something else than they must.
    pub(crate) wrong_reads: Vec<String>,
}

/// All clients.
pub(crate) struct Load {
    pub(crate) stage: Arc<Stage>,
    clients: Vec<JoinHandle<Story>>,
}

impl Load {
    /// `clients_per_node` clients of each node.
    pub(crate) fn start(ports: &[u16], clients_per_node: usize, has_read_quorum: bool) -> Self {
        let stage = Arc::new(Stage {
            ports: ports.to_vec(),
            has_read_quorum,
            is_over: AtomicBool::new(false),
            phase: AtomicUsize::new(Phase::Before as usize),
            served: AtomicUsize::new(0),
            excused: ports.iter().map(|_| AtomicBool::new(false)).collect(),
            excuses: ports.iter().map(|_| AtomicUsize::new(0)).collect(),
        });
        let story = |client| Story::new(client, client % ports.len());
        let clients =
            (0..ports.len() * clients_per_node).map(|client| tokio::spawn(story(client).live(Arc::clone(&stage))));
        Self { clients: clients.collect(), stage }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.stage.phase.store(phase as usize, Ordering::Release);
    }

    /// Requests of this node's clients may fail from now on. They stay as long as it answers.
    pub(crate) fn excuse(&self, node: usize) {
        self.stage.excuses[node].fetch_add(1, Ordering::AcqRel);
        self.stage.excused[node].store(true, Ordering::Release);
    }

    /// The node serves again, and its clients go home.
    pub(crate) fn readmit(&self, node: usize) {
        self.stage.excused[node].store(false, Ordering::Release);
    }

    /// Waits until all clients together have been served `count` more requests.
    pub(crate) fn run_for(&self, count: usize) {
        let until = self.stage.served.load(Ordering::Acquire) + count;
        poll("the clients are served", PATIENCE, || (self.stage.served.load(Ordering::Acquire) >= until).then_some(()));
    }

    pub(crate) async fn end(self) -> Vec<Story> {
        self.stage.is_over.store(true, Ordering::Release);
        let mut stories = Vec::new();
        for client in self.clients {
            stories.push(client.await.expect("a client does not panic"));
        }
        stories
    }
}

/// A connection to a node, known by its position.
struct Session {
    node: usize,
    connection: MultiplexedConnection,
}

impl Session {
    async fn open(ports: &[u16], node: usize) -> RedisResult<Self> {
        Ok(Self { node, connection: connect(ports[node]).await? })
    }
}

/// A connection that gives up on a reply after [`REPLY_WAIT_MAX`].
pub(crate) async fn connect(port: u16) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(REPLY_WAIT_MAX))
        .set_response_timeout(Some(REPLY_WAIT_MAX));
    let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
    client.get_multiplexed_async_connection_with_config(&config).await
}

impl Story {
    fn new(client: usize, home: usize) -> Self {
        Self {
            client,
            home,
            written: 0,
            fates: Vec::new(),
            longest: Duration::ZERO,
            latencies: Default::default(),
            excused: 0,
            unexcused: Vec::new(),
            wrong_reads: Vec::new(),
        }
    }

    async fn live(mut self, stage: Arc<Stage>) -> Self {
        let mut session = None;
        let mut generation = 0;
        while !stage.is_over() {
            let first = generation * KEYS;
            if first == self.fates.len() {
                let key = |number| format!("{}:{generation}:{number}", self.client);
                self.fates.extend((0..KEYS).map(|number| Fate::new(key(number))));
            }
            for step in 0..KEYS * WRITES_PER_KEY {
                self.write(&stage, &mut session, first + step % KEYS).await;
            }
            // Half of them are deleted, and half of these are written again.
            for number in 0..KEYS {
                if number % 2 == 0 {
                    self.set(&stage, &mut session, first + number, None).await;
                }
                if number % 4 == 0 {
                    self.write(&stage, &mut session, first + number).await;
                }
                self.read(&stage, &mut session, first + number).await;
            }
            generation = (generation + 1) % GENERATIONS;
        }
        self
    }

    async fn write(&mut self, stage: &Stage, session: &mut Option<Session>, key: usize) {
        self.written += 1;
        self.set(stage, session, key, Some(self.written)).await;
    }

    /// Writes or deletes, once. Every other key is read in the same pipeline, which has to show what was written if it was.
    async fn set(&mut self, stage: &Stage, session: &mut Option<Session>, key: usize, value: Option<usize>) {
        let name = self.fates[key].key.clone();
        let answer = self.request(stage, session, async |connection| match value {
            Some(number) if key.is_multiple_of(2) => {
                let mut pipeline = redis::pipe();
                let (read,) = pipeline.set(&name, number).ignore().get(&name).query_async(connection).await?;
                Ok(read)
            }
            Some(number) => connection.set(name, number).await.map(|()| Some(number)),
            None => connection.del(name).await.map(|_| None),
        });
        let answer = answer.await;
        let fate = &mut self.fates[key];
        match answer {
            Some(Ok(read)) => {
                if read != value {
                    self.wrong_reads.push(format!("read {read:?} behind the write of {value:?}: {fate:?}"));
                }
                fate.acknowledge(value);
            }
            // Nothing was written, or it was taken back: that must never be read.
            Some(Err(error)) if error.code() == Some("NOQUORUM") => {}
            // A node that hangs may carry it out when it goes on; one whose connection broke is dead.
            Some(Err(error)) => fate.doubtful.push(Doubtful { value, may_come_late: error.is_timeout() }),
            None => {}
        }
    }

    async fn read(&mut self, stage: &Stage, session: &mut Option<Session>, key: usize) {
        let name = self.fates[key].key.clone();
        let answer = self.request(stage, session, async |connection| connection.get(name).await).await;
        let Some(Ok(read)) = answer else { return };
        let value = read.map(|text| text.parse().expect("only numbers are written"));
        if stage.has_read_quorum && !self.fates[key].allows(value) {
            self.wrong_reads.push(format!("read {value:?} of {:?}", self.fates[key]));
        }
    }

    /// One request to the client's node, or to the next one that it can reach. `None`: it could not be sent.
    async fn request<T>(
        &mut self,
        stage: &Stage,
        session: &mut Option<Session>,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Option<RedisResult<T>> {
        self.choose_node(stage, session).await;
        let Some(Session { node, connection }) = session else {
            tokio::time::sleep(PAUSE).await;
            return None;
        };
        let node = *node;
        let (was_excused, excuses) = (stage.is_excused(node), stage.excuses(node));
        let phase = stage.phase();
        let began = Instant::now();
        let answer = ask(connection).await;
        let took = began.elapsed();
        if was_excused || stage.is_excused(node) || stage.excuses(node) > excuses {
            if answer.is_err() {
                self.excused += 1;
                tokio::time::sleep(PAUSE).await;
            }
        } else {
            self.note_living(&answer, node, phase, took);
        }
        match &answer {
            Ok(_) => drop(stage.served.fetch_add(1, Ordering::AcqRel)),
            Err(error) if is_end(error) => *session = None,
            Err(_) => {}
        }
        Some(answer)
    }

    /// A request to a node that lives and can reach a write quorum: it must not fail.
    fn note_living<T>(&mut self, answer: &RedisResult<T>, node: usize, phase: usize, took: Duration) {
        self.longest = self.longest.max(took);
        self.latencies[phase].push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        if let Err(error) = answer {
            self.unexcused.push(format!("node-{} after {took:?}: {error}", node + 1));
        }
    }

    /// Stays where it is served; without a connection, home or the next node that serves; back home as soon as that does.
    async fn choose_node(&self, stage: &Stage, session: &mut Option<Session>) {
        let stays = session.as_ref().is_some_and(|session| session.node == self.home || stage.is_excused(self.home));
        if stays {
            return;
        }
        let nodes = stage.ports.len();
        let wanted = (0..nodes).map(|step| (self.home + step) % nodes).find(|&node| !stage.is_excused(node));
        *session = Session::open(&stage.ports, wanted.unwrap_or(self.home)).await.ok();
    }
}

/// Whether the connection is of no use any more.
fn is_end(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}
