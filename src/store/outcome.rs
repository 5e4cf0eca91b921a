//! The store's answers.

use super::record::Record;
use crate::time::UnixMs;
use crate::version::Version;

/// What a key is, to a reader.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'a> {
    /// Nothing is known of the key; another replica may know more.
    Missing,
    /// The key does not exist, and that is an answer: it was deleted, flushed, or it expired.
    Tombstone {
        /// Of the delete, the flush, or the record that expired.
        version: Version,
    },
    /// The key exists.
    Live(&'a Record),
}

impl<'a> Lookup<'a> {
    /// The record if the key exists.
    #[must_use]
    pub fn live(self) -> Option<&'a Record> {
        match self {
            Self::Live(record) => Some(record),
            Self::Missing | Self::Tombstone { .. } => None,
        }
    }

    /// The version of the answer, if there is one.
    #[must_use]
    pub fn version(self) -> Option<Version> {
        match self {
            Self::Missing => None,
            Self::Tombstone { version } => Some(version),
            Self::Live(record) => Some(record.version()),
        }
    }
}

/// What a key showed just before a write.
///
/// After a delete it may be told to a client: it counts as read then. After any other write it must not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Prior {
    /// Of what was shown; the flush mark or the default version if that was nothing.
    pub version: Version,
    /// Whether the key existed.
    pub live: bool,
}

impl Prior {
    pub(super) fn of(record: &Record, now: UnixMs) -> Self {
        Self { version: record.version(), live: record.is_live(now) }
    }
}

/// What became of a coordinator's fresh write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// It is, or was, the newest of its key here. A repeated write is applied once.
    Applied {
        /// What it replaced, as far as that is still known when the write is a repetition.
        prior: Prior,
    },
    /// This larger version, or flush mark, was here first, and stays; the write is refused from now on.
    Stale(Version),
    /// The version was reverted here; nothing changed.
    Void,
    /// An update with this larger ballot is under way, or one may have come to nothing; nothing changed, and a version above it
    /// would be taken.
    Promised(Version),
}

/// What became of the write of an update.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepted {
    /// As a fresh write.
    Written(Written),
    /// Its promise is not in force any more, or this version came in between; nothing changed.
    Refused(Version),
}

/// What became of the question of an update.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prepared<T> {
    /// It is promised, and this is shown.
    Shows(T),
    /// It is promised; but what is shown, this version, may come to nothing, and so it was not seen.
    Withheld(Version),
    /// This larger ballot is, or was, promised.
    Promised(Version),
    /// There are too many promises.
    Crowded,
}

/// What became of a record that another replica holds already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copied {
    /// It is, or once was, the newest of its key here.
    Newest,
    /// This version is newer. The copy is kept below it in case that one is taken back.
    Older(Version),
    /// An update with this larger ballot is under way; nothing changed, and the copy may be taken afterwards.
    Promised(Version),
    /// An update below this version may have come to nothing; nothing changed, and the copy is never taken. The key has to be
    /// written anew, above that.
    Unsettled(Version),
}

/// What became of a revert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reverted {
    /// The version has never been read here and never will be, unless another replica passes it on.
    Confirmed,
    /// The version is, or may be, here to stay: decided, shown, or nothing is known of it. Nothing changed.
    Kept,
}
