//! RANDOMKEY: a key of the whole cluster, each about as likely as any other.
//!
//! A random place among all keys would make those behind a wide gap likelier, and with hash tags some slots hold a
//! million keys and others one. So each node counts the keys of those slots that it counts for DBSIZE, a node is drawn by
//! that, and it draws a slot in the same way and one of its keys. Whether that key is there is then read as GET reads it.
//! If that fails time and again, for hardly anything but tombstones is there, the keys are walked through from some
//! place on.

use bytes::Bytes;

use super::scan_pages::ScanRange;
use super::{ConsistentHashingKvStore, Found, Operation, OperationKind, Outcome, QuorumError};
use crate::peer::{PeerReply, PeerRequest, ScanAnswer};
use crate::ring::{KeyPlace, NodeIndex, Slot};

/// How often a key is drawn before the keys are walked through.
const ATTEMPTS_MAX: usize = 8;

impl ConsistentHashingKvStore {
    /// A key of the cluster by random numbers; `None` if there is none.
    ///
    /// # Errors
    /// [`QuorumError::TooFewForRead`] if too few replicas can be heard.
    pub async fn random_key(&self, mut draw: impl FnMut() -> u64 + Send) -> Result<Option<Bytes>, QuorumError> {
        let mut failed = Vec::new();
        for _ in 0..ATTEMPTS_MAX {
            let nodes = self.caught_up_nodes(&failed);
            if let Some(reason) = self.uncovered(&nodes) {
                return Err(QuorumError::TooFewForRead { answers: 0, needed: 1, reason: Some(reason) });
            }
            let counts = self.counts_by_node(&nodes).await;
            failed.extend(counts.iter().filter(|(_, count)| count.is_none()).map(|(node, _)| *node));
            let counts: Vec<_> = counts.into_iter().filter_map(|(node, count)| Some((node, count?))).collect();
            let Some(node) = weighted(&counts, draw()) else { break };
            if let Some(key) = self.pick_at(node, [draw(), draw()], nodes).await
                && self.exists(&key).await?
            {
                return Ok(Some(key));
            }
        }
        let start = KeyPlace::from_cursor(draw() >> 1).unwrap_or(KeyPlace::FIRST);
        match self.first_key(ScanRange::ALL.from(start)).await? {
            Some(key) => Ok(Some(key)),
            None => self.first_key(ScanRange::ALL).await,
        }
    }

    /// How many keys each of `nodes` counts; `None` if it does not answer.
    async fn counts_by_node(&self, nodes: &[NodeIndex]) -> Vec<(NodeIndex, Option<u64>)> {
        let answers = self.ask_all(&PeerRequest::Count { alive: nodes.to_vec() }, nodes).await;
        let own = (self.replica.index, Some(self.replica.count_keys(nodes)));
        let own = nodes.contains(&self.replica.index).then_some(own);
        let theirs = answers.into_iter().map(|(node, answer)| match answer {
            Some(PeerReply::Integer(count)) => (node, Some(count)),
            _ => (node, None),
        });
        own.into_iter().chain(theirs).collect()
    }

    /// A key that `node` draws from those that it counts.
    async fn pick_at(&self, node: NodeIndex, draws: [u64; 2], nodes: Vec<NodeIndex>) -> Option<Bytes> {
        if node == self.replica.index {
            return self.replica.pick(draws, &nodes, self.replica.wall.now());
        }
        let answer = self.ask_all(&PeerRequest::Pick { draws, nodes }, &[node]).await.remove(&node)?;
        match answer {
            Some(PeerReply::Scan(ScanAnswer { keys, .. })) => keys.into_iter().next().map(|found| found.key),
            _ => None,
        }
    }

    /// Whether the key exists, by a read as GET does it.
    async fn exists(&self, key: &Bytes) -> Result<bool, QuorumError> {
        let (slot, now) = (Slot::of_key(key), self.replica.wall.now());
        if let Some(is_live) = self.read_here(slot, key, now, |lookup| lookup.live().is_some()) {
            return Ok(is_live);
        }
        let read = Operation { slot, key: key.clone(), kind: OperationKind::Read };
        match self.launch(vec![read], now).settle().await.pop() {
            Some(Outcome::Read(Some(Found { value: Some(_), expires_at, .. }))) => {
                Ok(expires_at.is_none_or(|at| at > self.replica.wall.now()))
            }
            Some(Outcome::Failed(error)) => Err(error),
            Some(Outcome::Read(_) | Outcome::Written(_)) | None => Ok(false),
        }
    }

    async fn first_key(&self, range: ScanRange) -> Result<Option<Bytes>, QuorumError> {
        let mut first = None;
        let take = |key: &[u8]| {
            first = Some(Bytes::copy_from_slice(key));
            false
        };
        self.walk(range, take).await?;
        Ok(first)
    }
}

/// The node that a random number hits, each as wide as its count; `None` if nothing is counted.
fn weighted(counts: &[(NodeIndex, u64)], draw: u64) -> Option<NodeIndex> {
    let mut left = draw.checked_rem(counts.iter().map(|(_, count)| count).sum())?;
    let hit = |&&(_, count): &&(NodeIndex, u64)| {
        let is_hit = left < count;
        left = left.saturating_sub(count);
        is_hit
    };
    counts.iter().find(hit).map(|(node, _)| *node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_hit_as_often_as_they_have_keys() {
        let counts = [(NodeIndex(0), 2), (NodeIndex(1), 0), (NodeIndex(2), 3)];
        let hits: Vec<_> = (0..6).map(|draw| weighted(&counts, draw).unwrap().0).collect();
        assert_eq!(hits, [0, 0, 2, 2, 2, 0]);
        assert_eq!(weighted(&[(NodeIndex(0), 0)], 7), None);
        assert_eq!(weighted(&[], 7), None);
    }
}
