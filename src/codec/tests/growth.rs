//! Time and memory: both follow the bytes received, not the numbers announced and not the number of pieces.

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use super::decode_pieces;
use crate::codec::bulk_array::BulkArray;
use crate::codec::{DecodeLimits, LARGE_BULK_BYTES, ReplyDecoder, RequestDecoder, Requests};

const PIECE_BYTES: usize = 16 << 10;
/// Room that may be made for bytes that have only been announced, and a little for the buffer's own rounding.
const AHEAD_BYTES_MAX: usize = (1 << 20) + (64 << 10);
/// A torn header is at most looked at anew, once per piece, by the quick way that gives up after so many bytes.
const TORN_HEADER_BYTES_MAX: usize = 16;

fn array_of(arguments: usize) -> Vec<u8> {
    let mut input = format!("*{arguments}\r\n").into_bytes();
    input.extend(b"$3\r\nabc\r\n".repeat(arguments));
    input
}

#[test]
fn value_of_64_mib_in_small_pieces_is_looked_at_once() {
    let value_bytes = 64 << 20;
    let mut input = format!("*2\r\n$3\r\nGET\r\n${value_bytes}\r\n").into_bytes();
    input.resize(input.len() + value_bytes, b'\r');
    input.extend(b"\r\n");
    let mut decoder = RequestDecoder::new(DecodeLimits::default());

    let (requests, error) = decode_pieces(&mut decoder, input.chunks(PIECE_BYTES));

    assert_eq!((requests.len(), error), (1, None));
    assert_eq!(requests[0].first().arg(1).len(), value_bytes);
    assert_eq!(decoder.work(), 3, "three headers and not a byte of the value");
}

#[test]
fn million_arguments_in_small_pieces_are_each_looked_at_once() {
    let arguments = 1024 * 1024;
    let input = array_of(arguments);
    let mut decoder = RequestDecoder::new(DecodeLimits::default());

    let (requests, error) = decode_pieces(&mut decoder, input.chunks(PIECE_BYTES));

    assert_eq!((requests.len(), error), (1, None));
    assert_eq!(requests[0].first().len(), arguments);
    let pieces = input.len().div_ceil(PIECE_BYTES);
    assert!(decoder.work() <= 1 + arguments + pieces * TORN_HEADER_BYTES_MAX, "{}", decoder.work());
}

#[test]
fn reply_of_a_million_elements_in_small_pieces_is_looked_at_once() {
    let elements = 1024 * 1024;
    let input = array_of(elements);
    let mut decoder = ReplyDecoder::new(DecodeLimits::default());

    let (replies, error) = decode_pieces(&mut decoder, input.chunks(PIECE_BYTES));

    assert_eq!((replies.len(), error), (1, None));
    let pieces = input.len().div_ceil(PIECE_BYTES);
    assert!(decoder.work() <= 1 + elements + pieces * TORN_HEADER_BYTES_MAX, "{}", decoder.work());
}

#[test]
fn work_in_single_bytes_is_linear_too() {
    let work = |arguments| {
        let mut decoder = RequestDecoder::new(DecodeLimits::default());
        decode_pieces(&mut decoder, array_of(arguments).chunks(1));
        decoder.work()
    };

    assert!(work(40_000) <= 4 * work(10_000) + TORN_HEADER_BYTES_MAX);
}

#[test]
fn lines_without_end_are_searched_once() {
    let line_bytes = 60_000;
    for first in [b'*', b'G'] {
        let mut input = vec![b'1'; line_bytes];
        input[0] = first;
        let mut decoder = RequestDecoder::new(DecodeLimits::default());
        decode_pieces(&mut decoder, input.chunks(1));
        assert!(decoder.work() <= 2 * line_bytes, "{}", decoder.work());
    }
    let mut decoder = ReplyDecoder::new(DecodeLimits::default());
    decode_pieces(&mut decoder, vec![b'+'; line_bytes].chunks(1));
    assert!(decoder.work() <= line_bytes);
}

#[test]
fn announced_value_makes_room_for_a_small_part_only() {
    for header in ["*1\r\n$536870912\r\n", "*1048576\r\n", "*1048576\r\n$536870912\r\n"] {
        let mut buffer = BytesMut::from(header);
        assert!(matches!(RequestDecoder::new(DecodeLimits::default()).decode(&mut buffer), Ok(None)));
        assert!(buffer.capacity() <= AHEAD_BYTES_MAX, "{header:?}: {}", buffer.capacity());
    }
    let mut buffer = BytesMut::from("$536870912\r\n");
    assert!(matches!(ReplyDecoder::new(DecodeLimits::default()).decode(&mut buffer), Ok(None)));
    assert!(buffer.capacity() <= AHEAD_BYTES_MAX, "{}", buffer.capacity());
}

#[test]
fn buffer_stays_within_a_multiple_of_what_has_arrived() {
    let mut decoder = RequestDecoder::new(DecodeLimits::default());
    let mut buffer = BytesMut::from("*1\r\n$536870912\r\n");
    for _ in 0..1024 {
        assert!(matches!(decoder.decode(&mut buffer), Ok(None)));
        assert!(buffer.capacity() <= 17 * buffer.len() + AHEAD_BYTES_MAX, "{} for {}", buffer.capacity(), buffer.len());
        buffer.extend_from_slice(&[0; PIECE_BYTES]);
    }
}

