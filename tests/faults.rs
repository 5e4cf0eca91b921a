//! Clusters of real processes under load from the `redis` crate while nodes are killed, hang and lose their links: no
//! acknowledged write may be lost, nothing that was deleted may come back, and clients of living nodes are served.
//!
//! `RINGKV_FAULT_SECONDS` is for how long all of it goes on together; `scripts/soak.sh` takes ten minutes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;
#[path = "faults/load.rs"]
mod load;

use std::env;
use std::time::{Duration, Instant};

use redis::AsyncTypedCommands;

use harness::{Cluster, Layout, Links, PATIENCE, Signal, differences, poll, poll_for};
use load::{Load, Phase, Story, connect};

/// How long replicas may take to become equal after the last fault.
const CONVERGENCE_MAX: Duration = Duration::from_secs(30);
/// For how long faults go on in all tests together, unless the environment says otherwise.
const FAULT_SECONDS_DEFAULT: u64 = 60;
/// The tests that share this time.
const TESTS: u64 = 3;
/// The longest that a client of a living node may have to wait: one request timeout, and the noise of a busy machine.
const STALL_MAX: Duration = Duration::from_millis(3500);
const REQUEST_TIMEOUT_MS: u64 = 1000;
/// Requests that are served between two faults.
const CALM_REQUESTS: usize = 300;
const CLIENTS_PER_NODE: usize = 2;
/// Keys that are read back at once.
const KEYS_AT_ONCE: usize = 1000;
/// Keys that a failing test shows.
const SHOWN_MAX: usize = 20;

/// Three nodes that keep every key.
fn layout(read_quorum: usize) -> Layout {
    Layout { read_quorum, request_timeout_ms: REQUEST_TIMEOUT_MS, ..Layout::of(3) }
}

#[allow(clippy::print_stdout, reason = "a figure for whoever reads the test's output")]
fn report(text: &str) {
    println!("{text}");
}

/// A cluster, its clients, and the time that the faults have.
struct Trial {
    name: &'static str,
    cluster: Cluster,
    load: Load,
    until: Instant,
    faults: usize,
}

