//! Many reads of one coordinator in one request.
//!
//! A request and an answer for each key would cost both nodes more than the reads. `RGETS key [key ...]` is answered by one
//! array: `RECORDS`, then for each key two bulk strings, what there is and the value, which is empty if there is none:
//!
//! | there is | and then |
//! |---|---|
//! | `version` or `version expiry` | the value |
//! | `version gone` | a tombstone |
//! | `-` | no record |
//! | `SYNCING` | a replica that counts for nothing here |
//! | `LARGE` | a value that would make the answer too long: it is to be asked for alone |

use bytes::Bytes;

use super::ReadRecord;
use super::words::parse_number;
use crate::codec::{WholeArray, reply};
use crate::time::UnixMs;
use crate::version::{VERSION_TEXT_BYTES, Version};

/// Stands for no record.
const MISSING: &[u8] = b"-";
/// Stands for a replica that is syncing.
const SYNCING: &[u8] = b"SYNCING";
/// Stands for a value that is left out.
const LARGE: &[u8] = b"LARGE";
/// Stands behind the version of a tombstone.
const GONE: &[u8] = b" gone";
/// Stands between version and expiry.
const SEPARATOR: u8 = b' ';
/// Values that would make the answer longer than this are left out: one answer must not keep others waiting for long.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// What a replica says of one of several keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    /// It shows this record.
    Record(ReadRecord),
    /// It has no record of the key.
    Missing,
    /// It has not caught up on the key's slot.
    Syncing,
    /// The value is too large to be answered with the others.
    Large,
}

/// What a replica says of several keys, in the order in which they were asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Records(pub Vec<Shown>);

/// The answer in the making, straight from the store's memory.
#[derive(Debug)]
pub struct RecordsWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Where the answer begins.
    begin: usize,
}

impl Records {
    /// Appends what a key is in a request.
    pub fn encode_key(key: &[u8], keys: &mut Vec<u8>) {
        reply::bulk(keys, key);
    }

    /// Appends the request for `count` keys, which [`Self::encode_key`] has made: that for one is `RGET`.
    pub fn encode_question(count: usize, keys: &[u8], out: &mut Vec<u8>) {
        match count {
            1 => out.extend_from_slice(b"*2\r\n$4\r\nRGET\r\n"),
            _ => {
                reply::array(out, count + 1);
                out.extend_from_slice(b"$5\r\nRGETS\r\n");
            }
        }
        out.extend_from_slice(keys);
    }

    /// Opens the array.
    pub(super) const HEAD: &[u8] = b"RECORDS";

    /// Appends the answer.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = RecordsWriter::new(self.0.len(), out);
        for shown in &self.0 {
            match shown {
                Shown::Record(ReadRecord { version, expires_at, value }) => {
                    writer.push_record(*version, *expires_at, value.as_deref());
                }
                Shown::Missing => writer.push_missing(),
                Shown::Syncing => writer.push_syncing(),
                Shown::Large => writer.push(LARGE, &[]),
            }
        }
    }

    /// Reads what stands behind [`Self::HEAD`].
    pub(super) fn parse(parts: &[Bytes]) -> Option<Self> {
        let (pairs, []) = parts.as_chunks::<2>() else { return None };
        let shown = |[there, value]: &[Bytes; 2]| shown_of(there, value, || value.clone());
        pairs.iter().map(shown).collect::<Option<_>>().map(Self)
    }

    /// The same for an array that has arrived whole; its first element is the head.
    pub(super) fn of_array(array: &WholeArray, frame: &Bytes) -> Option<Self> {
        let mut parts = array.parts(frame).skip(1);
        let mut shown = Vec::with_capacity(parts.len() / 2);
        while let Some(there) = parts.next() {
            let index = 2 * shown.len() + 2;
            shown.push(shown_of(there, parts.next()?, || array.bytes(index, frame))?);
        }
        Some(Self(shown))
    }
}

impl<'a> RecordsWriter<'a> {
    /// Begins an answer about so many keys; as many have to be pushed.
    pub fn new(keys: usize, out: &'a mut Vec<u8>) -> Self {
        let begin = out.len();
        reply::array(out, 2 * keys + 1);
        reply::bulk(out, Records::HEAD);
        Self { out, begin }
    }

    /// The next key has this record here; no `value` is a tombstone.
    pub fn push_record(&mut self, version: Version, expires_at: Option<UnixMs>, value: Option<&[u8]>) {
        let text = version.to_text();
        let Some(value) = value else { return self.push(&[text.as_slice(), GONE].concat(), &[]) };
        if self.out.len() - self.begin + value.len() > ANSWER_BYTES_MAX {
            return self.push(LARGE, &[]);
        }
        match expires_at {
            None => self.push(&text, value),
            Some(at) => {
                let at = itoa::Buffer::new().format(at.0).to_owned();
                self.push(&[text.as_slice(), &[SEPARATOR], at.as_bytes()].concat(), value);
            }
        }
    }

