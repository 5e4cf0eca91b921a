//! Bad peers: strangers that pose as nodes, nodes that were configured differently, and nodes that are silent, slow,
//! broken or mad. Clients of the others must not notice more than one short stall, and no data may pass.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;
#[path = "peers/introductions.rs"]
mod introductions;
#[path = "peers/trouble.rs"]
mod trouble;

use std::time::{Duration, Instant};

use ringkv::peer::Introduction;
use ringkv::ring::{NodeId, NodeIndex};
use ringkv::time::UnixMs;
use ringkv::version::{Hlc, StartNumber, Version};

use harness::{Cluster, FakePeer, Layout, PATIENCE, RawClient, Reply, command, poll, wait_until};

/// Rounds of SET, GET and a GET of a missing key that each living node serves while a peer misbehaves.
const ROUNDS: usize = 20;

/// How long all of them may take beside the timeouts that they cost: the noise of a busy machine. A timeout for each request
/// would be many times as much.
const NOISE_MAX: Duration = Duration::from_secs(6);

/// Three nodes, the last of which was killed so that a fake can take its place.
fn two_of_three() -> Cluster {
    let mut cluster = Cluster::start(&Layout::of(3));
    cluster.kill(2);
    cluster
}

/// Reads the introduction of a node that dials.
fn read_introduction(connection: &mut RawClient) -> Option<Introduction> {
    let Ok(Reply::Array(words)) = connection.try_reply() else { return None };
    let words: Vec<Vec<u8>> = words.into_iter().map(|word| word.text().into_bytes()).collect();
    Introduction::parse_args(&words.iter().map(Vec::as_slice).collect::<Vec<_>>()).ok()
}

/// Reads until the other side ends the connection, and answers nothing.
fn stay_silent(connection: &RawClient) {
    // Whatever ends it, it is over.
    let _ = std::io::copy(&mut connection.stream(), &mut std::io::sink());
}

/// Clients of both living nodes are served as if nothing were wrong, but for so many request timeouts in all.
fn assert_served_in_time(cluster: &Cluster, story: &str, timeouts: u32) {
    let rounds_wait_max = Duration::from_millis(cluster.layout.request_timeout_ms) * timeouts + NOISE_MAX;
    for index in [0, 1] {
        let mut client = cluster.node(index).client();
        let began = Instant::now();
        let mut longest = Duration::ZERO;
        for round in 0..ROUNDS {
            let key = format!("{story} {index} {round}");
            for (words, expected) in [
                (&["SET", &key, "value"][..], Reply::ok()),
                (&["GET", &key], Reply::bulk("value")),
                (&["GET", &format!("no {key}")], Reply::Null),
            ] {
                let (reply, took) = client.time(words);
                assert_eq!(reply, expected, "{story}: {words:?} after {took:?}");
                longest = longest.max(took);
            }
        }
        let took = began.elapsed();
        assert!(took < rounds_wait_max, "{story}: {ROUNDS} rounds took {took:?}, the longest request {longest:?}");
    }
}
