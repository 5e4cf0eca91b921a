//! What a read command answers about the record that was found.

use crate::codec::{Protocol, reply};
use crate::coordinator::Found;
use crate::store::{Lookup, Record};
use crate::time::UnixMs;

use super::errors::CommandError;
use super::part::Part;
use super::{dump, objects};

/// What is asked about a key's record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// GET: the value.
    Value,
    /// STRLEN: its length in bytes.
    Length,
    /// GETRANGE, GETBIT, BITCOUNT, BITPOS and the like: something about a part of the value.
    Part(Part),
    /// TYPE: what kind of value it is.
    Type,
    /// TTL, PTTL: how much longer it lives, seen from this moment.
    Remaining(TimeUnit, UnixMs),
    /// EXPIRETIME, PEXPIRETIME: when it expires.
    ExpiresAt(TimeUnit),
    /// DUMP: the value in the form that RESTORE takes.
    Payload,
    /// OBJECT ENCODING: how Redis would keep the value.
    Encoding,
    /// OBJECT FREQ: how often it is used.
    Frequency,
    /// OBJECT IDLETIME: for how long it was not used.
    IdleTime,
    /// OBJECT REFCOUNT: how many keys share the value.
    References,
    /// MEMORY USAGE: the bytes that the record takes where it is kept.
    Footprint {
        /// How long the key is.
        key_bytes: usize,
    },
}

/// In which unit a time is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimeUnit {
    Seconds,
    Milliseconds,
}

/// Answers from what this node shows itself, without a copy of the value.
#[inline]
pub(crate) fn lookup(reading: Reading, lookup: Lookup<'_>, protocol: Protocol, out: &mut Vec<u8>) {
    if let (Reading::Value, Some(value)) = (reading, lookup.live().and_then(Record::value)) {
        return reply::bulk(out, value);
    }
    match lookup {
        Lookup::Missing | Lookup::Tombstone { .. } => answer(reading, None, protocol, out),
        Lookup::Live(record) => {
            answer(reading, record.value().map(|value| (value, record.expires_at())), protocol, out);
        }
    }
}

/// Answers from what a quorum found.
pub(crate) fn found(reading: Reading, found: Option<&Found>, protocol: Protocol, out: &mut Vec<u8>) {
    let live = found.and_then(|found| found.value.as_deref().map(|value| (value, found.expires_at)));
    answer(reading, live, protocol, out);
}

/// Answers from the live value and its expiry, if there is one.
fn answer(reading: Reading, live: Option<(&[u8], Option<UnixMs>)>, protocol: Protocol, out: &mut Vec<u8>) {
    match (reading, live) {
        (Reading::Value, Some((value, _))) => reply::bulk(out, value),
        (
            Reading::Value
            | Reading::Payload
            | Reading::Encoding
            | Reading::Frequency
            | Reading::IdleTime
            | Reading::References
            | Reading::Footprint { .. },
            None,
        ) => reply::null(out, protocol),
        (Reading::Length, live) => reply::integer(out, integer(live.map_or(0, |(value, _)| value.len() as u64))),
        (Reading::Part(part), live) => part.answer(live.map(|(value, _)| value), out),
        (Reading::Type, Some(_)) => reply::simple(out, "string"),
        (Reading::Type, None) => reply::simple(out, "none"),
        (Reading::Remaining(..) | Reading::ExpiresAt(_), None) => reply::integer(out, -2),
        (Reading::Remaining(..) | Reading::ExpiresAt(_), Some((_, None))) => reply::integer(out, -1),
        (Reading::Remaining(unit, now), Some((_, Some(at)))) => {
            let rest = at.0.saturating_sub(now.0);
            // Redis rounds to the nearest second.
            reply::integer(
                out,
                integer(if unit == TimeUnit::Seconds { rest.saturating_add(500) / 1000 } else { rest }),
            );
        }
        (Reading::Payload, Some((value, _))) => reply::bulk(out, &dump::encode(value)),
        (Reading::Encoding, Some((value, _))) => reply::bulk(out, objects::encoding(value).as_bytes()),
        (Reading::Frequency, Some(_)) => reply::error(out, &CommandError::FrequencyNotTracked.to_string()),
        (Reading::IdleTime, Some(_)) => reply::error(out, &CommandError::IdleTimeNotTracked.to_string()),
        (Reading::References, Some(_)) => reply::integer(out, 1),
        (Reading::Footprint { key_bytes }, Some((value, expiry))) => {
            reply::integer(out, integer(Record::footprint(key_bytes, value.len(), expiry.is_some()) as u64));
        }
        (Reading::ExpiresAt(unit), Some((_, Some(at)))) => {
            reply::integer(
                out,
                integer(if unit == TimeUnit::Seconds { at.0.saturating_add(500) / 1000 } else { at.0 }),
            );
        }
    }
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
