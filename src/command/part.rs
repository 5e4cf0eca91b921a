//! What commands tell about a part of a value: GETRANGE, GETBIT, BITCOUNT, BITPOS, and one field of BITFIELD.
//!
//! Redis looks at some arguments only after it has found the key, so that BITCOUNT of a missing key is 0 whatever
//! follows. Clients may rely on it; so a [`Part`] may hold a mistake that is reported where the key exists.

use crate::codec::{Request, reply};
use crate::command::bits::{self, Span, Unit};
use crate::command::errors::CommandError;
use crate::command::fields::{self, Field};
use crate::command::integer::parse_i64;

/// What is asked about a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// GETRANGE, SUBSTR: these bytes.
    Range(Span),
    /// GETBIT: the bit at this place.
    Bit(usize),
    /// BITCOUNT: how many bits are set there.
    Count(Result<Span, Mistake>),
    /// BITPOS: where the first bit of this kind is.
    Position {
        /// Set, or clear.
        on: bool,
        /// Where to look.
        span: Result<Span, Mistake>,
        /// Whether no end was named.
        open_ended: bool,
    },
    /// BITFIELD and `BITFIELD_RO` with a single GET.
    Field(Field),
}

/// What is wrong with an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mistake {
    NotAnInteger,
    Syntax,
}

/// GETRANGE key start end, SUBSTR key start end.
pub(super) fn range(request: &Request<'_>) -> Result<Part, CommandError> {
    let (start, end) = (integer(request, 2)?, integer(request, 3)?);
    Ok(Part::Range(span(start, end, Unit::Byte)))
}

/// GETBIT key offset.
pub(super) fn bit(request: &Request<'_>) -> Result<Part, CommandError> {
    bits::parse_offset(request.arg(2)).map(Part::Bit)
}

/// BITCOUNT key [start end [BYTE | BIT]].
pub(super) fn count(request: &Request<'_>) -> Part {
    Part::Count(count_span(request))
}

fn count_span(request: &Request<'_>) -> Result<Span, Mistake> {
    match request.len() {
        2 => Ok(Span::WHOLE),
        length @ (4 | 5) => {
            let (start, end) = (integer(request, 2)?, integer(request, 3)?);
            let unit = if length == 5 && !is_reversed(start, end) { unit(request.arg(4))? } else { Unit::Byte };
            Ok(span(start, end, unit))
        }
        _ => Err(Mistake::Syntax),
    }
}

/// BITPOS key bit [start [end [BYTE | BIT]]].
pub(super) fn position(request: &Request<'_>) -> Result<Part, CommandError> {
    let on = match integer(request, 2)? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::BitArgument),
    };
    Ok(Part::Position { on, span: position_span(request), open_ended: request.len() < 5 })
}

fn position_span(request: &Request<'_>) -> Result<Span, Mistake> {
    let length = request.len();
    if length > 6 {
        return Err(Mistake::Syntax);
    }
    let start = if length > 3 { integer(request, 3)? } else { 0 };
    let unit = if length == 6 { unit(request.arg(5))? } else { Unit::Byte };
    let end = if length > 4 { integer(request, 4)? } else { -1 };
    Ok(Span { start, end, unit })
}

/// From `start` to `end`; BITPOS lacks the special case.
fn span(start: i64, end: i64, unit: Unit) -> Span {
    if is_reversed(start, end) { Span::NOTHING } else { Span { start, end, unit } }
}

/// Whether both ends are counted from the value's end and are the wrong way round, however short the value is.
fn is_reversed(start: i64, end: i64) -> bool {
    start < 0 && end < 0 && start > end
}

fn integer(request: &Request<'_>, argument: usize) -> Result<i64, Mistake> {
    parse_i64(request.arg(argument)).ok_or(Mistake::NotAnInteger)
}

fn unit(word: &[u8]) -> Result<Unit, Mistake> {
    if word.eq_ignore_ascii_case(b"BIT") {
        Ok(Unit::Bit)
    } else if word.eq_ignore_ascii_case(b"BYTE") {
        Ok(Unit::Byte)
    } else {
        Err(Mistake::Syntax)
    }
}

impl Part {
    /// Answers from the live value, if there is one.
    pub(crate) fn answer(self, value: Option<&[u8]>, out: &mut Vec<u8>) {
        match (self, value) {
            (Self::Range(span), value) => {
                let value = value.unwrap_or_default();
                reply::bulk(out, span.clip(value.len()).map_or(&[], |bytes| &value[bytes]));
            }
            (Self::Bit(offset), value) => {
                reply::integer(out, i64::from(bits::is_set(value.unwrap_or_default(), offset)));
            }
            (Self::Count(_), None) => reply::integer(out, 0),
            (Self::Count(Ok(span)), Some(value)) => place(out, Some(bits::count(value, span))),
            (Self::Position { on, .. }, None) => reply::integer(out, -i64::from(on)),
            (Self::Position { on, span: Ok(span), open_ended }, Some(value)) => {
                place(out, bits::position(value, on, span, open_ended));
            }
            (Self::Count(Err(mistake)) | Self::Position { span: Err(mistake), .. }, Some(_)) => {
                reply::error(out, &CommandError::from(mistake).to_string());
            }
            (Self::Field(field), value) => fields::tell(&[field], value.unwrap_or_default(), out),
        }
    }
}

/// Answers with a number of bits, or -1.
fn place(out: &mut Vec<u8>, place: Option<usize>) {
    reply::integer(out, place.and_then(|place| i64::try_from(place).ok()).unwrap_or(-1));
}

