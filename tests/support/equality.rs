//! Whether all replicas hold the same.

use std::time::Duration;

use ringkv::store::Lookup;
use ringkv::version::Version;
use tokio::time::Instant;

use super::cluster::{TestCluster, slot};

/// How long after the last fault replicas may differ.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often they are compared.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until every replica of every key shows the same live record, or none. `Err` says where they still differ.
pub(crate) async fn until_replicas_are_equal(cluster: &TestCluster, keys: &[String]) -> Result<(), String> {
    let began = Instant::now();
    while let Some(difference) = difference(cluster, keys) {
        if began.elapsed() > PATIENCE {
            return Err(format!("replicas still differ {PATIENCE:?} after the last fault:\n{difference}"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// The first key of which two replicas show different records. A tombstone is as good as nothing.
pub(crate) fn difference(cluster: &TestCluster, keys: &[String]) -> Option<String> {
    keys.iter().find_map(|key| {
        let shown: Vec<_> = cluster.replicas_of(key).into_iter().map(|node| (node, live(cluster, node, key))).collect();
        let is_equal = shown.iter().all(|(_, record)| *record == shown[0].1);
        (!is_equal).then(|| {
            let line = |(node, record): &(usize, Option<(Version, Vec<u8>)>)| match record {
                Some((version, value)) => {
                    format!("node {node} shows {} of {version} for {key}", String::from_utf8_lossy(value))
                }
                None => format!("node {node} shows nothing for {key}"),
            };
            shown.iter().map(line).collect::<Vec<_>>().join("\n")
        })
    })
}

/// The live record that `node` shows of a key. Counts as a read there.
fn live(cluster: &TestCluster, node: usize, key: &str) -> Option<(Version, Vec<u8>)> {
    let node = cluster.node(node);
    let replica = node.replica();
    replica.store.read(slot(key), key.as_bytes(), replica.wall.now(), |lookup| match lookup {
        Lookup::Live(record) => record.value().map(|value| (record.version(), value.to_vec())),
        Lookup::Missing | Lookup::Tombstone { .. } => None,
    })
}
