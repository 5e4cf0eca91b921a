//! INFO: the state and the counters of this node, in the sections and under the names that tools know from Redis.
//!
//! Only what is true is told: a field of Redis that has no meaning here, or that nobody counts here, is left out rather
//! than sent as 0. `# Ring` and `# Convergence` hold what Redis has no word for.

#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature, whether they can fail or not")]

mod convergence;
mod process;
mod section;
mod statistics;

use std::cell::OnceCell;
use std::env;
use std::fmt::{Display, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redis_protocol::resp3::types::VerbatimStringFormat;

use crate::codec::reply;
use crate::peer::{Health, LinkState, LinkStatus};
use crate::replica::Replica;
use crate::ring::NodeIndex;
use crate::store::{Expiries, StoreCounts};
use crate::time::UnixMs;
use crate::version::Hlc;

use super::connection::COMPATIBLE_WITH;
use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::server::Server;

use section::Section;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// INFO: all sections, or those named.
pub(super) fn info(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let sections = Section::named(context.request.args().skip(1));
    let mut report = Report::new(context.server, context.now);
    for section in sections {
        report.add(section);
    }
    let (out, protocol) = (&mut context.turn.out, context.state.protocol);
    reply::verbatim(out, protocol, &VerbatimStringFormat::Text, report.text.as_bytes());
    Ok(Flow::Next)
}

/// The text in the making.
struct Report<'a> {
    server: &'a Server,
    now: UnixMs,
    /// Taken once, since it visits every slot.
    counts: OnceCell<StoreCounts>,
    text: String,
}

impl<'a> Report<'a> {
    fn new(server: &'a Server, now: UnixMs) -> Self {
        Self { server, now, counts: OnceCell::new(), text: String::new() }
    }

    fn add(&mut self, section: Section) {
        let gap = if self.text.is_empty() { "" } else { "\r\n" };
        let _ = write!(self.text, "{gap}# {}\r\n", section.title());
        match section {
            Section::Server => self.add_server(),
            Section::Clients => self.add_clients(),
            Section::Memory => self.add_memory(),
            Section::Persistence => self.add_persistence(),
            Section::Stats => self.add_stats(),
            Section::Replication => self.add_replication(),
            Section::Cpu => self.add_cpu(),
            Section::CommandStatistics => self.add_command_statistics(),
            Section::ErrorStatistics => self.add_error_statistics(),
            Section::LatencyStatistics => self.add_latency_statistics(),
            Section::Cluster => self.field("cluster_enabled", 0),
            Section::Keyspace => self.add_keyspace(),
            Section::Ring => self.add_ring(),
            Section::Convergence => self.add_convergence(),
        }
    }

    fn field(&mut self, name: impl Display, value: impl Display) {
        let _ = write!(self.text, "{name}:{value}\r\n");
    }

