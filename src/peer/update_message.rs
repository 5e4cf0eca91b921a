//! What nodes ask of one another for the sake of updates, as RESP commands.
//!
//! The coordinator of an update has its words carried to the key's home, which is answered when the update is done: that may
//! take several round trips, and a link carries answers in order, so the reply comes back as a request of its own. The home
//! talks to the replicas in two rounds, to ask and to write.

use smallvec::SmallVec;

use super::words::{
    NO_EXPIRY, ParseError, bulk_expiry, bulk_number, bulk_version, parse_expiry, parse_number, parse_version,
    wrong_argument, wrong_arguments,
};
use crate::codec::{Protocol, reply};
use crate::time::UnixMs;
use crate::version::Version;

/// After a ballot, where a record that may come to nothing is to be shown as well.
const INSIST: &[u8] = b"INSIST";

/// One request for an update.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UpdateRequest<'a> {
    /// Show the newest record, and promise to take nothing older than `ballot` that was not shown: `RPREPARE key ballot
    /// [INSIST]`.
    Prepare {
        /// The key, of any bytes.
        key: &'a [u8],
        /// The version that the update is going to write.
        ballot: Version,
        /// Also a record that may come to nothing is to be shown.
        insists: bool,
    },
    /// The update's write, which is taken only where it was promised and nothing newer than `base` came in between:
    /// `RACCEPT key ballot base expiry|- [value]`. Open until a mark passes it, as any fresh write.
    Accept {
        /// The key, of any bytes.
        key: &'a [u8],
        /// The value; `None` deletes.
        value: Option<&'a [u8]>,
        /// The version that this was promised to, and that the record bears.
        ballot: Version,
        /// The newest version that the update has seen.
        base: Version,
        /// When the record expires.
        expires_at: Option<UnixMs>,
    },
    /// The record that the update has seen, for a replica that may lack it: `RBASE key ballot version expiry|- [value]`.
    Base {
        /// The key, of any bytes.
        key: &'a [u8],
        /// The value; `None` is a tombstone.
        value: Option<&'a [u8]>,
        /// The stamp of the write that the record came from.
        version: Version,
        /// When the record expires.
        expires_at: Option<UnixMs>,
        /// The version that was promised to the update.
        ballot: Version,
    },
    /// An update for the receiver to carry out: `RCALL id 2|3 word [word ..]`. `OK` says that it was taken on.
    Call {
        /// By which the sender knows it; different for each call of one run of the sender's process.
        id: u64,
        /// The version of RESP in which the client is answered.
        protocol: Protocol,
        /// The client's command.
        words: SmallVec<[&'a [u8]; 4]>,
    },
    /// What became of a call of the receiver's: `RDONE id reply`.
    Done {
        /// Of the call.
        id: u64,
        /// The client's reply, as RESP.
        reply: &'a [u8],
    },
}

