//! Requests as raw bytes. The words of the errors were compared with those of redis-server 7.0.15.

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use super::{decode_pieces, request_error, requests, requests_in, words};
use crate::codec::{DecodeLimits, RequestDecoder};

const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\r\n$0\r\n";
const MIXED: &[u8] =
    b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n\r\nGET 'a b'\r\n*0\r\n*-1\r\n  \r\n*1\r\n$4\r\nPING\r\nECHO \"\\x41\"\n";

fn mixed() -> Vec<Vec<Vec<u8>>> {
    vec![words(&["GET", ""]), words(&["GET", "a b"]), words(&["PING"]), words(&["ECHO", "A"])]
}

#[test]
fn request_gives_its_arguments_and_its_size() {
    let (requests, error) = decode_pieces(&mut RequestDecoder::new(DecodeLimits::default()), [SET]);

    assert_eq!(error, None);
    let set = requests[0].first();
    assert_eq!((set.len(), set.frame_len()), (3, SET.len()));
    assert_eq!(set.args().len(), 3);
    assert_eq!((set.arg(0), set.arg(2)), (b"SET".as_slice(), b"v\r\n$0".as_slice()));
    assert_eq!(set.bytes(1), "k");
}

#[test]
fn debug_form_shows_no_argument() {
    let (requests, _) =
        decode_pieces(&mut RequestDecoder::new(DecodeLimits::default()), [b"AUTH hunter2\n".as_slice()]);

    assert_eq!(format!("{:?}", requests[0]), "[Request { len: 2, frame_len: 13 }]");
}

#[test]
fn empty_requests_are_passed_over() {
    assert_eq!(requests_in(MIXED), (mixed(), None));
}

#[test]
fn input_torn_at_any_byte_decodes_the_same() {
    for at in 0..=MIXED.len() {
        let (head, tail) = MIXED.split_at(at);
        assert_eq!(requests(DecodeLimits::default(), [head, tail]), (mixed(), None), "torn at {at}");
    }
}

#[test]
fn input_in_single_bytes_decodes_the_same() {
    assert_eq!(requests(DecodeLimits::default(), MIXED.chunks(1)), (mixed(), None));
}

#[test]
fn pipeline_of_10_000_requests_keeps_its_order() {
    let gets = (0..10_000).map(|n| format!("*2\r\n$3\r\nGET\r\n$5\r\n{n:05}\r\n"));
    let pipeline = gets.collect::<Vec<_>>().concat();

    let (requests, error) = requests(DecodeLimits::default(), pipeline.as_bytes().chunks(16 << 10));

    assert_eq!((requests.len(), error), (10_000, None));
    assert!(requests.iter().enumerate().all(|(n, request)| request[1] == format!("{n:05}").as_bytes()));
}

#[test]
fn counts_out_of_range_or_form_are_refused() {
    for count in
        ["1000000000", "1048577", "2147483648", "99999999999999999999999", "+1", " 1", "1 ", "01", "00", "-0", "", "x"]
    {
        assert_eq!(request_error(format!("*{count}\r\n").as_bytes()), "invalid multibulk length", "*{count}");
    }
    assert_eq!(request_error(b"*1\n\n$4\r\nPING\r\n"), "invalid multibulk length");
    assert_eq!(request_error(b"*1\rX$4\r\nPING\r\n"), "invalid multibulk length");
}

#[test]
fn lengths_out_of_range_or_form_are_refused() {
    for length in ["-5", "-1", "600000000", "536870913", "9223372036854775807", "+4", " 4", "04", "", "x"] {
        assert_eq!(request_error(format!("*1\r\n${length}\r\n").as_bytes()), "invalid bulk length", "${length}");
    }
    assert_eq!(request_error(b"*1\r\n$4\nPING\r\n"), "invalid bulk length");
}

#[test]
fn largest_legal_numbers_are_taken() {
    for input in [b"*1048576\r\n".as_slice(), b"*1\r\n$536870912\r\n"] {
        assert_eq!(request_error(input), "no error");
    }
}

