//! CLUSTER LINKS: each node dials each other, so there is a link to and one from every node that is up.

use crate::codec::reply;
use crate::command::dispatch::Context;
use crate::peer::LinkState;
use crate::ring::NodeIndex;

use super::shown_id;

/// One connection between nodes.
struct Link {
    direction: &'static str,
    node: NodeIndex,
    /// In Unix milliseconds.
    since: u64,
}

/// Appends the answer. What waits to be sent is not counted here, so the buffers are told to be empty.
pub(super) fn answer(context: &mut Context<'_>) {
    let links = links(context);
    let nodes = &context.server.store.replica.config.nodes;
    let (out, protocol) = (&mut context.turn.out, context.state.protocol);
    reply::array(out, links.len());
    for Link { direction, node, since } in links {
        reply::map(out, protocol, 6);
        for (name, value) in [("direction", direction), ("node", shown_id(&nodes[node.as_usize()].id).as_str())] {
            reply::bulk(out, name.as_bytes());
            reply::bulk(out, value.as_bytes());
        }
        reply::bulk(out, b"create-time");
        reply::integer(out, i64::try_from(since).unwrap_or(i64::MAX));
        reply::bulk(out, b"events");
        reply::bulk(out, b"rw");
        for name in ["send-buffer-allocated", "send-buffer-used"] {
            reply::bulk(out, name.as_bytes());
            reply::integer(out, 0);
        }
    }
}

fn links(context: &Context<'_>) -> Vec<Link> {
    let (store, now) = (&context.server.store, context.now);
    let others = store.replica.config.node_indices().filter(|&node| node != store.replica.index);
    let to = others.filter_map(|node| {
        let link = store.peers.status(node).filter(|link| link.state == LinkState::Up)?;
        let age = u64::try_from(link.age.as_millis()).unwrap_or(u64::MAX);
        Some(Link { direction: "to", node, since: now.0.saturating_sub(age) })
    });
    let from = context.server.clients.all().into_iter().filter_map(|client| {
        let node = client.description().peer?;
        Some(Link { direction: "from", node, since: client.connected_at.0 })
    });
    to.chain(from).collect()
}
