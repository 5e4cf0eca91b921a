//! The options of SET: when the key expires.
//!
//! Redis reads all options first and looks at the number afterwards, so a misspelt option outranks a bad number. The
//! same option may be repeated and the last one counts; two different ones are a syntax error. A point in time that
//! has passed is legal: the key is then written and gone at once.
//!
//! NX, XX, GET and KEEPTTL need to read and write in one step, which no quorum of equal nodes offers; they are a
//! syntax error, and the command table does not list them.

use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;
use crate::time::UnixMs;

/// What SET was told beyond key and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetOptions {
    /// When the key expires, if ever: at most `i64::MAX`, perhaps in the past.
    pub expires_at: Option<UnixMs>,
}

/// The four ways to say when.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Ex,
    Px,
    ExAt,
    PxAt,
}

/// Reads the arguments of SET after key and value, at the time `now`.
///
/// # Errors
/// What Redis answers: a syntax error, not an integer, or an invalid expire time.
pub fn parse_set_options<'a>(
    args: impl IntoIterator<Item = &'a [u8]>,
    now: UnixMs,
) -> Result<SetOptions, CommandError> {
    let mut args = args.into_iter();
    let mut chosen: Option<(Unit, &[u8])> = None;
    while let Some(option) = args.next() {
        let unit = Unit::named(option).ok_or(CommandError::Syntax)?;
        if chosen.is_some_and(|(earlier, _)| earlier != unit) {
            return Err(CommandError::Syntax);
        }
        chosen = Some((unit, args.next().ok_or(CommandError::Syntax)?));
    }
    let expires_at = chosen.map(|(unit, text)| unit.expiry(text, now)).transpose()?;
    Ok(SetOptions { expires_at })
}

impl Unit {
    /// The option with this name, in any case.
    fn named(option: &[u8]) -> Option<Self> {
        let names: [(&[u8], Self); 4] =
            [(b"EX", Self::Ex), (b"PX", Self::Px), (b"EXAT", Self::ExAt), (b"PXAT", Self::PxAt)];
        names.into_iter().find(|(name, _)| option.eq_ignore_ascii_case(name)).map(|(_, unit)| unit)
    }

    /// The point in time that `text` names in this unit.
    fn expiry(self, text: &[u8], now: UnixMs) -> Result<UnixMs, CommandError> {
        let number = parse_i64(text).ok_or(CommandError::NotAnInteger)?;
        self.unix_ms(number, now).ok_or(CommandError::InvalidExpireTime("set"))
    }

    /// `number` in this unit as an absolute time; `None` unless it and its outcome are within 1 to `i64::MAX`.
    fn unix_ms(self, number: i64, now: UnixMs) -> Option<UnixMs> {
        let scaled = match self {
            Self::Ex | Self::ExAt => number.checked_mul(1000)?,
            Self::Px | Self::PxAt => number,
        };
        let base = match self {
            Self::Ex | Self::Px => i64::try_from(now.0).ok()?,
            Self::ExAt | Self::PxAt => 0,
        };
        if number <= 0 {
            return None;
        }
        u64::try_from(base.checked_add(scaled)?).ok().map(UnixMs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_700_000_000_123);

    fn parse(options: &str) -> Result<SetOptions, CommandError> {
        parse_set_options(options.split_whitespace().map(str::as_bytes), NOW)
    }

    fn expiry(options: &str) -> Option<u64> {
        parse(options).unwrap().expires_at.map(|at| at.0)
    }

    #[test]
    fn no_option_means_no_expiry() {
        assert_eq!(parse(""), Ok(SetOptions { expires_at: None }));
    }

    #[test]
    fn each_option_names_its_point_in_time_in_any_case() {
        assert_eq!(expiry("EX 5"), Some(NOW.0 + 5000));
        assert_eq!(expiry("pX 5"), Some(NOW.0 + 5));
        assert_eq!(expiry("exat 1700000001"), Some(1_700_000_001_000));
        assert_eq!(expiry("PxAt 1700000000124"), Some(1_700_000_000_124));
    }

    // The expectations from here on were read off redis-server 7.0.15.

    #[test]
    fn a_time_that_has_passed_is_legal() {
        assert_eq!(expiry("exat 1"), Some(1000));
        assert_eq!(expiry("pxat 1"), Some(1));
    }

    #[test]
    fn the_last_of_a_repeated_option_counts() {
        assert_eq!(expiry("EX 5 ex 6"), Some(NOW.0 + 6000));
        assert_eq!(expiry("EX abc ex 6"), Some(NOW.0 + 6000));
    }

    #[test]
    fn conflicting_unknown_and_unfinished_options_are_syntax_errors() {
        for options in ["ex", "ex 5 px 6", "ex 5 px", "px 5 pxat 6", "foo", "ex 5 foo", "ex abc foo", "ex 0 foo", "5"] {
            assert_eq!(parse(options), Err(CommandError::Syntax), "{options}");
        }
        assert_eq!(parse_set_options([b"ex".as_slice(), b"5", b""], NOW), Err(CommandError::Syntax));
    }

    #[test]
    fn options_that_are_not_offered_are_syntax_errors() {
        for options in ["NX", "XX", "GET", "KEEPTTL", "NX EX 5", "EX 5 NX", "PERSIST"] {
            assert_eq!(parse(options), Err(CommandError::Syntax), "{options}");
        }
    }

    #[test]
    fn what_is_no_strict_integer_is_refused() {
        for text in ["abc", "ex", "+5", " 5", "5 ", "05", "", "1.5", "9223372036854775808"] {
            for option in ["EX", "PX", "EXAT", "PXAT"] {
                let parsed = parse_set_options([option.as_bytes(), text.as_bytes()], NOW);
                assert_eq!(parsed, Err(CommandError::NotAnInteger), "{option} {text:?}");
            }
        }
    }

    #[test]
    fn times_out_of_range_are_invalid() {
        for options in [
            "ex 0",
            "px 0",
            "exat 0",
            "pxat 0",
            "ex -1",
            "pxat -5",
            "exat -1",
            "px -9223372036854775808",
            "ex -9223372036854775808",
            "ex 9223372036854775807",
            "px 9223372036854775807",
            "ex 9223372036854775",
            "exat 9223372036854775807",
            "exat 9223372036854776",
        ] {
            assert_eq!(parse(options), Err(CommandError::InvalidExpireTime("set")), "{options}");
        }
    }

    #[test]
    fn the_largest_times_are_taken() {
        assert_eq!(expiry("exat 9223372036854775"), Some(9_223_372_036_854_775_000));
        assert_eq!(expiry("pxat 9223372036854775807"), Some(9_223_372_036_854_775_807));
    }
}
