//! One seed: a cluster, its clients, its fate, and whether what was promised was kept.

use std::sync::Arc;
use std::time::Duration;

use ringkv::config::Consistency;
use ringkv::peer::LinkFaults;
use tokio::sync::Notify;

use crate::checker::{self, Violation};
use crate::clients::Client;
use crate::plan::Plan;
use crate::support::chance::Chance;
use crate::support::cluster::{Setup, TestCluster, index};
use crate::support::equality;
use crate::support::history::{Action, Call, Fate, History, NOBODY};
use crate::troubles::Troubles;

/// One cluster, its clients and its fate.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) cluster: Arc<TestCluster>,
    pub(crate) history: Arc<History>,
    pub(crate) keys: Vec<String>,
    /// Wakes the clients when something has gone wrong, or is about to.
    pub(crate) pulse: Notify,
}

impl World {
    /// Lives through a seed and writes it down.
    pub(crate) async fn run(seed: u64, history: Arc<History>) -> Result<(), Violation> {
        let mut chance = Chance::new(seed);
        let plan = Plan::draw(&mut chance);
        history.note(plan.describe());
        let setup = Setup::new(plan.nodes, plan.quorum).seed(chance.next()).skews_ms(&plan.skews_ms);
        let setup = setup.with(|config| plan.adapt(config));
        let keys = (0..plan.keys).map(|number| format!("k{number}")).collect();
        let cluster = setup.start().await;
        let world = Arc::new(Self { plan, cluster, history, keys, pulse: Notify::new() });
        world.suffer(&mut chance).await;
        world.heal().await;
        world.agree().await?;
        world.look_at_everything().await?;
        world.judge()
    }

    /// Clients ask while things go wrong.
    async fn suffer(self: &Arc<Self>, chance: &mut Chance) {
        let count = usize::try_from(self.plan.clients).expect("a few");
        let clients: Vec<_> =
            (0..count).map(|number| tokio::spawn(Client::new(Arc::clone(self), chance.fork(), number).run())).collect();
        let troubles = tokio::spawn(Troubles::new(Arc::clone(self), chance.fork()).run());
        for client in clients {
            client.await.expect("no client panics");
        }
        troubles.abort();
        // Only a panic of its own is of interest.
        if let Err(error) = troubles.await {
            assert!(error.is_cancelled(), "{error}");
        }
    }

    /// Ends all faults and waits until the cluster is whole.
    async fn heal(&self) {
        let cluster = &self.cluster;
        self.history.note("all faults end".to_owned());
        cluster.network.heal_all();
        cluster.network.set_faults(LinkFaults::default());
        for from in cluster.indices() {
            cluster.network.thaw(index(from));
            cluster.indices().for_each(|to| cluster.network.set_delay(index(from), index(to), Duration::ZERO));
        }
        cluster.indices().filter(|&node| !cluster.is_running(node)).for_each(|node| cluster.start(node));
        // Links that will still be found dead for what was lost before.
        cluster.pass(cluster.config.request_timeout_ms).await;
        cluster.until_whole().await;
        if let Some(node) = self.plan.refusing() {
            self.history.note(format!("the clock of {node} is set right, and it starts anew"));
            cluster.set_skew_ms(node, 0);
            cluster.start(node);
            cluster.until_whole().await;
        }
    }

    /// Waits until all replicas hold the same, where something works toward that.
    async fn agree(&self) -> Result<(), Violation> {
        if !self.cluster.converges() {
            return Ok(());
        }
        equality::until_replicas_are_equal(&self.cluster, &self.keys).await?;
        self.history.note("all replicas are equal".to_owned());
        Ok(())
    }

    /// Reads every key from every node.
    async fn look_at_everything(&self) -> Result<(), Violation> {
        for node in self.cluster.indices() {
            for key in &self.keys {
                self.history.record((NOBODY, node), key, Action::Read, self.cluster.get(node, key)).await;
            }
        }
        let is_failed = |call: &&Call| call.client == NOBODY && !matches!(call.fate, Fate::Saw(_));
        match self.history.calls().iter().find(is_failed) {
            Some(call) => Err(format!("a read fails although all is well:\n{call}")),
            None => Ok(()),
        }
    }

    /// Whether what clients saw is what the quorums promise.
    fn judge(&self) -> Result<(), Violation> {
        let calls = self.history.calls();
        checker::nothing_taken_back_is_read(&calls)?;
        let (n, w, r) = self.plan.quorum;
        for calls in checker::by_key(&calls) {
            if 2 * w > n {
                checker::swaps_see_one_another(&calls)?;
            }
            match Consistency::of(n, w, r) {
                Consistency::Linearizable => checker::is_linearizable(&calls)?,
                Consistency::LastAcknowledged => checker::reads_return_the_last_acknowledged(&calls)?,
                // Old reads are allowed, but not when all replicas are equal.
                Consistency::EventualLastWins if self.cluster.converges() => {
                    checker::final_reads_return_the_last_acknowledged(&calls)?;
                }
                Consistency::EventualLastWins | Consistency::Eventual => {}
            }
        }
        Ok(())
    }
}
