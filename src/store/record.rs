//! A record: what one write left of a key, in one allocation.
//!
//! Millions of records live at once, so a record is a thin pointer in its table and one block on the heap: a small
//! header, then the key, then the value. Key and value are copied in; a slice of a network buffer would keep that
//! whole buffer alive. The block is reference-counted, so a large value can be sent after the slot's lock is gone.
//!
//! Most records never expire, and their versions name one of a few runs. So the header has room for neither an expiry nor a
//! run: what there is of them stands before the key, first the run (only where `runs.rs` has no place for it), then the
//! expiry, eight bytes each.
//!
//! A value of megabytes would be copied for milliseconds, so it may stay where it was received: apart from the block, in
//! memory that holds hardly anything else (`header.rs`).

use std::cell::RefCell;
use std::fmt;
use std::iter;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use triomphe::{Arc, HeaderSliceWithLengthProtected, ThinArc};

use super::header::{Apart, FrontWords, Header, Lead, WORD_BYTES, write_expiry, write_front, write_run};
use super::runs::RUNS;
use super::table::ITEM_BYTES;
use crate::time::UnixMs;
use crate::version::Version;

/// There is no value: the key was deleted.
const TOMBSTONE: u8 = 1;
/// Somebody has seen the record, or it was decided from the start: no revert may take it back.
const SHOWN: u8 = 1 << 1;
/// It came as a write that its coordinator could still take back, so the slot may hold an open entry for it.
const BORN_OPEN: u8 = 1 << 2;
/// It came as a copy below an open newer record, and has never been the newest here.
const BURIED: u8 = 1 << 3;
/// Its expiry stands before the key.
const TIMED: u8 = 1 << 4;
/// What tells of a record's history, and nothing of its content.
const HISTORY: u8 = SHOWN | BORN_OPEN | BURIED;

/// In place of the run's place: it stands in the block.
const IN_BLOCK: u16 = u16::MAX;
/// Of a record whose run is not known yet.
const ANY_PLACE: u16 = 0;

/// From this size on a value is shared: copying it would take longer than all the rest of a request.
pub const LARGE_BYTES: usize = 32 << 10;

/// A value or a tombstone of one key, with its version and, if any, its absolute expiry.
///
/// A clone shares the same memory.
#[derive(Clone)]
pub struct Record(ThinArc<Header, u8>);

/// The block without its count of owners.
type Block = HeaderSliceWithLengthProtected<Header, u8>;

/// A record that is held for its value.
struct ValueOf(Record);

impl AsRef<[u8]> for ValueOf {
    fn as_ref(&self) -> &[u8] {
        self.0.value().unwrap_or_default()
    }
}

/// What a write asks for, before it becomes a record.
#[derive(Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) key: &'a [u8],
    /// `None` deletes.
    pub(super) value: Option<&'a [u8]>,
    /// Of a tombstone: when it came here.
    pub(super) expires_at: Option<UnixMs>,
}

impl<'a> Content<'a> {
    /// What is to be stored at `now`.
    pub(super) fn new(key: &'a [u8], value: Option<&'a [u8]>, expires_at: Option<UnixMs>, now: UnixMs) -> Self {
        Self { key, value, expires_at: if value.is_some() { expires_at } else { Some(now) } }
    }
}

impl Record {
    /// A record of `content`, decided.
    pub(super) fn decided(content: Content<'_>, version: Version) -> Self {
        Self::with_flags(content, version, SHOWN)
    }

    /// A record of `content` that its coordinator may still take back.
    pub(super) fn open(content: Content<'_>, version: Version) -> Self {
        Self::with_flags(content, version, BORN_OPEN)
    }

    /// A record of `content` without a version: whoever shows it has it [`stamped`](Self::stamped) first.
    pub(super) fn unstamped(content: Content<'_>, is_open: bool) -> Self {
        Self::at_place(content, Version::default(), Some(ANY_PLACE), if is_open { BORN_OPEN } else { SHOWN })
    }

    fn with_flags(content: Content<'_>, version: Version, history: u8) -> Self {
        Self::at_place(content, version, RUNS.place_of(version.run()), history)
    }

