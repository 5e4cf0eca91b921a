//! What a node answers to a peer's request.
//!
//! Every reply is one flat frame, so that a link can match replies to requests by counting frames. Which reply belongs
//! to which request stands beside the variants; a link does not check it, the asker does.

use bytes::Bytes;

use super::message::{ListedRecord, ReadRecord};
use super::words::{NO_EXPIRY, bulk_expiry, bulk_number, bulk_version, parse_number, shown};
use super::{Digest, Records, ScanAnswer, scan};
use crate::codec::{Protocol, ReplyFrame, WholeArray, reply};
use crate::flush::FlushMarks;
use crate::time::UnixMs;
use crate::version::{VERSION_TEXT_BYTES, Version};

/// A peer's answer to one [`PeerRequest`](super::PeerRequest).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerReply {
    /// Done: `+OK`. To every request that asks for nothing back.
    Ok,
    /// A write is done, and this was shown here before it: `+LIVE version` or `+GONE version`. To RDEL alone, whose
    /// client wants to know whether there was something to delete.
    Prior {
        /// The version shown before.
        version: Version,
        /// Whether that was a live value rather than a tombstone.
        live: bool,
    },
    /// A larger version is shown here, and the one written is refused from now on: `-STALE version`. To RSET and RDEL.
    Stale(Version),
    /// The same of a receiver that has not caught up on the slot, and so may lack what is newer still: `-STALESYNCING version`.
    StaleSyncing(Version),
    /// An update with this larger ballot is under way, or this version came before the update's write; nothing was done:
    /// `-PROMISED version`. To RSET, RDEL, RCOPY, RPREPARE, RACCEPT and RBASE.
    Promised(Version),
    /// The ballot is promised, but what is shown here, this version, may come to nothing and is not told: `+WITHHELD version`. To
    /// an RPREPARE that does not insist.
    Withheld(Version),
    /// The answers to several writes, if not all are `+OK`, each of which is a line: an array of `EACH` and those lines. To
    /// RSETS.
    Each(Vec<PeerReply>),
    /// The version was reverted here before; nothing was done: `-VOID`. To RSET, RDEL and RACCEPT.
    Void,
    /// A revert is refused, for the version is decided, shown or unknown: `-KEPT`. To RREVERT.
    Kept,
    /// The receiver has not caught up on the slot: `+SYNCING`. A write was taken, but counts for nothing.
    Syncing,
    /// The version is further ahead of the receiver's wall clock than the limit; nothing was done: `-DRIFT text`, the
    /// text naming both clocks.
    Drift(String),
    /// No record of the key, not even a tombstone: a null. To RGET.
    Missing,
    /// The newest record of the key: an array of version, expiry or `-`, value; of the version alone for a tombstone.
    /// To RGET.
    Record(ReadRecord),
    /// What is shown of several keys. To RGETS.
    Records(Records),
    /// Keys and versions of records of a slot: an array of `KEYS`, the position of the next page or `-`, then key and
    /// version by turns, with the word `gone` behind the version of a tombstone. To RKEYS.
    Keys {
        /// The records of this page, in no order.
        records: Vec<ListedRecord>,
        /// Where the next page begins; `None` if this is the last one.
        next: Option<u32>,
    },
    /// Digests in the order of the slots or groups: an array of `DIGESTS`, the flush marks, and those. To RDIGEST and RSUMS.
    Digests {
        /// The flushes that the receiver knows of: who has missed one must not take what it dropped for lacking.
        flush_marks: FlushMarks,
        /// What it holds.
        digests: Vec<Digest>,
    },
    /// Keys of many slots. To RSCAN.
    Scan(ScanAnswer),
    /// A number: live keys to RCOUNT, the hybrid clock's bits to RCLOCK, the wall clock's milliseconds to RBEAT. From 2^63
    /// on it reads as negative on the wire.
    Integer(u64),
    /// Any other error, whole: the receiver could not or would not do it, and did nothing.
    Refused(String),
}

/// A frame that no node answers to a peer. The peer's fault: the link that carried it cannot be trusted any more.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a peer's reply: {0}")]
pub struct ReplyError(String);

