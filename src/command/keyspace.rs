//! Commands on keys. What this node can answer alone is answered on the spot; the rest is launched with the turn.

use bytes::Bytes;

use crate::codec::{LARGE_BULK_BYTES, Request, reply};
use crate::ring::Slot;
use crate::store::{Lookup, Record};
use crate::time::UnixMs;

use super::dispatch::{ClusterWide, Context, Flow};
use super::errors::CommandError;
use super::expiry::{Unit, parse_set_options};
use super::fields;
use super::part::Part;
use super::reading::{self, Reading};
use super::spec::{CommandId, CommandSpec};
use super::turn::{Fold, PartialFold};

/// Keys of one command that are worked on before other clients get their turn.
const KEYS_PER_TURN_MAX: usize = 1024;

impl Context<'_> {
    /// GET, STRLEN, TYPE, TTL and their kin: one key, one record, one answer.
    pub(super) fn read(&mut self, form: Reading) -> Flow {
        let request = self.request;
        let slot = self.slot;
        if self.turn.has_update_of(slot) {
            return Flow::Barrier;
        }
        self.read_key(request, 1, slot, form);
        Flow::Next
    }

    /// The same for the key at `argument`.
    pub(super) fn read_at(&mut self, argument: usize, form: Reading) -> Flow {
        let request = self.request;
        let slot = Slot::of_key(request.arg(argument));
        if self.turn.has_update_of(slot) {
            return Flow::Barrier;
        }
        self.read_key(request, argument, slot, form);
        Flow::Next
    }

    /// BITFIELD and `BITFIELD_RO`. A BITFIELD that only reads is the same as the other.
    pub(super) fn fields(&mut self, spec: &CommandSpec) -> Result<Flow, CommandError> {
        let request = self.request;
        let steps = fields::parse_steps(request.args().skip(2))?;
        let Some(fields) = fields::only_read(&steps) else {
            let refused = Err(CommandError::BitfieldReadOnly);
            return if spec.id == CommandId::BitField { self.update(spec).unwrap_or(refused) } else { refused };
        };
        if let [field] = fields[..] {
            return Ok(self.read(Reading::Part(Part::Field(field))));
        }
        let slot = self.slot;
        if self.turn.has_write_of(slot) {
            return Ok(Flow::Barrier);
        }
        let out = &mut self.turn.out;
        let here = self.server.store.read_here_for(self.state.quorum, slot, request.arg(1), self.now, |lookup| {
            fields::tell(&fields, lookup.live().and_then(Record::value).unwrap_or_default(), out);
        });
        Ok(match here {
            Some(()) => Flow::Next,
            None => Flow::wait_for(ClusterWide::ReadFields { key: request.bytes(1), fields }),
        })
    }

    #[inline]
    fn read_key(&mut self, request: &Request<'_>, argument: usize, slot: Slot, form: Reading) {
        let (turn, protocol) = (&mut *self.turn, self.state.protocol);
        if turn.read_own(slot, request.arg(argument), self.now) {
            return turn.note(1, Fold::Read(form), protocol);
        }
        let (store, quorum) = (&self.server.store, self.state.quorum);
        let here = store.read_here_for(quorum, slot, request.arg(argument), self.now, |lookup| {
            match lookup.live().filter(|_| form == Reading::Value).and_then(Record::large_value) {
                None => reading::lookup(form, lookup, protocol, &mut turn.out),
                Some(value) => turn.send_large(value),
            }
        });
        if here.is_none() {
            self.turn.read(slot, request.bytes(argument));
            self.turn.note(1, Fold::Read(form), protocol);
        }
    }

    /// MGET. A failure of one key fails the whole, unless the keys are too many for one turn: then it stands in that
    /// key's place.
    pub(super) fn read_many(&mut self) -> Flow {
        let (request, from) = (self.request, self.from.max(1));
        let (end, until) = self.share(request, from, 1);
        if (from..end).any(|argument| self.turn.has_update_of(Slot::of_key(request.arg(argument)))) {
            return Flow::Barrier;
        }
        let (at, first) = (self.turn.out.len(), self.turn.notes());
        if from == 1 {
            reply::array(&mut self.turn.out, request.len() - 1);
        }
        for argument in from..end {
            if argument > from && self.turn.is_full() {
                return Flow::More(argument);
            }
            self.read_key(request, argument, Slot::of_key(request.arg(argument)), Reading::Value);
        }
        if from == 1 && until == Until::End && self.turn.notes() > first {
            self.turn.note_whole(at, first, self.state.protocol);
        }
        until.flow(end)
    }

    /// EXISTS: every mention of a key that has a value counts.
    pub(super) fn count_existing(&mut self) -> Flow {
        let (request, from) = (self.request, self.from.max(1));
        let (end, until) = self.share(request, from, 1);
        if (from..end).any(|argument| self.turn.has_update_of(Slot::of_key(request.arg(argument)))) {
            return Flow::Barrier;
        }
        let (mut launched, mut counted) = (0, 0);
        for argument in from..end {
            if argument > from && self.turn.is_full() {
                self.conclude((launched, counted), Until::More, Fold::Existing, PartialFold::Existing);
                return Flow::More(argument);
            }
            let slot = Slot::of_key(request.arg(argument));
            if self.turn.read_own(slot, request.arg(argument), self.now) {
                launched += 1;
                continue;
            }
            let is_live = |lookup: Lookup<'_>| lookup.live().is_some();
            let (store, quorum) = (&self.server.store, self.state.quorum);
            match store.read_here_for(quorum, slot, request.arg(argument), self.now, is_live) {
                Some(live) => counted += i64::from(live),
                None => {
                    self.turn.read(slot, request.bytes(argument));
                    launched += 1;
                }
            }
        }
        self.conclude((launched, counted), until, Fold::Existing, PartialFold::Existing);
        until.flow(end)
    }

    /// DEL, UNLINK: counts the keys that had a value.
    pub(super) fn delete(&mut self) -> Flow {
        let (request, from) = (self.request, self.from.max(1));
        let (end, until) = self.share(request, from, 1);
        if (from..end).any(|argument| self.turn.has_read_of(Slot::of_key(request.arg(argument)))) {
            return Flow::Barrier;
        }
        let (mut launched, mut counted) = (0, 0);
        for argument in from..end {
            let slot = Slot::of_key(request.arg(argument));
            match self.server.store.write_here(slot, request.arg(argument), None, None, self.now) {
                Some(before) => counted += i64::from(before.live),
                None => {
                    self.turn.write(slot, request.bytes(argument), None, None);
                    launched += 1;
                }
            }
        }
        self.conclude((launched, counted), until, Fold::Deleted, PartialFold::Deleted);
        until.flow(end)
    }

    /// MSET: each pair is a write of its own; `OK` once all have their quorum.
    pub(super) fn write_many(&mut self) -> Result<Flow, CommandError> {
        let (request, from) = (self.request, self.from.max(1));
        if request.len() % 2 == 0 {
            return Err(CommandError::WrongArity("mset"));
        }
        let (end, until) = self.share(request, from, 2);
        let keys = (from..end).step_by(2);
        if keys.clone().any(|argument| self.turn.has_read_of(Slot::of_key(request.arg(argument)))) {
            return Ok(Flow::Barrier);
        }
        let mut launched = 0;
        for argument in keys {
            let slot = Slot::of_key(request.arg(argument));
            launched += usize::from(self.write_key(request, (argument, argument + 1), slot, None));
        }
        self.conclude((launched, 0), until, Fold::Stored, PartialFold::Stored);
        Ok(until.flow(end))
    }

    /// SET. With NX, XX, GET, KEEPTTL or IFEQ it depends on what the key holds, and is an update.
    #[inline]
    pub(super) fn write(&mut self, spec: &CommandSpec) -> Result<Flow, CommandError> {
        match self.request.len() {
            3 => Ok(self.write_alone(2, None)),
            _ => self.write_as_told(spec),
        }
    }

    /// SET with options.
    #[inline(never)]
    fn write_as_told(&mut self, spec: &CommandSpec) -> Result<Flow, CommandError> {
        let options = parse_set_options(self.request.args().skip(3), self.now)?;
        match options.depends() {
            true => self.update(spec).expect("SET has a rule"),
            false => Ok(self.write_alone(2, options.expiry.after(None))),
        }
    }

    /// SETEX key seconds value; PSETEX key milliseconds value.
    pub(super) fn write_for(&mut self, spec: &CommandSpec, unit: Unit) -> Result<Flow, CommandError> {
        let expires_at = unit.expiry(self.request.arg(2), self.now, spec.name)?;
        Ok(self.write_alone(3, Some(expires_at)))
    }

    /// GETEX. Without options it is a GET.
    pub(super) fn read_or_expire(&mut self, spec: &CommandSpec) -> Result<Flow, CommandError> {
        match self.request.len() {
            2 => Ok(self.read(Reading::Value)),
            _ => self.update(spec).expect("GETEX has a rule"),
        }
    }

    /// MSETNX. What is wrong with the number of words outranks keys of several slots.
    pub(super) fn write_many_if_none(&mut self, spec: &CommandSpec) -> Result<Flow, CommandError> {
        match self.request.len() % 2 {
            0 => Err(CommandError::WrongArity(spec.name)),
            _ => self.update(spec).expect("MSETNX has a rule"),
        }
    }

    /// Writes the value at argument `value` to the only key, and answers `OK`.
    #[inline(never)]
    fn write_alone(&mut self, value: usize, expires_at: Option<UnixMs>) -> Flow {
        let (request, slot) = (self.request, self.slot);
        if self.turn.has_read_of(slot) {
            return Flow::Barrier;
        }
        match self.write_key(request, (1, value), slot, expires_at) {
            true => self.turn.note(1, Fold::Stored, self.state.protocol),
            false => reply::ok(&mut self.turn.out),
        }
        Flow::Next
    }

    /// Writes the pair of these arguments; whether it was launched rather than done on the spot.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a call takes a quarter of all that it does")]
    fn write_key(
        &mut self,
        request: &Request<'_>,
        pair: (usize, usize),
        slot: Slot,
        expires_at: Option<UnixMs>,
    ) -> bool {
        let (key, value) = (request.arg(pair.0), request.arg(pair.1));
        if value.len() >= LARGE_BULK_BYTES {
            return self.write_large(request, pair, slot, expires_at);
        }
        if self.server.store.write_here(slot, key, Some(value), expires_at, self.now).is_some() {
            return false;
        }
        let value: Bytes = request.bytes(pair.1);
        self.turn.write(slot, request.bytes(pair.0), Some(value), expires_at);
        true
    }

    /// The same for a large value, which stays where it was received if nothing else lies there.
    #[cold]
    fn write_large(
        &mut self,
        request: &Request<'_>,
        pair: (usize, usize),
        slot: Slot,
        expires_at: Option<UnixMs>,
    ) -> bool {
        let key = request.arg(pair.0);
        let value = request.to_keep(pair.1).unwrap_or_else(|| Bytes::copy_from_slice(request.arg(pair.1)));
        if self.server.store.keep_here(slot, key, &value, expires_at, self.now).is_some() {
            return false;
        }
        self.turn.write(slot, Bytes::copy_from_slice(key), Some(value), expires_at);
        true
    }

    /// How far this turn gets with a command of many keys, `step` arguments each.
    fn share(&self, request: &Request<'_>, from: usize, step: usize) -> (usize, Until) {
        let keys = KEYS_PER_TURN_MAX.min(self.turn.room().max(1));
        let end = from.saturating_add(keys * step);
        if end < request.len() { (end, Until::More) } else { (request.len(), Until::End) }
    }

    /// Notes what has to come of so many launched operations and keys counted on the spot: the reply, or a part of it.
    fn conclude(&mut self, (launched, counted): (usize, i64), until: Until, whole: Fold, part: PartialFold) {
        let fold = if until == Until::End { whole } else { Fold::Partial(part) };
        self.turn.note_counted(launched, counted, fold, self.state.protocol);
    }
}

/// Whether a command's last key was reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    End,
    More,
}

impl Until {
    fn flow(self, end: usize) -> Flow {
        match self {
            Self::End => Flow::Next,
            Self::More => Flow::More(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    #[test]
    fn counts_of_one_pipeline_do_not_run_into_each_other() {
        let mut bench = Bench::single_node();
        let answers =
            bench.ask_together(&["MSET a 1 b 2 c 3", "EXISTS a b", "EXISTS c x", "DEL a b x", "DEL c", "DEL c"]);
        assert_eq!(answers, "+OK\r\n:2\r\n:1\r\n:2\r\n:1\r\n:0\r\n");
    }
}
