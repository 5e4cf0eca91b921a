//! One turn of a session: what a client sent in one piece is decoded and dispatched before anything is awaited.
//!
//! Answers keep the order of the requests, yet all remote work of the turn runs at once. So replies that are known at
//! once are written to [`Turn::out`], and for each that is not a note remembers where it belongs and which outcomes it
//! is folded from. When the batch has settled, [`Turn::finish`] puts the replies together.

use bytes::Bytes;

use crate::codec::{Protocol, reply};
use crate::coordinator::{
    Before, Found, Operation, OperationKind, Operations, Outcome, Outcomes, Quorum, QuorumError, UpdateOrder,
    WrittenSlots,
};
use crate::ring::Slot;
use crate::store::LARGE_BYTES;
use crate::time::UnixMs;

use super::assembly::{Assembly, LargeValue, push_large};
use super::own_reads::OwnReads;
use super::own_updates::OwnUpdates;
use super::pace::ReadPace;
use super::reading::{self, Reading};
use super::spec::CommandId;
use super::watch::{Meter, error_code};

/// Operations that one turn may launch. What is over waits for the next turn, so that one client's pipeline cannot
/// occupy the node, nor its answers the memory.
const OPERATIONS_MAX: usize = 1024;

/// What a short reply takes; for a first guess at the size of all.
const SHORT_REPLY_BYTES: usize = 8;

/// Bytes of replies after which a turn ends, so that they are sent before more are made.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// How the outcomes of a command's operations become its reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fold {
    /// One read, answered in this way.
    Read(Reading),
    /// Reads whose live records are counted, on top of what is in [`Turn::tally`].
    Existing,
    /// Deletions of live records are counted, on top of what is in [`Turn::tally`].
    Deleted,
    /// Writes: `OK` once all are done.
    Stored,
    /// The next update: its reply is made already.
    Updated,
    /// Part of a command with many keys: counts or failures go to [`Turn::tally`], nothing is answered yet.
    Partial(PartialFold),
    /// If one of the following `members` replies is an error, it stands for all bytes up to `until`.
    Whole {
        /// Where the replies end, in [`Turn::out`].
        until: usize,
        /// How many notes follow that belong to it.
        members: usize,
    },
}

/// What a part of a command with many keys counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PartialFold {
    /// As [`Fold::Existing`].
    Existing,
    /// As [`Fold::Deleted`].
    Deleted,
    /// As [`Fold::Stored`].
    Stored,
}

/// Room for so many notes is kept from turn to turn, however few a turn has.
const NOTES_KEPT: usize = 64;

/// A reply that has to be made once outcomes are known.
#[derive(Clone, Copy, Debug)]
struct Note {
    /// Which command is answered.
    command: CommandId,
    /// Where it belongs in [`Turn::out`].
    at: usize,
    operations: usize,
    /// Keys counted on the spot, on top of what the operations come to.
    counted: i64,
    fold: Fold,
    protocol: Protocol,
}

/// What a command with more keys than a turn may launch has come to so far.
#[derive(Debug, Default)]
struct Tally {
    /// Keys counted.
    count: i64,
    /// The first failure.
    failure: Option<QuorumError>,
}

/// One turn in the making.
#[derive(Debug, Default)]
pub struct Turn {
    /// Replies known at once.
    pub(crate) out: Vec<u8>,
    /// What belongs between these bytes, in order, and how much that is.
    large: Vec<LargeValue>,
    large_bytes: usize,
    /// Which commands it has had, for the statistics.
    pub(crate) meter: Meter,
    notes: Vec<Note>,
    operations: Operations,
    /// Reads that are answered by writes among the operations.
    own_reads: OwnReads,
    /// Their order is kept, yet they run beside the operations.
    updates: Vec<UpdateOrder>,
    /// The slots of the reads and of the writes among the operations.
    read_slots: Vec<Slot>,
    write_slots: Vec<Slot>,
    /// How many reads may be among them, learnt from turn to turn.
    pace: ReadPace,
    /// Where this connection has written since WAIT last found all replicas equal.
    pub(crate) written: WrittenSlots,
    /// Where it has updated lately.
    pub(crate) updated: OwnUpdates,
    /// Kept across the turns of one command with many keys. Changes only while replies are put together, in order.
    tally: Tally,
}

impl Turn {
    /// Launches a read of `key`. Its outcome belongs to the next note.
    pub(crate) fn read(&mut self, slot: Slot, key: Bytes) {
        self.read_slots.push(slot);
        self.operations.push(Operation { slot, key, kind: OperationKind::Read });
    }

