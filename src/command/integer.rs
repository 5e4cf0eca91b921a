//! Integers in arguments, read as strictly as Redis reads them.
//!
//! `str::parse` takes `+5`, `05` and `-0`; Redis refuses them, and clients rely on one text per number. What is
//! accepted here is exactly what printing an `i64` yields.

/// Reads the decimal text of a 64-bit integer; `None` for a sign `+`, spaces, leading zeros, `-0`, other bytes or a
/// number out of range.
///
/// ```
/// use ringkv::command::integer::parse_i64;
/// assert_eq!(parse_i64(b"-12"), Some(-12));
/// assert_eq!(parse_i64(b"+12"), None);
/// ```
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text {
        b"0" => Some(0),
        [b'-', digits @ ..] => magnitude(digits).and_then(|number| 0_i64.checked_sub_unsigned(number)),
        digits => magnitude(digits).and_then(|number| i64::try_from(number).ok()),
    }
}

/// Reads decimal digits that do not begin with a zero.
fn magnitude(digits: &[u8]) -> Option<u64> {
    if !matches!(digits, [b'1'..=b'9', ..]) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_edges_of_the_range_are_read_and_one_beyond_is_refused() {
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        for text in ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999999"] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn text_that_redis_refuses_is_refused() {
        for text in ["", "-", "+", "+1", "-0", "00", "01", "-01", " 1", "1 ", "1.0", "1e3", "0x1", "--1", "1-", "1\0"] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_printed_integer_is_read_back(number: i64) {
            prop_assert_eq!(parse_i64(number.to_string().as_bytes()), Some(number));
        }

        #[test]
        fn whatever_is_read_prints_as_it_was(text in "[-+ 0-9]{0,21}") {
            if let Some(number) = parse_i64(text.as_bytes()) {
                prop_assert_eq!(number.to_string(), text);
            }
        }
    }
}
