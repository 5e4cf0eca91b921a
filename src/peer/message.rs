//! What one node asks of another, as RESP commands.
//!
//! A peer's request travels in the clients' own protocol, as an array of bulk strings, so that `redis-cli` and every
//! packet dump can read it. The encoder writes straight into the bytes of the next batch: a write's request is made
//! once and then copied to each replica's link. The words stand beside the variants; the parser is the one place that
//! knows how many arguments each word takes.

use bytes::Bytes;
use smallvec::SmallVec;

use super::words::{
    ParseError, bulk_expiry, bulk_number, bulk_version, parse_expiry, parse_expiry_or_none, parse_number,
    parse_position, parse_slot, parse_start, parse_version, shown, wrong_argument, wrong_arguments,
};
use super::{CatchUp, DigestScope, FreshWrite, Mark, Records, ScanQuestion, UpdateRequest, fresh_writes, scan};
use crate::codec::{Request, reply};
use crate::ring::{NodeIndex, Slot};
use crate::time::UnixMs;
use crate::version::{Hlc, Version};

/// One request of a node to a peer. Each is answered by exactly one [`PeerReply`](super::PeerReply).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerRequest<'a> {
    /// A coordinator's fresh write, to every replica of the key: `RSET key value version [PXAT ms]`, or
    /// `RDEL key version`. Open until a [`Mark`](Self::Mark) of its coordinator passes it.
    Write {
        /// The key, of any bytes.
        key: &'a [u8],
        /// The value; `None` deletes.
        value: Option<&'a [u8]>,
        /// The stamp of this write.
        version: Version,
        /// When the record expires. A delete has no expiry: it is not sent with one.
        expires_at: Option<UnixMs>,
    },
    /// Fresh writes of values that do not expire, stamped one after the other: `RSETS`, see [`FreshWrite`].
    WriteMany(Vec<FreshWrite<'a>>),
    /// A write that so many replicas have refused that it was stamped anew, above all that they showed: `RAGAIN key version
    /// expiry|- value`. What has come since may stand above it, so it is taken below that as well.
    WriteAgain {
        /// The key, of any bytes.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// The new stamp.
        version: Version,
        /// When the record expires.
        expires_at: Option<UnixMs>,
    },
    /// A record that another replica holds already (a hint, a read repair, catching up, anti-entropy):
    /// `RCOPY key version expiry|- [value]`. Decided wherever it arrives.
    Copy {
        /// The key, of any bytes.
        key: &'a [u8],
        /// The value; `None` is a tombstone.
        value: Option<&'a [u8]>,
        /// The stamp of the write that the record came from.
        version: Version,
        /// When the record expires.
        expires_at: Option<UnixMs>,
    },
    /// A coordinator takes back its write after it missed its quorum: `RREVERT key version`.
    Revert {
        /// The key, of any bytes.
        key: &'a [u8],
        /// The stamp of the write to take back.
        version: Version,
    },
    /// A coordinator, or a replica that catches up, asks for the newest record: `RGET key`.
    Read {
        /// The key, of any bytes.
        key: &'a [u8],
    },
    /// A coordinator asks for the newest records of several keys: `RGETS`, see [`Records`](super::Records).
    ReadMany(Vec<&'a [u8]>),
    /// The sender's watermark, ahead of its requests and whenever a link is idle: `RMARK start lowest-open
    /// blank|syncing|caught-up`. Every version of the run `start` below `lowest_open`, and every version of the sender's older
    /// runs, is decided.
    Mark(Mark),
    /// Catching up and anti-entropy ask for the versions of all records of a slot, tombstones too, page by page:
    /// `RKEYS slot [position]`.
    Keys {
        /// The slot.
        slot: Slot,
        /// Where the page begins: 0, and then what the page before named. Means nothing to another process.
        from: u32,
    },
    /// Anti-entropy asks for digests: `RDIGEST`, `RDIGEST groups` or `RDIGEST group number`.
    Digest(DigestScope),
    /// DBSIZE asks for the live keys in the slots whose first replica among `alive` is the receiver:
    /// `RCOUNT node[,node..]`.
    Count {
        /// The nodes that the sender can reach, itself included. Empty: the receiver counts nothing.
        alive: Vec<NodeIndex>,
    },
    /// SCAN and KEYS ask for keys: `RSCAN place until-slot count node[,node..] [position end]`.
    Scan(ScanQuestion),
    /// RANDOMKEY asks for a random key of those that the receiver counts, as [`Count`](Self::Count) does:
    /// `RPICK number number node[,node..]`. Answered with one key or none, whatever its version.
    Pick {
        /// Random numbers: they choose the slot and the key.
        draws: [u64; 2],
        /// The nodes that the sender can reach, itself included.
        nodes: Vec<NodeIndex>,
    },
    /// WAIT compares what replicas show of some slots, all of which the receiver keeps: `RSUMS slot[,slot..]`.
    Sums {
        /// The slots.
        slots: Vec<Slot>,
    },
    /// The receiver's hybrid clock is asked for: `RCLOCK`.
    Clock,
    /// FLUSHALL reads the receiver's hybrid clock, to stamp its mark above it, and until that comes the receiver promises
    /// nothing to updates: `RCLOCK HOLD`.
    Hold,
    /// A node that catches up asks for the time above which the receiver has promised nothing: `RCLOCK PROMISES`.
    Promises,
    /// A link measures the receiver's wall clock, and sees that it is alive: `RBEAT`.
    Beat,
    /// For an update: see [`UpdateRequest`].
    Update(UpdateRequest<'a>),
    /// FLUSHALL: drop every record older than `version` and refuse it later: `RFLUSH version [DECIDED]`.
    Flush {
        /// The mark. Repeating one, or sending a lower one, changes nothing.
        version: Version,
        /// Whether it is known to be decided: see [`FlushMarks`](crate::flush::FlushMarks).
        is_decided: bool,
    },
}

/// The requests' words.
pub(super) const NAMES: [&str; 24] = [
    "RSET", "RSETS", "RAGAIN", "RDEL", "RCOPY", "RREVERT", "RGET", "RMARK", "RKEYS", "RDIGEST", "RCOUNT", "RCLOCK",
    "RBEAT", "RFLUSH", "RHELLO", "RSCAN", "RSUMS", "RPICK", "RPREPARE", "RACCEPT", "RBASE", "RCALL", "RDONE", "RGETS",
];
/// Those of [`UpdateRequest`].
const UPDATE_NAMES: [&str; 5] = ["RPREPARE", "RACCEPT", "RBASE", "RCALL", "RDONE"];
/// The longest of [`NAMES`].
const NAME_BYTES_MAX: usize = 8;
/// After the mark of a flush that is decided.
const DECIDED: &[u8] = b"DECIDED";
const _: () = {
    let mut i = 0;
    while i < NAMES.len() {
        assert!(NAMES[i].len() <= NAME_BYTES_MAX);
        i += 1;
    }
};

impl<'a> PeerRequest<'a> {
    /// Whether `word`, in any case, is a command of peers: a request, or the introduction. A connection that has not
    /// introduced itself may send only the latter.
    #[must_use]
    pub fn is_name(word: &[u8]) -> bool {
        NAMES.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Appends the request as an array of bulk strings to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Write { key, value: Some(value), version, expires_at } => {
                encode_set(key, value, *version, *expires_at, out);
            }
            Self::Write { key, value: None, version, .. } => {
                encode_versioned(b"*3\r\n$4\r\nRDEL\r\n", key, *version, out);
            }
            Self::WriteMany(writes) => fresh_writes::encode(writes, out),
            Self::WriteAgain { key, value, version, expires_at } => {
                out.extend_from_slice(b"*5\r\n$6\r\nRAGAIN\r\n");
                reply::bulk(out, key);
                bulk_version(*version, out);
                bulk_expiry(*expires_at, out);
                reply::bulk(out, value);
            }
            Self::Copy { key, value, version, expires_at } => encode_copy(key, *value, *version, *expires_at, out),
            Self::Revert { key, version } => encode_versioned(b"*3\r\n$7\r\nRREVERT\r\n", key, *version, out),
            Self::Read { key } => {
                out.extend_from_slice(b"*2\r\n$4\r\nRGET\r\n");
                reply::bulk(out, key);
            }
            Self::ReadMany(keys) => encode_reads(keys, out),
            Self::Mark(Mark { start, lowest_open, catch_up }) => {
                out.extend_from_slice(b"*4\r\n$5\r\nRMARK\r\n");
                bulk_number(start.get(), out);
                bulk_number(lowest_open.0, out);
                reply::bulk(out, catch_up.word().as_bytes());
            }
            Self::Keys { slot, from } => encode_keys(*slot, *from, out),
            Self::Digest(scope) => scope.encode(out),
            Self::Count { alive } => {
                out.extend_from_slice(b"*2\r\n$6\r\nRCOUNT\r\n");
                reply::bulk(out, scan::shown_nodes(alive).as_bytes());
            }
            Self::Scan(question) => question.encode(out),
            Self::Pick { draws, nodes } => scan::encode_pick(*draws, nodes, out),
            Self::Sums { slots } => scan::encode_sums(slots, out),
            Self::Clock => out.extend_from_slice(b"*1\r\n$6\r\nRCLOCK\r\n"),
            Self::Hold => out.extend_from_slice(b"*2\r\n$6\r\nRCLOCK\r\n$4\r\nHOLD\r\n"),
            Self::Promises => out.extend_from_slice(b"*2\r\n$6\r\nRCLOCK\r\n$8\r\nPROMISES\r\n"),
            Self::Beat => out.extend_from_slice(b"*1\r\n$5\r\nRBEAT\r\n"),
            Self::Update(request) => request.encode(out),
            Self::Flush { version, is_decided } => {
                reply::array(out, 2 + usize::from(*is_decided));
                reply::bulk(out, b"RFLUSH");
                bulk_version(*version, out);
                if *is_decided {
                    reply::bulk(out, DECIDED);
                }
            }
        }
    }

    /// Reads a decoded command.
    ///
    /// # Errors
    ///
    /// When it is no peer request: see [`ParseError`].
    pub fn parse(request: &Request<'a>) -> Result<Self, ParseError> {
        let args: SmallVec<[&[u8]; 6]> = request.args().collect();
        Self::parse_args(&args)
    }

    /// Reads a command that is already split into its arguments, the word first.
    ///
    /// # Errors
    ///
    /// When it is no peer request: see [`ParseError`].
    pub fn parse_args(args: &[&'a [u8]]) -> Result<Self, ParseError> {
        let (&word, rest) = args.split_first().ok_or_else(|| ParseError::UnknownCommand(String::new()))?;
        let mut buffer = [0; NAME_BYTES_MAX];
        let name = upper_case(word, &mut buffer).ok_or_else(|| ParseError::UnknownCommand(shown(word)))?;
        match (name, rest) {
            (b"RSET", [key, value, version]) => parse_write(key, Some(value), version, None),
            (b"RSET", [key, value, version, word, at]) if word.eq_ignore_ascii_case(b"PXAT") => {
                parse_write(key, Some(value), version, Some(parse_expiry(at)?))
            }
            (b"RSETS", args) => fresh_writes::parse(args).map(Self::WriteMany),
            (b"RAGAIN", [key, version, expiry, value]) => {
                let (version, expires_at) = (parse_version(version)?, parse_expiry_or_none(expiry)?);
                Ok(Self::WriteAgain { key, value, version, expires_at })
            }
            (b"RDEL", [key, version]) => parse_write(key, None, version, None),
            (b"RCOPY", [key, version, expiry]) => parse_copy(key, None, version, expiry),
            (b"RCOPY", [key, version, expiry, value]) => parse_copy(key, Some(value), version, expiry),
            (b"RREVERT", [key, version]) => Ok(Self::Revert { key, version: parse_version(version)? }),
            (b"RGET", [key]) => Ok(Self::Read { key }),
            (b"RGETS", [_, ..]) => Ok(Self::ReadMany(rest.to_vec())),
            (b"RMARK", [start, lowest_open, state]) => parse_mark(start, lowest_open, state),
            (b"RKEYS", [slot]) => Ok(Self::Keys { slot: parse_slot(slot)?, from: 0 }),
            (b"RKEYS", [slot, from]) => Ok(Self::Keys { slot: parse_slot(slot)?, from: parse_position(from)? }),
            (b"RDIGEST", args) => DigestScope::parse(args).map(Self::Digest),
            (b"RCOUNT", [alive]) => Ok(Self::Count { alive: scan::parse_nodes(alive)? }),
            (b"RCLOCK", []) => Ok(Self::Clock),
            (b"RCLOCK", [b"HOLD"]) => Ok(Self::Hold),
            (b"RCLOCK", [b"PROMISES"]) => Ok(Self::Promises),
            (b"RBEAT", []) => Ok(Self::Beat),
            (b"RFLUSH", [version]) => Ok(Self::Flush { version: parse_version(version)?, is_decided: false }),
            (b"RFLUSH", [version, DECIDED]) => Ok(Self::Flush { version: parse_version(version)?, is_decided: true }),
            (b"RSCAN", args) => ScanQuestion::parse(args).unwrap_or_else(|| Err(wrong_arguments(name))).map(Self::Scan),
            (b"RPICK", [slot, key, nodes]) => scan::parse_pick([slot, key], nodes),
            (b"RSUMS", [slots]) => Ok(Self::Sums { slots: scan::parse_slots(slots)? }),
            _ => match UPDATE_NAMES.into_iter().find(|known| known.as_bytes() == name) {
                Some(known) => UpdateRequest::parse(known, rest).map(Self::Update),
                None => Err(wrong_arguments(name)),
            },
        }
    }
}

/// A record on its way between nodes: what a replica shows of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadRecord {
    /// The stamp of the write that it came from.
    pub version: Version,
    /// When it expires. A tombstone has no expiry.
    pub expires_at: Option<UnixMs>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
}

/// A record of a slot's list, without its value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListedRecord {
    /// The key.
    pub key: Bytes,
    /// The stamp of the write.
    pub version: Version,
    /// It is a tombstone, or has expired.
    pub is_gone: bool,
    /// The size of the value; 0 if it is gone.
    pub value_bytes: usize,
}

