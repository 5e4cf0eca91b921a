//! Counters on real nodes: many clients of all nodes count together, one node is killed on the way, and the sum is right.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use harness::{Cluster, Layout, RawClient, Reply, command, wait_until};

/// As many clients as a pool usually has.
const CLIENTS: usize = 50;
/// Counted by each client, in pipelines of [`PIPELINE`].
const TIMES: usize = 2000;
const PIPELINE: usize = 20;

/// What the clients were told.
#[derive(Default)]
struct Told {
    counted: AtomicUsize,
    /// Errors that leave it open, and commands without an answer.
    perhaps: AtomicUsize,
    /// Errors that say that nothing was done.
    refused: AtomicUsize,
}

impl Told {
    fn note(&self, reply: &Reply) {
        let counter = match reply {
            Reply::Integer(_) => &self.counted,
            reply if reply.is_error("NOQUORUM") => &self.refused,
            reply if reply.is_error("INDETERMINATE") => &self.perhaps,
            other => panic!("a counter answers a number or says what became of it: {other:?}"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts until it is through, or its node dies.
fn count(mut client: RawClient, told: &Told) {
    let pipeline = command(&["INCR", "counter"]).repeat(PIPELINE);
    for _ in 0..TIMES / PIPELINE {
        if client.try_send(&pipeline).is_err() {
            return;
        }
        for answered in 0..PIPELINE {
            match client.try_reply() {
                Ok(reply) => told.note(&reply),
                Err(_) => {
                    told.perhaps.fetch_add(PIPELINE - answered, Ordering::Relaxed);
                    return;
                }
            }
        }
    }
}

fn sum(cluster: &Cluster, node: usize) -> usize {
    match cluster.node(node).client().ask(&["INCRBY", "counter", "0"]) {
        Reply::Integer(sum) => usize::try_from(sum).unwrap(),
        other => panic!("a whole cluster counts: {other:?}"),
    }
}

/// Lets all clients count, spread over the nodes, while `act` runs.
fn count_from_everywhere(cluster: &mut Cluster, act: impl FnOnce(&mut Cluster, &Told)) -> Told {
    let told = Told::default();
    let clients: Vec<RawClient> = (0..CLIENTS).map(|number| cluster.node(number % 3).client()).collect();
    thread::scope(|scope| {
        for client in clients {
            let told = &told;
            scope.spawn(move || count(client, told));
        }
        act(cluster, &told);
    });
    told
}

#[test]
fn fifty_clients_of_three_nodes_count_to_a_hundred_thousand() {
    let mut cluster = Cluster::start(&Layout::of(3));
    let told = count_from_everywhere(&mut cluster, |_, _| {});

    assert_eq!(told.counted.into_inner(), CLIENTS * TIMES);
    for node in 0..3 {
        assert_eq!(sum(&cluster, node), CLIENTS * TIMES);
    }
}

#[test]
fn a_node_that_is_killed_takes_no_count_along_and_adds_none() {
    let mut cluster = Cluster::start(&Layout::of(3));
    let told = count_from_everywhere(&mut cluster, |cluster, told| {
        wait_until("a good part is counted", || told.counted.load(Ordering::Relaxed) > CLIENTS * TIMES / 10);
        cluster.kill(0);
    });

    let (counted, perhaps) = (told.counted.into_inner(), told.perhaps.into_inner());
    let sum = sum(&cluster, 1);
    assert!((counted..=counted + perhaps).contains(&sum), "{counted} <= {sum} <= {counted} + {perhaps}");
    assert!(counted >= 2 * CLIENTS / 3 * TIMES * 9 / 10, "the living nodes go on: {counted}");
}
