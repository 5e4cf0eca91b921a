//! Integers of any width at any bit of a value: what BITFIELD and `BITFIELD_RO` read and write.
//!
//! One thing differs from Redis 7: where `OVERFLOW SAT` meets a SET of a signed field to a number close to -2^63, Redis'
//! own comparison overflows and it writes the largest number that the field can hold. Here it is the smallest.

use crate::codec::reply;
use crate::command::bits::offset_within;
use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;

/// An integer in a value, its highest bit first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Field {
    offset: usize,
    /// Signed: 1 to 64. Unsigned: 1 to 63.
    width: u8,
    is_signed: bool,
}

/// One step of a BITFIELD.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Tells the integer.
    Get(Field),
    /// Writes this one and tells the one before.
    Set(Field, i64, Overflow),
    /// Adds this and tells the sum.
    IncrBy(Field, i64, Overflow),
}

/// What becomes of a number that a field cannot hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overflow {
    /// Its lowest bits are written.
    Wrap,
    /// The nearest that the field can hold is written.
    Saturate,
    /// Nothing is written.
    Fail,
}

/// Reads the arguments of BITFIELD and `BITFIELD_RO` after the key.
pub(crate) fn parse_steps<'a>(args: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Step>, CommandError> {
    let args: Vec<&[u8]> = args.into_iter().collect();
    let (mut rest, mut steps, mut overflow) = (args.as_slice(), Vec::new(), Overflow::Wrap);
    while let [name, after @ ..] = rest {
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        rest = match *after {
            [kind, offset, ref rest @ ..] if is("GET") => {
                steps.push(Step::Get(Field::parse(kind, offset)?));
                rest
            }
            [kind, offset, number, ref rest @ ..] if is("SET") || is("INCRBY") => {
                let field = Field::parse(kind, offset)?;
                let number = parse_i64(number).ok_or(CommandError::NotAnInteger)?;
                let step = if is("SET") { Step::Set } else { Step::IncrBy };
                steps.push(step(field, number, overflow));
                rest
            }
            [kind, ref rest @ ..] if is("OVERFLOW") => {
                overflow = Overflow::parse(kind)?;
                rest
            }
            _ => return Err(CommandError::Syntax),
        };
    }
    Ok(steps)
}

/// The fields of `steps` if they only read.
pub(crate) fn only_read(steps: &[Step]) -> Option<Vec<Field>> {
    let field = |step: &Step| match step {
        Step::Get(field) => Some(*field),
        Step::Set(..) | Step::IncrBy(..) => None,
    };
    steps.iter().map(field).collect()
}

/// Appends what `fields` of `value` hold.
pub(crate) fn tell(fields: &[Field], value: &[u8], out: &mut Vec<u8>) {
    reply::array(out, fields.len());
    for field in fields {
        reply::integer(out, field.read(value));
    }
}

impl Step {
    /// How long a value has to be for this step to write, in bytes.
    pub(crate) fn bytes_needed(self) -> usize {
        match self {
            Self::Get(_) => 0,
            Self::Set(field, ..) | Self::IncrBy(field, ..) => field.end(),
        }
    }

    /// Takes the step on a value that is long enough; what it tells, `None` if it failed.
    pub(crate) fn take(self, value: &mut [u8]) -> Option<i64> {
        match self {
            Self::Get(field) => Some(field.read(value)),
            Self::Set(field, number, overflow) => {
                let old = field.read(value);
                // A negative number is a huge one to an unsigned field.
                let wanted = if field.is_signed { i128::from(number) } else { i128::from(number.cast_unsigned()) };
                field.write(value, field.fit(wanted, overflow)?);
                Some(old)
            }
            Self::IncrBy(field, increment, overflow) => {
                let sum = field.fit(i128::from(field.read(value)) + i128::from(increment), overflow)?;
                field.write(value, sum);
                Some(sum)
            }
        }
    }
}

impl Overflow {
    fn parse(word: &[u8]) -> Result<Self, CommandError> {
        let names: [(&[u8], Self); 3] = [(b"WRAP", Self::Wrap), (b"SAT", Self::Saturate), (b"FAIL", Self::Fail)];
        let named = names.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
        named.map(|(_, overflow)| overflow).ok_or(CommandError::OverflowType)
    }
}

