//! Clusters of real processes and the client library that users of Rust have: nodes are killed, paused, brought back
//! and asked about keys of which they have no copy, and no acknowledged write may be lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "processes/absences.rs"]
mod absences;
#[path = "processes/anywhere.rs"]
mod anywhere;
#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;
#[path = "processes/load.rs"]
mod load;

use std::time::{Duration, Instant};

use harness::{Cluster, Layout, PATIENCE, RawClient, Reply, Signal, command, poll, wait_until};

/// The longest that a client of a living node may have to wait while another node dies or hangs: one request timeout,
/// and the noise of a busy machine.
const STALL_MAX: Duration = Duration::from_secs(4);

/// The longest that a node may take to end: what it gives its clients, its peers and its tasks at most, twice over.
const STOP_MAX: Duration = Duration::from_secs(10);

#[allow(clippy::print_stdout, reason = "a figure for whoever reads the test's output")]
fn report(text: &str) {
    println!("{text}");
}