#[test]
fn argument_longer_than_announced_is_refused() {
    assert_eq!(request_error(b"*1\r\n$4\r\nPINGS\r\n"), "invalid bulk length");
}

#[test]
fn anything_but_a_bulk_string_in_an_array_is_refused() {
    for (element, got) in [("*1\r\n", "*"), (":3\r\n", ":"), ("\r\n", " "), ("\0", " "), ("x", "x")] {
        assert_eq!(request_error(format!("*1\r\n{element}").as_bytes()), format!("expected '$', got '{got}'"));
    }
    assert_eq!(request_error(&b"*1\r\n".repeat(10_000)), "expected '$', got '*'");
}

#[test]
fn headers_and_lines_without_end_are_refused() {
    let digits = "1".repeat(70_000);

    assert_eq!(request_error(format!("*{digits}").as_bytes()), "too big mbulk count string");
    assert_eq!(request_error(format!("*1\r\n${digits}").as_bytes()), "too big bulk count string");
    assert_eq!(request_error(digits.as_bytes()), "too big inline request");
    assert_eq!(request_error(format!("{digits}\r\n").as_bytes()), "too big inline request");
    assert_eq!(request_error(&digits.as_bytes()[..65_536]), "no error");
}

#[test]
fn frame_above_its_limit_is_refused_before_its_last_argument_arrives() {
    let limits = DecodeLimits { frame_bytes_max: 100, ..DecodeLimits::default() };

    let (_, error) = requests(limits, [b"*2\r\n$60\r\n".as_slice(), &[b'x'; 60], b"\r\n$60\r\n"]);

    assert_eq!(error.as_deref(), Some("too big request"));
}

#[test]
fn requests_before_the_error_are_delivered() {
    let (requests, error) = requests_in(b"PING\r\n*1\r\n$4\r\nPING\r\n*x\r\n");

    assert_eq!((requests.len(), error.as_deref()), (2, Some("invalid multibulk length")));
}

#[test]
fn nothing_is_decoded_after_an_error() {
    let mut decoder = RequestDecoder::new(DecodeLimits::default());
    let mut buffer = BytesMut::from("*1\r\n$-1\r\n*1\r\n$4\r\nPING\r\n");
    decoder.decode(&mut buffer).expect_err("the length is negative");

    for _ in 0..3 {
        buffer.extend_from_slice(b"PING\r\n*1\r\n$4\r\nPING\r\n");
        assert!(matches!(decoder.decode(&mut buffer), Ok(None)));
        assert!(buffer.is_empty(), "the rest is taken, or a loop around the decoder would not end");
    }
}

#[test]
fn clean_end_and_torn_end_differ() {
    let mut decoder = RequestDecoder::new(DecodeLimits::default());

    assert!(matches!(decoder.decode_eof(&mut BytesMut::new()), Ok(None)));
    assert!(decoder.decode_eof(&mut BytesMut::from("*1\r\n$4\r\nPI")).is_err());
}

#[test]
fn decoding_goes_on_when_the_rest_moves_to_another_buffer() {
    let mut decoder = RequestDecoder::new(DecodeLimits::default());
    let (head, tail) = SET.split_at(15);
    assert!(matches!(decoder.decode(&mut BytesMut::from(head)), Ok(None)));

    let mut buffer = BytesMut::from(head);
    buffer.extend_from_slice(tail);
    let requests = decoder.decode(&mut buffer).unwrap().unwrap();

    assert_eq!(requests.first().arg(1), b"k");
}

#[test]
fn buffer_is_reused_once_its_requests_are_dropped() {
    let mut decoder = RequestDecoder::new(DecodeLimits::default());
    let mut buffer = BytesMut::with_capacity(4096);
    buffer.extend_from_slice(SET);
    let start = decoder.decode(&mut buffer).unwrap().unwrap().first().arg(0).as_ptr();

    buffer.reserve(4096);
    buffer.extend_from_slice(SET);

    assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap().first().arg(0).as_ptr(), start);
}
