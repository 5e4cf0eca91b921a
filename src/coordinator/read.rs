//! One read on its way to its quorum, as a plain state machine: no I/O, no clock.
//!
//! With R = 1 the first replica that has a record answers, and nil is said only when every reachable replica has
//! none. With R > 1 the newest of R answers wins; unless a write quorum is known to hold it, it is written back first
//! (Attiya, Bar-Noy, Dolev, "Sharing Memory Robustly in Message-Passing Systems", 1995), so that no later read can
//! go back in time.

use bytes::Bytes;
use smallvec::SmallVec;

use super::quorum::Quorum;
use crate::mutation::{Mutation, is_on};
use crate::time::UnixMs;
use crate::version::Version;

/// How often a read starts over because a replica turned out to hold something newer than what was written back.
const ROUNDS_MAX: u8 = 8;

/// What a replica showed, or what a read found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The version of the record.
    pub version: Version,
    /// When it expires, if ever.
    pub expires_at: Option<UnixMs>,
    /// The value; `None` for a tombstone or an expired record.
    pub value: Option<Bytes>,
}

/// A replica's answer to a read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ReadAnswer {
    /// It shows this record.
    Found(Found),
    /// It has no record of the key.
    Missing,
    /// It did not answer, or counts for nothing: the reason.
    Uncounted(String),
}

/// A replica's answer to a write-back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum WriteBackAnswer {
    /// The record is, or was, its newest.
    Held,
    /// It has, or is about to have, something newer, so the read has to start over.
    Newer,
    /// It did not answer, or counts for nothing: the reason.
    Uncounted(String),
}

/// What the caller has to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ReadVerdict {
    /// Wait for more answers.
    Wait,
    /// Ask these replicas (positions in the preference list).
    Ask(SmallVec<[usize; 5]>),
    /// Write the record back to these replicas.
    WriteBack(Found, SmallVec<[usize; 5]>),
    /// Nothing more; the outcome stands.
    Done,
}

/// How a read ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ReadOutcome {
    /// The newest record, `None` if there is none.
    Answer(Option<Found>),
    /// Too few replicas answered.
    NoQuorum {
        /// Replicas that did.
        answers: u16,
        /// Why one of the others did not.
        reason: Option<String>,
    },
    /// Enough answered, but the newest record is on too few replicas and could not be written back to more: a later
    /// read might miss it.
    NotWrittenBack {
        /// Replicas known to hold it.
        holders: u16,
        /// Why one of the others does not.
        reason: Option<String>,
    },
}

/// One replica as this read sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Replica {
    /// Not asked yet; `false` if it is known to be out of reach.
    Idle {
        reachable: bool,
    },
    Awaited,
    Missing,
    Found(Found),
    Failed,
}

#[derive(PartialEq, Eq, Debug)]
enum Phase {
    Asking,
    /// So many write-backs outstanding, so many replicas known to hold the record.
    WritingBack {
        outstanding: u16,
        holders: u16,
    },
    Done(ReadOutcome),
}

/// The state of one read.
#[derive(Debug)]
pub(crate) struct ReadProgress {
    quorum: Quorum,
    replicas: SmallVec<[Replica; 5]>,
    newest: Option<Found>,
    /// Replicas that turned out to hold something newer than what was written back to them: asked first from now on.
    first: SmallVec<[usize; 5]>,
    /// Whether one did so in this round.
    newer: bool,
    phase: Phase,
    round: u8,
    reason: Option<String>,
    /// Whether the next verdict may ask one more although answers are awaited.
    is_hurried: bool,
    disagreement: Disagreement,
}

/// What a read found out about replicas that are not equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Disagreement {
    /// Answers that were older than the newest one.
    pub(crate) stale: u64,
    /// Replicas behind them that took the newest record.
    pub(crate) repaired: u64,
}

impl ReadProgress {
    /// A read of a key whose replicas are, in the order in which they should be asked, reachable or not.
    pub(crate) fn new(quorum: Quorum, reachable: impl Iterator<Item = bool>) -> Self {
        let replicas = reachable.map(|reachable| Replica::Idle { reachable }).collect();
        Self {
            quorum,
            replicas,
            newest: None,
            first: SmallVec::new(),
            newer: false,
            phase: Phase::Asking,
            round: 0,
            reason: None,
            is_hurried: false,
            disagreement: Disagreement::default(),
        }
    }

