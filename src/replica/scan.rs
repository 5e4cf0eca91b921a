//! A node's share of SCAN: the keys of those slots for which the asker counts on it.

use bytes::Bytes;

use super::Replica;
use crate::peer::{PeerReply, ScanAnswer, ScanQuestion, ScanRest, ScanStop, ScannedKey};
use crate::ring::{KeyPlace, NodeIndex, SLOT_COUNT, Slot};
use crate::store::{self, RECORDS_PER_CALL};
use crate::time::UnixMs;
use crate::version::Version;

/// A look at an empty slot costs as much as looking at so many records.
const RECORDS_PER_SLOT: usize = 8;
const _: () = assert!(RECORDS_PER_SLOT * SLOT_COUNT as usize <= RECORDS_PER_CALL, "an empty cluster is one question");
/// Bytes of keys after which an answer goes on to no other slot.
const ANSWER_BYTES: usize = 1 << 20;

impl Replica {
    /// The keys of this node's share from a place on: as many as are asked for, or as can be told in some milliseconds.
    /// What is told counts as read.
    pub(crate) fn scan(&self, question: &ScanQuestion, now: UnixMs) -> PeerReply {
        let share = self.share(&question.nodes);
        let flush_mark = self.store.flush_mark();
        let mut answer = ScanAnswer { flush_mark, stop: None, keys: Vec::new() };
        let (mut left, mut bytes) = (RECORDS_PER_CALL, 0);
        let first = question.from.slot();
        for slot in (first.number()..question.until).filter_map(Slot::new).filter(|&slot| share(slot)) {
            if self.syncing.contains(slot) {
                return PeerReply::Syncing;
            }
            let (from, rest) = match slot == first {
                true => (question.from.hash(), question.rest),
                false => (0, None),
            };
            let wanted = question.count.saturating_sub(answer.keys.len());
            let is_enough = wanted == 0 || bytes >= ANSWER_BYTES || left == 0;
            if is_enough && slot > first {
                answer.stop = Some(ScanStop { place: KeyPlace::new(slot, 0), rest: None });
                break;
            }
            let rest = rest.map(|ScanRest { position, end }| store::ScanRest { position, end });
            let page = self.store.scan(slot, from, wanted, rest, now);
            left = left.saturating_sub(page.looked_at + RECORDS_PER_SLOT);
            bytes += page.keys.iter().map(|found| found.key.len()).sum::<usize>();
            let told = |found: store::ScannedKey| ScannedKey {
                key: found.key,
                version: found.version,
                is_gone: found.is_gone,
            };
            answer.keys.extend(page.keys.into_iter().map(told));
            answer.stop = match page.rest {
                Some(store::ScanRest { position, end }) => {
                    Some(ScanStop { place: KeyPlace::new(slot, from), rest: Some(ScanRest { position, end }) })
                }
                None if page.end < KeyPlace::HASHES => {
                    Some(ScanStop { place: KeyPlace::new(slot, page.end), rest: None })
                }
                None => None,
            };
            if answer.stop.is_some() {
                break;
            }
        }
        PeerReply::Scan(answer)
    }

    /// A random key of those slots that this node counts if `nodes` are within reach: each key is about as likely as any
    /// other. `None` if none was hit.
    pub(crate) fn pick(&self, [slot_draw, key_draw]: [u64; 2], nodes: &[NodeIndex], now: UnixMs) -> Option<Bytes> {
        let mut left = slot_draw.checked_rem(self.count_keys(nodes))?;
        let mut counted = self.counted_slots(nodes);
        let hit = counted.find(|&slot| {
            let count = self.store.live_keys(slot) as u64;
            let is_hit = left < count;
            left = left.saturating_sub(count);
            is_hit
        });
        self.store.pick(hit?, key_draw, now)
    }

    /// What a peer is told that asks for a random key.
    pub(super) fn pick_for_peer(&self, draws: [u64; 2], nodes: &[NodeIndex], now: UnixMs) -> PeerReply {
        let key = self.pick(draws, nodes, now);
        let told = |key| ScannedKey { key, version: Version::default(), is_gone: false };
        let flush_mark = self.store.flush_mark();
        PeerReply::Scan(ScanAnswer { flush_mark, stop: None, keys: key.into_iter().map(told).collect() })
    }

    /// Whether this node is among the first N-W+1 replicas of a slot that are among `nodes`.
    fn share(&self, nodes: &[NodeIndex]) -> impl Fn(Slot) -> bool {
        let mut is_named = vec![false; self.config.nodes.len()];
        for node in nodes {
            if let Some(flag) = is_named.get_mut(node.as_usize()) {
                *flag = true;
            }
        }
        let needed = usize::from(self.config.replication_factor - self.config.write_quorum + 1);
        move |slot| {
            let named = self.ring.preference_list(slot).as_slice().iter().filter(|node| is_named[node.as_usize()]);
            named.take(needed).any(|&node| node == self.index)
        }
    }
}
