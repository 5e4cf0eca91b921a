//! A request that came alone: others are served while what it needs is on its way to the cache.
//!
//! The keys of a pipeline are looked for together, so they wait for memory together (see [`LocalKvStore::warm`]). A client
//! that sends one request at a time has only other clients to share that wait with: its session asks for the lines that it
//! will read and lets all who are ready go first, once for the table's entry and once for the record. Besides, sessions
//! then receive one after the other and answer one after the other, which the kernel's part of the work gains from as well.
//!
//! It pays where a request is served here from memory. One that is passed on waits for another node anyway, and what goes to
//! that node in one message is what sessions launch together. Nor does it pay while a neighbour has long turns, all of which it
//! would wait for, nor with several worker threads: a task that is ready has tokio wake a thread that has nothing to do.
//!
//! [`LocalKvStore::warm`]: crate::store::LocalKvStore::warm

use std::future::poll_fn;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use super::Session;
use super::lookahead::first_argument;
use crate::command::spec::Flags;

/// So many sessions of a process wait in this way at most: each holds a buffer of its own meanwhile.
static ROOM: Room = Room::of(64);

/// So many requests do not wait after somebody has had a long turn: more will follow, and to wait for two of them is more than
/// what it saves.
const HURRIED_REQUESTS: usize = 256;

/// Notes that a session has had a long turn.
pub(super) fn note_long_turn() {
    ROOM.hurry();
}

/// Room for so many to wait.
struct Room {
    places: usize,
    taken: AtomicUsize,
    /// How many requests are not to wait.
    hurried: AtomicUsize,
}

/// One of the places, until dropped.
struct Place<'a>(&'a Room);

impl Room {
    const fn of(places: usize) -> Self {
        Self { places, taken: AtomicUsize::new(0), hurried: AtomicUsize::new(0) }
    }

    /// `None` if there is no room for one more, or no time.
    fn enter(&self) -> Option<Place<'_>> {
        let hurried = self.hurried.load(Ordering::Relaxed);
        if hurried > 0 {
            // Others may count at the same time; it is about the order of magnitude.
            self.hurried.store(hurried - 1, Ordering::Relaxed);
            return None;
        }
        let place = Place(self);
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.places).then_some(place)
    }

    fn hurry(&self) {
        self.hurried.store(HURRIED_REQUESTS, Ordering::Relaxed);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session<'_> {
    /// Has what the only request of a turn needs brought into the cache, and lets others go first meanwhile.
    pub(super) async fn warm_lone(&self) {
        let (Some((request, slot)), Some(_place)) = (self.requests.current(), ROOM.enter()) else { return };
        let (store, key) = (&self.server.store.replica.store, first_argument(&request));
        store.warm_entry(slot, key);
        let_others_go_first().await;
        store.warm_record(slot, key);
        let_others_go_first().await;
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
    fn there_is_room_for_so_many_and_again_once_one_has_left() {
        let room = Room::of(2);
        let mut places: Vec<_> = std::iter::from_fn(|| room.enter()).collect();
        assert_eq!(places.len(), 2);
        assert!(room.enter().is_none(), "who found no room takes none");
        places.pop();
        assert!(room.enter().is_some());
        drop(places);
        assert_eq!(room.taken.into_inner(), 0);
    }

    #[test]
    fn nobody_waits_soon_after_a_long_turn() {
        let room = Room::of(1);
        room.hurry();
        assert!((0..HURRIED_REQUESTS).all(|_| room.enter().is_none()));
        assert!(room.enter().is_some());
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
