//! Random schedules: whole clusters under faults, and what their clients saw held against what was promised.
//!
//! One seed draws everything: the cluster's size and quorums, its clocks, what clients ask of which node, and what goes
//! wrong (delays, loss, repetition, reordering, cut links, crashes that lose all memory, nodes that hang). A failing
//! seed prints its list of operations; `RINGKV_SIM_SEED=n` replays it, `scripts/sim.sh` runs thousands.
//!
//! The in-memory communicator in paused time was chosen over a simulated TCP stack: one exchange is one message, so
//! loss, repetition and reordering hit the quorum rules themselves, where TCP would mask them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/checker.rs"]
mod checker;
mod support;

use std::sync::Arc;
use std::time::Duration;

use ringkv::config::Consistency;
use ringkv::peer::LinkFaults;

use checker::Violation;
use support::chance::Chance;
use support::cluster::{self, Reply, Setup, TestCluster, index};
use support::history::{Action, Call, Fate, History};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 400;
/// Clocks are off by less than this, in milliseconds.
const SKEW_MS_MAX: u64 = 180_000;
/// Nodes, and N, W and R.
const SETTINGS: [(u16, (u16, u16, u16)); 9] = [
    (3, (3, 2, 2)),
    (3, (3, 2, 2)),
    (5, (5, 3, 3)),
    (5, (3, 2, 2)),
    (7, (3, 2, 2)),
    (4, (4, 3, 2)),
    (3, (3, 3, 1)),
    (5, (3, 3, 1)),
    (3, (3, 2, 1)),
];

#[test]
fn promises_hold_under_random_faults() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (first, count) = match number("RINGKV_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (number("RINGKV_SIM_FIRST").unwrap_or(0), number("RINGKV_SIM_SEEDS").unwrap_or(SEEDS)),
    };
    for seed in first..first + count {
        let story = run(seed);
        if let Err(violation) = &story.verdict {
            panic!("seed {seed}: {violation}\nall of it, {}:\n{}", story.setting, story.history);
        }
    }
}

#[test]
fn a_seed_repeats_itself() {
    for seed in 0..3 {
        let (once, again) = (run(seed), run(seed));
        assert_eq!(once.history, again.history);
    }
}

/// What came of one seed.
struct Story {
    setting: String,
    history: String,
    verdict: Result<(), Violation>,
}

fn run(seed: u64) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(World::run(seed))
}

/// One cluster, its clients and its fate.
struct World {
    cluster: Arc<TestCluster>,
    history: History,
    keys: Vec<String>,
}

impl World {
    async fn run(seed: u64) -> Story {
        let mut chance = Chance::new(seed);
        let (nodes, quorum) = chance.pick(&SETTINGS);
        let skew_ms_max = chance.pick(&[1, 1000, SKEW_MS_MAX]);
        let skews_ms: Vec<i64> = (0..nodes).map(|_| skew_ms(&mut chance, skew_ms_max)).collect();
        let setup = Setup::new(nodes, quorum).seed(chance.next()).skews_ms(&skews_ms);
        let setup = setup.with(|config| config.max_clock_drift_ms = 4 * SKEW_MS_MAX);
        let keys = (0..chance.within(1..5)).map(|number| format!("k{number}")).collect();
        let world = Arc::new(Self { cluster: setup.start().await, history: History::default(), keys });
        let clients = world.start_clients(&mut chance);
        let troubles = Troubles::new(Arc::clone(&world), chance.fork(), skew_ms_max);
        let troubles = tokio::spawn(troubles.run());
        for client in clients {
            client.await.expect("no client panics");
        }
        troubles.abort();
        // Only a panic of its own is of interest.
        if let Err(error) = troubles.await {
            assert!(error.is_cancelled(), "{error}");
        }
        let healed = world.heal().await;
        Story {
            setting: format!("{nodes} nodes, N/W/R {quorum:?}, clocks off by {skews_ms:?} ms"),
            verdict: healed.and_then(|()| judge(quorum, &world.history.calls())),
            history: world.history.print(),
        }
    }

    fn start_clients(self: &Arc<Self>, chance: &mut Chance) -> Vec<tokio::task::JoinHandle<()>> {
        let count = usize::try_from(chance.within(2..6)).expect("a few");
        let calls = chance.within(10..40);
        let clients = (0..count).map(|number| {
            let client = Client { world: Arc::clone(self), chance: chance.fork(), number, written: 0 };
            tokio::spawn(client.run(calls))
        });
        clients.collect()
    }

