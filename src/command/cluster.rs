//! CLUSTER: the ring, told in the words of Redis Cluster.
//!
//! A client that knows Redis Cluster finds in these answers which node to ask for a slot, and so asks one that keeps the
//! key: no hop between nodes. It need not, since any node answers for any key, and it is never redirected. Redis
//! Cluster has one master per slot and replicas that do not take writes; here all replicas of a slot are equal. So the
//! "master" is merely the first of the slot's preference list that this node can reach: when a node dies, clients
//! that ask again are told the next one, without a failover. Nodes that this node cannot reach come last where Redis
//! names failed nodes too (NODES, SHARDS), and are left out where it does not (SLOTS). One that is slow to
//! answer is marked as Redis marks it, `fail?`, and keeps its place: it may be all right in a moment.
//!
//! Node ids are 40 hexadecimal digits made of the node's name, so every node tells the same.

#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature, whether they can fail or not")]

mod links;
mod view;

use std::time::Duration;

use redis_protocol::resp3::types::VerbatimStringFormat;

use crate::codec::reply;
use crate::config::NodeConfig;
use crate::peer::{self, LinkStatus};
use crate::ring::{NodeId, NodeIndex, Slot, Token};
use crate::time::UnixMs;

use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::integer::parse_i64;

use view::{Health, Member, View};

/// Keys that one CLUSTER GETKEYSINSLOT gives out at most.
const LISTED_KEYS_MAX: usize = 10_000;

/// CLUSTER KEYSLOT: the slot of a key.
pub(super) fn key_slot(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    Ok(context.integer(Slot::of_key(context.request.arg(2)).number().into()))
}

/// CLUSTER COUNTKEYSINSLOT: the keys of a slot that this node holds; 0 if it is none of the slot's replicas.
pub(super) fn count_keys_in_slot(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let number = parse_i64(context.request.arg(2)).ok_or(CommandError::NotAnInteger)?;
    let slot = u16::try_from(number).ok().and_then(Slot::new).ok_or(CommandError::InvalidSlot)?;
    let keys = context.server.store.replica.store.live_keys(slot);
    Ok(context.integer(i64::try_from(keys).unwrap_or(i64::MAX)))
}

