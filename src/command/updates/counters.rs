//! INCR and its kin: a value that is a 64-bit integer in decimal digits.

use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;
use crate::coordinator::Work;

use super::Reply;

/// INCR key.
pub(super) fn incr(work: &mut Work<'_>) -> Result<(), CommandError> {
    add(work, 1)
}

/// DECR key.
pub(super) fn decr(work: &mut Work<'_>) -> Result<(), CommandError> {
    add(work, -1)
}

/// INCRBY key increment.
pub(super) fn incr_by(work: &mut Work<'_>) -> Result<(), CommandError> {
    let increment = parse_i64(work.args[2]).ok_or(CommandError::NotAnInteger)?;
    add(work, increment)
}

/// DECRBY key decrement.
pub(super) fn decr_by(work: &mut Work<'_>) -> Result<(), CommandError> {
    let decrement = parse_i64(work.args[2]).ok_or(CommandError::NotAnInteger)?;
    let increment = decrement.checked_neg().ok_or(CommandError::DecrementWouldOverflow)?;
    add(work, increment)
}

/// Adds to what the key holds, 0 if that is nothing, and keeps its expiry.
fn add(work: &mut Work<'_>, increment: i64) -> Result<(), CommandError> {
    let held = work.first();
    let number = held.map_or(Some(0), |held| parse_i64(held.value)).ok_or(CommandError::NotAnInteger)?;
    let sum = number.checked_add(increment).ok_or(CommandError::IncrementWouldOverflow)?;
    let expires_at = held.and_then(|held| held.expires_at);
    work.put(0, sum.to_string(), expires_at);
    work.integer(sum);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Bench;

    // The answers were read off redis-server 7.0.15.

    #[test]
    fn counters_start_at_nothing_and_keep_their_expiry() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("INCR k"), ":1\r\n");
        assert_eq!(bench.ask("INCRBY k 41"), ":42\r\n");
        assert_eq!(bench.ask("DECR k"), ":41\r\n");
        assert_eq!(bench.ask("DECRBY k -9"), ":50\r\n");
        assert_eq!(bench.ask("GET k"), "$2\r\n50\r\n");
        bench.ask("SET k 9 PX 1000");
        assert_eq!(bench.ask("INCR k"), ":10\r\n");
        assert_eq!(bench.ask("PTTL k"), ":1000\r\n");
    }

    #[test]
    fn what_cannot_be_counted_stays_as_it_is() {
        let mut bench = Bench::single_node();
        let not_an_integer = "-ERR value is not an integer or out of range\r\n";
        let overflow = "-ERR increment or decrement would overflow\r\n";
        bench.ask("SET k 9223372036854775807");
        assert_eq!(bench.ask("INCR k"), overflow);
        assert_eq!(bench.ask("INCRBY k x"), not_an_integer);
        assert_eq!(bench.ask("DECRBY k -9223372036854775808"), "-ERR decrement would overflow\r\n");
        assert_eq!(bench.ask("GET k"), "$19\r\n9223372036854775807\r\n");
        bench.ask("SET k ' 1'");
        assert_eq!(bench.ask("INCR k"), not_an_integer);
    }
}
