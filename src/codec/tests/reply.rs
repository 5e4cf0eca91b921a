//! Replies as raw bytes, and read back by redis-protocol.

use bytes::Bytes;
use redis_protocol::resp2;
use redis_protocol::resp3::{self, types::BytesFrame, types::VerbatimStringFormat};

use proptest::prelude::*;

use crate::codec::Protocol::{self, Resp2, Resp3};
use crate::codec::reply;

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"before".to_vec();
    write(&mut out);
    String::from_utf8(out.split_off(6)).unwrap()
}

/// What `write` makes of RESP2 and of RESP3.
fn in_both(write: impl Fn(&mut Vec<u8>, Protocol)) -> [String; 2] {
    [Resp2, Resp3].map(|protocol| written(|out| write(out, protocol)))
}

#[test]
fn plain_replies_are_the_same_in_both_protocols() {
    assert_eq!(written(|out| reply::simple(out, "OK")), "+OK\r\n");
    assert_eq!(written(reply::ok), "+OK\r\n");
    assert_eq!(written(|out| reply::error(out, "ERR no")), "-ERR no\r\n");
    assert_eq!(written(|out| reply::bulk(out, b"a\r\nb")), "$4\r\na\r\nb\r\n");
    for len in 0..=1001 {
        let text = "x".repeat(len);
        assert_eq!(written(|out| reply::bulk(out, text.as_bytes())), format!("${len}\r\n{text}\r\n"));
    }
    assert_eq!(written(|out| reply::array(out, 1_048_576)), "*1048576\r\n");
}

#[test]
fn line_ends_cannot_break_out_of_a_line() {
    assert_eq!(written(|out| reply::error(out, "ERR 'a\r\n+OK\n'")), "-ERR 'a  +OK '\r\n");
    assert_eq!(written(|out| reply::simple(out, "a\rb")), "+a b\r\n");
}

#[test]
fn integers_of_every_length_are_exact() {
    for power in 0..19 {
        for number in [10_i64.pow(power) - 1, 10_i64.pow(power), -(10_i64.pow(power))] {
            assert_eq!(written(|out| reply::integer(out, number)), format!(":{number}\r\n"));
        }
    }
    assert_eq!(written(|out| reply::integer(out, i64::MIN)), ":-9223372036854775808\r\n");
}

#[test]
fn rich_replies_are_downgraded_for_resp2() {
    assert_eq!(in_both(reply::null), ["$-1\r\n", "_\r\n"]);
    assert_eq!(in_both(reply::null_array), ["*-1\r\n", "_\r\n"]);
    assert_eq!(in_both(|out, protocol| reply::map(out, protocol, 3)), ["*6\r\n", "%3\r\n"]);
    assert_eq!(in_both(|out, protocol| reply::set(out, protocol, 3)), ["*3\r\n", "~3\r\n"]);
    assert_eq!(in_both(|out, protocol| reply::push(out, protocol, 3)), ["*3\r\n", ">3\r\n"]);
    assert_eq!(in_both(|out, protocol| reply::boolean(out, protocol, true)), [":1\r\n", "#t\r\n"]);
    assert_eq!(in_both(|out, protocol| reply::boolean(out, protocol, false)), [":0\r\n", "#f\r\n"]);
    assert_eq!(in_both(|out, protocol| reply::big_number(out, protocol, b"123")), ["$3\r\n123\r\n", "(123\r\n"]);
    let verbatim = |out: &mut Vec<u8>, protocol| reply::verbatim(out, protocol, &VerbatimStringFormat::Text, b"a\r\n");
    assert_eq!(in_both(verbatim), ["$3\r\na\r\n\r\n", "=7\r\ntxt:a\r\n\r\n"]);
}

