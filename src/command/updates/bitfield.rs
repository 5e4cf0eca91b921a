//! BITFIELD, where it writes.

use crate::codec::reply;
use crate::command::errors::CommandError;
use crate::command::fields::parse_steps;
use crate::coordinator::Work;

use super::{Reply, within_limit};

/// BITFIELD key [GET | SET | INCRBY | OVERFLOW ...]. The value grows as far as the steps reach, though all of them fail.
pub(super) fn bit_field(work: &mut Work<'_>) -> Result<(), CommandError> {
    let steps = parse_steps(work.args[2..].iter().copied())?;
    let held = work.first();
    let before = held.map_or(&[][..], |held| held.value);
    let length = steps.iter().map(|step| step.bytes_needed()).max().unwrap_or(0);
    within_limit(length)?;
    let mut value = before.to_vec();
    value.resize(length.max(before.len()), 0);
    reply::array(work.out, steps.len());
    for step in steps {
        answer(work, step.take(&mut value));
    }
    if value != before {
        work.put(0, value, held.and_then(|held| held.expires_at));
    }
    Ok(())
}

fn answer(work: &mut Work<'_>, number: Option<i64>) {
    match number {
        Some(number) => work.integer(number),
        None => work.null(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Bench, hold};

    // The answers were read off redis-server 7.0.15.

    #[test]
    fn fields_are_read_written_and_counted_up() {
        hold(&[
            ("BITFIELD k", "*0\r\n"),
            ("BITFIELD k GET u8 0", "*1\r\n:0\r\n"),
            ("EXISTS k", ":0\r\n"),
            ("BITFIELD k SET u8 0 255 GET u4 0 INCRBY u4 4 1", "*3\r\n:0\r\n:15\r\n:0\r\n"),
            ("BITFIELD k INCRBY i5 100 1 GET u4 0", "*2\r\n:1\r\n:15\r\n"),
            ("STRLEN k", ":14\r\n"),
            ("BITFIELD k SET i8 #1 -1 GET i8 8 GET u8 #1", "*3\r\n:0\r\n:-1\r\n:255\r\n"),
            ("SET k a EX 100", "+OK\r\n"),
            ("BITFIELD k SET u8 0 98", "*1\r\n:97\r\n"),
            ("TTL k", ":100\r\n"),
            ("GET k", "$1\r\nb\r\n"),
        ]);
    }

    #[test]
    fn numbers_that_do_not_fit_wrap_saturate_or_fail() {
        hold(&[
            ("BITFIELD k OVERFLOW SAT SET u8 0 -1 GET u8 0", "*2\r\n:0\r\n:255\r\n"),
            ("BITFIELD k OVERFLOW FAIL SET u8 0 300 GET u8 0", "*2\r\n$-1\r\n:255\r\n"),
            ("BITFIELD k OVERFLOW SAT SET i8 0 300 GET i8 0", "*2\r\n:-1\r\n:127\r\n"),
            ("BITFIELD k OVERFLOW SAT INCRBY i8 0 -300 GET i8 0", "*2\r\n:-128\r\n:-128\r\n"),
            // Redis' own overflows here: it has 127.
            ("BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0", "*2\r\n:-128\r\n:-128\r\n"),
            ("BITFIELD k OVERFLOW fail INCRBY i8 0 -1 OVERFLOW wrap INCRBY i8 0 -1", "*2\r\n$-1\r\n:127\r\n"),
            ("BITFIELD k SET i64 0 9223372036854775807", "*1\r\n:9151314442816847872\r\n"),
            ("BITFIELD k INCRBY i64 0 1", "*1\r\n:-9223372036854775808\r\n"),
            ("BITFIELD k OVERFLOW SAT INCRBY i64 0 -1", "*1\r\n:-9223372036854775808\r\n"),
            ("BITFIELD k SET u63 1 9223372036854775807", "*1\r\n:0\r\n"),
            ("BITFIELD k INCRBY u63 1 2", "*1\r\n:1\r\n"),
            ("BITFIELD new OVERFLOW FAIL SET u2 10 7", "*1\r\n$-1\r\n"),
            ("STRLEN new", ":2\r\n"),
        ]);
        let mut bench = Bench::single_node();
        bench.ask("HELLO 3");
        assert_eq!(bench.ask("BITFIELD k OVERFLOW FAIL SET u2 0 9"), "*1\r\n_\r\n");
    }

    #[test]
    fn what_is_no_step_is_refused_and_nothing_is_written() {
        let bad_type = "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 \
                        is.\r\n";
        let bad_offset = "-ERR bit offset is not an integer or out of range\r\n";
        let syntax = "-ERR syntax error\r\n";
        for kind in ["u64", "u0", "i65", "x8", "u08", "U8", "u", "''"] {
            hold(&[(&format!("BITFIELD k SET {kind} 0 1"), bad_type)]);
        }
        for offset in ["-1", "#-1", "#", "#x", "4294967296", "#536870912", "#9223372036854775807"] {
            hold(&[(&format!("BITFIELD k GET u8 {offset}"), bad_offset)]);
        }
        for steps in ["GET u8", "SET u8 0", "OVERFLOW", "FOO u8 0", "GET u8 0 GET"] {
            hold(&[(&format!("BITFIELD k SET u8 0 1 {steps}"), syntax), ("EXISTS k", ":0\r\n")]);
        }
        hold(&[
            ("BITFIELD k SET u8 0 x", "-ERR value is not an integer or out of range\r\n"),
            ("BITFIELD k SET u8 x x", bad_offset),
            ("BITFIELD k OVERFLOW foo", "-ERR Invalid OVERFLOW type specified\r\n"),
            ("BITFIELD k OVERFLOW SAT", "*0\r\n"),
            ("BITFIELD k GET u8 4294967295 GET u8 #536870911", "*2\r\n:0\r\n:0\r\n"),
        ]);
    }

    #[test]
    fn bitfield_ro_reads_as_bitfield_does_and_never_writes() {
        let only_get = "-ERR BITFIELD_RO only supports the GET subcommand\r\n";
        hold(&[
            ("SET u ab", "+OK\r\n"),
            ("BITFIELD_RO u GET u8 8", "*1\r\n:98\r\n"),
            ("BITFIELD_RO u GET u8 8 GET u16 8 GET i16 12 GET u8 16", "*4\r\n:98\r\n:25088\r\n:8192\r\n:0\r\n"),
            ("BITFIELD_RO none GET u8 0 GET i64 100", "*2\r\n:0\r\n:0\r\n"),
            ("BITFIELD_RO u", "*0\r\n"),
            ("BITFIELD_RO u OVERFLOW SAT GET u8 0", "*1\r\n:97\r\n"),
            ("BITFIELD_RO u SET u8 0 1", only_get),
            ("BITFIELD_RO u INCRBY u8 0 x", "-ERR value is not an integer or out of range\r\n"),
            ("BITFIELD_RO u FOO", "-ERR syntax error\r\n"),
        ]);
    }
}
