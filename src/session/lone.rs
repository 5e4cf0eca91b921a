//! A request that came alone: others are served while what it needs is on its way to the cache.
//!
//! The keys of a pipeline are looked for together, so they wait for memory together (see [`LocalKvStore::warm`]). A client
//! that sends one request at a time has only other clients to share that wait with: its session asks for the table's entry
//! and lets all who are ready go first. The first of those who waited asks for the records of them all. Besides, sessions
//! then receive one after the other and answer one after the other, which the kernel's part of the work gains from as well.
//!
//! It pays where a request is served here from memory. One that is passed on waits for another node anyway, and what goes to
//! that node in one message is what sessions launch together. Nor does it pay while a neighbour has long turns, all of which it
//! would wait for, nor with several worker threads: a task that is ready has tokio wake a thread that has nothing to do.
//!
//! [`LocalKvStore::warm`]: crate::store::LocalKvStore::warm

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem;
use std::task::Poll;

use super::Session;
use super::lookahead::first_argument;
use crate::command::spec::Flags;
use crate::ring::Slot;
use crate::store::KeyHash;

/// So many sessions wait for each other in this way, as each holds a buffer of its own meanwhile. As many again may wait behind
/// them: those who came after the first of these went on.
const WAITING_MAX: usize = 64;

/// So many requests do not wait after somebody has had a long turn: more will follow, and to wait for one of them is more than
/// what it saves.
const HURRIED_REQUESTS: usize = 256;

thread_local! {
    static WAITING: Waiting<(Slot, KeyHash)> = const { Waiting::nobody() };
}

/// Notes that a session has had a long turn.
pub(super) fn note_long_turn() {
    WAITING.with(Waiting::hurry);
}

/// Who waits on a thread.
struct Waiting<K> {
    /// Their keys. A session that has ended is still among them, and so are those of another node in this process: to ask for a
    /// record that nobody reads, or for none, does no harm.
    keys: RefCell<Vec<K>>,
    /// How many requests are not to wait.
    hurried: Cell<usize>,
}

impl<K> Waiting<K> {
    const fn nobody() -> Self {
        Self { keys: RefCell::new(Vec::new()), hurried: Cell::new(0) }
    }

    /// Whether there is room for one more, and time.
    fn join(&self, key: K) -> bool {
        let (hurried, mut keys) = (self.hurried.get(), self.keys.borrow_mut());
        if hurried > 0 {
            self.hurried.set(hurried - 1);
            return false;
        }
        let has_room = keys.len() < WAITING_MAX;
        if has_room {
            keys.push(key);
        }
        has_room
    }

    /// One of them goes on: tells the keys of all who have joined since another did so.
    fn go_on(&self, tell: impl FnMut(K)) {
        self.keys.borrow_mut().drain(..).for_each(tell);
    }

    fn hurry(&self) {
        self.hurried.set(HURRIED_REQUESTS);
    }
}

impl Session<'_> {
    /// Has what the only request of a turn needs brought into the cache, and lets others go first meanwhile.
    pub(super) async fn warm_lone(&self) {
        let (Some((request, slot)), store) = (self.requests.current(), &self.server.store.replica.store) else {
            return;
        };
        let hash = store.hash(first_argument(&request));
        if WAITING.with(|waiting| waiting.join((slot, hash))) {
            store.warm_entry(slot, hash);
            let_others_go_first().await;
            WAITING.with(|waiting| waiting.go_on(|(slot, hash)| store.warm_record(slot, hash)));
        }
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
        assert!(waiting.join(1) && waiting.join(2));
        assert_eq!(go_on(), [1, 2]);
        assert!(waiting.join(3));
        assert_eq!((go_on(), go_on()), (vec![3], vec![]));
    }

    #[test]
    fn there_is_room_for_so_many_and_again_once_one_goes_on() {
        let waiting = Waiting::nobody();
        assert!((0..WAITING_MAX).all(|key| waiting.join(key)));
        assert!(!waiting.join(WAITING_MAX));
        let mut told = 0;
        waiting.go_on(|_| told += 1);
        assert_eq!(told, WAITING_MAX, "who found no room is not among them");
        assert!(waiting.join(0));
    }

    #[test]
    fn nobody_waits_soon_after_a_long_turn() {
        let waiting = Waiting::nobody();
        waiting.hurry();
        assert!((0..HURRIED_REQUESTS).all(|key| !waiting.join(key)));
        assert!(waiting.join(0));
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
