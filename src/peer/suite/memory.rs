//! The suite's world of messages, and what only this world can do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::node::{A, B, TestNode, echo, write};
use super::{Harness, IMPATIENT, PATIENT, Parts, batch, eventually};
use crate::peer::{InMemoryCommunicator, InMemoryNetwork, LinkFault, LinkFaults, LinkOptions, LinkState, LocalNode};

/// Reaches every source of chance.
const SEED: u64 = 20;

pub(super) struct MemoryHarness {
    parts: Parts,
    network: InMemoryNetwork,
    options: LinkOptions,
}

impl Harness for MemoryHarness {
    const SLACK: Duration = Duration::ZERO;

    fn new(options: LinkOptions) -> Self {
        let network = InMemoryNetwork::new(SEED);
        let local = TestNode::new("a", 1);
        let node: Arc<dyn LocalNode> = Arc::<TestNode>::clone(&local);
        let communicator = InMemoryCommunicator::new(&network, A, &[A, B], &options, &node);
        let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
        communicator.start(&tracker, &cancel);
        let parts = Parts { local, communicator: Arc::new(communicator), tracker, cancel };
        Self { parts, network, options }
    }

    fn parts(&self) -> &Parts {
        &self.parts
    }

    async fn start_peer(&self, node: &Arc<TestNode>) {
        let node: Arc<dyn LocalNode> = Arc::<TestNode>::clone(node);
        // Its links are not started: this peer only answers.
        drop(InMemoryCommunicator::new(&self.network, B, &[], &self.options, &node));
    }

    async fn kill_peer(&self) {
        self.network.crash(B);
        tokio::task::yield_now().await;
    }

    fn set_peer_frozen(&self, frozen: bool) {
        if frozen { self.network.freeze(B) } else { self.network.thaw(B) }
    }

