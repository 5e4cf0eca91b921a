//! Fresh writes: a coordinator's own, which it may still take back.

use super::LocalKvStore;
use super::copy::Origin;
use super::decide::Context;
use super::outcome::{Prior, Written};
use super::record::{Content, Record};
use super::slot_table::{HashedKey, SlotTable};
use super::void::VoidReason;
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
            let written = table.write(key, record, context);
            let is_refused = matches!(written, Written::Stale(_)) && table.shown(key).is_some();
            if is_refused && !self.promises.may_have_promised_above(slot, version) {
                // Whatever it says: the copy is there now, or outranked by what is decided.
                table.copy(key, Record::decided(content, version), Origin::Sent, context);
                return Written::Applied { prior: Prior::default() };
            }
            written
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
        let is_open = self.context(now).opens(version);
        let record = if is_open { Record::open(content, version) } else { Record::decided(content, version) };
        let key = self.hashed(content.key);
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
        let (version, is_delete) = (record.version(), record.is_tombstone());
        if let Some(reason) = self.pending.void_reason(key.hash, version, context)
            && !(reason == VoidReason::Reverted && is_on(Mutation::VoidMarkIsIgnored))
        {
            return self.refuse_void(key, version, reason);
        }
        let applied = self.put(key, context, |shown_version, shown| {
            if version <= shown_version {
                return None;
            }
            note_told(shown, is_delete);
            Some(record)
        });
        match applied {
            Some(prior) => Written::Applied { prior },
            None => self.write_older(key, version, is_delete, context),
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
        now: UnixMs,
    ) -> Option<(Version, Prior)> {
        let shown = self.records.find_mut(key.hash, |record| record.key() == key.bytes)?;
        let (prior, version) = (Prior::of(shown, now), clock(shown.version()));
        assert!(version > shown.version(), "a clock that stands would make two writes one");
        self.tally.remove(shown);
        let done = shown.overwrite(content, version);
        self.tally.add(shown);
        done.then_some((version, prior))
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

    fn refuse_void(&self, key: HashedKey<'_>, version: Version, reason: VoidReason) -> Written {
        match reason {
            VoidReason::Reverted => Written::Void,
            VoidReason::Refused => {
                Written::Stale(self.shown(key).map_or(version, |shown| shown.version().max(version)))
            }
        }
    }

    /// A write that is not newer than what is shown: a repetition, or too late.
    #[cold]
    fn write_older(&mut self, key: HashedKey<'_>, version: Version, is_delete: bool, context: &Context<'_>) -> Written {
        let Some(shown) = self.shown(key).filter(|_| version > self.flush_mark()) else {
            return match self.pending.entry(key.hash, version) {
                // It was here, and then the flush came.
                Some(entry) if entry.newest_once => Written::Applied { prior: Prior::default() },
                // What is shown as well: who writes anew has to be above all that was here before.
                _ => {
                    let shown = self.shown(key).map(Record::version).unwrap_or_default();
                    Written::Stale(self.flush_mark().max(self.forgotten()).max(shown))
                }
            };
        };
        let newer = shown.version();
        if self.was_newest(key, version, newer) {
            return Written::Applied { prior: self.prior_of_repetition(key.hash, version, is_delete, context) };
        }
        self.refuse_from_now_on(key, version, context);
        Written::Stale(newer)
    }

    /// What is shown outranks `version` for good once it can no longer be taken back. Until then a mark is needed; if
    /// there is no room for one, what is shown becomes such a record.
    fn refuse_from_now_on(&mut self, key: HashedKey<'_>, version: Version, context: &Context<'_>) {
        let is_lasting = self.shown(key).is_none_or(Record::is_shown);
        if !is_lasting
            && !self.pending.mark_void(key.hash, version, VoidReason::Refused, context)
            && let Some(shown) = self.shown(key)
        {
            shown.mark_shown();
        }
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
