//! Every request there and back, and every mistake by its name.

use proptest::prelude::*;

use super::*;
use crate::codec::Protocol;
use crate::peer::testing::{decode_requests, versions};

/// A request that owns its bytes, for proptest.
#[derive(Clone, Debug)]
struct Parts {
    kind: u8,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    version: Version,
    expires_at: Option<UnixMs>,
    numbers: Vec<u16>,
}

prop_compose! {
    fn parts()(
        kind in 0_u8..17,
        key in any::<Vec<u8>>(),
        value in any::<Option<Vec<u8>>>(),
        version in versions(),
        expires_at in any::<Option<u64>>(),
        numbers in any::<Vec<u16>>(),
    ) -> Parts {
        Parts { kind, key, value, version, expires_at: expires_at.map(UnixMs), numbers }
    }
}

fn request(parts: &Parts) -> PeerRequest<'_> {
    let Parts { key, value, version, expires_at, .. } = parts;
    let (key, version, expires_at, value) = (key.as_slice(), *version, *expires_at, value.as_deref());
    match parts.kind {
        0 => PeerRequest::Write { key, value, version, expires_at: value.and(expires_at) },
        1 => PeerRequest::Copy { key, value, version, expires_at },
        2 => PeerRequest::Revert { key, version },
        3 => PeerRequest::Read { key },
        4 => PeerRequest::Mark(Mark {
            start: version.start(),
            lowest_open: version.hlc(),
            catch_up: [CatchUp::Blank, CatchUp::Partial, CatchUp::Complete][(version.hlc().0 % 3) as usize],
        }),
        5 => PeerRequest::Keys {
            slot: Slot::new(version.node().0 % crate::ring::SLOT_COUNT).unwrap(),
            from: u32::try_from(version.hlc().0 % 3).unwrap() << 20,
        },
        8 => PeerRequest::Digest(match version.node().0 {
            0 => DigestScope::All,
            1 => DigestScope::Groups,
            node => DigestScope::Group((node % 128) as u8),
        }),
        6 => PeerRequest::Count { alive: parts.numbers.iter().copied().map(NodeIndex).collect() },
        7 if version.hlc().0.is_multiple_of(3) => PeerRequest::Hold,
        7 if version.hlc().0.is_multiple_of(2) => PeerRequest::Promises,
        7 => PeerRequest::Clock,
        9 => PeerRequest::Beat,
        10 if version.node().0.is_multiple_of(2) => PeerRequest::WriteAgain {
            key: &parts.key,
            value: parts.value.as_deref().unwrap_or_default(),
            version,
            expires_at: parts.expires_at,
        },
        10 => PeerRequest::Flush { version, is_decided: version.hlc().0.is_multiple_of(2) },
        16 => PeerRequest::ReadMany(vec![key, key, value.unwrap_or_default()]),
        _ => PeerRequest::Update(update(parts)),
    }
}

fn update(parts: &Parts) -> UpdateRequest<'_> {
    let Parts { key, value, version, expires_at, .. } = parts;
    let (key, ballot, expires_at, value) = (key.as_slice(), *version, *expires_at, value.as_deref());
    let (base, version, id) = (Version::default(), Version::default(), ballot.hlc().0);
    match parts.kind {
        11 => UpdateRequest::Prepare { key, ballot, insists: ballot.hlc().0.is_multiple_of(2) },
        12 => UpdateRequest::Accept { key, value, ballot, base, expires_at },
        13 => UpdateRequest::Base { key, value, version, expires_at, ballot },
        14 => UpdateRequest::Call { id, protocol: Protocol::Resp3, words: [b"INCR".as_slice(), key].as_slice().into() },
        _ => UpdateRequest::Done { id, reply: key },
    }
}

proptest! {
    #[test]
    fn every_request_survives_a_round_trip(parts in prop::collection::vec(parts(), 1..8)) {
        let mut bytes = Vec::new();
        for parts in &parts {
            request(parts).encode(&mut bytes);
        }

        let decoded = decode_requests(&bytes);

        prop_assert_eq!(decoded.len(), parts.len());
        for (decoded, parts) in decoded.iter().zip(&parts) {
            prop_assert_eq!(PeerRequest::parse(&decoded), Ok(request(parts)));
        }
    }
}

fn parse<'a>(line: &'a str) -> Result<PeerRequest<'a>, ParseError> {
    let args: Vec<&'a [u8]> = line.split(' ').map(str::as_bytes).collect();
    PeerRequest::parse_args(&args)
}

#[test]
fn words_are_known_in_any_case() {
    assert_eq!(parse("rclock"), Ok(PeerRequest::Clock));
    assert_eq!(
        parse("rSet k v 0000000000000001-0001-000000000001 pxat 5"),
        parse("RSET k v 0000000000000001-0001-000000000001 PXAT 5")
    );
    assert!(PeerRequest::is_name(b"rhello") && !PeerRequest::is_name(b"GET"));
}

#[test]
fn mistakes_are_named() {
    for (line, words) in [
        ("GET k", "unknown peer command 'GET'"),
        ("RHELLOHELLO", "unknown peer command 'RHELLOHELLO'"),
        ("", "unknown peer command ''"),
        ("RSET k v", "wrong arguments for 'RSET'"),
        ("RSET k v 0000000000000001-0001-000000000001 PX 5", "wrong arguments for 'RSET'"),
        ("RCLOCK now", "wrong arguments for 'RCLOCK'"),
        ("RBEAT now", "wrong arguments for 'RBEAT'"),
        ("RSET k v one", "'one' is not a version"),
        ("RSET k v 0000000000000001-0001-000000000001 PXAT -5", "'-5' is not a time in Unix milliseconds"),
        (
            "RCOPY k 0000000000000001-0001-000000000001 18446744073709551616",
            "'18446744073709551616' is not a time in Unix milliseconds",
        ),
        ("RKEYS 16384", "'16384' is not a slot"),
        ("RKEYS 1 4294967296", "'4294967296' is not a position"),
        ("RDIGEST slots", "wrong arguments for 'RDIGEST'"),
        ("RDIGEST group 128", "'128' is not a group of slots"),
        ("RCOUNT 1,,2", "'1,,2' is not a list of nodes"),
        ("RMARK 281474976710656 1 syncing", "'281474976710656' is not a start number"),
        ("RMARK 1 x\r\ny syncing", "'x\\r\\ny' is not a clock reading"),
        ("RMARK 1 1 asleep", "'asleep' is not a state"),
    ] {
        assert_eq!(parse(line).unwrap_err().to_string(), words, "{line}");
    }
    assert!(matches!(PeerRequest::parse_args(&[]), Err(ParseError::UnknownCommand(_))));
}