#[test]
fn value_of_10_mb_is_moved_while_it_is_small() {
    let mut decoder = RequestDecoder::new(DecodeLimits::default());
    let mut buffer = BytesMut::from("*1\r\n$10000000\r\n");
    let mut moved = 0;
    while buffer.len() + PIECE_BYTES < 10_000_000 {
        let capacity = buffer.capacity();
        assert!(matches!(decoder.decode(&mut buffer), Ok(None)));
        if buffer.capacity() > capacity {
            moved += buffer.len();
        }
        assert!(buffer.capacity() - buffer.len() >= PIECE_BYTES, "the next piece would move it");
        buffer.extend_from_slice(&[0; PIECE_BYTES]);
    }
    assert!(moved < AHEAD_BYTES_MAX, "{moved} bytes were copied on the way of those who wait");
}

#[test]
fn small_value_that_is_on_its_way_gets_room_at_once() {
    let mut buffer = BytesMut::from("*1\r\n$100000\r\n");
    assert!(matches!(RequestDecoder::new(DecodeLimits::default()).decode(&mut buffer), Ok(None)));
    assert!(buffer.capacity() >= 100_000);
}

/// What a session that reads `input` in pieces decodes, and the buffer that is left.
fn received(input: &[u8], mut buffer: BytesMut) -> (Requests, BytesMut) {
    let (mut decoder, mut requests) = (RequestDecoder::new(DecodeLimits::default()), Requests::default());
    for piece in input.chunks(PIECE_BYTES) {
        assert!(requests.is_empty(), "all of it is needed");
        buffer.extend_from_slice(piece);
        decoder.decode_up_to(16, &mut buffer, &mut requests).unwrap();
    }
    (requests, buffer)
}

fn bulk(bytes: usize) -> String {
    format!("${bytes}\r\n{}\r\n", "v".repeat(bytes))
}

#[test]
fn large_value_can_be_kept_in_a_buffer_that_it_has_for_itself() {
    let bytes = 3 * LARGE_BULK_BYTES;
    for behind in ["", "$2\r\nEX\r\n$2\r\n10\r\n"] {
        let arguments = if behind.is_empty() { 3 } else { 5 };
        let input = format!("*{arguments}\r\n$3\r\nSET\r\n$1\r\nk\r\n{}{behind}", bulk(bytes));
        // A buffer that has room for it all, as one may have that took an even larger value before.
        for room in [0, 4 * bytes] {
            let (mut requests, buffer) = received(input.as_bytes(), BytesMut::with_capacity(room));
            let kept = requests.first().to_keep(2).expect("it is alone");
            assert_eq!((kept.len(), requests.first().to_keep(1)), (bytes, None));
            requests.clear();
            drop(buffer);
            let memory = kept.try_into_mut().expect("nobody else holds it").capacity();
            assert!(memory <= bytes + 2 * PIECE_BYTES, "{memory} for {bytes}");
        }
    }
}

#[test]
fn what_shares_its_buffer_with_more_is_not_to_be_kept() {
    let small = LARGE_BULK_BYTES - 1;
    let (large, larger) = (LARGE_BULK_BYTES, 2 * LARGE_BULK_BYTES);
    for values in [&[small][..], &[large, larger], &[larger, small]] {
        let values_text: String = values.iter().map(|&bytes| bulk(bytes)).collect();
        let input = format!("*{}\r\n$4\r\nMSET\r\n{values_text}", values.len() + 1);
        let (requests, _) = received(input.as_bytes(), BytesMut::new());
        assert!((1..=values.len()).all(|index| requests.first().to_keep(index).is_none()), "{values:?}");
    }
}

#[test]
fn very_large_value_is_moved_in_small_steps() {
    let (value_bytes, mut largest) = (100_000_000, 0);
    let mut array = BulkArray::default();
    array.expect_one();
    let mut buffer = BytesMut::from(format!("${value_bytes}\r\n").as_str());
    while buffer.len() < value_bytes {
        assert!(matches!(array.read_bulks(&buffer, &DecodeLimits::default()), Ok(false)));
        let before = (buffer.as_ptr(), buffer.len());
        array.reserve(&mut buffer);
        if buffer.as_ptr() != before.0 {
            largest = largest.max(before.1);
        }
        buffer.resize(buffer.len() + PIECE_BYTES, 0);
    }
    assert!(largest <= value_bytes / 15, "{largest} bytes were copied at a time");
}

#[test]
fn many_large_values_of_one_frame_are_not_moved_for_each() {
    let values = 64;
    let input = format!("*{values}\r\n{}", bulk(LARGE_BULK_BYTES).repeat(values));
    let (mut decoder, mut requests) = (RequestDecoder::new(DecodeLimits::default()), Requests::default());
    let (mut buffer, mut moved, mut rest) = (BytesMut::with_capacity(PIECE_BYTES), 0, input.as_bytes());
    while !rest.is_empty() {
        // A read takes no more than there is room for.
        let room = buffer.capacity() - buffer.len();
        let (piece, behind) = rest.split_at(PIECE_BYTES.min(room).min(rest.len()));
        buffer.extend_from_slice(piece);
        rest = behind;
        let (place, bytes) = (buffer.as_ptr(), buffer.len());
        decoder.decode_up_to(1, &mut buffer, &mut requests).unwrap();
        if buffer.as_ptr() != place && requests.is_empty() {
            moved += bytes;
        }
    }
    assert_eq!(requests.len(), 1);
    assert!(moved <= 3 * input.len(), "{moved} bytes were moved for {}", input.len());
}
