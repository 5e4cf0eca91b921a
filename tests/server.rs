//! Raw bytes on a socket of one real node: whatever a client sends, torn, broken, endless or huge, it gets the right
//! answer or a clear error, nobody else notices, and the memory comes back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "server/abuse.rs"]
mod abuse;
#[path = "server/endings.rs"]
mod endings;
#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;
#[path = "server/requests.rs"]
mod requests;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use harness::{Cluster, Layout, Node, PATIENCE, RawClient, Reply, Signal, command, poll_for, wait_until};

/// How much more memory than before a node may keep after an abuse is over: what the allocator holds on to.
const KEPT_BYTES_MAX: usize = 48 << 20;

/// How much more memory than before one client may cost while it sends small requests for large replies.
const CLIENT_BYTES_MAX: usize = 64 << 20;

/// How long another client waits at most while one abuses the node, on a busy machine and without optimisation.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(3);

/// The longest that a node may take to end: what it gives its clients, its peers and its tasks at most, twice over.
const STOP_MAX: Duration = Duration::from_secs(10);

const MEGABYTE: usize = 1 << 20;

fn single() -> Cluster {
    Cluster::start(&Layout::of(1))
}

/// One node and the memory that it had when it was idle.
struct Bench {
    cluster: Cluster,
    idle_bytes: usize,
}

impl Bench {
    fn new() -> Self {
        let cluster = single();
        assert_serves(cluster.node(0));
        Self { idle_bytes: cluster.node(0).resident_bytes(), cluster }
    }

    fn node(&self) -> &Node {
        self.cluster.node(0)
    }

    fn client(&self) -> RawClient {
        self.node().client()
    }

    /// Memory above that of the idle node.
    fn extra_bytes(&self) -> usize {
        self.node().resident_bytes().saturating_sub(self.idle_bytes)
    }

    /// After an abuse: others are served, and the memory comes back.
    fn assert_recovers(&self) {
        assert_serves(self.node());
        let mut extra_bytes = self.extra_bytes();
        let recovered = poll_for(PATIENCE, || {
            assert_serves(self.node());
            extra_bytes = self.extra_bytes();
            (extra_bytes <= KEPT_BYTES_MAX).then_some(())
        });
        assert!(recovered.is_some(), "{extra_bytes} bytes more than before are still in use");
    }
}

/// Another client is served in time.
fn assert_serves(node: &Node) {
    let began = Instant::now();
    let mut client = node.client();
    assert_eq!(client.ask(&["SET", "other", "value"]), Reply::ok());
    assert_eq!(client.ask(&["GET", "other"]), Reply::bulk("value"));
    assert!(began.elapsed() < OTHERS_WAIT_MAX, "another client waited for {:?}", began.elapsed());
}

fn random_bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).to_le_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}

/// Sends requests for a large value and reads nothing, until the node takes no more of them.
fn stall(bench: &Bench) -> RawClient {
    let value = vec![b'v'; MEGABYTE];
    let mut client = bench.client();
    assert_eq!(client.ask(&[b"SET", &b"large"[..], &value]), Reply::ok());
    client.stream().set_write_timeout(Some(Duration::from_millis(500))).expect("a legal timeout");
    let requests = b"GET large\r\n".repeat(6000);
    loop {
        match client.try_send(&requests) {
            Ok(()) => assert!(bench.extra_bytes() < CLIENT_BYTES_MAX),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return client,
            Err(error) => panic!("{error}"),
        }
    }
}