    /// The same record of a tombstone's key with this value, which stays where it is, in memory that it has nearly for itself.
    /// Only for a record that nobody else holds yet.
    pub(super) fn with_value_apart(mut self, value: Bytes) -> Self {
        self.0.with_arc_mut(|block| {
            let header = unshared(block).header_mut();
            let mut lead = std::mem::take(header.lead_mut());
            *lead.flags.get_mut() &= !TOMBSTONE;
            *header = Header::Apart(Box::new(Apart { lead, value }));
        });
        self
    }

    /// `run` is the place of the version's run, if it has one.
    fn at_place(content: Content<'_>, version: Version, run: Option<u16>, history: u8) -> Self {
        let Content { key, value, expires_at } = content;
        let front = FrontWords::of(run.is_none(), expires_at.is_some());
        let (front_bytes, value_bytes) = (front.bytes(), value.map_or(0, <[u8]>::len));
        let mut block = block_of(front_bytes + key.len() + value_bytes);
        block.with_arc_mut(|block| {
            let block = unshared(block);
            let kind = if value.is_some() { 0 } else { TOMBSTONE };
            let timed = if expires_at.is_some() { TIMED } else { 0 };
            *block.header_mut().lead_mut() = Lead {
                hlc: version.hlc(),
                key_bytes: u32::try_from(key.len()).expect("the request decoder bounds a key far below 4 GiB"),
                run: run.unwrap_or(IN_BLOCK),
                front,
                flags: AtomicU8::new(history & HISTORY | kind | timed),
            };
            let (front, rest) = block.slice_mut().split_at_mut(front_bytes);
            if front_bytes > 0 {
                write_front(front, run.is_none().then_some(version), expires_at);
            }
            let (key_part, value_part) = rest.split_at_mut(key.len());
            key_part.copy_from_slice(key);
            value_part.copy_from_slice(value.unwrap_or_default());
        });
        Self(block)
    }

    /// Leaves the block to the next record of this size that the thread makes, unless somebody else holds it. A store that
    /// is overwritten at random gives back one block here and one there, and an allocator has to search for each of them.
    pub(super) fn retire(mut self) {
        let is_spare = self.0.slice.len() <= SPARE_BYTES_MAX
            && self.value_apart().is_none()
            && self.0.with_arc_mut(|block| Arc::get_mut(block).is_some());
        if is_spare {
            SPARES.with_borrow_mut(|spares| {
                if spares.len() < SPARES_MAX {
                    spares.push(self);
                }
            });
        }
    }

    /// The same record under another version. Only for a record that nobody else holds yet.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "once per replicated write, and it is shorter than the call")]
    pub(super) fn stamped(mut self, version: Version) -> Self {
        let is_stamped = self.0.with_arc_mut(|block| stamp(unshared(block), version));
        if is_stamped { self } else { self.made_anew(version) }
    }

    #[cold]
    fn made_anew(self, version: Version) -> Self {
        let content = Content { key: self.key(), value: self.value(), expires_at: self.time() };
        match self.value_apart() {
            None => Self::with_flags(content, version, self.flags()),
            Some(value) => Self::with_flags(Content { value: None, ..content }, version, self.flags())
                .with_value_apart(value.clone()),
        }
    }

    /// Becomes another write of the same key in place, `version` for `before`, with a value as long as the present one, and an
    /// expiry if there is one at present. False, and nothing has changed, if that is not so, somebody else holds the record, or
    /// it has no room for the version's run.
    pub(super) fn overwrite(&mut self, content: Content<'_>, before: Version, version: Version) -> bool {
        let Some(value) = content.value else { return false };
        let Header::Here(lead) = &self.0.header.header else { return false };
        let (key_start, value_start, flags) = (lead.front.bytes(), lead.key_end(), lead.flags.load(Ordering::Relaxed));
        let timed = if content.expires_at.is_some() { TIMED } else { 0 };
        if flags & (TIMED | TOMBSTONE) != timed || self.0.slice.len() != value_start + value.len() {
            return false;
        }
        self.0.with_arc_mut(|block| {
            let Some(block) = Arc::get_mut(block) else { return false };
            let Header::Here(lead) = block.header_mut() else { return false };
            if version.run() == before.run() {
                lead.hlc = version.hlc();
            } else if !stamp(block, version) {
                return false;
            }
            if let Some(expires_at) = content.expires_at {
                write_expiry(&mut block.slice_mut()[..key_start], expires_at);
            }
            block.slice_mut()[value_start..].copy_from_slice(value);
            true
        })
    }

