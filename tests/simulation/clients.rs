//! Clients that ask this node and that, at times of their own or when something has just gone wrong.

use std::sync::Arc;
use std::time::Duration;

use crate::support::chance::Chance;
use crate::support::cluster::{self, Reply};
use crate::support::history::Action;
use crate::theme::Mix;
use crate::world::World;

/// Of so many reads one is of a batch; nothing is drawn for it.
const READS_BETWEEN_BATCHES: u64 = 3;

/// One client.
pub(crate) struct Client {
    world: Arc<World>,
    chance: Chance,
    number: usize,
    written: u64,
    read: u64,
}

impl Client {
    pub(crate) fn new(world: Arc<World>, chance: Chance, number: usize) -> Self {
        Self { world, chance, number, written: 0, read: 0 }
    }

    pub(crate) async fn run(mut self) {
        let world = Arc::clone(&self.world);
        let hurry_ms = self.chance.pick(world.plan.theme.hurries_ms);
        for _ in 0..world.plan.calls {
            let pause = self.chance.millis(0..hurry_ms);
            // In time, or when something has just happened.
            let _ = tokio::time::timeout(pause, world.pulse.notified()).await;
            let node = self.node();
            if world.cluster.is_running(node) {
                self.ask(node).await;
            }
        }
    }

    /// Any node, and the odd one more often.
    fn node(&mut self) -> usize {
        match self.world.plan.odd_one {
            Some(odd_one) if self.chance.happens(self.world.plan.odd_calls) => odd_one,
            _ => self.chance.index(usize::from(self.world.plan.nodes)),
        }
    }

    async fn ask(&mut self, node: usize) {
        let Mix { reads, flushes, pipelines, brief, .. } = self.world.plan.theme.mix;
        match self.chance.within(0..100) {
            drawn if drawn < reads => self.read(node).await,
            drawn if drawn < reads + flushes => self.flush(node).await,
            drawn if drawn < reads + flushes + pipelines => self.write_several(node).await,
            drawn if drawn < reads + flushes + pipelines + brief => self.write_briefly(node).await,
            _ => self.write(node).await,
        }
    }

    async fn read(&mut self, node: usize) {
        let world = Arc::clone(&self.world);
        let key = self.key();
        self.read += 1;
        if self.read.is_multiple_of(READS_BETWEEN_BATCHES) {
            return self.read_several(node, key).await;
        }
        world.history.record((self.number, node), &key, Action::Read, world.cluster.get(node, &key)).await;
    }

    /// A pipeline: every key, and one of them twice.
    async fn read_several(&mut self, node: usize, key: String) {
        let world = Arc::clone(&self.world);
        let keys: Vec<String> = world.keys.iter().cloned().chain([key]).collect();
        let operations = keys.iter().map(|key| cluster::read(key)).collect();
        let actions = keys.into_iter().map(|key| (key, Action::Read)).collect();
        world.history.record_all((self.number, node), actions, world.cluster.batch(node, operations)).await;
    }

    async fn write(&mut self, node: usize) {
        let world = Arc::clone(&self.world);
        let (key, value) = (self.key(), self.value());
        let swaps = world.plan.theme.mix.swaps;
        if swaps > 0 && self.chance.happens(swaps) {
            return self.update(node, key, value).await;
        }
        let operation = cluster::write(&key, value.as_deref());
        let patience = self.patience();
        let ask = async {
            // A client that hangs up learns nothing.
            tokio::time::timeout(patience, world.cluster.single(node, operation)).await.unwrap_or(Reply::Died)
        };
        world.history.record((self.number, node), &key, Action::Write(value), ask).await;
    }

    /// A value for another, or behind another.
    async fn update(&mut self, node: usize, key: String, value: Option<String>) {
        let world = Arc::clone(&self.world);
        let (command, action) = match value {
            Some(value) if self.chance.happens(60) => (format!("APPEND {key} .{value}"), Action::Append(value)),
            Some(value) => (format!("SET {key} {value} GET"), Action::Swap(Some(value))),
            None => (format!("GETDEL {key}"), Action::Swap(None)),
        };
        let patience = self.patience();
        let ask = async {
            let reply = tokio::time::timeout(patience, world.cluster.update(node, &command)).await;
            reply.unwrap_or(Reply::Died)
        };
        world.history.record((self.number, node), &key, action, ask).await;
    }

    /// A value, and its end by way of another node.
    async fn write_briefly(&mut self, node: usize) {
        let world = Arc::clone(&self.world);
        let (key, other) = (self.key(), self.chance.index(usize::from(world.plan.nodes)));
        self.written += 1;
        let value = Some(format!("c{}v{}", self.number, self.written));
        for (node, value) in [(node, value), (other, None)] {
            let ask = async { world.cluster.single(node, cluster::write(&key, value.as_deref())).await };
            world.history.record((self.number, node), &key, Action::Write(value.clone()), ask).await;
        }
    }

    /// A pipeline, perhaps with reads of the other keys in it, or several clients at the same time.
    async fn write_several(&mut self, node: usize) {
        let world = Arc::clone(&self.world);
        let count = self.chance.within(2..5);
        let writes: Vec<_> = (0..count).map(|_| (self.key(), self.value())).collect();
        if self.chance.happens(50) {
            return self.write_at_once(node, writes).await;
        }
        let unwritten = world.keys.iter().filter(|key| writes.iter().all(|(written, _)| written != *key));
        let reads: Vec<String> = if count.is_multiple_of(2) { unwritten.cloned().collect() } else { Vec::new() };
        let written = writes.iter().map(|(key, value)| cluster::write(key, value.as_deref()));
        let operations = written.chain(reads.iter().map(|key| cluster::read(key))).collect();
        let written = writes.into_iter().map(|(key, value)| (key, Action::Write(value)));
        let actions = written.chain(reads.into_iter().map(|key| (key, Action::Read))).collect();
        world.history.record_all((self.number, node), actions, world.cluster.batch(node, operations)).await;
    }

    /// As several clients would: each hears of his own.
    async fn write_at_once(&mut self, node: usize, writes: Vec<(String, Option<String>)>) {
        let number = self.number;
        let ask = |(key, value): (String, Option<String>)| {
            let world = Arc::clone(&self.world);
            tokio::spawn(async move {
                let ask = world.cluster.single(node, cluster::write(&key, value.as_deref()));
                world.history.record((number, node), &key, Action::Write(value.clone()), ask).await;
            })
        };
        let asked: Vec<_> = writes.into_iter().map(ask).collect();
        for asked in asked {
            asked.await.expect("nobody who asks panics");
        }
    }

    /// FLUSHALL: as if every key were deleted.
    async fn flush(&mut self, node: usize) {
        let world = Arc::clone(&self.world);
        let actions: Vec<_> = world.keys.iter().map(|key| (key.clone(), Action::Write(None))).collect();
        let count = actions.len();
        let ask = async { vec![world.cluster.flush(node).await; count] };
        world.history.record_all((self.number, node), actions, ask).await;
    }

    fn key(&mut self) -> String {
        self.world.keys[self.chance.index(self.world.keys.len())].clone()
    }

    /// A value that nobody else writes, or none.
    fn value(&mut self) -> Option<String> {
        self.written += 1;
        let deletes = self.chance.happens(self.world.plan.theme.mix.deletes);
        (!deletes).then(|| format!("c{}v{}", self.number, self.written))
    }

    fn patience(&mut self) -> Duration {
        let hangs_up = self.chance.happens(self.world.plan.theme.mix.hang_ups);
        if hangs_up { self.chance.millis(0..200) } else { Duration::from_hours(1) }
    }
}
