//! A request that came alone: others are served while what it needs is on its way to the cache.
//!
//! The keys of a pipeline are looked for together, so they wait for memory together (see [`LocalKvStore::warm`]). A client
//! that sends one request at a time has only other clients to share that wait with: its session asks for the table's entry
//! and lets all who are ready go first. The first of those who waited asks for the records of them all. Besides, sessions
//! then receive one after the other and answer one after the other, which the kernel's part of the work gains from as well.
//!
//! It pays where a request is served here from memory. One that is passed on waits for another node anyway, and a write that
//! others keep as well leaves in a group ([`ConsistentHashingKvStore::join`]), however many worker threads there are. To wait for
//! memory does not pay while a neighbour has long turns, all of which a request would wait for, nor with several worker threads: a
//! task that is ready has tokio wake a thread that has nothing to do.
//!
//! [`LocalKvStore::warm`]: crate::store::LocalKvStore::warm

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem;
use std::task::Poll;

use smallvec::smallvec;
use tokio::time::Instant;

use super::Session;
use super::lookahead::first_argument;
use crate::command::spec::Flags;
use crate::coordinator::{ConsistentHashingKvStore, Operation, Quorum};
use crate::store::WarmKey;
use crate::time::UnixMs;

/// So many sessions of a thread wait in this way at most: each holds a buffer of its own meanwhile.
const WAITING_MAX: usize = 64;

/// So many requests do not wait after somebody has had a long turn: more will follow, and to wait for one of them is more than
/// what it saves.
const HURRIED_REQUESTS: usize = 256;

thread_local! {
    static WAITING: Waiting<WarmKey> = const { Waiting::nobody() };
}

/// Notes that a session has had a long turn.
pub(super) fn note_long_turn() {
    WAITING.with(Waiting::hurry);
}

/// Whether the only operation of a turn may leave with those of other clients, and no neighbour has had a long turn just now.
fn may_join(store: &ConsistentHashingKvStore, quorum: Quorum, operation: &Operation) -> bool {
    quorum == store.quorum() && store.may_join(operation) && !WAITING.with(Waiting::is_hurried)
}

/// Who waits on a thread.
struct Waiting<K> {
    count: Cell<usize>,
    /// The keys of those who have joined since one of them went on. Of a session that has ended the key stays, and so do those of
    /// another node in this process: to ask for a record that nobody reads, or for none, does no harm.
    keys: RefCell<Vec<K>>,
    /// How many requests are not to wait.
    hurried: Cell<usize>,
}

impl<K> Waiting<K> {
    const fn nobody() -> Self {
        Self { count: Cell::new(0), keys: RefCell::new(Vec::new()), hurried: Cell::new(0) }
    }

    /// Whether one more request, which is counted, is not to wait.
    fn is_hurried(&self) -> bool {
        let hurried = self.hurried.get();
        self.hurried.set(hurried.saturating_sub(1));
        hurried > 0
    }

    /// One more waits, if there is room and time: until it leaves.
    fn join(&self, key: impl FnOnce() -> K) -> bool {
        if self.is_hurried() {
            return false;
        }
        let count = self.count.get();
        let has_room = count < WAITING_MAX;
        if has_room {
            self.count.set(count + 1);
            self.keys.borrow_mut().push(key());
        }
        has_room
    }

    /// One of them goes on: tells the keys of all who have joined since another did so.
    fn go_on(&self, tell: impl FnMut(K)) {
        self.keys.borrow_mut().drain(..).for_each(tell);
    }

    /// One of them waits no more, whether it went on or has ended.
    fn leave(&self) {
        self.count.set(self.count.get().saturating_sub(1));
        if self.count.get() == 0 {
            self.keys.borrow_mut().clear();
        }
    }

    fn hurry(&self) {
        self.hurried.set(HURRIED_REQUESTS);
    }
}

/// One of those who wait on this thread, until dropped.
struct Place;

impl Drop for Place {
    fn drop(&mut self) {
        // A thread that ends may have dropped the list before its sessions.
        let _ = WAITING.try_with(Waiting::leave);
    }
}