    /// A number of bytes, and beside it the same for people.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(format_args!("{name}_human"), human(bytes));
    }

    fn counter(&mut self, name: &str, counter: &AtomicU64) {
        self.field(name, counter.load(Ordering::Relaxed));
    }

    fn counts(&self) -> StoreCounts {
        *self.counts.get_or_init(|| self.server.store.replica.store.counts())
    }

    fn add_server(&mut self) {
        let server = self.server;
        let uptime_seconds = self.now.0.saturating_sub(server.started_at.0) / 1000;
        self.field("redis_version", COMPATIBLE_WITH);
        self.field("ringkv_version", env!("CARGO_PKG_VERSION"));
        self.field("redis_mode", "standalone");
        self.field("os", process::operating_system());
        self.field("arch_bits", usize::BITS);
        self.field("process_id", std::process::id());
        self.field("run_id", &server.run_id);
        self.field("tcp_port", server.port);
        self.field("server_time_usec", self.now.0.saturating_mul(1000));
        self.field("uptime_in_seconds", uptime_seconds);
        self.field("uptime_in_days", uptime_seconds / SECONDS_PER_DAY);
        self.field("executable", env::current_exe().unwrap_or_default().display());
        self.field("config_file", server.config_file.as_deref().unwrap_or(Path::new("")).display());
        self.field("io_threads_active", u8::from(server.settings.worker_threads > 1));
    }

    fn add_clients(&mut self) {
        let server = self.server;
        let clients = server.clients.all();
        let peers = clients.iter().filter(|client| client.description().peer.is_some()).count();
        self.field("connected_clients", clients.len() - peers);
        self.field("cluster_connections", peers);
        self.field("maxclients", server.live.max_clients());
        self.field("blocked_clients", 0);
    }

    /// Nobody counts what is allocated, so what the operating system counts stands for it: the resident pages of the
    /// process, code and free blocks of the allocator included.
    fn add_memory(&mut self) {
        let memory = process::memory();
        self.bytes("used_memory", memory.resident);
        self.bytes("used_memory_rss", memory.resident);
        self.bytes("used_memory_peak", memory.resident_peak);
        self.bytes("total_system_memory", memory.system);
        self.bytes("maxmemory", 0);
        self.field("maxmemory_policy", "noeviction");
    }

    /// Nothing is ever written to disk. `loading` stays 0 while the node catches up: it serves clients all the time.
    fn add_persistence(&mut self) {
        for name in ["loading", "async_loading", "rdb_bgsave_in_progress", "aof_enabled", "aof_rewrite_in_progress"] {
            self.field(name, 0);
        }
    }

    fn add_stats(&mut self) {
        let statistics = &self.server.statistics;
        let [commands, input, output] = self.server.watch.rates.per_second();
        self.counter("total_connections_received", &statistics.connections);
        self.counter("total_commands_processed", &statistics.commands);
        self.field("instantaneous_ops_per_sec", commands);
        self.counter("total_net_input_bytes", &statistics.input_bytes);
        self.counter("total_net_output_bytes", &statistics.output_bytes);
        self.field("instantaneous_input_kbps", kilobytes(input));
        self.field("instantaneous_output_kbps", kilobytes(output));
        self.counter("rejected_connections", &statistics.rejected_connections);
        self.counter("protocol_errors", &statistics.protocol_errors);
        self.field("evicted_keys", 0);
        self.field("pubsub_channels", 0);
        self.field("pubsub_patterns", 0);
        self.field("total_error_replies", self.server.watch.errors.total());
    }

    /// In Redis' sense there is no replication: every node is a master and none follows another.
    fn add_replication(&mut self) {
        let server = self.server;
        self.field("role", "master");
        self.field("connected_slaves", 0);
        self.field("master_failover_state", "no-failover");
        self.field("master_replid", &server.run_id);
        self.field("master_repl_offset", 0);
        self.field("repl_backlog_active", 0);
    }

    fn add_cpu(&mut self) {
        let cpu = process::cpu();
        self.field("used_cpu_sys", cpu.system);
        self.field("used_cpu_user", cpu.user);
        self.field("used_cpu_sys_children", cpu.children_system);
        self.field("used_cpu_user_children", cpu.children_user);
    }

    /// The keys that this node holds, those included that are another node's as well. DBSIZE counts the cluster's.
    fn add_keyspace(&mut self) {
        let keys = self.counts().live_keys;
        if keys > 0 {
            let Expiries { keys: expires, average_ttl_ms } = self.server.store.replica.store.expiries(self.now);
            self.field("db0", format_args!("keys={keys},expires={expires},avg_ttl={average_ttl_ms}"));
        }
    }

    fn add_ring(&mut self) {
        let replica = &self.server.store.replica;
        let config = &replica.config;
        self.field("node_id", &config.nodes[replica.index.as_usize()].id);
        self.field("cluster_name", &config.name);
        self.field("replication_factor", config.replication_factor);
        self.field("write_quorum", config.write_quorum);
        self.field("read_quorum", config.read_quorum);
        self.field("virtual_nodes", config.virtual_nodes);
        self.field("ring_fingerprint", replica.ring.fingerprint());
        self.field("start_number", replica.start().get());
        self.add_holdings();
        self.field("clock", clock(replica.clock.last()));
        self.field("forwarded_requests", self.server.store.forwarded());
        self.field("slots_owned", slots_owned(replica));
        self.field("slots_syncing", replica.syncing.count());
        self.add_peers();
    }

    fn add_holdings(&mut self) {
        let counts = self.counts();
        self.field("keys_held", counts.live_keys);
        self.field("records_held", counts.records);
        self.field("tombstones", counts.tombstones);
        self.field("open_records", counts.open_records);
        self.field("open_bytes", counts.open_bytes);
        self.field("open_records_closed_early", counts.closed_early);
    }

    fn add_peers(&mut self) {
        let store = &self.server.store;
        let nodes = &store.replica.config.nodes;
        let peers: Vec<(NodeIndex, LinkStatus)> = store
            .replica
            .config
            .node_indices()
            .filter(|node| *node != store.replica.index)
            .filter_map(|node| Some((node, store.peers.status(node)?)))
            .collect();
        self.field("peers_known", peers.len());
        self.field("peers_up", peers.iter().filter(|(_, status)| status.state == LinkState::Up).count());
        for (position, (node, status)) in peers.iter().enumerate() {
            let is_syncing = store.replica.is_peer_syncing(*node);
            let line = format!(
                "id={},address={},state={},health={},link_age_ms={},clock_offset_ms={},in_flight={}",
                nodes[node.as_usize()].id,
                status.address,
                peer_state(status.state, is_syncing),
                peer_health(status.health, is_syncing),
                status.age.as_millis(),
                status.clock_offset_ms,
                status.requests_in_flight
            );
            self.field(format_args!("peer{position}"), line);
        }
    }
}

