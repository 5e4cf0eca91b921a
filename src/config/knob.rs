//! The legal range of every number in a configuration, in one place for cluster.toml and the command line.

use std::ops::RangeInclusive;

/// The most nodes of a cluster.
pub const NODES_MAX: usize = 1024;
/// The most bytes of a node's id or a cluster's name, which travel in messages.
pub const NAME_BYTES_MAX: usize = 64;
/// The most bytes of a cluster's secret or a password.
pub const SECRET_BYTES_MAX: usize = 1024;

/// `virtual_nodes`: 4096 for each of [`NODES_MAX`] nodes still make a ring in seconds.
pub const VIRTUAL_NODES: Knob = Knob::new("virtual_nodes", 1, 4096);
/// `request_timeout_ms`: below 10 ms an ordinary pause of a machine looks like a dead node.
pub const REQUEST_TIMEOUT_MS: Knob = Knob::new("request_timeout_ms", 10, 600_000);
/// `max_clock_drift_ms`: up to a day.
pub const MAX_CLOCK_DRIFT_MS: Knob = Knob::new("max_clock_drift_ms", 1, 86_400_000);
/// `sync_timeout_ms`: up to a day; 0 waits for ever.
pub const SYNC_TIMEOUT_MS: Knob = Knob::new("sync_timeout_ms", 0, 86_400_000);
/// `hint_ttl_ms`: from longer than any request takes up to a day.
pub const HINT_TTL_MS: Knob = Knob::new("hint_ttl_ms", 1000, 86_400_000);
/// `hint_bytes_max` of `[server]`: up to a terabyte; 0 keeps none.
pub const HINT_BYTES_MAX: Knob = Knob::new("hint_bytes_max", 0, 1 << 40);
/// `anti_entropy_interval_ms` of `[server]`: up to an hour; 0 switches it off.
pub const ANTI_ENTROPY_INTERVAL_MS: Knob = Knob::new("anti_entropy_interval_ms", 0, 3_600_000);
/// `worker_threads` of `[server]`.
pub const WORKER_THREADS: Knob = Knob::new("worker_threads", 1, 1024);
/// `max_clients` of `[server]`.
pub const MAX_CLIENTS: Knob = Knob::new("max_clients", 1, 1_000_000);
/// `max_value_bytes` of `[server]`: at least room for a command's other words, at most Redis' own limit.
pub const MAX_VALUE_BYTES: Knob = Knob::new("max_value_bytes", 1024, 512 * 1024 * 1024);
/// `timeout` and `tcp_keepalive` of `[server]`, in seconds: as far as Redis goes; 0 switches them off.
pub const SECONDS: Knob = Knob::new("timeout", 0, 2_147_483_647);

/// A number that the operator may set.
#[derive(Clone, Debug)]
pub struct Knob {
    /// Its key in the file.
    pub key: &'static str,
    /// The smallest legal value.
    pub min: u64,
    /// The largest legal value.
    pub max: u64,
    /// What the largest value is, where it is not the same for every configuration.
    max_is: Option<&'static str>,
}

impl Knob {
    const fn new(key: &'static str, min: u64, max: u64) -> Self {
        Self { key, min, max, max_is: None }
    }

    /// The same range under another key.
    pub(super) fn called(&self, key: &'static str) -> Self {
        Self { key, ..self.clone() }
    }

    /// A number of nodes: from 1 to `max`, which is `max_is`.
    pub(super) fn nodes(key: &'static str, max: u16, max_is: &'static str) -> Self {
        Self { key, min: 1, max: max.into(), max_is: Some(max_is) }
    }

    /// All legal values.
    #[must_use]
    pub fn range(&self) -> RangeInclusive<u64> {
        self.min..=self.max
    }

    /// What to write for it.
    pub(super) fn advice(&self) -> String {
        let Self { min, max, .. } = self;
        let range = if min == max { format!("{min}") } else { format!("a whole number from {min} to {max}") };
        match self.max_is {
            Some(meaning) => format!("write {range} ({max} is {meaning}) instead"),
            None => format!("write {range} instead"),
        }
    }
}
