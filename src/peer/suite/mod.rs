//! What every communicator must do, as one suite run on each of them.
//!
//! Node `a` dials node `b`. A harness knows how `b` is run, killed and stopped in its world; the claims below know
//! nothing but the seam.

mod hanging;
mod memory;
mod node;
mod tcp;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::hanging::{
    a_hung_peer_costs_one_timeout_in_all, a_hung_peer_is_noticed_without_requests,
    a_hung_peer_is_suspect_before_it_is_down, a_peer_that_goes_on_is_linked_again,
    a_peer_that_never_welcomes_us_stays_down,
};
use self::node::{A, B, TestNode, echo, echoes, write};
use super::{Answers, LinkFault, LinkOptions, LinkState, NodeCommunicator, PeerReply, PeerRequest, RequestBatch};
use crate::time::{UnixMs, WallClock};
use crate::version::StartNumber;

/// No test waits longer for what must happen.
const DEADLINE: Duration = Duration::from_secs(30);
/// The timeout where none is to be met.
const PATIENT: Duration = Duration::from_secs(10);
/// The timeout where it is to be met, also over real sockets of a busy machine.
const IMPATIENT: Duration = Duration::from_secs(2);

/// One world in which `a` has a communicator and `b` can be run.
trait Harness: Sized {
    /// How late this world's timers may be.
    const SLACK: Duration;

    /// `a` dials; `b` is not there.
    fn new(options: LinkOptions) -> Self;
    fn parts(&self) -> &Parts;
    /// Runs `node` as `b`.
    async fn start_peer(&self, node: &Arc<TestNode>);
    /// Ends `b` as `kill -9` does.
    async fn kill_peer(&self);
    /// Stops `b` as `SIGSTOP` does, or lets it go on.
    fn set_peer_frozen(&self, frozen: bool);
    /// Returns when what was queued while `b` is frozen has left `a`.
    async fn until_sent(&self);

    fn communicator(&self) -> &dyn NodeCommunicator {
        &*self.parts().communicator
    }

    async fn until_up(&self) {
        eventually("the link is up", || self.communicator().link(B) == LinkState::Up).await;
    }

    async fn until_down(&self) {
        eventually("the link is down", || self.communicator().link(B) == LinkState::Down).await;
    }

