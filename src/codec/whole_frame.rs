//! The quick way through a request, or an array that answers one, that has arrived whole and is written as clients write them.
//!
//! Nearly every request is an array of a few short bulk strings with all its bytes there. For those nothing has to be
//! remembered from byte to byte, so each header is read as one word. Whatever is torn, long, or wrong is left to the
//! resumable reader, which also knows what to say of it.

use bytes::{Buf, Bytes};

use super::DecodeLimits;
use super::bulk_array::Span;

/// More arguments than this are left to the resumable reader.
const ARGUMENTS_MAX: usize = 4096;

/// The bulk strings of an array that has arrived whole. Made to be used again and again.
#[derive(Debug, Default)]
pub struct WholeArray {
    spans: Vec<Span>,
}

impl WholeArray {
    /// Reads the array at the beginning of `buffer` and tells where it ends. `None` says only that the quick way does not
    /// apply.
    #[inline]
    pub fn read(&mut self, buffer: &[u8], limits: &DecodeLimits) -> Option<usize> {
        self.spans.clear();
        read(buffer, 0, limits, &mut self.spans)
    }

    /// The elements of the array that was read last, in `frame`: what was given to [`Self::read`], or the array alone.
    #[must_use]
    pub fn parts<'a>(&self, frame: &'a [u8]) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.spans.iter().map(move |span| span.of(frame))
    }

    /// The frame cut to one of these elements.
    #[must_use]
    pub fn cut(&self, index: usize, mut frame: Bytes) -> Bytes {
        let (start, end) = self.spans[index].bounds();
        frame.truncate(end);
        frame.advance(start);
        frame
    }

    /// One of these elements as a handle on the frame.
    #[must_use]
    pub fn bytes(&self, index: usize, frame: &Bytes) -> Bytes {
        self.spans[index].slice(frame)
    }
}

/// Appends the arguments of the request at `start` of `buffer` to `spans`, each where it lies in `buffer`, and tells where
/// the request ends. `None` says only that the quick way does not apply; then `spans` is as before.
#[inline]
pub(super) fn read(buffer: &[u8], start: usize, limits: &DecodeLimits, spans: &mut Vec<Span>) -> Option<usize> {
    let before = spans.len();
    let end = read_array(buffer, start, limits, spans);
    if end.is_none() {
        spans.truncate(before);
    }
    end
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "a call takes a tenth of all that it costs to decode a request")]
fn read_array(buffer: &[u8], start: usize, limits: &DecodeLimits, spans: &mut Vec<Span>) -> Option<usize> {
    let (arguments, mut at) = header(buffer, start, b'*')?;
    if arguments == 0 || arguments > ARGUMENTS_MAX.min(limits.arguments_max) {
        return None;
    }
    for _ in 0..arguments {
        let (bytes, from) = header(buffer, at, b'$')?;
        let until = from + bytes;
        if bytes > limits.bulk_bytes_max || buffer.get(until..until + 2)? != b"\r\n" {
            return None;
        }
        spans.push(Span::new(from, until)?);
        at = until + 2;
    }
    (at - start <= limits.frame_bytes_max).then_some(at)
}

/// The number of up to five digits in a header of this kind, and where what it announces begins.
#[inline]
fn header(buffer: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let word = *buffer.get(at..)?.first_chunk::<8>()?;
    match word {
        [first, one, b'\r', b'\n', ..] if first == kind => Some((digit(one)?, at + 4)),
        [first, ten, one, b'\r', b'\n', ..] if first == kind => Some((leading_digit(ten)? * 10 + digit(one)?, at + 5)),
        [first, leading, ..] if first == kind => long_header(word, leading_digit(leading)?, at),
        _ => None,
    }
}

/// The same for numbers of three to five digits, of which the first is `leading`.
#[inline(never)]
fn long_header(word: [u8; 8], leading: usize, at: usize) -> Option<(usize, usize)> {
    let mut number = leading;
    for index in 2..=5 {
        number = number * 10 + digit(word[index])?;
        if word[index + 1..=index + 2] == *b"\r\n" {
            return Some((number, at + index + 3));
        }
    }
    None
}

