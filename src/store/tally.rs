//! Sums over the shown records of a slot, kept up to date with every change.
//!
//! Two replicas must see at a glance whether they hold the same. A tree of hashes would have to be built, and built
//! again; a sum follows each change by itself: what is shown is added, what is not shown any more is subtracted.

use super::record::Record;
use crate::time::UnixMs;
use crate::version::Version;

/// No record has an expiry.
pub(super) const NEVER: u32 = u32::MAX;

/// What a slot's shown records come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tally {
    /// With a value, expired or not.
    pub(super) live: u32,
    /// No record with a value expires before this second of Unix time. May be too early, after one has gone.
    expires_from: u32,
    /// The wrapping sum of [`Version::mixed`] of the records with a value, expired or
    /// not. Versions are equal only for the same write, so key and value need not be hashed. Tombstones do not count:
    /// replicas drop them at different times.
    pub(super) digest: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { live: 0, expires_from: NEVER, digest: 0 }
    }
}

impl Tally {
    /// `version` is the record's, which the caller has at hand.
    #[inline]
    pub(super) fn add(&mut self, record: &Record, version: Version) {
        if record.is_tombstone() {
            return;
        }
        self.live += 1;
        self.digest = self.digest.wrapping_add(version.mixed());
        self.note_expiry(record.expires_at());
    }

    /// `version` is the record's.
    #[inline]
    pub(super) fn remove(&mut self, record: &Record, version: Version) {
        if !record.is_tombstone() {
            self.live -= 1;
            self.digest = self.digest.wrapping_sub(version.mixed());
        }
    }

    /// A record with a value became another in place.
    #[inline]
    pub(super) fn overwrite(&mut self, before: Version, after: Version, expires_at: Option<UnixMs>) {
        self.digest = self.digest.wrapping_sub(before.mixed()).wrapping_add(after.mixed());
        self.note_expiry(expires_at);
    }

    /// Whether a record with a value may have expired at `now`.
    #[inline]
    pub(super) fn is_due(&self, now: UnixMs) -> bool {
        self.expires_from != NEVER && self.expires_from <= second(now)
    }

    /// The second before which no record with a value expires.
    #[inline]
    pub(super) fn expires_from(&self) -> u32 {
        self.expires_from
    }

    /// Whether a record with a value may have an expiry.
    #[inline]
    pub(super) fn has_expiries(&self) -> bool {
        self.expires_from != NEVER
    }

    /// The records were looked at one by one, and those left expire at `expiries`.
    pub(super) fn expires_at_first(&mut self, expiries: impl Iterator<Item = UnixMs>) {
        self.expires_from = expiries.map(second).min().unwrap_or(NEVER);
    }

    #[inline]
    fn note_expiry(&mut self, expires_at: Option<UnixMs>) {
        if let Some(at) = expires_at {
            self.expires_from = self.expires_from.min(second(at));
        }
    }
}

/// The Unix second, before [`NEVER`] by all means.
pub(super) fn second(at: UnixMs) -> u32 {
    u32::try_from(at.0 / 1000).unwrap_or(NEVER).min(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::super::record::Content;
    use super::*;
    use crate::ring::NodeIndex;
    use crate::version::{Hlc, StartNumber};

    fn record(hlc: u64, value: Option<&[u8]>, expires_at: Option<u64>) -> Record {
        let version = Version::new(Hlc(hlc), NodeIndex(0), StartNumber::FIRST);
        Record::decided(Content { key: b"k", value, expires_at: expires_at.map(UnixMs) }, version)
    }

    #[test]
    fn what_is_removed_leaves_no_trace_and_the_order_does_not_matter() {
        let (one, other, gone) = (record(1, Some(b"a"), None), record(2, Some(b"b"), None), record(3, None, Some(1)));
        let (mut forth, mut back) = (Tally::default(), Tally::default());
        for (first, last) in [(&one, &gone), (&other, &other), (&gone, &one)] {
            forth.add(first, first.version());
            back.add(last, last.version());
        }
        assert_eq!(forth, back);
        assert_ne!(forth.digest, 0);
        for record in [&one, &gone, &other] {
            forth.remove(record, record.version());
        }
        assert_eq!(forth, Tally::default());
    }

    #[test]
    fn a_record_that_is_overwritten_counts_as_what_it_became() {
        let (one, other) = (record(1, Some(b"a"), Some(9_500)), record(2, Some(b"b"), Some(7_900)));
        let (mut overwritten, mut replaced) = (Tally::default(), Tally::default());
        overwritten.add(&one, one.version());
        overwritten.overwrite(one.version(), other.version(), other.expires_at());
        replaced.add(&other, other.version());
        assert_eq!(overwritten, replaced);
    }

    #[test]
    fn a_slot_is_looked_through_from_the_second_of_its_first_expiry_on() {
        let mut tally = Tally::default();
        assert!(!tally.is_due(UnixMs(u64::MAX)));
        let add = |tally: &mut Tally, record: Record| tally.add(&record, record.version());
        add(&mut tally, record(1, Some(b"a"), Some(9_500)));
        add(&mut tally, record(2, Some(b"b"), Some(7_900)));
        assert!(!tally.is_due(UnixMs(6_999)) && tally.is_due(UnixMs(7_000)));
        tally.expires_at_first([UnixMs(9_500)].into_iter());
        assert!(!tally.is_due(UnixMs(8_999)) && tally.is_due(UnixMs(9_000)));
        add(&mut tally, record(3, Some(b"c"), Some(u64::MAX)));
        tally.expires_at_first([UnixMs(u64::MAX)].into_iter());
        assert!(!tally.is_due(UnixMs(9_000)));
    }
}
