//! Commands whose outcome depends on what a key holds: the table of their rules, and the way from a request to one.
//!
//! A rule is a plain function of the command's words and what its keys hold; [`crate::coordinator`] sees to it that nothing
//! comes in between. What is wrong with the words is found by the rule, too, so that there is one place for each
//! command and errors come in Redis' order. Nothing changes where a rule reports an error.

mod bitfield;
mod bits;
mod counters;
mod floats;
mod lifetime;
pub(super) mod moves;
mod restore;
mod set;
mod strings;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::codec::{Protocol, reply};
use crate::coordinator::{Change, Held, UpdateOrder, UpdateWords, Work};
use crate::ring::Slot;
use crate::time::UnixMs;

use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::spec::{CommandId, CommandSpec};
use super::table;

/// The longest value that a command may make, which is Redis' own limit.
const VALUE_BYTES_MAX: usize = 512 << 20;

/// What one update does to its keys.
type Effect = fn(&mut Work<'_>) -> Result<(), CommandError>;

/// What this command does to its keys, if it is an update.
fn effect_of(command: CommandId) -> Option<Effect> {
    use CommandId as Id;
    Some(match command {
        Id::Incr => counters::incr,
        Id::Decr => counters::decr,
        Id::IncrBy => counters::incr_by,
        Id::DecrBy => counters::decr_by,
        Id::Expire => lifetime::expire,
        Id::PExpire => lifetime::pexpire,
        Id::ExpireAt => lifetime::expire_at,
        Id::PExpireAt => lifetime::pexpire_at,
        Id::Persist => lifetime::persist,
        Id::Restore => restore::restore,
        Id::Set => set::set,
        Id::SetNx => set::set_nx,
        Id::GetSet => set::get_set,
        Id::GetDel => set::get_del,
        Id::GetEx => set::get_ex,
        Id::MSetNx => set::mset_nx,
        Id::Append => strings::append,
        Id::IncrByFloat => floats::incr_by_float,
        Id::SetRange => strings::set_range,
        Id::SetBit => bits::set_bit,
        Id::BitOp => bits::bit_op,
        Id::BitField => bitfield::bit_field,
        Id::Rename => moves::rename,
        Id::RenameNx => moves::rename_nx,
        Id::Copy => moves::copy,
        Id::RHold => moves::hold_step,
        Id::RPlace => moves::place_step,
        Id::RTake => moves::take_step,
        Id::RSettle => moves::settle_step,
        _ => return None,
    })
}

/// The rule of all updates: finds the command's own by its name.
fn rule(work: &mut Work<'_>) {
    let effect = table::resolve(work.args.iter().copied())
        .and_then(|spec| effect_of(spec.id).ok_or_else(|| CommandError::unknown_command(work.args[0], [])));
    if let Err(error) = effect.and_then(|effect| effect(work)) {
        work.changes.clear();
        reply::error(work.out, &error.to_string());
    }
}

/// Reads an update that another node has carried here.
///
/// # Errors
/// What is wrong with it, as its client is told.
pub fn parse_update(args: Vec<Bytes>, protocol: Protocol) -> Result<UpdateOrder, String> {
    let spec = table::resolve(args.iter().map(|word| &**word)).map_err(|error| error.to_string())?;
    let (Some(_), Some(keys)) = (effect_of(spec.id), spec.keys) else {
        return Err(CommandError::unknown_command(&args[0], []).to_string());
    };
    let keys: SmallVec<[Bytes; 1]> = keys.positions(args.len()).map(|position| args[position].clone()).collect();
    let slot = Slot::of_key(&keys[0]);
    if keys.iter().any(|key| Slot::of_key(key) != slot) {
        return Err(CommandError::CrossSlot.to_string());
    }
    Ok(UpdateOrder { slot, keys, args, protocol, rule })
}

impl Context<'_> {
    /// Serves a command that reads and writes its keys in one step; `None` if `spec` is not such a command.
    pub(super) fn update(&mut self, spec: &CommandSpec) -> Option<Result<Flow, CommandError>> {
        let effect = effect_of(spec.id)?;
        let keys = spec.keys?;
        let request = self.request;
        let args: SmallVec<[&[u8]; 8]> = request.args().collect();
        let positions: SmallVec<[usize; 4]> = keys.positions(request.len()).collect();
        let slot = if positions[0] == 1 { self.slot } else { Slot::of_key(request.arg(positions[0])) };
        if positions[1..].iter().any(|&position| Slot::of_key(request.arg(position)) != slot) {
            return Some(Err(mistake_in(effect, &args, positions.len()).unwrap_or(CommandError::CrossSlot)));
        }
        if !self.turn.may_update(slot) {
            return Some(Ok(Flow::Barrier));
        }
        let key_args: SmallVec<[&[u8]; 4]> = positions.iter().map(|&position| args[position]).collect();
        let (store, protocol, now) = (&self.server.store, self.state.protocol, self.now);
        let words = UpdateWords { slot, keys: &key_args, args: &args, protocol, rule };
        if !store.update_here(&words, now, &mut self.turn.out) {
            self.turn.update(UpdateOrder {
                slot,
                keys: positions.iter().map(|&position| request.bytes(position)).collect(),
                args: (0..request.len()).map(|index| request.bytes(index)).collect(),
                protocol,
                rule,
            });
        }
        Some(Ok(Flow::Next))
    }
}

