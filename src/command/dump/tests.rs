//! Payloads held against those of redis-server 7.0.15.

use proptest::prelude::*;

use super::*;

/// What DUMP of redis-server 7.0.15 returned, for values that it does not compress.
const PLAIN: &[(&[u8], &[u8])] = &[
    (b"", b"\x00\x00\x0a\x00]\x9b\\@\x0f\x7f\xa2\xda"),
    (b"a", b"\x00\x01a\x0a\x00\xbf\xfe\xef\x9b\x8f6}\xb4"),
    (b"0", b"\x00\xc0\x00\x0a\x00\x98@\xa7x\xf8P\x03\x08"),
    (b"-1", b"\x00\xc0\xff\x0a\x00\x0c\x93~$\x85\x08\x9d\xc5"),
    (b"127", b"\x00\xc0\x7f\x0a\x00\x0d\xb5\xeb1RT\xc5\x14"),
    (b"128", b"\x00\xc1\x80\x00\x0a\x00\xebz\xb3\xb5\x10\xcfKe"),
    (b"-128", b"\x00\xc0\x80\x0a\x00\x99f2m/\x0c[\xd9"),
    (b"-129", b"\x00\xc1\x7f\xff\x0a\x00\x17`\x82(T\x80\x84\x80"),
    (b"32768", b"\x00\xc2\x00\x80\x00\x00\x0a\x00E\xd8.\xed\xd5\xbd\xa9\x10"),
    (b"-32768", b"\x00\xc1\x00\x80\x0a\x00\xb5@\x06GS\xbb\x1a\xce"),
    (b"2147483647", b"\x00\xc2\xff\xff\xff\x7f\x0a\x00,t\xe5\x9e\xe0.\xad\xa1"),
    (b"2147483648", b"\x00\x0a2147483648\x0a\x00\xe7\xb1)\xa3L\x1dv\xee"),
    (b"-2147483648", b"\x00\xc2\x00\x00\x00\x80\x0a\x00\xc7O\x87>3U\x81\x87"),
    (b"9223372036854775807", b"\x00\x139223372036854775807\x0a\x00:e~\x94\x81\xe8_\""),
    (b"01", b"\x00\x0201\x0a\x00l\xdd\xc4A\x14L}\xa4"),
    (b"abcdefghijklmnopqrstuvwxyz", b"\x00\x1aabcdefghijklmnopqrstuvwxyz\x0a\x00\x9e\x1b?4\xab\xfc_y"),
];

/// The same for values that it does compress.
const COMPRESSED: &[(&[u8], &[u8])] = &[
    (&[b'x'; 21], b"\x00\xc3\x06\x15\x01xx\xe0\x0a\x00\x0a\x00\x94\x1a\x83g`\x17\x19/"),
    (&[b'a'; 100], b"\x00\xc3\x09@d\x01aa\xe0W\x00\x01aa\x0a\x00\xe8\xa3\xb5\x07\xb0m\xf2q"),
    (&[b'x'; 64], b"\x00\xc3\x09@@\x01xx\xe03\x00\x01xx\x0a\x00vq\xd5v\xc5yTB"),
];

/// `object` with a version and a checksum that are right.
fn payload(object: &[u8]) -> Vec<u8> {
    versioned(object, RDB_VERSION)
}

fn versioned(object: &[u8], version: u16) -> Vec<u8> {
    let checked = [object, &version.to_le_bytes()].concat();
    [&checked[..], &crc64::of(&checked).to_le_bytes()].concat()
}

#[test]
fn payloads_are_those_of_redis_where_it_does_not_compress() {
    for (value, payload) in PLAIN {
        assert_eq!(encode(value), *payload, "{}", value.escape_ascii());
    }
}

#[test]
fn payloads_of_redis_are_read_compressed_or_not() {
    for (value, payload) in PLAIN.iter().chain(COMPRESSED) {
        assert_eq!(decode(payload).as_deref(), Ok(*value), "{}", value.escape_ascii());
    }
}

