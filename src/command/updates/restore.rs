//! RESTORE: a value from a payload of DUMP, with or without a time to live.

use crate::command::dump;
use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;
use crate::coordinator::Work;
use crate::time::UnixMs;

use super::Reply;

/// RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency].
///
/// IDLETIME and FREQ are checked and then forgotten, for nothing tracks them. A time to live that ends beyond all time
/// is refused; Redis overflows there and deletes the key.
pub(super) fn restore(work: &mut Work<'_>) -> Result<(), CommandError> {
    let options = Options::parse(&work.args[4..])?;
    if work.held[0].is_some() && !options.replace {
        return Err(CommandError::BusyKey);
    }
    let ttl = parse_i64(work.args[2]).ok_or(CommandError::NotAnInteger)?;
    let ttl = u64::try_from(ttl).map_err(|_| CommandError::InvalidTtl)?;
    let value = dump::decode(work.args[3])?;
    let expires_at = match ttl {
        0 => None,
        at if options.is_absolute => Some(UnixMs(at)),
        ms => Some(work.now.0 + ms).filter(|&at| i64::try_from(at).is_ok()).map(UnixMs),
    };
    match expires_at {
        None if ttl > 0 => return Err(CommandError::InvalidExpireTime("restore")),
        Some(at) if at <= work.now => work.delete(0),
        expires_at => work.put(0, value, expires_at),
    }
    work.ok();
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Options {
    replace: bool,
    /// ABSTTL: the time to live is a point in time.
    is_absolute: bool,
}

/// Which of the two notions of use was given: they exclude each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Usage {
    IdleTime,
    Frequency,
}

impl Options {
    fn parse(words: &[&[u8]]) -> Result<Self, CommandError> {
        let (mut options, mut usage) = (Self::default(), None);
        let mut words = words.iter();
        while let Some(option) = words.next() {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            match () {
                () if is("REPLACE") => options.replace = true,
                () if is("ABSTTL") => options.is_absolute = true,
                () if is("IDLETIME") && usage != Some(Usage::Frequency) => {
                    usage = Some(Usage::IdleTime);
                    if number(words.next())? < 0 {
                        return Err(CommandError::InvalidIdleTime);
                    }
                }
                () if is("FREQ") && usage != Some(Usage::IdleTime) => {
                    usage = Some(Usage::Frequency);
                    if !(0..=255).contains(&number(words.next())?) {
                        return Err(CommandError::InvalidFrequency);
                    }
                }
                () => return Err(CommandError::Syntax),
            }
        }
        Ok(options)
    }
}

