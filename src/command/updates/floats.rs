//! INCRBYFLOAT: a value that is a decimal fraction.

use crate::command::errors::CommandError;
use crate::command::extended::Extended;
use crate::coordinator::Work;

use super::Reply;

/// INCRBYFLOAT key increment.
pub(super) fn incr_by_float(work: &mut Work<'_>) -> Result<(), CommandError> {
    let parse = |text: &[u8]| Extended::parse(text).ok_or(CommandError::NotAFloat);
    let held = work.first();
    let number = parse(held.map_or(b"0", |held| held.value))?;
    let sum = number.plus(parse(work.args[2])?).ok_or(CommandError::InfiniteSum)?.text();
    work.bulk(sum.as_bytes());
    work.put(0, sum, held.and_then(|held| held.expires_at));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Bench;

    // The answers were read off redis-server 7.0.15.

    #[test]
    fn fractions_are_added_and_the_expiry_stays() {
        let mut bench = Bench::single_node();
        let not_a_float = "-ERR value is not a valid float\r\n";
        let infinite = "-ERR increment would produce NaN or Infinity\r\n";
        for (request, answer) in [
            ("INCRBYFLOAT k 0.1", "$3\r\n0.1\r\n"),
            ("INCRBYFLOAT k 0.2", "$3\r\n0.3\r\n"),
            ("GET k", "$3\r\n0.3\r\n"),
            ("INCRBYFLOAT k -0.3", "$1\r\n0\r\n"),
            ("INCRBYFLOAT k inf", infinite),
            ("INCRBYFLOAT k nan", not_a_float),
            ("INCRBYFLOAT k x", not_a_float),
            ("SET k abc", "+OK\r\n"),
            ("INCRBYFLOAT k 1", not_a_float),
            ("SET k ''", "+OK\r\n"),
            ("INCRBYFLOAT k 1", not_a_float),
            ("SET k 1 EX 100", "+OK\r\n"),
            ("INCRBYFLOAT k 1.5", "$3\r\n2.5\r\n"),
            ("TTL k", ":100\r\n"),
        ] {
            assert_eq!(bench.ask(request), answer, "{request}");
        }
    }
}
