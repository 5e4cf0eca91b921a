//! Buffers that the sessions of one thread share, so that an idle connection costs none.

use std::cell::RefCell;

use bytes::BytesMut;

use crate::codec::Requests;

/// Bytes that a session's input buffer has at first.
const INPUT_BYTES: usize = 64 << 10;
/// Less room than this is not worth a read.
const READ_BYTES_MIN: usize = 16 << 10;
/// Buffers of each kind that a thread keeps; what is over is freed.
const KEPT_MAX: usize = 64;
/// A larger buffer of replies is freed instead of kept.
const OUT_KEPT_BYTES_MAX: usize = 64 << 10;

thread_local! {
    static INPUTS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static OUTS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static BATCHES: RefCell<Vec<Requests>> = const { RefCell::new(Vec::new()) };
}

/// An empty input buffer with room for a read.
pub(super) fn take_input() -> BytesMut {
    let mut buffer = INPUTS.with_borrow_mut(Vec::pop).unwrap_or_default();
    buffer.reserve(INPUT_BYTES);
    buffer
}

/// Makes room for a read behind a torn request, which the decoder may have moved to a buffer that just holds it because
/// earlier requests still shared the large one. Longer ones have got the room that they need.
pub(super) fn make_room(buffer: &mut BytesMut) {
    let (len, room) = (buffer.len(), buffer.capacity() - buffer.len());
    if room < READ_BYTES_MIN && len < INPUT_BYTES {
        buffer.reserve(INPUT_BYTES - len);
    }
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

/// A batch of requests to decode into; what is in it is of no use.
#[inline]
pub(super) fn take_requests() -> Requests {
    BATCHES.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives back a batch of requests, which lets go of their buffer.
#[inline]
pub(super) fn give_requests(mut requests: Requests) {
    requests.clear();
    BATCHES.with_borrow_mut(|kept| {
        if kept.len() < KEPT_MAX {
            kept.push(requests);
        }
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_request_in_a_small_buffer_gets_room_for_a_whole_read() {
        let mut buffer = BytesMut::from("*3\r\n$3\r\nSET");
        make_room(&mut buffer);
        assert!(buffer.capacity() - buffer.len() >= READ_BYTES_MIN);
        assert_eq!(buffer, "*3\r\n$3\r\nSET");
    }

    #[test]
    fn a_buffer_that_has_grown_for_a_large_value_is_left_alone() {
        let mut buffer = BytesMut::zeroed(INPUT_BYTES);
        let capacity = buffer.capacity();
        make_room(&mut buffer);
        assert_eq!(buffer.capacity(), capacity);
    }
}
