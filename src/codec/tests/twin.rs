//! Laws that hold for any input: our decoders agree with redis-protocol's on what both understand, and tearing the
//! input changes nothing.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use redis_protocol::resp2::{decode, encode, types::BytesFrame};

use super::{cut, replies, requests};
use crate::codec::{DecodeLimits, ReplyFrame};

/// Small enough that random input meets every limit.
const TIGHT: DecodeLimits =
    DecodeLimits { bulk_bytes_max: 40, arguments_max: 12, inline_bytes_max: 48, frame_bytes_max: 120 };

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => prop::collection::vec(any::<u8>(), 0..80), 1 => prop::collection::vec(any::<u8>(), 5_000..20_000)]
}

/// Bytes that often look like the start of something.
fn any_rubbish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec!["*", "$", "\r\n", "\r", "\n", "-1", "+", ":", "\"", "'", "\\x4", " ", "_", "0", "a"])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::sample::select(vec!["*1\r\n", "*2\r\n", "$1\r\n", "$3\r\n", "abc\r\n", "x\r\n", "+OK\r\n", "$-1\r\n"])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(b'0'..=b'9', 1..60),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn encoded(frames: &[BytesFrame]) -> BytesMut {
    let mut out = BytesMut::new();
    for frame in frames {
        encode::extend_encode(&mut out, frame, false).unwrap();
    }
    out
}

/// What redis-protocol decodes from `pieces`.
fn twin(pieces: &[&[u8]]) -> Vec<BytesFrame> {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some((frame, ..)) = decode::decode_bytes_mut(&mut buffer).unwrap() {
            frames.push(frame);
        }
    }
    frames
}

fn bulks(arguments: &[Vec<u8>]) -> BytesFrame {
    BytesFrame::Array(arguments.iter().map(|bytes| BytesFrame::BulkString(Bytes::copy_from_slice(bytes))).collect())
}

/// Our answer as the twin has it.
fn as_twin(reply: ReplyFrame) -> BytesFrame {
    match reply {
        ReplyFrame::Simple(text) => BytesFrame::SimpleString(text),
        ReplyFrame::Error(text) => BytesFrame::Error(text.try_into().unwrap()),
        ReplyFrame::Integer(number) => BytesFrame::Integer(number),
        ReplyFrame::Bulk(bytes) => BytesFrame::BulkString(bytes),
        ReplyFrame::Null => BytesFrame::Null,
        ReplyFrame::Array(elements) => BytesFrame::Array(elements.into_iter().map(BytesFrame::BulkString).collect()),
    }
}

fn any_reply() -> impl Strategy<Value = BytesFrame> {
    prop_oneof![
        "[ -~]{0,30}".prop_map(|text| BytesFrame::SimpleString(text.into())),
        "[A-Z]{1,9} [ -~]{0,30}".prop_map(|text| BytesFrame::Error(text.into())),
        // Within the numbers that the twin's encoder writes without a stray byte.
        (-100_000_000_i64..100_000_000).prop_map(BytesFrame::Integer),
        any_bytes().prop_map(|bytes| BytesFrame::BulkString(bytes.into())),
        Just(BytesFrame::Null),
        prop::collection::vec(any_bytes(), 0..6).prop_map(|elements| bulks(&elements)),
    ]
}

proptest! {
    #[test]
    fn requests_decode_as_by_redis_protocol(
        commands in prop::collection::vec(prop::collection::vec(any_bytes(), 1..9), 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let input = encoded(&commands.iter().map(|arguments| bulks(arguments)).collect::<Vec<_>>());
        let pieces = cut(&input, &cuts);

        let (ours, error) = requests(DecodeLimits::default(), pieces.iter().copied());

        prop_assert_eq!(error, None);
        prop_assert_eq!(ours.iter().map(|arguments| bulks(arguments)).collect::<Vec<_>>(), twin(&pieces));
        prop_assert_eq!(ours, commands);
    }

    #[test]
    fn replies_decode_as_by_redis_protocol(
        frames in prop::collection::vec(any_reply(), 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let input = encoded(&frames);
        let pieces = cut(&input, &cuts);

        let (ours, error) = replies(DecodeLimits::default(), pieces.iter().copied());

        prop_assert_eq!(error, None);
        prop_assert_eq!(ours.into_iter().map(as_twin).collect::<Vec<_>>(), twin(&pieces));
    }

    #[test]
    fn torn_rubbish_means_the_same_as_whole_rubbish(
        input in any_rubbish(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let pieces = cut(&input, &cuts);
        prop_assert_eq!(requests(TIGHT, pieces.iter().copied()), requests(TIGHT, [input.as_slice()]));
        prop_assert_eq!(replies(TIGHT, pieces.iter().copied()), replies(TIGHT, [input.as_slice()]));
    }
}
