//! What one node's INFO tells: of itself, and of each other node as it sees it.
//!
//! Nodes of another version may tell more or less. A field that is not there is not known; only without its name is a
//! node no node.

use std::collections::BTreeMap;
use std::str::FromStr;

/// What a node is, from good to bad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum NodeState {
    Alive,
    /// Slow to answer.
    Suspect,
    /// It counts for nothing until it has caught up.
    Syncing,
    Down,
}

impl NodeState {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Syncing => "syncing",
            Self::Down => "down",
        }
    }
}

/// One node's INFO.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Report {
    pub(super) id: String,
    pub(super) cluster: String,
    pub(super) replication_factor: u16,
    pub(super) write_quorum: u16,
    pub(super) read_quorum: u16,
    pub(super) virtual_nodes: u32,
    pub(super) ring_fingerprint: String,
    pub(super) keys_held: Option<u64>,
    pub(super) slots_owned: Option<u16>,
    pub(super) slots_syncing: u16,
    pub(super) sync_percent: Option<u8>,
    /// The other nodes by their ids.
    pub(super) peers: BTreeMap<String, PeerView>,
}

/// A node as another one sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PeerView {
    pub(super) address: String,
    pub(super) state: NodeState,
    /// Its clock less that of the other one.
    pub(super) clock_offset_ms: Option<i64>,
    pub(super) agreement: Agreement,
    /// Writes that the other one owes to it, and their bytes.
    pub(super) hints: Option<(u64, u64)>,
}

/// What two nodes know of the slots that both of them keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Agreement {
    pub(super) slots_differing: Option<u64>,
    /// How long ago all were equal.
    pub(super) agreed_age_ms: Option<u64>,
}

impl Report {
    /// Reads the text of INFO.
    ///
    /// # Errors
    /// What is missing for it to be a node's.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let id = fields.get("node_id").ok_or("no node of ringkv answers there: its INFO has no node_id")?;
        let replication_factor = number(&fields, "replication_factor").unwrap_or(1).max(1);
        Ok(Self {
            id: shown(id),
            cluster: fields.get("cluster_name").map(|name| shown(name)).unwrap_or_default(),
            replication_factor,
            write_quorum: number(&fields, "write_quorum").unwrap_or(replication_factor),
            read_quorum: number(&fields, "read_quorum").unwrap_or(1),
            virtual_nodes: number(&fields, "virtual_nodes").unwrap_or(0),
            ring_fingerprint: fields.get("ring_fingerprint").map(|text| (*text).to_owned()).unwrap_or_default(),
            keys_held: number(&fields, "keys_held"),
            slots_owned: number(&fields, "slots_owned"),
            slots_syncing: number(&fields, "slots_syncing").unwrap_or(0),
            sync_percent: number(&fields, "sync_percent"),
            peers: peers(&fields),
        })
    }

    /// What the node says of itself.
    pub(super) fn own_state(&self) -> NodeState {
        if self.slots_syncing > 0 { NodeState::Syncing } else { NodeState::Alive }
    }

    /// How this node sees `id`; `None` if it does not know it.
    pub(super) fn view_of(&self, id: &str) -> Option<NodeState> {
        if id == self.id { Some(self.own_state()) } else { self.peers.get(id).map(|peer| peer.state) }
    }
}

fn peers(fields: &BTreeMap<&str, &str>) -> BTreeMap<String, PeerView> {
    let mut peers = BTreeMap::new();
    for position in 0.. {
        let name = format!("peer{position}");
        let Some(line) = fields.get(name.as_str()) else { break };
        let more = fields.get(format!("{name}_convergence").as_str()).copied().unwrap_or_default();
        let (about, more) = (words(line), words(more));
        // Both lines are of the same peer unless the node is of another version.
        let more = if about.get("id") == more.get("id") { more } else { BTreeMap::new() };
        if let Some(id) = about.get("id") {
            peers.insert(shown(id), PeerView::of(&about, &more));
        }
    }
    peers
}

impl PeerView {
    fn of(about: &BTreeMap<&str, &str>, more: &BTreeMap<&str, &str>) -> Self {
        Self {
            address: about.get("address").map(|address| shown(address)).unwrap_or_default(),
            state: state(about.get("health").or(about.get("state")).copied().unwrap_or_default()),
            clock_offset_ms: number(about, "clock_offset_ms"),
            agreement: Agreement {
                slots_differing: number(more, "slots_differing"),
                agreed_age_ms: number(more, "agreed_age_ms"),
            },
            hints: number(more, "hints").map(|hints| (hints, number(more, "hint_bytes").unwrap_or(0))),
        }
    }
}

