//! The way of hints to peers that are back: one batch at a time, slower than what clients need of the same link.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::peer::{LinkState, NodeCommunicator};
use crate::replica::Replica;
use crate::ring::NodeIndex;

/// Bytes of hints on their way to one peer at a time, or one hint if that is larger.
const BATCH_BYTES: usize = 64 << 10;
/// Bytes of hints that go to one peer in a second.
const BYTES_PER_SECOND: u64 = 16 << 20;
/// After a failure the next attempt waits this long.
const RETRY: Duration = Duration::from_millis(100);
/// How often hints for a peer that is away are looked at for their age.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// Delivers what this node owes, until it is dropped.
pub async fn run(replica: Arc<Replica>, peers: Arc<dyn NodeCommunicator>) {
    if replica.config.replication_factor == 1 || !replica.hints.are_kept() {
        return;
    }
    // Each peer on its own: one that hangs must not keep the others waiting.
    let mut deliveries = JoinSet::new();
    for peer in replica.config.node_indices().filter(|&node| node != replica.index) {
        deliveries.spawn(deliver(peer, Arc::clone(&replica), Arc::clone(&peers)));
    }
    while deliveries.join_next().await.is_some() {}
}

async fn deliver(peer: NodeIndex, replica: Arc<Replica>, peers: Arc<dyn NodeCommunicator>) {
    loop {
        replica.hints.wait_for_any(peer).await;
        let changed = replica.changed.notified();
        if peers.link(peer) == LinkState::Down {
            replica.hints.expire(peer, replica.hint_validity());
            // Woken early when a peer comes into reach.
            let _ = timeout(EXPIRE_EVERY, changed).await;
            continue;
        }
        sleep(deliver_batch(peer, &replica, &*peers).await).await;
    }
}

/// Delivers the next hints; how long to wait before those that follow.
async fn deliver_batch(peer: NodeIndex, replica: &Replica, peers: &dyn NodeCommunicator) -> Duration {
    let batch = replica.hints.next_batch(peer, replica.hint_validity(), BATCH_BYTES);
    if batch.is_empty() {
        return Duration::ZERO;
    }
    let (began, bytes) = (Instant::now(), batch.bytes().len());
    let answers = peers.exchange(peer, batch).await;
    let delivered = replica.hints.answered(peer, &answers.replies);
    replica.convergence.repairs_by_hint.fetch_add(delivered, Ordering::Relaxed);
    match answers.fault {
        None => pause(bytes, began.elapsed()),
        Some(_) => RETRY,
    }
}

/// How long to leave the link to others after so many bytes, whose exchange took so long: at least as long as that,
/// which is longer the busier link and peer are.
fn pause(bytes: usize, took: Duration) -> Duration {
    let paced = Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / BYTES_PER_SECOND);
    paced.saturating_sub(took).max(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_is_bounded_and_yields_to_what_makes_an_exchange_slow() {
        let (full, second) = (usize::try_from(BYTES_PER_SECOND).expect("64 bits"), Duration::from_secs(1));
        assert_eq!(pause(full, Duration::ZERO), second);
        assert_eq!(pause(full, second / 4), second * 3 / 4, "the exchange itself counts");
        assert_eq!(pause(full, 2 * second), 2 * second, "half of the time is left to others");
        assert_eq!(pause(0, Duration::ZERO), Duration::ZERO);
    }
}
