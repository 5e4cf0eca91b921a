//! The steps of a move between keys that no single update can have in its hands, as a plain state machine.

use bytes::Bytes;

use crate::codec::reply;
use crate::command::errors::CommandError;
use crate::command::updates::moves::{
    Content, Fate, Found, Over, Taken, found, held, hold, is_done, place, settle, take, taken,
};
use crate::coordinator::UpdateOrder;
use crate::time::UnixMs;

use super::{Kind, Move};

/// How often a move begins because its source has changed.
const ATTEMPTS_MAX: u8 = 8;

/// A mark of something that never expires is later than this, the year 10000.
const MARKS_FROM: u64 = 253_402_300_800_000;
/// In how large a range such a mark is chosen, and how much later than the true expiry another one is.
const MARKS: u64 = 1 << 48;
const MARK_DELAY_MS: u64 = 1 << 12;

/// What has to be done next.
#[derive(Debug)]
pub(super) enum Step {
    /// This update; then its reply tells.
    Ask(UpdateOrder),
    /// Nothing: this is the reply to the command.
    Answer(Bytes),
}

/// A move under way.
#[derive(Debug)]
pub(super) struct Sequence {
    task: Move,
    /// A number that no other move has.
    number: u64,
    stage: Stage,
    placed: Option<Placed>,
    attempts: u8,
}

/// What a move has last placed at its destination.
#[derive(Clone, Copy, Debug)]
struct Placed {
    mark: UnixMs,
    /// The true expiry.
    expires_at: Option<UnixMs>,
    /// Whether another move of the same key may rely on it.
    is_shared: bool,
}

/// Which reply is awaited.
#[derive(Debug)]
enum Stage {
    /// What the source holds.
    Reading,
    /// Whether this could be written to the destination, for a move under this mark.
    Placing(Content, Option<UnixMs>),
    /// Whether it was still at the source.
    Taking(Placed),
    /// Whether the mark was still there to be removed; then this is the reply.
    Settling(Bytes),
}

impl Sequence {
    /// A move, and its first step. No other move has this `number`.
    pub(super) fn begin(task: Move, number: u64) -> (Self, UpdateOrder) {
        let first = hold(task.source.clone());
        (Self { task, number, stage: Stage::Reading, placed: None, attempts: 1 }, first)
    }

    /// Goes on with the reply to the last step.
    pub(super) fn next(&mut self, reply: Bytes) -> Step {
        let next = match std::mem::replace(&mut self.stage, Stage::Reading) {
            Stage::Reading => held(reply).map(|held| self.read(held)),
            Stage::Placing(content, mark) => found(reply).map(|found| self.wrote(content, mark, found)),
            Stage::Taking(placed) => taken(reply).map(|taken| self.took(placed, taken)),
            Stage::Settling(answer) => is_done(reply).map(|_| Step::Answer(answer)),
        };
        next.unwrap_or_else(Step::Answer)
    }

    /// The source holds this.
    fn read(&mut self, held: Option<Content>) -> Step {
        let Some(content) = held else {
            return match (self.task.kind, self.placed) {
                (Kind::Copy { .. }, _) => Step::Answer(self.answer(false)),
                (_, None) => Step::Answer(refusal(&CommandError::NoSuchKey)),
                (_, Some(placed)) => self.give_up(placed, &CommandError::NoSuchKey),
            };
        };
        let (mark, over) = match self.task.kind {
            Kind::Copy { replace: true } => (None, Over::Anything),
            Kind::Copy { replace: false } => (None, Over::Nothing),
            Kind::Rename => (Some(self.mark_for(&content)), Over::Anything),
            Kind::RenameNx => (Some(self.mark_for(&content)), Over::Nothing),
        };
        let marked = Content { value: content.value.clone(), expires_at: mark.or(content.expires_at) };
        let before = self.placed.map(|placed| placed.mark);
        self.stage = Stage::Placing(content, mark);
        Step::Ask(place(self.task.destination.clone(), marked, before, over))
    }

    /// The destination holds `content` now, unless something was in the way.
    fn wrote(&mut self, content: Content, mark: Option<UnixMs>, found: Found) -> Step {
        let Some(mark) = mark.filter(|_| found != Found::InTheWay) else {
            return Step::Answer(self.answer(found != Found::InTheWay));
        };
        let placed = Placed { mark, expires_at: content.expires_at, is_shared: found == Found::Same };
        self.placed = Some(placed);
        self.stage = Stage::Taking(placed);
        Step::Ask(take(self.task.source.clone(), content))
    }

    /// What was placed was taken from the source, or it was not there any more.
    fn took(&mut self, placed: Placed, taken: Taken) -> Step {
        match taken {
            Taken::Mine => self.settle(placed.mark, Fate::Stays(placed.expires_at), self.answer(true)),
            Taken::Gone => self.give_up(placed, &CommandError::NoSuchKey),
            Taken::Other if self.attempts >= ATTEMPTS_MAX => self.give_up(placed, &CommandError::SourceKeptChanging),
            Taken::Other => {
                self.attempts += 1;
                Step::Ask(hold(self.task.source.clone()))
            }
        }
    }

    /// Takes back what was placed, if nobody relies on it, and says this.
    fn give_up(&mut self, placed: Placed, error: &CommandError) -> Step {
        let fate = if placed.is_shared { Fate::Stays(placed.expires_at) } else { Fate::Goes };
        self.settle(placed.mark, fate, refusal(error))
    }

    fn settle(&mut self, mark: UnixMs, fate: Fate, answer: Bytes) -> Step {
        self.stage = Stage::Settling(answer);
        Step::Ask(settle(self.task.destination.clone(), mark, fate))
    }

    /// An expiry that only what this move places has: it must not end before the true one.
    fn mark_for(&self, content: &Content) -> UnixMs {
        UnixMs(match content.expires_at {
            None => MARKS_FROM + self.number % MARKS,
            Some(at) => at.0.saturating_add(1 + self.number % MARK_DELAY_MS).min(i64::MAX.unsigned_abs()),
        })
    }

    /// The reply of a command that has `done` what it is for, or had to let it be.
    fn answer(&self, done: bool) -> Bytes {
        let mut out = Vec::new();
        match self.task.kind {
            Kind::Rename => reply::simple(&mut out, "OK"),
            Kind::RenameNx | Kind::Copy { .. } => reply::integer(&mut out, i64::from(done)),
        }
        out.into()
    }
}

fn refusal(error: &CommandError) -> Bytes {
    let mut out = Vec::new();
    reply::error(&mut out, &error.to_string());
    out.into()
}

#[cfg(test)]
mod tests;
