//! Copies: records that another replica has shown or decided, so that nobody can take them back.

use super::decide::Context;
use super::open::Standing;
use super::outcome::Copied;
use super::record::Record;
use super::slot_table::{HashedKey, SlotTable};
use crate::mutation::{Mutation, is_on};
use crate::version::Version;

/// How a copy has come here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A peer has sent it of its own accord.
    Sent,
    /// This node has asked for it.
    Fetched,
    /// The update under this ballot has seen it elsewhere.
    Base(Version),
}

impl SlotTable {
    /// Keeps `record` unless a decided newer one is here.
    pub(super) fn copy(&mut self, key: HashedKey<'_>, record: Record, origin: Origin, context: &Context<'_>) -> Copied {
        self.pending.unmark_void(key.hash, record.version());
        let (mut record, flush_mark) = (Some(record), self.flush_mark());
        self.put(key, context, |shown_version, shown| {
            let is_fetched = shown.is_none() && origin != Origin::Sent;
            let refused = if is_fetched { flush_mark } else { shown_version };
            record.take_if(|record| record.version() > refused)
        });
        match record {
            None => Copied::Newest,
            Some(record) => self.copy_older(key, record, context),
        }
    }

    /// Whether a copy of `version` would add anything.
    pub(super) fn lacks(&self, key: HashedKey<'_>, version: Version, context: &Context<'_>) -> bool {
        match self.shown(key) {
            _ if version <= self.flush_mark() => false,
            None => true,
            Some(shown) if shown.version() < version => true,
            Some(shown) if shown.is_shown() => false,
            Some(shown) => {
                let top = shown.version();
                self.pending.standing(key.hash, top, version, context) != Standing::Outranked
            }
        }
    }

    /// A copy that is not newer than what is shown.
    #[cold]
    fn copy_older(&mut self, key: HashedKey<'_>, record: Record, context: &Context<'_>) -> Copied {
        let version = record.version();
        let shown = self.shown(key);
        if version == self.flush_mark() && shown.is_none() {
            return Copied::Newest;
        }
        let Some(shown) = shown.filter(|_| version > self.flush_mark()) else {
            // A tombstone that was dropped here, or might have been: all that it stands against is refused without it.
            let is_known = version > self.flush_mark() && record.is_tombstone();
            return if is_known { Copied::Newest } else { Copied::Older(self.forgotten().max(self.flush_mark())) };
        };
        let newer = shown.version();
        if newer == version {
            shown.mark_shown();
        }
        let was_newest = self.was_newest(key, version, newer);
        if !self.decide_held(key, &record) && !was_newest {
            self.keep_below(key, record, context);
        }
        if was_newest { Copied::Newest } else { Copied::Older(newer) }
    }

    /// Makes a version decided that is held already, or was; false if it is not known.
    fn decide_held(&mut self, key: HashedKey<'_>, record: &Record) -> bool {
        let version = record.version();
        if let Some(entry) = self.pending.entry_mut(key.hash, version) {
            entry.decided = true;
            return true;
        }
        self.pending.covered(key.bytes, version).is_some()
    }

    fn keep_below(&mut self, key: HashedKey<'_>, record: Record, context: &Context<'_>) {
        let Some(top) = self.shown(key).map(Record::version) else { return };
        match self.pending.standing(key.hash, top, record.version(), context) {
            Standing::Outranked => {}
            Standing::Below(_) if is_on(Mutation::OneRecordPerKey) => {}
            Standing::Below(at) => self.pending.bury(key.hash, at, record, context),
        }
    }
}