    /// The tombstone that an expired record turns into at `now`: same version, same history, no value.
    pub(super) fn without_value(&self, now: UnixMs) -> Self {
        let content = Content { key: self.key(), value: None, expires_at: Some(now) };
        Self::with_flags(content, self.version(), self.flags())
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        let lead = self.lead();
        &self.0.slice[lead.front.bytes()..lead.key_end()]
    }

    /// The value; `None` if this is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        match &self.0.header.header {
            Header::Here(lead) if lead.flags.load(Ordering::Relaxed) & TOMBSTONE != 0 => None,
            Header::Here(lead) => Some(&self.0.slice[lead.key_end()..]),
            Header::Apart(apart) => Some(&apart.value),
        }
    }

    /// The value, if it stays apart from the block.
    fn value_apart(&self) -> Option<&Bytes> {
        match &self.0.header.header {
            Header::Here(_) => None,
            Header::Apart(apart) => Some(&apart.value),
        }
    }

    /// The value, if it is so large that it should be shared and not copied; then without a copy.
    #[must_use]
    #[inline]
    pub fn large_value(&self) -> Option<Bytes> {
        // Most blocks are too small, which is sooner told than where their values begin.
        if self.0.slice.len() < LARGE_BYTES {
            return self.value_apart().cloned();
        }
        self.value().filter(|value| value.len() >= LARGE_BYTES)?;
        Some(Bytes::from_owner(ValueOf(self.clone())))
    }

    /// The stamp of the write.
    #[must_use]
    pub fn version(&self) -> Version {
        let Lead { hlc, run, .. } = self.lead();
        Version::of_run(*hlc, RUNS.at(*run).unwrap_or_else(|| self.run_in_block()))
    }

    /// From when on the record counts as deleted, if ever. A tombstone has no expiry.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMs> {
        if self.flags() & (TIMED | TOMBSTONE) == TIMED { Some(self.word_before_key()) } else { None }
    }

    /// When a tombstone came here, by this node's clock.
    pub(super) fn came_at(&self) -> UnixMs {
        self.time().unwrap_or_default()
    }

    /// Whether the key exists at `now` by this record: it has a value that has not expired.
    #[must_use]
    pub fn is_live(&self, now: UnixMs) -> bool {
        match self.flags() & (TIMED | TOMBSTONE) {
            0 => true,
            TIMED => self.word_before_key() > now,
            _ => false,
        }
    }

    pub(super) fn is_expired(&self, now: UnixMs) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    pub(super) fn is_tombstone(&self) -> bool {
        self.has(TOMBSTONE)
    }

    /// Where the block is, without a look at it.
    pub(super) fn address(&self) -> *const u8 {
        self.0.heap_ptr().cast()
    }

    /// What the allocator was asked for, at most: a run is counted as if it stood in the block. Whether it does depends on
    /// what else the process has stored, and what a store does must not.
    pub(super) fn heap_bytes(&self) -> usize {
        let (lead, apart_bytes) = match &self.0.header.header {
            Header::Here(lead) => (lead, 0),
            Header::Apart(apart) => (&apart.lead, size_of::<Apart>() + apart.value.len()),
        };
        let run_bytes = if lead.run == IN_BLOCK { 0 } else { WORD_BYTES };
        HEAD_BYTES + run_bytes + self.0.slice.len() + apart_bytes
    }

    /// Bytes that a live record of this size takes on a node: its block, and its share of the slot's table.
    #[must_use]
    pub const fn footprint(key_bytes: usize, value_bytes: usize, expires: bool) -> usize {
        let expiry_bytes = if expires { WORD_BYTES } else { 0 };
        HEAD_BYTES + expiry_bytes + key_bytes + value_bytes + ITEM_BYTES
    }

    /// Notes that somebody sees the record now. Reads of records seen before write nothing.
    pub(super) fn mark_shown(&self) {
        if !self.has(SHOWN) {
            self.raise(SHOWN);
        }
    }

    pub(super) fn is_shown(&self) -> bool {
        self.has(SHOWN)
    }

    pub(super) fn is_born_open(&self) -> bool {
        self.has(BORN_OPEN)
    }

    /// Notes that the record lies below an open newer one and has never been the newest here.
    pub(super) fn mark_buried(&self) {
        self.raise(BURIED);
    }

    /// Notes that the record is the newest here now.
    pub(super) fn mark_surfaced(&self) {
        self.lead().flags.store(self.flags() & !BURIED, Ordering::Relaxed);
    }

    pub(super) fn is_buried(&self) -> bool {
        self.has(BURIED)
    }

    fn has(&self, flag: u8) -> bool {
        self.flags() & flag != 0
    }

    fn flags(&self) -> u8 {
        self.lead().flags.load(Ordering::Relaxed)
    }

    fn raise(&self, flag: u8) {
        self.lead().flags.store(self.flags() | flag, Ordering::Relaxed);
    }

    fn lead(&self) -> &Lead {
        self.0.header.header.lead()
    }

    fn key_start(&self) -> usize {
        self.lead().front.bytes()
    }

    /// The expiry; of a tombstone, when it came here.
    fn time(&self) -> Option<UnixMs> {
        self.has(TIMED).then(|| self.word_before_key())
    }

    fn word_before_key(&self) -> UnixMs {
        UnixMs(self.0.slice[..self.key_start()].last_chunk().map_or(0, |word| u64::from_ne_bytes(*word)))
    }

    #[cold]
    fn run_in_block(&self) -> u64 {
        self.0.slice.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word))
    }
}

