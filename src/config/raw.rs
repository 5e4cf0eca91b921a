//! The shape of cluster.toml: which keys stand where, each value still with its place in the text.
//!
//! Only the shape is serde's. Values stay as they are written, because serde's complaint about a wrong one does not name
//! its key; [`super::file`] checks them.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use toml::{Spanned, Value};

use super::ConfigError;

/// A value with its place in the text; `None` where the file is silent.
pub(super) type Entry = Option<Spanned<Value>>;

/// The whole file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) cluster: Option<Table<RawCluster>>,
    pub(super) server: Option<Table<RawServer>>,
    pub(super) nodes: Option<Spanned<Vec<Spanned<Table<RawNode>>>>>,
}

/// `[cluster]`.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    pub(super) name: Entry,
    pub(super) replication_factor: Entry,
    pub(super) write_quorum: Entry,
    pub(super) read_quorum: Entry,
    pub(super) virtual_nodes: Entry,
    pub(super) request_timeout_ms: Entry,
    pub(super) max_clock_drift_ms: Entry,
    pub(super) sync_timeout_ms: Entry,
    pub(super) hint_ttl_ms: Entry,
    pub(super) read_repair_chance: Entry,
    pub(super) secret: Entry,
}

/// `[server]`.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    pub(super) worker_threads: Entry,
    pub(super) max_clients: Entry,
    pub(super) max_value_bytes: Entry,
    pub(super) hint_bytes_max: Entry,
    pub(super) anti_entropy_interval_ms: Entry,
    pub(super) requirepass: Entry,
    pub(super) protected_mode: Entry,
    pub(super) timeout: Entry,
    pub(super) tcp_keepalive: Entry,
    pub(super) client_output_buffer_limit: Entry,
}

/// `[[nodes]]`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNode {
    pub(super) id: Entry,
    pub(super) addr: Entry,
    pub(super) announce: Entry,
}

/// A struct that is written as a table; serde alone would also take a list of its values.
pub(super) struct Table<T>(pub(super) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TableVisitor(PhantomData)).map(Self)
    }
}

struct TableVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for TableVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A file's text, with its name for complaints.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Document<'_> {
    /// The text as the shape of a configuration.
    pub(super) fn read(self) -> Result<RawFile, ConfigError> {
        toml::from_str(self.text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            let message = explain(error.message(), self.text.get(span.clone()).unwrap_or_default());
            self.mistake(span, message)
        })
    }

    /// The mistake `message` about the text at `span`.
    pub(super) fn mistake(self, span: Range<usize>, message: String) -> ConfigError {
        ConfigError::at(self.file, self.line(span.start), message)
    }

    /// The line, counted from 1, of the byte `offset`.
    pub(super) fn line(self, offset: usize) -> usize {
        line_at(self.text.as_bytes(), offset)
    }
}

/// The line of `text`, counted from 1, that holds the byte `offset`.
pub(super) fn line_at(text: &[u8], offset: usize) -> usize {
    1 + memchr::memchr_iter(b'\n', &text[..offset.min(text.len())]).count()
}

/// What the parser says about `found`, in the words of all other complaints.
fn explain(message: &str, found: &str) -> String {
    if message.starts_with("unknown field") {
        return format!("there is no key `{found}` here; {}", advice_on_unknown_key(message, found));
    }
    match message.split_once(", expected ") {
        Some((_, "any valid TOML value")) => "the number is too large; write a smaller one instead".to_owned(),
        Some((_, "literal string")) => {
            "the value is missing or has no quotes; write `\"text\"` or a number instead".to_owned()
        }
        Some((wrong, legal)) => format!("{wrong}; write {} instead", legal_text(legal)),
        None if message == "duplicate key" => format!("`{found}` stands here a second time; write it once instead"),
        None => format!("{message}; write `key = value` instead"),
    }
}

fn legal_text(expected: &str) -> &str {
    match expected {
        "a sequence" => "a `[[nodes]]` table for each node",
        "a table" => "a table with its keys on the following lines, such as `[cluster]`,",
        other => other,
    }
}

/// A key in the wrong table is sent to the right one, for any other the legal ones are named.
fn advice_on_unknown_key(message: &str, key: &str) -> String {
    let legal = message.split_once(", expected ").map_or("a legal key", |(_, legal)| legal);
    let is_above_all_tables = legal.contains("`nodes`");
    match key {
        "replication_factor" | "write_quorum" | "read_quorum" | "virtual_nodes" | "request_timeout_ms" | "secret"
        | "max_clock_drift_ms" | "sync_timeout_ms" | "hint_ttl_ms" | "read_repair_chance" => {
            "write it below a line `[cluster]` instead".to_owned()
        }
        // In another table a name is more likely meant for what that table describes.
        "name" if is_above_all_tables => "write it below a line `[cluster]` instead".to_owned(),
        "worker_threads"
        | "max_clients"
        | "max_value_bytes"
        | "hint_bytes_max"
        | "anti_entropy_interval_ms"
        | "requirepass"
        | "protected_mode"
        | "timeout"
        | "tcp_keepalive"
        | "client_output_buffer_limit" => "write it below a line `[server]` instead".to_owned(),
        "id" | "addr" | "announce" => "write it below a line `[[nodes]]` instead".to_owned(),
        _ if is_above_all_tables => {
            "write the tables `[cluster]`, `[server]` and `[[nodes]]` with their keys, and nothing else, instead"
                .to_owned()
        }
        _ => format!("write {legal} instead"),
    }
}
