//! What a replica answers to its peers' reads, one at a time or many.

use bytes::Bytes;

use super::{Replica, updates};
use crate::peer::{PeerReply, RecordsWriter};
use crate::ring::Slot;
use crate::store::{Lookup, WARM_KEYS_MAX};
use crate::time::UnixMs;

impl Replica {
    /// Appends the answer to a read of one key ([`PeerRequest::Read`](crate::peer::PeerRequest::Read)), but for a value that is
    /// too large to be copied: whoever gets it has to append it as a bulk string.
    #[must_use = "the answer lacks it"]
    pub fn read(&self, slot: Slot, key: &[u8], now: UnixMs, out: &mut Vec<u8>) -> Option<Bytes> {
        if !self.may_answer(slot) {
            PeerReply::Syncing.encode(out);
            return None;
        }
        self.store.read(slot, key, now, |lookup| {
            let Some((record, value)) = lookup.live().and_then(|record| Some((record, record.large_value()?))) else {
                updates::encode_lookup(lookup, out);
                return None;
            };
            PeerReply::encode_record_head(record.version(), record.expires_at(), out);
            Some(value)
        })
    }

    /// Appends the one answer to a read of several keys.
    pub(super) fn read_many(&self, keys: &[&[u8]], now: UnixMs, out: &mut Vec<u8>) {
        let mut answer = RecordsWriter::new(keys.len(), out);
        let mut slots = [Slot::FIRST; WARM_KEYS_MAX];
        for keys in keys.chunks(WARM_KEYS_MAX) {
            self.store.warm(keys.iter().copied(), &mut slots);
            for (&slot, key) in slots.iter().zip(keys) {
                if !self.may_answer(slot) {
                    answer.push_syncing();
                    continue;
                }
                self.store.read(slot, key, now, |lookup| match lookup {
                    Lookup::Missing => answer.push_missing(),
                    Lookup::Tombstone { version } => answer.push_record(version, None, None),
                    Lookup::Live(record) => {
                        answer.push_record(record.version(), record.expires_at(), record.value());
                    }
                });
            }
        }
    }
}