fn encode_keys(slot: Slot, from: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(if from == 0 { b"*2\r\n$5\r\nRKEYS\r\n" } else { b"*3\r\n$5\r\nRKEYS\r\n" });
    bulk_number(u64::from(slot.number()), out);
    if from > 0 {
        bulk_number(u64::from(from), out);
    }
}

fn encode_reads(keys: &[&[u8]], out: &mut Vec<u8>) {
    let mut encoded = Vec::new();
    for key in keys {
        Records::encode_key(key, &mut encoded);
    }
    Records::encode_question(keys.len(), &encoded, out);
}

fn encode_set(key: &[u8], value: &[u8], version: Version, expires_at: Option<UnixMs>, out: &mut Vec<u8>) {
    encode_set_head(key, expires_at, out);
    reply::bulk(out, value);
    encode_set_tail(version, expires_at, out);
}

/// Appends what stands around a value of so many bytes in a fresh write, and tells where that belongs.
pub(super) fn encode_around(
    value_bytes: usize,
    (key, version, expires_at): (&[u8], Version, Option<UnixMs>),
    out: &mut Vec<u8>,
) -> usize {
    encode_set_head(key, expires_at, out);
    reply::bulk_header(out, value_bytes);
    let at = out.len();
    reply::line_end(out);
    encode_set_tail(version, expires_at, out);
    at
}

