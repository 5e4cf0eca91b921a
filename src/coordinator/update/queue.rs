//! Updates that wait at their home: one round at a time for each slot.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use fnv::FnvHashMap;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::carry::{PATIENCE_TIMEOUTS, refusal};
use super::{Change, Held, UpdateOrder, Work};
use crate::codec::{Protocol, reply};
use crate::coordinator::{ConsistentHashingKvStore, QuorumError};
use crate::peer::{PeerRequest, RequestBatch, UpdateRequest};
use crate::replica::Call;
use crate::ring::{NodeIndex, Slot};

/// Reads the words of an update that a peer has sent, or says what is wrong with them.
pub type ParseUpdate = fn(Vec<Bytes>, Protocol) -> Result<UpdateOrder, String>;

/// An update at its home.
pub(super) struct Job {
    pub(super) order: UpdateOrder,
    pub(super) asker: Asker,
    arrived_at: Instant,
}

impl Job {
    pub(super) fn new(order: UpdateOrder, asker: Asker) -> Self {
        Self { order, asker, arrived_at: Instant::now() }
    }

    /// Whether it may share a round with others of its slot. What has several keys could see, of those before it, one
    /// key's change and not another's.
    fn is_sociable(&self) -> bool {
        self.order.keys.len() == 1
    }
}

/// Who gets the reply.
pub(super) enum Asker {
    /// A session of this node.
    Here(oneshot::Sender<Bytes>),
    /// The node that has carried it here, and its number for it.
    Peer(NodeIndex, u64),
}

/// The updates of which this node is the home.
#[derive(Default)]
pub(in crate::coordinator) struct UpdateQueue(Mutex<State>);

#[derive(Default)]
struct State {
    /// Handed in by this node's sessions, and not yet looked at.
    incoming: Vec<Job>,
    /// The slots that are being worked on, with what waits for each.
    busy: FnvHashMap<Slot, VecDeque<Job>>,
}

impl UpdateQueue {
    /// Hands in updates of this node's own sessions.
    pub(super) fn hand_in(&self, jobs: Vec<Job>) {
        self.0.lock().incoming.extend(jobs);
    }

    /// Puts all that has come, with `more` of peers and of this node itself, behind what waits for its slots, and returns what may be worked
    /// on at once.
    fn admit(&self, more: Vec<Job>) -> Vec<Job> {
        let mut state = self.0.lock();
        let mut free = Vec::new();
        let incoming = std::mem::take(&mut state.incoming);
        for job in incoming.into_iter().chain(more) {
            let slot = job.order.slot;
            state.busy.entry(slot).or_insert_with(|| {
                free.push(slot);
                VecDeque::new()
            });
            state.busy.entry(slot).or_default().push_back(job);
        }
        free.into_iter().flat_map(|slot| state.take(slot)).collect()
    }

    /// Nobody works on these slots any more: what waits for them comes in again.
    fn hand_back(&self, slots: &[Slot]) {
        let mut state = self.0.lock();
        let waiting: Vec<Job> = slots.iter().filter_map(|slot| state.busy.remove(slot)).flatten().collect();
        state.incoming.splice(..0, waiting);
    }

    /// What is to be worked on next of slots that were worked on; those for which nothing waits are free again.
    fn next(&self, slots: &[Slot]) -> Vec<Job> {
        let mut state = self.0.lock();
        slots.iter().flat_map(|&slot| state.take(slot)).collect()
    }
}

impl State {
    /// The updates of the next round of a slot. Without any, it is free.
    fn take(&mut self, slot: Slot) -> Vec<Job> {
        let Some(waiting) = self.busy.get_mut(&slot) else { return Vec::new() };
        let sociable = waiting.iter().take_while(|job| job.is_sociable()).count();
        let taken: Vec<Job> = waiting.drain(..sociable.max(1).min(waiting.len())).collect();
        if taken.is_empty() {
            self.busy.remove(&slot);
        }
        taken
    }
}

/// Carries out the updates of which this node is the home, until it is dropped.
pub async fn run(store: Arc<ConsistentHashingKvStore>, parse: ParseUpdate) {
    let mut rounds = JoinSet::new();
    loop {
        let calls = store.replica.calls.take_up();
        let calls = calls.into_iter().filter_map(|call| store.job_of(call, parse)).collect();
        // Nobody waits for the second kind, and no client should wait for it.
        let settlings = store.replica.calls.take_unsettled().into_iter().map(settling).collect();
        let rounds_before = rounds.len();
        for jobs in [calls, settlings].map(|jobs| store.updates.admit(jobs)) {
            if !jobs.is_empty() {
                rounds.spawn(work(Arc::clone(&store), jobs));
            }
        }
        if rounds.len() > rounds_before {
            continue;
        }
        tokio::select! {
            () = store.replica.calls.arrived.notified() => {}
            Some(_) = rounds.join_next() => {}
        }
    }
}

