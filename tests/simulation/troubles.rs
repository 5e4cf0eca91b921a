//! What goes wrong.

use std::sync::Arc;

use ringkv::peer::LinkFaults;

use crate::plan::skew_ms;
use crate::support::chance::Chance;
use crate::support::cluster::{self, TestCluster, index};
use crate::world::World;

/// Something that goes wrong, or well again.
pub(crate) type Event = fn(&mut Troubles);

/// What goes wrong with one cluster, one event after the other.
pub(crate) struct Troubles {
    world: Arc<World>,
    chance: Chance,
    /// The node that [`Self::roll`] has isolated last.
    away: Option<usize>,
    /// The node that [`Self::strand`] has cut off, or is about to.
    stranded: Option<usize>,
    /// How often [`Self::turn_odd_one`], [`Self::be_owed`] or [`Self::strand`] has come round, and whom the odd one cannot reach
    /// since then.
    turn: usize,
    away_from_odd_one: Vec<usize>,
    /// Whom the odd one cannot reach since [`Self::be_owed`].
    creditor: Option<usize>,
}

impl Troubles {
    pub(crate) fn new(world: Arc<World>, chance: Chance) -> Self {
        Self { world, chance, away: None, stranded: None, turn: 0, away_from_odd_one: Vec::new(), creditor: None }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        let world = Arc::clone(&self.world);
        let plan = &world.plan;
        self.choose_delays();
        if let Some(node) = plan.refusing() {
            self.slow_down(node);
        }
        while !plan.events.is_empty() {
            let calm_ms_min = if plan.theme.forgets_soon { plan.calm_ms / 2 } else { 0 };
            tokio::time::sleep(self.chance.millis(calm_ms_min..plan.calm_ms)).await;
            // Each meets what the one before has just changed, and what was asked just now.
            let more: &[u32] = if plan.theme.forgets_soon { &[0] } else { &[1, 1, 2, 3] };
            for _ in 0..self.chance.pick(more) {
                self.chance.pick(&plan.events)(&mut self);
                for _ in 0..self.chance.within(1..4) {
                    if self.chance.happens(plan.theme.pulses) {
                        world.pulse.notify_waiters();
                    }
                    tokio::time::sleep(self.chance.millis(0..50)).await;
                }
            }
            self.chance.pick(&plan.events)(&mut self);
            // At once, or when links have been made again.
            for _ in 0..self.chance.within(1..4) {
                if self.chance.happens(plan.theme.pulses) {
                    let within_ms = self.chance.pick(&[10, 100, 100, 500]);
                    tokio::time::sleep(self.chance.millis(0..within_ms)).await;
                    world.pulse.notify_waiters();
                }
            }
        }
    }

    pub(crate) fn choose_faults(&mut self) {
        let mut percent = |choices: &[u32]| f64::from(self.chance.pick(choices)) / 100.0;
        let faults = LinkFaults {
            drop: percent(&[0, 0, 2, 10]),
            duplicate: percent(&[0, 0, 10]),
            reorder: percent(&[0, 10, 50]),
            reorder_delay_max: {
                let max = self.chance.pick(self.world.plan.theme.hold_ups_ms);
                self.chance.millis(1..max)
            },
        };
        self.note(format!("{faults:?}"));
        self.cluster().network.set_faults(faults);
    }

    pub(crate) fn lose_some(&mut self) {
        let percent = self.chance.pick(&[5, 10, 20]);
        self.note(format!("{percent} of a hundred messages are lost"));
        self.cluster().network.set_faults(LinkFaults { drop: f64::from(percent) / 100.0, ..LinkFaults::default() });
    }

    /// Every fifth message comes late, if not too late.
    pub(crate) fn hold_some_up(&mut self) {
        let reorder_delay_max = self.chance.millis(150..350);
        self.note(format!("a fifth of all messages is late by up to {reorder_delay_max:?}"));
        self.cluster().network.set_faults(LinkFaults { reorder: 0.2, reorder_delay_max, ..LinkFaults::default() });
    }

    pub(crate) fn choose_delays(&mut self) {
        let max = self.chance.pick(self.world.plan.theme.delays_ms);
        self.note(format!("delays below {max} ms"));
        for from in self.cluster().indices() {
            for to in self.cluster().indices() {
                let delay = self.chance.millis(0..max);
                self.cluster().network.set_delay(index(from), index(to), delay);
            }
        }
    }