    /// If a write of `key` was launched in this turn, that answers a read of it, whose outcome belongs to the next note.
    #[inline]
    pub(crate) fn read_own(&mut self, slot: Slot, key: &[u8], now: UnixMs) -> bool {
        !self.write_slots.is_empty() && self.read_written(slot, key, now)
    }

    #[inline(never)]
    fn read_written(&mut self, slot: Slot, key: &[u8], now: UnixMs) -> bool {
        self.write_slots.contains(&slot) && self.own_reads.add(&self.operations, key, now)
    }

    /// Launches a write of `key`. Its outcome belongs to the next note.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "an operation is made where it stays, and not moved there")]
    pub(crate) fn write(&mut self, slot: Slot, key: Bytes, value: Option<Bytes>, expires_at: Option<UnixMs>) {
        self.write_slots.push(slot);
        self.operations.push(Operation { slot, key, kind: OperationKind::Write { value, expires_at } });
    }

    /// Launches an update; its reply belongs here.
    pub(crate) fn update(&mut self, order: UpdateOrder) {
        self.note(0, Fold::Updated, order.protocol);
        self.updates.push(order);
    }

    /// Answers with a value that is too large to be copied.
    #[cold]
    pub(crate) fn send_large(&mut self, value: Bytes) {
        self.large_bytes += value.len();
        push_large(&mut self.out, &mut self.large, value);
    }

    /// What is to be sent between the bytes of [`Turn::out`].
    pub(crate) fn take_large(&mut self) -> Vec<LargeValue> {
        self.large_bytes = 0;
        std::mem::take(&mut self.large)
    }

    /// Notes that a reply belongs here, folded from the last `operations` operations launched.
    pub(crate) fn note(&mut self, operations: usize, fold: Fold, protocol: Protocol) {
        self.note_counted(operations, 0, fold, protocol);
    }

    /// As [`Turn::note`], for a reply that counts keys, `counted` of them already. Such a count must not go to
    /// [`Turn::tally`] at once: the replies before this one are not made yet.
    pub(crate) fn note_counted(&mut self, operations: usize, counted: i64, fold: Fold, protocol: Protocol) {
        let command = self.meter.current().id;
        self.notes.push(Note { command, at: self.out.len(), operations, counted, fold, protocol });
    }

    /// Where the next note will stand in the list of notes; for [`Turn::note_whole`].
    pub(crate) fn notes(&self) -> usize {
        self.notes.len()
    }

    /// Notes that all replies since (byte `at`, note `first`) stand or fall together.
    pub(crate) fn note_whole(&mut self, at: usize, first: usize, protocol: Protocol) {
        let fold = Fold::Whole { until: self.out.len(), members: self.notes.len() - first };
        let command = self.meter.current().id;
        self.notes.insert(first, Note { command, at, operations: 0, counted: 0, fold, protocol });
    }

    /// Whether a write of `slot` was launched in this turn: a read of it that the write does not answer has to wait for that.
    pub(crate) fn has_write_of(&self, slot: Slot) -> bool {
        self.write_slots.contains(&slot) || self.has_update_of(slot)
    }

    /// Whether a read of `slot` was launched in this turn: a write of it has to wait for that.
    pub(crate) fn has_read_of(&self, slot: Slot) -> bool {
        self.read_slots.contains(&slot) || self.has_update_of(slot)
    }

    /// Whether an update of `slot` may be launched: what was launched before it is not ordered with it, unless it is an
    /// update, too.
    pub(crate) fn may_update(&self, slot: Slot) -> bool {
        !self.read_slots.contains(&slot) && !self.write_slots.contains(&slot)
    }

    /// Whether an update of `slot` was launched in this turn: what it comes to has to be waited for.
    #[inline]
    pub(crate) fn has_update_of(&self, slot: Slot) -> bool {
        self.updates.iter().any(|update| update.slot == slot)
    }

    /// Whether nothing was asked in this turn yet.
    pub(crate) fn is_blank(&self) -> bool {
        self.out.is_empty() && self.notes.is_empty() && self.operations.is_empty() && self.updates.is_empty()
    }

    /// How many more operations fit into this turn.
    pub(crate) fn room(&self) -> usize {
        OPERATIONS_MAX.saturating_sub(self.operations.len() + self.own_reads.len() + self.updates.len())
    }

    /// Whether the turn should end before the next command.
    pub(crate) fn is_full(&self) -> bool {
        self.room() == 0
            || self.read_slots.len() >= self.pace.reads_max()
            || self.out.len() + self.large_bytes + self.own_reads.value_bytes() >= REPLY_BYTES_MAX
    }

    /// Whether anything has to be launched, or its replies wait to be put together.
    #[inline]
    pub(crate) fn has_launched(&self) -> bool {
        !self.notes.is_empty() || !self.operations.is_empty()
    }

