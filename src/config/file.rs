//! From the text of cluster.toml to a configuration, or to the first mistake in it.

use std::fs;
use std::path::Path;

use toml::{Spanned, Value};

use super::knob::{
    ANTI_ENTROPY_INTERVAL_MS, HINT_BYTES_MAX, HINT_TTL_MS, Knob, MAX_CLIENTS, MAX_CLOCK_DRIFT_MS, MAX_VALUE_BYTES,
    NAME_BYTES_MAX, REQUEST_TIMEOUT_MS, SECONDS, SECRET_BYTES_MAX, SYNC_TIMEOUT_MS, VIRTUAL_NODES, WORKER_THREADS,
};
use super::raw::{Document, Entry, RawCluster, RawServer, Table, line_at};
use super::{ClusterConfig, ConfigError, NodeConfig, OutputLimits, Secret, ServerConfig, defaults};

/// What one file says: the cluster, which is the same on every node, and the server.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The cluster.
    pub cluster: ClusterConfig,
    /// The server.
    pub server: ServerConfig,
}

impl LoadedConfig {
    /// Where clients need a password and nodes no secret, nodes need the password: whoever is a node need not
    /// authenticate. To be called once the password stands.
    pub fn close_the_side_door(&mut self) {
        if self.cluster.secret.is_none() {
            self.cluster.secret.clone_from(&self.server.requirepass);
        }
    }
}

impl ClusterConfig {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, and for the first mistake in it.
    pub fn load(path: impl AsRef<Path>) -> Result<LoadedConfig, ConfigError> {
        let file = path.as_ref().to_string_lossy();
        let bytes = fs::read(&path).map_err(|error| {
            ConfigError::of_file(&file, format!("cannot be read: {error}; write the path of a readable file instead"))
        })?;
        let text = str::from_utf8(&bytes).map_err(|error| {
            let line = line_at(&bytes, error.valid_up_to());
            ConfigError::at(&file, line, "the text is not UTF-8; write it in UTF-8 instead".to_owned())
        })?;
        Self::parse(text, &file)
    }

    /// Reads `text`, naming it `file_name` in complaints.
    ///
    /// # Errors
    /// For the first mistake in it.
    pub fn parse(text: &str, file_name: &str) -> Result<LoadedConfig, ConfigError> {
        let document = Document { file: file_name, text };
        let raw = document.read()?;
        let server = document.server(table_or_default(raw.server))?;
        let nodes = document.nodes(raw.nodes)?;
        let mut config = LoadedConfig { cluster: document.cluster(table_or_default(raw.cluster), nodes)?, server };
        config.close_the_side_door();
        Ok(config)
    }
}

