//! The nodes of cluster.toml: each one's own mistakes, and those between two.

use std::collections::HashMap;

use toml::{Spanned, Value};

use super::knob::NODES_MAX;
use super::raw::{Document, RawNode, Table};
use super::{ConfigError, NodeConfig, address};
use crate::ring::NodeId;

impl Document<'_> {
    /// All nodes, sorted by id.
    pub(super) fn nodes(
        self,
        raw: Option<Spanned<Vec<Spanned<Table<RawNode>>>>>,
    ) -> Result<Vec<NodeConfig>, ConfigError> {
        const ADVICE: &str =
            "write `[[nodes]]`, `id = \"node-1\"` and `addr = \"127.0.0.1:7001\"` on lines of their own instead";
        let end = self.text.trim_end().len();
        let (span, raw) = raw.map_or((end..end, Vec::new()), |raw| (raw.span(), raw.into_inner()));
        match raw.len() {
            0 => return Err(self.mistake(span, format!("there are no nodes; {ADVICE}"))),
            1..=NODES_MAX => {}
            count => {
                return Err(self.mistake(span, format!("there are {count} nodes; write at most {NODES_MAX} instead")));
            }
        }
        let mut claims =
            Claims { document: self, alone: raw.len() == 1, ids: HashMap::new(), addresses: HashMap::new() };
        let mut nodes = raw.into_iter().map(|node| claims.node(node)).collect::<Result<Vec<_>, _>>()?;
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(nodes)
    }
}

/// What the nodes read so far have claimed, each with its line: no two may have the same.
struct Claims<'a> {
    document: Document<'a>,
    /// Whether there is one node only, which no other has to reach.
    alone: bool,
    ids: HashMap<String, usize>,
    addresses: HashMap<String, (NodeId, usize)>,
}

impl Claims<'_> {
    /// Checks the next node, by itself and against those before it.
    fn node(&mut self, raw: Spanned<Table<RawNode>>) -> Result<NodeConfig, ConfigError> {
        let header = raw.span();
        let Table(raw) = raw.into_inner();
        let missing = |key, example| {
            let message = format!("this node has no `{key}`; write a line `{key} = \"{example}\"` below instead");
            self.document.mistake(header.clone(), message)
        };
        let id = raw.id.ok_or_else(|| missing("id", "node-1"))?;
        let addr = raw.addr.ok_or_else(|| missing("addr", "127.0.0.1:7001"))?;
        let id_at = id.span().start;
        let id = self.document.name("id", id, "node-1")?;
        self.claim_id(&id, id_at)?;
        let id = NodeId::from(id.as_str());

        let addr = self.address("addr", addr)?;
        let announce = raw.announce.map(|entry| self.address("announce", entry)).transpose()?;
        self.must_be_reachable(&addr, announce.as_ref())?;
        for address in std::iter::once(&addr).chain(&announce) {
            self.claim_address(&id, address)?;
        }
        Ok(NodeConfig { id, addr: addr.into_inner(), announce: announce.map(Spanned::into_inner) })
    }

    fn claim_id(&mut self, id: &str, at: usize) -> Result<(), ConfigError> {
        let line = self.document.line(at);
        match self.ids.insert(id.to_owned(), line) {
            None => Ok(()),
            Some(other) => {
                let message = format!("the node on line {other} is named `{id}` too; write another `id` instead");
                Err(self.document.mistake(at..at, message))
            }
        }
    }

    fn address(&self, key: &str, entry: Spanned<Value>) -> Result<Spanned<String>, ConfigError> {
        let address = self.document.text(key, entry, "127.0.0.1:7001")?;
        match address::objection(address.get_ref()) {
            None => Ok(address),
            Some(why) => {
                let message = format!(
                    "`{key}` {:?} {why}; write `host:port` instead, such as `{key} = \"127.0.0.1:7001\"`",
                    address.get_ref()
                );
                Err(self.document.mistake(address.span(), message))
            }
        }
    }

    /// A node may bind all addresses of its machine, but must be reached at one.
    fn must_be_reachable(&self, addr: &Spanned<String>, announce: Option<&Spanned<String>>) -> Result<(), ConfigError> {
        let announced = announce.unwrap_or(addr);
        if !address::is_wildcard(announced.get_ref()) || (self.alone && announce.is_none()) {
            return Ok(());
        }
        let message = format!(
            "no node can be reached at {}; write the host that others connect to into `announce` instead, such as \
             `announce = \"10.0.0.1:7001\"`",
            announced.get_ref()
        );
        Err(self.document.mistake(announced.span(), message))
    }

    /// Nodes on several machines may bind the same wildcard; any other address belongs to one node.
    fn claim_address(&mut self, id: &NodeId, address: &Spanned<String>) -> Result<(), ConfigError> {
        let line = self.document.line(address.span().start);
        if address::is_wildcard(address.get_ref()) {
            return Ok(());
        }
        match self.addresses.insert(address.get_ref().clone(), (id.clone(), line)) {
            Some((owner, other)) if owner != *id => {
                let address_text = address.get_ref();
                let message = format!(
                    "{address_text} is the address of `{owner}` on line {other} too; write another host or port instead"
                );
                Err(self.document.mistake(address.span(), message))
            }
            _ => Ok(()),
        }
    }
}