    /// All that concerns one node takes long.
    pub(crate) fn slow_down_one(&mut self) {
        let node = self.any_node();
        self.slow_down(node);
    }

    fn slow_down(&mut self, node: usize) {
        let delay = self.chance.millis(20..100);
        self.note(format!("node {node} is slow: {delay:?} each way"));
        for other in self.cluster().indices() {
            self.cluster().network.set_delay(index(node), index(other), delay);
            self.cluster().network.set_delay(index(other), index(node), delay);
        }
    }

    pub(crate) fn cut(&mut self) {
        let (a, b) = (self.any_node(), self.any_node());
        self.note(format!("cut {a} <-> {b}"));
        self.cluster().network.cut(index(a), index(b));
    }

    pub(crate) fn cut_one_way(&mut self) {
        let (a, b) = (self.any_node(), self.any_node());
        self.note(format!("cut {a} -> {b}"));
        self.cluster().network.cut_one_way(index(a), index(b));
    }

    pub(crate) fn isolate(&mut self) {
        let node = self.any_node();
        self.isolate_node(node);
    }

    fn isolate_node(&mut self, node: usize) {
        self.note(format!("isolate {node}"));
        self.cluster().isolate(node);
    }

    /// Other cuts than before, any number of them.
    pub(crate) fn scramble(&mut self) {
        let percent = self.chance.pick(&[15, 30, 50]);
        self.heal();
        let mut cuts = Vec::new();
        for from in self.cluster().indices() {
            for to in self.cluster().indices() {
                if from != to && self.chance.happens(percent) {
                    self.cluster().network.cut_one_way(index(from), index(to));
                    cuts.push(format!("{from} -> {to}"));
                }
            }
        }
        self.note(format!("cut {}", cuts.join(", ")));
    }

    pub(crate) fn heal(&mut self) {
        self.note("heal all cuts".to_owned());
        self.cluster().network.heal_all();
    }

    /// One node comes back, and in the same moment another goes away and a third forgets.
    pub(crate) fn roll(&mut self) {
        self.heal();
        // Whoever was away has missed what these two hold.
        let mut others: Vec<_> = self.cluster().indices().filter(|&node| Some(node) != self.away).collect();
        self.away = None;
        if self.chance.happens(70) {
            let away = others.swap_remove(self.chance.index(others.len()));
            self.isolate_node(away);
            self.away = Some(away);
        }
        if self.chance.happens(60) {
            let forgetful = self.chance.pick(&others);
            self.bounce_node(forgetful);
        }
    }

    pub(crate) fn crash(&mut self) {
        let node = self.any_node();
        self.crash_node(node);
    }

    /// A crash and a start at once.
    pub(crate) fn bounce(&mut self) {
        let node = self.any_node();
        self.bounce_node(node);
    }

    /// The odd one, new and linked to all, loses some of them, forgets, and is linked to just those: what it sends to the
    /// ones it may send to the others once more under the same stamp.
    pub(crate) fn turn_odd_one(&mut self) {
        let Some(odd_one) = self.world.plan.odd_one else { return };
        self.heal();
        let others: Vec<_> = self.cluster().indices().filter(|&node| node != odd_one).collect();
        self.away_from_odd_one = match self.turn % 3 {
            0 => Vec::new(),
            1 => others.into_iter().filter(|_| self.chance.happens(50)).collect(),
            _ => others.into_iter().filter(|node| !self.away_from_odd_one.contains(node)).collect(),
        };
        for other in self.away_from_odd_one.clone() {
            self.note(format!("cut {odd_one} <-> {other}"));
            self.cluster().network.cut(index(odd_one), index(other));
        }
        if self.turn % 3 != 1 {
            self.bounce_node(odd_one);
        }
        self.turn += 1;
    }

