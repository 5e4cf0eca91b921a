//! Letters on their way: which of them is answered next, and when to stop waiting for one replica alone.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::timeout;

use super::outbox::Item;
use crate::peer::{Answers, Exchange};
use crate::ring::NodeIndex;

/// A read that waits for one replica asks the next after this part of `request_timeout`: a hung one costs a fraction of
/// it, and one that is merely busy is left alone.
const HURRY_PARTS: u32 = 8;

/// A letter whose answers are awaited.
pub(super) struct Mail {
    pub(super) to: NodeIndex,
    pub(super) items: Vec<Item>,
    pub(super) exchange: Exchange,
}

/// All of a batch.
pub(super) type Letters = SmallVec<[Mail; 4]>;

/// Whose letter was answered, or failed, what it was about, and the answers.
type Answered = (NodeIndex, Vec<Item>, Answers);

/// The next letter that is answered.
pub(super) async fn next_answers(mail: &mut Letters) -> Answered {
    assert!(!mail.is_empty(), "an undecided operation awaits an answer");
    poll_fn(|context| {
        for position in 0..mail.len() {
            if let Poll::Ready(answers) = Pin::new(&mut mail[position].exchange).poll(context) {
                let Mail { to, items, .. } = mail.swap_remove(position);
                return Poll::Ready((to, items, answers));
            }
        }
        Poll::Pending
    })
    .await
}

/// As [`next_answers`], `None` if none comes for so long that more replicas should be asked.
pub(super) async fn next_answers_soon(mail: &mut Letters, request_timeout: Duration) -> Option<Answered> {
    timeout(request_timeout / HURRY_PARTS, next_answers(mail)).await.ok()
}