#[inline]
fn digit(byte: u8) -> Option<usize> {
    let digit = byte.wrapping_sub(b'0');
    (digit <= 9).then_some(usize::from(digit))
}

/// A digit that a number of several may begin with.
#[inline]
fn leading_digit(byte: u8) -> Option<usize> {
    digit(byte).filter(|&digit| digit > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(buffer: &str) -> Option<(usize, Vec<&str>)> {
        let mut spans = Vec::new();
        let end = read(buffer.as_bytes(), 0, &DecodeLimits::default(), &mut spans);
        assert!(end.is_some() || spans.is_empty());
        Some((end?, spans.iter().map(|span| std::str::from_utf8(span.of(buffer.as_bytes())).unwrap()).collect()))
    }

    #[test]
    fn whole_requests_are_read_at_once() {
        assert_eq!(read_all("*2\r\n$3\r\nGET\r\n$2\r\nkk\r\n*"), Some((21, vec!["GET", "kk"])));
        assert_eq!(read_all("*1\r\n$4\r\nPING\r\n"), Some((14, vec!["PING"])));
        for bytes in [0, 9, 10, 99, 100, 999, 1000, 9999, 10_000, 99_999] {
            let value = "v".repeat(bytes);
            let request = format!("*2\r\n$4\r\nECHO\r\n${bytes}\r\n{value}\r\n  ");
            assert_eq!(read_all(&request), Some((request.len() - 2, vec!["ECHO", &value])), "{bytes}");
        }
    }

    #[test]
    fn an_array_is_read_anew_each_time() {
        let mut array = WholeArray::default();
        for text in ["*2\r\n$1\r\na\r\n$0\r\n\r\n  ", "*1\r\n$2\r\nbc\r\n*"] {
            let frame = Bytes::from_static(text.as_bytes());
            let end = array.read(&frame, &DecodeLimits::default()).unwrap();
            let expected = if text.contains("bc") { (12, vec!["bc"]) } else { (17, vec!["a", ""]) };
            let parts: Vec<_> = array.parts(&frame).map(|part| std::str::from_utf8(part).unwrap()).collect();
            assert_eq!((end, parts), expected);
            assert_eq!(array.bytes(0, &frame), expected.1[0]);
        }
        assert_eq!(array.read(b"*1\r\n$2\r\nb", &DecodeLimits::default()), None);
        assert_eq!(array.parts(&[]).len(), 0);
    }

    #[test]
    fn what_is_torn_unusual_or_wrong_is_left_to_the_other_way() {
        let whole = "*2\r\n$3\r\nGET\r\n$2\r\nkk\r\n";
        for end in 0..whole.len() {
            assert_eq!(read_all(&whole[..end]), None, "{end}");
        }
        for odd in [
            "*0\r\n$1\r\nk\r\n",
            "*-1\r\n$1\r\nk\r\n",
            "*01\r\n$1\r\nk\r\n",
            "*1\r\n$01\r\nk\r\n  ",
            "*1\r\n$1\r\nkk\r\n  ",
            "*1\r\n$100000\r\nkk\r\n",
            "*1\r\n:1\r\nkk\r\n",
            "*4097\r\n$1\r\nk\r\n",
            "PING some text\r\n",
            "*x\r\n$4\r\nPING\r\n",
            "*1\r\n$-1\r\n*1\r\n",
        ] {
            assert_eq!(read_all(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn limits_hold() {
        let (request, mut spans) = (b"*2\r\n$3\r\nGET\r\n$2\r\nkk\r\n", Vec::new());
        for limits in [
            DecodeLimits { bulk_bytes_max: 2, ..DecodeLimits::default() },
            DecodeLimits { arguments_max: 1, ..DecodeLimits::default() },
            DecodeLimits { frame_bytes_max: 20, ..DecodeLimits::default() },
        ] {
            assert_eq!(read(request, 0, &limits, &mut spans), None);
        }
    }
}
