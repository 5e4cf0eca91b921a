//! One connection's queues: which answer belongs to whom, and when waiting has to end.
//!
//! A plain state machine without sockets, locks or clocks: the link moves bytes and tells it what happened, and a tick
//! is the only time it knows. It is made with a connection and dies with it, so nothing late is ever matched wrongly.
//!
//! Batches stand in `queued` until the writer takes their bytes, then in `sent`. Only the second kind may have reached
//! the peer; that difference is what a coordinator's honest answer rests on.

use std::collections::VecDeque;

use bytes::Buf;
use tokio::sync::oneshot;

use super::health::{IDLE_TICKS, PATIENCE_TICKS, Pulse, Signs, TICKS_PER_TIMEOUT};
use super::links::GATHERED_BYTES_MAX;
use super::outgoing::{Kept, Outgoing};
use super::{Answers, Health, LinkFault, LinkState, PeerReply, RequestBatch};
use crate::version::StartNumber;

/// An exchange whose own bytes flow may take ten timeouts.
const TRANSFER_TICKS_MAX: u64 = 10 * TICKS_PER_TIMEOUT as u64;
/// Bytes per tick below which nothing is said to flow.
const FLOW_BYTES_MIN: usize = 64 << 10;
/// Requests that may wait for their answers on one link; at the bound, a batch is refused as overloaded.
const REQUESTS_MAX: usize = 1 << 20;

/// The queues of one connection.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// The process at the other end.
    process: StartNumber,
    /// Bytes that the writer has not taken: exactly those of `queued`.
    outgoing: Outgoing,
    /// Batches of which nothing was sent.
    queued: VecDeque<Waiter>,
    /// Batches that may have reached the peer, oldest first. The next reply belongs to the first.
    sent: VecDeque<Waiter>,
    /// Bytes accepted and not written, the writer's included.
    unwritten: usize,
    /// Bytes written since the connection was made.
    written: u64,
    /// Requests without an answer, over both queues.
    requests: usize,
    /// Whether the writer was told that something waits. Ends when it takes it.
    writer_woken: bool,
    /// Whoever queued what is queued has let others join already.
    is_complete: bool,
    /// Whether the next write carries a mark even if it is the same as the last.
    mark_due: bool,
    /// When a mark was last taken by the writer.
    marked_at: u64,
    /// Ticks since the connection was made.
    now: u64,
    /// When something was last taken by the writer.
    taken_at: u64,
    /// When the first of `sent` became the first.
    first_since: u64,
    /// When bytes last flowed, whosever they were.
    flowed_at: u64,
    /// When an answer last came.
    heard_at: u64,
    /// Bytes read, and written for the first of `sent`, since the last tick.
    moved: usize,
    /// That part of `moved` that belongs to the present first of `sent`.
    moved_by_first: usize,
}

/// A batch that waits for its answers.
#[derive(Debug)]
struct Waiter {
    /// Where the answers go; `None` when nobody waits (a mark, or an exchange that timed out): they are dropped.
    sender: Option<oneshot::Sender<Answers>>,
    replies: Vec<PeerReply>,
    /// The batch, if it is wanted back in case of a fault.
    kept: Option<Kept>,
    /// Replies that have not come.
    missing: usize,
    /// The batch's bytes; once it is taken, the value of [`Pipeline::written`] at its end.
    end: u64,
    queued_at: u64,
    /// When its patience began: at `queued_at`, later if its bytes flowed since.
    patient_from: u64,
}

/// An exchange that is over, to be told so after the lock is released.
#[derive(Debug)]
pub(super) struct Finished {
    sender: oneshot::Sender<Answers>,
    answers: Answers,
}

/// What a tick found.
#[derive(Debug, Default)]
pub(super) struct Tick {
    /// Exchanges that waited too long.
    pub(super) finished: Vec<Finished>,
    /// What to think of the peer. Down: the connection is to be closed.
    pub(super) health: Health,
    /// The writer has something to do.
    pub(super) wake_writer: bool,
}

/// A reply came that no request asked for. The peer's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unasked;

impl Finished {
    /// Hands the answers over. Nobody may be there to take them any more: then they come back if something was missed.
    pub(super) fn send(self) -> Option<Answers> {
        self.sender.send(self.answers).err().filter(|answers| answers.missed.is_some())
    }
}

