//! Reverts: a coordinator takes back a write that did not reach its quorum.
//!
//! Confirming is a promise: the version has never been read here and never will be. So whenever anything is in doubt
//! the revert is refused, and the coordinator tells its client the truth: that the outcome is not known.

use super::decide::Context;
use super::newest::Newest;
use super::open::Standing;
use super::outcome::Reverted;
use super::pending::TakenBack;
use super::record::Record;
use super::slot_table::{HashedKey, SlotTable};
use crate::mutation::{Mutation, is_on};
use crate::version::Version;

impl SlotTable {
    /// Takes `version` back, or makes sure that it never takes effect.
    pub(super) fn revert(&mut self, key: HashedKey<'_>, version: Version, context: &Context<'_>) -> Reverted {
        let forgotten = self.flush_mark().max(self.forgotten());
        if version <= forgotten || !self.pending.can_mark_void(key.hash, version, context) {
            return Reverted::Kept;
        }
        let is_gone = match self.pending.position(key.hash, version) {
            Some(at) => self.take_back(key, version, at, context),
            None => self.never_showed(key, version, context),
        };
        if is_gone && self.pending.mark_void(key.hash, version, context) {
            return Reverted::Confirmed;
        }
        Reverted::Kept
    }

    /// Removes the version if it is open and nobody has seen it; true if so.
    fn take_back(&mut self, key: HashedKey<'_>, version: Version, at: usize, context: &Context<'_>) -> bool {
        let shown = self.shown(key).filter(|shown| shown.version() == version);
        let record = shown.or_else(|| self.pending.covered(key.bytes, version));
        let is_seen = |record: &Record| record.is_shown() && !is_on(Mutation::ShownIsIgnored);
        if !self.pending.is_open(at, context) || record.is_none_or(is_seen) {
            return false;
        }
        if let TakenBack::Top(below) = self.pending.take_back(key.bytes, at) {
            self.show_again(key, below, context.newest);
        }
        true
    }

    /// Shows what the version that was just taken back had covered.
    fn show_again(&mut self, key: HashedKey<'_>, below: Option<Record>, newest: &Newest) {
        let is_key = |record: &Record| record.key() == key.bytes;
        let Some(shown) = self.records.find_mut(key.hash, is_key) else { return };
        self.tally.remove(shown, shown.version());
        let Some(below) = below else {
            self.records.remove(key.hash, is_key);
            return;
        };
        below.mark_surfaced();
        if let Some(entry) = self.pending.entry_mut(key.hash, below.version()) {
            entry.newest_once = true;
        }
        self.tally.add(&below, below.version());
        newest.note(below.version());
        *shown = below;
    }

    /// Whether it is certain that a version which has no entry was never shown here.
    fn never_showed(&self, key: HashedKey<'_>, version: Version, context: &Context<'_>) -> bool {
        if self.pending.is_void(key.hash, version, context) {
            return true;
        }
        if !context.decider.replicated || self.pending.covered(key.bytes, version).is_some() {
            return false;
        }
        let Some(shown) = self.shown(key).map(Record::version) else { return !context.passed(version) };
        if shown == version {
            return false;
        }
        if shown > version && self.pending.standing(key.hash, shown, version, context) == Standing::Outranked {
            // It may have been here and have been superseded, unless nothing so young has ever been forgotten.
            return !context.decider.may_have_forgotten(version);
        }
        // Nothing decided is newer; had it been decided here, it would still be here.
        !context.passed(version)
    }
}
