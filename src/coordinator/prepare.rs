//! The first round of an update, as a plain state machine: what the replicas show, and whether enough of them have promised.
//!
//! All replicas are asked, so that all may take the write that follows, and as many answers are awaited as make every
//! acknowledged write seen, and as leave too few others to refuse for good a write that was seen. Who does not insist gets no answer
//! from replicas whose newest record may come to nothing; if too few others are left, he has to (`store/promise.rs`).

use smallvec::SmallVec;

use super::quorum::Quorum;
use super::read::Found;
use crate::version::Version;

/// A replica's answer to the question of an update.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PrepareAnswer {
    /// It has promised, and shows this record, or nothing.
    Shows(Option<Found>),
    /// It has promised, and shows this version, which may come to nothing, to nobody who does not insist.
    Withheld(Version),
    /// It has promised this larger ballot before.
    Promised(Version),
    /// It has promised nothing, or its answer is not known.
    Uncounted,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PrepareOutcome {
    /// Enough replicas have promised.
    Promised(Prepared),
    /// Another update with this larger ballot is under way.
    Outrun(Version),
    /// Too few answers, unless it is asked again with more force.
    Withheld {
        /// A version that was withheld while none is known to be on a write quorum: writes are racing, and in a moment those that lose
        /// will have been taken back. Who insists before keeps them from that.
        contested: Option<Version>,
    },
    /// Too few answers.
    TooFew { answers: u16, needed: u16 },
}

/// What an update has seen of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Prepared {
    /// The ballot that was promised.
    pub(crate) ballot: Version,
    /// The newest record.
    pub(crate) newest: Option<Found>,
    /// Which replicas, by their place in the preference list, are known to show that record.
    pub(crate) holders: SmallVec<[bool; 5]>,
}

impl Prepared {
    /// The version of the newest record, the smallest of all if there is none.
    pub(crate) fn base(&self) -> Version {
        self.newest.as_ref().map(|found| found.version).unwrap_or_default()
    }

