//! A record: what one write left of a key, in one allocation.
//!
//! Millions of records live at once, so a record is a thin pointer in its table and one block on the heap: a small
//! header, then the key, then the value. Key and value are copied in; a slice of a network buffer would keep that
//! whole buffer alive. The block is reference-counted, so a large value can be sent after the slot's lock is gone.

use std::cell::RefCell;
use std::fmt;
use std::iter;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use triomphe::{Arc, ThinArc};

use super::table::ITEM_BYTES;
use crate::time::UnixMs;
use crate::version::Version;

/// There is no value: the key was deleted.
const TOMBSTONE: u32 = 1;
/// Somebody has seen the record, or it was decided from the start: no revert may take it back.
const SHOWN: u32 = 1 << 1;
/// It came as a write that its coordinator could still take back, so the slot may hold an open entry for it.
const BORN_OPEN: u32 = 1 << 2;
/// It came as a copy below an open newer record, and has never been the newest here.
const BURIED: u32 = 1 << 3;

/// From this size on a value is shared: copying it would take longer than all the rest of a request.
pub const LARGE_BYTES: usize = 32 << 10;

/// A value or a tombstone of one key, with its version and, if any, its absolute expiry.
///
/// A clone shares the same memory.
#[derive(Clone)]
pub struct Record(ThinArc<Header, u8>);

