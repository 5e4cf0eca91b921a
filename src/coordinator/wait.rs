//! WAIT: how many other replicas hold what a connection has written.
//!
//! A write is answered at its W-th ack, and the other replicas get it a moment later, or as a hint, or by comparing. To
//! remember of each write who has it would cost every write something, so a connection remembers only which slots it has
//! written, and WAIT compares the slots' sums on all replicas within reach: replicas that show the same sum show the same
//! records, and if there are N-W+1 of them one was among those that acknowledged. So each of them holds the connection's
//! writes or newer ones, whoever carried them and however they came. Fewer equal replicas prove nothing and count as none.
//!
//! The answer is the least over the slots, less one: the other replicas. What other connections write at the same moment
//! may make replicas differ for a moment; then they are asked again.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::ConsistentHashingKvStore;
use super::quorum::Quorum;
use super::written::WrittenSlots;
use crate::peer::{Answers, Certainty, Exchange, PeerReply, PeerRequest, RequestBatch};
use crate::ring::{NodeIndex, Slot};
use crate::version::Version;

/// Slots of one message.
const SLOTS_PER_REQUEST: usize = 512;
/// How long to wait before replicas are asked again: at first, and at most.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// What a replica shows of a slot: the newest FLUSHALL that it knows of, and the sum of its live records.
type Shown = (Version, u64);

impl ConsistentHashingKvStore {
    /// How many other replicas hold what was written to `written`, waiting until there are at least `wanted` or until
    /// `deadline`. Slots that are found on all their replicas are forgotten.
    ///
    /// Without any write: as many as could hold one. If none is wanted: as many as are found at one look. Else the most that were
    /// found at any: what a replica holds it keeps as long as it runs, and the last look may be cut short.
    pub async fn wait(&self, written: &mut WrittenSlots, wanted: u64, deadline: Option<Instant>) -> u16 {
        let (mut pause, mut others) = (PAUSE_FIRST, 0);
        loop {
            let nodes = self.caught_up_nodes(&[]);
            let held = if written.is_empty() {
                self.possible_holders(&nodes)
            } else {
                self.count_holders(written, &nodes, wanted, deadline).await
            };
            others = others.max(held.saturating_sub(1));
            let next = Instant::now() + pause;
            if u64::from(others) >= wanted {
                return others;
            }
            match deadline.filter(|&deadline| deadline <= next) {
                Some(deadline) => {
                    sleep_until(deadline).await;
                    return others;
                }
                None => sleep_until(next).await,
            }
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    /// The fewest replicas of any slot that are among `nodes`.
    fn possible_holders(&self, nodes: &[NodeIndex]) -> u16 {
        let replicas = self.quorum.replicas;
        if usize::from(replicas) == self.replica.config.nodes.len() {
            return u16::try_from(nodes.len()).unwrap_or(replicas);
        }
        let among = |slot: Slot| self.replicas_among(slot, nodes).map(|_| 1).sum();
        Slot::all().map(among).min().unwrap_or_default()
    }

    /// The fewest replicas that are known to hold a slot. Those that all hold are taken out of `written`.
    async fn count_holders(
        &self,
        written: &mut WrittenSlots,
        nodes: &[NodeIndex],
        wanted: u64,
        deadline: Option<Instant>,
    ) -> u16 {
        let slots: Vec<Slot> = written.iter().collect();
        let is_enough = |shown: &[Vec<Shown>]| {
            wanted > 0 && shown.iter().all(|shown| u64::from(holders(shown, self.quorum).saturating_sub(1)) >= wanted)
        };
        let shown = self.look(&slots, nodes, deadline, is_enough).await;
        let mut fewest = self.quorum.replicas;
        for (slot, shown) in slots.into_iter().zip(shown) {
            let held = holders(&shown, self.quorum);
            fewest = fewest.min(held);
            if held == self.quorum.replicas {
                written.remove(slot);
            }
        }
        fewest
    }

    /// What replicas show of each slot: those that answer in time, or before it is enough.
    async fn look(
        &self,
        slots: &[Slot],
        nodes: &[NodeIndex],
        deadline: Option<Instant>,
        is_enough: impl Fn(&[Vec<Shown>]) -> bool,
    ) -> Vec<Vec<Shown>> {
        let mut letters = Vec::with_capacity(nodes.len());
        let mut shown = vec![Vec::with_capacity(nodes.len()); slots.len()];
        for &node in nodes {
            let keeps = |&index: &usize| self.replica.ring.preference_list(slots[index]).contains(node);
            let kept: Vec<usize> = (0..slots.len()).filter(keeps).collect();
            let slots: Vec<Slot> = kept.iter().map(|&index| slots[index]).collect();
            if node == self.replica.index {
                note(&mut shown, &kept, self.replica.sums(&slots, self.replica.wall.now()));
            } else if !kept.is_empty() {
                letters.push((kept, self.peers.exchange(node, question(&slots))));
            }
        }
        while !letters.is_empty() && !is_enough(&shown) {
            let Some((kept, answers)) = in_time(next_answers(&mut letters), deadline).await else { break };
            for (part, reply) in kept.chunks(SLOTS_PER_REQUEST).zip(answers.replies) {
                note(&mut shown, part, reply);
            }
        }
        shown
    }

    fn replicas_among<'a>(&'a self, slot: Slot, nodes: &'a [NodeIndex]) -> impl Iterator<Item = NodeIndex> + 'a {
        let replicas = self.replica.ring.preference_list(slot).as_slice();
        replicas.iter().copied().filter(|node| nodes.contains(node))
    }
}

/// Asks a node what it shows of these slots.
fn question(slots: &[Slot]) -> RequestBatch {
    let mut batch = RequestBatch::default();
    for part in slots.chunks(SLOTS_PER_REQUEST) {
        batch.push(&PeerRequest::Sums { slots: part.to_vec() });
    }
    batch
}

/// The next letter that is answered, and what it was about.
async fn next_answers(letters: &mut Vec<(Vec<usize>, Exchange)>) -> (Vec<usize>, Answers) {
    poll_fn(|context| {
        for position in 0..letters.len() {
            if let Poll::Ready(answers) = Pin::new(&mut letters[position].1).poll(context) {
                return Poll::Ready((letters.swap_remove(position).0, answers));
            }
        }
        Poll::Pending
    })
    .await
}

async fn in_time<T>(answer: impl Future<Output = T>, deadline: Option<Instant>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, answer).await.ok(),
        None => Some(answer.await),
    }
}