impl<'a> UpdateRequest<'a> {
    /// Appends the request as an array of bulk strings to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Prepare { key, ballot, insists } => {
                out.extend_from_slice(if *insists { b"*4" } else { b"*3" });
                out.extend_from_slice(b"\r\n$8\r\nRPREPARE\r\n");
                reply::bulk(out, key);
                bulk_version(*ballot, out);
                if *insists {
                    reply::bulk(out, INSIST);
                }
            }
            Self::Accept { key, value, ballot, base, expires_at } => {
                out.extend_from_slice(if value.is_some() { b"*6" } else { b"*5" });
                out.extend_from_slice(b"\r\n$7\r\nRACCEPT\r\n");
                encode_record(key, *value, (*ballot, *base), *expires_at, out);
            }
            Self::Base { key, value, version, expires_at, ballot } => {
                out.extend_from_slice(if value.is_some() { b"*6" } else { b"*5" });
                out.extend_from_slice(b"\r\n$5\r\nRBASE\r\n");
                encode_record(key, *value, (*ballot, *version), *expires_at, out);
            }
            Self::Call { id, protocol, words } => {
                reply::array(out, words.len() + 3);
                out.extend_from_slice(b"$5\r\nRCALL\r\n");
                bulk_number(*id, out);
                reply::bulk(out, protocol_word(*protocol));
                words.iter().for_each(|word| reply::bulk(out, word));
            }
            Self::Done { id, reply } => {
                out.extend_from_slice(b"*3\r\n$5\r\nRDONE\r\n");
                bulk_number(*id, out);
                reply::bulk(out, reply);
            }
        }
    }

    /// Reads a command of this kind, which goes by `name` in upper case.
    pub(super) fn parse(name: &'static str, rest: &[&'a [u8]]) -> Result<Self, ParseError> {
        match (name, rest) {
            ("RPREPARE", &[key, ballot]) => Ok(Self::Prepare { key, ballot: parse_version(ballot)?, insists: false }),
            ("RPREPARE", &[key, ballot, INSIST]) => {
                Ok(Self::Prepare { key, ballot: parse_version(ballot)?, insists: true })
            }
            ("RACCEPT", &[key, ballot, base, expiry]) => parse_accept(key, None, ballot, base, expiry),
            ("RACCEPT", &[key, ballot, base, expiry, value]) => parse_accept(key, Some(value), ballot, base, expiry),
            ("RBASE", &[key, ballot, version, expiry]) => parse_base(key, None, ballot, version, expiry),
            ("RBASE", &[key, ballot, version, expiry, value]) => parse_base(key, Some(value), ballot, version, expiry),
            ("RCALL", [id, protocol, words @ ..]) if !words.is_empty() => {
                let protocol = parse_protocol(protocol).ok_or_else(|| wrong_argument("version of RESP", protocol))?;
                Ok(Self::Call { id: parse_id(id)?, protocol, words: words.into() })
            }
            ("RDONE", &[id, reply]) => Ok(Self::Done { id: parse_id(id)?, reply }),
            _ => Err(wrong_arguments(name.as_bytes())),
        }
    }
}

fn encode_record(
    key: &[u8],
    value: Option<&[u8]>,
    (first, second): (Version, Version),
    expires_at: Option<UnixMs>,
    out: &mut Vec<u8>,
) {
    reply::bulk(out, key);
    bulk_version(first, out);
    bulk_version(second, out);
    bulk_expiry(expires_at, out);
    if let Some(value) = value {
        reply::bulk(out, value);
    }
}

fn parse_accept<'a>(
    key: &'a [u8],
    value: Option<&'a [u8]>,
    ballot: &[u8],
    base: &[u8],
    expiry: &[u8],
) -> Result<UpdateRequest<'a>, ParseError> {
    let (ballot, base) = (parse_version(ballot)?, parse_version(base)?);
    Ok(UpdateRequest::Accept { key, value, ballot, base, expires_at: parse_optional_expiry(expiry)? })
}

fn parse_base<'a>(
    key: &'a [u8],
    value: Option<&'a [u8]>,
    ballot: &[u8],
    version: &[u8],
    expiry: &[u8],
) -> Result<UpdateRequest<'a>, ParseError> {
    let (ballot, version) = (parse_version(ballot)?, parse_version(version)?);
    Ok(UpdateRequest::Base { key, value, version, expires_at: parse_optional_expiry(expiry)?, ballot })
}

fn parse_optional_expiry(text: &[u8]) -> Result<Option<UnixMs>, ParseError> {
    if text == NO_EXPIRY { Ok(None) } else { parse_expiry(text).map(Some) }
}

fn parse_id(text: &[u8]) -> Result<u64, ParseError> {
    parse_number(text).ok_or_else(|| wrong_argument("number of a call", text))
}

fn protocol_word(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Resp2 => b"2",
        Protocol::Resp3 => b"3",
    }
}

fn parse_protocol(text: &[u8]) -> Option<Protocol> {
    [Protocol::Resp2, Protocol::Resp3].into_iter().find(|protocol| protocol_word(*protocol) == text)
}