    /// The next key has no record here.
    pub fn push_missing(&mut self) {
        self.push(MISSING, &[]);
    }

    /// This replica counts for nothing where the next key belongs.
    pub fn push_syncing(&mut self) {
        self.push(SYNCING, &[]);
    }

    fn push(&mut self, there: &[u8], value: &[u8]) {
        reply::bulk(self.out, there);
        reply::bulk(self.out, value);
    }
}

/// What two elements say; `keep` makes a handle on the second.
fn shown_of(there: &[u8], value: &[u8], keep: impl FnOnce() -> Bytes) -> Option<Shown> {
    let Some((version, rest)) = there.split_at_checked(VERSION_TEXT_BYTES) else {
        return [(MISSING, Shown::Missing), (SYNCING, Shown::Syncing), (LARGE, Shown::Large)]
            .into_iter()
            .find_map(|(word, shown)| (there == word && value.is_empty()).then_some(shown));
    };
    let version = Version::parse(version)?;
    let (expires_at, value) = match rest {
        [] => (None, Some(keep())),
        GONE if value.is_empty() => (None, None),
        [SEPARATOR, at @ ..] => (Some(UnixMs(parse_number(at)?)), Some(keep())),
        _ => return None,
    };
    Some(Shown::Record(ReadRecord { version, expires_at, value }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::testing::{decode_replies, decode_requests};
    use crate::peer::{PeerReply, PeerRequest};
    use crate::ring::NodeIndex;
    use crate::version::{Hlc, StartNumber};

    use proptest::prelude::*;

    fn version(hlc: u64) -> Version {
        Version::new(Hlc(hlc), NodeIndex(2), StartNumber::new(7))
    }

    /// What comes of values of these lengths in one answer.
    fn answered(lengths: &[usize]) -> Vec<Shown> {
        let mut out = b"+OK\r\n".repeat(100_000);
        let begin = out.len();
        let mut writer = RecordsWriter::new(lengths.len(), &mut out);
        for (&length, hlc) in lengths.iter().zip(1..) {
            writer.push_record(version(hlc), None, Some(&vec![b'v'; length]));
        }
        match PeerReply::from_frame(decode_replies(&out[begin..]).remove(0)) {
            Ok(PeerReply::Records(Records(shown))) => shown,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn keys_survive_a_round_trip(keys in prop::collection::vec(any::<Vec<u8>>(), 2..50)) {
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let mut bytes = Vec::new();
            PeerRequest::ReadMany(keys.clone()).encode(&mut bytes);
            let decoded = decode_requests(&bytes);
            prop_assert_eq!(PeerRequest::parse(&decoded.first()), Ok(PeerRequest::ReadMany(keys)));
        }
    }

    #[test]
    fn one_key_alone_is_the_request_for_one() {
        let (mut alone, mut expected) = (Vec::new(), Vec::new());
        PeerRequest::ReadMany(vec![b"k"]).encode(&mut alone);
        PeerRequest::Read { key: b"k" }.encode(&mut expected);
        assert_eq!(alone, expected);
        assert_eq!(alone, b"*2\r\n$4\r\nRGET\r\n$1\r\nk\r\n");
    }

    #[test]
    fn a_request_without_a_key_is_refused() {
        let refused = PeerRequest::parse_args(&[b"RGETS"]).unwrap_err();
        assert_eq!(refused.to_string(), "wrong arguments for 'RGETS'");
    }

    #[test]
    fn values_that_would_make_the_answer_too_long_are_left_out_and_the_rest_is_not() {
        let is_large =
            |lengths: &[usize]| -> Vec<bool> { answered(lengths).iter().map(|shown| *shown == Shown::Large).collect() };
        assert_eq!(is_large(&[1, 0, 1000]), [false, false, false]);
        assert_eq!(is_large(&[ANSWER_BYTES_MAX, 1]), [true, false]);
        let half = ANSWER_BYTES_MAX / 2;
        assert_eq!(is_large(&[half, half, 10, half, 20]), [false, true, false, true, false]);
    }

    #[test]
    fn what_no_node_says_is_refused() {
        let text = version(1).to_string();
        for (there, value) in [
            ("", ""),
            ("-", "v"),
            ("SYNCING", "v"),
            ("LARGE", "v"),
            ("OTHER", ""),
            (&*format!("{text} gone"), "v"),
            (&*format!("{text} "), "v"),
            (&*format!("{text} soon"), "v"),
            (&*format!("{text}5"), "v"),
            (&text[1..], "v"),
        ] {
            assert_eq!(shown_of(there.as_bytes(), value.as_bytes(), || unreachable!()), None, "{there}");
        }
        assert_eq!(Records::parse(&[Bytes::from_static(MISSING)]), None, "a value is missing");
    }
}