    async fn ask(&self, requests: &[PeerRequest<'_>]) -> Answers {
        self.communicator().exchange(B, batch(requests)).await
    }

    /// `a` with a timeout, and a running `b` that it is linked to.
    async fn linked(request_timeout: Duration) -> (Self, Arc<TestNode>) {
        let harness = Self::new(options(request_timeout));
        let peer = TestNode::new("b", 1);
        harness.start_peer(&peer).await;
        harness.until_up().await;
        (harness, peer)
    }
}

/// What every harness has of `a`.
struct Parts {
    local: Arc<TestNode>,
    communicator: Arc<dyn NodeCommunicator>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

fn options(request_timeout: Duration) -> LinkOptions {
    let clock = WallClock::Simulated { epoch: UnixMs(1_000_000), origin: Instant::now() };
    LinkOptions::new(request_timeout, clock)
}

fn batch(requests: &[PeerRequest<'_>]) -> RequestBatch {
    let mut batch = RequestBatch::new();
    for request in requests {
        batch.push(request);
    }
    batch
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Runs each claim in each world.
macro_rules! claims {
    ($($claim:ident)*) => {
        mod over_tcp {
            $(#[tokio::test] async fn $claim() { super::$claim::<super::tcp::TcpHarness>().await; })*
        }
        mod in_memory {
            $(#[tokio::test(start_paused = true)] async fn $claim() {
                super::$claim::<super::memory::MemoryHarness>().await;
            })*
        }
    };
}

claims! {
    answers_come_in_the_order_of_the_requests
    batches_of_many_tasks_get_their_own_answers
    exchanges_keep_their_order_at_the_peer
    an_empty_batch_is_answered_at_once
    large_values_pass
    a_mark_arrives_ahead_of_the_requests
    a_peer_that_was_never_there_is_down_at_once
    a_node_that_is_no_peer_is_down
    the_node_learns_of_the_peer_before_the_link_is_up
    a_hung_peer_costs_one_timeout_in_all
    a_hung_peer_is_suspect_before_it_is_down
    the_clock_is_measured_again_while_the_link_is_up
    a_hung_peer_is_noticed_without_requests
    a_peer_that_never_welcomes_us_stays_down
    a_peer_that_goes_on_is_linked_again
    a_dying_peer_ends_what_waits_as_lost
    a_batch_that_nobody_waits_for_is_reported_as_missed
    a_reply_that_breaks_off_ends_its_batch_with_the_replies_so_far
    rubbish_ends_the_link_which_comes_back
    a_peer_of_another_cluster_stays_down_with_the_reason
    a_restarted_peer_is_another_process
    a_full_queue_refuses_without_sending
    status_counts_what_is_in_flight
    what_is_queued_gathers_until_it_leaves
    cancelling_ends_all_tasks_and_waits
}

async fn answers_come_in_the_order_of_the_requests<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    let keys: Vec<Vec<u8>> = (0..100_u32).map(|i| i.to_string().into_bytes()).collect();
    let requests: Vec<_> = keys.iter().map(|key| echo(key)).collect();

    let answers = harness.ask(&requests).await;

    assert_eq!(answers.fault, None);
    assert_eq!(answers.process, StartNumber::new(1));
    assert_eq!(answers.replies, echoes(&keys));
}

async fn batches_of_many_tasks_get_their_own_answers<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..40 {
        let communicator = Arc::clone(&harness.parts().communicator);
        tasks.spawn(async move {
            for round in 0..20 {
                let keys: Vec<Vec<u8>> = (0..3).map(|i| format!("{task}.{round}.{i}").into_bytes()).collect();
                let requests: Vec<_> = keys.iter().map(|key| echo(key)).collect();
                let answers = communicator.exchange(B, batch(&requests)).await;
                assert_eq!((answers.replies, answers.fault), (echoes(&keys), None));
            }
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
}

async fn exchanges_keep_their_order_at_the_peer<H: Harness>() {
    let (harness, peer) = H::linked(PATIENT).await;
    let keys: Vec<String> = (0..500).map(|i| i.to_string()).collect();

    let exchanges: Vec<_> =
        keys.iter().map(|key| harness.communicator().exchange(B, batch(&[write(key.as_bytes(), b"v")]))).collect();
    for exchange in exchanges {
        assert_eq!(exchange.await.replies, [PeerReply::Ok]);
    }

    assert_eq!(peer.written(), keys);
}

async fn an_empty_batch_is_answered_at_once<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    let answers = harness.ask(&[]).await;
    assert_eq!((answers.replies, answers.fault), (vec![], None));
}

async fn large_values_pass<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    let large = vec![b'x'; 16 << 20];

    let answers = harness.ask(&[write(b"k", &large), echo(&large), echo(b"small")]).await;

    let [PeerReply::Ok, PeerReply::Record(record), PeerReply::Record(_)] = answers.replies.as_slice() else {
        panic!("{} replies, {:?}", answers.replies.len(), answers.fault)
    };
    assert!(record.value.as_ref().is_some_and(|value| *value == large));
}

async fn a_mark_arrives_ahead_of_the_requests<H: Harness>() {
    let (harness, peer) = H::linked(PATIENT).await;
    for mark in [7, 9] {
        harness.parts().local.set_mark(mark);
        let key = format!("after {mark}");
        harness.ask(&[write(key.as_bytes(), b"v")]).await;
    }

    let log = peer.log();
    let position = |entry: &str| log.iter().position(|logged| logged == entry);
    for mark in [7, 9] {
        let (marked, written) = (position(&format!("mark {mark}")), position(&format!("write after {mark}")));
        assert!(marked.is_some() && marked < written, "{log:?}");
    }
}

async fn a_peer_that_was_never_there_is_down_at_once<H: Harness>() {
    let harness = H::new(options(PATIENT));
    let refused = || harness.communicator().status(B).is_some_and(|status| status.last_error.contains("refused"));
    eventually("connecting is refused", refused).await;

    let answers = harness.ask(&[echo(b"k")]).await;

    assert_eq!((answers.replies, answers.fault), (vec![], Some(LinkFault::Down)));
    assert_eq!(harness.communicator().process(B), StartNumber::default());
}

async fn a_node_that_is_no_peer_is_down<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    let communicator = harness.communicator();
    for node in [A, crate::ring::NodeIndex(u16::MAX)] {
        assert_eq!(communicator.exchange(node, batch(&[echo(b"k")])).await.fault, Some(LinkFault::Down));
        assert_eq!((communicator.link(node), communicator.status(node)), (LinkState::Down, None));
    }
}

async fn the_node_learns_of_the_peer_before_the_link_is_up<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    let local = &harness.parts().local;
    assert_eq!(local.log(), ["welcomed by b", "Up"]);
    let status = harness.communicator().status(B).unwrap();
    assert_eq!((status.state, status.requests_in_flight), (LinkState::Up, 0));
    // The peer's clock is that of the test's start, an hour ahead.
    let hour_ms = 3_600_000;
    assert!((hour_ms - 60_000..=hour_ms).contains(&status.clock_offset_ms), "{status:?}");
}

async fn the_clock_is_measured_again_while_the_link_is_up<H: Harness>() {
    let begun = Instant::now();
    let (harness, _peer) = H::linked(PATIENT).await;
    let measured = || harness.parts().local.clocks_measured();
    assert!(measured() >= 1, "by the introduction");
    eventually("it is measured twice more", || measured() >= 3).await;
    assert!(begun.elapsed() >= Duration::from_millis(1900), "no more than once a second: {:?}", begun.elapsed());
}

async fn a_batch_that_nobody_waits_for_is_reported_as_missed<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    harness.set_peer_frozen(true);
    let mut kept = batch(&[write(b"k", b"v")]);
    kept.keep();
    let bytes = kept.bytes().len();
    let (left, waited_for) =
        (harness.communicator().exchange(B, kept.clone()), harness.communicator().exchange(B, kept));
    assert!(left.leave().is_none());
    harness.until_sent().await;
    harness.kill_peer().await;

