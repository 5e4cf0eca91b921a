//! OBJECT and MEMORY: what a value is made of.
//!
//! A value is bytes in its record here, whatever they spell, so an encoding is what Redis would choose for them if they
//! were SET. A read writes nothing, so that cores need not tell each other of it: how often and how long ago a key was
//! used is not known, and nobody is told a number that was made up.

use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::integer::parse_i64;
use super::reading::Reading;

/// The longest string that Redis keeps in one piece with its header.
const EMBEDDED_BYTES_MAX: usize = 44;

/// How Redis would keep this value.
pub(super) fn encoding(value: &[u8]) -> &'static str {
    match value.len() {
        _ if parse_i64(value).is_some() => "int",
        0..=EMBEDDED_BYTES_MAX => "embstr",
        _ => "raw",
    }
}

impl Context<'_> {
    /// MEMORY USAGE key [SAMPLES count]. A string needs no sampling.
    pub(super) fn memory_usage(&mut self) -> Result<Flow, CommandError> {
        let mut options = self.request.args().skip(3);
        while let Some(option) = options.next() {
            let count =
                options.next().filter(|_| option.eq_ignore_ascii_case(b"SAMPLES")).ok_or(CommandError::Syntax)?;
            if parse_i64(count).ok_or(CommandError::NotAnInteger)? < 0 {
                return Err(CommandError::Syntax);
            }
        }
        let key_bytes = self.request.arg(2).len();
        Ok(self.read_at(2, Reading::Footprint { key_bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    // The answers were read off redis-server 7.0.15 but for those that the names call our own.

    #[test]
    fn an_encoding_is_what_redis_would_choose_for_the_bytes() {
        let mut bench = Bench::single_node();
        for (value, encoding) in [
            ("9223372036854775807", "int"),
            ("-9223372036854775808", "int"),
            ("9223372036854775808", "embstr"),
            ("-0", "embstr"),
            ("01", "embstr"),
            ("''", "embstr"),
            ("12345678901234567890123456789012345678901234", "embstr"),
            ("123456789012345678901234567890123456789012345", "raw"),
        ] {
            bench.ask(&format!("SET k {value}"));
            let expected = format!("${}\r\n{encoding}\r\n", encoding.len());
            assert_eq!(bench.ask("OBJECT ENCODING k"), expected, "{value}");
        }
    }

    #[test]
    fn a_missing_key_is_nil_to_every_question() {
        let mut bench = Bench::single_node();
        for question in ["OBJECT ENCODING", "object freq", "OBJECT IdleTime", "OBJECT REFCOUNT", "MEMORY USAGE"] {
            assert_eq!(bench.ask(&format!("{question} k")), "$-1\r\n", "{question}");
        }
    }

    #[test]
    fn what_is_not_tracked_is_refused_and_a_value_has_one_owner() {
        let mut bench = Bench::single_node();
        bench.ask("SET k v");
        assert_eq!(
            bench.ask("OBJECT FREQ k"),
            "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.\r\n"
        );
        assert_eq!(bench.ask("OBJECT IDLETIME k"), "-ERR Idle time not tracked: a read leaves no trace here.\r\n");
        assert_eq!(bench.ask("OBJECT REFCOUNT k"), ":1\r\n");
    }

    #[test]
    fn usage_grows_with_key_and_value_by_our_own_figures() {
        let mut bench = Bench::single_node();
        bench.ask("MSET k v key value");
        assert_eq!(bench.ask("MEMORY USAGE k"), ":46\r\n");
        assert_eq!(bench.ask("memory usage key samples 0 SAMPLES 9"), ":52\r\n");
        bench.ask("SET timed v EX 100");
        assert_eq!(bench.ask("MEMORY USAGE timed"), ":58\r\n", "the time takes eight bytes");
        for (options, error) in [
            ("SAMPLES", "syntax error"),
            ("SAMPLES -5", "syntax error"),
            ("SAMPLES x", "value is not an integer or out of range"),
            ("FOO 1", "syntax error"),
        ] {
            assert_eq!(bench.ask(&format!("MEMORY USAGE nope {options}")), format!("-ERR {error}\r\n"), "{options}");
        }
    }

    #[test]
    fn both_containers_have_their_help() {
        let mut bench = Bench::single_node();
        assert!(bench.ask("OBJECT HELP").contains("+ENCODING <key>\r\n"));
        assert!(bench.ask("MEMORY HELP").contains("+USAGE <key> [SAMPLES <count>]\r\n"));
        assert_eq!(bench.ask("OBJECT FOO x"), "-ERR unknown subcommand 'FOO'. Try OBJECT HELP.\r\n");
        assert_eq!(bench.ask("MEMORY"), "-ERR wrong number of arguments for 'memory' command\r\n");
        assert_eq!(bench.ask("OBJECT ENCODING"), "-ERR wrong number of arguments for 'object|encoding' command\r\n");
    }

    #[test]
    fn touch_counts_every_mention_of_a_key_that_exists() {
        let mut bench = Bench::single_node();
        bench.ask("SET k v");
        assert_eq!(bench.ask("TOUCH k k x"), ":2\r\n");
    }
}