/// An error unless a value of so many bytes may be kept.
fn within_limit(bytes: usize) -> Result<(), CommandError> {
    if bytes > VALUE_BYTES_MAX { Err(CommandError::ValueTooLong) } else { Ok(()) }
}

/// What is wrong with the words of an update, whatever its keys hold.
fn mistake_in(effect: Effect, args: &[&[u8]], keys: usize) -> Option<CommandError> {
    let (held, mut out) = (vec![None; keys], Vec::new());
    let protocol = Protocol::default();
    effect(&mut Work { args, held: &held, now: UnixMs(0), protocol, changes: SmallVec::new(), out: &mut out }).err()
}

/// What rules say, in Redis' words and shapes.
pub(super) trait Reply<'a> {
    /// What the first key holds.
    fn first(&self) -> Option<Held<'a>>;
    /// The key at `position` holds this from now on.
    fn put(&mut self, position: usize, value: impl Into<Bytes>, expires_at: Option<UnixMs>);
    /// The key at `position` holds nothing any more.
    fn delete(&mut self, position: usize);
    /// Answers with an integer.
    fn integer(&mut self, number: i64);
    /// Answers with a length or position.
    fn length(&mut self, length: usize);
    /// Answers with a bulk string.
    fn bulk(&mut self, bytes: &[u8]);
    /// Answers nil.
    fn null(&mut self);
    /// Answers `OK`.
    fn ok(&mut self);
}

impl<'a> Reply<'a> for Work<'a> {
    fn first(&self) -> Option<Held<'a>> {
        self.held.first().copied().flatten()
    }

    fn put(&mut self, position: usize, value: impl Into<Bytes>, expires_at: Option<UnixMs>) {
        self.changes.push((position, Change::Put { value: value.into(), expires_at }));
    }

    fn delete(&mut self, position: usize) {
        self.changes.push((position, Change::Delete));
    }

    fn integer(&mut self, number: i64) {
        reply::integer(self.out, number);
    }

    fn length(&mut self, length: usize) {
        reply::integer(self.out, i64::try_from(length).unwrap_or(i64::MAX));
    }

    fn bulk(&mut self, bytes: &[u8]) {
        reply::bulk(self.out, bytes);
    }

    fn null(&mut self) {
        reply::null(self.out, self.protocol);
    }

    fn ok(&mut self) {
        reply::simple(self.out, "OK");
    }
}
