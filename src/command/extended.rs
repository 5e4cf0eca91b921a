//! Numbers with 64 binary digits, as x86's extended doubles have them: what INCRBYFLOAT counts with.
//!
//! Redis computes in C's `long double` and prints 17 decimals. A sum of ordinary decimals then reads as on paper
//! (0.1 and 0.2 make 0.3), which `f64` does not achieve, and clients see every digit. So the type is rebuilt here from
//! integers, on whatever machine: every text is read exactly, sums are rounded once, to the nearest and to even, and every
//! digit printed is that of the exact value. One thing is left out: numbers below 1e-4931, which that type holds with
//! fewer digits, have all of theirs here. No reply can show it.

mod natural;

use std::cmp::Ordering;

use natural::Natural;

/// The text of a number may not be as long as this, as in Redis.
const TEXT_BYTES_END: usize = 5 * 1024;
/// The highest binary digit that a finite number has, counted from the point.
const TOP_MAX: i64 = 16_383;
/// Half of the least number that there is: what is larger becomes that, the rest zero.
const TINY: Extended = Extended { is_negative: false, mantissa: 1 << 63, exponent: -16_446 - 63 };
/// Decimal exponents beyond this are as good as this, whatever digits stand before them.
const EXPONENT_MAX: i64 = 1_000_000;
/// Decimals that are printed.
const DECIMALS: usize = 17;
/// What they scale a number by.
const SCALE: u128 = 10_u128.pow(17);

/// `mantissa * 2^exponent`. The mantissa's highest bit is set, unless it is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extended {
    is_negative: bool,
    mantissa: u64,
    exponent: i64,
}

impl Extended {
    const ZERO: Self = Self { is_negative: false, mantissa: 0, exponent: 0 };
    const INFINITE: Self = Self { is_negative: false, mantissa: 1 << 63, exponent: i64::MAX };

    /// Reads what C's `strtold` reads, without spaces around it: decimal, hexadecimal, infinite. `None` if it is
    /// something else, not a number, or beyond the range of the type.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_BYTES_END {
            return None;
        }
        let (is_negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] | digits => (false, digits),
        };
        let magnitude = match digits {
            [b'0', b'x' | b'X', digits @ ..] => Literal::read(digits, 16, b'p')?.magnitude()?,
            word if word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity") => Self::INFINITE,
            digits => Literal::read(digits, 10, b'e')?.magnitude()?,
        };
        Some(Self { is_negative, ..magnitude })
    }

    /// The sum, unless it is infinite or no number.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        if self.is_infinite() || other.is_infinite() {
            return None;
        }
        Some(self.sum(other)).filter(|sum| !sum.is_infinite())
    }

    fn sum(self, other: Self) -> Self {
        if self.mantissa == 0 || other.mantissa == 0 {
            return if self.mantissa == 0 { other } else { self };
        }
        let (large, small) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        // Room for a carry above, and below for more digits than rounding looks at.
        let aligned = |number: Self| u128::from(number.mantissa) << 62;
        let (one, two) = (aligned(large), shifted_right(aligned(small), large.exponent.abs_diff(small.exponent)));
        let exponent = large.exponent - 62;
        let (is_negative, sum) = match (large.is_negative == small.is_negative, one.cmp(&two)) {
            (true, _) => (large.is_negative, one + two),
            (false, Ordering::Greater) => (large.is_negative, one - two),
            (false, Ordering::Less) => (small.is_negative, two - one),
            (false, Ordering::Equal) => return Self::ZERO,
        };
        let excess = 64 - i64::from(sum.leading_zeros());
        let mantissa = match u32::try_from(excess) {
            Ok(excess) => halved(sum, excess),
            Err(_) => sum << excess.unsigned_abs(),
        };
        match u64::try_from(mantissa) {
            Ok(mantissa) => Self { is_negative, mantissa, exponent: exponent + excess },
            // Rounded up to one digit more, and zeros.
            Err(_) => Self { is_negative, mantissa: 1 << 63, exponent: exponent + excess + 1 },
        }
    }

    fn is_infinite(self) -> bool {
        self.mantissa != 0 && self.exponent > TOP_MAX - 63
    }

    /// The number as Redis prints it for people: up to 17 decimals, no exponent, no zeros at the end.
    pub(crate) fn text(self) -> String {
        let magnitude = match u32::try_from(-self.exponent) {
            Ok(places) if places < u128::BITS => decimal(halved(u128::from(self.mantissa) * SCALE, places)),
            Err(_) if self.exponent > 0 => {
                Natural::from(self.mantissa).shifted(self.exponent.unsigned_abs()).to_string()
            }
            Ok(_) | Err(_) => decimal(0),
        };
        if self.is_negative && magnitude != "0" { format!("-{magnitude}") } else { magnitude }
    }
}