fn number(word: Option<&&[u8]>) -> Result<i64, CommandError> {
    parse_i64(word.ok_or(CommandError::Syntax)?).ok_or(CommandError::NotAnInteger)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Bench, NOW};

    // The answers were read off redis-server 7.0.15.

    /// The payload of `a`, quoted for an inline request.
    const A: &str = r#""\x00\x01a\x0a\x00\xbf\xfe\xef\x9b\x8f6}\xb4""#;

    const OK: &str = "+OK\r\n";

    #[test]
    fn what_was_dumped_is_restored_under_another_key() {
        let mut bench = Bench::single_node();
        bench.ask("SET k 12345678901");
        let dumped = bench.ask_for_bytes("DUMP k");
        assert_eq!(dumped, b"$23\r\n\x00\x0b12345678901\x0a\x000NR\xd7'\x17e\x10\r\n");
        assert_eq!(bench.ask("DUMP nope"), "$-1\r\n");
        assert_eq!(bench.ask(&format!("RESTORE r 0 {A}")), OK);
        assert_eq!((bench.ask("GET r"), bench.ask("TTL r")), ("$1\r\na\r\n".to_owned(), ":-1\r\n".to_owned()));
    }

    #[test]
    fn the_time_to_live_counts_from_now_or_is_a_point_in_time() {
        let mut bench = Bench::single_node();
        let absolute = NOW.0 + 5;
        for (options, pttl) in [
            (format!("1000 {A}"), 1000),
            (format!("{absolute} {A} ABSTTL"), 5),
            (format!("0 {A} absttl"), -1),
            (format!("1 {A} ABSTTL"), -2),
        ] {
            assert_eq!(bench.ask(&format!("RESTORE k {options} REPLACE")), OK, "{options}");
            assert_eq!(bench.ask("PTTL k"), format!(":{pttl}\r\n"), "{options}");
        }
        assert_eq!(bench.ask(&format!("RESTORE k 9223372036854775807 {A} ABSTTL")), OK);
        assert_eq!(bench.ask("PEXPIRETIME k"), ":9223372036854775807\r\n");
        let refused = bench.ask(&format!("RESTORE k 9223372036854775807 {A} REPLACE"));
        assert_eq!(refused, "-ERR invalid expire time in 'restore' command\r\n", "our own: Redis deletes the key");
        assert_eq!(bench.ask("PEXPIRETIME k"), ":9223372036854775807\r\n");
    }

    #[test]
    fn a_key_that_exists_stays_unless_it_may_be_replaced() {
        let mut bench = Bench::single_node();
        bench.ask("SET k v");
        for words in [format!("0 {A}"), format!("x {A}"), "-1 bad".to_owned(), format!("0 {A} FREQ 5 FREQ 6")] {
            let answer = bench.ask(&format!("RESTORE k {words}"));
            assert_eq!(answer, "-BUSYKEY Target key name already exists.\r\n", "{words}");
        }
        assert_eq!(bench.ask(&format!("RESTORE k 0 {A} replace")), OK);
        assert_eq!(bench.ask("GET k"), "$1\r\na\r\n");
    }

    #[test]
    fn what_is_wrong_with_the_words_is_said_in_the_order_of_redis() {
        let mut bench = Bench::single_node();
        bench.ask("SET k v");
        for (words, error) in [
            (format!("x {A} REPLACE"), "value is not an integer or out of range"),
            ("-1 bad REPLACE".to_owned(), "Invalid TTL value, must be >= 0"),
            ("0 bad REPLACE".to_owned(), "DUMP payload version or checksum are wrong"),
            (format!("0 {A} FOO"), "syntax error"),
            (format!("0 {A} IDLETIME"), "syntax error"),
            (format!("0 {A} IDLETIME x"), "value is not an integer or out of range"),
            (format!("0 {A} IDLETIME -1"), "Invalid IDLETIME value, must be >= 0"),
            (format!("0 {A} FREQ 256"), "Invalid FREQ value, must be >= 0 and <= 255"),
            (format!("0 {A} FREQ -1"), "Invalid FREQ value, must be >= 0 and <= 255"),
            (format!("0 {A} FREQ 5 IDLETIME 5"), "syntax error"),
            (format!("0 {A} IDLETIME 5 FREQ 5"), "syntax error"),
        ] {
            assert_eq!(bench.ask(&format!("RESTORE k {words}")), format!("-ERR {error}\r\n"), "{words}");
        }
        for options in ["IDLETIME 5", "freq 255", "IDLETIME 5 IDLETIME 6"] {
            assert_eq!(bench.ask(&format!("RESTORE k 0 {A} REPLACE {options}")), OK, "{options}");
        }
        assert_eq!(bench.ask("RESTORE k 0"), "-ERR wrong number of arguments for 'restore' command\r\n");
    }

    #[test]
    fn a_payload_of_another_type_is_refused_by_its_name() {
        let mut bench = Bench::single_node();
        let list = r#""\x12\x01\x02\x0a\x0a\x00\x00\x00\x01\x00\x81a\x02\xff\x0a\x00\x09\xb9\xed\xf5\x94\xde\xd9\x95""#;
        let answer = bench.ask(&format!("RESTORE k 0 {list}"));
        assert_eq!(answer, "-ERR the payload holds a list, and only strings can be kept here\r\n");
        assert_eq!(bench.ask("EXISTS k"), ":0\r\n");
    }
}