    /// The quorum of what has to be launched, for a client with this one: its reads see its own updates.
    #[inline]
    pub(crate) fn quorum(&self, own: Quorum, configured: Quorum, now: UnixMs) -> Quorum {
        if self.updated.may_concern(&self.read_slots, now) { own.behind_updates(configured) } else { own }
    }

    /// What has to be launched, if that is one operation and its reply is the turn's only one, as it is for a client without a
    /// pipeline: there is nothing to put together. For [`Turn::answer_lone`].
    pub(crate) fn take_lone(&mut self) -> Option<Operation> {
        let is_lone = self.operations.len() == 1
            && self.notes.len() == 1
            && self.updates.is_empty()
            && self.own_reads.is_blank()
            && self.out.is_empty()
            && self.large.is_empty();
        if !is_lone {
            return None;
        }
        self.read_slots.clear();
        self.write_slots.drain(..).for_each(|slot| self.written.insert(slot));
        self.operations.pop()
    }

    /// Makes the only reply.
    pub(crate) fn answer_lone(&mut self, outcome: &Outcome) {
        let outcomes = std::slice::from_ref(outcome);
        let (reads, bytes) = answers(outcomes);
        self.pace.learn(reads, bytes, OPERATIONS_MAX);
        let note = self.notes.pop().expect("a reply is wanted");
        fold(&note, outcomes, &mut self.tally, &mut self.out, &mut self.large);
        look_for_error(&mut self.meter, note.command, &self.out);
    }

    /// What has to be launched.
    pub(crate) fn take_operations(&mut self) -> Operations {
        self.own_reads.complete(&self.operations);
        self.read_slots.clear();
        self.write_slots.drain(..).for_each(|slot| self.written.insert(slot));
        let as_many_again = Operations::with_capacity(self.operations.len());
        std::mem::replace(&mut self.operations, as_many_again)
    }

    /// What has to be launched as updates.
    pub(crate) fn take_updates(&mut self) -> Vec<UpdateOrder> {
        self.updates.iter().for_each(|update| self.written.insert(update.slot));
        std::mem::take(&mut self.updates)
    }

    /// Which of the reads that writes should have answered have to be asked for, now that those have come to `outcomes`.
    pub(crate) fn unanswered(&self, outcomes: &Outcomes) -> Operations {
        self.own_reads.unanswered(outcomes, self.pace.reads_max())
    }

    /// Learns from the outcomes of the operations, and adds those of the reads that writes have answered; `asked` are those of [`Turn::unanswered`].
    pub(crate) fn settle(&mut self, outcomes: Outcomes, asked: Outcomes) -> Outcomes {
        let (reads, bytes) = answers(&outcomes);
        self.pace.learn(reads, bytes, OPERATIONS_MAX);
        self.own_reads.settle(outcomes, asked)
    }

    /// Puts the replies together from what was known at once and the outcomes of what was launched, in order; `updated` are
    /// the updates' replies.
    #[allow(clippy::needless_pass_by_value, reason = "nobody has a use for the outcomes afterwards")]
    pub(crate) fn finish(&mut self, outcomes: Outcomes, updated: Vec<Bytes>) {
        if self.notes.is_empty() {
            return;
        }
        let (_, bytes) = answers(&outcomes);
        let room = self.notes.len() * SHORT_REPLY_BYTES + bytes.min(LARGE_BYTES);
        let mut assembly = Assembly::new(std::mem::take(&mut self.out), std::mem::take(&mut self.large), room);
        let (mut outcomes, mut updated) = (outcomes.as_slice(), updated.into_iter());
        let mut listed = std::mem::take(&mut self.notes);
        let used = listed.len();
        let mut notes = listed.drain(..);
        while let Some(note) = notes.next() {
            assembly.copy_until(note.at);
            // A write of one key with which all went well, as nearly all are.
            if let (Fold::Stored, 1, None, [Outcome::Written(_), rest @ ..]) =
                (note.fold, note.operations, &self.tally.failure, outcomes)
            {
                outcomes = rest;
                reply::ok(&mut assembly.out);
                continue;
            }
            let reply_at = assembly.out.len();
            if note.fold == Fold::Updated {
                let reply = updated.next().expect("each update has a reply");
                assembly.out.extend_from_slice(&reply);
                look_for_error(&mut self.meter, note.command, &assembly.out[reply_at..]);
                continue;
            }
            let Fold::Whole { until, members } = note.fold else {
                let Assembly { out, large, .. } = &mut assembly;
                fold(&note, next_of(&mut outcomes, note.operations), &mut self.tally, out, large);
                look_for_error(&mut self.meter, note.command, &assembly.out[reply_at..]);
                continue;
            };
            let members: Vec<Note> = notes.by_ref().take(members).collect();
            let mut results = next_of(&mut outcomes, members.iter().map(|member| member.operations).sum());
            if let Some(failure) = first_failure(results) {
                reply::error(&mut assembly.out, &failure.to_string());
                look_for_error(&mut self.meter, note.command, &assembly.out[reply_at..]);
                assembly.skip_until(until);
                continue;
            }
            for member in members {
                assembly.copy_until(member.at);
                let Assembly { out, large, .. } = &mut assembly;
                fold(&member, next_of(&mut results, member.operations), &mut self.tally, out, large);
            }
        }
        drop(notes);
        self.keep_room(listed, used);
        (self.out, self.large) = assembly.finish();
    }

