//! The texts of `ringkv check` and `ringkv ring`.

use std::path::Path;

use crate::config::{ClusterConfig, LoadedConfig, ServerConfig};
use crate::ring::{HashRing, NodeIndex, SLOT_COUNT, Share, Slot};

/// What a configuration without mistakes amounts to.
pub(super) fn check(config: &LoadedConfig, file: &Path) -> String {
    let LoadedConfig { cluster, server } = config;
    let ClusterConfig { replication_factor: n, write_quorum: w, read_quorum: r, .. } = cluster;
    let mut lines = vec![
        format!("{}: good", file.display()),
        format!("cluster {}: nodes = {}, N = {n}, W = {w}, R = {r}", cluster.name, cluster.nodes.len()),
        format!("promise: {}", cluster.consistency()),
        format!("dead nodes among the {n} of a key: writes stand {}, reads {}", n - w, n - r),
        format!("peers: {}", if cluster.secret.is_some() { "must know the secret" } else { "need no secret" }),
        format!("clients: {}", admission(server)),
        format!(
            "each node: worker threads = {}, clients <= {}, bytes of a value <= {}",
            server.worker_threads, server.max_clients, server.max_value_bytes
        ),
    ];
    let width = id_width(cluster);
    lines.extend(cluster.nodes.iter().map(|node| format!("  {:width$}  {}", node.id.as_str(), node.announced())));
    text(&lines)
}

/// Which clients are served.
fn admission(server: &ServerConfig) -> &'static str {
    match (&server.requirepass, server.protected_mode) {
        (Some(_), _) => "must know the password",
        (None, true) => "of the node's own machine alone: there is no password (protected mode)",
        (None, false) => "need no password",
    }
}

/// Each node's share of the slots, then the nodes of each of `keys`, in the order of its preference list.
pub(super) fn ring(cluster: &ClusterConfig, keys: &[String]) -> String {
    let ring = cluster.ring();
    let shares = ring.shares();
    let width = id_width(cluster);
    let mut lines = vec![
        format!(
            "nodes: {}, virtual nodes of each: {}, replicas of each slot: {}, slot ranges: {}, fingerprint: {}",
            ring.node_count(),
            cluster.virtual_nodes,
            ring.replicas(),
            ring.ranges().count(),
            ring.fingerprint()
        ),
        format!("{:width$}  {:>19}  {:>19}", "node", "slots as primary", "as replica"),
    ];
    lines.extend(cluster.nodes.iter().zip(&shares).map(|(node, share)| {
        let Share { primary_slots, replica_slots } = *share;
        format!("{:width$}  {}  {}", node.id.as_str(), slots(primary_slots), slots(replica_slots))
    }));
    lines.push(format!("largest share as primary: {:.2} times the mean", largest_to_mean(&shares)));
    lines.extend(keys.iter().map(|key| holders(cluster, &ring, key)));
    text(&lines)
}

fn slots(count: u16) -> String {
    format!("{count:>10} {:>7.2}%", 100.0 * f64::from(count) / f64::from(SLOT_COUNT))
}

/// How much more than the mean the busiest node has; every node is the primary of some share of the same slots.
fn largest_to_mean(shares: &[Share]) -> f64 {
    let largest = shares.iter().map(|share| share.primary_slots).max().unwrap_or_default();
    let nodes = shares.iter().map(|_| 1.0).sum::<f64>();
    f64::from(largest) * nodes / f64::from(SLOT_COUNT)
}

fn holders(cluster: &ClusterConfig, ring: &HashRing, key: &str) -> String {
    let slot = Slot::of_key(key.as_bytes());
    let name = |node: &NodeIndex| cluster.nodes[node.as_usize()].id.as_str();
    let names: Vec<&str> = ring.preference_list(slot).iter().map(name).collect();
    format!("key {key:?}: slot {} on {}", slot.number(), names.join(", "))
}

fn id_width(cluster: &ClusterConfig) -> usize {
    cluster.nodes.iter().map(|node| node.id.as_str().chars().count()).max().unwrap_or_default().max("node".len())
}

fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> LoadedConfig {
        ClusterConfig::parse(include_str!("../../cluster.toml"), "cluster.toml").unwrap()
    }

    #[test]
    fn check_says_what_the_sample_promises() {
        let shown = check(&sample(), Path::new("cluster.toml"));
        for part in [
            "cluster.toml: good\n",
            "cluster ringkv: nodes = 3, N = 3, W = 2, R = 1\n",
            "promise: eventually consistent; of two acknowledged writes the later one wins\n",
            "writes stand 1, reads 2\n",
            "clients: of the node's own machine alone",
            "each node: worker threads = 1, clients <= 10000, bytes of a value <= 536870912\n",
            "  node-3  127.0.0.1:7003\n",
        ] {
            assert!(shown.contains(part), "no {part:?} in\n{shown}");
        }
    }

    #[test]
    fn check_never_shows_the_secret() {
        let mut config = sample();
        config.cluster.secret = Some(crate::config::Secret::new("between us".to_owned()));
        let shown = check(&config, Path::new("cluster.toml"));
        assert!(shown.contains("must know the secret") && !shown.contains("between us"), "{shown}");
    }

    #[test]
    fn ring_shows_a_line_for_each_node_and_each_key() {
        let keys = ["foo".to_owned(), "{foo}.bar\n".to_owned()];
        let shown = ring(&sample().cluster, &keys);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 2 + 3 + 1 + 2, "{shown}");
        assert!(lines[2].starts_with("node-1 ") && lines[2].ends_with('%'), "{shown}");
        assert!(lines[6].starts_with("key \"foo\": slot 12182 on node-"), "{shown}");
        assert!(lines[7].starts_with("key \"{foo}.bar\\n\": slot 12182 on node-"), "{shown}");
        for id in ["node-1", "node-2", "node-3"] {
            assert!(lines[6].contains(id), "{shown}");
        }
    }

    #[test]
    fn largest_share_of_even_shares_is_the_mean() {
        let half = Share { primary_slots: SLOT_COUNT / 2, replica_slots: 0 };
        assert!((largest_to_mean(&[half, half]) - 1.0).abs() < 1e-9);
    }
}