/// Opens the array of a slot's keys. No version begins like this, so that a record cannot be mistaken for it.
const KEYS: &[u8] = b"KEYS";
/// In place of the position of a page that does not exist.
const NO_NEXT: &[u8] = b"-";
/// Stands behind the version of a tombstone, where others have the size of their values.
const GONE: &[u8] = b" gone";
/// Opens the array of several answers.
const EACH: &[u8] = b"EACH";
/// Ends a line.
const LINE_END: &[u8] = b"\r\n";
/// Opens the array of digests.
const DIGESTS: &[u8] = b"DIGESTS";

impl PeerReply {
    /// Appends the frame of a [`Record`](Self::Record) to `out`, straight from the store's memory.
    pub(crate) fn encode_record(version: Version, expires_at: Option<UnixMs>, value: Option<&[u8]>, out: &mut Vec<u8>) {
        let Some(value) = value else {
            reply::array(out, 1);
            return bulk_version(version, out);
        };
        Self::encode_record_head(version, expires_at, out);
        reply::bulk(out, value);
    }

    /// The same without the value, which is to follow as a bulk string.
    pub(crate) fn encode_record_head(version: Version, expires_at: Option<UnixMs>, out: &mut Vec<u8>) {
        reply::array(out, 3);
        bulk_version(version, out);
        bulk_expiry(expires_at, out);
    }

    /// Appends the reply's frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ok => out.extend_from_slice(b"+OK\r\n"),
            Self::Prior { version, live: true } => line(b"+LIVE ", *version, out),
            Self::Prior { version, live: false } => line(b"+GONE ", *version, out),
            Self::Stale(version) => line(b"-STALE ", *version, out),
            Self::StaleSyncing(version) => line(b"-STALESYNCING ", *version, out),
            Self::Promised(version) => line(b"-PROMISED ", *version, out),
            Self::Withheld(version) => line(b"+WITHHELD ", *version, out),
            Self::Each(replies) => encode_each(replies, out),
            Self::Void => out.extend_from_slice(b"-VOID\r\n"),
            Self::Kept => out.extend_from_slice(b"-KEPT\r\n"),
            Self::Syncing => out.extend_from_slice(b"+SYNCING\r\n"),
            Self::Drift(text) => error_line(b"-DRIFT ", text, out),
            Self::Missing => reply::null(out, Protocol::Resp2),
            Self::Record(record) => {
                Self::encode_record(record.version, record.expires_at, record.value.as_deref(), out);
            }
            Self::Records(records) => records.encode(out),
            Self::Keys { records, next } => encode_keys(records, *next, out),
            Self::Digests { flush_marks, digests } => {
                reply::array(out, digests.len() + 3);
                reply::bulk(out, DIGESTS);
                bulk_version(flush_marks.begun, out);
                bulk_version(flush_marks.decided, out);
                for digest in digests {
                    digest.encode(out);
                }
            }
            Self::Scan(answer) => answer.encode(out),
            Self::Integer(number) => reply::integer(out, number.cast_signed()),
            Self::Refused(text) => error_line(b"-", text, out),
        }
    }

    /// Reads a reply from its frame.
    ///
    /// # Errors
    ///
    /// When no node sends such a frame.
    pub fn from_frame(frame: ReplyFrame) -> Result<Self, ReplyError> {
        match frame {
            ReplyFrame::Simple(text) => from_simple(&text),
            ReplyFrame::Error(text) => from_error(&text),
            ReplyFrame::Integer(number) => Ok(Self::Integer(number.cast_unsigned())),
            ReplyFrame::Null => Ok(Self::Missing),
            ReplyFrame::Array(parts) => from_array(&parts),
            ReplyFrame::Bulk(bytes) => Err(unexpected("a bulk string", &bytes)),
        }
    }

    /// Whether an array of these elements is what reads are answered by, for [`Self::from_whole`].
    pub(super) fn is_answer<'a>(mut parts: impl ExactSizeIterator<Item = &'a [u8]>) -> bool {
        let count = parts.len();
        parts.next().is_some_and(|head| head == Records::HEAD || count == 3 && head.len() == VERSION_TEXT_BYTES)
    }

    /// Reads such a reply from an array that has arrived whole.
    ///
    /// # Errors
    ///
    /// When no node sends such an array.
    pub(super) fn from_whole(array: &WholeArray, frame: Bytes) -> Result<Self, ReplyError> {
        let part = |index| array.parts(&frame).nth(index).unwrap_or_default();
        let (head, expiry) = (part(0), part(1));
        let unexpected = || unexpected("an array that begins with", head);
        if head == Records::HEAD {
            return Records::of_array(array, &frame).map(Self::Records).ok_or_else(unexpected);
        }
        let record = record_of(head, expiry).ok_or_else(unexpected)?;
        Ok(Self::Record(ReadRecord { value: Some(array.cut(2, frame)), ..record }))
    }
}