impl Trial {
    fn start(name: &'static str, layout: &Layout) -> Self {
        let seconds = env::var("RINGKV_FAULT_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
        let share = Duration::from_secs(seconds.unwrap_or(FAULT_SECONDS_DEFAULT)) / u32::try_from(TESTS).unwrap();
        let cluster = Cluster::start(layout);
        let load = Load::start(&cluster.ports, CLIENTS_PER_NODE, layout.read_quorum > 1);
        load.run_for(5 * CALM_REQUESTS);
        load.enter(Phase::During);
        Self { name, cluster, load, until: Instant::now() + share, faults: 0 }
    }

    /// The number of the next fault, if there is time for it.
    fn next(&mut self) -> Option<usize> {
        self.faults += 1;
        (Instant::now() < self.until).then_some(self.faults - 1)
    }

    /// Waits until the cluster is whole, and lets it rest.
    fn recover(&self) {
        self.cluster.wait_all_ready();
        (0..self.cluster.ports.len()).for_each(|node| self.load.readmit(node));
        self.load.run_for(CALM_REQUESTS);
    }

    /// After the last fault: looks at everything that must hold.
    async fn end(self) {
        let Self { name, cluster, load, faults, .. } = self;
        cluster.wait_all_ready();
        load.enter(Phase::After);
        load.run_for(5 * CALM_REQUESTS);
        let stories = load.end().await;
        report_latencies(name, faults - 1, &stories);
        for story in &stories {
            assert!(story.unexcused.is_empty(), "failed at living nodes: {:?}", story.unexcused);
            assert!(story.wrong_reads.is_empty(), "{:?}", story.wrong_reads);
        }
        assert!(longest(&stories) < STALL_MAX, "{:?}", longest(&stories));
        report_convergence(name, &cluster, &stories);
        for &port in &cluster.ports {
            assert_nothing_is_lost_or_back(&stories, port).await;
        }
    }
}

/// Lets the load go on for this long.
fn hold(time: Duration) {
    let began = Instant::now();
    poll("some time has passed", time + PATIENCE, || (began.elapsed() >= time).then_some(()));
}

/// Waits for the replicas to become equal, and fails if they do not in time.
fn report_convergence(name: &str, cluster: &Cluster, stories: &[Story]) {
    let began = Instant::now();
    let keys: Vec<&str> = stories.iter().flat_map(|story| &story.fates).map(|fate| fate.key.as_str()).collect();
    // A replica that is still owed an old value and its delete has nothing yet, which is as good as what the others have.
    let are_equal = || (is_paid(cluster) && differences(cluster, &keys).is_empty()).then(|| began.elapsed());
    if let Some(took) = poll_for(CONVERGENCE_MAX, are_equal) {
        return report(&format!("{name}: all replicas equal after {took:?}"));
    }
    let found = differences(cluster, &keys);
    let fate = |key: &str| stories.iter().flat_map(|story| &story.fates).find(|fate| fate.key == key);
    let shown: Vec<_> = found.iter().take(SHOWN_MAX).map(|found| (found, fate(&found.key))).collect();
    panic!("{name}: {} keys not equal after {CONVERGENCE_MAX:?}: {shown:#?}", found.len());
}

/// Whether no node owes anything to another.
fn is_paid(cluster: &Cluster) -> bool {
    let owes_nothing = |node, peer| {
        let known = cluster.node(node).info(&format!("peer{peer}_convergence")).expect("it answers");
        known.split(',').any(|field| field == "hints=0")
    };
    (0..cluster.ports.len()).all(|node| (1..cluster.ports.len()).all(|peer| owes_nothing(node, peer - 1)))
}

/// The longest that a request to a living node took.
fn longest(stories: &[Story]) -> Duration {
    stories.iter().map(|story| story.longest).max().unwrap_or_default()
}

/// What the node at `port` shows of every key is what was acknowledged last, or something that may have taken effect.
async fn assert_nothing_is_lost_or_back(stories: &[Story], port: u16) {
    let mut connection = connect(port).await.expect("the node accepts connections");
    let fates: Vec<_> = stories.iter().flat_map(|story| &story.fates).collect();
    let mut wrong = Vec::new();
    for part in fates.chunks(KEYS_AT_ONCE) {
        let keys: Vec<&str> = part.iter().map(|fate| fate.key.as_str()).collect();
        let values: Vec<Option<String>> = connection.mget(keys).await.expect("the node answers");
        for (fate, value) in part.iter().zip(values) {
            let value = value.map(|text| text.parse().expect("only numbers were written"));
            if !fate.allows(value) {
                let verdict = if fate.acknowledged.is_none() { "came back" } else { "lost" };
                wrong.push(format!("{verdict}: {value:?} of {fate:?}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} keys on {port}: {:#?}",
        wrong.len(),
        fates.len(),
        &wrong[..wrong.len().min(SHOWN_MAX)]
    );
}

fn report_latencies(name: &str, faults: usize, stories: &[Story]) {
    let keys: usize = stories.iter().map(|story| story.fates.len()).sum();
    let excused: usize = stories.iter().map(|story| story.excused).sum();
    report(&format!(
        "{name}: {faults} faults, {keys} keys, {excused} requests failed at nodes that were dead or alone"
    ));
    for (phase, title) in [(Phase::Before, "before"), (Phase::During, "during"), (Phase::After, "after")] {
        let mut all: Vec<u32> = stories.iter().flat_map(|story| &story.latencies[phase as usize]).copied().collect();
        all.sort_unstable();
        let at = |percent: usize| all.get((all.len() * percent / 100).min(all.len().saturating_sub(1))).copied();
        let ms = |micros: Option<u32>| f64::from(micros.unwrap_or_default()) / 1000.0;
        let (p99, longest) = (ms(at(99)), ms(all.last().copied()));
        report(&format!("{name}: {title}: {} requests, p99 {p99:.1} ms, longest {longest:.1} ms", all.len()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_killed_and_restarted_in_turn_lose_nothing_and_fail_nobody_elsewhere() {
    let mut trial = Trial::start("killed", &layout(2));
    while let Some(number) = trial.next() {
        let victim = number % 3;
        trial.load.excuse(victim);
        trial.cluster.kill(victim);
        trial.load.run_for(CALM_REQUESTS);
        trial.cluster.spawn(victim);
        trial.recover();
    }
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_hang_in_turn_lose_nothing_and_fail_nobody_elsewhere() {
    // With R = 1 each node shows what it holds itself, which must be everything once replicas have converged.
    let mut trial = Trial::start("hanging", &layout(1));
    while let Some(number) = trial.next() {
        let victim = (number + number / 3) % 3;
        trial.load.excuse(victim);
        trial.cluster.node(victim).signal(Signal::Stop);
        // In turn shorter than what peers wait for, longer than that, and longer than what clients wait for.
        hold(Duration::from_millis([400, 1750, 5000][number % 3]));
        trial.cluster.node(victim).signal(Signal::Continue);
        trial.recover();
    }
    trial.end().await;
}

/// What happens to the links of a cluster of three.
#[derive(Clone, Copy, Debug)]
enum LinkFault {
    Cut,
    Frozen,
    FrozenOneWay,
    Slow,
    /// One node is cut off from both others: its clients have no quorum.
    Isolated,
    IsolatedInSilence,
}

const LINK_FAULTS: [LinkFault; 6] = [
    LinkFault::Cut,
    LinkFault::Frozen,
    LinkFault::FrozenOneWay,
    LinkFault::Slow,
    LinkFault::Isolated,
    LinkFault::IsolatedInSilence,
];

impl LinkFault {
    /// Begins; `one` is the node that suffers most.
    fn begin(self, links: &Links, one: usize) {
        let (next, last) = ((one + 1) % 3, (one + 2) % 3);
        match self {
            Self::Cut => links.cut(one, next),
            Self::Frozen => links.freeze(one, next),
            Self::FrozenOneWay => links.freeze_one_way(one, next),
            Self::Slow => {
                for (from, to, ms) in [(one, next, 40), (next, one, 10), (one, last, 20), (last, one, 60)] {
                    links.delay_one_way(from, to, Duration::from_millis(ms));
                }
            }
            Self::Isolated => [next, last].into_iter().for_each(|other| links.cut(one, other)),
            Self::IsolatedInSilence => [next, last].into_iter().for_each(|other| links.freeze(one, other)),
        }
    }

    fn takes_the_quorum(self) -> bool {
        matches!(self, Self::Isolated | Self::IsolatedInSilence)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_cut_frozen_and_slowed_lose_nothing_and_fail_nobody_with_a_quorum() {
    let mut trial = Trial::start("links", &Layout { has_wires: true, ..layout(2) });
    while let Some(number) = trial.next() {
        let links = trial.cluster.links.as_ref().expect("the layout has wires");
        let (fault, one) = (LINK_FAULTS[number % LINK_FAULTS.len()], (number + number / LINK_FAULTS.len()) % 3);
        if fault.takes_the_quorum() {
            trial.load.excuse(one);
        }
        fault.begin(links, one);
        hold(Duration::from_millis(1750));
        trial.load.run_for(CALM_REQUESTS);
        links.mend();
        trial.recover();
    }
    trial.end().await;
}