/// Writes a key anew as it is, for nobody who waits for the reply: under its new version all replicas can take it.
fn settling(key: Bytes) -> Job {
    let rule = |work: &mut Work<'_>| {
        let change = match work.held[0] {
            Some(Held { value, expires_at }) => Change::Put { value: Bytes::copy_from_slice(value), expires_at },
            None => Change::Delete,
        };
        work.changes.push((0, change));
    };
    let slot = Slot::of_key(&key);
    let order =
        UpdateOrder { slot, keys: SmallVec::from_iter([key]), args: Vec::new(), protocol: Protocol::Resp2, rule };
    Job::new(order, Asker::Here(oneshot::channel().0))
}

/// Works on these updates, and then on those that have come for the same slots meanwhile.
async fn work(store: Arc<ConsistentHashingKvStore>, mut jobs: Vec<Job>) {
    while !jobs.is_empty() {
        let mut slots: Vec<Slot> = jobs.iter().map(|job| job.order.slot).collect();
        slots.dedup();
        let worked_on = WorkedOn { store: &store, slots };
        let jobs_in_time = store.refuse_overdue(jobs);
        let orders: Vec<UpdateOrder> = jobs_in_time.iter().map(|job| job.order.clone()).collect();
        let replies = store.carry_out(&orders).await;
        store.deliver(jobs_in_time, replies);
        jobs = store.updates.next(&worked_on.slots);
    }
}

/// Slots that are being worked on. Should a rule panic, its round is lost, and what waits behind it is not.
struct WorkedOn<'a> {
    store: &'a ConsistentHashingKvStore,
    slots: Vec<Slot>,
}

impl Drop for WorkedOn<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.store.updates.hand_back(&self.slots);
            self.store.replica.calls.arrived.notify_one();
        }
    }
}

impl ConsistentHashingKvStore {
    /// The update that a peer wants; `None`, and the peer is told, if it is none.
    fn job_of(&self, call: Call, parse: ParseUpdate) -> Option<Job> {
        let asker = Asker::Peer(call.from, call.id);
        match parse(call.words, call.protocol) {
            Ok(order) => Some(Job::new(order, asker)),
            Err(error) => {
                let mut refusal = Vec::new();
                reply::error(&mut refusal, &error);
                self.send_replies(call.from, &[(call.id, refusal.into())]);
                None
            }
        }
    }

    /// Refuses those that have waited for so long that their clients were told that nobody knows, and returns the others.
    fn refuse_overdue(&self, jobs: Vec<Job>) -> Vec<Job> {
        let patience = self.replica.config.request_timeout() * PATIENCE_TIMEOUTS;
        let (overdue, in_time): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.arrived_at.elapsed() >= patience);
        let reason = Some("it has waited for other updates for too long".to_owned());
        let refusal = refusal(&QuorumError::Reverted { acks: 0, needed: self.quorum.write, reason });
        let refusals = vec![refusal; overdue.len()];
        self.deliver(overdue, refusals);
        in_time
    }

    /// Gives each its reply.
    fn deliver(&self, jobs: Vec<Job>, replies: Vec<Bytes>) {
        let mut letters: FnvHashMap<NodeIndex, Vec<(u64, Bytes)>> = FnvHashMap::default();
        for (job, reply) in jobs.into_iter().zip(replies) {
            match job.asker {
                // A session that has ended does not miss it.
                Asker::Here(session) => drop(session.send(reply)),
                Asker::Peer(node, id) => letters.entry(node).or_default().push((id, reply)),
            }
        }
        for (node, replies) in letters {
            self.send_replies(node, &replies);
        }
    }

    /// Sends replies to the node that has carried the updates here. One that cannot be reached tells its client that it does not
    /// know what became of them.
    fn send_replies(&self, to: NodeIndex, replies: &[(u64, Bytes)]) {
        let mut batch = RequestBatch::new();
        for (id, reply) in replies {
            batch.push(&PeerRequest::Update(UpdateRequest::Done { id: *id, reply }));
        }
        drop(self.peers.exchange(to, batch));
    }
}
