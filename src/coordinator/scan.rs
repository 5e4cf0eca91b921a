//! Walking through the keys of the whole cluster: SCAN and KEYS.
//!
//! All keys stand in one order that every node knows ([`KeyPlace`]), so a cursor is a place in it. Nobody remembers a walk,
//! any node can go on with it, and a key that stays is passed however many others come and go. One question to each
//! node goes as far as its share of keys takes it (`replica/scan.rs`), and what they told is merged as far as all of
//! them have come (`scan_pages.rs`). Whoever does not answer is left out of the next attempt.

use super::scan_pages::{ScanPart, ScanRange, ScannedKeys, is_enough, merge, share, uncovered};
use super::{ConsistentHashingKvStore, QuorumError};
use crate::peer::{Exchange, PeerReply, PeerRequest, RequestBatch, ScanAnswer, ScanQuestion, ScanStop};
use crate::ring::{KeyPlace, NodeIndex, Slot};
use crate::version::{StartNumber, Version};

/// How often a page is asked for anew because a node did not answer.
const ATTEMPTS_MAX: usize = 3;
/// Pages of one call of SCAN: where most of what is there are tombstones, it ends with few keys, or with none.
const PAGES_MAX: usize = 16;
/// Keys that are asked for at once by those who want all of them.
const WALK_KEYS: usize = 4096;

/// A node whose answers are being put together.
struct Teller {
    node: NodeIndex,
    /// The process that answered first: what it left over means nothing to another one.
    process: Option<StartNumber>,
    part: ScanPart,
    /// What it is to be asked next, if anything.
    question: Option<ScanQuestion>,
}

impl ConsistentHashingKvStore {
    /// About `count` keys of a range, in order: those that were there all the while, and perhaps some that came or went.
    ///
    /// # Errors
    /// [`QuorumError::TooFewForRead`] if N-W+1 replicas of the first slot cannot be heard.
    pub async fn scan(&self, mut range: ScanRange, count: usize) -> Result<ScannedKeys, QuorumError> {
        let mut scanned = ScannedKeys { keys: Vec::new(), next: Some(range.from) };
        for _ in 0..PAGES_MAX {
            match self.scan_page(range, count - scanned.keys.len().min(count)).await {
                Ok(page) => {
                    scanned.keys.extend(page.keys);
                    scanned.next = page.next;
                }
                // What was found may be told; the next call hears of it.
                Err(_) if !scanned.keys.is_empty() => break,
                Err(error) => return Err(error),
            }
            match scanned.next {
                Some(next) if !is_enough(scanned.keys.len(), count) => range = range.from(next),
                Some(_) | None => break,
            }
        }
        Ok(scanned)
    }

    /// Shows `visit` every key of a range, in order and in pages between which others are served, until it says no.
    ///
    /// # Errors
    /// [`QuorumError::TooFewForRead`] if N-W+1 replicas of some slot cannot be heard.
    pub async fn walk(&self, mut range: ScanRange, mut visit: impl FnMut(&[u8]) -> bool) -> Result<(), QuorumError> {
        loop {
            let page = self.scan_page(range, WALK_KEYS).await?;
            if !page.keys.iter().all(|key| visit(key)) {
                return Ok(());
            }
            match page.next {
                Some(next) => range = range.from(next),
                None => return Ok(()),
            }
        }
    }

    /// The keys from the beginning of a range on, as far as one question to each node takes.
    async fn scan_page(&self, range: ScanRange, count: usize) -> Result<ScannedKeys, QuorumError> {
        let (mut failed, mut reason) = (Vec::new(), None);
        if range.is_over() {
            return Ok(ScannedKeys::default());
        }
        for _ in 0..ATTEMPTS_MAX {
            let nodes = self.caught_up_nodes(&failed);
            self.covered(range.from.slot(), &nodes, reason.as_ref())?;
            let count = share(count, self.quorum.stale_limit(), nodes.len());
            let ask = |nodes: &[NodeIndex]| {
                let ScanRange { from, until } = range;
                ScanQuestion { from, until, count, nodes: nodes.to_vec(), rest: None }
            };
            match self.hear(&nodes, &ask(&nodes)).await {
                Ok(parts) => return Ok(self.put_together(parts, range, &nodes)),
                Err((node, why)) => {
                    failed.push(node);
                    reason = Some(format!("{}: {why}", self.name(node)));
                }
            }
        }
        Err(QuorumError::TooFewForRead { answers: 0, needed: self.quorum.stale_limit(), reason })
    }

