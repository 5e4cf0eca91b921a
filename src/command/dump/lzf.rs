//! The compression of `LibLZF`, the way back: runs of bytes as they are, and references to what came out before.
//!
//! A byte below 32 is followed by one more byte than it says. Another one names a reference: in its upper three bits
//! the length less 2, in the lower five the upper bits of the distance less 1. If the length's bits are all set, the
//! next byte adds to it; the last byte has the rest of the distance. What comes out may be 88 times as long as what
//! went in, so it is measured first, and memory is taken for what is really there.

/// Undoes the compression; `None` if `input` is no such data or comes out longer or shorter than `len`.
pub(super) fn expand(input: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut measured = 0_usize;
    let mut rest = input;
    while !rest.is_empty() {
        measured = measured.checked_add(take(&mut rest)?.len(measured)?).filter(|&measured| measured <= len)?;
    }
    if measured < len {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let mut rest = input;
    while !rest.is_empty() {
        match take(&mut rest)? {
            Piece::Literal(bytes) => out.extend_from_slice(bytes),
            Piece::Reference { distance, len } => repeat(&mut out, distance, len),
        }
    }
    Some(out)
}

/// Appends `len` bytes that begin `distance` bytes before the end. If they reach beyond it, they repeat themselves.
fn repeat(out: &mut Vec<u8>, distance: usize, mut len: usize) {
    let from = out.len() - distance;
    while len > 0 {
        let end = out.len().min(from + len);
        out.extend_from_within(from..end);
        len -= end - from;
    }
}

/// What one control byte stands for.
enum Piece<'a> {
    Literal(&'a [u8]),
    Reference { distance: usize, len: usize },
}

impl Piece<'_> {
    /// How many bytes come out behind `before` others; `None` if that does not work.
    fn len(&self, before: usize) -> Option<usize> {
        match *self {
            Self::Literal(bytes) => Some(bytes.len()),
            Self::Reference { distance, len } => (distance <= before).then_some(len),
        }
    }
}

/// Takes the next piece off the front of `input`; `None` if it is cut short.
fn take<'a>(input: &mut &'a [u8]) -> Option<Piece<'a>> {
    let control = byte(input)?;
    if control < 32 { literal(input, usize::from(control) + 1) } else { reference(input, control) }
}

fn literal<'a>(input: &mut &'a [u8], len: usize) -> Option<Piece<'a>> {
    let (bytes, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(Piece::Literal(bytes))
}

fn reference<'a>(input: &mut &'a [u8], control: u8) -> Option<Piece<'a>> {
    let more = if control >> 5 == 7 { byte(input)? } else { 0 };
    let low = byte(input)?;
    let distance = usize::from(u16::from_be_bytes([control & 31, low])) + 1;
    Some(Piece::Reference { distance, len: usize::from(control >> 5) + usize::from(more) + 2 })
}

fn byte(input: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = input.split_first()?;
    *input = rest;
    Some(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The plain way: byte by byte.
    fn expand_plainly(input: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut at) = (Vec::new(), 0);
        while at < input.len() {
            let control = usize::from(input[at]);
            at += 1;
            if control < 32 {
                out.extend_from_slice(input.get(at..=at + control)?);
                at += control + 1;
                continue;
            }
            let mut run = control >> 5;
            if run == 7 {
                run += usize::from(*input.get(at)?);
                at += 1;
            }
            let from = out.len().checked_sub(((control & 31) << 8) + usize::from(*input.get(at)?) + 1)?;
            at += 1;
            (from..from + run + 2).for_each(|at| out.push(out[at]));
        }
        Some(out)
    }

    #[test]
    fn references_repeat_what_they_reach_into() {
        assert_eq!(expand(b"\x00a\xe0\x01\x00", 11), Some(b"aaaaaaaaaaa".to_vec()));
        assert_eq!(expand(b"\x02abc\x20\x02\x20\x00", 9), Some(b"abcabcccc".to_vec()));
        assert_eq!(expand(b"", 0), Some(Vec::new()));
    }

    #[test]
    fn what_is_cut_short_or_reaches_too_far_is_refused() {
        for input in [&b"\x00"[..], b"\x05abc", b"\x00a\xe0", b"\x00a\xe0\x01", b"\x00a\x20\x01", b"\x20\x00"] {
            for len in 0..20 {
                assert_eq!(expand(input, len), None, "{input:?} {len}");
            }
        }
        assert_eq!(expand(b"\x00a\xe0\x01\x00", usize::MAX), None);
    }

    proptest! {
        #[test]
        fn the_plain_way_agrees(
            pieces in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 1..=32).prop_map(|bytes| {
                        [&[u8::try_from(bytes.len() - 1).unwrap()][..], &bytes].concat()
                    }),
                    (1..7_u8, 0..40_u8).prop_map(|(len, low)| vec![len << 5, low]),
                    (any::<u8>(), 0..2_u8, any::<u8>()).prop_map(|(more, high, low)| vec![7 << 5 | high, more, low]),
                    prop::collection::vec(any::<u8>(), 0..3),
                ],
                0..40,
            ),
            off in -1..=1_isize,
        ) {
            let input = pieces.concat();
            let plain = expand_plainly(&input);
            let len = plain.as_ref().map_or(input.len(), Vec::len).saturating_add_signed(off);
            prop_assert_eq!(expand(&input, len), plain.filter(|plain| plain.len() == len));
        }
    }
}
