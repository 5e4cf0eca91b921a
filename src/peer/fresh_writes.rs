//! Many fresh writes of one coordinator in one request.
//!
//! A request and an answer for each record would cost a replica more than to store it. The writes of a batch are stamped
//! one after the other, so one version tells them all, and one word acknowledges them:
//! `RSETS version steps key value [key value ...]`. Each version's clock reading is that of the one before and a step;
//! `-` stands for steps of 1, otherwise they are listed. What expires, deletes, or is large has a request of its own.

use super::words::{ParseError, bulk_version, parse_number, parse_version, wrong_argument, wrong_arguments};
use crate::codec::reply;
use crate::version::{Hlc, Version};

/// The request's word.
pub(super) const NAME: &str = "RSETS";
/// In place of steps that are all 1.
const NEXT_EACH: &[u8] = b"-";
const SEPARATOR: u8 = b',';

/// A fresh write of a value that does not expire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FreshWrite<'a> {
    /// The key, of any bytes.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// The stamp of this write.
    pub version: Version,
}

impl FreshWrite<'_> {
    /// Whether a write of `version` may stand behind one of `before` in the same request.
    #[must_use]
    pub fn may_follow(version: Version, before: Version) -> bool {
        (version.node(), version.start()) == (before.node(), before.start()) && version.hlc() > before.hlc()
    }

    /// Appends what a record is in the request: key and value.
    pub fn encode_record(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
        reply::bulk(out, key);
        reply::bulk(out, value);
    }

    /// Appends the request for records of these versions, each of which may follow the one before. As many have to be
    /// appended then, as [`Self::encode_record`] makes them.
    pub fn encode_head(versions: impl ExactSizeIterator<Item = Version> + Clone, out: &mut Vec<u8>) {
        reply::array(out, 2 * versions.len() + 3);
        reply::bulk(out, NAME.as_bytes());
        bulk_version(versions.clone().next().unwrap_or_default(), out);
        let steps = versions.clone().zip(versions.skip(1)).map(|(before, after)| after.hlc().0 - before.hlc().0);
        if steps.clone().all(|step| step == 1) {
            return reply::bulk(out, NEXT_EACH);
        }
        let mut list = Vec::new();
        for step in steps {
            list.extend_from_slice(itoa::Buffer::new().format(step).as_bytes());
            list.push(SEPARATOR);
        }
        list.pop();
        reply::bulk(out, &list);
    }

    /// Appends the request for one record alone, which [`Self::encode_record`] has made.
    pub fn encode_alone(record: &[u8], version: Version, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*4\r\n$4\r\nRSET\r\n");
        out.extend_from_slice(record);
        bulk_version(version, out);
    }
}

/// Appends the request.
pub(super) fn encode(writes: &[FreshWrite<'_>], out: &mut Vec<u8>) {
    FreshWrite::encode_head(writes.iter().map(|write| write.version), out);
    for write in writes {
        FreshWrite::encode_record(write.key, write.value, out);
    }
}

/// Reads the request's arguments behind its word.
pub(super) fn parse<'a>(args: &[&'a [u8]]) -> Result<Vec<FreshWrite<'a>>, ParseError> {
    let [first, steps, records @ ..] = args else { return Err(wrong_arguments(NAME.as_bytes())) };
    let (records, []) = records.as_chunks::<2>() else { return Err(wrong_arguments(NAME.as_bytes())) };
    let mut version = parse_version(first)?;
    let mut listed = (*steps != NEXT_EACH).then(|| steps.split(|&byte| byte == SEPARATOR));
    let wrong = || wrong_argument("list of steps", steps);
    let mut writes = Vec::with_capacity(records.len());
    for &[key, value] in records {
        if !writes.is_empty() {
            let step = match &mut listed {
                None => 1,
                Some(listed) => listed.next().and_then(parse_number).filter(|&step| step > 0).ok_or_else(wrong)?,
            };
            let hlc = version.hlc().0.checked_add(step).ok_or_else(wrong)?;
            version = Version::new(Hlc(hlc), version.node(), version.start());
        }
        writes.push(FreshWrite { key, value, version });
    }
    match listed.is_some_and(|mut rest| rest.next().is_some()) || writes.is_empty() {
        true => Err(wrong()),
        false => Ok(writes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::PeerRequest;
    use crate::peer::testing::decode_requests;
    use crate::ring::NodeIndex;
    use crate::version::StartNumber;

    fn version(hlc: u64) -> Version {
        Version::new(Hlc(hlc), NodeIndex(2), StartNumber::new(7))
    }

    fn writes(hlcs: &[u64]) -> Vec<FreshWrite<'static>> {
        hlcs.iter().map(|&hlc| FreshWrite { key: b"k", value: b"", version: version(hlc) }).collect()
    }

    #[test]
    fn versions_survive_whatever_lies_between_them() {
        for hlcs in [&[5_u64][..], &[5, 6, 7], &[5, 6, 8, 1 << 60], &[0, u64::MAX]] {
            let mut bytes = Vec::new();
            PeerRequest::WriteMany(writes(hlcs)).encode(&mut bytes);
            let decoded = decode_requests(&bytes);
            assert_eq!(PeerRequest::parse(&decoded.first()), Ok(PeerRequest::WriteMany(writes(hlcs))), "{hlcs:?}");
        }
    }

    #[test]
    fn writes_that_follow_each_other_need_no_list() {
        let mut bytes = Vec::new();
        encode(&writes(&[1, 2]), &mut bytes);
        let text = "*7\r\n$5\r\nRSETS\r\n$34\r\n0000000000000001-0002-000000000007\r\n$1\r\n-\r\n";
        assert_eq!(String::from_utf8_lossy(&bytes), format!("{text}$1\r\nk\r\n$0\r\n\r\n$1\r\nk\r\n$0\r\n\r\n"));
    }

    #[test]
    fn one_record_alone_is_the_request_for_one() {
        let (mut record, mut alone, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        FreshWrite::encode_record(b"k", b"v", &mut record);
        FreshWrite::encode_alone(&record, version(3), &mut alone);
        PeerRequest::Write { key: b"k", value: Some(b"v"), version: version(3), expires_at: None }
            .encode(&mut expected);
        assert_eq!(alone, expected);
    }

    #[test]
    fn only_later_stamps_of_the_same_run_follow() {
        let other = |node, start| Version::new(Hlc(9), NodeIndex(node), StartNumber::new(start));
        assert!(FreshWrite::may_follow(other(2, 7), version(8)));
        for wrong in [other(1, 7), other(2, 8), version(8), version(7)] {
            assert!(!FreshWrite::may_follow(wrong, version(8)), "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let first = "0000000000000001-0001-000000000001";
        for (rest, words) in [
            ("", "wrong arguments for 'RSETS'"),
            ("- k", "wrong arguments for 'RSETS'"),
            ("-", "'-' is not a list of steps"),
            ("1 k v", "'1' is not a list of steps"),
            ("1,2 k v k v", "'1,2' is not a list of steps"),
            ("0 k v k v", "'0' is not a list of steps"),
            ("18446744073709551615 k v k v", "'18446744073709551615' is not a list of steps"),
        ] {
            let line = format!("{first} {rest}");
            let args: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
            assert_eq!(parse(&args).unwrap_err().to_string(), words, "{rest}");
        }
    }
}