    /// The odd one is cut off from another node, which it will owe what it writes. Next that node forgets, and what it has
    /// been told to delete with it; then the odd one reaches it again.
    pub(crate) fn be_owed(&mut self) {
        let Some(odd_one) = self.world.plan.odd_one else { return };
        match (self.turn % 3, self.creditor) {
            (0, _) => {
                let nodes = self.cluster().config.nodes.len();
                let creditor = (odd_one + 1 + self.chance.index(nodes - 1)) % nodes;
                self.note(format!("cut {odd_one} <-> {creditor}"));
                self.cluster().network.cut(index(odd_one), index(creditor));
                self.creditor = Some(creditor);
            }
            (1, Some(creditor)) => self.bounce_node(creditor),
            _ => self.heal(),
        }
        self.turn += 1;
    }

    /// Updates of a key have two replicas within reach of each other, and one of these answers late. Next that one is cut off from all,
    /// while it may have taken what its home then takes back. Later it returns.
    pub(crate) fn strand(&mut self) {
        let replicas = self.cluster().replicas_of(&self.world.keys[0]);
        let [home, others @ ..] = replicas.as_slice() else { return };
        match (self.turn % 3, self.stranded) {
            (0, _) => {
                self.heal();
                let stranded = self.chance.pick(others);
                let delay = self.chance.millis(20..100);
                for &unasked in others.iter().filter(|&&other| other != stranded) {
                    for node in [*home, stranded] {
                        self.note(format!("cut {node} <-> {unasked}"));
                        self.cluster().network.cut(index(node), index(unasked));
                    }
                }
                self.note(format!("{stranded} answers {home} after {delay:?}"));
                self.cluster().network.set_delay(index(stranded), index(*home), delay);
                self.stranded = Some(stranded);
            }
            (1, Some(stranded)) => {
                if self.chance.happens(50) {
                    self.heal();
                }
                self.isolate_node(stranded);
            }
            _ => self.heal(),
        }
        self.turn += 1;
    }

    fn bounce_node(&mut self, node: usize) {
        if self.crash_node(node) {
            self.start_node(node);
        }
    }

    /// Ends a process, if every acknowledged write survives that. Whether it did.
    fn crash_node(&mut self, node: usize) -> bool {
        if !self.cluster().is_running(node) || self.world.plan.refusing() == Some(node) || !self.can_lose(node) {
            return false;
        }
        self.note(format!("crash {node}"));
        self.cluster().crash(node);
        true
    }

    /// Whether the quorums of every key tolerate that `node` forgets: N-W replicas may count for nothing at a time, and
    /// one where all are required, since the others have the write as well.
    fn can_lose(&self, node: usize) -> bool {
        let cluster = self.cluster();
        let (n, w) = (cluster.config.replication_factor, cluster.config.write_quorum);
        let tolerated = usize::from((n - w).max(1).min(w - 1));
        let counts_for = |node: usize, key: &str| {
            cluster.find(node).is_some_and(|node| !node.replica().syncing.contains(cluster::slot(key)))
        };
        self.world.keys.iter().all(|key| {
            let replicas = cluster.replicas_of(key);
            let lost = replicas.iter().filter(|&&other| other == node || !counts_for(other, key)).count();
            !replicas.contains(&node) || lost <= tolerated
        })
    }

    pub(crate) fn start(&mut self) {
        let down: Vec<_> = self.cluster().indices().filter(|&node| !self.cluster().is_running(node)).collect();
        if !down.is_empty() {
            let node = self.chance.pick(&down);
            self.start_node(node);
        }
    }

    fn start_node(&mut self, node: usize) {
        if self.world.plan.odd_one.is_none() && self.chance.happens(30) {
            let skew_ms = skew_ms(&mut self.chance, self.world.plan.skew_ms_max);
            self.note(format!("the clock of {node} is off by {skew_ms} ms from now on"));
            self.cluster().set_skew_ms(node, skew_ms);
        }
        self.note(format!("start {node}"));
        self.cluster().start(node);
    }

    pub(crate) fn freeze(&mut self) {
        let node = self.any_node();
        self.note(format!("freeze {node}"));
        self.cluster().network.freeze(index(node));
    }

    pub(crate) fn thaw(&mut self) {
        self.note("thaw all".to_owned());
        self.cluster().indices().for_each(|node| self.cluster().network.thaw(index(node)));
    }

    fn any_node(&mut self) -> usize {
        self.chance.index(self.cluster().config.nodes.len())
    }

    fn cluster(&self) -> &TestCluster {
        &self.world.cluster
    }

    fn note(&self, what: String) {
        self.world.history.note(what);
    }
}