/// Takes note of what a node shows of the slots at `kept`.
fn note(shown: &mut [Vec<Shown>], kept: &[usize], reply: PeerReply) {
    let PeerReply::Digests { flush_marks, digests } = reply else { return };
    for (&index, digest) in kept.iter().zip(digests) {
        if digest.certainty != Certainty::Syncing {
            shown[index].push((flush_marks.begun, digest.sum));
        }
    }
}

/// How many replicas are known to hold a slot's acknowledged writes, by what those show that answered.
fn holders(shown: &[Shown], quorum: Quorum) -> u16 {
    let equal = |one: &Shown| shown.iter().filter(|other| *other == one).count();
    let most = shown.iter().map(equal).max().unwrap_or_default();
    u16::try_from(most).ok().filter(|&most| most >= quorum.stale_limit()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_hold_what_was_written_if_so_many_are_equal_that_one_acknowledged_it() {
        let mark = Version::default();
        let table: [((u16, u16), &[u64], u16); 12] = [
            ((3, 2), &[7, 7, 7], 3),
            ((3, 2), &[7, 7, 8], 2),
            ((3, 2), &[7, 8, 9], 0),
            ((3, 2), &[7, 7], 2),
            ((3, 2), &[7], 0),
            ((3, 2), &[], 0),
            ((3, 3), &[7, 8, 9], 1),
            ((3, 1), &[7, 7, 8], 0),
            ((3, 1), &[7, 7, 7], 3),
            ((2, 1), &[7, 7], 2),
            ((5, 3), &[7, 7, 7, 8, 8], 3),
            ((5, 3), &[7, 7, 8, 8, 9], 0),
        ];
        for ((replicas, write), sums, expected) in table {
            let shown: Vec<Shown> = sums.iter().map(|&sum| (mark, sum)).collect();
            assert_eq!(holders(&shown, Quorum { replicas, write, read: 1 }), expected, "{replicas} {write} {sums:?}");
        }
    }

    #[test]
    fn a_replica_that_missed_a_flush_shows_something_else() {
        let later = Version::new(crate::version::Hlc(1), NodeIndex(0), crate::version::StartNumber::FIRST);
        let quorum = Quorum { replicas: 3, write: 2, read: 1 };
        assert_eq!(holders(&[(later, 0), (Version::default(), 0), (later, 0)], quorum), 2);
    }
}
