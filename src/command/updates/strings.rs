//! Values made longer or written over in part.

use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;
use crate::coordinator::Work;

use super::{Reply, within_limit};

/// APPEND key value.
pub(super) fn append(work: &mut Work<'_>) -> Result<(), CommandError> {
    let held = work.first();
    let (value, added) = (held.map_or(&[][..], |held| held.value), work.args[2]);
    let length = value.len() + added.len();
    within_limit(length)?;
    if held.is_none() || !added.is_empty() {
        work.put(0, [value, added].concat(), held.and_then(|held| held.expires_at));
    }
    work.length(length);
    Ok(())
}

/// SETRANGE key offset value. What lies between the old end and `offset` becomes zeros.
pub(super) fn set_range(work: &mut Work<'_>) -> Result<(), CommandError> {
    let offset = parse_i64(work.args[2]).ok_or(CommandError::NotAnInteger)?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    let (held, part) = (work.first(), work.args[3]);
    let value = held.map_or(&[][..], |held| held.value);
    if part.is_empty() {
        work.length(value.len());
        return Ok(());
    }
    let end = offset.saturating_add(part.len());
    within_limit(end)?;
    let mut value = value.to_vec();
    value.resize(value.len().max(end), 0);
    value[offset..end].copy_from_slice(part);
    work.length(value.len());
    work.put(0, value, held.and_then(|held| held.expires_at));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Bench;

    // The answers were read off redis-server 7.0.15.

    #[test]
    fn append_lengthens_the_value_and_keeps_its_expiry() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("APPEND k abc"), ":3\r\n");
        assert_eq!(bench.ask("APPEND k def"), ":6\r\n");
        bench.ask("SET k ab EX 100");
        assert_eq!(bench.ask("APPEND k ''"), ":2\r\n");
        assert_eq!(bench.ask("APPEND k cd"), ":4\r\n");
        assert_eq!(bench.ask("GET k"), "$4\r\nabcd\r\n");
        assert_eq!(bench.ask("TTL k"), ":100\r\n");
        assert_eq!(bench.ask("APPEND empty ''"), ":0\r\n");
        assert_eq!(bench.ask("EXISTS empty"), ":1\r\n");
    }

    #[test]
    fn setrange_writes_over_a_part_and_fills_gaps_with_zeros() {
        let mut bench = Bench::single_node();
        let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
        for (request, answer) in [
            ("SETRANGE none 3 ''", ":0\r\n"),
            ("EXISTS none", ":0\r\n"),
            ("SETRANGE none 3 abc", ":6\r\n"),
            ("GET none", "$6\r\n\0\0\0abc\r\n"),
            ("SETEX k 100 abcd", "+OK\r\n"),
            ("SETRANGE k 1 XX", ":4\r\n"),
            ("SETRANGE k 6 z", ":7\r\n"),
            ("GET k", "$7\r\naXXd\0\0z\r\n"),
            ("TTL k", ":100\r\n"),
            ("SETRANGE k 100 ''", ":7\r\n"),
            ("SETRANGE k -1 ''", "-ERR offset is out of range\r\n"),
            ("SETRANGE k x y", "-ERR value is not an integer or out of range\r\n"),
            ("SETRANGE k 536870911 ''", ":7\r\n"),
            ("SETRANGE k 536870912 x", too_long),
            ("SETRANGE k 9223372036854775807 x", too_long),
        ] {
            assert_eq!(bench.ask(request), answer, "{request}");
        }
    }
}
