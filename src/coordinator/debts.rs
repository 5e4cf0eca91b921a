//! What replicas missed of a batch, until it is known which of its writes were acknowledged: only those are owed.
//!
//! While a batch is on its way, what comes back unanswered is gathered here. When its writes have their outcomes the
//! debts become hints, and letters that are still out are left to their links, which report what is missed later: by
//! then nothing is left that would know these writes, so all of them must be owed. Where some are not, because they
//! were taken back or stamped anew, somebody who remembers them stays and waits.

use std::sync::Arc;

use bytes::Bytes;

use super::mail::Mail;
use super::outbox::Step;
use crate::peer::{Answers, RequestBatch};
use crate::replica::Replica;
use crate::ring::NodeIndex;
use crate::version::Version;

/// What was missed of one batch so far.
#[derive(Debug, Default)]
pub(super) struct Debts {
    missed: Vec<Missed>,
    /// Stamps of writes of this batch that are not owed to anybody.
    disowned: Vec<Version>,
}

/// Requests that a node may not have got.
#[derive(Debug)]
struct Missed {
    by: NodeIndex,
    requests: Bytes,
    /// So many of them were answered.
    answered: usize,
}

impl Debts {
    /// Notes what was not sent to `node`, because it is out of reach.
    pub(super) fn unsent(&mut self, node: NodeIndex, batch: RequestBatch) {
        self.missed.push(Missed { by: node, requests: batch.into_bytes().into(), answered: 0 });
    }

    /// Notes what `node` did not answer.
    pub(super) fn unanswered(&mut self, node: NodeIndex, requests: Bytes, answered: usize) {
        if !requests.is_empty() {
            self.missed.push(Missed { by: node, requests, answered });
        }
    }

    /// Notes that a write is not acknowledged under these stamps.
    pub(super) fn disown(&mut self, stamps: &[Version]) {
        self.disowned.extend_from_slice(stamps);
    }

    /// All outcomes are known: makes hints of what is owed. `mail` is what is still out.
    pub(super) fn settle(self, replica: &Arc<Replica>, mail: impl Iterator<Item = Mail>) {
        let Self { mut missed, disowned } = self;
        for mail in mail {
            let to = mail.to;
            if !disowned.is_empty() && mail.items.iter().any(|item| matches!(item.step, Step::Write { .. })) {
                tokio::spawn(wait(Arc::clone(replica), mail, disowned.clone()));
            } else if let Some(answers) = mail.exchange.leave().filter(|answers| !answers.missed.is_empty()) {
                missed.push(Missed::of(to, answers));
            }
        }
        for missed in missed {
            missed.owe(replica, &disowned);
        }
    }
}

impl Missed {
    fn of(by: NodeIndex, answers: Answers) -> Self {
        Self { by, requests: answers.missed, answered: answers.replies.len() }
    }

    fn owe(self, replica: &Replica, disowned: &[Version]) {
        replica.owe(self.by, self.requests, self.answered, |version| !disowned.contains(&version));
    }
}

/// Waits for the answers to one letter, which the link ends in time, and makes hints of what is owed of it.
async fn wait(replica: Arc<Replica>, mail: Mail, disowned: Vec<Version>) {
    let answers = mail.exchange.await;
    if !answers.missed.is_empty() {
        Missed::of(mail.to, answers).owe(&replica, &disowned);
    }
}