impl Session<'_> {
    /// Has what the only request of a turn needs brought into the cache, and lets others go first meanwhile.
    pub(super) async fn warm_lone(&self) {
        let (Some((request, slot)), store) = (self.requests.current(), &self.server.store.replica.store) else {
            return;
        };
        if WAITING.with(|waiting| waiting.join(|| store.warm_entry(slot, first_argument(&request)))) {
            let _place = Place;
            let_others_go_first().await;
            WAITING.with(|waiting| waiting.go_on(|key| store.warm_record(key)));
        }
    }

    /// Waits for the only operation of a turn, and makes its only reply.
    pub(super) async fn settle_lone(&mut self, operation: Operation, quorum: Quorum, began: Instant, now: UnixMs) {
        let Self { server, turn, timer, .. } = self;
        let store = &server.store;
        let outcome = if may_join(store, quorum, &operation) {
            store.join(operation).await
        } else {
            timer.began(began);
            store.launch_for(quorum, smallvec![operation], now).settle_one(timer).await
        };
        turn.answer_lone(&outcome);
    }

    /// Whether a client most likely asks for what this node tells without another's help: about a key that it keeps, and with
    /// the same command as before.
    #[inline]
    pub(super) fn is_likely_served_here(&self) -> bool {
        let (store, last) = (&self.server.store, self.turn.meter.current());
        let may_serve = |slot| {
            store.reads_alone(self.state.quorum, slot)
                && (!last.flags.contains(Flags::WRITE) || store.writes_alone(slot))
        };
        self.server.settings.worker_threads == 1
            && self.state.peer.is_none()
            && self.state.authenticated
            && last.plain
            && last.keys.is_some()
            && self.requests.current().is_some_and(|(_, slot)| may_serve(slot))
    }
}

/// Goes to the end of the queue of the worker's tasks that are ready. Unlike `yield_now` it asks for no look at the sockets,
/// which costs a system call where nobody else is ready.
async fn let_others_go_first() {
    let mut has_waited = false;
    poll_fn(|context| {
        if mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_first_who_goes_on_hears_of_all_who_wait_and_the_next_of_those_who_came_after() {
        let (waiting, told) = (Waiting::nobody(), RefCell::new(Vec::new()));
        let go_on = || {
            waiting.go_on(|key| told.borrow_mut().push(key));
            told.take()
        };
        assert!(waiting.join(|| 1) && waiting.join(|| 2));
        assert_eq!(go_on(), [1, 2]);
        assert!(waiting.join(|| 3));
        assert_eq!((go_on(), go_on()), (vec![3], vec![]));
    }

    #[test]
    fn there_is_room_for_so_many_and_again_once_one_has_left() {
        let waiting = Waiting::nobody();
        assert!((0..WAITING_MAX).all(|key| waiting.join(|| key)));
        assert!(!waiting.join(|| unreachable!("who finds no room asks for nothing")));
        waiting.go_on(drop);
        assert!(!waiting.join(|| 0), "the others still wait");
        waiting.leave();
        assert!(waiting.join(|| 0) && !waiting.join(|| 0));
    }

    #[test]
    fn those_who_end_without_going_on_leave_nothing() {
        let waiting = Waiting::nobody();
        assert!(waiting.join(|| 1) && waiting.join(|| 2));
        waiting.leave();
        waiting.leave();
        assert!(waiting.join(|| 3));
        waiting.go_on(|key| assert_eq!(key, 3));
    }

    #[test]
    fn nobody_waits_soon_after_a_long_turn() {
        let waiting = Waiting::nobody();
        waiting.hurry();
        assert!((0..HURRIED_REQUESTS).all(|key| !waiting.join(|| key)));
        assert!(waiting.join(|| 0));
    }

    #[tokio::test]
    async fn all_who_are_ready_go_first() {
        let order = RefCell::new(Vec::new());
        let polite = async {
            order.borrow_mut().push("asks");
            let_others_go_first().await;
            order.borrow_mut().push("goes on");
        };
        let other = async { order.borrow_mut().push("other") };
        tokio::join!(biased; polite, other);
        assert_eq!(*order.borrow(), ["asks", "other", "goes on"]);
    }
}