impl Pipeline {
    /// The queues of a new connection to `process`.
    pub(super) fn new(process: StartNumber) -> Self {
        Self {
            process,
            outgoing: Outgoing::default(),
            queued: VecDeque::new(),
            sent: VecDeque::new(),
            unwritten: 0,
            written: 0,
            requests: 0,
            writer_woken: false,
            is_complete: false,
            mark_due: false,
            marked_at: 0,
            now: 0,
            taken_at: 0,
            first_since: 0,
            flowed_at: 0,
            heard_at: 0,
            moved: 0,
            moved_by_first: 0,
        }
    }

    /// What there is to tell of the peer's answers.
    pub(super) fn pulse(&self) -> Pulse {
        let asked = self.sent.front().map(|first| self.now - first.queued_at);
        Pulse { requests: self.requests, asked, heard: self.now - self.heard_at }
    }

    /// Whether one more batch may wait. Its own size does not matter, so that the largest value passes on a busy link;
    /// what waits is bounded by `queue_bytes_max` and one batch.
    pub(super) fn has_room(&self, queue_bytes_max: usize) -> bool {
        self.unwritten < queue_bytes_max && self.requests < REQUESTS_MAX
    }

    /// Whether something waits for the writer, and what is not written is little.
    pub(super) fn is_gathering(&self) -> bool {
        !self.queued.is_empty() && self.unwritten < GATHERED_BYTES_MAX
    }

    /// What is queued is to leave without waiting for more.
    pub(super) fn complete(&mut self) {
        self.is_complete = !self.queued.is_empty();
    }

    /// Whether the writer is not to wait for more.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Batches that the writer has not taken.
    pub(super) fn batches_waiting(&self) -> usize {
        self.queued.len()
    }

    /// Queues a batch. True if the writer must be woken.
    pub(super) fn push(&mut self, mut batch: RequestBatch, waiter: (oneshot::Sender<Answers>, Vec<PeerReply>)) -> bool {
        let (sender, replies) = waiter;
        let (missing, is_kept) = (batch.len(), batch.is_kept());
        let before = self.outgoing.remaining();
        let pushed = match batch.take_pieces() {
            None => self.outgoing.push(batch.into_bytes()),
            Some(pieces) => self.outgoing.push_pieces(pieces),
        };
        let bytes = self.outgoing.remaining() - before;
        self.requests += missing;
        self.unwritten += bytes;
        let end = bytes as u64;
        self.queued.push_back(Waiter {
            sender: Some(sender),
            replies,
            kept: is_kept.then_some(pushed),
            missing,
            end,
            queued_at: self.now,
            patient_from: self.now,
        });
        !std::mem::replace(&mut self.writer_woken, true)
    }

    /// Whether the next write must carry a mark, changed or not.
    pub(super) fn mark_due(&self) -> bool {
        self.mark_due
    }

    /// The writer takes everything that waits, behind `mark` if there is one. `into` must be written out.
    pub(super) fn take(&mut self, mark: Option<&[u8]>, into: &mut Outgoing) {
        self.writer_woken = false;
        self.is_complete = false;
        self.outgoing.swap(into);
        if self.sent.is_empty() {
            self.first_since = self.now;
            self.moved_by_first = 0;
        }
        let mut end = self.written;
        if let Some(mark) = mark {
            end += mark.len() as u64;
            self.queue_mark(mark, end, into);
        }
        for mut waiter in self.queued.drain(..) {
            end += waiter.end;
            waiter.end = end;
            self.sent.push_back(waiter);
        }
        self.taken_at = self.now;
        debug_assert_eq!(end, self.written + self.unwritten as u64, "every byte belongs to a waiter");
    }

    fn queue_mark(&mut self, mark: &[u8], end: u64, into: &mut Outgoing) {
        into.push_front(mark.to_vec());
        self.mark_due = false;
        self.marked_at = self.now;
        self.unwritten += mark.len();
        self.requests += 1;
        let (queued_at, patient_from) = (self.now, self.now);
        let replies = Vec::new();
        self.sent.push_back(Waiter { sender: None, replies, kept: None, missing: 1, end, queued_at, patient_from });
    }

    /// The socket took `count` bytes. They are a sign of life only if the first exchange is not written out: those of
    /// later ones may just lie in a buffer of this machine.
    pub(super) fn wrote(&mut self, count: usize) {
        let first_unwritten = self.sent.front().is_some_and(|waiter| waiter.end > self.written);
        self.written += count as u64;
        self.unwritten -= count;
        if first_unwritten {
            self.flowed(count);
        }
    }