    /// How many replicas it needs, to be asked and to hold the answer.
    pub(crate) fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// The present round; answers to earlier ones are told apart by it.
    pub(crate) fn round(&self) -> u8 {
        self.round
    }

    /// Whether the first record that is found answers.
    pub(crate) fn is_of_one(&self) -> bool {
        self.quorum.read == 1
    }

    /// Whether it waits for one replica although others could be asked.
    pub(crate) fn may_hurry(&self) -> bool {
        let may_ask = |replica: &Replica| matches!(replica, Replica::Idle { reachable: true });
        self.is_of_one() && self.phase == Phase::Asking && self.replicas.iter().any(may_ask)
    }

    /// The answer takes long: with R = 1 the next verdict asks one replica more.
    pub(crate) fn hurry(&mut self) {
        self.is_hurried = self.may_hurry();
    }

    /// What it found out so far about replicas that are not equal.
    pub(crate) fn disagreement(&self) -> Disagreement {
        self.disagreement
    }

    /// Notes that `replica` was asked before.
    pub(crate) fn asked(&mut self, replica: usize) {
        self.replicas[replica] = Replica::Awaited;
    }

    /// Takes `replica`'s answer of the given round.
    pub(crate) fn answered(&mut self, replica: usize, round: u8, answer: ReadAnswer) {
        if round != self.round || self.phase != Phase::Asking {
            return;
        }
        self.replicas[replica] = match answer {
            ReadAnswer::Found(found) => Replica::Found(found),
            ReadAnswer::Missing => Replica::Missing,
            ReadAnswer::Uncounted(reason) => {
                self.reason = Some(reason);
                Replica::Failed
            }
        };
    }

    /// Takes `replica`'s answer to a write-back of the given round.
    pub(crate) fn written_back(&mut self, replica: usize, round: u8, answer: WriteBackAnswer) {
        let Phase::WritingBack { outstanding, holders } = &mut self.phase else { return };
        if round != self.round {
            return;
        }
        *outstanding -= 1;
        match answer {
            WriteBackAnswer::Held => {
                *holders += 1;
                let had_answered = matches!(self.replicas[replica], Replica::Missing | Replica::Found(_));
                self.disagreement.repaired += u64::from(had_answered);
            }
            WriteBackAnswer::Newer => {
                self.newer = true;
                self.first.retain(|at| *at != replica);
                self.first.insert(0, replica);
            }
            WriteBackAnswer::Uncounted(reason) => self.reason = Some(reason),
        }
    }

    /// What follows from the answers so far. Replicas named by `Ask` count as asked.
    pub(crate) fn verdict(&mut self) -> ReadVerdict {
        match self.phase {
            Phase::Asking if self.quorum.read == 1 => self.judge_first(),
            Phase::Asking => self.judge_quorum(),
            Phase::WritingBack { outstanding, holders } => self.judge_write_back(outstanding, holders),
            Phase::Done(_) => ReadVerdict::Done,
        }
    }

    /// R = 1: the first record answers.
    fn judge_first(&mut self) -> ReadVerdict {
        let found = self.replicas.iter().find_map(|replica| match replica {
            Replica::Found(found) => Some(found.clone()),
            _ => None,
        });
        let missing = self.count(|replica| matches!(replica, Replica::Missing));
        if found.is_some() {
            self.disagreement.stale += u64::from(missing);
            return self.done(ReadOutcome::Answer(found));
        }
        let is_hurried = std::mem::take(&mut self.is_hurried);
        if self.awaited() > 0 && !is_hurried {
            return ReadVerdict::Wait;
        }
        // One that has none proves nothing: now all the others are asked at once.
        let asked = self.ask(if missing > 0 { usize::MAX } else { 1 });
        match asked.is_empty() {
            false => ReadVerdict::Ask(asked),
            true if missing > 0 => self.done(ReadOutcome::Answer(None)),
            true => self.no_quorum(0),
        }
    }

