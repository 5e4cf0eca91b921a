//! EXPIRE and its kin, and PERSIST: until when a key lives.
//!
//! A time that has passed deletes the key and counts as set, as in Redis. A key without an expiry counts as one that
//! expires later than any.

use std::cmp::Ordering;

use smallvec::SmallVec;

use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;
use crate::command::reading::TimeUnit;
use crate::coordinator::{Held, Work};
use crate::time::UnixMs;

use super::Reply;

/// EXPIRE key seconds [NX | XX | GT | LT].
pub(super) fn expire(work: &mut Work<'_>) -> Result<(), CommandError> {
    set(work, TimeUnit::Seconds, since_now(work), "expire")
}

/// PEXPIRE key milliseconds [NX | XX | GT | LT].
pub(super) fn pexpire(work: &mut Work<'_>) -> Result<(), CommandError> {
    set(work, TimeUnit::Milliseconds, since_now(work), "pexpire")
}

/// EXPIREAT key unix-time-seconds [NX | XX | GT | LT].
pub(super) fn expire_at(work: &mut Work<'_>) -> Result<(), CommandError> {
    set(work, TimeUnit::Seconds, 0, "expireat")
}

/// PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT].
pub(super) fn pexpire_at(work: &mut Work<'_>) -> Result<(), CommandError> {
    set(work, TimeUnit::Milliseconds, 0, "pexpireat")
}

/// PERSIST key.
#[expect(clippy::unnecessary_wraps, reason = "the shape of all rules")]
pub(super) fn persist(work: &mut Work<'_>) -> Result<(), CommandError> {
    let held = work.held[0].filter(|held| held.expires_at.is_some());
    if let Some(held) = held {
        work.put(0, held.value.to_vec(), None);
    }
    work.integer(i64::from(held.is_some()));
    Ok(())
}

/// The time from which relative times are counted.
fn since_now(work: &Work<'_>) -> i64 {
    i64::try_from(work.now.0).unwrap_or(i64::MAX)
}

/// Lets the key expire so long after `base`, if it exists and the options allow it.
fn set(work: &mut Work<'_>, unit: TimeUnit, base: i64, command: &'static str) -> Result<(), CommandError> {
    let conditions = Condition::parse(&work.args[3..])?;
    let number = parse_i64(work.args[2]).ok_or(CommandError::NotAnInteger)?;
    let at = unix_ms(number, unit, base).ok_or(CommandError::InvalidExpireTime(command))?;
    let allowed = |held: &Held<'_>| conditions.iter().all(|condition| condition.allows(held.expires_at, at));
    let Some(held) = work.held[0].filter(allowed) else {
        work.integer(0);
        return Ok(());
    };
    match u64::try_from(at).map(UnixMs) {
        Ok(at) if at > work.now => work.put(0, held.value.to_vec(), Some(at)),
        Ok(_) | Err(_) => work.delete(0),
    }
    work.integer(1);
    Ok(())
}

/// `number` of these units after `base`; `None` if that cannot be said in milliseconds.
fn unix_ms(number: i64, unit: TimeUnit, base: i64) -> Option<i64> {
    let ms = match unit {
        TimeUnit::Seconds => number.checked_mul(1000)?,
        TimeUnit::Milliseconds => number,
    };
    ms.checked_add(base)
}

/// Which present expiry a new one may replace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// NX: none.
    None,
    /// XX: any.
    Any,
    /// GT: an earlier one.
    Earlier,
    /// LT: a later one.
    Later,
}

impl Condition {
    fn parse(options: &[&[u8]]) -> Result<SmallVec<[Self; 2]>, CommandError> {
        let names: [(&[u8], Self); 4] =
            [(b"NX", Self::None), (b"XX", Self::Any), (b"GT", Self::Earlier), (b"LT", Self::Later)];
        let named = |option: &&[u8]| names.into_iter().find(|(name, _)| option.eq_ignore_ascii_case(name));
        let mut conditions = SmallVec::new();
        for option in options {
            let (_, condition) = named(option).ok_or_else(|| CommandError::unsupported_option(option))?;
            if !conditions.contains(&condition) {
                conditions.push(condition);
            }
        }
        if conditions.contains(&Self::None) && conditions.len() > 1 {
            return Err(CommandError::ExpireNxWithOthers);
        }
        if conditions.contains(&Self::Earlier) && conditions.contains(&Self::Later) {
            return Err(CommandError::ExpireGtWithLt);
        }
        Ok(conditions)
    }