/// The slots that this node keeps.
fn slots_owned(replica: &Replica) -> u16 {
    let share = replica.ring.shares()[replica.index.as_usize()];
    share.primary_slots + share.replica_slots
}

/// One word for what to think of a peer: one that is syncing answers, but counts for nothing.
fn peer_health(health: Health, is_syncing: bool) -> &'static str {
    match health {
        Health::Alive | Health::Suspect if is_syncing => "syncing",
        Health::Alive | Health::Suspect | Health::Down => health.word(),
    }
}

fn peer_state(link: LinkState, is_syncing: bool) -> &'static str {
    match link {
        LinkState::Down => "down",
        LinkState::Up if is_syncing => "syncing",
        LinkState::Up => "up",
    }
}

/// A reading of the hybrid clock as its milliseconds and its counter within them.
fn clock(reading: Hlc) -> String {
    let wall = reading.wall();
    format!("{wall}-{}", reading.0 - Hlc::first_of(wall).0)
}

/// Bytes as kilobytes with two decimals.
fn kilobytes(bytes: u64) -> String {
    let hundredths = u128::from(bytes) * 100 / 1024;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Bytes in the largest unit of which there is one whole, with two decimals cut off rather than rounded.
fn human(bytes: u64) -> String {
    let units = ["K", "M", "G", "T", "P", "E"];
    let Some(power) = (bytes.checked_ilog2().unwrap_or(0) / 10).checked_sub(1) else { return format!("{bytes}B") };
    let unit = 1_u64 << (10 * (power + 1));
    let hundredths = u128::from(bytes % unit) * 100 / u128::from(unit);
    format!("{}.{hundredths:02}{}", bytes / unit, units[power as usize])
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    /// The value of a field in a reply of INFO.
    fn value<'a>(text: &'a str, field: &str) -> Option<&'a str> {
        text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
    }

    #[test]
    fn the_text_has_the_form_of_redis() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("INFO foo"), "$0\r\n\r\n");
        assert_eq!(bench.ask("INFO keyspace"), "$12\r\n# Keyspace\r\n\r\n");
        bench.ask("HELLO 3");
        let both = "=48\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\n\r\n";
        assert_eq!(bench.ask("INFO cluster KEYSPACE foo"), both);
    }

    #[test]
    fn every_line_is_a_title_or_a_field_or_empty() {
        let mut bench = Bench::three_nodes();
        let text = bench.ask("INFO");
        for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
            assert!(
                line.starts_with("# ") || line.split_once(':').is_some_and(|(name, _)| !name.contains(' ')),
                "{line}"
            );
        }
        for (field, expected) in [
            ("redis_version", "7.0.15"),
            ("redis_mode", "standalone"),
            ("tcp_port", "7001"),
            ("uptime_in_seconds", "90061"),
            ("uptime_in_days", "1"),
            ("connected_clients", "1"),
            ("role", "master"),
            ("cluster_enabled", "0"),
            ("node_id", "node-1"),
            ("write_quorum", "2"),
            ("keys_held", "0"),
            ("slots_owned", "16384"),
            ("slots_syncing", "16384"),
        ] {
            assert_eq!(value(&text, field), Some(expected), "{field}");
        }
    }

    #[test]
    fn config_file_is_empty_for_a_node_without_one() {
        let mut bench = Bench::single_node();
        assert_eq!(value(&bench.ask("INFO server"), "config_file"), Some(""));
        bench.server.config_file = Some("/etc/ringkv/cluster.toml".into());
        assert_eq!(value(&bench.ask("INFO server"), "config_file"), Some("/etc/ringkv/cluster.toml"));
    }

    #[test]
    fn each_peer_has_a_line_with_its_state() {
        let mut bench = Bench::three_nodes();
        bench.peers.set(NodeIndex(2), true);
        let text = bench.ask("INFO ring");
        let link = "link_age_ms=1500,clock_offset_ms=-7,in_flight=3";
        assert_eq!(value(&text, "peers_known"), Some("2"));
        assert_eq!(value(&text, "peers_up"), Some("1"));
        let expected = format!("id=node-2,address=127.0.0.1:7002,state=down,health=down,{link}");
        assert_eq!(value(&text, "peer0"), Some(expected.as_str()));
        let expected = format!("id=node-3,address=127.0.0.1:7003,state=up,health=alive,{link}");
        assert_eq!(value(&text, "peer1"), Some(expected.as_str()));
        assert_eq!(peer_state(LinkState::Up, true), "syncing");
        let words = [Health::Alive, Health::Suspect, Health::Down].map(|health| peer_health(health, true));
        assert_eq!(words, ["syncing", "syncing", "down"]);
        assert_eq!(peer_health(Health::Suspect, false), "suspect");
    }

    #[test]
    fn keys_are_counted_once_there_are_some() {
        let mut bench = Bench::single_node();
        bench.ask("SET foo bar");
        assert_eq!(value(&bench.ask("INFO keyspace"), "db0"), Some("keys=1,expires=0,avg_ttl=0"));
        bench.ask(&format!("SET short lived PXAT {}", super::super::testing::NOW.0 + 7_000));
        assert_eq!(value(&bench.ask("INFO keyspace"), "db0"), Some("keys=2,expires=1,avg_ttl=7000"));
        assert_eq!(value(&bench.ask("INFO ring"), "keys_held"), Some("2"));
    }

    #[test]
    fn bytes_for_people_are_cut_to_two_decimals() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (32 * 1024 + 1023, "32.99K"),
            (1_288_928, "1.22M"),
            (u64::MAX, "15.99E"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn clock_is_milliseconds_and_counter() {
        assert_eq!(clock(Hlc::first_of(UnixMs(1_700_000_000_123)).next()), "1700000000123-1");
    }
}
