//! Commands between nodes: by the same door as a client's, then straight to the local store, past the coordinator.
//!
//! Only a connection that has introduced itself as a node of this cluster may use them; otherwise any client could
//! forge a version.

use bytes::Bytes;

use crate::codec::{LARGE_BULK_BYTES, reply};
use crate::peer::{PeerRequest, answer_introduction};

use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::spec::{CommandId, CommandSpec};

/// Which argument of a fresh write is the value.
const VALUE: usize = 2;

/// Serves one command of a peer.
pub(super) fn dispatch(context: &mut Context<'_>, spec: &'static CommandSpec) -> Result<Flow, CommandError> {
    if spec.id == CommandId::RHello {
        return Ok(introduce(context));
    }
    let peer = context.state.peer.ok_or(CommandError::NotIntroduced(spec.name))?;
    let replica = &context.server.store.replica;
    match PeerRequest::parse(context.request) {
        Ok(PeerRequest::Write { key, value: Some(value), version, expires_at }) if value.len() >= LARGE_BULK_BYTES => {
            let value = context.request.to_keep(VALUE).unwrap_or_else(|| Bytes::copy_from_slice(value));
            let reply = replica.keep(context.slot, (key, value), version, expires_at, context.now);
            reply.encode(&mut context.turn.out);
        }
        Ok(PeerRequest::Read { key }) => {
            if let Some(value) = replica.read(context.slot, key, context.now, &mut context.turn.out) {
                context.turn.send_large(value);
            }
        }
        Ok(request) => replica.serve(peer, request, Some(context.slot), context.now, &mut context.turn.out),
        Err(error) => reply::error(&mut context.turn.out, &format!("ERR {error}")),
    }
    Ok(Flow::Next)
}

/// RHELLO: who the connection is, and whether the two nodes belong together. A refusal ends what an earlier
/// introduction allowed.
fn introduce(context: &mut Context<'_>) -> Flow {
    let replica = &context.server.store.replica;
    let args: Vec<&[u8]> = context.request.args().collect();
    let address = &context.client.address;
    let introduced = answer_introduction(&**replica, &args, &mut context.turn.out);
    let refusals = &context.server.refusals;
    match &introduced {
        Ok(peer) => {
            refusals.accepted(address);
            tracing::debug!(peer = %replica.config.nodes[peer.as_usize()].id, %address, "introduced");
        }
        Err(error) if refusals.refused(address, &error.to_string()) => {
            tracing::warn!(%address, %error, "refused a peer's introduction");
        }
        Err(error) => tracing::debug!(%address, %error, "refused a peer's introduction again"),
    }
    let peer = introduced.ok();
    context.state.peer = peer;
    context.client.describe(|about| about.peer = peer);
    Flow::Next
}
