//! Copying what another replica holds: catching up and anti-entropy do it alike.
//!
//! The peer lists the versions of some slots, this node fetches the records that it lacks and merges them. Nothing is
//! pushed: whoever lacks something fetches it, so each node needs to know only what it holds itself. How much is asked
//! for at once follows from the size of the last answers, and how fast from a budget.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::Replica;
use super::pace::Pace;
use crate::peer::{Answers, ListedRecord, NodeCommunicator, PeerReply, PeerRequest, ReadRecord, RequestBatch};
use crate::ring::{NodeIndex, Slot};
use crate::time::UnixMs;
use crate::version::{Hlc, StartNumber, VERSION_TEXT_BYTES};

/// Slots whose versions are asked for at once.
const SLOTS_PER_REQUEST_MAX: usize = 64;
/// Records that are fetched at once, if they are small.
const RECORDS_PER_REQUEST_MAX: usize = 256;
/// How many are asked for first, when their size is not known.
const PER_REQUEST_FIRST: usize = 16;
/// Bytes that one answer should come to at most: all of them are in memory at once.
const ANSWER_BYTES: usize = 4 << 20;

/// So many listed records cost about as much as one that is fetched.
const LISTED_PER_RECORD: usize = 4;

/// What the copies are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// This node has lost its memory. It fetches tombstones too: the next replica that it hears may hold what they
    /// stand against.
    CatchUp,
    /// Two replicas differ. A tombstone is fetched only where it outranks something here: digests do not count it, and
    /// if it went where it is of no use, replicas would hand tombstones to each other for ever instead of dropping
    /// them.
    Repair,
}

/// What became of asking for a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// All that the peer shows is merged here; so many records were lacking.
    Merged(usize),
    /// This process of the peer has not caught up on the slot.
    Syncing(StartNumber),
    /// The peer did not answer, or this node cannot take what it has.
    Nothing,
}

/// What became of a page of a list.
struct Merged {
    /// How many of its records were lacking.
    lacking: usize,
    /// None of them is lacking any more.
    is_complete: bool,
}

/// Fetches from peers.
pub(super) struct Fetcher {
    replica: Arc<Replica>,
    peers: Arc<dyn NodeCommunicator>,
    purpose: Purpose,
    slots: Portion,
    records: Portion,
    pace: Pace,
    began: Instant,
}

impl Fetcher {
    pub(super) fn new(replica: Arc<Replica>, peers: Arc<dyn NodeCommunicator>, purpose: Purpose) -> Self {
        let (slots, records) = (Portion::new(SLOTS_PER_REQUEST_MAX), Portion::new(RECORDS_PER_REQUEST_MAX));
        Self { replica, peers, purpose, slots, records, pace: Pace::default(), began: Instant::now() }
    }

    /// How many slots [`Self::hear`] should be asked for at once.
    pub(super) fn slots_at_once(&self) -> usize {
        self.slots.count
    }

    /// Merges what `node` holds of `slots`.
    pub(super) async fn hear(&mut self, node: NodeIndex, slots: &[Slot]) -> Vec<Heard> {
        let mut batch = RequestBatch::new();
        if self.purpose == Purpose::CatchUp {
            batch.push(&PeerRequest::Promises);
        }
        for &slot in slots {
            batch.push(&PeerRequest::Keys { slot, from: 0 });
        }
        let Answers { process, mut replies, .. } = self.peers.exchange(node, batch).await;
        if self.purpose == Purpose::CatchUp {
            let clock = replies.drain(..replies.len().min(1)).next();
            match clock {
                Some(PeerReply::Integer(clock)) => self.replica.keep_promises(Hlc(clock), self.replica.wall.now()),
                _ => replies.clear(),
            }
        }
        self.slots.learn(slots.len(), listed_bytes(&replies), replies.len() == slots.len());
        self.rest(&replies).await;
        let mut heard = Vec::with_capacity(slots.len());
        for (&slot, reply) in slots.iter().zip(replies) {
            heard.push(self.merge_slot((node, process), slot, reply).await);
        }
        heard.resize(slots.len(), Heard::Nothing);
        heard
    }

