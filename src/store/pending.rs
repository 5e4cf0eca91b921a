//! What is pending in a slot: its open list and its void marks.
//!
//! Most slots have neither most of the time, so both live in a box that is there only when needed, and a slot that is
//! merely read never looks at it.

use std::cell::RefCell;

use super::decide::Context;
use super::open::{Entry, OpenList, Standing};
use super::record::Record;
use super::void::VoidMarks;
use crate::mutation::{Mutation, is_on};
use crate::version::Version;

/// The pending part of a slot.
#[derive(Default)]
pub(super) struct Pending(Option<Box<Lists>>);

#[derive(Default)]
struct Lists {
    open: OpenList,
    voids: VoidMarks,
    /// The sweep before this one found the lists empty as well.
    is_idle: bool,
}

impl Lists {
    fn is_empty(&self) -> bool {
        self.open.len() + self.voids.len() == 0
    }
}

/// How many spare lists a thread keeps: what the marks of a busy moment free and its writes need again. They take 5 KB each at most.
const SPARES_MAX: usize = 1024;

thread_local! {
    /// Empty lists between one slot and the next, the last used on top.
    #[expect(clippy::vec_box, reason = "the boxes go from slot to slot")]
    static SPARES: RefCell<Vec<Box<Lists>>> = const { RefCell::new(Vec::new()) };
}

/// Leaves empty lists to whichever slot needs some next.
fn give_lists(mut lists: Box<Lists>) {
    lists.open.shrink();
    lists.voids.shrink();
    lists.is_idle = false;
    SPARES.with_borrow_mut(|spares| {
        if spares.len() < SPARES_MAX {
            spares.push(lists);
        }
    });
}