impl From<Mistake> for CommandError {
    fn from(mistake: Mistake) -> Self {
        match mistake {
            Mistake::NotAnInteger => Self::NotAnInteger,
            Mistake::Syntax => Self::Syntax,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, hold};
    use super::super::{Flow, ask_cluster};

    const SYNTAX: &str = "-ERR syntax error\r\n";
    const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range\r\n";

    // The answers were read off redis-server 7.0.15.

    #[test]
    fn ranges_are_cut_out_and_kept_to_the_value() {
        hold(&[
            (r#"SET k "aXXd\x00\x00z""#, "+OK\r\n"),
            ("GETRANGE k 0 -1", "$7\r\naXXd\0\0z\r\n"),
            ("GETRANGE k 1 2", "$2\r\nXX\r\n"),
            ("GETRANGE k -3 -1", "$3\r\n\0\0z\r\n"),
            ("GETRANGE k -1 -3", "$0\r\n\r\n"),
            ("GETRANGE k -50 -100", "$0\r\n\r\n"),
            ("GETRANGE k 5 2", "$0\r\n\r\n"),
            ("GETRANGE k -1000 1", "$2\r\naX\r\n"),
            ("GETRANGE k 20 30", "$0\r\n\r\n"),
            ("GETRANGE k -30 -20", "$1\r\na\r\n"),
            ("GETRANGE none 0 1", "$0\r\n\r\n"),
            ("GETRANGE none x 1", NOT_AN_INTEGER),
            ("SUBSTR k 0 1", "$2\r\naX\r\n"),
        ]);
    }

    #[test]
    fn bits_are_told_one_by_one() {
        hold(&[
            (r#"SET k "\x01""#, "+OK\r\n"),
            ("GETBIT k 7", ":1\r\n"),
            ("GETBIT k 6", ":0\r\n"),
            ("GETBIT k 4294967295", ":0\r\n"),
            ("GETBIT none 1", ":0\r\n"),
            ("GETBIT none x", "-ERR bit offset is not an integer or out of range\r\n"),
            ("GETBIT k 4294967296", "-ERR bit offset is not an integer or out of range\r\n"),
        ]);
    }

    #[test]
    fn bits_are_counted_in_a_part_given_in_bytes_or_bits() {
        hold(&[
            ("SET b foobar", "+OK\r\n"),
            ("BITCOUNT b", ":26\r\n"),
            ("BITCOUNT b 0 0", ":4\r\n"),
            ("BITCOUNT b 1 1 byte", ":6\r\n"),
            ("BITCOUNT b 5 30 BIT", ":17\r\n"),
            ("BITCOUNT b -10 -3 bit", ":4\r\n"),
            ("BITCOUNT b -100 -50", ":4\r\n"),
            ("BITCOUNT b 5 -100", ":0\r\n"),
            ("BITCOUNT b -9223372036854775808 9223372036854775807 BIT", ":26\r\n"),
            ("BITCOUNT none a", ":0\r\n"),
            ("BITCOUNT b 0", SYNTAX),
            ("BITCOUNT b 5 30 bit x", SYNTAX),
            ("BITCOUNT b 5 30 foo", SYNTAX),
            ("BITCOUNT b -3 -5 foo", ":0\r\n"),
            ("BITCOUNT b 1 0 foo", SYNTAX),
            ("BITCOUNT b -5 -3 foo", SYNTAX),
            ("BITCOUNT b 3 a", NOT_AN_INTEGER),
        ]);
    }

    #[tokio::test]
    async fn fields_of_a_key_on_other_nodes_are_read_together() {
        let request = "BITFIELD_RO k GET u8 0 GET u8 8";
        let Flow::Await(order) = Bench::three_nodes().ask_for(request).1 else { panic!("answered without a replica") };
        let mut bench = Bench::single_node();
        bench.ask("SET k ab");
        let mut out = Vec::new();
        ask_cluster(&bench.server, &bench.state, bench.state.quorum, *order, &mut out).await;
        assert_eq!(out, b"*2\r\n:97\r\n:98\r\n");
        assert_eq!(bench.ask(request).as_bytes(), out);
    }

    #[test]
    fn the_first_bit_of_a_kind_is_found() {
        hold(&[
            // Hardly a value of text, so it is made of bits.
            ("BITFIELD z SET u12 0 4095 SET u12 12 0", "*2\r\n:0\r\n:0\r\n"),
            ("BITPOS z 0", ":12\r\n"),
            ("BITPOS z 1", ":0\r\n"),
            ("BITPOS z 0 0 0", ":-1\r\n"),
            ("BITPOS z 0 9 15 BIT", ":12\r\n"),
            ("BITPOS z 1 12 15 BIT", ":-1\r\n"),
            ("BITPOS z 0 8 11 BIT", ":-1\r\n"),
            ("BITPOS z 0 3 2", ":-1\r\n"),
            ("BITPOS z 0 -1 -1", ":16\r\n"),
            ("BITPOS none 0 x", ":0\r\n"),
            ("BITPOS none 1 0 1 FOO", ":-1\r\n"),
            ("BITPOS z 2", "-ERR The bit argument must be 1 or 0.\r\n"),
            ("BITPOS none x", NOT_AN_INTEGER),
            ("BITPOS z 0 8 x FOO", SYNTAX),
            ("BITPOS z 0 x 3 FOO", NOT_AN_INTEGER),
            ("BITPOS z 0 1 2 3 4", SYNTAX),
            ("BITFIELD f SET u16 0 65535", "*1\r\n:0\r\n"),
            ("BITPOS f 0", ":16\r\n"),
            ("BITPOS f 0 -1", ":16\r\n"),
            ("BITPOS f 0 0 -1", ":-1\r\n"),
            ("BITPOS f 0 5", ":-1\r\n"),
            ("BITPOS f 1 3 5 BIT", ":3\r\n"),
            ("SET e ''", "+OK\r\n"),
            ("BITPOS e 0", ":-1\r\n"),
        ]);
    }
}
