//! The options of SET and GETEX: when the key expires, and on what the write depends.
//!
//! Redis reads all options first and looks at the number afterwards, so a misspelt option outranks a bad number. The
//! same option may be repeated and the last one counts; two that contradict each other are a syntax error. A point in
//! time that has passed is legal: the key is then written and gone at once. IFEQ is Valkey's: the key has to hold just
//! that value. It cannot be repeated, as there.

use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;
use crate::time::UnixMs;

/// What SET was told beyond key and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetOptions<'a> {
    /// When the key expires.
    pub expiry: Expiry,
    /// What has to be so for the key to be written.
    pub condition: Option<Condition<'a>>,
    /// GET: the answer is what the key held before.
    pub returns_old: bool,
}

/// When a key that is written expires.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expiry {
    /// Never.
    #[default]
    Never,
    /// KEEPTTL: when it did before.
    Kept,
    /// Then: at most `i64::MAX`, perhaps in the past.
    At(UnixMs),
}

/// What a key has to hold for SET to write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition<'a> {
    /// NX: nothing.
    Absent,
    /// XX: anything.
    Present,
    /// IFEQ: this.
    Equal(&'a [u8]),
}

/// What GETEX does to a key's expiry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GetExOptions<'a>(Option<Lifetime<'a>>);

/// What becomes of a key's expiry, in the client's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lifetime<'a> {
    Until(Unit, &'a [u8]),
    Kept,
    Endless,
}

/// The four ways to say when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
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
) -> Result<SetOptions<'a>, CommandError> {
    let mut args = args.into_iter();
    let (mut condition, mut lifetime, mut returns_old) = (None, None, false);
    while let Some(option) = args.next() {
        if option.eq_ignore_ascii_case(b"GET") {
            returns_old = true;
        } else if let Some(next) = Condition::named(option, &mut args)? {
            let repeated = condition == Some(next) && !matches!(next, Condition::Equal(_));
            if condition.is_some() && !repeated {
                return Err(CommandError::Syntax);
            }
            condition = Some(next);
        } else {
            let next = Lifetime::named(option, &mut args)?.filter(|next| *next != Lifetime::Endless);
            lifetime = Some(next.ok_or(CommandError::Syntax)?.after(lifetime)?);
        }
    }
    let expiry = match lifetime {
        None | Some(Lifetime::Endless) => Expiry::Never,
        Some(Lifetime::Kept) => Expiry::Kept,
        Some(Lifetime::Until(unit, text)) => Expiry::At(unit.expiry(text, now, "set")?),
    };
    Ok(SetOptions { expiry, condition, returns_old })
}

/// Reads the arguments of GETEX after the key. The number is looked at later, where the key exists.
///
/// # Errors
/// A syntax error.
pub fn parse_get_ex_options<'a>(args: impl IntoIterator<Item = &'a [u8]>) -> Result<GetExOptions<'a>, CommandError> {
    let mut args = args.into_iter();
    let mut lifetime = None;
    while let Some(option) = args.next() {
        let next = Lifetime::named(option, &mut args)?.filter(|next| *next != Lifetime::Kept);
        lifetime = Some(next.ok_or(CommandError::Syntax)?.after(lifetime)?);
    }
    Ok(GetExOptions(lifetime))
}

impl SetOptions<'_> {
    /// Whether this SET needs to know what the key holds.
    pub(crate) fn depends(&self) -> bool {
        self.condition.is_some() || self.returns_old || self.expiry == Expiry::Kept
    }
}

impl Expiry {
    /// When the key expires that expired at `before`, if ever.
    pub(crate) fn after(self, before: Option<UnixMs>) -> Option<UnixMs> {
        match self {
            Self::Never => None,
            Self::Kept => before,
            Self::At(at) => Some(at),
        }
    }
}

impl GetExOptions<'_> {
    /// When the key expires from now on.
    ///
    /// # Errors
    /// Not an integer, or an invalid expire time.
    pub(crate) fn expiry(self, now: UnixMs) -> Result<Expiry, CommandError> {
        match self.0 {
            None | Some(Lifetime::Kept) => Ok(Expiry::Kept),
            Some(Lifetime::Endless) => Ok(Expiry::Never),
            Some(Lifetime::Until(unit, text)) => unit.expiry(text, now, "getex").map(Expiry::At),
        }
    }
}

impl<'a> Condition<'a> {
    /// The condition that begins with `option`, if one does.
    fn named(option: &[u8], args: &mut impl Iterator<Item = &'a [u8]>) -> Result<Option<Self>, CommandError> {
        Ok(if option.eq_ignore_ascii_case(b"NX") {
            Some(Self::Absent)
        } else if option.eq_ignore_ascii_case(b"XX") {
            Some(Self::Present)
        } else if option.eq_ignore_ascii_case(b"IFEQ") {
            Some(Self::Equal(args.next().ok_or(CommandError::Syntax)?))
        } else {
            None
        })
    }
}

