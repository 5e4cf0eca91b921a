//! From the arguments to what a node needs to serve.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{self, Path, PathBuf};

use super::arguments::Switch;
use super::{Failure, ServeArguments};
use crate::config::{ClusterConfig, LoadedConfig, NodeConfig, ServerConfig};
use crate::ring::NodeIndex;

/// The port of a node that runs without a file: the one that every Redis client tries.
const DEFAULT_PORT: u16 = 6379;

/// What a node needs to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The cluster.
    pub cluster: ClusterConfig,
    /// Which of its nodes this process is.
    pub node: NodeIndex,
    /// What the node decides for itself.
    pub server: ServerConfig,
    /// The file that describes the cluster, as an absolute path; `None` for a node without one.
    pub config_file: Option<PathBuf>,
    /// The filter of the log, as given; `None` where none was.
    pub log: Option<String>,
}

impl ServeArguments {
    /// The options that these arguments and the file at `config`, if any, come to.
    pub(super) fn options(self, config: Option<&Path>) -> Result<ServeOptions, Failure> {
        let (mut loaded, node) = match config {
            Some(file) => self.one_of(file)?,
            None => self.single()?,
        };
        let server = &mut loaded.server;
        server.worker_threads = self.threads.unwrap_or(server.worker_threads);
        server.max_clients = self.max_clients.unwrap_or(server.max_clients);
        server.max_value_bytes = self.max_value_bytes.unwrap_or(server.max_value_bytes);
        server.protected_mode = self.protected_mode.map_or(server.protected_mode, |switch| switch == Switch::Yes);
        server.requirepass = self.requirepass.or(server.requirepass.take());
        loaded.close_the_side_door();
        let LoadedConfig { cluster, server } = loaded;
        let config_file = config.map(path::absolute).transpose().map_err(|error| Failure::failed(&error))?;
        Ok(ServeOptions { cluster, node, server, config_file, log: self.log })
    }

    /// The cluster of `file` and the node of it to be.
    fn one_of(&self, file: &Path) -> Result<(LoadedConfig, NodeIndex), Failure> {
        let shown = file.display();
        if self.bind.is_some() || self.port.is_some() {
            let advice = format!("write the address into {shown} instead");
            return Err(Failure::mistake(format!("--bind and --port are for a node without a file; {advice}")));
        }
        let config = ClusterConfig::load(file)?;
        let node = match &self.node {
            Some(id) => config.cluster.node(id).map_err(|error| Failure::mistake(format!("{shown}: {error}")))?,
            None => only_node(&config.cluster).map_err(|why| Failure::mistake(format!("{shown}: {why}")))?,
        };
        Ok((config, node))
    }

    /// The cluster of one node that needs no file.
    fn single(&self) -> Result<(LoadedConfig, NodeIndex), Failure> {
        if let Some(id) = &self.node {
            let advice = "name it with --config as well";
            return Err(Failure::mistake(format!("--node {id} is a node of a file; {advice}")));
        }
        let mut cluster = ClusterConfig::single_node();
        let ip = self.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        cluster.nodes[0].addr = SocketAddr::new(ip, self.port.unwrap_or(DEFAULT_PORT)).to_string();
        Ok((LoadedConfig { cluster, server: ServerConfig::default() }, NodeIndex(0)))
    }
}

/// The node of a cluster that has no other, or what to add.
fn only_node(cluster: &ClusterConfig) -> Result<NodeIndex, String> {
    if let [_] = cluster.nodes.as_slice() {
        return Ok(NodeIndex(0));
    }
    let ids: Vec<&str> = cluster.nodes.iter().map(node_id).collect();
    Err(format!("there are {} nodes; say which one to be with --node: {}", ids.len(), ids.join(", ")))
}

fn node_id(node: &NodeConfig) -> &str {
    node.id.as_str()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    const THREE_NODES: &str = include_str!("../../cluster.toml");
    const ONE_NODE: &str = "[server]\nworker_threads = 2\nmax_clients = 7\n[[nodes]]\nid = \"a\"\naddr = \"a:1\"";

    fn options(arguments: &[&str], file: Option<&str>) -> Result<ServeOptions, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.toml");
        fs::write(&path, file.unwrap_or_default()).unwrap();
        let cli = Cli::try_parse_from([&["ringkv"], arguments].concat()).unwrap();
        cli.serve.options(file.map(|_| path.as_path()))
    }

    #[test]
    fn without_a_file_one_node_listens_where_redis_would() {
        let options = options(&[], None).unwrap();
        assert_eq!(options.cluster.nodes[0].addr, "127.0.0.1:6379");
        assert_eq!((options.node, options.cluster.replication_factor), (NodeIndex(0), 1));
        assert_eq!((options.server, options.config_file, options.log), (ServerConfig::default(), None, None));
    }

    #[test]
    fn without_a_file_the_address_is_given_by_bind_and_port() {
        let addr = |arguments: &[&str]| options(arguments, None).unwrap().cluster.nodes[0].addr.clone();
        assert_eq!(addr(&["--bind", "0.0.0.0", "-p", "7000"]), "0.0.0.0:7000");
        assert_eq!(addr(&["--bind", "::1"]), "[::1]:6379");
        assert_eq!(addr(&["--port", "0"]), "127.0.0.1:0");
    }

    #[test]
    fn with_a_file_the_named_node_is_served() {
        let options = options(&["--node", "node-2", "--log", "debug"], Some(THREE_NODES)).unwrap();
        assert_eq!(options.cluster.nodes[options.node.as_usize()].addr, "127.0.0.1:7002");
        assert!(options.config_file.is_some_and(|file| file.ends_with("cluster.toml")));
        assert_eq!(options.log.as_deref(), Some("debug"));
    }

    #[test]
    fn a_file_with_one_node_needs_no_name() {
        let options = options(&[], Some(ONE_NODE)).unwrap();
        assert_eq!((options.node, options.server.worker_threads), (NodeIndex(0), 2));
    }

    #[test]
    fn the_file_is_known_by_its_absolute_path() {
        let cli = Cli::try_parse_from(["ringkv", "--node", "node-1"]).unwrap();
        let options = cli.serve.options(Some(Path::new("cluster.toml"))).unwrap();
        assert_eq!(options.config_file, Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster.toml")));
    }

    #[test]
    fn arguments_outrank_the_file() {
        let options = options(&["--threads", "5", "--max-value-bytes", "2048"], Some(ONE_NODE)).unwrap();
        assert_eq!(
            options.server,
            ServerConfig { worker_threads: 5, max_clients: 7, max_value_bytes: 2048, ..ServerConfig::default() }
        );
    }

    #[test]
    fn a_node_must_be_named_if_there_are_several() {
        for arguments in [&[][..], &["--node", "node-9"]] {
            let failure = options(arguments, Some(THREE_NODES)).unwrap_err();
            assert_eq!(failure.exit_code, 2);
            assert!(failure.message.contains("node-1, node-2, node-3"), "{}", failure.message);
            assert!(failure.message.contains("cluster.toml: "), "{}", failure.message);
        }
    }

    #[test]
    fn arguments_that_contradict_each_other_are_refused() {
        let with_file = options(&["--node", "node-1", "--port", "1"], Some(THREE_NODES)).unwrap_err();
        assert!(with_file.message.contains("write the address into"), "{}", with_file.message);
        let without = options(&["--node", "node-1"], None).unwrap_err();
        assert!(without.message.contains("--config"), "{}", without.message);
        assert_eq!((with_file.exit_code, without.exit_code), (2, 2));
    }
}