    async fn until_sent(&self) {
        // Time stands still until every task waits.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl MemoryHarness {
    /// Writes keys 0 to `count` in exchanges of their own, all at once; how each ended.
    async fn write_keys(&self, count: usize) -> Vec<Option<LinkFault>> {
        let keys: Vec<String> = (0..count).map(|i| i.to_string()).collect();
        let exchanges: Vec<_> =
            keys.iter().map(|key| self.communicator().exchange(B, batch(&[write(key.as_bytes(), b"v")]))).collect();
        let mut faults = Vec::new();
        for exchange in exchanges {
            faults.push(exchange.await.fault);
        }
        faults
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_of_the_requests_leaves_nothing_at_the_peer() {
    let (harness, peer) = MemoryHarness::linked(IMPATIENT).await;
    harness.network.cut_one_way(A, B);
    assert_eq!(harness.write_keys(1).await, [Some(LinkFault::TimedOut)]);
    assert_eq!(peer.written(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_cut_of_the_answers_leaves_the_request_at_the_peer() {
    let (harness, peer) = MemoryHarness::linked(IMPATIENT).await;
    harness.network.cut_one_way(B, A);
    assert_eq!(harness.write_keys(1).await, [Some(LinkFault::TimedOut)]);
    assert_eq!(peer.written(), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn a_healed_link_comes_back() {
    let (harness, _peer) = MemoryHarness::linked(IMPATIENT).await;
    harness.network.cut(A, B);
    harness.until_down().await;
    harness.network.heal(A, B);
    harness.until_up().await;
    assert_eq!(harness.write_keys(1).await, [None]);
    harness.network.cut(A, B);
    harness.network.heal_all();
    assert_eq!(harness.write_keys(1).await, [None]);
}

#[tokio::test(start_paused = true)]
async fn delay_is_the_time_on_the_way() {
    let (harness, _peer) = MemoryHarness::linked(PATIENT).await;
    harness.network.set_delay(A, B, Duration::from_millis(30));
    harness.network.set_delay(B, A, Duration::from_millis(12));
    let begun = Instant::now();
    assert_eq!(harness.write_keys(5).await, vec![None; 5]);
    assert_eq!(begun.elapsed(), Duration::from_millis(42));
}

#[tokio::test(start_paused = true)]
async fn a_shorter_delay_does_not_let_messages_overtake() {
    let (harness, peer) = MemoryHarness::linked(PATIENT).await;
    harness.network.set_delay(A, B, Duration::from_millis(30));
    let slow = harness.communicator().exchange(B, batch(&[write(b"slow", b"v")]));
    tokio::time::sleep(Duration::from_millis(1)).await;
    harness.network.set_delay(A, B, Duration::ZERO);
    let fast = harness.communicator().exchange(B, batch(&[write(b"fast", b"v")]));
    assert_eq!((slow.await.fault, fast.await.fault), (None, None));
    assert_eq!(peer.written(), ["slow", "fast"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_message_costs_its_own_exchange_alone() {
    let (harness, _peer) = MemoryHarness::linked(IMPATIENT).await;
    harness.network.set_faults(LinkFaults { drop: 0.2, ..LinkFaults::default() });
    let faults = harness.write_keys(200).await;
    let lost = faults.iter().filter(|fault| **fault == Some(LinkFault::TimedOut)).count();
    // Each is lost unless both ways are good: 36 of 100.
    assert!((40..110).contains(&lost), "{lost}");
    assert_eq!(faults.iter().filter(|fault| fault.is_none()).count(), 200 - lost);
}

#[tokio::test(start_paused = true)]
async fn a_message_may_come_twice_and_is_answered_once() {
    let (harness, peer) = MemoryHarness::linked(PATIENT).await;
    harness.network.set_faults(LinkFaults { duplicate: 1.0, ..LinkFaults::default() });
    assert_eq!(harness.write_keys(2).await, [None, None]);
    assert_eq!(peer.written(), ["0", "0", "1", "1"]);
}

#[tokio::test(start_paused = true)]
async fn messages_may_overtake_and_answers_find_their_exchange() {
    let (harness, peer) = MemoryHarness::linked(PATIENT).await;
    let reorder_delay_max = Duration::from_millis(50);
    harness.network.set_faults(LinkFaults { reorder: 0.5, reorder_delay_max, ..LinkFaults::default() });
    assert_eq!(harness.write_keys(50).await, vec![None; 50]);
    let in_order: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    let mut written = peer.written();
    assert_ne!(written, in_order);
    written.sort_by_key(|key| key.parse::<u32>().unwrap());
    assert_eq!(written, in_order);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_node_sends_nothing() {
    let (harness, peer) = MemoryHarness::linked(PATIENT).await;
    harness.network.freeze(A);
    let exchange = harness.communicator().exchange(B, batch(&[write(b"k", b"v")]));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(peer.written(), Vec::<String>::new());
    harness.network.thaw(A);
    assert_eq!(exchange.await.fault, None);
}

#[tokio::test(start_paused = true)]
async fn requests_to_an_earlier_process_never_reach_the_next() {
    let (harness, _peer) = MemoryHarness::linked(PATIENT).await;
    harness.network.set_delay(A, B, Duration::from_millis(100));
    let exchange = harness.communicator().exchange(B, batch(&[write(b"k", b"v")]));
    tokio::time::sleep(Duration::from_millis(10)).await;

    let next = TestNode::new("b", 2);
    harness.start_peer(&next).await;

    assert!(matches!(exchange.await.fault, Some(LinkFault::Lost(_))));
    harness.until_up().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(next.written(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_links_of_a_crashed_node_end() {
    let (harness, _peer) = MemoryHarness::linked(PATIENT).await;
    harness.network.crash(A);
    harness.parts.tracker.close();
    eventually("its tasks end", || harness.parts.tracker.is_empty()).await;
    assert_eq!(harness.communicator().link(B), LinkState::Down);
    assert_eq!(harness.ask(&[echo(b"k")]).await.fault, Some(LinkFault::Down));
}

#[tokio::test(start_paused = true)]
async fn one_seed_repeats_a_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (harness, peer) = MemoryHarness::linked(IMPATIENT).await;
        let reorder_delay_max = Duration::from_millis(50);
        harness.network.set_faults(LinkFaults { drop: 0.1, duplicate: 0.1, reorder: 0.3, reorder_delay_max });
        runs.push((harness.write_keys(100).await, peer.log()));
    }
    assert_eq!(runs[0], runs[1]);
}
