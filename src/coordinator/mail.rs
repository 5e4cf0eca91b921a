//! Letters on their way: which of them is answered next, and when to stop waiting for one replica alone.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use smallvec::SmallVec;

use super::outbox::{Item, Shared};
use crate::peer::{Answers, Exchange, LinkFault, PeerReply, Records, Shown};
use crate::ring::NodeIndex;

/// A letter whose answers are awaited.
pub(super) struct Mail {
    pub(super) to: NodeIndex,
    pub(super) about: About,
    pub(super) exchange: Exchange,
}

/// What a letter is about.
pub(super) struct About {
    pub(super) items: Vec<Item>,
    /// The requests that are about several items.
    pub(super) shared: Shared,
}

impl About {
    /// Lets `take` have each item with its answer, out of the `replies` to the letter's requests; `None` for a value that has
    /// to be asked for alone. Those that were not answered met with `fault`.
    pub(super) fn hand_out(
        &self,
        replies: Vec<PeerReply>,
        fault: Option<&LinkFault>,
        mut take: impl FnMut(Item, Option<Result<PeerReply, LinkFault>>),
    ) {
        let unanswered = || Some(Err(fault.cloned().unwrap_or(LinkFault::TimedOut)));
        let (mut replies, mut shared) = (replies.into_iter(), self.shared.iter().copied().peekable());
        let mut position = 0;
        while position < self.items.len() {
            let count = shared.next_if(|&(first, _)| first == position).map_or(1, |(_, count)| count);
            let items = self.items[position..position + count].iter().copied();
            position += count;
            match replies.next() {
                None => items.for_each(|item| take(item, unanswered())),
                Some(PeerReply::Each(each)) if each.len() == count => {
                    items.zip(each).for_each(|(item, reply)| take(item, Some(Ok(reply))));
                }
                Some(PeerReply::Records(Records(each))) if each.len() == count => {
                    items.zip(each).for_each(|(item, shown)| take(item, alone(shown).map(Ok)));
                }
                Some(reply) => items.for_each(|item| take(item, Some(Ok(reply.clone())))),
            }
        }
    }
}

/// What the answer had been if the key had been asked for alone; `None` if it has to be.
pub(super) fn alone(shown: Shown) -> Option<PeerReply> {
    match shown {
        Shown::Record(record) => Some(PeerReply::Record(record)),
        Shown::Missing => Some(PeerReply::Missing),
        Shown::Syncing => Some(PeerReply::Syncing),
        Shown::Large => None,
    }
}

/// All of a batch.
pub(super) type Letters = SmallVec<[Mail; 4]>;

/// Whose letter was answered, or failed, what it was about, and the answers.
type Answered = (NodeIndex, About, Answers);

/// The next letter that is answered.
pub(super) async fn next_answers(mail: &mut Letters) -> Answered {
    assert!(!mail.is_empty(), "an undecided operation awaits an answer");
    poll_fn(|context| {
        for position in 0..mail.len() {
            if let Poll::Ready(answers) = Pin::new(&mut mail[position].exchange).poll(context) {
                let Mail { to, about, .. } = mail.swap_remove(position);
                return Poll::Ready((to, about, answers));
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::outbox::Step;
    use crate::version::Version;

    /// A letter about single items, but for three that share the second request.
    fn about() -> About {
        let item = |operation| Item { operation, replica: 0, step: Step::Write { attempt: 1 } };
        About { items: (0..5).map(item).collect(), shared: [(1, 3)].into_iter().collect() }
    }

    fn answers(replies: Vec<PeerReply>) -> Vec<Option<PeerReply>> {
        let mut answers = Vec::new();
        about().hand_out(replies, Some(&LinkFault::TimedOut), |item, answer| {
            assert_eq!(item.operation, answers.len());
            answers.push(answer.and_then(Result::ok));
        });
        answers
    }

    #[test]
    fn each_item_gets_its_answer() {
        let stale = PeerReply::Stale(Version::default());
        let each = PeerReply::Each(vec![PeerReply::Ok, stale.clone(), PeerReply::Void]);
        let found = answers(vec![PeerReply::Kept, each, PeerReply::Syncing]);
        let expected = [PeerReply::Kept, PeerReply::Ok, stale, PeerReply::Void, PeerReply::Syncing];
        assert_eq!(found, expected.map(Some));
    }

    #[test]
    fn each_key_gets_what_is_shown_of_it_unless_that_was_left_out() {
        let each = PeerReply::Records(Records(vec![Shown::Missing, Shown::Large, Shown::Syncing]));
        let found = answers(vec![PeerReply::Kept, each, PeerReply::Void]);
        let expected = [PeerReply::Kept, PeerReply::Missing, PeerReply::Ok, PeerReply::Syncing, PeerReply::Void];
        let mut expected = expected.map(Some);
        expected[2] = None;
        assert_eq!(found, expected);
    }

    #[test]
    fn one_answer_may_be_that_to_several() {
        let found = answers(vec![PeerReply::Kept, PeerReply::Ok, PeerReply::Syncing]);
        let expected = [PeerReply::Kept, PeerReply::Ok, PeerReply::Ok, PeerReply::Ok, PeerReply::Syncing];
        assert_eq!(found, expected.map(Some));
    }

    #[test]
    fn what_was_not_answered_is_a_fault() {
        assert_eq!(answers(vec![]), [None, None, None, None, None]);
        assert_eq!(answers(vec![PeerReply::Ok]), [Some(PeerReply::Ok), None, None, None, None]);
        let found = answers(vec![PeerReply::Ok, PeerReply::Ok]);
        assert_eq!(found.iter().filter(|answer| answer.is_none()).count(), 1);
    }

    #[test]
    fn too_few_answers_to_several_acknowledge_none() {
        let few = PeerReply::Each(vec![PeerReply::Ok]);
        let found = answers(vec![PeerReply::Ok, few.clone(), PeerReply::Ok]);
        assert!(found[1..4].iter().all(|answer| *answer == Some(few.clone())), "{found:?}");
    }
}
