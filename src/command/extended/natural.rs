//! Natural numbers of any size, with the little arithmetic that reading and printing a number takes.

use std::cmp::Ordering;
use std::fmt;

/// The largest power of ten that fits into a limb.
const CHUNK: u32 = 1_000_000_000;
const CHUNK_DIGITS: usize = 9;

/// Limbs of 32 bits, the lowest first; the last is not zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Natural(Vec<u32>);

impl From<u64> for Natural {
    fn from(number: u64) -> Self {
        let mut limbs = vec![low(number), low(number >> 32)];
        trim(&mut limbs);
        Self(limbs)
    }
}

impl Natural {
    /// The number with these digits, the highest first.
    pub(super) fn from_digits(digits: &[u8], base: u32) -> Self {
        let mut number = Self(Vec::new());
        for digit in digits {
            number.multiply_add(base, u32::from(*digit));
        }
        number
    }

    /// `self * 10^power`.
    pub(super) fn times_power_of_ten(mut self, power: usize) -> Self {
        for _ in 0..power / CHUNK_DIGITS {
            self.multiply_add(CHUNK, 0);
        }
        for _ in 0..power % CHUNK_DIGITS {
            self.multiply_add(10, 0);
        }
        self
    }

    /// `self * 2^places`.
    pub(super) fn shifted(mut self, places: u64) -> Self {
        let limbs = usize::try_from(places / 32).expect("no number is that large");
        self.multiply_add(1 << (places % 32), 0);
        if !self.0.is_empty() {
            self.0.splice(0..0, std::iter::repeat_n(0, limbs));
        }
        self
    }

    /// `self / divisor`, neither being zero, as 64 binary digits, of which the first is set, and the power of two that they
    /// have to be multiplied by. Rounded to the nearest, or to even.
    pub(super) fn ratio(self, divisor: Self) -> (u64, i64) {
        let distance = self.bits().abs_diff(divisor.bits());
        let (mut rest, divisor, mut top) = match self.bits().cmp(&divisor.bits()) {
            Ordering::Greater => (self, divisor.shifted(distance), distance.cast_signed()),
            _ => (self.shifted(distance), divisor, -distance.cast_signed()),
        };
        if rest.compare(&divisor) == Ordering::Less {
            rest.multiply_add(2, 0);
            top -= 1;
        }
        let mut digits = 0_u64;
        for _ in 0..u64::BITS {
            let fits = rest.compare(&divisor) != Ordering::Less;
            if fits {
                rest.subtract(&divisor);
            }
            digits = digits << 1 | u64::from(fits);
            rest.multiply_add(2, 0);
        }
        let is_up = match rest.compare(&divisor) {
            Ordering::Less => false,
            Ordering::Equal => digits & 1 == 1,
            Ordering::Greater => true,
        };
        match digits.checked_add(u64::from(is_up)) {
            Some(digits) => (digits, top - 63),
            None => (1 << 63, top - 62),
        }
    }

    /// How many binary digits it has.
    fn bits(&self) -> u64 {
        let top = self.0.last().map_or(0, |limb| u32::BITS - limb.leading_zeros());
        self.0.len().saturating_sub(1) as u64 * 32 + u64::from(top)
    }

    /// `self * factor + addend`, in place.
    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = low(carry);
            carry >>= 32;
        }
        self.0.push(low(carry));
        trim(&mut self.0);
    }

    /// `self - other`, in place; `other` is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (place, limb) in self.0.iter_mut().enumerate() {
            let (less, one) = limb.overflowing_sub(other.0.get(place).copied().unwrap_or(0));
            let (less, two) = less.overflowing_sub(u32::from(borrow));
            *limb = less;
            borrow = one || two;
        }
        debug_assert!(!borrow, "the other number is not larger");
        trim(&mut self.0);
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// `self / CHUNK`, in place; the remainder.
    fn divide_by_chunk(&mut self) -> u32 {
        let mut rest = 0_u64;
        for limb in self.0.iter_mut().rev() {
            rest = rest << 32 | u64::from(*limb);
            *limb = low(rest / u64::from(CHUNK));
            rest %= u64::from(CHUNK);
        }
        trim(&mut self.0);
        low(rest)
    }
}

impl fmt::Display for Natural {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut chunks) = (self.clone(), Vec::new());
        while !rest.0.is_empty() {
            chunks.push(rest.divide_by_chunk());
        }
        write!(formatter, "{}", chunks.pop().unwrap_or(0))?;
        chunks.iter().rev().try_for_each(|chunk| write!(formatter, "{chunk:0CHUNK_DIGITS$}"))
    }
}

/// The lowest 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "the rest is the next limb's")]
fn low(number: u64) -> u32 {
    number as u32
}

fn trim(limbs: &mut Vec<u32>) {
    let length = limbs.iter().rposition(|limb| *limb != 0).map_or(0, |last| last + 1);
    limbs.truncate(length);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_go_in_and_come_out(text in "[1-9][0-9]{0,80}") {
            let digits: Vec<u8> = text.bytes().map(|byte| byte - b'0').collect();
            prop_assert_eq!(Natural::from_digits(&digits, 10).to_string(), text);
        }

        #[test]
        fn shifts_and_powers_are_those_of_machine_integers(number in 1_u64..1 << 40, places in 0_u64..60, power in 0_usize..20) {
            let wide = u128::from(number);
            prop_assert_eq!(Natural::from(number).shifted(places).to_string(), (wide << places).to_string());
            let powered = Natural::from(number).times_power_of_ten(power).to_string();
            prop_assert_eq!(powered, (wide * 10_u128.pow(u32::try_from(power).unwrap())).to_string());
        }

        #[test]
        fn a_ratio_is_the_nearest_with_64_digits(above in 1_u64.., below in 1_u64..1 << 32) {
            let (digits, exponent) = Natural::from(above).ratio(Natural::from(below));
            prop_assert!(digits >> 63 == 1);
            // |digits * 2^exponent - above / below| is at most half of 2^exponent.
            let scaled = |number: u64, places: i64| u128::from(number) << places;
            let (exact, found, half) = match exponent {
                0.. => (u128::from(above), scaled(digits, exponent) * u128::from(below), scaled(below, exponent) / 2),
                _ if exponent > -64 => (scaled(above, -exponent), u128::from(digits) * u128::from(below), u128::from(below) / 2),
                _ => return Ok(()),
            };
            prop_assert!(exact.abs_diff(found) <= half);
        }
    }
}