    /// Fails if too few replicas of `slot` are among `nodes`.
    fn covered(&self, slot: Slot, nodes: &[NodeIndex], reason: Option<&String>) -> Result<(), QuorumError> {
        let (needed, ring) = (self.quorum.stale_limit(), &self.replica.ring);
        let replicas = |slot| ring.preference_list(slot).as_slice();
        match uncovered(std::iter::once(slot), replicas, nodes, self.quorum) {
            None => Ok(()),
            Some((slot, answers)) => {
                let why = || format!("too few replicas of slot {} can be reached", slot.number());
                let reason = Some(reason.cloned().unwrap_or_else(why));
                Err(QuorumError::TooFewForRead { answers, needed, reason })
            }
        }
    }

    /// What the nodes told, as far as all have come, and not into a slot of which too few told.
    fn put_together(&self, parts: Vec<ScanPart>, range: ScanRange, nodes: &[NodeIndex]) -> ScannedKeys {
        let last = parts.iter().filter_map(|part| part.stop).min().map_or(range.until - 1, |stop| stop.slot().number());
        let slots = (range.from.slot().number()..=last).filter_map(Slot::new);
        let ring = &self.replica.ring;
        let missed = match nodes.len() == self.replica.config.nodes.len() {
            true => None,
            false => uncovered(slots, |slot| ring.preference_list(slot).as_slice(), nodes, self.quorum),
        };
        merge(parts, missed.map(|(slot, _)| KeyPlace::new(slot, 0)))
    }

    /// Asks all `nodes`, and each until its page is whole. Who failed, and why, if one did.
    async fn hear(&self, nodes: &[NodeIndex], question: &ScanQuestion) -> Result<Vec<ScanPart>, (NodeIndex, String)> {
        let mut tellers: Vec<Teller> = nodes.iter().map(|&node| Teller::new(node, question)).collect();
        while tellers.iter().any(|teller| teller.question.is_some()) {
            let asked: Vec<Option<Exchange>> = tellers.iter().map(|teller| self.ask_teller(teller)).collect();
            for (teller, exchange) in tellers.iter_mut().zip(asked) {
                let Some(question) = teller.question.take() else { continue };
                let (process, reply) = match exchange {
                    None => (self.replica.start(), Some(self.replica.scan(&question, self.replica.wall.now()))),
                    Some(exchange) => {
                        let answers = exchange.await;
                        (answers.process, answers.replies.into_iter().next())
                    }
                };
                teller.take(question, process, reply).map_err(|why| (teller.node, why))?;
            }
            // A node that answers itself alone would not let others have their turn.
            tokio::task::yield_now().await;
        }
        Ok(tellers.into_iter().map(|teller| teller.part).collect())
    }

    /// Sends a teller its question; `None` if it has none or is this node.
    fn ask_teller(&self, teller: &Teller) -> Option<Exchange> {
        let question = teller.question.clone().filter(|_| teller.node != self.replica.index)?;
        let mut batch = RequestBatch::default();
        batch.push(&PeerRequest::Scan(question));
        Some(self.peers.exchange(teller.node, batch))
    }
}

impl Teller {
    fn new(node: NodeIndex, question: &ScanQuestion) -> Self {
        let part = ScanPart { flush_mark: Version::default(), stop: None, keys: Vec::new() };
        Self { node, process: None, part, question: Some(question.clone()) }
    }

    /// Takes the answer to `question`, and has the next question if the page is not whole.
    fn take(&mut self, question: ScanQuestion, process: StartNumber, reply: Option<PeerReply>) -> Result<(), String> {
        let ScanAnswer { flush_mark, stop, keys } = match reply {
            Some(PeerReply::Scan(answer)) => answer,
            Some(other) => return Err(super::answers::refusal(&other)),
            None => return Err("does not answer".to_owned()),
        };
        if *self.process.get_or_insert(process) != process {
            return Err("has just restarted".to_owned());
        }
        self.part.flush_mark = self.part.flush_mark.max(flush_mark);
        self.part.keys.extend(keys);
        self.part.stop = stop.map(|stop| stop.place);
        if let Some(ScanStop { place, rest: Some(rest) }) = stop {
            self.question = Some(ScanQuestion { from: place, rest: Some(rest), ..question });
        }
        Ok(())
    }
}
