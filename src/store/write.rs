//! Fresh writes: a coordinator's own, which it may still take back.
//!
//! A write that is answered `STALE` must never show here: once enough replicas have said so, its coordinator writes it anew, and
//! if anybody had read it by then it would take effect twice. What it is refused for may still be open, though. If that were
//! taken back, the refused one could come after all, by a late message or as a copy that a reader brings. So what a write is
//! refused for counts as shown: it stays, and whoever has to take it back is told that it cannot be known what becomes of it.
//! Except where it is further ahead of the refused write than clocks may be apart: then nobody goes above it
//! (`coordinator/flight/writes.rs`), and what a clock gone astray has stamped must not stay for that.

use super::LocalKvStore;
use super::copy::Origin;
use super::decide::Context;
use super::newest::Newest;
use super::outcome::{Prior, Written};
use super::record::{Content, Record};
use super::slot_table::{HashedKey, SlotTable};
use crate::mutation::{Mutation, is_on};
use crate::ring::Slot;
use crate::time::UnixMs;
use crate::version::Version;

impl LocalKvStore {
    /// A write that was stamped anew, above all that was shown here when it came first. It is taken like a fresh one; or, if newer
    /// ones have come since, below those of them that may still be taken back, where it stays. Not below the write of an update,
    /// which has not seen it, nor where nothing newer is shown than a flush.
    pub fn write_again(
        &self,
        slot: Slot,
        key: &[u8],
        value: &[u8],
        expires_at: Option<UnixMs>,
        version: Version,
        now: UnixMs,
    ) -> Written {
        let content = Content::new(key, Some(value), expires_at, now);
        self.write_fresh(slot, content, version, now, |table, key, record, context| {
            if let Some(written) = table.place(key, record, context) {
                return written;
            }
            if table.shown(key).is_none() || self.promises.may_have_promised_above(slot, version) {
                return table.refuse(key, version, context);
            }
            // Whatever it says: the copy is there now, or outranked by what is decided.
            table.copy(key, Record::decided(content, version), Origin::Sent, context);
            Written::Applied { prior: Prior::default() }
        })
    }

    /// Takes a fresh write as `take` does, unless a promise is in its way.
    #[inline]
    pub(super) fn write_fresh(
        &self,
        slot: Slot,
        content: Content<'_>,
        version: Version,
        now: UnixMs,
        take: impl FnOnce(&mut SlotTable, HashedKey<'_>, Record, &Context<'_>) -> Written,
    ) -> Written {
        let is_open = self.context(slot, now).opens(version);
        let record = if is_open { Record::open(content, version) } else { Record::decided(content, version) };
        self.take_fresh(slot, self.hashed(content.key), (record, is_open, version), now, take)
    }

    /// The same for a record that is made already, open or not.
    #[inline]
    pub(super) fn take_fresh(
        &self,
        slot: Slot,
        key: HashedKey<'_>,
        (record, is_open, version): (Record, bool, Version),
        now: UnixMs,
        take: impl FnOnce(&mut SlotTable, HashedKey<'_>, Record, &Context<'_>) -> Written,
    ) -> Written {
        let written =
            self.change(slot, now, |table, context| match self.refused_below(slot, key.hash, version, context) {
                Some(limit) if !table.shows_since(key, version) => Written::Promised(limit),
                _ => take(table, key, record, context),
            });
        if is_open && matches!(written, Written::Applied { .. }) {
            self.closing.push(version, slot, now);
        }
        written
    }
}

impl SlotTable {
    /// Shows `record` if it is newer than what is shown, and otherwise refuses it for good.
    #[inline]
    pub(super) fn write(&mut self, key: HashedKey<'_>, record: Record, context: &Context<'_>) -> Written {
        let version = record.version();
        match self.place(key, record, context) {
            Some(written) => written,
            None => self.refuse(key, version, context),
        }
    }

