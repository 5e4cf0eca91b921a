//! Peers that hang: stopped, so that their kernel takes bytes and nobody answers.

use tokio::time::Instant;

use super::node::{B, TestNode, echo, echoes, write};
use super::{Harness, IMPATIENT, batch, eventually, options};
use crate::peer::{Health, LinkFault, LinkState};

/// Nobody asks it anything but the link itself. Each part of the timeout is long enough to be seen.
pub(super) async fn a_hung_peer_is_suspect_before_it_is_down<H: Harness>() {
    let timeout = 2 * IMPATIENT;
    let (harness, _peer) = H::linked(timeout).await;
    let status = || harness.communicator().status(B).unwrap();
    assert_eq!((harness.communicator().health(B), status().health), (Health::Alive, Health::Alive));
    harness.set_peer_frozen(true);
    let begun = Instant::now();

    eventually("it is suspect", || harness.communicator().health(B) == Health::Suspect).await;
    assert_eq!((status().health, status().state), (Health::Suspect, LinkState::Up));
    assert!(status().asked_ago >= Some(timeout / 4), "{:?}", status());
    harness.until_down().await;

    assert!(begun.elapsed() <= 2 * timeout + H::SLACK, "{:?}", begun.elapsed());
    assert_eq!((harness.communicator().health(B), status().health), (Health::Down, Health::Down));
    assert!(status().heard_ago >= Some(timeout / 2), "{:?}", status());
    harness.set_peer_frozen(false);
    eventually("it is alive", || harness.communicator().health(B) == Health::Alive).await;
    assert_eq!(status().asked_ago, None);
}

pub(super) async fn a_hung_peer_costs_one_timeout_in_all<H: Harness>() {
    let (harness, _peer) = H::linked(IMPATIENT).await;
    harness.set_peer_frozen(true);
    let begun = Instant::now();
    let exchanges: Vec<_> = (0..10).map(|_| harness.communicator().exchange(B, batch(&[echo(b"k")]))).collect();

    for exchange in exchanges {
        let fault = exchange.await.fault;
        assert_eq!(fault, Some(LinkFault::TimedOut));
    }
    assert!(begun.elapsed() <= IMPATIENT + H::SLACK, "{:?}", begun.elapsed());
    assert_eq!(harness.ask(&[echo(b"k")]).await.fault, Some(LinkFault::Down));
    assert_eq!(harness.communicator().link(B), LinkState::Down);
}

pub(super) async fn a_hung_peer_is_noticed_without_requests<H: Harness>() {
    let (harness, _peer) = H::linked(IMPATIENT).await;
    harness.set_peer_frozen(true);
    let begun = Instant::now();
    harness.until_down().await;
    assert!(begun.elapsed() <= 2 * IMPATIENT + H::SLACK, "{:?}", begun.elapsed());
}

pub(super) async fn a_peer_that_never_welcomes_us_stays_down<H: Harness>() {
    let harness = H::new(options(IMPATIENT));
    harness.start_peer(&TestNode::new("b", 1)).await;
    harness.set_peer_frozen(true);
    let silent = || harness.communicator().status(B).is_some_and(|status| status.last_error.contains("no welcome"));
    eventually("the introduction is not answered", silent).await;
    assert_eq!(harness.ask(&[echo(b"k")]).await.fault, Some(LinkFault::Down));
}

pub(super) async fn a_peer_that_goes_on_is_linked_again<H: Harness>() {
    let (harness, peer) = H::linked(IMPATIENT).await;
    harness.set_peer_frozen(true);
    let late = harness.ask(&[write(b"late", b"v")]).await;
    assert_eq!(late.fault, Some(LinkFault::TimedOut));

    harness.set_peer_frozen(false);
    harness.until_up().await;
    let answers = harness.ask(&[echo(b"k")]).await;

    // The answer to the late write was not taken for this one's.
    assert_eq!((answers.replies, answers.fault), (echoes(&[b"k".to_vec()]), None));
    eventually("the late write arrives", || peer.written() == ["late"]).await;
}