/// CLUSTER GETKEYSINSLOT: so many keys of a slot, of those that this node holds, in no order. More than
/// [`LISTED_KEYS_MAX`] are not given out at a time.
pub(super) fn get_keys_in_slot(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let [slot, count] = [2, 3].map(|position| parse_i64(context.request.arg(position)));
    let (slot, count) = slot.zip(count).ok_or(CommandError::NotAnInteger)?;
    let slot = u16::try_from(slot).ok().and_then(Slot::new).ok_or(CommandError::InvalidSlotOrCount)?;
    let count = usize::try_from(count).map_err(|_| CommandError::InvalidSlotOrCount)?.min(LISTED_KEYS_MAX);
    let store = &context.server.store.replica.store;
    let (mut keys, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next.filter(|_| keys.len() < count) {
        let page = store.page(slot, from, context.now);
        keys.extend(page.records.into_iter().filter(|record| !record.is_gone).map(|record| record.key));
        next = page.next;
    }
    keys.truncate(count);
    reply::array(&mut context.turn.out, keys.len());
    for key in &keys {
        reply::bulk(&mut context.turn.out, key);
    }
    Ok(Flow::Next)
}

/// CLUSTER REPLICAS: none, since every node is a master; the id has to be a node's.
pub(super) fn replicas(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let id = context.request.arg(2);
    let nodes = &context.server.store.replica.config.nodes;
    if !nodes.iter().any(|node| shown_id(&node.id).as_bytes() == id) {
        return Err(CommandError::unknown_node(id));
    }
    reply::array(&mut context.turn.out, 0);
    Ok(Flow::Next)
}

/// CLUSTER LINKS: the connections between this node and the others.
pub(super) fn links(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    links::answer(context);
    Ok(Flow::Next)
}

/// CLUSTER MYID: this node's id.
pub(super) fn my_id(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let replica = &context.server.store.replica;
    let id = shown_id(&replica.config.nodes[replica.index.as_usize()].id);
    Ok(context.bulk(id))
}

/// CLUSTER INFO: whether every slot has enough nodes for a write, as this node sees it.
pub(super) fn info(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let text = view(context).info(context.server.store.replica.config.write_quorum);
    Ok(verbatim(context, &text))
}

/// CLUSTER NODES: a line for each node, with the slots that clients are to ask it for.
pub(super) fn nodes(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let text = view(context).nodes();
    Ok(verbatim(context, &text))
}

/// CLUSTER SLOTS: the ranges of slots, each with the nodes to ask.
pub(super) fn slots(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let view = view(context);
    view.slots(&mut context.turn.out, context.state.protocol);
    Ok(Flow::Next)
}

/// CLUSTER SHARDS: the sets of nodes that keep slots together, each with its slots.
pub(super) fn shards(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let view = view(context);
    view.shards(&mut context.turn.out, context.state.protocol);
    Ok(Flow::Next)
}

fn verbatim(context: &mut Context<'_>, text: &str) -> Flow {
    reply::verbatim(&mut context.turn.out, context.state.protocol, &VerbatimStringFormat::Text, text.as_bytes());
    Flow::Next
}

/// The ring as this node sees it at the moment.
fn view(context: &Context<'_>) -> View {
    let (server, replica) = (context.server, &context.server.store.replica);
    let member = |(index, node): (NodeIndex, &NodeConfig)| {
        let (mut host, mut port) = split_address(node.announced());
        if index == replica.index {
            // A node on its own may be bound to any address and to any free port; the client knows one that works.
            if is_wildcard(&host) {
                host = split_address(&context.client.local_address).0;
            }
            port = if port == 0 { server.port } else { port };
        }
        let (ping_sent, pong_received) =
            server.store.peers.status(index).map_or((0, 0), |link| heard(&link, context.now));
        Member { id: shown_id(&node.id), host, port, health: health(context, index), ping_sent, pong_received }
    };
    let members = replica.config.node_indices().zip(&replica.config.nodes).map(member).collect();
    View::new(members, replica.index, replica.ring.ranges())
}

/// How this node sees `node`.
fn health(context: &Context<'_>, node: NodeIndex) -> Health {
    let store = &context.server.store;
    let is_me = node == store.replica.index;
    let is_syncing = if is_me { store.replica.syncing.count() > 0 } else { store.replica.is_peer_syncing(node) };
    match store.peers.health(node) {
        peer::Health::Down if !is_me => Health::Failed,
        _ if is_syncing => Health::Loading,
        peer::Health::Suspect => Health::Suspect,
        peer::Health::Alive | peer::Health::Down => Health::Online,
    }
}

/// In Unix milliseconds when the oldest open question was asked, and when the node was last heard; 0 if there is no
/// such time.
fn heard(link: &LinkStatus, now: UnixMs) -> (u64, u64) {
    let at = |ago: Option<Duration>| {
        ago.map_or(0, |ago| now.0.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)))
    };
    (at(link.asked_ago), at(link.heard_ago))
}

/// The 40 hexadecimal digits by which cluster-aware clients know a node.
fn shown_id(node: &NodeId) -> String {
    let [first, second, third] = [0, 1, 2].map(|part| Token::of_label(&format!("{node} {part}")).0);
    format!("{first:016x}{second:016x}{:08x}", third >> 32)
}

/// Host, without the brackets of an IPv6 address, and port.
fn split_address(address: &str) -> (String, u16) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    (host.trim_start_matches('[').trim_end_matches(']').to_owned(), port.parse().unwrap_or_default())
}

