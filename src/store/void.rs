//! Void marks: versions that must not take effect here any more, although they may still arrive.
//!
//! A coordinator that takes a write back may overtake its own write. A version that was taken back is marked for as long as
//! an open record stays open, after which a message of its own cannot be under way any more. A mark holds against the fresh
//! write only: what another replica has shown or decided is kept, marked or not.
//!
//! A version that was answered `STALE` has no mark, since it must not come as a copy either, and copies are kept: what it
//! was refused for stays instead (`write.rs`).
//!
//! Marks are bounded per slot. When there is no room no mark is dropped, for that could bring a version back: the revert is
//! refused instead, which is always safe; the coordinator then says INDETERMINATE.

use std::collections::VecDeque;

use crate::time::UnixMs;
use crate::version::Version;

/// How many marks a slot holds: failing writes to one slot within 2 × `request_timeout_ms`. A full slot takes 40 KB.
pub(super) const VOID_MARKS_MAX: usize = 1024;

struct VoidMark {
    /// Of the key.
    hash: u64,
    version: Version,
    ends_at: UnixMs,
}

/// The marks of one slot, in the order of arrival.
#[derive(Default)]
pub(super) struct VoidMarks {
    marks: VecDeque<VoidMark>,
}

impl VoidMarks {
    /// Whether `version` of the key with this hash is void.
    pub(super) fn contains(&self, hash: u64, version: Version, now: UnixMs) -> bool {
        self.position(hash, version).is_some_and(|at| now < self.marks[at].ends_at)
    }

    /// Whether one more mark fits.
    pub(super) fn has_room(&self) -> bool {
        self.marks.len() < VOID_MARKS_MAX
    }

    /// Marks a version, or renews its mark.
    pub(super) fn leave(&mut self, hash: u64, version: Version, ends_at: UnixMs) {
        self.remove(hash, version);
        debug_assert!(self.has_room());
        self.marks.push_back(VoidMark { hash, version, ends_at });
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

    #[inline]
    pub(super) fn shrink(&mut self) {
        super::open::shrink(&mut self.marks);
    }

    fn position(&self, hash: u64, version: Version) -> Option<usize> {
        self.marks.iter().rposition(|mark| mark.hash == hash && mark.version == version)
    }
}