/// A number as it is written: `digits` in some base, times a power of it.
struct Literal {
    digits: Vec<u8>,
    base: u32,
    /// Of ten, or of two.
    exponent: i64,
}

impl Literal {
    /// Digits with or without a point among them, then perhaps `mark` and an exponent.
    fn read(text: &[u8], base: u32, mark: u8) -> Option<Self> {
        let end = text.iter().position(|byte| byte.eq_ignore_ascii_case(&mark)).unwrap_or(text.len());
        let (number, exponent) = text.split_at(end);
        let point = number.iter().position(|&byte| byte == b'.');
        let decimals = point.map_or(0, |point| number.len() - point - 1);
        let places = number.iter().enumerate().filter(|&(place, _)| Some(place) != point);
        let digits = places.map(|(_, &byte)| char::from(byte).to_digit(base)).collect::<Option<Vec<u32>>>()?;
        if digits.is_empty() {
            return None;
        }
        let exponent = if exponent.is_empty() { 0 } else { read_exponent(&exponent[1..])? };
        let per_digit = if base == 16 { 4 } else { 1 };
        let digits = digits.into_iter().filter_map(|digit| u8::try_from(digit).ok());
        let digits: Vec<u8> = digits.skip_while(|&digit| digit == 0).collect();
        Some(Self { digits, base, exponent: exponent - per_digit * i64::try_from(decimals).ok()? })
    }

    /// The number nearest to it; `None` if that is zero or infinite, though it is neither.
    fn magnitude(self) -> Option<Extended> {
        let length = i64::try_from(self.digits.len()).ok()?;
        if self.digits.is_empty() {
            return Some(Extended::ZERO);
        }
        // Beyond these there is nothing to reckon, however many digits there are.
        let (top, farthest) = if self.base == 10 { (length + self.exponent, 5000) } else { (self.exponent, 100_000) };
        if top.abs() > farthest {
            return None;
        }
        let digits = Natural::from_digits(&self.digits, self.base);
        let power = usize::try_from(self.exponent.unsigned_abs()).ok()?;
        let (above, below, shift) = match (self.base, self.exponent >= 0) {
            (10, true) => (digits.times_power_of_ten(power), Natural::from(1), 0),
            (10, false) => (digits, Natural::from(1).times_power_of_ten(power), 0),
            _ => (digits, Natural::from(1), self.exponent),
        };
        let (mantissa, exponent) = above.ratio(below);
        let exponent = exponent + shift;
        let magnitude = Extended { is_negative: false, mantissa, exponent };
        let is_zero = (exponent, mantissa) <= (TINY.exponent, TINY.mantissa);
        Some(magnitude).filter(|magnitude| !is_zero && !magnitude.is_infinite())
    }
}

/// A signed decimal integer, however large.
fn read_exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let add = |number: i64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        Some((number * 10 + digit).min(EXPONENT_MAX))
    };
    digits.iter().try_fold(0, add).map(|number| sign * number)
}

/// `number / 2^places`. If anything is lost, the last digit is set, so that rounding later sees it.
fn shifted_right(number: u128, places: u64) -> u128 {
    match u32::try_from(places) {
        Ok(places) if places < u128::BITS => {
            let kept = number >> places;
            kept | u128::from(kept << places != number)
        }
        _ => u128::from(number != 0),
    }
}

/// `number / 2^places`, rounded to the nearest or to even.
fn halved(number: u128, places: u32) -> u128 {
    if places == 0 {
        return number;
    }
    let (kept, lost) = (number >> places, number & ((1 << places) - 1));
    let is_up = match lost.cmp(&(1 << (places - 1))) {
        Ordering::Less => false,
        Ordering::Equal => kept & 1 == 1,
        Ordering::Greater => true,
    };
    kept + u128::from(is_up)
}