impl Pending {
    /// Whether nothing is open or void.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|lists| lists.is_empty())
    }

    /// Closes and drops what is due.
    #[inline]
    pub(super) fn close_due(&mut self, context: &Context<'_>) {
        if let Some(lists) = &mut self.0 {
            lists.open.close_due(context);
            lists.voids.drop_ended(context.now);
        }
    }

    /// Closes the oldest entry before its time; false if there is none.
    pub(super) fn close_oldest(&mut self, context: &Context<'_>) -> bool {
        self.0.as_mut().is_some_and(|lists| lists.open.close_oldest(context))
    }

    /// The lists, if there are none those that were in use last.
    fn lists(&mut self) -> &mut Lists {
        self.0.get_or_insert_with(|| SPARES.with_borrow_mut(Vec::pop).unwrap_or_default())
    }

    /// Logs that a record of `version` has been put over `covered`.
    pub(super) fn log(&mut self, hash: u64, new: Arrival, covered: Option<Record>, context: &Context<'_>) {
        let covered = covered.filter(|_| !is_on(Mutation::OneRecordPerKey));
        let covered = if new.is_open { covered } else { self.if_possibly_open(covered) };
        if new.is_open || covered.is_some() || context.opens(new.version) {
            let entry = Entry {
                hash,
                version: new.version,
                arrived_at: context.now,
                below: covered,
                decided: !new.is_open,
                newest_once: new.is_newest,
                of_update: false,
            };
            self.lists().open.push(entry);
        }
    }

    /// What a decided record covers is outranked for good. It is kept only if somebody may still ask whether it was
    /// shown.
    fn if_possibly_open(&self, covered: Option<Record>) -> Option<Record> {
        covered.filter(|record| record.is_born_open() && self.0.is_some())
    }

    /// Puts a decided record below the entry at `at`, above what lies there.
    pub(super) fn bury(&mut self, hash: u64, at: usize, record: Record, context: &Context<'_>) {
        let Some(lists) = &mut self.0 else { return };
        record.mark_buried();
        let arrival = Arrival { version: record.version(), is_open: false, is_newest: false };
        let covered = lists.open.replace_below(at, Some(record));
        self.log(hash, arrival, covered, context);
    }

    /// Where the entry of a version is.
    pub(super) fn position(&self, hash: u64, version: Version) -> Option<usize> {
        self.0.as_ref()?.open.position(hash, version)
    }

    /// The entry of a version.
    pub(super) fn entry(&self, hash: u64, version: Version) -> Option<&Entry> {
        let open = &self.0.as_ref()?.open;
        open.position(hash, version).map(|at| open.entry(at))
    }

    /// The entry of a version, to change anything but what lies below.
    pub(super) fn entry_mut(&mut self, hash: u64, version: Version) -> Option<&mut Entry> {
        let open = &mut self.0.as_mut()?.open;
        open.position(hash, version).map(|at| open.entry_mut(at))
    }

    /// Notes that `version` is the write of an update.
    pub(super) fn note_update(&mut self, hash: u64, version: Version) {
        if let Some(entry) = self.entry_mut(hash, version) {
            entry.of_update = true;
        }
    }

    /// The record of `version`, if it lies below another one.
    pub(super) fn covered(&self, key: &[u8], version: Version) -> Option<&Record> {
        let open = &self.0.as_ref()?.open;
        open.cover_of(key, version).and_then(|at| open.entry(at).below.as_ref())
    }

    /// How `version` stands in a key that shows `top`, which is newer.
    pub(super) fn standing(&self, hash: u64, top: Version, version: Version, context: &Context<'_>) -> Standing {
        self.0.as_ref().map_or(Standing::Outranked, |lists| lists.open.standing(hash, top, version, context))
    }

    /// Whether the entry at `at` may still be taken back.
    pub(super) fn is_open(&self, at: usize, context: &Context<'_>) -> bool {
        self.0.as_ref().is_some_and(|lists| lists.open.is_open(at, context))
    }

    /// Takes the entry at `at` out. If another entry covers its record, that one covers from now on what lay below it;
    /// otherwise the record is the shown one, and what is to show instead is given back.
    pub(super) fn take_back(&mut self, key: &[u8], at: usize) -> TakenBack {
        let Some(lists) = &mut self.0 else { return TakenBack::Spliced };
        let open = &mut lists.open;
        let cover = open.cover_of(key, open.entry(at).version);
        let below = open.replace_below(at, None);
        let outcome = match cover {
            Some(cover) => {
                open.replace_below(cover, below);
                TakenBack::Spliced
            }
            None => TakenBack::Top(below),
        };
        open.remove(at);
        outcome
    }

    /// Whether a version is void.
    #[inline]
    pub(super) fn is_void(&self, hash: u64, version: Version, context: &Context<'_>) -> bool {
        self.0.as_ref().is_some_and(|lists| lists.voids.contains(hash, version, context.now))
    }

    /// Whether [`Self::mark_void`] would succeed.
    pub(super) fn can_mark_void(&self, hash: u64, version: Version, context: &Context<'_>) -> bool {
        let has_room = self.0.as_ref().is_none_or(|lists| lists.voids.has_room());
        context.has_room && has_room || self.is_void(hash, version, context)
    }

    /// Marks a version void; false if there is no room for a mark.
    pub(super) fn mark_void(&mut self, hash: u64, version: Version, context: &Context<'_>) -> bool {
        let can = self.can_mark_void(hash, version, context);
        if can {
            let lists = self.lists();
            lists.voids.leave(hash, version, context.mark_end());
        }
        can
    }

    /// Forgets that a version is void: another replica keeps it all the same.
    pub(super) fn unmark_void(&mut self, hash: u64, version: Version) {
        if let Some(lists) = &mut self.0 {
            lists.voids.remove(hash, version);
        }
    }

    /// Drops everything older than `flush_mark`; the freed records go to `freed`.
    pub(super) fn flush(&mut self, flush_mark: Version, freed: &mut Vec<Record>) {
        if let Some(lists) = &mut self.0 {
            lists.open.flush(flush_mark, freed);
            lists.voids.flush(flush_mark);
        }
    }

    /// Gives memory back that is not in use; true if nothing is left. Lists that are merely empty stay once more, so
    /// that a slot which is written now and then does not allocate them anew each time.
    pub(super) fn rest(&mut self) -> bool {
        let Some(lists) = &mut self.0 else { return true };
        let is_empty = lists.is_empty();
        if is_empty && lists.is_idle {
            self.0 = None;
            return true;
        }
        lists.is_idle = is_empty;
        lists.open.shrink();
        lists.voids.shrink();
        false
    }

    /// Closes and drops what is due, and leaves lists that are empty then to whichever slot needs some next: they are still in
    /// the cache, unlike those that this slot would find when it is written to again. Returns how many bytes less are pending.
    pub(super) fn close_and_hand_on(&mut self, context: &Context<'_>) -> usize {
        let before = self.bytes();
        self.close_due(context);
        let closed = before - self.bytes();
        if let Some(lists) = self.0.take_if(|lists| lists.is_empty()) {
            give_lists(lists);
        }
        closed
    }

    /// Where the lists are, without a look at them.
    pub(super) fn address(&self) -> Option<*const u8> {
        self.0.as_deref().map(|lists| std::ptr::from_ref(lists).cast())
    }

    /// The record that is freed when the next entry is closed, if one is.
    pub(super) fn covered_first(&self) -> Option<&Record> {
        self.0.as_ref()?.open.covered_first()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |lists| lists.open.bytes() + lists.voids.bytes())
    }

    pub(super) fn open_records(&self) -> usize {
        self.0.as_ref().map_or(0, |lists| lists.open.len())
    }

    pub(super) fn records_below(&self) -> usize {
        self.0.as_ref().map_or(0, |lists| lists.open.records_below())
    }

    pub(super) fn void_marks(&self) -> usize {
        self.0.as_ref().map_or(0, |lists| lists.voids.len())
    }
}

/// A record that has just been placed.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    pub(super) version: Version,
    /// Its coordinator may still take it back.
    pub(super) is_open: bool,
    /// It is the newest of its key.
    pub(super) is_newest: bool,
}

/// What becomes of a key when one of its versions is taken back.
pub(super) enum TakenBack {
    /// A newer version goes on showing.
    Spliced,
    /// This shows again, or nothing.
    Top(Option<Record>),
}