    let answers = waited_for.await;
    assert_eq!((answers.missed.map(|missed| missed.len()), answers.replies.len()), (Some(bytes), 0));
    let report = format!("missed {bytes} bytes after 0 replies");
    eventually("it is reported", || harness.parts().local.log().contains(&report)).await;
    assert_eq!(harness.parts().local.log().iter().filter(|entry| **entry == report).count(), 1);
}

async fn a_dying_peer_ends_what_waits_as_lost<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    harness.set_peer_frozen(true);
    let exchange = harness.communicator().exchange(B, batch(&[echo(b"k")]));
    harness.until_sent().await;

    harness.kill_peer().await;

    let answers = exchange.await;
    assert!(matches!(answers.fault, Some(LinkFault::Lost(_))), "{answers:?}");
    assert_eq!(harness.communicator().link(B), LinkState::Down);
}

async fn a_reply_that_breaks_off_ends_its_batch_with_the_replies_so_far<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;

    let answers = harness.ask(&[echo(b"k"), echo(node::TORN), echo(b"l")]).await;

    assert_eq!(answers.replies, echoes(&[b"k".to_vec()]));
    assert_eq!(answers.fault, Some(LinkFault::Lost("closed by the peer within a reply".into())));
    harness.until_up().await;
}

async fn rubbish_ends_the_link_which_comes_back<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;

    let answers = harness.ask(&[echo(b"k"), echo(node::RUBBISH), echo(b"l")]).await;

    assert_eq!(answers.replies, echoes(&[b"k".to_vec()]));
    let Some(LinkFault::Lost(reason)) = answers.fault else { panic!("{:?}", answers.fault) };
    assert!(reason.contains("unexpected reply type '?'"), "{reason}");
    harness.until_up().await;
    assert_eq!(harness.ask(&[echo(b"k")]).await.fault, None);
}