/// A number of units of the last decimal, as text.
fn decimal(scaled: u128) -> String {
    let text = format!("{}.{:0DECIMALS$}", scaled / SCALE, scaled % SCALE);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(text: &str) -> Option<String> {
        Extended::parse(text.as_bytes()).map(Extended::text)
    }

    fn sum(one: &str, other: &str) -> Option<String> {
        let parse = |text: &str| Extended::parse(text.as_bytes()).expect("a number");
        parse(one).plus(parse(other)).map(Extended::text)
    }

    // The sums were read off redis-server 7.0.15 on x86-64.

    #[test]
    fn ordinary_decimals_add_up_as_on_paper() {
        for (one, other, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("10.6", "-5", "5.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3.0", "1.0", "4"),
            ("-1", "1", "0"),
            ("0", "-0", "0"),
            ("0", "-1e-30", "0"),
            ("3.141592653589793238462643", "0", "3.14159265358979324"),
            ("1", "1e-17", "1.00000000000000001"),
            ("1.00000000000000001", "1e-18", "1.00000000000000001"),
            ("0", "1e-18", "0"),
            ("0", "6e-18", "0.00000000000000001"),
            ("12345678901234567890", "0.5", "12345678901234567890"),
            ("12345678901234567890", "1", "12345678901234567891"),
            ("20", ".5", "20.5"),
            ("19", "1.", "20"),
            ("0X.1P+4", "0x1.8p1", "4"),
            ("0x1p-5", "-0x10", "-15.96875"),
        ] {
            assert_eq!(sum(one, other).as_deref(), Some(expected), "{one} + {other}");
        }
    }

    #[test]
    fn huge_numbers_show_all_their_digits() {
        let huge = printed("1e300").unwrap();
        assert_eq!(huge.len(), 301);
        assert!(huge.starts_with("100000000000000000000899732407955919387052394427329074"), "{huge}");
        let huge = printed("1e4932").unwrap();
        assert!(huge.len() == 4933 && huge.starts_with("10000000000000000000060189493879638913238377742545331"));
        assert_eq!(sum("1e4932", "1e4932"), None);
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("-INFINITY", "inf"), None);
    }

    #[test]
    fn what_is_no_number_or_out_of_range_is_refused() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "abc",
            " 1",
            "1 ",
            "1e",
            "1e+",
            "e5",
            "0x",
            "0x.",
            "0x1p",
            "nan",
            "infinit",
            "1\0",
            "--1",
            "1.2.3",
            "1e5000",
            "1e-5000",
            "1e99999999999999999999",
            "0x1p99999",
            "0x1p-99999",
            "0x1p16384",
            "1e4933",
        ] {
            assert_eq!(printed(text), None, "{text:?}");
        }
        assert_eq!(printed("0e999999").as_deref(), Some("0"));
        assert_eq!(printed("1e-4950").as_deref(), Some("0"));
        assert_eq!(printed("1.9e-4951").as_deref(), Some("0"));
        assert_eq!(printed("1.8e-4951"), None);
        assert_eq!(printed(&"0".repeat(TEXT_BYTES_END)), None);
        assert_eq!(printed(&"1".repeat(TEXT_BYTES_END - 1)), None);
        assert_eq!(printed(&format!("0.{}", "1".repeat(4000))).as_deref(), Some("0.11111111111111111"));
    }

    proptest! {
        #[test]
        fn integers_of_64_bits_are_added_exactly(one: i64, other: i64) {
            let expected = i128::from(one) + i128::from(other);
            prop_assert_eq!(sum(&one.to_string(), &other.to_string()), Some(expected.to_string()));
        }

        #[test]
        fn decimals_of_ordinary_length_are_held_as_they_are(number in "-?[1-9]{1,2}\\.[0-9]{0,15}[1-9]") {
            prop_assert_eq!(printed(&number), Some(number));
        }

        #[test]
        fn doubles_are_held_exactly(number: f64) {
            if number.is_finite() && number.abs() < 1e17 && number.abs() > 1e-3 {
                // Rust prints and rounds the exact value, too.
                let expected = format!("{number:.17}");
                let expected = expected.trim_end_matches('0').trim_end_matches('.');
                prop_assert_eq!(printed(&format!("{number:.100}")), Some(expected.to_owned()));
            }
        }
    }
}
