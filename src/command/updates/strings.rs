//! Values made longer or written over in part.

use crate::command::errors::CommandError;
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
}