    /// Ends all faults, waits until the cluster is whole, and reads every key from every node.
    async fn heal(&self) -> Result<(), Violation> {
        let cluster = &self.cluster;
        self.history.note("all faults end".to_owned());
        cluster.network.heal_all();
        cluster.network.set_faults(LinkFaults::default());
        for from in cluster.indices() {
            cluster.network.thaw(index(from));
            cluster.indices().for_each(|to| cluster.network.set_delay(index(from), index(to), Duration::ZERO));
        }
        cluster.indices().filter(|&node| !cluster.is_running(node)).for_each(|node| cluster.start(node));
        // Links that will still be found dead for what was lost before.
        cluster.pass(cluster.config.request_timeout_ms).await;
        cluster.until_whole().await;
        for node in cluster.indices() {
            for key in &self.keys {
                self.history.record((usize::MAX, node), key, Action::Read, cluster.get(node, key)).await;
            }
        }
        let is_failed = |call: &&Call| call.client == usize::MAX && !matches!(call.fate, Fate::Saw(_));
        match self.history.calls().iter().find(is_failed) {
            Some(call) => Err(format!("a read fails although all is well:\n{call}")),
            None => Ok(()),
        }
    }
}

/// Whether what clients saw is what `quorum` promises.
fn judge((n, w, r): (u16, u16, u16), calls: &[Call]) -> Result<(), Violation> {
    checker::nothing_taken_back_is_read(calls)?;
    for calls in checker::by_key(calls) {
        match Consistency::of(n, w, r) {
            Consistency::Linearizable => checker::is_linearizable(&calls)?,
            Consistency::LastAcknowledged => checker::reads_return_the_last_acknowledged(&calls)?,
            Consistency::EventualLastWins | Consistency::Eventual => {}
        }
    }
    Ok(())
}

fn skew_ms(chance: &mut Chance, max: u64) -> i64 {
    let off = i64::try_from(chance.within(0..max)).expect("minutes");
    if chance.happens(50) { off } else { -off }
}

/// A client that asks this node and that.
struct Client {
    world: Arc<World>,
    chance: Chance,
    number: usize,
    written: u64,
}

impl Client {
    async fn run(mut self, calls: u64) {
        let hurry = self.chance.pick(&[2, 40, 150]);
        for _ in 0..calls {
            tokio::time::sleep(self.chance.millis(0..hurry)).await;
            let node = self.chance.pick(&self.world.cluster.indices().collect::<Vec<_>>());
            if self.world.cluster.is_running(node) {
                self.ask(node).await;
            }
        }
    }

    async fn ask(&mut self, node: usize) {
        match self.chance.within(0..100) {
            0..40 => self.read(node).await,
            40..45 => self.flush(node).await,
            45..60 => self.write_several(node).await,
            _ => self.write(node).await,
        }
    }

    async fn read(&mut self, node: usize) {
        let world = Arc::clone(&self.world);
        let key = self.key();
        world.history.record((self.number, node), &key, Action::Read, world.cluster.get(node, &key)).await;
    }

    async fn write(&mut self, node: usize) {
        let world = Arc::clone(&self.world);
        let (key, value) = (self.key(), self.value());
        let operation = cluster::write(&key, value.as_deref());
        let patience = self.patience();
        let ask = async {
            // A client that hangs up learns nothing.
            let reply = tokio::time::timeout(patience, world.cluster.batch(node, vec![operation])).await;
            reply.map_or(Reply::Died, |mut replies| replies.remove(0))
        };
        world.history.record((self.number, node), &key, Action::Write(value), ask).await;
    }

    /// A pipeline.
    async fn write_several(&mut self, node: usize) {
        let world = Arc::clone(&self.world);
        let count = self.chance.within(2..5);
        let writes: Vec<_> = (0..count).map(|_| (self.key(), self.value())).collect();
        let operations = writes.iter().map(|(key, value)| cluster::write(key, value.as_deref())).collect();
        let actions = writes.into_iter().map(|(key, value)| (key, Action::Write(value))).collect();
        world.history.record_all((self.number, node), actions, world.cluster.batch(node, operations)).await;
    }

    /// FLUSHALL: as if every key were deleted.
    async fn flush(&mut self, node: usize) {
        let world = Arc::clone(&self.world);
        let actions: Vec<_> = world.keys.iter().map(|key| (key.clone(), Action::Write(None))).collect();
        let count = actions.len();
        let ask = async { vec![world.cluster.flush(node).await; count] };
        world.history.record_all((self.number, node), actions, ask).await;
    }

    fn key(&mut self) -> String {
        self.world.keys[self.chance.index(self.world.keys.len())].clone()
    }

    /// A value that nobody else writes, or none.
    fn value(&mut self) -> Option<String> {
        self.written += 1;
        (!self.chance.happens(25)).then(|| format!("c{}v{}", self.number, self.written))
    }

    fn patience(&mut self) -> Duration {
        if self.chance.happens(10) { self.chance.millis(0..200) } else { Duration::from_hours(1) }
    }
}

/// Something that goes wrong, or well again.
type Event = fn(&mut Troubles);

/// What goes wrong.
struct Troubles {
    world: Arc<World>,
    chance: Chance,
    skew_ms_max: u64,
    /// Drawn from evenly.
    events: Vec<Event>,
}