    /// Merges the list of a slot, page by page.
    ///
    /// A record that this node cannot take keeps no other one from being fetched: it may be refused for hours.
    async fn merge_slot(&mut self, (node, process): (NodeIndex, StartNumber), slot: Slot, first: PeerReply) -> Heard {
        let (mut reply, mut merged, mut is_complete) = (first, 0, true);
        loop {
            let next = match reply {
                PeerReply::Keys { records, next } => match self.merge(node, slot, records).await {
                    Some(page) => {
                        merged += page.lacking;
                        is_complete &= page.is_complete;
                        next
                    }
                    None => return Heard::Nothing,
                },
                PeerReply::Syncing => return Heard::Syncing(process),
                _ => return Heard::Nothing,
            };
            let Some(from) = next else {
                return if is_complete { Heard::Merged(merged) } else { Heard::Nothing };
            };
            let mut batch = RequestBatch::new();
            batch.push(&PeerRequest::Keys { slot, from });
            let mut answers = self.peers.exchange(node, batch).await;
            self.rest(&answers.replies).await;
            // A position means nothing to another process.
            let page = answers.replies.pop().filter(|_| answers.process == process);
            reply = page.unwrap_or(PeerReply::Missing);
        }
    }

    /// Fetches those of the listed records that are lacking here; `None` if the peer stopped answering.
    ///
    /// What may still be taken back here stands for nothing, and may be taken back there too unless it is fetched.
    async fn merge(&mut self, node: NodeIndex, slot: Slot, listed: Vec<ListedRecord>) -> Option<Merged> {
        let now = self.replica.wall.now();
        let mut wanted: Vec<_> = listed.into_iter().filter(|record| self.is_lacking(slot, record, now)).collect();
        wanted.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        let mut merged = Merged { lacking: wanted.len(), is_complete: true };
        let mut rest = wanted.as_slice();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(fitting(rest).min(self.records.count));
            merged.is_complete &= self.fetch(node, part).await?;
            rest = later;
        }
        Some(merged)
    }

    fn is_lacking(&self, slot: Slot, record: &ListedRecord, now: UnixMs) -> bool {
        let ListedRecord { key, version, is_gone, .. } = record;
        let store = &self.replica.store;
        match self.purpose {
            Purpose::Repair if *is_gone => store.is_outranked(slot, key, *version),
            Purpose::Repair | Purpose::CatchUp => store.lacks(slot, key, *version, now),
        }
    }

    /// Fetches records at once: whether all could be taken, `None` if not all were answered. What came is kept in any
    /// case, and before the rest: nothing may be on its way for longer than is reckoned with.
    async fn fetch(&mut self, node: NodeIndex, wanted: &[ListedRecord]) -> Option<bool> {
        let mut batch = RequestBatch::new();
        for ListedRecord { key, .. } in wanted {
            batch.push(&PeerRequest::Read { key });
        }
        let replies = self.peers.exchange(node, batch).await.replies;
        let is_answered = replies.len() == wanted.len();
        self.records.learn(wanted.len(), value_bytes(&replies), is_answered);
        let now = self.replica.wall.now();
        let taken = wanted.iter().zip(&replies).filter(|(record, reply)| self.take(&record.key, reply, now)).count();
        self.rest(&replies).await;
        is_answered.then_some(taken == wanted.len())
    }

    /// Keeps what the reply to a read shows of `key`. Whether nothing of it is missing here now.
    fn take(&self, key: &[u8], reply: &PeerReply, now: UnixMs) -> bool {
        match reply {
            PeerReply::Record(record) => match self.replica.copy_fetched(key, record, now) {
                PeerReply::Ok => {
                    self.count(key, record);
                    true
                }
                refusal => {
                    tracing::debug!(?refusal, "cannot take a record of another replica");
                    false
                }
            },
            // Reverted meanwhile, or a tombstone that was dropped.
            PeerReply::Missing => true,
            _ => false,
        }
    }

    fn count(&self, key: &[u8], record: &ReadRecord) {
        match self.purpose {
            Purpose::CatchUp => {
                let value_bytes = record.value.as_ref().map_or(0, Bytes::len);
                self.replica.sync_meter.add(1, key.len() + VERSION_TEXT_BYTES + value_bytes);
            }
            Purpose::Repair => {
                self.replica.convergence.repairs_by_anti_entropy.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until the budget allows for more than `replies`.
    async fn rest(&mut self, replies: &[PeerReply]) {
        let records = replies.iter().map(|reply| match reply {
            PeerReply::Record(_) => 1,
            reply => listed(reply).len() / LISTED_PER_RECORD,
        });
        let bytes = listed_bytes(replies) + value_bytes(replies);
        if let Some(until) = self.pace.spend(records.sum(), bytes, self.began.elapsed()) {
            sleep_until(self.began + until).await;
        }
    }
}

/// How many of something are asked for at once.
struct Portion {
    count: usize,
    max: usize,
}

impl Portion {
    fn new(max: usize) -> Self {
        Self { count: PER_REQUEST_FIRST, max }
    }

    /// After `count` were asked for and `bytes` came: as many as fit by their mean, but at most twice as many. If not all
    /// were answered, half as many.
    fn learn(&mut self, count: usize, bytes: usize, is_complete: bool) {
        let fitting = ANSWER_BYTES / (bytes / count.max(1)).max(1);
        let next = if is_complete { fitting.min(2 * count) } else { count / 2 };
        // The end of a list is short and teaches nothing.
        let is_short = is_complete && count < self.count && next >= count;
        self.count = if is_short { self.count } else { next.clamp(1, self.max) };
    }
}

/// How many of these, from the first on, may be fetched at once by their sizes: one in any case.
fn fitting(wanted: &[ListedRecord]) -> usize {
    let mut bytes = 0_usize;
    let fits = |record: &&ListedRecord| {
        bytes = bytes.saturating_add(record.value_bytes);
        bytes <= ANSWER_BYTES
    };
    wanted.iter().take_while(fits).count().max(1)
}

fn listed(reply: &PeerReply) -> &[ListedRecord] {
    match reply {
        PeerReply::Keys { records, .. } => records,
        _ => &[],
    }
}

fn listed_bytes(replies: &[PeerReply]) -> usize {
    let bytes = |record: &ListedRecord| record.key.len() + VERSION_TEXT_BYTES;
    replies.iter().flat_map(listed).map(bytes).sum()
}

fn value_bytes(replies: &[PeerReply]) -> usize {
    let bytes = |reply: &PeerReply| match reply {
        PeerReply::Record(ReadRecord { value: Some(value), .. }) => value.len(),
        _ => 0,
    };
    replies.iter().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(before: usize, count: usize, bytes: usize, is_complete: bool) -> usize {
        let mut portion = Portion { count: before, max: RECORDS_PER_REQUEST_MAX };
        portion.learn(count, bytes, is_complete);
        portion.count
    }

    #[test]
    fn records_are_fetched_by_their_size() {
        assert_eq!(after(16, 16, 1600, true), 32, "small ones by more and more");
        assert_eq!(after(256, 256, 25_600, true), RECORDS_PER_REQUEST_MAX);
        assert_eq!(after(16, 16, 16 << 20, true), 4, "a few of a megabyte");
        assert_eq!(after(16, 16, 16 << 30, true), 1, "huge ones singly");
        assert_eq!(after(1, 1, 0, true), 2);
        assert_eq!(after(64, 64, 0, false), 32, "fewer when not all came");
        assert_eq!(after(1, 1, 0, false), 1);
    }

    #[test]
    fn a_few_large_values_among_many_small_ones_do_not_come_all_at_once() {
        let record = |value_bytes| ListedRecord { value_bytes, ..ListedRecord::default() };
        let wanted = |sizes: &[usize]| sizes.iter().copied().map(record).collect::<Vec<_>>();
        assert_eq!(fitting(&wanted(&[100; 300])), 300);
        assert_eq!(fitting(&wanted(&[100, 100, ANSWER_BYTES, 100])), 2);
        assert_eq!(fitting(&wanted(&[512 << 20, 100])), 1);
        assert_eq!(fitting(&wanted(&[usize::MAX, usize::MAX])), 1);
        assert_eq!(fitting(&wanted(&[1 << 20; 100])), 4);
    }

    #[test]
    fn a_short_end_of_a_list_makes_no_portion_smaller_unless_it_is_large() {
        assert_eq!(after(256, 3, 300, true), 256);
        assert_eq!(after(256, 3, 60 << 20, true), 1);
    }
}