    /// The socket yielded `count` bytes.
    pub(super) fn flowed(&mut self, count: usize) {
        self.moved += count;
        self.moved_by_first += count;
    }

    /// A reply came, for the first that waits. An exchange that has all its answers is added to `finished`.
    pub(super) fn answer(&mut self, reply: PeerReply, finished: &mut Vec<Finished>) -> Result<(), Unasked> {
        let first = self.sent.front_mut().ok_or(Unasked)?;
        first.missing -= 1;
        self.requests -= 1;
        self.heard_at = self.now;
        if first.sender.is_some() {
            first.replies.push(reply);
        }
        if first.missing == 0 {
            self.first_since = self.now;
            self.moved_by_first = 0;
            finished.extend(self.sent.pop_front().and_then(|waiter| waiter.finish(None, self.process)));
        }
        Ok(())
    }

    /// An eighth of the timeout has passed.
    pub(super) fn tick(&mut self) -> Tick {
        self.now += 1;
        self.note_flow();
        let health = self.health();
        if health == Health::Down {
            return Tick { health, ..Tick::default() };
        }
        // What a peer has heard of this node may come from a welcome that was written before the last mark and read after it.
        self.mark_due |= self.now - self.marked_at >= IDLE_TICKS;
        Tick { finished: self.end_overdue(), health, wake_writer: self.try_idle_link() }
    }

    fn note_flow(&mut self) {
        if self.moved >= FLOW_BYTES_MIN {
            self.flowed_at = self.now;
        }
        if self.moved_by_first >= FLOW_BYTES_MIN
            && let Some(first) = self.sent.front_mut()
        {
            first.patient_from = self.now;
        }
        self.moved = 0;
        self.moved_by_first = 0;
    }

    /// Down if the first exchange is overdue and nothing flows, or it flows without an end.
    fn health(&self) -> Health {
        if !self.sent.is_empty() && self.now - self.first_since >= TRANSFER_TICKS_MAX {
            return Health::Down;
        }
        let asked_at = self.sent.front().map(|first| first.patient_from);
        Health::judge(LinkState::Up, Signs { asked_at, heard_at: self.flowed_at }, self.now)
    }

    /// Ends what waited too long, and leaves its place in line for the answers that are still owed.
    fn end_overdue(&mut self) -> Vec<Finished> {
        let (now, process) = (self.now, self.process);
        let overdue = |waiter: &&mut Waiter| {
            now - waiter.patient_from >= PATIENCE_TICKS || now - waiter.queued_at >= TRANSFER_TICKS_MAX
        };
        let waiters = self.sent.iter_mut().chain(&mut self.queued);
        waiters.filter(overdue).filter_map(|waiter| waiter.give_up(process)).collect()
    }

    fn try_idle_link(&mut self) -> bool {
        let idle = self.requests == 0 && self.now - self.taken_at >= IDLE_TICKS;
        self.mark_due |= idle;
        idle && !std::mem::replace(&mut self.writer_woken, true)
    }

    /// The connection is gone. What was sent ends with `fault`, what was not ends as not sent.
    pub(super) fn close(self, fault: &LinkFault) -> Vec<Finished> {
        debug_assert!(fault.was_sent());
        let process = self.process;
        let sent = self.sent.into_iter().filter_map(|waiter| waiter.finish(Some(fault.clone()), process));
        let unsent = self.queued.into_iter();
        sent.chain(unsent.filter_map(|waiter| waiter.finish(Some(LinkFault::Down), StartNumber::default()))).collect()
    }
}

impl Waiter {
    fn finish(mut self, fault: Option<LinkFault>, process: StartNumber) -> Option<Finished> {
        let replies = std::mem::take(&mut self.replies);
        let answers = Answers::new(process, replies, fault).with_kept(self.kept);
        self.sender.map(|sender| Finished { sender, answers })
    }

    fn give_up(&mut self, process: StartNumber) -> Option<Finished> {
        let replies = std::mem::take(&mut self.replies);
        let answers = Answers::new(process, replies, Some(LinkFault::TimedOut)).with_kept(self.kept.take());
        self.sender.take().map(|sender| Finished { sender, answers })
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