async fn a_peer_of_another_cluster_stays_down_with_the_reason<H: Harness>() {
    let harness = H::new(options(PATIENT));
    let stranger = TestNode::new_in_cluster("live", "b", 1);
    harness.start_peer(&stranger).await;
    let reason = || harness.communicator().status(B).map(|status| status.last_error).unwrap_or_default();
    eventually("the reason is known", || reason().contains("cluster differs: 'live' here, 'test' there")).await;
    assert_eq!(harness.ask(&[echo(b"k")]).await.fault, Some(LinkFault::Down));
    assert_eq!(stranger.log(), Vec::<String>::new());

    harness.kill_peer().await;
    harness.start_peer(&TestNode::new("b", 2)).await;
    harness.until_up().await;
}

async fn a_restarted_peer_is_another_process<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    assert_eq!(harness.communicator().process(B), StartNumber::new(1));

    harness.kill_peer().await;
    harness.until_down().await;
    assert_eq!(harness.communicator().process(B), StartNumber::default());
    harness.start_peer(&TestNode::new("b", 2)).await;
    harness.until_up().await;

    assert_eq!(harness.communicator().process(B), StartNumber::new(2));
    assert_eq!(harness.ask(&[echo(b"k")]).await.process, StartNumber::new(2));
    assert_eq!(harness.parts().local.log(), ["welcomed by b", "Up", "Down", "welcomed by b", "Up"]);
}

async fn a_full_queue_refuses_without_sending<H: Harness>() {
    let harness = H::new(LinkOptions { queue_bytes_max: 100, ..options(PATIENT) });
    let peer = TestNode::new("b", 1);
    harness.start_peer(&peer).await;
    harness.until_up().await;
    let write_to = |key: &[u8]| harness.communicator().exchange(B, batch(&[write(key, &[b'v'; 200])]));

    let (one, two) = (write_to(b"one"), write_to(b"two"));

    assert_eq!(two.await.fault, Some(LinkFault::Overloaded));
    assert_eq!(one.await.fault, None);
    assert_eq!(write_to(b"three").await.fault, None);
    assert_eq!(peer.written(), ["one", "three"]);
}

async fn status_counts_what_is_in_flight<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    let in_flight = || harness.communicator().status(B).map(|status| status.requests_in_flight);
    let exchange = harness.communicator().exchange(B, batch(&[echo(b"k"), echo(b"l")]));
    assert!(in_flight() >= Some(2));
    exchange.await;
    eventually("nothing is in flight", || in_flight() == Some(0)).await;
}

async fn what_is_queued_gathers_until_it_leaves<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    let exchange = harness.communicator().exchange(B, batch(&[echo(b"k")]));
    assert!(harness.communicator().is_gathering(B));
    exchange.await;
    eventually("it has left", || !harness.communicator().is_gathering(B)).await;
}

async fn cancelling_ends_all_tasks_and_waits<H: Harness>() {
    let (harness, _peer) = H::linked(PATIENT).await;
    harness.set_peer_frozen(true);
    let exchange = harness.communicator().exchange(B, batch(&[echo(b"k")]));
    harness.until_sent().await;

    harness.parts().cancel.cancel();
    harness.parts().tracker.close();

    tokio::time::timeout(DEADLINE, harness.parts().tracker.wait()).await.expect("all tasks end");
    assert_eq!(exchange.await.fault, Some(LinkFault::Lost("this node is shutting down".into())));
    assert_eq!(harness.communicator().link(B), LinkState::Down);
}