struct Header {
    version: Version,
    /// Unix milliseconds; 0 if the record never expires. Of a tombstone: when it came here.
    expires_at: u64,
    key_bytes: u32,
    /// The flags above. They change under the lock of the record's slot alone, so relaxed access suffices.
    flags: AtomicU32,
}

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

    /// The expiry as a header has it.
    fn expiry(&self) -> u64 {
        self.expires_at.map_or(0, |at| at.0.max(1))
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

    /// Filling the block with zeros first and then copying is 2 to 20 times faster than an iterator over both slices.
    fn with_flags(content: Content<'_>, version: Version, flags: u32) -> Self {
        let Content { key, value, .. } = content;
        let header = Header {
            version,
            expires_at: content.expiry(),
            key_bytes: u32::try_from(key.len()).expect("the request decoder bounds a key far below 4 GiB"),
            flags: AtomicU32::new(if value.is_some() { flags } else { flags | TOMBSTONE }),
        };
        let value = value.unwrap_or_default();
        let bytes = key.len() + value.len();
        let (mut block, header) = match take_spare(bytes) {
            Some(spare) => (spare.0, Some(header)),
            None => (ThinArc::from_header_and_iter(header, iter::repeat_n(0, bytes)), None),
        };
        block.with_arc_mut(|block| {
            let block = unshared(block);
            if let Some(header) = header {
                *block.header_mut() = header;
            }
            let (key_part, value_part) = block.slice_mut().split_at_mut(key.len());
            key_part.copy_from_slice(key);
            value_part.copy_from_slice(value);
        });
        Self(block)
    }

    /// Leaves the block to the next record of this size that the thread makes, unless somebody else holds it. A store that
    /// is overwritten at random gives back one block here and one there, and an allocator has to search for each of them.
    pub(super) fn retire(mut self) {
        let is_spare =
            self.0.slice.len() <= SPARE_BYTES_MAX && self.0.with_arc_mut(|block| Arc::get_mut(block).is_some());
        if is_spare {
            SPARES.with_borrow_mut(|spares| {
                if spares.len() < SPARES_MAX {
                    spares.push(self);
                }
            });
        }
    }

    /// The same record under another version. Only for a record that nobody else holds yet.
    pub(super) fn stamped(mut self, version: Version) -> Self {
        self.0.with_arc_mut(|block| unshared(block).header_mut().version = version);
        self
    }

    /// Becomes another write of the same key in place, with a value as long as the present one. False, and nothing has
    /// changed, if that is not so or somebody else holds the record.
    pub(super) fn overwrite(&mut self, content: Content<'_>, version: Version) -> bool {
        let (Some(old), Some(value)) = (self.value(), content.value) else { return false };
        if old.len() != value.len() {
            return false;
        }
        let (key_len, expires_at) = (self.key_len(), content.expiry());
        self.0.with_arc_mut(|block| {
            let Some(block) = Arc::get_mut(block) else { return false };
            block.header_mut().version = version;
            block.header_mut().expires_at = expires_at;
            block.slice_mut()[key_len..].copy_from_slice(value);
            true
        })
    }

    /// The tombstone that an expired record turns into at `now`: same version, same history, no value.
    pub(super) fn without_value(&self, now: UnixMs) -> Self {
        let content = Content { key: self.key(), value: None, expires_at: Some(now) };
        Self::with_flags(content, self.version(), self.header().flags.load(Ordering::Relaxed))
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.0.slice[..self.key_len()]
    }

    /// The value; `None` if this is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        (!self.has(TOMBSTONE)).then(|| &self.0.slice[self.key_len()..])
    }

    /// The value, if it is so large that it should be shared and not copied; then without a copy.
    #[must_use]
    #[inline]
    pub fn large_value(&self) -> Option<Bytes> {
        self.value().filter(|value| value.len() >= LARGE_BYTES)?;
        Some(Bytes::from_owner(ValueOf(self.clone())))
    }

    /// The stamp of the write.
    #[must_use]
    pub fn version(&self) -> Version {
        self.header().version
    }

    /// From when on the record counts as deleted, if ever. A tombstone has no expiry.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMs> {
        let at = self.header().expires_at;
        (at != 0 && !self.is_tombstone()).then_some(UnixMs(at))
    }

    /// When a tombstone came here, by this node's clock.
    pub(super) fn came_at(&self) -> UnixMs {
        UnixMs(self.header().expires_at)
    }

    /// Whether the key exists at `now` by this record: it has a value that has not expired.
    #[must_use]
    pub fn is_live(&self, now: UnixMs) -> bool {
        !self.has(TOMBSTONE) && !self.is_expired(now)
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

    /// What the allocator was asked for.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<usize>() * 2 + size_of::<Header>() + self.0.slice.len()
    }

    /// Bytes that a live record of this size takes on a node: its block, and its share of the slot's table.
    #[must_use]
    pub const fn footprint(key_bytes: usize, value_bytes: usize) -> usize {
        size_of::<usize>() * 2 + size_of::<Header>() + key_bytes + value_bytes + ITEM_BYTES
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
        let flags = &self.header().flags;
        flags.store(flags.load(Ordering::Relaxed) & !BURIED, Ordering::Relaxed);
    }

    pub(super) fn is_buried(&self) -> bool {
        self.has(BURIED)
    }

    fn has(&self, flag: u32) -> bool {
        self.header().flags.load(Ordering::Relaxed) & flag != 0
    }

    fn raise(&self, flag: u32) {
        let flags = &self.header().flags;
        flags.store(flags.load(Ordering::Relaxed) | flag, Ordering::Relaxed);
    }

    fn header(&self) -> &Header {
        &self.0.header.header
    }

    fn key_len(&self) -> usize {
        self.header().key_bytes as usize
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

/// How many blocks a thread keeps for its next records: as many as the writes of a busy moment free and need again.
const SPARES_MAX: usize = 1024;
/// Larger blocks are freed. Their contents cost more than the search for them.
const SPARE_BYTES_MAX: usize = 1 << 10;

thread_local! {
    static SPARES: RefCell<Vec<Record>> = const { RefCell::new(Vec::new()) };
}

/// The block retired last, if there is room for exactly so many bytes in it. It has one owner.
fn take_spare(bytes: usize) -> Option<Record> {
    SPARES.with_borrow_mut(Vec::pop).filter(|spare| spare.0.slice.len() == bytes)
}

fn unshared<T: ?Sized>(block: &mut Arc<T>) -> &mut T {
    Arc::get_mut(block).expect("a record that is still being made has one owner")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::NodeIndex;
    use crate::version::{Hlc, StartNumber};

    fn version(hlc: u64) -> Version {
        Version::new(Hlc(hlc), NodeIndex(1), StartNumber::new(1))
    }

    #[test]
    fn a_record_gives_back_what_it_was_made_of() {
        for (key, value) in [(&b""[..], Some(&b""[..])), (b"k", Some(b"")), (b"", Some(b"v")), (b"key", None)] {
            let record = Record::decided(Content { key, value, expires_at: Some(UnixMs(5)) }, version(7));
            assert_eq!((record.key(), record.value()), (key, value));
            assert_eq!((record.version(), record.expires_at()), (version(7), value.map(|_| UnixMs(5))));
        }
    }

    #[test]
    fn a_retired_block_becomes_the_next_record_of_its_size() {
        let content = |value| Content { key: b"k", value: Some(value), expires_at: None };
        let make = |value, hlc| Record::open(content(value), version(hlc));
        let first = make(b"one".as_slice(), 1);
        first.mark_shown();
        let (block, kept) = (first.address(), make(b"kept", 2));
        first.retire();
        kept.clone().retire();

        let second = make(b"two", 3);
        assert_eq!((second.address(), second.value(), second.version()), (block, Some(b"two".as_slice()), version(3)));
        assert!(!second.is_shown() && second.is_born_open(), "nothing is left of the first");
        assert_eq!(kept.value(), Some(b"kept".as_slice()), "what somebody holds is left alone");
        second.retire();
        assert_eq!(make(b"three", 4).value(), Some(b"three".as_slice()));
    }

    #[test]
    fn a_tombstone_and_an_expired_record_are_not_live() {
        let content = Content { key: b"k", value: Some(b"v"), expires_at: Some(UnixMs(5)) };
        let record = Record::decided(content, version(1));
        assert!(record.is_live(UnixMs(4)));
        assert!(!record.is_live(UnixMs(5)));
        let tombstone = record.without_value(UnixMs(7));
        assert!(!tombstone.is_live(UnixMs(4)));
        assert_eq!((tombstone.version(), tombstone.expires_at()), (version(1), None));
        assert_eq!(tombstone.came_at(), UnixMs(7));
    }

    #[test]
    fn an_expiry_at_the_epoch_is_long_past_and_not_never() {
        let record = Record::decided(Content { key: b"k", value: Some(b"v"), expires_at: Some(UnixMs(0)) }, version(1));
        assert!(!record.is_live(UnixMs(1)));
    }

    #[test]
    fn a_large_value_is_shared_and_a_small_one_is_not() {
        let value = vec![7; LARGE_BYTES];
        let record = Record::decided(Content { key: b"k", value: Some(&value), expires_at: None }, version(1));
        let shared = record.large_value().unwrap();
        assert_eq!(shared.as_ptr(), record.value().unwrap().as_ptr());
        drop(record);
        assert_eq!(shared, value, "it outlives the record's place in the store");
        for value in [Some(&value[1..]), None] {
            let record = Record::decided(Content { key: b"k", value, expires_at: None }, version(1));
            assert!(record.large_value().is_none());
        }
    }

    #[test]
    fn debug_output_holds_no_value() {
        let record = Record::open(Content { key: b"key", value: Some(b"secret"), expires_at: None }, version(1));
        assert!(!format!("{record:?}").contains("secret"));
    }

    #[test]
    fn the_header_stays_within_half_a_cache_line() {
        assert_eq!(size_of::<Header>(), 32);
        assert_eq!(size_of::<Option<Record>>(), 8);
    }
}
