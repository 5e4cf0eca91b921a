//! Integers as RESP writes them: an optional minus sign and decimal digits, nothing else.
//!
//! Rust's own parser also takes `+7` and `007`, which Redis refuses, so ours is written by hand.

/// A length of so many digits is read without looking for the end of its line first. More is legal, but not common.
const SHORT_DIGITS_MAX: usize = 10;

/// The number that `text` is, if it is one in its only form: no plus sign, no spaces, no leading zeros, no `-0`.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0', ..] => return (text == b"0").then_some(0),
        _ => {}
    }
    digits.iter().try_fold(0_i64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        // Negative numbers are built downwards: the smallest one has no positive twin.
        value.checked_mul(10)?.checked_add(if negative { -digit } else { digit })
    })
}

/// A short number at the start of `input` that has its line end already: the number, and the bytes of both.
///
/// `None` says only that the quick way does not apply. Nearly every length has one digit or two.
#[inline]
pub(super) fn short_line(input: &[u8]) -> Option<(usize, usize)> {
    match input {
        [one @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(*one), 3)),
        [ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(*ten) * 10 + digit(*one), 4)),
        _ => longer_line(input),
    }
}

/// The same for up to [`SHORT_DIGITS_MAX`] digits.
fn longer_line(input: &[u8]) -> Option<(usize, usize)> {
    let digits = input.iter().take(SHORT_DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = input.split_at(digits);
    let canonical = digits == 1 || (digits > 1 && !number.starts_with(b"0"));
    let value = || number.iter().fold(0, |value, byte| value * 10 + digit(*byte));
    (canonical && rest.starts_with(b"\r\n")).then(|| (value(), digits + 2))
}

/// The value of a decimal digit.
fn digit(byte: u8) -> usize {
    usize::from(byte - b'0')
}
