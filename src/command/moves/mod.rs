//! RENAME, RENAMENX and COPY, between keys of any slots.
//!
//! What is one step and what is not:
//!
//! * COPY within a slot is one update. So is RENAME within a slot whose keys have one replica: nobody sees anything in
//!   between, and all of it happens or nothing.
//! * Elsewhere no step can have both keys in its hands, so the node that was asked takes several, each an update of one
//!   key: it reads the source, writes the destination, deletes the source if that still holds what was read, and gives
//!   the destination its true expiry. If the source has changed it begins again, a few times at most.
//! * In between, other clients may see the value under both names, never under neither, and the new name with an
//!   expiry that is too late. Their commands may come between the steps: RENAMENX and COPY never write over a key that
//!   somebody else has written, and of several RENAMEs of one key one is done, the others find no such key. If the
//!   source is deleted in the meantime, or keeps changing, the new name is deleted again, unless another RENAME may have
//!   written the same there; what RENAME has written over is gone.
//! * A step that fails ends the command with its error, and a node that dies ends it without a word. The value is then
//!   under the old name or under both, or, if deleting the source is what failed, under one of them at least. It is
//!   never lost: the source is deleted once the destination is on its write quorum, and what is deleted there is what
//!   the same command has placed. RENAME may be asked again; RENAMENX may then find its own destination in the way. A
//!   destination left behind keeps an expiry that is up to four seconds too late, or in a far future in place of none.
//!
//! Keys of several replicas within one slot are renamed in steps as well: an update of two such keys may end half done,
//! with the source deleted and no destination written.

mod sequence;

use std::hash::BuildHasher;

use bytes::Bytes;
use foldhash::quality::FixedState;

use crate::coordinator::{UpdateOrder, UpdateWords};
use crate::ring::Slot;

use super::dispatch::{ClusterWide, Context, Flow};
use super::errors::CommandError;
use super::server::Server;
use super::spec::{CommandId, CommandSpec};
use super::updates::moves::copy_replaces;
use sequence::{Sequence, Step};

/// What is to be moved or copied where to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Move {
    kind: Kind,
    source: Bytes,
    destination: Bytes,
}

impl Move {
    /// The slots of the keys that it updates.
    pub(super) fn slots(&self) -> [Slot; 2] {
        [Slot::of_key(&self.source), Slot::of_key(&self.destination)]
    }
}

/// What distinguishes the three commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Rename,
    RenameNx,
    Copy { replace: bool },
}

impl Context<'_> {
    /// RENAME, RENAMENX, COPY: one update where that is possible, otherwise several.
    pub(super) fn move_key(&mut self, spec: &'static CommandSpec) -> Result<Flow, CommandError> {
        let request = self.request;
        let kind = match spec.id {
            CommandId::Rename => Kind::Rename,
            CommandId::RenameNx => Kind::RenameNx,
            _ => Kind::Copy { replace: copy_replaces(request.args().skip(3))? },
        };
        let (source, destination) = (request.arg(1), request.arg(2));
        let writes_one = source == destination || matches!(kind, Kind::Copy { .. });
        let is_one_step = writes_one || self.server.store.quorum().replicas == 1;
        if is_one_step
            && self.slot == Slot::of_key(destination)
            && let Some(served) = self.update(spec)
        {
            return served;
        }
        let task = Move { kind, source: request.bytes(1), destination: request.bytes(2) };
        Ok(Flow::wait_for(ClusterWide::Move(Box::new(task))))
    }
}

/// Moves or copies in several steps and appends the reply to `out`.
pub(super) async fn carry_out(server: &Server, task: Move, out: &mut Vec<u8>) {
    let (mut sequence, mut order) = Sequence::begin(task, number(server));
    loop {
        match sequence.next(ask(server, order).await) {
            Step::Ask(next) => order = next,
            Step::Answer(answer) => return out.extend_from_slice(&answer),
        }
    }
}

/// A number that no other move of any node has, in all likelihood: that of a version, its bits well mixed.
fn number(server: &Server) -> u64 {
    let replica = &server.store.replica;
    let version = (replica.clock.tick(replica.wall.now()), replica.index, replica.start());
    FixedState::default().hash_one(version)
}

/// Has an update carried out, here if that is where its key is.
async fn ask(server: &Server, order: UpdateOrder) -> Bytes {
    let mut out = Vec::new();
    let is_done = {
        let args: Vec<&[u8]> = order.args.iter().map(|word| &**word).collect();
        let UpdateOrder { slot, protocol, rule, .. } = order;
        let words = UpdateWords { slot, keys: &args[1..2], args: &args, protocol, rule };
        server.store.update_here(&words, server.store.replica.wall.now(), &mut out)
    };
    if is_done {
        return out.into();
    }
    server.store.update(vec![order]).await.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests;
