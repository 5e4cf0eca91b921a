//! What has to be tidied up now and then: records that are decided but still kept open, and expired ones.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Replica;
use crate::ring::Slot;

/// How often the janitor comes round.
const ROUND: Duration = Duration::from_millis(500);
/// Records, or slots without any, that are looked at for expiry in one step.
const EXPIRY_RECORDS: usize = 256;
/// Steps at a time: a million records are passed in about five seconds.
const EXPIRY_STEPS: usize = 400;

/// Runs until it is dropped.
pub async fn run(replica: Arc<Replica>) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut from = Slot::FIRST;
    loop {
        rounds.tick().await;
        replica.store.sweep(replica.wall.now());
        replica.settle_flushed();
        from = expire(&replica, from).await;
    }
}

/// Frees expired records from slot `from` on, at most once round; where to go on.
async fn expire(replica: &Replica, mut from: Slot) -> Slot {
    for _ in 0..EXPIRY_STEPS {
        let next = replica.store.sweep_expired(from, EXPIRY_RECORDS, replica.wall.now());
        let wrapped = next <= from;
        from = next;
        if wrapped {
            break;
        }
        tokio::task::yield_now().await;
    }
    from
}