    /// Shows `record` if it is newer than what is shown. `None`, and nothing has changed, if it is too late.
    #[inline]
    pub(super) fn place(&mut self, key: HashedKey<'_>, record: Record, context: &Context<'_>) -> Option<Written> {
        let (version, is_delete) = (record.version(), record.is_tombstone());
        if self.pending.is_void(key.hash, version, context) && !is_on(Mutation::VoidMarkIsIgnored) {
            return Some(Written::Void);
        }
        let applied = self.put(key, context, |shown_version, shown| {
            if version <= shown_version {
                return None;
            }
            note_told(shown, is_delete);
            Some(record)
        });
        match applied {
            Some(prior) => Some(Written::Applied { prior }),
            None => self.repeat(key, version, is_delete, context).map(|prior| Written::Applied { prior }),
        }
    }

    /// Lets the shown record become `content` in place, under the version that `clock` draws above its own. Only where
    /// nothing is ever taken back. `None`, and nothing has changed, if there is none or it cannot.
    #[inline]
    pub(super) fn overwrite(
        &mut self,
        key: HashedKey<'_>,
        content: Content<'_>,
        clock: impl Fn(Version) -> Version,
        (now, newest): (UnixMs, &Newest),
    ) -> Option<(Version, Prior)> {
        let shown = self.records.find_mut(key.hash, |record| record.key() == key.bytes)?;
        let (before, live) = (shown.version(), shown.is_live(now));
        let version = clock(before);
        assert!(version > before, "a clock that stands would make two writes one");
        if !shown.overwrite(content, before, version) {
            return None;
        }
        self.tally.overwrite(before, version, content.expires_at);
        newest.note(version);
        Some((version, Prior { version: before, live }))
    }

    /// Shows `record` under the version that `clock` draws above the shown one.
    #[inline]
    pub(super) fn write_next(
        &mut self,
        key: HashedKey<'_>,
        record: Record,
        context: &Context<'_>,
        clock: impl FnOnce(Version) -> Version,
    ) -> (Version, Prior) {
        let (mut drawn, is_delete) = (Version::default(), record.is_tombstone());
        let prior = self.put(key, context, |shown_version, shown| {
            drawn = clock(shown_version);
            assert!(drawn > shown_version, "the clock must draw above {shown_version}, not {drawn}");
            note_told(shown, is_delete);
            Some(record.stamped(drawn))
        });
        (drawn, prior.unwrap_or_default())
    }

    /// What a write that is not newer than what is shown replaced when it came first; `None` if it is none that has come before.
    #[cold]
    fn repeat(&self, key: HashedKey<'_>, version: Version, is_delete: bool, context: &Context<'_>) -> Option<Prior> {
        let Some(shown) = self.shown(key).filter(|_| version > self.flush_mark()) else {
            // It was here, and then the flush came.
            let entry = self.pending.entry(key.hash, version);
            return entry.filter(|entry| entry.newest_once).map(|_| Prior::default());
        };
        self.was_newest(key, version, shown.version())
            .then(|| self.prior_of_repetition(key.hash, version, is_delete, context))
    }

    /// Refuses a write that comes too late, for good.
    #[cold]
    fn refuse(&self, key: HashedKey<'_>, version: Version, context: &Context<'_>) -> Written {
        let binds = |newer: &Record| version > self.flush_mark() && context.may_be_followed(newer.version(), version);
        if let Some(newer) = self.shown(key).filter(|newer| binds(newer)) {
            newer.mark_shown();
        }
        Written::Stale(self.outranked_by(key))
    }

    /// The version that whoever writes has to be above. Also what is shown where a flush was above that: all that was here.
    pub(super) fn outranked_by(&self, key: HashedKey<'_>) -> Version {
        let floor = self.flush_mark().max(self.forgotten());
        self.shown(key).map_or(floor, Record::version)
    }

    fn prior_of_repetition(&self, hash: u64, version: Version, is_delete: bool, context: &Context<'_>) -> Prior {
        let below = self.pending.entry(hash, version).and_then(|entry| entry.below.as_ref());
        note_told(below, is_delete);
        below.map_or_else(Prior::default, |below| Prior::of(below, context.now))
    }
}

/// The answer to a delete tells whether the key was there: that is a read of what was shown before.
fn note_told(prior: Option<&Record>, is_delete: bool) {
    if let Some(prior) = prior.filter(|_| is_delete) {
        prior.mark_shown();
    }
}