fn encode_set_head(key: &[u8], expires_at: Option<UnixMs>, out: &mut Vec<u8>) {
    out.extend_from_slice(match expires_at {
        Some(_) => b"*6\r\n$4\r\nRSET\r\n",
        None => b"*4\r\n$4\r\nRSET\r\n",
    });
    reply::bulk(out, key);
}

fn encode_set_tail(version: Version, expires_at: Option<UnixMs>, out: &mut Vec<u8>) {
    bulk_version(version, out);
    if let Some(at) = expires_at {
        out.extend_from_slice(b"$4\r\nPXAT\r\n");
        bulk_number(at.0, out);
    }
}

fn encode_versioned(head: &[u8], key: &[u8], version: Version, out: &mut Vec<u8>) {
    out.extend_from_slice(head);
    reply::bulk(out, key);
    bulk_version(version, out);
}

fn encode_copy(key: &[u8], value: Option<&[u8]>, version: Version, expires_at: Option<UnixMs>, out: &mut Vec<u8>) {
    out.extend_from_slice(match value {
        Some(_) => b"*5\r\n$5\r\nRCOPY\r\n",
        None => b"*4\r\n$5\r\nRCOPY\r\n",
    });
    reply::bulk(out, key);
    bulk_version(version, out);
    bulk_expiry(expires_at, out);
    if let Some(value) = value {
        reply::bulk(out, value);
    }
}

