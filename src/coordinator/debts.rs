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
use crate::peer::Exchange;
use crate::replica::{Copies, Replica};
use crate::ring::NodeIndex;
use crate::version::Version;

/// What was missed of one batch so far.
#[derive(Debug, Default)]
pub(super) struct Debts {
    missed: Vec<(NodeIndex, Copies)>,
    /// Stamps of writes of this batch that are not owed to anybody.
    disowned: Vec<Version>,
}

impl Debts {
    /// Notes what `node` misses.
    pub(super) fn missed(&mut self, node: NodeIndex, copies: Copies) {
        self.missed.push((node, copies));
    }

    /// Notes what `node` did not answer: all `requests` but the first `answered`.
    pub(super) fn unanswered(&mut self, node: NodeIndex, requests: Bytes, answered: usize) {
        self.missed(node, Copies::of_unanswered(requests, answered));
    }

    /// Notes that a write is not acknowledged under these stamps.
    pub(super) fn disown(&mut self, stamps: &[Version]) {
        self.disowned.extend_from_slice(stamps);
    }

    /// All outcomes are known: makes hints of what is owed. `mail` is what is still out.
    pub(super) fn settle(debts: Option<Box<Self>>, replica: &Arc<Replica>, mail: impl Iterator<Item = Mail>) {
        let mut debts = debts.map_or_else(Self::default, |debts| *debts);
        for mail in mail {
            let is_write = || mail.about.items.iter().any(|item| matches!(item.step, Step::Write { .. }));
            if !debts.disowned.is_empty() && is_write() {
                tokio::spawn(wait(Arc::clone(replica), mail, debts.disowned.clone()));
            } else {
                debts.left(mail.to, mail.exchange);
            }
        }
        debts.owe(replica);
    }

    /// As [`Debts::settle`], where all is owed.
    pub(super) fn leave(replica: &Replica, out: impl Iterator<Item = (NodeIndex, Exchange)>) {
        let mut debts = Self::default();
        out.for_each(|(to, exchange)| debts.left(to, exchange));
        debts.owe(replica);
    }

    /// Waits for `node` no longer.
    fn left(&mut self, node: NodeIndex, exchange: Exchange) {
        if let Some(answers) = exchange.leave()
            && let Some(requests) = answers.missed
        {
            self.unanswered(node, *requests, answers.replies.len());
        }
    }

    fn owe(self, replica: &Replica) {
        for (node, copies) in &self.missed {
            replica.owe(*node, copies, |version| !self.disowned.contains(&version));
        }
    }
}

/// Waits for the answers to one letter, which the link ends in time, and makes hints of what is owed of it.
async fn wait(replica: Arc<Replica>, mail: Mail, disowned: Vec<Version>) {
    let answers = mail.exchange.await;
    if let Some(requests) = answers.missed {
        let mut debts = Debts { missed: Vec::new(), disowned };
        debts.unanswered(mail.to, *requests, answers.replies.len());
        debts.owe(&replica);
    }
}
