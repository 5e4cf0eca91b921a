//! Who is there, who can reach whom, and what goes wrong on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::peer::LocalNode;
use crate::peer::backoff::Chance;
use crate::ring::NodeIndex;

/// How unreliable every link is. Each chance is a probability from 0 to 1, drawn for each message and direction.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct LinkFaults {
    /// The message is lost.
    pub drop: f64,
    /// The message comes twice.
    pub duplicate: f64,
    /// The message is held up, and others may overtake it.
    pub reorder: f64,
    /// It is held up for less than this.
    pub reorder_delay_max: Duration,
}

/// Which process of a node: counts its joins.
pub(super) type Incarnation = u64;

/// The network that the nodes of a test share. Clones are the same network.
#[derive(Clone)]
pub struct InMemoryNetwork(Arc<Switchboard>);

struct Switchboard {
    /// Locked for a look or a change, never while a node is called.
    state: Mutex<State>,
    /// Tells the links that the state is another one, in the order in which they wait: a `watch` would wake them in an
    /// order of its own chance, and a run would not repeat itself.
    changed: Notify,
}

struct State {
    nodes: BTreeMap<NodeIndex, Place>,
    /// Directions in which nothing passes.
    cuts: BTreeSet<(NodeIndex, NodeIndex)>,
    /// Time on the way, where it is not zero.
    delays: BTreeMap<(NodeIndex, NodeIndex), Duration>,
    faults: LinkFaults,
    chance: Chance,
}

/// A node's place on the network.
#[derive(Default)]
struct Place {
    /// The running process, if there is one.
    node: Option<Arc<dyn LocalNode>>,
    incarnation: Incarnation,
    frozen: bool,
}

/// What becomes of a message at the end of its way.
pub(super) enum Arrival {
    /// It arrives at this process.
    Here(Arc<dyn LocalNode>, Incarnation),
    /// It waits until both nodes run.
    Held,
    /// It is lost.
    Lost,
    /// Nobody is there: the sender learns it at once.
    Refused,
}

impl InMemoryNetwork {
    /// A network without nodes, whose chance comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            nodes: BTreeMap::new(),
            cuts: BTreeSet::new(),
            delays: BTreeMap::new(),
            faults: LinkFaults::default(),
            chance: Chance::new(seed),
        };
        Self(Arc::new(Switchboard { state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Starts `node` as the process of `index`, in place of the one that ran there. Links to that one break.
    pub(super) fn join(&self, index: NodeIndex, node: Arc<dyn LocalNode>) -> Incarnation {
        self.change(|state| {
            let place = state.nodes.entry(index).or_default();
            let incarnation = place.incarnation + 1;
            *place = Place { node: Some(node), incarnation, frozen: false };
            incarnation
        })
    }

    /// Ends the process of `node` like a `kill -9`: links to and from it break at once, and dialling it is refused.
    pub fn crash(&self, node: NodeIndex) {
        self.change_place(node, |place| {
            place.node = None;
            place.frozen = false;
        });
    }

    /// Stops `node` like a `SIGSTOP`: its links stay, but it takes and sends nothing until [`thaw`](Self::thaw).
    pub fn freeze(&self, node: NodeIndex) {
        self.change_place(node, |place| place.frozen = true);
    }

    /// Lets a frozen node go on. What it was sent meanwhile arrives now.
    pub fn thaw(&self, node: NodeIndex) {
        self.change_place(node, |place| place.frozen = false);
    }

    /// Loses everything between `a` and `b`, what is on its way too.
    pub fn cut(&self, a: NodeIndex, b: NodeIndex) {
        self.change(|state| state.cuts.extend([(a, b), (b, a)]));
    }

    /// Loses everything that `from` sends to `to`: its requests, and its answers to requests of `to`.
    pub fn cut_one_way(&self, from: NodeIndex, to: NodeIndex) {
        self.change(|state| state.cuts.insert((from, to)));
    }

    /// Undoes every cut between `a` and `b`.
    pub fn heal(&self, a: NodeIndex, b: NodeIndex) {
        self.change(|state| state.cuts.retain(|&cut| cut != (a, b) && cut != (b, a)));
    }

    /// Undoes every cut.
    pub fn heal_all(&self) {
        self.change(|state| state.cuts.clear());
    }

    /// Messages from `from` to `to` take `delay` from now on.
    pub fn set_delay(&self, from: NodeIndex, to: NodeIndex, delay: Duration) {
        self.change(|state| state.delays.insert((from, to), delay));
    }

    /// Every link is as unreliable as `faults` says from now on.
    pub fn set_faults(&self, faults: LinkFaults) {
        self.change(|state| state.faults = faults);
    }

    /// Waits for the first change after this call.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.0.changed.notified()
    }

    /// A seed of its own for one link.
    pub(super) fn seed(&self) -> u64 {
        self.0.state.lock().chance.next()
    }

    /// The process that runs as `node`.
    pub(super) fn incarnation(&self, node: NodeIndex) -> Option<Incarnation> {
        let state = self.0.state.lock();
        let place = state.nodes.get(&node)?;
        place.node.as_ref().map(|_| place.incarnation)
    }

    /// How long each copy of a message from `from` to `to` is on its way, and whether it may be overtaken. No entry: it
    /// is lost.
    pub(super) fn send(&self, from: NodeIndex, to: NodeIndex) -> Vec<Trip> {
        let mut state = self.0.state.lock();
        let faults = state.faults;
        if state.chance.happens(faults.drop) {
            return Vec::new();
        }
        let copies = 1 + usize::from(state.chance.happens(faults.duplicate));
        (0..copies).map(|_| state.trip(from, to)).collect()
    }

    /// What becomes of a message from `from` to `to` that has travelled its time.
    pub(super) fn arrive(&self, from: NodeIndex, to: NodeIndex) -> Arrival {
        let state = self.0.state.lock();
        if state.cuts.contains(&(from, to)) {
            return Arrival::Lost;
        }
        let Some(place) = state.nodes.get(&to) else { return Arrival::Refused };
        let Some(node) = &place.node else { return Arrival::Refused };
        if place.frozen || state.nodes.get(&from).is_some_and(|place| place.frozen) {
            return Arrival::Held;
        }
        Arrival::Here(Arc::clone(node), place.incarnation)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.0.state.lock());
        self.0.changed.notify_waiters();
        result
    }

    fn change_place(&self, node: NodeIndex, change: impl FnOnce(&mut Place)) {
        self.change(|state| change(state.nodes.entry(node).or_default()));
    }
}

/// One copy's way from node to node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trip {
    pub(super) duration: Duration,
    /// Whether those sent later may arrive first.
    pub(super) loose: bool,
}

impl State {
    fn trip(&mut self, from: NodeIndex, to: NodeIndex) -> Trip {
        let duration = self.delays.get(&(from, to)).copied().unwrap_or_default();
        if !self.chance.happens(self.faults.reorder) {
            return Trip { duration, loose: false };
        }
        let held_up = self.faults.reorder_delay_max.mul_f64(self.chance.fraction());
        Trip { duration: duration + held_up, loose: true }
    }
}
