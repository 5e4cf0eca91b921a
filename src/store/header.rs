//! What stands in front of a record's bytes, and a value that stays apart from them.
//!
//! A value of ten megabytes is copied for milliseconds, and nobody else is served meanwhile. Its bytes lie in a buffer
//! already that holds hardly anything else: the one that it was received into. So the record takes a share of that buffer
//! instead of a copy. For records of ordinary size this must cost nothing: the header has one byte with few values, and
//! in the others Rust finds room to tell that it is a pointer to [`Apart`].

use std::hint::cold_path;
use std::sync::atomic::AtomicU8;

use bytes::Bytes;

use crate::time::UnixMs;
use crate::version::{Hlc, Version};

/// Bytes of a run or an expiry before the key.
pub(super) const WORD_BYTES: usize = 8;

/// What is known of a record besides its bytes.
pub(super) enum Header {
    /// The value lies in the block, behind the key.
    Here(Lead),
    /// It lies elsewhere, and the block ends with the key.
    Apart(Box<Apart>),
}

/// What is known of a record besides its bytes, wherever they lie.
#[derive(Default)]
pub(super) struct Lead {
    pub(super) hlc: Hlc,
    pub(super) key_bytes: u32,
    /// The place of the version's run among [`RUNS`](super::runs::RUNS), or a number that says that it stands in the block.
    pub(super) run: u16,
    /// What stands before the key.
    pub(super) front: FrontWords,
    /// Change under the lock of the record's slot alone, so relaxed access suffices.
    pub(super) flags: AtomicU8,
}

/// Of a record whose value stays where it is.
pub(super) struct Apart {
    pub(super) lead: Lead,
    pub(super) value: Bytes,
}

/// How many words stand before the key, as their bytes. No number: see [`Header`].
#[derive(Clone, Copy, Default)]
#[repr(u8)]
pub(super) enum FrontWords {
    #[default]
    None = 0,
    One = 8,
    Two = 16,
}

const _: () = assert!(FrontWords::One as usize == WORD_BYTES && FrontWords::Two as usize == 2 * WORD_BYTES);

impl Header {
    #[inline]
    pub(super) fn lead(&self) -> &Lead {
        match self {
            Self::Here(lead) => lead,
            Self::Apart(apart) => {
                cold_path();
                &apart.lead
            }
        }
    }

    #[inline]
    pub(super) fn lead_mut(&mut self) -> &mut Lead {
        match self {
            Self::Here(lead) => lead,
            Self::Apart(apart) => {
                cold_path();
                &mut apart.lead
            }
        }
    }
}

impl Default for Header {
    fn default() -> Self {
        Self::Here(Lead::default())
    }
}

impl FrontWords {
    /// The run, the expiry, both or neither.
    #[inline]
    pub(super) fn of(run: bool, expiry: bool) -> Self {
        match (run, expiry) {
            (false, false) => Self::None,
            (true, true) => Self::Two,
            _ => Self::One,
        }
    }

    #[inline]
    pub(super) fn bytes(self) -> usize {
        self as usize
    }
}

impl Lead {
    /// Where the key ends.
    #[inline]
    pub(super) fn key_end(&self) -> usize {
        self.front.bytes() + self.key_bytes as usize
    }
}

/// Puts a version's run in front of all else.
pub(super) fn write_run(slice: &mut [u8], version: Version) {
    if let Some(word) = slice.first_chunk_mut() {
        *word = version.run().to_ne_bytes();
    }
}

/// Puts before the key what stands there; a version only if its run does.
pub(super) fn write_front(front: &mut [u8], version: Option<Version>, expires_at: Option<UnixMs>) {
    if let Some(version) = version {
        write_run(front, version);
    }
    if let Some(expires_at) = expires_at {
        write_expiry(front, expires_at);
    }
}

/// Puts an expiry just before the key; `front` is what stands there.
pub(super) fn write_expiry(front: &mut [u8], expires_at: UnixMs) {
    if let Some(word) = front.last_chunk_mut() {
        *word = expires_at.0.to_ne_bytes();
    }
}