impl<'a> Lifetime<'a> {
    /// What begins with `option`, if anything does.
    fn named(option: &[u8], args: &mut impl Iterator<Item = &'a [u8]>) -> Result<Option<Self>, CommandError> {
        Ok(if let Some(unit) = Unit::named(option) {
            Some(Self::Until(unit, args.next().ok_or(CommandError::Syntax)?))
        } else if option.eq_ignore_ascii_case(b"KEEPTTL") {
            Some(Self::Kept)
        } else if option.eq_ignore_ascii_case(b"PERSIST") {
            Some(Self::Endless)
        } else {
            None
        })
    }

    /// This, unless an earlier option says something of another kind.
    fn after(self, earlier: Option<Self>) -> Result<Self, CommandError> {
        let agrees = match (earlier, self) {
            (None, _) => true,
            (Some(Self::Until(earlier, _)), Self::Until(unit, _)) => earlier == unit,
            (Some(earlier), _) => earlier == self,
        };
        if agrees { Ok(self) } else { Err(CommandError::Syntax) }
    }
}

impl Unit {
    /// The option with this name, in any case.
    fn named(option: &[u8]) -> Option<Self> {
        let names: [(&[u8], Self); 4] =
            [(b"EX", Self::Ex), (b"PX", Self::Px), (b"EXAT", Self::ExAt), (b"PXAT", Self::PxAt)];
        names.into_iter().find(|(name, _)| option.eq_ignore_ascii_case(name)).map(|(_, unit)| unit)
    }

    /// The point in time that `text` names in this unit, for `command`.
    pub(crate) fn expiry(self, text: &[u8], now: UnixMs, command: &'static str) -> Result<UnixMs, CommandError> {
        let number = parse_i64(text).ok_or(CommandError::NotAnInteger)?;
        self.unix_ms(number, now).ok_or(CommandError::InvalidExpireTime(command))
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

    fn parse(options: &str) -> Result<SetOptions<'_>, CommandError> {
        parse_set_options(options.split_whitespace().map(str::as_bytes), NOW)
    }

    fn expiry(options: &str) -> Option<u64> {
        let options = parse(options).unwrap();
        assert!(!options.depends());
        options.expiry.after(None).map(|at| at.0)
    }

    #[test]
    fn no_option_means_no_expiry() {
        assert_eq!(parse(""), Ok(SetOptions::default()));
        assert_eq!(expiry(""), None);
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
    fn options_that_contradict_or_do_not_exist_are_syntax_errors() {
        for options in ["PERSIST", "NX XX", "XX nx", "KEEPTTL EX 5", "EX 5 KEEPTTL", "NX PERSIST", "IFNE a", "KEEP"] {
            assert_eq!(parse(options), Err(CommandError::Syntax), "{options}");
        }
    }

    #[test]
    fn conditions_and_get_are_read_in_any_order_and_case() {
        let (absent, present) = (Some(Condition::Absent), Some(Condition::Present));
        let options = |options| parse(options).unwrap();
        assert_eq!(options("nX"), SetOptions { condition: absent, ..SetOptions::default() });
        assert_eq!(options("XX xx keepttl KEEPTTL").condition, present);
        assert_eq!(options("XX keepttl").expiry, Expiry::Kept);
        assert_eq!(
            options("GET ex 1 nx get"),
            SetOptions { expiry: Expiry::At(UnixMs(NOW.0 + 1000)), condition: absent, returns_old: true }
        );
        for options in ["NX", "XX EX 5", "GET", "KEEPTTL", "IFEQ a"] {
            assert!(parse(options).unwrap().depends(), "{options}");
        }
    }

    #[test]
    fn a_value_to_compare_with_is_any_word_and_stands_alone() {
        assert_eq!(parse("IFEQ nx get").unwrap().condition, Some(Condition::Equal(b"nx")));
        for options in ["ifeq", "IFEQ a NX", "XX IFEQ a", "IFEQ a IFEQ a", "IFEQ a XX"] {
            assert_eq!(parse(options), Err(CommandError::Syntax), "{options}");
        }
    }

    #[test]
    fn getex_takes_times_and_persist_and_looks_at_numbers_later() {
        let parse = |options: &'static str| parse_get_ex_options(options.split_whitespace().map(str::as_bytes));
        let expiry = |options| parse(options).unwrap().expiry(NOW);
        assert_eq!(expiry(""), Ok(Expiry::Kept));
        assert_eq!(expiry("persist PERSIST"), Ok(Expiry::Never));
        assert_eq!(expiry("ex 5"), Ok(Expiry::At(UnixMs(NOW.0 + 5000))));
        assert_eq!(expiry("PX abc"), Err(CommandError::NotAnInteger));
        assert_eq!(expiry("EXAT 0"), Err(CommandError::InvalidExpireTime("getex")));
        for options in ["EX", "FOO", "PX 5 EX 6", "PERSIST EX 5", "EX 5 PERSIST", "NX", "KEEPTTL", "GET", "IFEQ a"] {
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