    /// Whether `at` may replace `present`.
    fn allows(self, present: Option<UnixMs>, at: i64) -> bool {
        let order = present.map_or(Ordering::Less, |present| i128::from(at).cmp(&i128::from(present.0)));
        match self {
            Self::None => present.is_none(),
            Self::Any => present.is_some(),
            Self::Earlier => order == Ordering::Greater,
            Self::Later => order == Ordering::Less,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Bench, NOW};

    // The answers were read off redis-server 7.0.15.

    #[test]
    fn each_command_counts_in_its_unit_from_its_base() {
        let mut bench = Bench::single_node();
        for (command, pttl) in [
            ("EXPIRE k 10".to_owned(), 10_000),
            ("pexpire k 10".to_owned(), 10),
            (format!("EXPIREAT k {}", NOW.0 / 1000 + 2), 1877),
            (format!("PEXPIREAT k {}", NOW.0 + 3), 3),
        ] {
            assert_eq!(bench.ask(&command), ":0\r\n", "{command}");
            bench.ask("SET k v");
            assert_eq!(bench.ask(&command), ":1\r\n", "{command}");
            assert_eq!(bench.ask("PTTL k"), format!(":{pttl}\r\n"), "{command}");
            assert_eq!(bench.ask("GET k"), "$1\r\nv\r\n");
            bench.ask("DEL k");
        }
    }

    #[test]
    fn a_time_that_has_passed_deletes_the_key() {
        let mut bench = Bench::single_node();
        for command in [
            "EXPIRE k 0",
            "EXPIRE k -1",
            "EXPIRE k -1 NX",
            "EXPIRE k -9223372036854775 LT",
            "PEXPIRE k -9223372036854775808",
            "EXPIREAT k 0",
            "PEXPIREAT k 1",
        ] {
            bench.ask("SET k v");
            assert_eq!(bench.ask(command), ":1\r\n", "{command}");
            assert_eq!(bench.ask("EXISTS k"), ":0\r\n", "{command}");
            assert_eq!(bench.ask(command), ":0\r\n", "{command}");
        }
        bench.ask("SET k v EX 100");
        assert_eq!(bench.ask("EXPIRE k -1 GT"), ":0\r\n");
        assert_eq!(bench.ask("TTL k"), ":100\r\n");
    }

    #[test]
    fn conditions_look_at_the_present_expiry() {
        let mut bench = Bench::single_node();
        bench.ask("SET k v");
        for (options, answer) in [
            ("10 GT", 0),
            ("10 XX", 0),
            ("10 LT", 1),
            ("20 LT", 0),
            ("10 lt", 0),
            ("20 nx", 0),
            ("20 gt", 1),
            ("20 GT", 0),
            ("30 XX GT", 1),
            ("10 LT XX", 1),
            ("5 NX NX", 0),
            ("7 xx", 1),
        ] {
            assert_eq!(bench.ask(&format!("EXPIRE k {options}")), format!(":{answer}\r\n"), "{options}");
        }
        assert_eq!(bench.ask("TTL k"), ":7\r\n");
        bench.ask("SET k v");
        assert_eq!(bench.ask("EXPIRE k 10 NX"), ":1\r\n");
        bench.ask("SET k v");
        assert_eq!(bench.ask("EXPIRE k 10 XX LT"), ":0\r\n");
    }

    #[test]
    fn what_is_wrong_with_the_words_is_said_as_redis_says_it() {
        let mut bench = Bench::single_node();
        for (request, error) in [
            ("EXPIRE k abc", "ERR value is not an integer or out of range"),
            ("EXPIRE k abc FOO", "ERR Unsupported option FOO"),
            ("PEXPIRE k x y z", "ERR Unsupported option y"),
            ("EXPIRE k 1 ''", "ERR Unsupported option "),
            ("EXPIRE k 10 NX XX", "ERR NX and XX, GT or LT options at the same time are not compatible"),
            ("EXPIRE k abc NX GT", "ERR NX and XX, GT or LT options at the same time are not compatible"),
            ("EXPIRE k 10 GT LT", "ERR GT and LT options at the same time are not compatible"),
            ("EXPIRE k 9223372036854775807", "ERR invalid expire time in 'expire' command"),
            ("EXPIRE k 9223372036854775", "ERR invalid expire time in 'expire' command"),
            ("EXPIRE k -9223372036854775808", "ERR invalid expire time in 'expire' command"),
            ("PEXPIRE k 9223372036854775807", "ERR invalid expire time in 'pexpire' command"),
            ("EXPIREAT k 9223372036854775807", "ERR invalid expire time in 'expireat' command"),
            ("EXPIRE k", "ERR wrong number of arguments for 'expire' command"),
        ] {
            assert_eq!(bench.ask(request), format!("-{error}\r\n"), "{request}");
        }
        bench.ask("SET k v");
        assert_eq!(bench.ask("PEXPIREAT k 9223372036854775807"), ":1\r\n");
        assert_eq!(bench.ask("PEXPIRETIME k"), ":9223372036854775807\r\n");
    }

    #[test]
    fn persist_takes_an_expiry_away_once() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("PERSIST k"), ":0\r\n");
        bench.ask("SET k v EX 10");
        assert_eq!(bench.ask("PERSIST k"), ":1\r\n");
        assert_eq!(bench.ask("PERSIST k"), ":0\r\n");
        assert_eq!((bench.ask("TTL k"), bench.ask("GET k")), (":-1\r\n".to_owned(), "$1\r\nv\r\n".to_owned()));
    }
}
