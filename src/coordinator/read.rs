//! One read on its way to its quorum, as a plain state machine: no I/O, no clock.
//!
//! With R = 1 the first replica that has a record answers, and nil is said only when every reachable replica has
//! none. With R > 1 the newest of R answers wins; unless a write quorum is known to hold it, it is written back first
//! (Attiya, Bar-Noy, Dolev, "Sharing Memory Robustly in Message-Passing Systems", 1995), so that no later read can
//! go back in time.

use bytes::Bytes;
use smallvec::SmallVec;

use super::quorum::Quorum;
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
    /// It has something newer, so the read has to start over.
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
        }
    }

    /// The present round; answers to earlier ones are told apart by it.
    pub(crate) fn round(&self) -> u8 {
        self.round
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
            WriteBackAnswer::Held => *holders += 1,
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
        if found.is_some() {
            return self.done(ReadOutcome::Answer(found));
        }
        let missing = self.count(&Replica::Missing);
        if self.count(&Replica::Awaited) > 0 {
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
            let asked = self.ask(usize::from(self.quorum.read - answers - self.count(&Replica::Awaited)));
            return match asked.is_empty() {
                false => ReadVerdict::Ask(asked),
                true if answers + self.count(&Replica::Awaited) < self.quorum.read => self.no_quorum(answers),
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
        if holders >= usize::from(self.quorum.write) {
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
            if asked.len() < count && self.replicas[at] == (Replica::Idle { reachable: true }) {
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
        let counted = |replica: &&Replica| matches!(replica, Replica::Missing | Replica::Found(_));
        narrow(self.replicas.iter().filter(counted).count())
    }

    fn count(&self, state: &Replica) -> u16 {
        narrow(self.replicas.iter().filter(|&replica| replica == state).count())
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
mod tests {
    use super::*;
    use crate::ring::NodeIndex;
    use crate::version::{Hlc, StartNumber};

    fn found(hlc: u64, value: Option<&'static str>) -> Found {
        let version = Version::new(Hlc(hlc), NodeIndex(0), StartNumber::FIRST);
        Found { version, expires_at: None, value: value.map(|value| Bytes::from_static(value.as_bytes())) }
    }

    fn down() -> ReadAnswer {
        ReadAnswer::Uncounted("down".into())
    }

    fn ask(replicas: &[usize]) -> ReadVerdict {
        ReadVerdict::Ask(replicas.into())
    }

    fn read_of_three(write: u16, read: u16, reachable: [bool; 3]) -> ReadProgress {
        ReadProgress::new(Quorum { replicas: 3, write, read }, reachable.into_iter())
    }

    #[test]
    fn first_record_answers_a_read_of_one() {
        let mut progress = read_of_three(2, 1, [true; 3]);
        assert_eq!(progress.verdict(), ask(&[0]));
        assert_eq!(progress.verdict(), ReadVerdict::Wait);
        progress.answered(0, 0, ReadAnswer::Found(found(1, Some("x"))));
        assert_eq!(progress.verdict(), ReadVerdict::Done);
        assert_eq!(progress.into_outcome(), ReadOutcome::Answer(Some(found(1, Some("x")))));
    }

    #[test]
    fn nil_is_said_only_when_every_reachable_replica_has_none() {
        let mut progress = read_of_three(2, 1, [true, false, true]);
        assert_eq!(progress.verdict(), ask(&[0]));
        progress.answered(0, 0, ReadAnswer::Missing);
        assert_eq!(progress.verdict(), ask(&[2]));
        progress.answered(2, 0, ReadAnswer::Missing);
        assert_eq!(progress.verdict(), ReadVerdict::Done);
        assert_eq!(progress.into_outcome(), ReadOutcome::Answer(None));
    }

    #[test]
    fn a_replica_that_fails_is_replaced_by_the_next() {
        let mut progress = read_of_three(2, 1, [true; 3]);
        assert_eq!(progress.verdict(), ask(&[0]));
        progress.answered(0, 0, down());
        assert_eq!(progress.verdict(), ask(&[1]));
        progress.answered(1, 0, ReadAnswer::Found(found(4, None)));
        assert_eq!(progress.verdict(), ReadVerdict::Done, "a tombstone is an answer");
        assert_eq!(progress.into_outcome(), ReadOutcome::Answer(Some(found(4, None))));
    }

    #[test]
    fn nobody_reachable_is_no_quorum_and_never_nil() {
        let mut progress = read_of_three(2, 1, [false; 3]);
        assert_eq!(progress.verdict(), ReadVerdict::Done);
        assert_eq!(progress.into_outcome(), ReadOutcome::NoQuorum { answers: 0, reason: None });
    }

    #[test]
    fn newest_of_a_read_quorum_that_a_write_quorum_holds_needs_no_write_back() {
        let mut progress = read_of_three(2, 2, [true; 3]);
        assert_eq!(progress.verdict(), ask(&[0, 1]));
        progress.answered(0, 0, ReadAnswer::Found(found(5, Some("x"))));
        assert_eq!(progress.verdict(), ReadVerdict::Wait);
        progress.answered(1, 0, ReadAnswer::Found(found(5, Some("x"))));
        assert_eq!(progress.verdict(), ReadVerdict::Done);
    }

    #[test]
    fn newest_is_written_back_to_a_write_quorum_before_it_is_answered() {
        let mut progress = read_of_three(2, 2, [true; 3]);
        assert_eq!(progress.verdict(), ask(&[0, 1]));
        progress.answered(0, 0, ReadAnswer::Missing);
        progress.answered(1, 0, ReadAnswer::Found(found(5, Some("x"))));
        assert_eq!(progress.verdict(), ReadVerdict::WriteBack(found(5, Some("x")), SmallVec::from_slice(&[0, 2])));
        progress.written_back(0, 0, WriteBackAnswer::Uncounted("syncing".into()));
        assert_eq!(progress.verdict(), ReadVerdict::Wait);
        progress.written_back(2, 0, WriteBackAnswer::Held);
        assert_eq!(progress.verdict(), ReadVerdict::Done);
        assert_eq!(progress.into_outcome(), ReadOutcome::Answer(Some(found(5, Some("x")))));
    }

    #[test]
    fn a_replica_with_something_newer_makes_it_read_again() {
        let mut progress = read_of_three(3, 2, [true; 3]);
        assert_eq!(progress.verdict(), ask(&[0, 1]));
        progress.answered(0, 0, ReadAnswer::Found(found(5, Some("x"))));
        progress.answered(1, 0, ReadAnswer::Found(found(5, Some("x"))));
        assert_eq!(progress.verdict(), ReadVerdict::WriteBack(found(5, Some("x")), SmallVec::from_slice(&[2])));
        progress.written_back(2, 0, WriteBackAnswer::Newer);
        assert_eq!(progress.verdict(), ask(&[2, 0]), "the one with something newer first");
        assert_eq!(progress.round(), 1);
        progress.answered(0, 0, ReadAnswer::Missing);
        assert_eq!(progress.verdict(), ReadVerdict::Wait, "an answer of the round before does not count");
    }

    #[test]
    fn a_record_that_cannot_be_written_back_is_not_answered() {
        let mut progress = read_of_three(3, 2, [true, true, false]);
        assert_eq!(progress.verdict(), ask(&[0, 1]));
        (0..2).for_each(|replica| progress.answered(replica, 0, ReadAnswer::Found(found(5, Some("x")))));
        assert_eq!(progress.verdict(), ReadVerdict::WriteBack(found(5, Some("x")), SmallVec::new()));
        assert_eq!(progress.verdict(), ReadVerdict::Done);
        assert_eq!(progress.into_outcome(), ReadOutcome::NotWrittenBack { holders: 2, reason: None });
    }

    #[test]
    fn too_few_answers_are_no_quorum() {
        let mut progress = read_of_three(2, 2, [true, true, false]);
        assert_eq!(progress.verdict(), ask(&[0, 1]));
        progress.answered(0, 0, ReadAnswer::Found(found(5, Some("x"))));
        progress.answered(1, 0, down());
        assert_eq!(progress.verdict(), ReadVerdict::Done);
        assert_eq!(progress.into_outcome(), ReadOutcome::NoQuorum { answers: 1, reason: Some("down".into()) });
    }
}
