//! The ring as one node sees it, and its text in the forms of Redis Cluster.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::codec::{Protocol, reply};
use crate::ring::{NodeIndex, PreferenceList, SLOT_COUNT, Slot};

/// What a node can be asked for, as this node sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Health {
    /// It is up and has caught up.
    Online,
    /// As online, but slow to answer: perhaps it is failing.
    Suspect,
    /// It is up, but still counts for nothing: it passes requests on.
    Loading,
    /// There is no link to it.
    Failed,
}

impl Health {
    /// The word in CLUSTER SHARDS.
    fn name(self) -> &'static str {
        match self {
            Self::Online | Self::Suspect => "online",
            Self::Loading => "loading",
            Self::Failed => "fail",
        }
    }
}

/// A node as clients are told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Member {
    /// [`super::shown_id`] of its name.
    pub(super) id: String,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) health: Health,
    /// In Unix milliseconds when the oldest open question was asked; 0 if there is none.
    pub(super) ping_sent: u64,
    /// In Unix milliseconds when it was last heard; 0 if never.
    pub(super) pong_received: u64,
}

/// The ring as this node sees it at the moment.
pub(super) struct View {
    members: Vec<Member>,
    me: NodeIndex,
    /// Runs of slots with the same nodes, those that can be reached first.
    ranges: Vec<(u16, u16, Vec<NodeIndex>)>,
}

impl View {
    pub(super) fn new<'r>(
        members: Vec<Member>,
        me: NodeIndex,
        ring: impl Iterator<Item = (Slot, Slot, PreferenceList<'r>)>,
    ) -> Self {
        let is_failed = |node: &NodeIndex| members[node.as_usize()].health == Health::Failed;
        let mut ranges: Vec<(u16, u16, Vec<NodeIndex>)> = Vec::new();
        for (first, last, list) in ring {
            let mut nodes = list.to_vec();
            nodes.sort_by_key(is_failed);
            match ranges.last_mut() {
                Some((_, end, same)) if *same == nodes => *end = last.number(),
                _ => ranges.push((first.number(), last.number(), nodes)),
            }
        }
        Self { members, me, ranges }
    }

    fn member(&self, node: NodeIndex) -> &Member {
        &self.members[node.as_usize()]
    }

    /// For each node the runs of slots that clients are to ask it for.
    fn primary_ranges(&self) -> Vec<Vec<(u16, u16)>> {
        let mut of_nodes = vec![Vec::new(); self.members.len()];
        for (first, last, nodes) in &self.ranges {
            let ranges: &mut Vec<(u16, u16)> = &mut of_nodes[nodes[0].as_usize()];
            match ranges.last_mut() {
                Some((_, end)) if *end + 1 == *first => *end = *last,
                _ => ranges.push((*first, *last)),
            }
        }
        of_nodes
    }

    pub(super) fn info(&self, write_quorum: u16) -> String {
        let slots_ok = self.slots_with(write_quorum, &[Health::Online]);
        let slots_not_failed = self.slots_with(write_quorum, &[Health::Online, Health::Suspect]);
        let state = if slots_not_failed == SLOT_COUNT { "ok" } else { "fail" };
        let size = self.primary_ranges().iter().filter(|ranges| !ranges.is_empty()).count();
        format!(
            "cluster_state:{state}\r\n\
             cluster_slots_assigned:{SLOT_COUNT}\r\n\
             cluster_slots_ok:{slots_ok}\r\n\
             cluster_slots_pfail:{}\r\n\
             cluster_slots_fail:{}\r\n\
             cluster_known_nodes:{}\r\n\
             cluster_size:{size}\r\n\
             cluster_current_epoch:0\r\n\
             cluster_my_epoch:0\r\n\
             cluster_stats_messages_sent:0\r\n\
             cluster_stats_messages_received:0\r\n\
             total_cluster_links_buffer_limit_exceeded:0\r\n",
            slots_not_failed - slots_ok,
            SLOT_COUNT - slots_not_failed,
            self.members.len(),
        )
    }

    /// The slots of which at least `quorum` nodes are in one of these states.
    fn slots_with(&self, quorum: u16, states: &[Health]) -> u16 {
        let counts = |node: &&NodeIndex| states.contains(&self.member(**node).health);
        let has_quorum = |nodes: &[NodeIndex]| nodes.iter().filter(counts).count() >= quorum.into();
        self.ranges.iter().filter(|range| has_quorum(&range.2)).map(|(first, last, _)| last - first + 1).sum()
    }

