//! What a turn waits for: other replicas, and the whole cluster.

use smallvec::SmallVec;
use tokio::time::Instant;

use super::{Session, TurnEnd};
use crate::command::{self, ClusterWide, KillToken, Turn, WaitOrder};
use crate::coordinator::{ConsistentHashingKvStore, Outcomes, Quorum};
use crate::ring::Slot;
use crate::time::UnixMs;

impl Session<'_> {
    /// Waits for what the turn has launched, and puts its replies together.
    pub(super) async fn settle_launched(&mut self, quorum: Quorum, began: Instant, now: UnixMs) {
        let Self { server, turn, timer, .. } = self;
        let store = &server.store;
        let (operations, updates) = (turn.take_operations(), turn.take_updates());
        let updated_slots: SmallVec<[Slot; 8]> = updates.iter().map(|update| update.slot).collect();
        let launched = (!operations.is_empty()).then(|| store.launch_for(quorum, operations, now));
        timer.began(began);
        let launched = async {
            match launched {
                Some(launched) => launched.settle_with(timer).await,
                None => Outcomes::new(),
            }
        };
        let (outcomes, updated) = match updates.is_empty() {
            true => (launched.await, Vec::new()),
            false => Box::pin(async { tokio::join!(launched, store.update(updates)) }).await,
        };
        if !updated_slots.is_empty() {
            note_updates(turn, store, updated_slots);
        }
        let unanswered = turn.unanswered(&outcomes);
        let asked = match unanswered.is_empty() {
            true => Outcomes::new(),
            false => {
                timer.began(Instant::now());
                let now = store.replica.wall.now();
                Box::pin(store.launch_for(quorum, unanswered, now).settle_with(timer)).await
            }
        };
        let outcomes = turn.settle(outcomes, asked);
        turn.finish(outcomes, updated);
    }

    /// Serves the command dispatched last, which has to ask the whole cluster. It is timed alone.
    pub(super) async fn ask_cluster(&mut self, request: ClusterWide) {
        let (began, reply_at) = (Instant::now(), self.turn.out.len());
        let (store, updated_slots) = (&self.server.store, request.updated_slots());
        let quorum = match self.turn.updated.is_recent(store.replica.wall.now()) {
            true => self.state.quorum.behind_updates(store.quorum()),
            false => self.state.quorum,
        };
        command::ask_cluster(self.server, &self.state, quorum, request, &mut self.turn.out).await;
        if let Some(slots) = updated_slots {
            note_updates(&mut self.turn, store, slots);
        }
        let elapsed = began.elapsed();
        let spec = self.turn.meter.current();
        self.server.watch.awaited(spec.id, elapsed, &self.turn.out[reply_at..]);
        if let Some((request, _)) = self.requests.current() {
            command::log_if_slow(self.server, &self.client, (spec, &request), 0, elapsed);
        }
        self.requests.advance(&self.server.store.replica.store);
    }

    /// Waits for other replicas, perhaps for ever: until the client leaves or is killed.
    pub(super) async fn wait(&mut self, order: WaitOrder, killed: &KillToken) -> TurnEnd {
        let began = Instant::now();
        tokio::select! {
            biased;
            () = command::wait(self.server, order, &mut self.turn) => {
                self.server.watch.awaited(self.turn.meter.current().id, began.elapsed(), &[]);
                TurnEnd::Busy
            }
            () = killed.killed() => TurnEnd::Close,
            () = self.connection.left() => TurnEnd::Close,
        }
    }
}

/// Has the reads behind them see these updates, which were answered just now. Whoever has not received one after the time of a
/// request is known to be down.
fn note_updates(turn: &mut Turn, store: &ConsistentHashingKvStore, slots: impl IntoIterator<Item = Slot>) {
    turn.updated.add(slots, store.replica.wall.now(), store.replica.config.request_timeout());
}
