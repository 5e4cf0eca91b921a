//! SCAN, KEYS and RANDOMKEY: what the client asks for and what it is told. The walk itself is the coordinator's.
//!
//! A pattern that can only match keys of one slot (it has no wildcard, or none before the end of its `{hash tag}`) is
//! looked for there alone.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;

use crate::codec::{Protocol, reply};
use crate::coordinator::{ConsistentHashingKvStore, QuorumError, ScanRange, ScannedKeys};
use crate::ring::{KeyPlace, Slot};

use super::dispatch::{ClusterWide, Context, Flow};
use super::errors::CommandError;
use super::glob::{Case, matches};
use super::integer::parse_i64;

/// How many keys a SCAN looks at that does not say so, as in Redis.
const COUNT_DEFAULT: usize = 10;
/// The type that all values have.
const TYPE: &[u8] = b"string";
/// Bytes that the answer to KEYS may come to: it is in memory as a whole.
pub(super) const KEYS_BYTES_MAX: usize = 256 << 20;

/// SCAN, as it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ScanOrder {
    /// Where to go on; `None` if all has been seen.
    range: Option<ScanRange>,
    count: usize,
    pattern: Pattern,
}

/// Which keys are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Pattern {
    Any,
    Glob(Bytes),
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type].
pub(super) fn scan(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let args: Vec<&[u8]> = context.request.args().collect();
    let order = parse(&args[1..], |index| context.request.bytes(index + 1))?;
    Ok(Flow::wait_for(ClusterWide::Scan(order)))
}

/// KEYS pattern.
pub(super) fn keys(context: &mut Context<'_>) -> Flow {
    Flow::wait_for(ClusterWide::Keys(Pattern::new(context.request.bytes(1))))
}

/// Reads what follows the command's name; `owned` is a copy of one of the words.
fn parse(args: &[&[u8]], owned: impl Fn(usize) -> Bytes) -> Result<ScanOrder, CommandError> {
    let cursor = parse_cursor(args[0]).ok_or(CommandError::InvalidCursor)?;
    let (mut count, mut pattern, mut is_any_type) = (COUNT_DEFAULT, Pattern::Any, true);
    for index in (1..args.len()).step_by(2) {
        let value = args.get(index + 1).ok_or(CommandError::Syntax)?;
        match args[index].to_ascii_lowercase().as_slice() {
            b"count" => {
                let number = parse_i64(value).ok_or(CommandError::NotAnInteger)?;
                count = usize::try_from(number).ok().filter(|&count| count > 0).ok_or(CommandError::Syntax)?;
            }
            b"match" => pattern = Pattern::new(owned(index + 1)),
            b"type" => is_any_type = value.eq_ignore_ascii_case(TYPE),
            _ => return Err(CommandError::Syntax),
        }
    }
    let range = KeyPlace::from_cursor(cursor).filter(|_| is_any_type).map(|place| pattern.range().from(place));
    Ok(ScanOrder { range, count, pattern })
}

/// Reads a cursor as C's `strtoul` does, for Redis does: an empty one is 0, and one below 0 is far beyond the last key.
fn parse_cursor(text: &[u8]) -> Option<u64> {
    let (is_negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number: u64 = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
    Some(if is_negative { number.wrapping_neg() } else { number })
}

impl Pattern {
    fn new(glob: Bytes) -> Self {
        if glob == b"*".as_slice() { Self::Any } else { Self::Glob(glob) }
    }

    fn matches(&self, key: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Glob(glob) => matches(glob, key, Case::Sensitive),
        }
    }

    /// Where there may be keys that match.
    fn range(&self) -> ScanRange {
        match self {
            Self::Any => ScanRange::ALL,
            Self::Glob(glob) => slot_of(glob).map_or(ScanRange::ALL, ScanRange::slot),
        }
    }
}

