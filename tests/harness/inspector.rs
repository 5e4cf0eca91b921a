//! What each node holds itself, past its coordinator: asked as a node asks another.

use ringkv::config::ClusterConfig;
use ringkv::peer::{CatchUp, Introduction, LocalNode};
use ringkv::replica::Replica;
use ringkv::ring::NodeIndex;
use ringkv::time::WallClock;
use ringkv::version::StartNumber;

use super::{Cluster, RawClient, Reply, command};

/// Questions that are asked at once.
const QUESTIONS_AT_ONCE: usize = 512;

/// A connection to node `index` that has introduced itself as another node of the cluster. That one must have caught up.
fn introduced(cluster: &Cluster, index: usize) -> RawClient {
    let posed = (index + 1) % cluster.ports.len();
    let config = ClusterConfig::load(&cluster.config).expect("the nodes took it").cluster;
    let node = NodeIndex(u16::try_from(posed).expect("a small cluster"));
    let start = cluster.node(posed).info("start_number").expect("it answers").parse().expect("a number");
    let introduction = Introduction {
        start: StartNumber::new(start),
        catch_up: CatchUp::Complete,
        ..Replica::new(config, node, WallClock::System).introduction()
    };
    let mut client = cluster.node(index).client();
    let mut bytes = Vec::new();
    introduction.encode(&mut bytes);
    client.send(bytes);
    assert!(matches!(client.reply(), Reply::Array(_)), "the introduction is accepted");
    client
}

/// What is held of each key: a live record as version, expiry and value; a tombstone is as good as nothing.
fn live_records(client: &mut RawClient, keys: &[&str]) -> Vec<Option<String>> {
    let mut records = Vec::with_capacity(keys.len());
    for part in keys.chunks(QUESTIONS_AT_ONCE) {
        client.send(part.iter().flat_map(|key| command(&["RGET", key])).collect::<Vec<u8>>());
        records.extend(part.iter().map(|_| live_record(&client.reply())));
    }
    records
}

fn live_record(answer: &Reply) -> Option<String> {
    match answer {
        Reply::Array(parts) if parts.len() > 1 => Some(parts.iter().map(Reply::text).collect::<Vec<_>>().join(" ")),
        Reply::Array(_) | Reply::Null => None,
        other => panic!("no record: {other:?}"),
    }
}

/// A key of which not every node holds the same live record.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) key: String,
    /// What each node holds.
    #[allow(dead_code, reason = "a failing test shows it")]
    records: Vec<Option<String>>,
}

/// The differences among these keys. Each node must be a replica of every key, and have caught up.
pub(crate) fn differences(cluster: &Cluster, keys: &[&str]) -> Vec<Difference> {
    let held: Vec<_> =
        (0..cluster.ports.len()).map(|index| live_records(&mut introduced(cluster, index), keys)).collect();
    let differs = |at: &usize| held.iter().any(|records| records[*at] != held[0][*at]);
    let difference = |at: usize| Difference {
        key: keys[at].to_owned(),
        records: held.iter().map(|records| records[at].clone()).collect(),
    };
    (0..keys.len()).filter(differs).map(difference).collect()
}