#[test]
fn every_way_to_write_a_length_is_read() {
    for object in
        [&b"\x00\x01a"[..], b"\x00\x40\x01a", b"\x00\x80\0\0\0\x01a", b"\x00\x81\0\0\0\0\0\0\0\x01a", b"\x00\x01aXYZ"]
    {
        assert_eq!(decode(&payload(object)).as_deref(), Ok(&b"a"[..]), "{}", object.escape_ascii());
    }
    assert_eq!(decode(&payload(b"\x00\xc3\x00\x00")).as_deref(), Ok(&b""[..]));
    for len in [0, 0x3F, 0x40, 0x3FFF, 0x4000, 0x10000] {
        assert_eq!(decode(&encode(&vec![b'v'; len])).map(|value| value.len()), Ok(len));
    }
}

#[test]
fn data_that_make_no_sense_are_refused_without_the_memory_that_they_ask_for() {
    for object in [
        &b""[..],
        b"\x63\x01\x01a",
        b"\x00",
        b"\x00\x05a",
        b"\x00\x81\x7f\xff\xff\xff\xff\xff\xff\xffa",
        b"\x00\x82\0\0\0\0\0\0\0\x01a",
        b"\x00\xbf\0\0\0\0\0\0\0\x01a",
        b"\x00\xc1\xff",
        b"\x00\xc4\0\0\0\x80",
        b"\x00\xc3\x03\x05\x01ab",
        b"\x00\xc3\x03\x01\x01ab",
        b"\x00\xc3\x05\x05\x01ab\x20\x05",
        b"\x00\xc3\x05\x81\x00\xff\xff\xff\xff\xff\xff\xff\x00a\xe0\x01\x00",
        b"\x00\xc3\x05\x80\x20\x00\x00\x00\x00a\xe0\x01\x00",
    ] {
        assert_eq!(decode(&payload(object)), Err(CommandError::BadPayload), "{}", object.escape_ascii());
    }
}

#[test]
fn newer_versions_and_wrong_checksums_are_refused() {
    assert!(decode(&versioned(b"\x00\x01a", 0)).is_ok());
    let mut torn = payload(b"\x00\x01a");
    torn[2] = b'b';
    for payload in [versioned(b"\x00\x01a", 11), torn, b"123456789".to_vec(), Vec::new()] {
        assert_eq!(decode(&payload), Err(CommandError::PayloadVersionOrChecksum));
    }
}

#[test]
fn other_values_than_strings_are_named() {
    for (kind, name) in [(1, "list"), (18, "list"), (11, "set"), (17, "sorted set"), (16, "hash"), (19, "stream")] {
        assert_eq!(decode(&payload(&[kind, 1, 1, b'a'])), Err(CommandError::PayloadIsNoString(name)));
    }
    // A list of one element, as redis-server 7.0.15 dumps it.
    let list = b"\x12\x01\x02\x0a\x0a\x00\x00\x00\x01\x00\x81a\x02\xff\x0a\x00\x09\xb9\xed\xf5\x94\xde\xd9\x95";
    assert_eq!(decode(list), Err(CommandError::PayloadIsNoString("list")));
}

proptest! {
    #[test]
    fn every_value_comes_back(value in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(decode(&encode(&value)), Ok(value));
    }

    #[test]
    fn every_number_comes_back(number: i64) {
        for number in [number, number >> 32, number >> 48, number >> 56] {
            let value = number.to_string().into_bytes();
            prop_assert_eq!(decode(&encode(&value)), Ok(value));
        }
    }

    #[test]
    fn whatever_a_payload_holds_is_read_or_refused(object in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = decode(&payload(&object));
        let _ = decode(&payload(&[&[STRING], &object[..]].concat()));
        let _ = decode(&payload(&[&[STRING, 0xC3], &object[..]].concat()));
    }
}