fn line(head: &[u8], version: Version, out: &mut Vec<u8>) {
    out.extend_from_slice(head);
    out.extend_from_slice(&version.to_text());
    out.extend_from_slice(b"\r\n");
}

/// Appends an error line; what would end the line within the text becomes a space.
fn error_line(head: &[u8], text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(head);
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

fn encode_keys(records: &[ListedRecord], next: Option<u32>, out: &mut Vec<u8>) {
    reply::array(out, 2 * records.len() + 2);
    reply::bulk(out, KEYS);
    match next {
        Some(position) => bulk_number(position.into(), out),
        None => reply::bulk(out, NO_NEXT),
    }
    for ListedRecord { key, version, is_gone, value_bytes } in records {
        reply::bulk(out, key);
        let mut about = version.to_text().to_vec();
        match is_gone {
            true => about.extend_from_slice(GONE),
            false => {
                about.push(b' ');
                about.extend_from_slice(itoa::Buffer::new().format(*value_bytes).as_bytes());
            }
        }
        reply::bulk(out, &about);
    }
}

fn encode_each(replies: &[PeerReply], out: &mut Vec<u8>) {
    reply::array(out, replies.len() + 1);
    reply::bulk(out, EACH);
    let mut line = Vec::new();
    for reply in replies {
        line.clear();
        reply.encode(&mut line);
        reply::bulk(out, line.strip_suffix(LINE_END).unwrap_or(&line));
    }
}

fn each_of(lines: &[Bytes]) -> Option<PeerReply> {
    let reply_of = |line: &Bytes| match line.split_first()? {
        (b'+', text) => from_simple(text).ok(),
        (b'-', text) => from_error(text).ok(),
        _ => None,
    };
    lines.iter().map(reply_of).collect::<Option<_>>().map(PeerReply::Each)
}

fn from_simple(text: &[u8]) -> Result<PeerReply, ReplyError> {
    let prior = |version: &[u8], live| Version::parse(version).map(|version| PeerReply::Prior { version, live });
    let reply = match text {
        b"OK" => Some(PeerReply::Ok),
        b"SYNCING" => Some(PeerReply::Syncing),
        [b'L', b'I', b'V', b'E', b' ', version @ ..] => prior(version, true),
        [b'G', b'O', b'N', b'E', b' ', version @ ..] => prior(version, false),
        _ => text.strip_prefix(b"WITHHELD ").and_then(Version::parse).map(PeerReply::Withheld),
    };
    reply.ok_or_else(|| unexpected("the status", text))
}

fn from_error(text: &[u8]) -> Result<PeerReply, ReplyError> {
    let words = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let of_version = |version: &[u8], reply: fn(Version) -> PeerReply| {
        Version::parse(version).map(reply).ok_or_else(|| unexpected("the error", text))
    };
    match text {
        b"VOID" => Ok(PeerReply::Void),
        b"KEPT" => Ok(PeerReply::Kept),
        _ => match text.split_at(text.iter().position(|&byte| byte == b' ').map_or(0, |at| at + 1)) {
            (b"STALE ", version) => of_version(version, PeerReply::Stale),
            (b"STALESYNCING ", version) => of_version(version, PeerReply::StaleSyncing),
            (b"PROMISED ", version) => of_version(version, PeerReply::Promised),
            (b"DRIFT ", rest) => Ok(PeerReply::Drift(words(rest))),
            _ => Ok(PeerReply::Refused(words(text))),
        },
    }
}

fn from_array(parts: &[Bytes]) -> Result<PeerReply, ReplyError> {
    let reply = match parts {
        [head, next, rest @ ..] if head == KEYS => keys_of(next, rest),
        [head, lines @ ..] if head == EACH => each_of(lines),
        [head, rest @ ..] if head == Records::HEAD => Records::parse(rest).map(PeerReply::Records),
        [head, rest @ ..] if head == scan::SCAN => ScanAnswer::parse(rest).map(PeerReply::Scan),
        [head, begun, decided, rest @ ..] if head == DIGESTS => digests_of(begun, decided, rest),
        [version] => record_of(version, NO_EXPIRY).map(PeerReply::Record),
        [version, expiry, value] => record_of(version, expiry)
            .map(|record| PeerReply::Record(ReadRecord { value: Some(value.clone()), ..record })),
        _ => None,
    };
    reply.ok_or_else(|| unexpected("an array that begins with", parts.first().map_or(b"", |part| part)))
}

fn keys_of(next: &[u8], parts: &[Bytes]) -> Option<PeerReply> {
    let next = if next == NO_NEXT { None } else { Some(u32::try_from(parse_number(next)?).ok()?) };
    let (pairs, []) = parts.as_chunks::<2>() else { return None };
    let listed = |[key, about]: &[Bytes; 2]| {
        let (version, word) = about.split_at_checked(VERSION_TEXT_BYTES)?;
        let (version, is_gone) = (Version::parse(version)?, word == GONE);
        let value_bytes = if is_gone { 0 } else { usize::try_from(parse_number(word.strip_prefix(b" ")?)?).ok()? };
        Some(ListedRecord { key: key.clone(), version, is_gone, value_bytes })
    };
    Some(PeerReply::Keys { records: pairs.iter().map(listed).collect::<Option<_>>()?, next })
}

fn digests_of(begun: &[u8], decided: &[u8], parts: &[Bytes]) -> Option<PeerReply> {
    let digests = parts.iter().map(Digest::parse).collect::<Option<_>>()?;
    let flush_marks = FlushMarks { begun: Version::parse(begun)?, decided: Version::parse(decided)? };
    Some(PeerReply::Digests { flush_marks, digests })
}

/// A record that begins like this; its value is to be added.
fn record_of(version: &[u8], expiry: &[u8]) -> Option<ReadRecord> {
    let expires_at = if expiry == NO_EXPIRY { None } else { Some(UnixMs(parse_number(expiry)?)) };
    Some(ReadRecord { version: Version::parse(version)?, expires_at, value: None })
}

fn unexpected(what: &str, text: &[u8]) -> ReplyError {
    ReplyError(format!("{what} '{}'", shown(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::peer::testing::{decode_replies, versions};
    use crate::peer::{Certainty, Shown};

    fn values() -> impl Strategy<Value = Bytes> {
        any::<Vec<u8>>().prop_map(Bytes::from)
    }

    fn records() -> impl Strategy<Value = ReadRecord> {
        (versions(), any::<Option<u64>>(), prop::option::of(values())).prop_map(|(version, expiry, value)| ReadRecord {
            version,
            expires_at: value.as_ref().and(expiry).map(UnixMs),
            value,
        })
    }

    fn shown() -> impl Strategy<Value = Shown> {
        let others = prop::sample::select(vec![Shown::Missing, Shown::Syncing, Shown::Large]);
        prop_oneof![records().prop_map(Shown::Record), others]
    }

    fn listed() -> impl Strategy<Value = ListedRecord> {
        let parts = (values(), versions(), prop::option::of(0..1_usize << 40));
        parts.prop_map(|(key, version, size)| {
            let (is_gone, value_bytes) = (size.is_none(), size.unwrap_or_default());
            ListedRecord { key, version, is_gone, value_bytes }
        })
    }

    fn digests() -> impl Strategy<Value = Digest> {
        let certainty = prop::sample::select(vec![Certainty::Settled, Certainty::Busy, Certainty::Syncing]);
        (any::<u64>(), certainty).prop_map(|(sum, certainty)| Digest { sum, certainty })
    }

    fn replies() -> impl Strategy<Value = PeerReply> {
        prop_oneof![
            prop::sample::select(vec![
                PeerReply::Ok,
                PeerReply::Void,
                PeerReply::Kept,
                PeerReply::Syncing,
                PeerReply::Missing
            ]),
            (versions(), any::<bool>()).prop_map(|(version, live)| PeerReply::Prior { version, live }),
            versions().prop_map(PeerReply::Stale),
            versions().prop_map(PeerReply::StaleSyncing),
            versions().prop_map(PeerReply::Promised),
            versions().prop_map(PeerReply::Withheld),
            "[ -~]{0,40}".prop_map(PeerReply::Drift),
            records().prop_map(PeerReply::Record),
            (prop::collection::vec(listed(), 0..9), any::<Option<u32>>())
                .prop_map(|(records, next)| PeerReply::Keys { records, next }),
            ([versions(), versions()], prop::collection::vec(digests(), 0..9)).prop_map(
                |([begun, decided], digests)| {
                    PeerReply::Digests { flush_marks: FlushMarks { begun, decided }, digests }
                }
            ),
            any::<u64>().prop_map(PeerReply::Integer),
            prop::collection::vec(shown(), 0..5).prop_map(|shown| PeerReply::Records(Records(shown))),
            prop::collection::vec(versions().prop_map(PeerReply::Stale), 0..5).prop_map(|mut replies| {
                replies.extend([PeerReply::Ok, PeerReply::Drift("far".into()), PeerReply::Syncing]);
                PeerReply::Each(replies)
            }),
            "ERR [ -~]{0,40}".prop_map(PeerReply::Refused),
        ]
    }

    proptest! {
        #[test]
        fn every_reply_survives_a_round_trip(replies in prop::collection::vec(replies(), 1..8)) {
            let mut bytes = Vec::new();
            for reply in &replies {
                reply.encode(&mut bytes);
            }

            let decoded: Result<Vec<_>, _> = decode_replies(&bytes).into_iter().map(PeerReply::from_frame).collect();

            prop_assert_eq!(decoded, Ok(replies));
        }
    }

    #[test]
    fn line_ends_in_an_error_become_spaces() {
        let mut bytes = Vec::new();
        PeerReply::Refused("ERR a\r\nb".into()).encode(&mut bytes);
        assert_eq!(bytes, b"-ERR a  b\r\n");
    }

    #[test]
    fn frames_that_no_node_sends_are_refused() {
        let bytes = Bytes::from_static;
        for frame in [
            ReplyFrame::Simple(bytes(b"PONG")),
            ReplyFrame::Simple(bytes(b"LIVE one")),
            ReplyFrame::Error(bytes(b"STALE one")),
            ReplyFrame::Bulk(bytes(b"value")),
            ReplyFrame::Array(vec![]),
            ReplyFrame::Array(vec![bytes(b"1-1-1"), bytes(b"-")]),
            ReplyFrame::Array(vec![bytes(b"1-1-1"), bytes(b"soon"), bytes(b"v")]),
            ReplyFrame::Array(vec![bytes(b"KEYS")]),
            ReplyFrame::Array(vec![bytes(b"KEYS"), bytes(b"k")]),
            ReplyFrame::Array(vec![bytes(b"KEYS"), bytes(b"-"), bytes(b"k")]),
            ReplyFrame::Array(vec![bytes(b"KEYS"), bytes(b"-"), bytes(b"k"), bytes(b"one")]),
            ReplyFrame::Array(vec![bytes(b"DIGESTS"), bytes(b"one")]),
            ReplyFrame::Array(vec![bytes(b"EACH"), bytes(b"OK")]),
            ReplyFrame::Array(vec![bytes(b"RECORDS"), bytes(b"-")]),
            ReplyFrame::Array(vec![bytes(b"RECORDS"), bytes(b"1-1-1"), bytes(b"v")]),
        ] {
            let reply = PeerReply::from_frame(frame);
            assert!(reply.is_err(), "became {reply:?}");
        }
    }
}
