//! Buffers that the sessions of one thread share, so that an idle connection costs none.

use std::cell::RefCell;

use bytes::BytesMut;

/// Bytes that one read takes at most, and a session's input buffer has at first.
const INPUT_BYTES: usize = 64 << 10;
/// Buffers of each kind that a thread keeps; what is over is freed.
const KEPT_MAX: usize = 64;
/// A larger buffer of replies is freed instead of kept.
const OUT_KEPT_BYTES_MAX: usize = 64 << 10;

thread_local! {
    static INPUTS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static OUTS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty input buffer with room for a read.
pub(super) fn take_input() -> BytesMut {
    let mut buffer = INPUTS.with_borrow_mut(Vec::pop).unwrap_or_default();
    buffer.reserve(INPUT_BYTES);
    buffer
}

/// Gives back an input buffer. One that decoded requests still share, or that grew, is left to them.
pub(super) fn give_input(mut buffer: BytesMut) {
    buffer.clear();
    if buffer.capacity() > 0 && buffer.try_reclaim(INPUT_BYTES) && buffer.capacity() <= 2 * INPUT_BYTES {
        INPUTS.with_borrow_mut(|kept| {
            if kept.len() < KEPT_MAX {
                kept.push(buffer);
            }
        });
    }
}

/// An empty buffer for replies.
pub(super) fn take_out() -> Vec<u8> {
    OUTS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives back a buffer of replies that were sent.
pub(super) fn give_out(mut buffer: Vec<u8>) {
    if buffer.capacity() <= OUT_KEPT_BYTES_MAX {
        buffer.clear();
        OUTS.with_borrow_mut(|kept| {
            if kept.len() < KEPT_MAX {
                kept.push(buffer);
            }
        });
    }
}
