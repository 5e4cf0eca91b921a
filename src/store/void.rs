//! Void marks: versions that must not take effect here any more, although they may still arrive.
//!
//! A coordinator that takes a write back may overtake its own write; a version that was answered `STALE` must stay
//! refused even if the newer one is taken back. Such versions are marked for as long as an open record stays open,
//! after which a message of theirs cannot be under way any more. A mark holds against fresh writes only: what another
//! replica has shown or decided is kept, marked or not.
//!
//! Marks are bounded per slot. When there is no room no mark is dropped, for that could bring a version back: a revert
//! is refused instead (which is always safe, the coordinator then says INDETERMINATE), and a refusal is made to stand
//! by itself by declaring the newer record shown, so that it can no longer be taken back.

use std::collections::VecDeque;

use crate::time::UnixMs;
use crate::version::Version;

/// How many marks a slot holds: failing writes to one slot within 2 × `request_timeout_ms`. A full slot takes 40 KB.
pub(super) const VOID_MARKS_MAX: usize = 1024;

/// Why a version is void.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum VoidReason {
    /// Its coordinator took it back.
    Reverted,
    /// It was answered `STALE`.
    Refused,
}

struct VoidMark {
    /// Of the key.
    hash: u64,
    version: Version,
    ends_at: UnixMs,
    reason: VoidReason,
}

/// The marks of one slot, in the order of arrival.
#[derive(Default)]
pub(super) struct VoidMarks {
    marks: VecDeque<VoidMark>,
}

impl VoidMarks {
    /// Why `version` of the key with this hash is void, if it is.
    pub(super) fn reason(&self, hash: u64, version: Version, now: UnixMs) -> Option<VoidReason> {
        self.position(hash, version).map(|at| &self.marks[at]).filter(|mark| now < mark.ends_at).map(|mark| mark.reason)
    }

    /// Whether one more mark fits.
    pub(super) fn has_room(&self) -> bool {
        self.marks.len() < VOID_MARKS_MAX
    }

    /// Marks a version, or renews its mark.
    pub(super) fn leave(&mut self, hash: u64, version: Version, reason: VoidReason, ends_at: UnixMs) {
        self.remove(hash, version);
        debug_assert!(self.has_room());
        self.marks.push_back(VoidMark { hash, version, ends_at, reason });
    }

    /// Takes a mark off.
    pub(super) fn remove(&mut self, hash: u64, version: Version) {
        if let Some(at) = self.position(hash, version) {
            self.marks.remove(at);
        }
    }

    /// Drops the marks that have ended, oldest first.
    pub(super) fn drop_ended(&mut self, now: UnixMs) {
        while self.marks.front().is_some_and(|mark| mark.ends_at <= now) {
            self.marks.pop_front();
        }
    }

    /// Drops the marks of versions below `flush_mark`, which now refuses them for good.
    pub(super) fn flush(&mut self, flush_mark: Version) {
        self.marks.retain(|mark| mark.version > flush_mark);
    }

    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// What the marks take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.marks.len() * size_of::<VoidMark>()
    }

    pub(super) fn shrink(&mut self) {
        super::open::shrink(&mut self.marks);
    }

    fn position(&self, hash: u64, version: Version) -> Option<usize> {
        self.marks.iter().rposition(|mark| mark.hash == hash && mark.version == version)
    }
}