fn is_wildcard(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "::")
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    #[test]
    fn ids_are_distinct_stable_and_of_forty_digits() {
        let ids: Vec<String> = ["node-1", "node-2", "node-11"].map(|name| shown_id(&NodeId::from(name))).into();
        assert!(ids.iter().all(|id| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit())), "{ids:?}");
        assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
        assert_eq!(ids[0], shown_id(&NodeId::from("node-1")));
    }

    #[test]
    fn addresses_are_told_without_brackets() {
        assert_eq!(split_address("[::1]:7001"), ("::1".to_owned(), 7001));
        assert_eq!(split_address("db-1.example:80"), ("db-1.example".to_owned(), 80));
    }

    #[test]
    fn slots_are_read_as_strictly_as_redis_reads_them() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("CLUSTER KEYSLOT foo"), ":12182\r\n");
        assert_eq!(bench.ask("CLUSTER COUNTKEYSINSLOT 12182"), ":0\r\n");
        for slot in ["-1", "16384", "99999"] {
            assert_eq!(bench.ask(&format!("CLUSTER COUNTKEYSINSLOT {slot}")), "-ERR Invalid slot\r\n");
        }
        let error = "-ERR value is not an integer or out of range\r\n";
        assert_eq!(bench.ask("CLUSTER COUNTKEYSINSLOT abc"), error);
    }

    #[test]
    fn the_keys_of_a_slot_are_listed_as_far_as_asked() {
        let mut bench = Bench::single_node();
        bench.ask("MSET {foo}1 a {foo}2 b foo c other d");
        bench.ask("DEL foo");
        let keys = |answer: String| answer.lines().filter(|line| line.starts_with("{foo}")).count();
        assert_eq!(keys(bench.ask("CLUSTER GETKEYSINSLOT 12182 10")), 2);
        assert_eq!(keys(bench.ask("CLUSTER GETKEYSINSLOT 12182 1")), 1);
        assert_eq!(bench.ask("CLUSTER GETKEYSINSLOT 12182 0"), "*0\r\n");
        for (request, error) in [
            ("CLUSTER GETKEYSINSLOT x 1", "ERR value is not an integer or out of range"),
            ("CLUSTER GETKEYSINSLOT 1 x", "ERR value is not an integer or out of range"),
            ("CLUSTER GETKEYSINSLOT 1 -1", "ERR Invalid slot or number of keys"),
            ("CLUSTER GETKEYSINSLOT 99999 1", "ERR Invalid slot or number of keys"),
            ("CLUSTER REPLICAS x", "ERR Unknown node x"),
        ] {
            assert_eq!(bench.ask(request), format!("-{error}\r\n"), "{request}");
        }
        let id = shown_id(&NodeId::from("node-1"));
        assert_eq!(bench.ask(&format!("CLUSTER REPLICAS {id}")), "*0\r\n");
    }

    #[test]
    fn links_go_to_and_come_from_the_nodes_that_are_up() {
        let mut bench = Bench::three_nodes();
        assert_eq!(bench.ask("CLUSTER LINKS"), "*0\r\n");
        bench.peers.set(NodeIndex(1), true);
        bench.connect().describe(|about| about.peer = Some(NodeIndex(2)));
        let link = |direction: &str, node: &str, since: u64| {
            format!(
                "*12\r\n$9\r\ndirection\r\n${}\r\n{direction}\r\n$4\r\nnode\r\n$40\r\n{}\r\n$11\r\ncreate-time\r\n:{since}\r\n\
                 $6\r\nevents\r\n$2\r\nrw\r\n$21\r\nsend-buffer-allocated\r\n:0\r\n$16\r\nsend-buffer-used\r\n:0\r\n",
                direction.len(),
                shown_id(&NodeId::from(node)),
            )
        };
        let to = link("to", "node-2", 1_700_000_000_123 - 1500);
        let from = link("from", "node-3", 1_700_000_000_123);
        assert_eq!(bench.ask("CLUSTER LINKS"), format!("*2\r\n{to}{from}"));
        bench.ask("HELLO 3");
        assert!(bench.ask("CLUSTER LINKS").starts_with("*2\r\n%6\r\n$9\r\ndirection\r\n"));
    }

    #[test]
    fn nodes_see_themselves_and_their_links() {
        let mut bench = Bench::three_nodes();
        bench.peers.set(NodeIndex(1), true);
        let text = bench.ask("CLUSTER NODES");
        let id = shown_id(&NodeId::from("node-1"));
        assert!(text.contains(&format!("{id} 127.0.0.1:7001@7001 myself,master,loading - 0 0 0 connected ")), "{text}");
        assert!(text.contains(" 127.0.0.1:7002@7002 master - 0 0 0 connected "), "{text}");
        assert!(text.contains(" 127.0.0.1:7003@7003 master,fail - 0 0 0 disconnected\n"), "{text}");
        assert_eq!(bench.ask("CLUSTER MYID"), format!("$40\r\n{id}\r\n"));
    }

    #[test]
    fn a_node_bound_to_every_address_is_told_by_the_one_that_the_client_used() {
        let mut bench = Bench::bound_to("0.0.0.0:0");
        let text = bench.ask("CLUSTER SLOTS");
        assert!(text.contains("$9\r\n127.0.0.1\r\n:7001\r\n"), "{text}");
    }
}