/// The slot of all keys that a pattern may match, if it is one.
fn slot_of(glob: &[u8]) -> Option<Slot> {
    let literal = glob.iter().position(|byte| b"*?[\\".contains(byte)).map_or(glob, |end| &glob[..end]);
    let has_tag = || {
        let open = memchr::memchr(b'{', literal)?;
        memchr::memchr(b'}', &literal[open + 1..]).filter(|&length| length > 0)
    };
    (literal.len() == glob.len() || has_tag().is_some()).then(|| Slot::of_key(literal))
}

/// Serves SCAN.
pub(super) async fn serve_scan(
    store: &ConsistentHashingKvStore,
    order: ScanOrder,
    out: &mut Vec<u8>,
) -> Result<(), QuorumError> {
    let scanned = match order.range {
        Some(range) => store.scan(range, order.count).await?,
        None => ScannedKeys::default(),
    };
    let found: Vec<&Bytes> = scanned.keys.iter().filter(|key| order.pattern.matches(key)).collect();
    reply::array(out, 2);
    reply::bulk(out, scanned.next.map_or(0, KeyPlace::cursor).to_string().as_bytes());
    reply::array(out, found.len());
    for key in found {
        reply::bulk(out, key);
    }
    Ok(())
}

/// Serves KEYS. What matches is kept in the form in which it is sent, and bounded by [`KEYS_BYTES_MAX`].
pub(super) async fn serve_keys(
    store: &ConsistentHashingKvStore,
    pattern: &Pattern,
    out: &mut Vec<u8>,
) -> Result<(), QuorumError> {
    let (mut count, mut found) = (0, Vec::new());
    let collect = |key: &[u8]| {
        if pattern.matches(key) {
            count += 1;
            reply::bulk(&mut found, key);
        }
        found.len() <= KEYS_BYTES_MAX
    };
    store.walk(pattern.range(), collect).await?;
    if found.len() > KEYS_BYTES_MAX {
        reply::error(out, &CommandError::TooManyKeys.to_string());
        return Ok(());
    }
    reply::array(out, count);
    out.append(&mut found);
    Ok(())
}

