//! Groups: writes that clients without pipelines ask for at the same time leave as one batch, as databases commit in groups.
//!
//! A batch costs its coordinator and each replica much more than a write in it, and of a client that sends one request at a
//! time each batch has one. So the writes of all clients that are ready share one. The first who joins a group has it depart
//! once all who are ready have joined; who becomes ready meanwhile may join as well, for three looks at the sockets at most.
//!
//! Only what has the same replicas is carried together, and each is told its outcome as soon as that is known: nobody waits for
//! the replicas of another one's key.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::flight::is_plain;
use super::outbox::{SHARED_BYTES_MAX, SHARING_VALUE_BYTES_MAX, message_bytes};
use super::{ConsistentHashingKvStore, HurryTimer, Operation, Operations, Outcome, QuorumError};

/// So often a group that still grows lets others join.
const GATHERING_ROUNDS_MAX: usize = 3;

/// Writes, each with whom it is for.
#[derive(Default)]
pub(super) struct Group {
    operations: Operations,
    seats: Seats,
    /// About what the message of all takes; once it fills a request nobody joins any more.
    bytes: usize,
}

/// Those who wait for the outcomes of a batch's operations, each for one; nobody, if all are awaited together.
#[derive(Default)]
pub(super) struct Seats(Vec<Option<oneshot::Sender<Outcome>>>);

impl Seats {
    /// Nobody waits for a single outcome.
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells the outcome of an operation to whom it is for. False if that is nobody, or not the first time.
    pub(super) fn tell(&mut self, operation: usize, outcome: impl FnOnce() -> Outcome) -> bool {
        let Some(seat) = self.0.get_mut(operation).and_then(Option::take) else { return false };
        // A session that has ended asks no more.
        let _ = seat.send(outcome());
        true
    }
}

impl Group {
    /// Takes what has joined. The next group gets the room at once that this one needed, since the same clients are likely to join it.
    fn take(&mut self) -> Self {
        let count = self.operations.len();
        let (operations, seats) = (Operations::with_capacity(count), Seats(Vec::with_capacity(count)));
        std::mem::replace(self, Self { operations, seats, bytes: 0 })
    }
}

impl ConsistentHashingKvStore {
    /// Whether a client's only operation may leave with those of others: a write with the same replicas as theirs, which have to
    /// be asked, and so short that the others do not wait for it.
    #[must_use]
    pub fn may_join(&self, operation: &Operation) -> bool {
        let is_short = || operation.value().is_some_and(|value| value.len() <= SHARING_VALUE_BYTES_MAX);
        self.is_everywhere() && self.quorum.write > 1 && is_plain(operation) && is_short()
    }

    /// Sends a write that [may join](Self::may_join) on its way, in a group with those of others, and waits for its outcome. For
    /// clients with the configured quorum. To be called within a runtime.
    pub async fn join(self: &Arc<Self>, operation: Operation) -> Outcome {
        let (seat, outcome) = oneshot::channel();
        let (count, full) = {
            let mut group = self.forming.lock();
            group.bytes += message_bytes(&operation.key, operation.value());
            group.operations.push(operation);
            group.seats.0.push(Some(seat));
            let is_full = group.bytes >= SHARED_BYTES_MAX;
            (group.operations.len(), is_full.then(|| group.take()))
        };
        if let Some(full) = full {
            tokio::spawn(carry(Arc::clone(self), full));
        } else if count == 1 {
            tokio::spawn(depart(Arc::clone(self)));
        }
        outcome.await.unwrap_or_else(|_| {
            let reason = Some("this node failed within; its log says why".to_owned());
            Outcome::Failed(QuorumError::Indeterminate { acks: 0, needed: self.quorum.write, reason })
        })
    }

    /// Lets those who are ready join, and those who become ready meanwhile, as long as some do, but not for ever.
    async fn gather(&self) {
        let mut joined = self.forming.lock().operations.len();
        for _ in 0..GATHERING_ROUNDS_MAX {
            tokio::task::yield_now().await;
            let before = std::mem::replace(&mut joined, self.forming.lock().operations.len());
            if joined == before {
                return;
            }
        }
    }
}

/// Carries a group once nobody joins it any more.
async fn depart(store: Arc<ConsistentHashingKvStore>) {
    store.gather().await;
    let group = store.forming.lock().take();
    // One that was full has left.
    if !group.seats.is_empty() {
        carry(store, group).await;
    }
}

async fn carry(store: Arc<ConsistentHashingKvStore>, Group { operations, mut seats, .. }: Group) {
    let launched = store.launch(operations, store.replica.wall.now());
    store.peers.send_now();
    launched.tell(&mut HurryTimer::default(), &mut seats).await;
}