#[test]
fn doubles_are_short_and_read_back() {
    for (number, text) in [
        (1.5, "1.5"),
        (3.0, "3"),
        (0.1, "0.1"),
        (-0.0, "-0"),
        (1e300, "1e300"),
        (-2.5e-7, "-2.5e-7"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ] {
        let expected = [format!("${}\r\n{text}\r\n", text.len()), format!(",{text}\r\n")];
        assert_eq!(in_both(|out, protocol| reply::double(out, protocol, number)), expected);
    }
}

#[test]
fn attributes_are_sent_to_resp3_only() {
    let attributes = [(blob(b"ttl"), BytesFrame::Number { data: 7, attributes: None })].into_iter().collect();
    let frame = BytesFrame::Number { data: 1, attributes: Some(attributes) };

    assert_eq!(
        in_both(|out, protocol| reply::frame(out, protocol, &frame)),
        [":1\r\n", "|1\r\n$3\r\nttl\r\n:7\r\n:1\r\n"]
    );
}

#[test]
fn errors_with_line_ends_stay_whole_in_resp3() {
    let frame = BytesFrame::BlobError { data: "ERR a\r\nb".into(), attributes: None };

    assert_eq!(in_both(|out, protocol| reply::frame(out, protocol, &frame)), ["-ERR a  b\r\n", "!8\r\nERR a\r\nb\r\n"]);
}

fn blob(data: &[u8]) -> BytesFrame {
    BytesFrame::BlobString { data: Bytes::copy_from_slice(data), attributes: None }
}

fn any_leaf() -> impl Strategy<Value = BytesFrame> {
    let number = prop_oneof![any::<i64>(), (0_u32..19).prop_map(|power| 10_i64.pow(power) - 1)];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|data| blob(&data)),
        "[ -~]{0,20}".prop_map(|text| BytesFrame::SimpleString { data: text.into(), attributes: None }),
        "[A-Z]{1,8} [ -~]{0,20}".prop_map(|text| BytesFrame::SimpleError { data: text.into(), attributes: None }),
        any::<bool>().prop_map(|data| BytesFrame::Boolean { data, attributes: None }),
        Just(BytesFrame::Null),
        number.prop_map(|data| BytesFrame::Number { data, attributes: None }),
        (any::<f64>().prop_filter("equals itself", |number| !number.is_nan()))
            .prop_map(|data| BytesFrame::Double { data, attributes: None }),
        "[1-9][0-9]{20,40}".prop_map(|digits| BytesFrame::BigNumber { data: digits.into(), attributes: None }),
        "[ -~]{0,20}".prop_map(|text| BytesFrame::VerbatimString {
            data: text.into(),
            format: VerbatimStringFormat::Markdown,
            attributes: None
        }),
    ]
}

fn any_frame() -> impl Strategy<Value = BytesFrame> {
    any_leaf().prop_recursive(3, 40, 6, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..6);
        let key = prop::collection::vec(any::<u8>(), 0..10).prop_map(|data| blob(&data));
        prop_oneof![
            list.clone().prop_map(|data| BytesFrame::Array { data, attributes: None }),
            list.prop_map(|data| BytesFrame::Push { data, attributes: None }),
            prop::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|data| BytesFrame::Map { data: data.into_iter().collect(), attributes: None }),
            prop::collection::hash_set(key, 0..6)
                .prop_map(|data| BytesFrame::Set { data: data.into_iter().collect(), attributes: None }),
        ]
    })
}

/// What a RESP2 client should see of `frame`.
fn downgraded(frame: &BytesFrame) -> resp2::types::BytesFrame {
    use resp2::types::BytesFrame as Old;
    let list = |data: &mut dyn Iterator<Item = &BytesFrame>| Old::Array(data.map(downgraded).collect());
    match frame {
        BytesFrame::SimpleString { data, .. } => Old::SimpleString(data.clone()),
        BytesFrame::SimpleError { data, .. } => Old::Error(data.clone()),
        BytesFrame::Boolean { data, .. } => Old::Integer(i64::from(*data)),
        BytesFrame::Null => Old::Null,
        BytesFrame::Number { data, .. } => Old::Integer(*data),
        BytesFrame::Double { data, .. } => {
            Old::BulkString(written(|out| reply::double(out, Resp3, *data))[1..].trim_end().to_owned().into())
        }
        BytesFrame::BlobString { data, .. }
        | BytesFrame::BigNumber { data, .. }
        | BytesFrame::VerbatimString { data, .. } => Old::BulkString(data.clone()),
        BytesFrame::Array { data, .. } | BytesFrame::Push { data, .. } => list(&mut data.iter()),
        BytesFrame::Map { data, .. } => list(&mut data.iter().flat_map(<[&BytesFrame; 2]>::from)),
        BytesFrame::Set { data, .. } => list(&mut data.iter()),
        other => panic!("not generated: {other:?}"),
    }
}

proptest! {
    #[test]
    fn resp3_frames_read_back_as_themselves(frame in any_frame()) {
        let mut out = Vec::new();
        reply::frame(&mut out, Resp3, &frame);
        let bytes = Bytes::from(out);
        let (decoded, length) = resp3::decode::complete::decode_bytes(&bytes).unwrap().unwrap();
        prop_assert_eq!(length, bytes.len());
        prop_assert_eq!(decoded, frame);
    }

    #[test]
    fn resp2_frames_read_back_as_their_downgrade(frame in any_frame()) {
        let mut out = Vec::new();
        reply::frame(&mut out, Resp2, &frame);
        let bytes = Bytes::from(out);
        let (decoded, length) = resp2::decode::decode_bytes(&bytes).unwrap().unwrap();
        prop_assert_eq!(length, bytes.len());
        prop_assert_eq!(decoded, downgraded(&frame));
    }
}
