//! Reading and writing keys of one slot as one step, where the slot's lock is all that it takes.

use super::decide::Context;
use super::record::{Content, Record};
use super::slot_table::SlotTable;
use super::{LocalKvStore, Lookup};
use crate::ring::Slot;
use crate::time::UnixMs;
use crate::version::Version;

/// A slot that is locked for reading and writing.
pub struct SlotEditor<'a> {
    store: &'a LocalKvStore,
    table: &'a mut SlotTable,
    context: &'a Context<'a>,
}

impl LocalKvStore {
    /// Lets `act` read and write keys of `slot` while nobody else does. For keys without another replica: what is
    /// written is decided at once.
    pub fn edit<T>(&self, slot: Slot, now: UnixMs, act: impl FnOnce(&mut SlotEditor<'_>) -> T) -> T {
        self.change(slot, now, |table, context| act(&mut SlotEditor { store: self, table, context }))
    }
}

impl SlotEditor<'_> {
    /// What the key is. Whatever it is counts as read.
    #[must_use]
    pub fn look_up(&self, key: &[u8]) -> Lookup<'_> {
        self.table.look_up(self.store.hashed(key), self.context.now)
    }

    /// Writes, or deletes where there is no `value`, under the version that `clock` draws above the one shown.
    pub fn write_next(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<UnixMs>,
        clock: impl FnOnce(Version) -> Version,
    ) {
        let record = Record::unstamped(Content::new(key, value, expires_at, self.context.now), false);
        self.table.write_next(self.store.hashed(key), record, self.context, clock);
    }
}