impl Field {
    /// A field such as `u8` at an offset in bits, or in fields of its kind (`#3`).
    fn parse(kind: &[u8], offset: &[u8]) -> Result<Self, CommandError> {
        let (is_signed, digits) = match kind {
            [b'i', digits @ ..] => (true, digits),
            [b'u', digits @ ..] => (false, digits),
            _ => return Err(CommandError::BitfieldType),
        };
        let width = parse_i64(digits).and_then(|width| u8::try_from(width).ok());
        let width = width.filter(|width| (1..=63 + u8::from(is_signed)).contains(width));
        let width = width.ok_or(CommandError::BitfieldType)?;
        let offset = match offset {
            [b'#', index @ ..] => parse_i64(index).and_then(|index| index.checked_mul(i64::from(width))),
            offset => parse_i64(offset),
        };
        let offset = offset.and_then(offset_within).ok_or(CommandError::BitOffset)?;
        Ok(Self { offset, width, is_signed })
    }

    /// One beyond the last byte that it touches.
    fn end(self) -> usize {
        (self.offset + usize::from(self.width)).div_ceil(8)
    }

    /// The integer in `value`; what lies behind the value is zero.
    pub(crate) fn read(self, value: &[u8]) -> i64 {
        let bytes = self.offset / 8..self.end();
        let word = bytes.fold(0_u128, |word, byte| word << 8 | u128::from(value.get(byte).copied().unwrap_or(0)));
        self.wrap((word >> self.shift()).cast_signed())
    }

    /// Writes the lowest bits of `number` to `value`, which is long enough.
    fn write(self, value: &mut [u8], number: i64) {
        let bytes = &mut value[self.offset / 8..self.end()];
        let word = bytes.iter().fold(0_u128, |word, byte| word << 8 | u128::from(*byte));
        let mask = ((1_u128 << self.width) - 1) << self.shift();
        let mut word = word & !mask | (i128::from(number).cast_unsigned() << self.shift()) & mask;
        for byte in bytes.iter_mut().rev() {
            *byte = word.to_le_bytes()[0];
            word >>= 8;
        }
    }

    /// How many bits follow it in its last byte.
    fn shift(self) -> usize {
        self.end() * 8 - self.offset - usize::from(self.width)
    }

    /// What the field holds if `number` is written to it.
    fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let least = if self.is_signed { -(1_i128 << (self.width - 1)) } else { 0 };
        let most = least + (1_i128 << self.width) - 1;
        match overflow {
            Overflow::Wrap => Some(self.wrap(number)),
            Overflow::Saturate => i64::try_from(number.clamp(least, most)).ok(),
            Overflow::Fail => i64::try_from(number).ok().filter(|_| (least..=most).contains(&number)),
        }
    }

    /// The number that the lowest bits of `number` are to this field.
    fn wrap(self, number: i128) -> i64 {
        let spare = i128::BITS - u32::from(self.width);
        let low = number << spare;
        let number = if self.is_signed { low >> spare } else { (low.cast_unsigned() >> spare).cast_signed() };
        i64::try_from(number).expect("a field of 64 bits is signed")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bits;
    use super::*;

    fn field() -> impl Strategy<Value = Field> {
        (0_usize..70, 1_u8..=64, any::<bool>()).prop_map(|(offset, width, is_signed)| Field {
            offset,
            width: if is_signed { width } else { width.min(63) },
            is_signed,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_no_other_bit_changes(
            mut value in prop::collection::vec(any::<u8>(), 17),
            field in field(),
            number: i64,
        ) {
            let before = value.clone();
            let number = field.wrap(i128::from(number));
            field.write(&mut value, number);
            prop_assert_eq!(field.read(&value), number);
            for offset in (0..field.offset).chain(field.offset + usize::from(field.width)..17 * 8) {
                prop_assert_eq!(bits::is_set(&value, offset), bits::is_set(&before, offset));
            }
        }

        #[test]
        fn a_number_that_fits_is_kept_whatever_the_overflow(field in field(), number: i64) {
            let wrapped = field.wrap(i128::from(number));
            for overflow in [Overflow::Wrap, Overflow::Saturate, Overflow::Fail] {
                prop_assert_eq!(field.fit(i128::from(wrapped), overflow), Some(wrapped));
            }
        }
    }
}