/// `word` in upper case, if it is one of [`NAMES`] by its length.
fn upper_case<'b>(word: &[u8], buffer: &'b mut [u8; NAME_BYTES_MAX]) -> Option<&'b [u8]> {
    let name = buffer.get_mut(..word.len())?;
    name.copy_from_slice(word);
    name.make_ascii_uppercase();
    Some(name)
}

fn parse_write<'a>(
    key: &'a [u8],
    value: Option<&'a [u8]>,
    version: &[u8],
    expires_at: Option<UnixMs>,
) -> Result<PeerRequest<'a>, ParseError> {
    Ok(PeerRequest::Write { key, value, version: parse_version(version)?, expires_at })
}

fn parse_copy<'a>(
    key: &'a [u8],
    value: Option<&'a [u8]>,
    version: &[u8],
    expiry: &[u8],
) -> Result<PeerRequest<'a>, ParseError> {
    Ok(PeerRequest::Copy { key, value, version: parse_version(version)?, expires_at: parse_expiry_or_none(expiry)? })
}

fn parse_mark<'a>(start: &[u8], lowest_open: &[u8], state: &[u8]) -> Result<PeerRequest<'a>, ParseError> {
    let start = parse_start(start).ok_or_else(|| wrong_argument("start number", start))?;
    let lowest_open = parse_number(lowest_open).map(Hlc).ok_or_else(|| wrong_argument("clock reading", lowest_open))?;
    let catch_up = CatchUp::parse(state).ok_or_else(|| wrong_argument("state", state))?;
    Ok(PeerRequest::Mark(Mark { start, lowest_open, catch_up }))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
