//! Quorums under faults, scenario by scenario: what each rule is there for, told as a story.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "quorum/choices.rs"]
mod choices;
#[path = "quorum/clocks.rs"]
mod clocks;
#[path = "quorum/convergence.rs"]
mod convergence;
#[path = "quorum/counting.rs"]
mod counting;
#[path = "quorum/expiry.rs"]
mod expiry;
#[path = "quorum/flushes.rs"]
mod flushes;
#[path = "quorum/groups.rs"]
mod groups;
#[path = "quorum/health.rs"]
mod health;
#[path = "quorum/hints.rs"]
mod hints;
#[path = "quorum/read_repair.rs"]
mod read_repair;
#[path = "quorum/reads.rs"]
mod reads;
#[path = "quorum/restarts.rs"]
mod restarts;
#[path = "quorum/scans.rs"]
mod scans;
mod support;
#[path = "quorum/tombstones.rs"]
mod tombstones;
#[path = "quorum/updates.rs"]
mod updates;
#[path = "quorum/waits.rs"]
mod waits;
#[path = "quorum/writes.rs"]
mod writes;

use std::sync::Arc;
use std::time::Duration;

use ringkv::peer::{Introduction, LocalNode, PeerReply, PeerRequest};
use ringkv::store::Lookup;
use ringkv::time::UnixMs;
use ringkv::version::{StartNumber, Version};
use tokio::time::{Instant, timeout};

use support::cluster::{Reply, Setup, TestCluster, encoded, index, slot, update, write};

const HOUR_MS: i64 = 3_600_000;

/// N=3, W=2, R=1 on three nodes, as cluster.toml has it.
fn three() -> Setup {
    Setup::new(3, (3, 2, 1))
}

/// The same, of which all but node 0 are gone.
async fn left_alone() -> Arc<TestCluster> {
    let cluster = three().start().await;
    for node in [1, 2] {
        cluster.crash(node);
    }
    for node in [1, 2] {
        cluster.until_missed(node).await;
    }
    cluster
}

fn done() -> Reply {
    Reply::Done { live: false }
}

/// A version that `node` could stamp now.
fn version_of(cluster: &TestCluster, node: usize) -> Version {
    let node = cluster.node(node);
    let replica = node.replica();
    Version::new(replica.clock.tick(replica.wall.now()), replica.index, replica.start())
}

/// What `node` answers to a request of the peer `from`.
fn ask(cluster: &TestCluster, from: usize, node: usize, request: PeerRequest<'_>) -> Vec<u8> {
    let (node, mut out) = (cluster.node(node), Vec::new());
    node.replica().serve(index(from), request, None, node.replica().wall.now(), &mut out);
    out
}