impl Document<'_> {
    fn cluster(self, raw: RawCluster, nodes: Vec<NodeConfig>) -> Result<ClusterConfig, ConfigError> {
        let node_count = u16::try_from(nodes.len()).expect("at most NODES_MAX nodes");

        let knob = Knob::nodes("replication_factor", node_count, "the number of nodes");
        let replication_factor =
            self.number(raw.replication_factor, &knob, defaults::REPLICATION_FACTOR.min(node_count))?;
        let quorum = |key| Knob::nodes(key, replication_factor, "the replication factor");
        let write_default = defaults::write_quorum(replication_factor);
        Ok(ClusterConfig {
            name: raw.name.map_or_else(|| Ok(defaults::NAME.to_owned()), |entry| self.name("name", entry, "ringkv"))?,
            replication_factor,
            write_quorum: self.number(raw.write_quorum, &quorum("write_quorum"), write_default)?,
            read_quorum: self.number(raw.read_quorum, &quorum("read_quorum"), defaults::READ_QUORUM)?,
            virtual_nodes: self.number(raw.virtual_nodes, &VIRTUAL_NODES, defaults::VIRTUAL_NODES)?,
            request_timeout_ms: self.number(
                raw.request_timeout_ms,
                &REQUEST_TIMEOUT_MS,
                defaults::REQUEST_TIMEOUT_MS,
            )?,
            max_clock_drift_ms: self.number(
                raw.max_clock_drift_ms,
                &MAX_CLOCK_DRIFT_MS,
                defaults::MAX_CLOCK_DRIFT_MS,
            )?,
            sync_timeout_ms: self.number(raw.sync_timeout_ms, &SYNC_TIMEOUT_MS, defaults::SYNC_TIMEOUT_MS)?,
            hint_ttl_ms: self.number(raw.hint_ttl_ms, &HINT_TTL_MS, defaults::HINT_TTL_MS)?,
            read_repair_chance: self.chance(
                "read_repair_chance",
                raw.read_repair_chance,
                defaults::READ_REPAIR_CHANCE,
            )?,
            secret: self.secret("secret", raw.secret)?,
            nodes,
        })
    }

    fn server(self, raw: RawServer) -> Result<ServerConfig, ConfigError> {
        let default = ServerConfig::default();
        Ok(ServerConfig {
            worker_threads: self.number(raw.worker_threads, &WORKER_THREADS, default.worker_threads)?,
            max_clients: self.number(raw.max_clients, &MAX_CLIENTS, default.max_clients)?,
            max_value_bytes: self.number(raw.max_value_bytes, &MAX_VALUE_BYTES, default.max_value_bytes)?,
            hint_bytes_max: self.number(raw.hint_bytes_max, &HINT_BYTES_MAX, default.hint_bytes_max)?,
            anti_entropy_interval_ms: self.number(
                raw.anti_entropy_interval_ms,
                &ANTI_ENTROPY_INTERVAL_MS,
                default.anti_entropy_interval_ms,
            )?,
            requirepass: self.secret("requirepass", raw.requirepass)?,
            protected_mode: self.switch("protected_mode", raw.protected_mode, default.protected_mode)?,
            timeout: self.number(raw.timeout, &SECONDS, default.timeout)?,
            tcp_keepalive: self.number(raw.tcp_keepalive, &SECONDS.called("tcp_keepalive"), default.tcp_keepalive)?,
            client_output_buffer_limit: self.output_limits(raw.client_output_buffer_limit)?,
        })
    }

    /// The whole number in `entry`, or `default`.
    fn number<T: TryFrom<u64>>(self, entry: Entry, knob: &Knob, default: T) -> Result<T, ConfigError> {
        let Some(entry) = entry else { return Ok(default) };
        let written = match entry.get_ref() {
            Value::Integer(number) => number.to_string(),
            other => kind(other).to_owned(),
        };
        let number = entry.get_ref().as_integer().and_then(|number| u64::try_from(number).ok());
        let legal = number.filter(|number| knob.range().contains(number)).and_then(|number| T::try_from(number).ok());
        legal.ok_or_else(|| self.mistake(entry.span(), format!("`{}` is {written}; {}", knob.key, knob.advice())))
    }

    /// The share of a whole in `entry`, or `default`.
    fn chance(self, key: &str, entry: Entry, default: f64) -> Result<f64, ConfigError> {
        let Some(entry) = entry else { return Ok(default) };
        let (written, share) = match entry.get_ref() {
            Value::Float(share) => (share.to_string(), Some(*share)),
            Value::Integer(share @ (0 | 1)) => (share.to_string(), Some(if *share == 0 { 0.0 } else { 1.0 })),
            Value::Integer(number) => (number.to_string(), None),
            other => (kind(other).to_owned(), None),
        };
        share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
            self.mistake(entry.span(), format!("`{key}` is {written}; write a share from 0.0 to 1.0 instead"))
        })
    }

    /// Whether the switch in `entry` is on, or `default`.
    fn switch(self, key: &str, entry: Entry, default: bool) -> Result<bool, ConfigError> {
        let Some(entry) = entry else { return Ok(default) };
        entry.get_ref().as_bool().ok_or_else(|| {
            let written = kind(entry.get_ref());
            self.mistake(entry.span(), format!("`{key}` is {written}; write true or false instead"))
        })
    }

    /// The limits in `entry`, or those of Redis.
    fn output_limits(self, entry: Entry) -> Result<OutputLimits, ConfigError> {
        const EXAMPLE: &str = "normal 256mb 64mb 60";
        let Some(entry) = entry else { return Ok(OutputLimits::default()) };
        let text = self.text("client_output_buffer_limit", entry, EXAMPLE)?;
        OutputLimits::default().changed_by(text.get_ref()).map_err(|_| {
            let advice = format!("write a class, a hard limit, a soft limit and seconds instead, such as `{EXAMPLE}`");
            self.mistake(text.span(), format!("`client_output_buffer_limit` is {:?}; {advice}", text.get_ref()))
        })
    }

    /// The text in `entry`; `example` shows how to write one.
    pub(super) fn text(self, key: &str, entry: Spanned<Value>, example: &str) -> Result<Spanned<String>, ConfigError> {
        let span = entry.span();
        match entry.into_inner() {
            Value::String(text) => Ok(Spanned::new(span, text)),
            other => {
                let message = format!(
                    "`{key}` is {}; write text in quotes instead, such as `{key} = \"{example}\"`",
                    kind(&other)
                );
                Err(self.mistake(span, message))
            }
        }
    }

    /// The name in `entry`, one that can stand in messages.
    pub(super) fn name(self, key: &str, entry: Spanned<Value>, example: &str) -> Result<String, ConfigError> {
        let name = self.text(key, entry, example)?;
        let separates = |c: char| c.is_whitespace() || c.is_control() || c == ',';
        if name.get_ref().contains(separates) || !(1..=NAME_BYTES_MAX).contains(&name.get_ref().len()) {
            let message = format!(
                "`{key}` is {:?}; write 1 to {NAME_BYTES_MAX} bytes without spaces, commas and control characters instead, \
                 such as `{key} = \"{example}\"`",
                name.get_ref()
            );
            return Err(self.mistake(name.span(), message));
        }
        Ok(name.into_inner())
    }

    /// A secret, which no complaint repeats.
    fn secret(self, key: &str, entry: Entry) -> Result<Option<Secret>, ConfigError> {
        let Some(entry) = entry else { return Ok(None) };
        let secret = self.text(key, entry, "32 random characters")?;
        if !(1..=SECRET_BYTES_MAX).contains(&secret.get_ref().len()) {
            let bytes = secret.get_ref().len();
            let advice = format!("write 1 to {SECRET_BYTES_MAX} bytes, or leave the line out, instead");
            return Err(self.mistake(secret.span(), format!("`{key}` has {bytes} bytes; {advice}")));
        }
        Ok(Some(Secret::new(secret.into_inner())))
    }
}

/// A table that may be left out: every key in it has a default.
fn table_or_default<T: Default>(table: Option<Table<T>>) -> T {
    table.map_or_else(T::default, |Table(keys)| keys)
}

/// A value's kind, in the operator's words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}
