//! Peers' answers as raw bytes.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

use super::replies;
use crate::codec::{DecodeLimits, ReplyDecoder, ReplyFrame};

const ALL: &[u8] =
    b"+OK\r\n-STALE 1-2-3\r\n:-42\r\n:9223372036854775807\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n_\r\n\
*2\r\n$1\r\nx\r\n$0\r\n\r\n*0\r\n+\r\n";

fn all() -> Vec<ReplyFrame> {
    vec![
        ReplyFrame::Simple("OK".into()),
        ReplyFrame::Error("STALE 1-2-3".into()),
        ReplyFrame::Integer(-42),
        ReplyFrame::Integer(i64::MAX),
        ReplyFrame::Bulk("a\r\nbc".into()),
        ReplyFrame::Bulk(Bytes::new()),
        ReplyFrame::Null,
        ReplyFrame::Null,
        ReplyFrame::Null,
        ReplyFrame::Array(vec!["x".into(), Bytes::new()]),
        ReplyFrame::Array(vec![]),
        ReplyFrame::Simple(Bytes::new()),
    ]
}

fn reply_error(input: &[u8]) -> String {
    let (replies, error) = replies(DecodeLimits::default(), [input]);
    assert_eq!(replies, [], "a reply before the error");
    error.unwrap_or_else(|| "no error".to_owned())
}

#[test]
fn every_kind_of_answer_is_decoded() {
    assert_eq!(replies(DecodeLimits::default(), [ALL]), (all(), None));
}

#[test]
fn answers_torn_at_any_byte_decode_the_same() {
    for at in 0..=ALL.len() {
        let (head, tail) = ALL.split_at(at);
        assert_eq!(replies(DecodeLimits::default(), [head, tail]), (all(), None), "torn at {at}");
    }
    assert_eq!(replies(DecodeLimits::default(), ALL.chunks(1)), (all(), None));
}

#[test]
fn answers_that_no_peer_gives_are_refused() {
    for (input, error) in [
        ("%1\r\n", "unexpected reply type '%'"),
        ("\r\n", "unexpected reply type ' '"),
        ("HTTP/1.1 400 Bad Request\r\n", "unexpected reply type 'H'"),
        ("*1\r\n*1\r\n", "expected '$', got '*'"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*-2\r\n", "invalid multibulk length"),
        ("*1000000000\r\n", "invalid multibulk length"),
        ("$-2\r\n", "invalid bulk length"),
        ("$600000000\r\n", "invalid bulk length"),
        ("$3\r\nabcd\r\n", "invalid bulk length"),
        (":\r\n", "invalid reply line"),
        (":1a\r\n", "invalid reply line"),
        (":9223372036854775808\r\n", "invalid reply line"),
        ("_x\r\n", "invalid reply line"),
        ("+O\rK\r\n", "invalid reply line"),
    ] {
        assert_eq!(reply_error(input.as_bytes()), error, "{input:?}");
    }
    assert_eq!(reply_error(&b"*1\r\n".repeat(10_000)), "expected '$', got '*'");
    assert_eq!(reply_error(&b"+".repeat(70_000)), "invalid reply line");
}

#[test]
fn nothing_is_decoded_after_an_error() {
    let mut decoder = ReplyDecoder::new(DecodeLimits::default());
    let mut buffer = BytesMut::from("?\r\n+OK\r\n");
    decoder.decode(&mut buffer).expect_err("no reply begins with a question mark");

    buffer.extend_from_slice(b"+OK\r\n");
    assert!(matches!(decoder.decode(&mut buffer), Ok(None)));
    assert!(buffer.is_empty());
}