    /// Nodes talk on the clients' port, so that stands behind the `@` too.
    pub(super) fn nodes(&self) -> String {
        let mut text = String::new();
        for (position, (member, ranges)) in self.members.iter().zip(self.primary_ranges()).enumerate() {
            let Member { id, host, port, health, ping_sent, pong_received } = member;
            let myself = if position == self.me.as_usize() { "myself," } else { "" };
            let (flags, link) = match health {
                Health::Online => ("master", "connected"),
                // No flag of Redis, and passed over by its clients: the node is up, and its copies do not count yet.
                Health::Loading => ("master,loading", "connected"),
                Health::Suspect => ("master,fail?", "connected"),
                Health::Failed => ("master,fail", "disconnected"),
            };
            let _ = write!(text, "{id} {host}:{port}@{port} {myself}{flags} - {ping_sent} {pong_received} 0 {link}");
            for (first, last) in ranges {
                let _ = if first == last { write!(text, " {first}") } else { write!(text, " {first}-{last}") };
            }
            text.push('\n');
        }
        text
    }

    pub(super) fn slots(&self, out: &mut Vec<u8>, protocol: Protocol) {
        reply::array(out, self.ranges.len());
        for (first, last, nodes) in &self.ranges {
            let reachable = nodes.iter().filter(|node| self.member(**node).health != Health::Failed).count();
            let told = &nodes[..reachable.max(1)];
            reply::array(out, 2 + told.len());
            reply::integer(out, i64::from(*first));
            reply::integer(out, i64::from(*last));
            for node in told {
                let member = self.member(*node);
                reply::array(out, 4);
                reply::bulk(out, member.host.as_bytes());
                reply::integer(out, member.port.into());
                reply::bulk(out, member.id.as_bytes());
                reply::map(out, protocol, 0);
            }
        }
    }

    pub(super) fn shards(&self, out: &mut Vec<u8>, protocol: Protocol) {
        let mut shards: BTreeMap<&[NodeIndex], Vec<u16>> = BTreeMap::new();
        for (first, last, nodes) in &self.ranges {
            shards.entry(nodes).or_default().extend([first, last]);
        }
        reply::array(out, shards.len());
        for (nodes, bounds) in shards {
            reply::map(out, protocol, 2);
            reply::bulk(out, b"slots");
            reply::array(out, bounds.len());
            for bound in bounds {
                reply::integer(out, bound.into());
            }
            reply::bulk(out, b"nodes");
            reply::array(out, nodes.len());
            for (position, node) in nodes.iter().enumerate() {
                let role = if position == 0 { "master" } else { "replica" };
                self.member(*node).shard_entry(role, out, protocol);
            }
        }
    }
}

impl Member {
    /// The node's entry in CLUSTER SHARDS.
    fn shard_entry(&self, role: &str, out: &mut Vec<u8>, protocol: Protocol) {
        reply::map(out, protocol, 7);
        bulk_field(out, "id", &self.id);
        integer_field(out, "port", self.port.into());
        bulk_field(out, "ip", &self.host);
        bulk_field(out, "endpoint", &self.host);
        bulk_field(out, "role", role);
        integer_field(out, "replication-offset", 0);
        bulk_field(out, "health", self.health.name());
    }
}

fn bulk_field(out: &mut Vec<u8>, name: &str, value: &str) {
    reply::bulk(out, name.as_bytes());
    reply::bulk(out, value.as_bytes());
}