impl Troubles {
    /// Some kinds of faults and not others: each alone goes further than all at once.
    fn new(world: Arc<World>, chance: Chance, skew_ms_max: u64) -> Self {
        const KINDS: [&[Event]; 5] = [
            &[Troubles::choose_faults, Troubles::choose_faults],
            &[Troubles::choose_delays],
            &[Troubles::cut, Troubles::cut, Troubles::heal, Troubles::heal],
            &[Troubles::crash, Troubles::crash, Troubles::start, Troubles::start],
            &[Troubles::freeze, Troubles::thaw],
        ];
        let mut troubles = Self { world, chance, skew_ms_max, events: Vec::new() };
        for kind in KINDS {
            if troubles.chance.happens(60) {
                troubles.events.extend(kind);
            }
        }
        troubles
    }

    async fn run(mut self) {
        let calm = self.chance.pick(&[50, 300, 1000]);
        self.choose_delays();
        while !self.events.is_empty() {
            tokio::time::sleep(self.chance.millis(0..calm)).await;
            let event = self.chance.index(self.events.len());
            self.events[event](&mut self);
        }
    }

    fn choose_faults(&mut self) {
        let mut percent = |choices: &[u32]| f64::from(self.chance.pick(choices)) / 100.0;
        let faults = LinkFaults {
            drop: percent(&[0, 0, 2, 10]),
            duplicate: percent(&[0, 0, 10]),
            reorder: percent(&[0, 10, 50]),
            reorder_delay_max: self.chance.millis(1..150),
        };
        self.note(format!("{faults:?}"));
        self.cluster().network.set_faults(faults);
    }

    fn choose_delays(&mut self) {
        let max = self.chance.pick(&[1, 10, 80]);
        self.note(format!("delays of up to {max} ms"));
        for from in self.cluster().indices() {
            for to in self.cluster().indices() {
                let delay = self.chance.millis(0..max);
                self.cluster().network.set_delay(index(from), index(to), delay);
            }
        }
    }

    fn cut(&mut self) {
        let (a, b) = (self.any_node(), self.any_node());
        match self.chance.within(0..3) {
            0 => {
                self.note(format!("cut {a} <-> {b}"));
                self.cluster().network.cut(index(a), index(b));
            }
            1 => {
                self.note(format!("cut {a} -> {b}"));
                self.cluster().network.cut_one_way(index(a), index(b));
            }
            _ => {
                self.note(format!("isolate {a}"));
                self.cluster().isolate(a);
            }
        }
    }

    fn heal(&mut self) {
        self.note("heal all cuts".to_owned());
        self.cluster().network.heal_all();
    }

    /// Ends a process, if every acknowledged write survives that.
    fn crash(&mut self) {
        let node = self.any_node();
        if !self.cluster().is_running(node) || !self.can_lose(node) {
            return;
        }
        self.note(format!("crash {node}"));
        self.cluster().crash(node);
        if self.chance.happens(30) {
            self.start_node(node);
        }
    }

    /// Whether the quorums of every key tolerate that `node` forgets: N-W replicas may count for nothing at a time, and
    /// one where all are required, since the others have the write as well.
    fn can_lose(&self, node: usize) -> bool {
        let cluster = self.cluster();
        let (n, w) = (cluster.config.replication_factor, cluster.config.write_quorum);
        let tolerated = usize::from((n - w).max(1).min(w - 1));
        let counts_for = |node: usize, key: &str| {
            cluster.find(node).is_some_and(|node| !node.replica().syncing.contains(cluster::slot(key)))
        };
        self.world.keys.iter().all(|key| {
            let replicas = cluster.replicas_of(key);
            let lost = replicas.iter().filter(|&&other| other == node || !counts_for(other, key)).count();
            !replicas.contains(&node) || lost <= tolerated
        })
    }

    fn start(&mut self) {
        let down: Vec<_> = self.cluster().indices().filter(|&node| !self.cluster().is_running(node)).collect();
        if !down.is_empty() {
            let node = self.chance.pick(&down);
            self.start_node(node);
        }
    }

    fn start_node(&mut self, node: usize) {
        if self.chance.happens(30) {
            let skew_ms = skew_ms(&mut self.chance, self.skew_ms_max);
            self.note(format!("the clock of {node} is off by {skew_ms} ms from now on"));
            self.cluster().set_skew_ms(node, skew_ms);
        }
        self.note(format!("start {node}"));
        self.cluster().start(node);
    }

    fn freeze(&mut self) {
        let node = self.any_node();
        self.note(format!("freeze {node}"));
        self.cluster().network.freeze(index(node));
    }

    fn thaw(&mut self) {
        self.note("thaw all".to_owned());
        self.cluster().indices().for_each(|node| self.cluster().network.thaw(index(node)));
    }

    fn any_node(&mut self) -> usize {
        self.chance.index(self.cluster().config.nodes.len())
    }

    fn cluster(&self) -> &TestCluster {
        &self.world.cluster
    }

    fn note(&self, what: String) {
        self.world.history.note(what);
    }
}