    /// How many replicas are known to show it.
    pub(crate) fn held_by(&self) -> usize {
        self.holders.iter().filter(|&&holds| holds).count()
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Standing {
    Unsent,
    Awaited,
    /// It shows this version, or nothing.
    Shows(Version),
    Withheld(Version),
    Failed,
}

/// The state of one question.
#[derive(Debug)]
pub(crate) struct PrepareProgress {
    needed: u16,
    write: u16,
    insists: bool,
    ballot: Version,
    replicas: SmallVec<[Standing; 5]>,
    newest: Option<Found>,
    outrun_by: Version,
}

impl PrepareProgress {
    /// A question that has not left yet.
    pub(crate) fn new(quorum: Quorum, insists: bool) -> Self {
        Self {
            needed: quorum.update(),
            write: quorum.write,
            insists,
            ballot: Version::default(),
            replicas: SmallVec::from_elem(Standing::Unsent, usize::from(quorum.replicas)),
            newest: None,
            outrun_by: Version::default(),
        }
    }

    /// Whether also what may come to nothing is to be shown.
    pub(crate) fn insists(&self) -> bool {
        self.insists
    }

    /// Draws the ballot: the version that the update is going to write.
    pub(crate) fn stamp(&mut self, ballot: Version) {
        self.ballot = ballot;
    }

    /// Notes that `replica` is being asked.
    pub(crate) fn sent(&mut self, replica: usize) {
        self.replicas[replica] = Standing::Awaited;
    }

    /// Takes `replica`'s answer.
    pub(crate) fn answered(&mut self, replica: usize, answer: PrepareAnswer) {
        self.replicas[replica] = match answer {
            PrepareAnswer::Shows(found) => {
                let version = found.as_ref().map(|found| found.version).unwrap_or_default();
                if self.newest.as_ref().is_none_or(|newest| newest.version < version) && found.is_some() {
                    self.newest = found;
                }
                Standing::Shows(version)
            }
            PrepareAnswer::Withheld(uncertain) => Standing::Withheld(uncertain),
            PrepareAnswer::Promised(ballot) => {
                self.outrun_by = self.outrun_by.max(ballot);
                Standing::Failed
            }
            PrepareAnswer::Uncounted => Standing::Failed,
        };
    }

    /// What follows from the answers so far; `None`: wait for more. To be asked once everything was sent.
    pub(crate) fn outcome(&mut self) -> Option<PrepareOutcome> {
        let count = |wanted: fn(&Standing) -> bool| {
            self.replicas.iter().map(|standing| u16::from(wanted(standing))).sum::<u16>()
        };
        let answers = count(|standing| matches!(standing, Standing::Shows(_)));
        if answers >= self.needed {
            let newest = self.newest.take();
            let base = newest.as_ref().map(|found| found.version).unwrap_or_default();
            let holders = self.replicas.iter().map(|standing| *standing == Standing::Shows(base)).collect();
            return Some(PrepareOutcome::Promised(Prepared { ballot: self.ballot, newest, holders }));
        }
        let withheld = if self.insists { 0 } else { count(|standing| matches!(standing, Standing::Withheld(_))) };
        // What is withheld is on a write quorum: to insist does it no harm, and whoever has not answered may be slow.
        let may_insist = withheld > 0 && answers + withheld >= self.needed && self.contested().is_none();
        if !may_insist && answers + count(|standing| *standing == Standing::Awaited) >= self.needed {
            return None;
        }
        Some(match self.outrun_by > Version::default() {
            true => PrepareOutcome::Outrun(self.outrun_by),
            false if withheld > 0 => PrepareOutcome::Withheld { contested: self.contested() },
            false => PrepareOutcome::TooFew { answers, needed: self.needed },
        })
    }

    /// The largest version that was withheld, unless some version is known to be on a write quorum.
    fn contested(&self) -> Option<Version> {
        let versions = || {
            self.replicas.iter().filter_map(|standing| match standing {
                Standing::Shows(version) | Standing::Withheld(version) => Some(*version),
                Standing::Unsent | Standing::Awaited | Standing::Failed => None,
            })
        };
        let newest = versions().max()?;
        let holders = versions().filter(|&version| version == newest).count();
        (holders < usize::from(self.write)).then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::NodeIndex;
    use crate::version::{Hlc, StartNumber};

    fn version(hlc: u64) -> Version {
        Version::new(Hlc(hlc), NodeIndex(0), StartNumber::FIRST)
    }

    fn shows(hlc: u64) -> PrepareAnswer {
        PrepareAnswer::Shows(Some(Found { version: version(hlc), expires_at: None, value: None }))
    }

    fn asked_of_three(write: u16) -> PrepareProgress {
        let mut progress = PrepareProgress::new(Quorum { replicas: 3, write, read: 1 }, false);
        progress.stamp(version(100));
        (0..3).for_each(|replica| progress.sent(replica));
        progress
    }

    #[test]
    fn a_quorum_of_answers_shows_the_newest_record_and_who_has_it() {
        let mut progress = asked_of_three(2);
        progress.answered(2, shows(5));
        assert_eq!(progress.outcome(), None);
        progress.answered(0, shows(7));
        let Some(PrepareOutcome::Promised(prepared)) = progress.outcome() else { panic!("two of three answered") };
        assert_eq!((prepared.base(), prepared.held_by()), (version(7), 1));
        assert_eq!(prepared.holders.as_slice(), [true, false, false]);
    }

    #[test]
    fn nothing_anywhere_is_held_by_all_who_answered() {
        let mut progress = asked_of_three(2);
        progress.answered(1, PrepareAnswer::Shows(None));
        progress.answered(2, PrepareAnswer::Shows(None));
        let Some(PrepareOutcome::Promised(prepared)) = progress.outcome() else { panic!("two of three answered") };
        assert_eq!((prepared.base(), prepared.held_by()), (Version::default(), 2));
    }

    #[test]
    fn writes_that_need_all_replicas_ask_all_of_them() {
        let mut progress = asked_of_three(3);
        progress.answered(0, shows(5));
        progress.answered(1, shows(5));
        assert_eq!(progress.outcome(), None, "the third could refuse for good a write that was seen");
    }

    #[test]
    fn a_larger_ballot_wins_once_no_quorum_is_left() {
        let mut progress = asked_of_three(2);
        progress.answered(0, PrepareAnswer::Promised(version(200)));
        assert_eq!(progress.outcome(), None);
        progress.answered(1, PrepareAnswer::Uncounted);
        assert_eq!(progress.outcome(), Some(PrepareOutcome::Outrun(version(200))));
    }

    #[test]
    fn what_is_withheld_is_waited_for_no_longer_than_others_can_answer() {
        let mut progress = asked_of_three(2);
        progress.answered(0, PrepareAnswer::Withheld(version(9)));
        progress.answered(1, shows(5));
        assert_eq!(progress.outcome(), None, "the third may answer");
        progress.answered(2, shows(5));
        let Some(PrepareOutcome::Promised(prepared)) = progress.outcome() else { panic!("two of three answered") };
        assert_eq!(prepared.holders.as_slice(), [false, true, true]);

        for (other, contested) in [(9, None), (8, Some(version(9)))] {
            let mut progress = asked_of_three(2);
            progress.answered(0, PrepareAnswer::Withheld(version(9)));
            progress.answered(1, PrepareAnswer::Withheld(version(other)));
            assert_eq!(progress.outcome(), Some(PrepareOutcome::Withheld { contested }), "two have 9, or do not");
        }
    }

    #[test]
    fn nobody_is_waited_for_once_what_is_withheld_is_known_to_be_on_a_quorum() {
        let mut progress = asked_of_three(2);
        progress.answered(0, PrepareAnswer::Withheld(version(9)));
        assert_eq!(progress.outcome(), None);
        progress.answered(1, shows(9));
        assert_eq!(progress.outcome(), Some(PrepareOutcome::Withheld { contested: None }));
    }

    #[test]
    fn too_few_answers_end_it() {
        let mut progress = PrepareProgress::new(Quorum { replicas: 3, write: 2, read: 1 }, false);
        progress.sent(0);
        progress.answered(0, PrepareAnswer::Uncounted);
        assert_eq!(progress.outcome(), Some(PrepareOutcome::TooFew { answers: 0, needed: 2 }));
    }
}
