//! SETBIT.

use crate::command::bits;
use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;
use crate::coordinator::Work;

use super::Reply;

/// SETBIT key offset value.
pub(super) fn set_bit(work: &mut Work<'_>) -> Result<(), CommandError> {
    let offset = bits::parse_offset(work.args[2])?;
    let on = match parse_i64(work.args[3]) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(CommandError::BitValue),
    };
    let held = work.first();
    let value = held.map_or(&[][..], |held| held.value);
    let was_on = bits::is_set(value, offset);
    if was_on != on || offset / 8 >= value.len() {
        let mut value = value.to_vec();
        value.resize(value.len().max(offset / 8 + 1), 0);
        bits::set(&mut value, offset, on);
        work.put(0, value, held.and_then(|held| held.expires_at));
    }
    work.integer(i64::from(was_on));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Bench;

    // The answers were read off redis-server 7.0.15.

    fn hold(cases: &[(&str, &str)]) {
        let mut bench = Bench::single_node();
        for (request, answer) in cases {
            assert_eq!(bench.ask(request), *answer, "{request}");
        }
    }

    #[test]
    fn a_bit_is_changed_and_the_value_grows_to_hold_it() {
        let not_a_bit = "-ERR bit is not an integer or out of range\r\n";
        let bad_offset = "-ERR bit offset is not an integer or out of range\r\n";
        hold(&[
            ("SETBIT k 7 1", ":0\r\n"),
            ("GET k", "$1\r\n\x01\r\n"),
            ("SETBIT k 7 0", ":1\r\n"),
            ("SETBIT k 100 0", ":0\r\n"),
            ("STRLEN k", ":13\r\n"),
            ("SETBIT k 7 2", not_a_bit),
            ("SETBIT k 7 x", not_a_bit),
            ("SETBIT k 4294967295 2", not_a_bit),
            ("SETBIT k 4294967296 1", bad_offset),
            ("SETBIT k -1 1", bad_offset),
            ("SETBIT none x y", bad_offset),
            ("SET k a EX 100", "+OK\r\n"),
            ("SETBIT k 6 1", ":0\r\n"),
            ("GET k", "$1\r\nc\r\n"),
            ("TTL k", ":100\r\n"),
        ]);
    }
}