impl fmt::Debug for Record {
    /// Sizes only: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("version", &self.version())
            .field("expires_at", &self.expires_at())
            .field("key_bytes", &self.key().len())
            .field("value_bytes", &self.value().map(<[u8]>::len))
            .finish()
    }
}

/// What a block has in front of its slice: the count of owners, the slice's length, the header.
const HEAD_BYTES: usize = size_of::<usize>() * 2 + size_of::<Header>();

/// How many blocks a thread keeps for its next records: as many as the writes of a busy moment free and need again.
const SPARES_MAX: usize = 1024;
/// Larger blocks are freed. Their contents cost more than the search for them.
const SPARE_BYTES_MAX: usize = 1 << 10;

thread_local! {
    static SPARES: RefCell<Vec<Record>> = const { RefCell::new(Vec::new()) };
}

/// A block for so many bytes, with one owner: the one retired last, if its size is right.
///
/// Filling it with zeros first and then copying is 2 to 20 times faster than an iterator over both slices.
fn block_of(bytes: usize) -> ThinArc<Header, u8> {
    let spare = SPARES.with_borrow_mut(Vec::pop).filter(|spare| spare.0.slice.len() == bytes);
    spare.map_or_else(|| ThinArc::from_header_and_iter(Header::default(), iter::repeat_n(0, bytes)), |spare| spare.0)
}

/// Puts a version into a block; false, and nothing has changed, if there is no room for its run.
#[inline]
fn stamp(block: &mut Block, version: Version) -> bool {
    let lead = block.header_mut().lead_mut();
    if lead.run == IN_BLOCK {
        lead.hlc = version.hlc();
        write_run(block.slice_mut(), version);
    } else {
        let Some(place) = RUNS.place_of(version.run()) else { return false };
        (lead.hlc, lead.run) = (version.hlc(), place);
    }
    true
}

fn unshared<T: ?Sized>(block: &mut Arc<T>) -> &mut T {
    Arc::get_mut(block).expect("a record that is still being made has one owner")
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
