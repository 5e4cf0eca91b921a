//! An update of keys that have this node as their only replica: on the spot, under the slot's lock.

use smallvec::SmallVec;

use super::{Change, Held, UpdateWords, Work};
use crate::coordinator::ConsistentHashingKvStore;
use crate::store::{Lookup, SlotEditor};
use crate::time::UnixMs;
use crate::version::Version;

impl ConsistentHashingKvStore {
    /// Serves an update on the spot if this node is the only replica of its slot. The reply is appended to `out`. False:
    /// nothing has happened, and it has to be launched.
    pub fn update_here(&self, words: &UpdateWords<'_>, now: UnixMs, out: &mut Vec<u8>) -> bool {
        let UpdateWords { slot, keys, args, protocol, rule } = *words;
        if self.quorum.replicas > 1 || !self.is_replica(slot) {
            return false;
        }
        let replica = &self.replica;
        let stamp =
            |shown: Version| Version::new(replica.clock.tick_above(shown.hlc(), now), replica.index, replica.start());
        replica.store.edit(slot, now, |editor| {
            let changes = {
                let held: SmallVec<[Option<Held<'_>>; 2]> = keys.iter().map(|key| held(editor, key)).collect();
                let mut work = Work { args, held: &held, now, protocol, changes: SmallVec::new(), out };
                rule(&mut work);
                work.changes
            };
            for (key, change) in changes {
                match change {
                    Change::Put { value, expires_at } => editor.write_next(keys[key], Some(&value), expires_at, stamp),
                    Change::Delete => editor.write_next(keys[key], None, None, stamp),
                }
            }
        });
        true
    }
}

fn held<'a>(editor: &'a SlotEditor<'_>, key: &[u8]) -> Option<Held<'a>> {
    match editor.look_up(key) {
        Lookup::Live(record) => record.value().map(|value| Held { value, expires_at: record.expires_at() }),
        Lookup::Missing | Lookup::Tombstone { .. } => None,
    }
}