/// Serves RANDOMKEY.
pub(super) async fn serve_random_key(
    store: &ConsistentHashingKvStore,
    protocol: Protocol,
    out: &mut Vec<u8>,
) -> Result<(), QuorumError> {
    // Each state of this kind is seeded anew.
    let (chance, mut draws) = (RandomState::new(), 0_u64);
    let draw = move || {
        draws += 1;
        chance.hash_one(draws)
    };
    match store.random_key(draw).await? {
        Some(key) => reply::bulk(out, &key),
        None => reply::null(out, protocol),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    fn order(line: &str) -> Result<ScanOrder, String> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        parse(&args, |index| Bytes::copy_from_slice(args[index])).map_err(|error| error.to_string())
    }

    #[test]
    fn mistakes_are_told_in_the_words_of_redis() {
        // Read off redis-server 7.0.15.
        for (line, text) in [
            ("abc", "ERR invalid cursor"),
            ("1.5", "ERR invalid cursor"),
            ("0xff", "ERR invalid cursor"),
            ("5x", "ERR invalid cursor"),
            ("-", "ERR invalid cursor"),
            ("18446744073709551616", "ERR invalid cursor"),
            ("abc COUNT x", "ERR invalid cursor"),
            ("0 COUNT", "ERR syntax error"),
            ("0 COUNT 0", "ERR syntax error"),
            ("0 COUNT -1", "ERR syntax error"),
            ("0 COUNT abc", "ERR value is not an integer or out of range"),
            ("0 COUNT 1.5", "ERR value is not an integer or out of range"),
            ("0 COUNT 9223372036854775808", "ERR value is not an integer or out of range"),
            ("0 COUNT x FOO", "ERR value is not an integer or out of range"),
            ("0 COUNT 5 FOO", "ERR syntax error"),
            ("0 FOO", "ERR syntax error"),
            ("0 FOO bar", "ERR syntax error"),
            ("0 MATCH", "ERR syntax error"),
            ("0 TYPE", "ERR syntax error"),
        ] {
            assert_eq!(order(line), Err(text.to_owned()), "{line}");
        }
    }

    #[test]
    fn cursors_are_read_as_redis_reads_them() {
        let place = |line: &str| order(line).map(|order| order.range.map(|range| range.from.cursor()));
        for (line, cursor) in [("0", Some(0)), ("", Some(0)), ("+5", Some(5)), ("007", Some(7)), ("-1", None)] {
            assert_eq!(place(line), Ok(cursor), "{line}");
        }
        assert_eq!(place("9223372036854775807"), Ok(Some((1 << 63) - 1)));
        assert_eq!(place("18446744073709551615"), Ok(None));
    }

    #[test]
    fn the_last_of_repeated_options_counts_and_other_types_match_nothing() {
        let all = ScanOrder { range: Some(ScanRange::ALL), count: 10, pattern: Pattern::Any };
        for line in ["0", "0 MATCH *", "0 TYPE STRING", "0 type list Type string", "0 COUNT 7 count 10"] {
            assert_eq!(order(line).as_ref(), Ok(&all), "{line}");
        }
        for line in ["0 TYPE list", "0 TYPE nosuch", "0 TYPE none", "0 TYPE string TYPE list"] {
            assert_eq!(order(line), Ok(ScanOrder { range: None, ..all.clone() }), "{line}");
        }
        let matching = order("0 MATCH a* MATCH b*").unwrap().pattern;
        assert!(matching.matches(b"b1") && !matching.matches(b"a1"));
    }

    #[test]
    fn patterns_that_can_match_in_one_slot_alone_are_looked_for_there() {
        for (glob, key) in
            [("foo", "foo"), ("{a}*", "{a}"), ("x{a}*{b}", "x{a}"), ("{a}[bc]", "{a}"), ("", ""), ("{}", "{}")]
        {
            assert_eq!(slot_of(glob.as_bytes()), Some(Slot::of_key(key.as_bytes())), "{glob}");
        }
        for glob in ["*", "foo*", "?{a}", "{a*}", "{}*", "{a", "{a?", "\\{a}*", "[{]a}*", "fo\\o"] {
            let expected = if glob == "{a" { Some(Slot::of_key(b"{a")) } else { None };
            assert_eq!(slot_of(glob.as_bytes()), expected, "{glob}");
        }
    }

    #[test]
    fn a_cursor_behind_the_slot_of_a_pattern_is_at_the_end() {
        let slot = Slot::of_key(b"{a}");
        let behind = KeyPlace::new(Slot::new(slot.number() + 1).unwrap(), 0).cursor();
        assert!(order(&format!("{behind} MATCH {{a}}*")).unwrap().range.unwrap().is_over());
        let within = KeyPlace::new(slot, 5).cursor();
        assert_eq!(order(&format!("{within} MATCH {{a}}*")).unwrap().range.unwrap().from.cursor(), within);
        assert_eq!(order("0 MATCH {a}*").unwrap().range, Some(ScanRange::slot(slot)));
    }

    #[tokio::test]
    async fn answers_have_the_shape_of_redis() {
        let mut bench = Bench::single_node();
        let mut out = Vec::new();
        serve_random_key(&bench.server.store, Protocol::Resp2, &mut out).await.unwrap();
        serve_random_key(&bench.server.store, Protocol::Resp3, &mut out).await.unwrap();
        serve_keys(&bench.server.store, &Pattern::Any, &mut out).await.unwrap();
        serve_scan(&bench.server.store, order("0").unwrap(), &mut out).await.unwrap();
        serve_scan(&bench.server.store, order("-1").unwrap(), &mut out).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&out), "$-1\r\n_\r\n*0\r\n*2\r\n$1\r\n0\r\n*0\r\n*2\r\n$1\r\n0\r\n*0\r\n");
        bench.ask_together(&["MSET a 1 b 2 c 3", "SET d 4 PXAT 1"]);
        out.clear();
        serve_keys(&bench.server.store, &Pattern::new(Bytes::from_static(b"[bd]")), &mut out).await.unwrap();
        serve_scan(&bench.server.store, order("0 MATCH c").unwrap(), &mut out).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&out), "*1\r\n$1\r\nb\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\nc\r\n");
    }
}