    /// Keeps an emptied list of notes for the next turn. One that was long once is not kept for good.
    #[inline]
    fn keep_room(&mut self, emptied: Vec<Note>, used: usize) {
        self.notes = if emptied.capacity() > NOTES_KEPT.max(4 * used) { Vec::with_capacity(used) } else { emptied };
    }
}

/// Notes that `command` has failed, if `reply` says so.
#[inline]
fn look_for_error(meter: &mut Meter, command: CommandId, reply: &[u8]) {
    if reply.first() == Some(&b'-') {
        meter.failed(command, error_code(reply));
    }
}

/// Takes the first `count` of these outcomes.
#[inline]
fn next_of<'a>(outcomes: &mut &'a [Outcome], count: usize) -> &'a [Outcome] {
    outcomes.split_off(..count).expect("each operation has an outcome")
}

/// Appends one note's reply, made of the outcomes of its operations.
fn fold(note: &Note, outcomes: &[Outcome], tally: &mut Tally, out: &mut Vec<u8>, large: &mut Vec<LargeValue>) {
    tally.count += note.counted;
    match note.fold {
        Fold::Read(form) => match outcomes.first() {
            Some(Outcome::Read(Some(Found { value: Some(value), .. })))
                if form == Reading::Value && value.len() >= LARGE_BYTES =>
            {
                push_large(out, large, value.clone());
            }
            Some(Outcome::Read(found)) => reading::found(form, found.as_ref(), note.protocol, out),
            Some(Outcome::Failed(error)) => reply::error(out, &error.to_string()),
            Some(Outcome::Written(_)) | None => unreachable!("a read ends as a read"),
        },
        Fold::Existing => {
            add_up(PartialFold::Existing, outcomes, tally);
            answer_count(tally, out);
        }
        Fold::Deleted => {
            add_up(PartialFold::Deleted, outcomes, tally);
            answer_count(tally, out);
        }
        Fold::Stored => {
            add_up(PartialFold::Stored, outcomes, tally);
            match tally.failure.take() {
                None => reply::ok(out),
                Some(error) => reply::error(out, &error.to_string()),
            }
        }
        Fold::Partial(part) => add_up(part, outcomes, tally),
        Fold::Updated | Fold::Whole { .. } => unreachable!("an update is no outcome, and wholes do not nest"),
    }
}

/// How many reads are among `outcomes`, and how many bytes of values they found.
fn answers(outcomes: &[Outcome]) -> (usize, usize) {
    let found = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Read(found) => Some(found.as_ref().and_then(|found| found.value.as_ref()).map_or(0, Bytes::len)),
        Outcome::Written(_) | Outcome::Failed(_) => None,
    });
    found.fold((0, 0), |(reads, bytes), value_bytes| (reads + 1, bytes + value_bytes))
}

fn answer_count(tally: &mut Tally, out: &mut Vec<u8>) {
    match std::mem::take(tally) {
        Tally { count, failure: None } => reply::integer(out, count),
        Tally { failure: Some(error), .. } => reply::error(out, &error.to_string()),
    }
}

#[inline]
fn add_up(part: PartialFold, outcomes: &[Outcome], tally: &mut Tally) {
    for outcome in outcomes {
        match (part, outcome) {
            (PartialFold::Existing, Outcome::Read(Some(Found { value: Some(_), .. })))
            | (PartialFold::Deleted, Outcome::Written(Before { live: true, .. })) => tally.count += 1,
            (_, Outcome::Failed(error)) => {
                tally.failure.get_or_insert_with(|| error.clone());
            }
            (_, Outcome::Read(_) | Outcome::Written(_)) => {}
        }
    }
}

fn first_failure(outcomes: &[Outcome]) -> Option<&QuorumError> {
    outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Failed(error) => Some(error),
        Outcome::Read(_) | Outcome::Written(_) => None,
    })
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
