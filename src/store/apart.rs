//! Writes of values that are so large that they stay where they were received: see `header.rs`.
//!
//! Nothing is copied, so such a write takes no longer than that of a small value. It never overwrites a record in place, for
//! that would be a copy, too.

use bytes::Bytes;

use super::LocalKvStore;
use super::outcome::{Prior, Written};
use super::record::{Content, Record};
use super::slot_table::SlotTable;
use crate::ring::Slot;
use crate::time::UnixMs;
use crate::version::Version;

impl LocalKvStore {
    /// As [`Self::write`], for a value that is kept as it is: whatever else lies in its memory is kept with it.
    pub fn write_apart(
        &self,
        slot: Slot,
        key: &[u8],
        value: Bytes,
        expires_at: Option<UnixMs>,
        version: Version,
        now: UnixMs,
    ) -> Written {
        let (content, is_open) = (Content { key, value: None, expires_at }, self.context(slot, now).opens(version));
        let record = if is_open { Record::open(content, version) } else { Record::decided(content, version) };
        let record = record.with_value_apart(value);
        self.take_fresh(slot, self.hashed(key), (record, is_open, version), now, SlotTable::write)
    }

    /// As [`Self::write_next`], for a value that is kept as it is: whatever else lies in its memory is kept with it.
    pub fn write_next_apart(
        &self,
        slot: Slot,
        key: &[u8],
        value: Bytes,
        expires_at: Option<UnixMs>,
        now: UnixMs,
        clock: impl Fn(Version) -> Version,
    ) -> (Version, Prior) {
        let content = Content { key, value: None, expires_at };
        let record = Record::unstamped(content, self.decider.replicated).with_value_apart(value);
        self.show_next(slot, self.hashed(key), record, now, clock)
    }
}