fn integer_field(out: &mut Vec<u8>, name: &str, value: i64) {
    reply::bulk(out, name.as_bytes());
    reply::integer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{HashRing, NodeId};

    /// A node's stand-in with a short id: `n0` at h0:7000 and so on.
    fn member(number: u16, health: Health) -> Member {
        let (id, host) = (format!("n{number}"), format!("h{number}"));
        Member { id, host, port: 7000 + number, health, ping_sent: 0, pong_received: 0 }
    }

    fn ring(nodes: u16, replicas: u16) -> HashRing {
        let ids: Vec<NodeId> = (0..nodes).map(|number| NodeId::from(format!("node-{number}").as_str())).collect();
        HashRing::new(&ids, 4, replicas)
    }

    /// Three nodes, all of which keep every slot, as the first of them sees them.
    fn view(health: [Health; 3]) -> View {
        let members = (0..).zip(health).map(|(number, health)| member(number, health)).collect();
        View::new(members, NodeIndex(0), ring(3, 3).ranges())
    }

    fn slots_of(line: &str) -> u16 {
        let bounds = |range: &str| -> (u16, u16) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            (first.parse().unwrap(), last.parse().unwrap())
        };
        line.split(' ').skip(8).map(bounds).map(|(first, last)| last - first + 1).sum()
    }

    #[test]
    fn every_slot_is_on_one_line_of_a_living_node() {
        for (health, masters) in [
            ([Health::Online, Health::Online, Health::Loading], 3),
            ([Health::Online, Health::Failed, Health::Online], 2),
            ([Health::Loading, Health::Failed, Health::Failed], 1),
        ] {
            let text = view(health).nodes();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.iter().map(|line| slots_of(line)).sum::<u16>(), SLOT_COUNT, "{text}");
            assert_eq!(lines.iter().filter(|line| slots_of(line) > 0).count(), masters, "{text}");
            assert!(lines.iter().all(|line| line.contains("fail") == (slots_of(line) == 0)), "{text}");
        }
    }

    #[test]
    fn a_line_of_nodes_has_the_fields_of_redis() {
        let members = vec![member(0, Health::Failed), member(1, Health::Online)];
        let view = View::new(members, NodeIndex(1), ring(2, 2).ranges());
        let expected = "n0 h0:7000@7000 master,fail - 0 0 0 disconnected\n\
                        n1 h1:7001@7001 myself,master - 0 0 0 connected 0-16383\n";
        assert_eq!(view.nodes(), expected);
    }

    #[test]
    fn a_node_that_is_syncing_is_marked_and_stays_a_master() {
        let view = View::new(vec![member(0, Health::Loading)], NodeIndex(0), ring(1, 1).ranges());
        assert_eq!(view.nodes(), "n0 h0:7000@7000 myself,master,loading - 0 0 0 connected 0-16383\n");
    }

    #[test]
    fn a_suspect_is_marked_and_keeps_its_slots() {
        let suspect =
            Member { ping_sent: 1_700_000_000_400, pong_received: 1_700_000_000_000, ..member(0, Health::Suspect) };
        let view = View::new(vec![suspect, member(1, Health::Online)], NodeIndex(1), ring(2, 2).ranges());
        let text = view.nodes();
        let line = text.lines().next().unwrap();
        assert!(line.starts_with("n0 h0:7000@7000 master,fail? - 1700000000400 1700000000000 0 connected "), "{text}");
        assert!(slots_of(line) > 0, "{text}");
        let info = view.info(2);
        assert!(info.starts_with("cluster_state:ok\r\n"), "{info}");
        assert!(info.contains("cluster_slots_ok:0\r\ncluster_slots_pfail:16384\r\ncluster_slots_fail:0\r\n"), "{info}");
        let mut out = Vec::new();
        view.shards(&mut out, Protocol::Resp3);
        assert!(String::from_utf8(out).unwrap().contains("$6\r\nhealth\r\n$6\r\nonline\r\n"));
    }

    #[test]
    fn slots_name_the_nodes_that_can_be_asked() {
        let members = vec![member(0, Health::Failed), member(1, Health::Online)];
        let view = View::new(members, NodeIndex(1), ring(2, 2).ranges());
        let mut out = Vec::new();
        view.slots(&mut out, Protocol::Resp2);
        let expected = "*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n$2\r\nh1\r\n:7001\r\n$2\r\nn1\r\n*0\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_slot_that_nobody_can_be_asked_for_is_still_told() {
        let view = View::new(vec![member(0, Health::Failed)], NodeIndex(0), ring(1, 1).ranges());
        let mut out = Vec::new();
        view.slots(&mut out, Protocol::Resp3);
        let expected = "*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n$2\r\nh0\r\n:7000\r\n$2\r\nn0\r\n%0\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn shards_name_every_node_with_its_health() {
        let members = vec![member(0, Health::Failed), member(1, Health::Loading)];
        let view = View::new(members, NodeIndex(1), ring(2, 2).ranges());
        let mut out = Vec::new();
        view.shards(&mut out, Protocol::Resp3);
        let entry = |number, role: &str, health: &str| {
            format!(
                "%7\r\n$2\r\nid\r\n$2\r\nn{number}\r\n$4\r\nport\r\n:700{number}\r\n$2\r\nip\r\n$2\r\nh{number}\r\n\
                 $8\r\nendpoint\r\n$2\r\nh{number}\r\n$4\r\nrole\r\n${}\r\n{role}\r\n\
                 $18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n${}\r\n{health}\r\n",
                role.len(),
                health.len()
            )
        };
        let expected = format!(
            "*1\r\n%2\r\n$5\r\nslots\r\n*2\r\n:0\r\n:16383\r\n$5\r\nnodes\r\n*2\r\n{}{}",
            entry(1, "master", "loading"),
            entry(0, "replica", "fail")
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn shards_hold_every_slot_once() {
        let view = view([Health::Online; 3]);
        let slots: u16 = view.ranges.iter().map(|(first, last, _)| last - first + 1).sum();
        assert_eq!(slots, SLOT_COUNT);
        assert!(view.ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0 && pair[0].2 != pair[1].2));
    }

    #[test]
    fn the_state_fails_with_the_first_slot_below_its_write_quorum() {
        for (health, write_quorum, state) in [
            ([Health::Online; 3], 3, "ok"),
            ([Health::Online, Health::Online, Health::Failed], 2, "ok"),
            ([Health::Online, Health::Online, Health::Failed], 3, "fail"),
            ([Health::Online, Health::Loading, Health::Failed], 2, "fail"),
        ] {
            let text = view(health).info(write_quorum);
            assert!(text.starts_with(&format!("cluster_state:{state}\r\n")), "{health:?}: {text}");
            assert!(text.contains("cluster_known_nodes:3\r\n"));
        }
    }
}