/// The fields of a line such as `id=node-2,state=up`.
fn words(line: &str) -> BTreeMap<&str, &str> {
    line.split(',').filter_map(|word| word.split_once('=')).collect()
}

fn number<T: FromStr>(fields: &BTreeMap<&str, &str>, name: &str) -> Option<T> {
    fields.get(name)?.trim().parse().ok()
}

fn state(word: &str) -> NodeState {
    match word {
        "alive" | "up" => NodeState::Alive,
        "suspect" => NodeState::Suspect,
        "syncing" => NodeState::Syncing,
        _ => NodeState::Down,
    }
}

/// A name as a terminal may show it: whoever answers may send anything.
fn shown(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_control()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::ring::{HashRing, NodeId};

    /// INFO of the node of this number among three with N=3, W=2, R=1, that sees the others so.
    pub(in super::super) fn info(number: u16, peers: &[(u16, &str)]) -> String {
        let ids: Vec<NodeId> = (1..=3).map(|number| NodeId::from(format!("node-{number}").as_str())).collect();
        let mut text = format!(
            "# Ring\r\nnode_id:node-{number}\r\ncluster_name:test\r\nreplication_factor:3\r\nwrite_quorum:2\r\n\
             read_quorum:1\r\nvirtual_nodes:16\r\nring_fingerprint:{}\r\nkeys_held:7\r\nslots_owned:16384\r\n\
             slots_syncing:0\r\n",
            HashRing::new(&ids, 16, 3).fingerprint()
        );
        for (position, (peer, health)) in peers.iter().enumerate() {
            let line = format!(
                "id=node-{peer},address=h:700{peer},state=up,health={health},link_age_ms=5,clock_offset_ms={peer}0"
            );
            let _ = write!(text, "peer{position}:{line}\r\n");
        }
        text
    }

    #[test]
    fn a_node_and_its_peers_are_read() {
        let more = "\r\n# Convergence\r\npeer0_convergence:id=node-2,slots_equal=9,slots_differing=4,agreed_age_ms=600,\
                    hints=12,hint_bytes=3456,hint_oldest_ms=7,hints_dropped=0\r\nsync_percent:100\r\n";
        let report = Report::parse(&(info(1, &[(2, "suspect"), (3, "syncing")]) + more)).unwrap();
        assert_eq!((report.id.as_str(), report.keys_held, report.sync_percent), ("node-1", Some(7), Some(100)));
        assert_eq!((report.replication_factor, report.write_quorum, report.read_quorum), (3, 2, 1));
        let expected = PeerView {
            address: "h:7002".to_owned(),
            state: NodeState::Suspect,
            clock_offset_ms: Some(20),
            agreement: Agreement { slots_differing: Some(4), agreed_age_ms: Some(600) },
            hints: Some((12, 3456)),
        };
        assert_eq!(report.peers["node-2"], expected);
        let third = &report.peers["node-3"];
        assert_eq!((third.state, third.agreement, third.hints), (NodeState::Syncing, Agreement::default(), None));
        assert_eq!(report.view_of("node-1"), Some(NodeState::Alive));
        assert_eq!((report.view_of("node-3"), report.view_of("node-9")), (Some(NodeState::Syncing), None));
    }

    #[test]
    fn what_a_node_does_not_tell_is_not_known() {
        let report = Report::parse("node_id:a\npeer0:id=b,state=up\npeer1:nonsense\nkeys_held:many\n").unwrap();
        assert_eq!((report.keys_held, report.slots_owned, report.replication_factor), (None, None, 1));
        assert_eq!(report.peers.len(), 1);
        assert_eq!((report.peers["b"].state, report.peers["b"].clock_offset_ms), (NodeState::Alive, None));
    }

    #[test]
    fn names_bring_no_control_characters_to_the_terminal() {
        assert_eq!(Report::parse("node_id:a\u{1b}[2Jb\n").unwrap().id, "a[2Jb");
    }

    #[test]
    fn without_a_name_it_is_no_node() {
        assert!(Report::parse("redis_version:7.0.15\r\n").unwrap_err().contains("no node of ringkv"));
    }
}
