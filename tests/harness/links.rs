//! The wires between the nodes of a cluster: each node dials each other through a [`Proxy`] of its own.

use std::time::Duration;

use super::proxy::{Direction, Passage, Proxy};

/// All wires of a cluster.
pub(crate) struct Links {
    ports: Vec<u16>,
    /// By who dials, then who is dialled; nobody dials itself.
    proxies: Vec<Vec<Option<Proxy>>>,
}

impl Links {
    /// Wires between all nodes that listen on these ports.
    pub(crate) fn between(ports: &[u16]) -> Self {
        let nodes = 0..ports.len();
        let proxy = |from: usize, to: usize| (from != to).then(|| Proxy::listen(ports[to]));
        let proxies = nodes.clone().map(|from| nodes.clone().map(|to| proxy(from, to)).collect()).collect();
        Self { ports: ports.to_vec(), proxies }
    }

    /// The ports at which node `from` is to reach the nodes, itself among them.
    pub(crate) fn ports_for(&self, from: usize) -> Vec<u16> {
        let seen = self.proxies[from].iter().zip(&self.ports);
        seen.map(|(proxy, &port)| proxy.as_ref().map_or(port, |proxy| proxy.port)).collect()
    }

    /// Cuts all that two nodes have to do with each other.
    pub(crate) fn cut(&self, one: usize, other: usize) {
        self.proxy(one, other).cut();
        self.proxy(other, one).cut();
    }

    /// Nothing arrives at `to` from `from` any more; the other way is left as it is.
    pub(crate) fn freeze_one_way(&self, from: usize, to: usize) {
        self.set_one_way(from, to, Passage::Frozen);
    }

    /// Nothing arrives either way.
    pub(crate) fn freeze(&self, one: usize, other: usize) {
        self.freeze_one_way(one, other);
        self.freeze_one_way(other, one);
    }

    /// Whatever `from` sends to `to` takes longer.
    pub(crate) fn delay_one_way(&self, from: usize, to: usize, delay: Duration) {
        self.set_one_way(from, to, Passage::Delayed(delay));
    }

    /// All wires are as good as new.
    pub(crate) fn mend(&self) {
        self.proxies.iter().flatten().flatten().for_each(Proxy::mend);
    }

    fn set_one_way(&self, from: usize, to: usize, passage: Passage) {
        self.proxy(from, to).set(Direction::There, passage);
        self.proxy(to, from).set(Direction::Back, passage);
    }

    fn proxy(&self, from: usize, to: usize) -> &Proxy {
        self.proxies[from][to].as_ref().expect("nobody dials itself")
    }
}