    /// R > 1: the newest of R answers.
    fn judge_quorum(&mut self) -> ReadVerdict {
        let answers = self.answers();
        if answers < self.quorum.read {
            let asked = self.ask(usize::from(self.quorum.read - answers - self.awaited()));
            return match asked.is_empty() {
                false => ReadVerdict::Ask(asked),
                true if answers + self.awaited() < self.quorum.read => self.no_quorum(answers),
                true => ReadVerdict::Wait,
            };
        }
        let found = self.replicas.iter().filter_map(|replica| match replica {
            Replica::Found(found) => Some(found),
            _ => None,
        });
        let Some(newest) = found.max_by_key(|found| found.version).cloned() else {
            return self.done(ReadOutcome::Answer(None));
        };
        self.confirm(newest)
    }

    /// Has the newest record on a write quorum before it is answered.
    fn confirm(&mut self, newest: Found) -> ReadVerdict {
        let holds = |replica: &Replica| matches!(replica, Replica::Found(found) if found.version == newest.version);
        let holders = self.replicas.iter().filter(|replica| holds(replica)).count();
        self.disagreement.stale += u64::from(self.answers()) - holders as u64;
        if holders >= usize::from(self.quorum.write) || is_on(Mutation::NoWriteBack) {
            return self.done(ReadOutcome::Answer(Some(newest)));
        }
        let lacking: SmallVec<[usize; 5]> = (0..self.replicas.len())
            .filter(|&at| !holds(&self.replicas[at]) && self.replicas[at] != Replica::Idle { reachable: false })
            .collect();
        let (outstanding, holders) = (narrow(lacking.len()), narrow(holders));
        self.phase = Phase::WritingBack { outstanding, holders };
        self.newest = Some(newest.clone());
        ReadVerdict::WriteBack(newest, lacking)
    }

    fn judge_write_back(&mut self, outstanding: u16, holders: u16) -> ReadVerdict {
        if holders >= self.quorum.write {
            let newest = self.newest.take();
            return self.done(ReadOutcome::Answer(newest));
        }
        if holders + outstanding >= self.quorum.write {
            return ReadVerdict::Wait;
        }
        if self.newer && self.round < ROUNDS_MAX {
            self.start_over();
            return self.verdict();
        }
        let reason = self.reason.take();
        self.done(ReadOutcome::NotWrittenBack { holders, reason })
    }

    /// Asks again from the start, but not the replicas that failed before, and first those that hold something newer:
    /// without them the same old record would be found again.
    fn start_over(&mut self) {
        self.round += 1;
        self.phase = Phase::Asking;
        for replica in &mut self.replicas {
            let reachable = !matches!(replica, Replica::Failed | Replica::Idle { reachable: false });
            *replica = Replica::Idle { reachable };
        }
        self.newer = false;
    }

    /// Marks up to `count` more reachable replicas as asked and names them.
    fn ask(&mut self, count: usize) -> SmallVec<[usize; 5]> {
        let mut asked = SmallVec::new();
        for at in self.first.iter().copied().chain(0..self.replicas.len()) {
            if asked.len() == count {
                break;
            }
            if matches!(self.replicas[at], Replica::Idle { reachable: true }) {
                self.replicas[at] = Replica::Awaited;
                asked.push(at);
            }
        }
        asked
    }

    /// How it ended; `NoQuorum` until it is done.
    pub(crate) fn into_outcome(self) -> ReadOutcome {
        match self.phase {
            Phase::Done(outcome) => outcome,
            Phase::Asking | Phase::WritingBack { .. } => ReadOutcome::NoQuorum { answers: 0, reason: self.reason },
        }
    }

    fn answers(&self) -> u16 {
        self.count(|replica| matches!(replica, Replica::Missing | Replica::Found(_)))
    }

    fn awaited(&self) -> u16 {
        self.count(|replica| matches!(replica, Replica::Awaited))
    }

    fn count(&self, is_counted: impl Fn(&Replica) -> bool) -> u16 {
        self.replicas.iter().map(|replica| u16::from(is_counted(replica))).sum()
    }

    fn no_quorum(&mut self, answers: u16) -> ReadVerdict {
        let reason = self.reason.take();
        self.done(ReadOutcome::NoQuorum { answers, reason })
    }

    fn done(&mut self, outcome: ReadOutcome) -> ReadVerdict {
        self.phase = Phase::Done(outcome);
        ReadVerdict::Done
    }
}

/// A number of replicas, of which there are at most as many as nodes.
fn narrow(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
