//! Error replies by their code: the first word, by which clients tell them apart.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Codes that are counted apart. There are fewer; a bug must not make this grow.
const CODES_MAX: usize = 128;
/// Bytes of a reply among which the code has to end.
const CODE_BYTES_MAX: usize = 32;
/// What an error without a code counts as.
const PLAIN: &str = "ERR";

/// How often each code was sent.
#[derive(Debug, Default)]
pub(crate) struct ErrorCounts(Mutex<BTreeMap<String, u64>>);

impl ErrorCounts {
    /// Counts one error reply.
    pub(crate) fn add(&self, code: &str) {
        let mut counts = self.0.lock();
        if let Some(count) = counts.get_mut(code) {
            *count += 1;
        } else if counts.len() < CODES_MAX {
            counts.insert(code.to_owned(), 1);
        }
    }

    /// Every code that was sent, and how often.
    pub(crate) fn all(&self) -> Vec<(String, u64)> {
        self.0.lock().iter().map(|(code, count)| (code.clone(), *count)).collect()
    }

    /// How many errors were sent.
    pub(crate) fn total(&self) -> u64 {
        self.0.lock().values().sum()
    }

    pub(super) fn reset(&self) {
        self.0.lock().clear();
    }
}

/// The code of an error reply, `-` included or not.
pub(crate) fn error_code(reply: &[u8]) -> &str {
    let text = reply.strip_prefix(b"-").unwrap_or(reply);
    let text = &text[..text.len().min(CODE_BYTES_MAX)];
    let code = memchr::memchr(b' ', text).map_or(&[][..], |end| &text[..end]);
    std::str::from_utf8(code).ok().filter(|code| !code.is_empty()).unwrap_or(PLAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_the_first_word() {
        assert_eq!(error_code(b"-WRONGTYPE Operation against a key"), "WRONGTYPE");
        assert_eq!(error_code(b"NOQUORUM 1 of 2 acks; reverted"), "NOQUORUM");
        for reply in [&b"-"[..], b"-\xff x", b"-averylongwordthatneverendsandisnocode x", b"- x"] {
            assert_eq!(error_code(reply), "ERR", "{reply:?}");
        }
    }

    #[test]
    fn errors_are_counted_by_code_and_in_total() {
        let counts = ErrorCounts::default();
        for code in ["WRONGTYPE", "ERR", "ERR"] {
            counts.add(code);
        }
        assert_eq!(counts.all(), [("ERR".to_owned(), 2), ("WRONGTYPE".to_owned(), 1)]);
        assert_eq!(counts.total(), 3);
        for number in 0..2 * CODES_MAX {
            counts.add(&number.to_string());
        }
        assert_eq!(counts.all().len(), CODES_MAX);
        counts.reset();
        assert_eq!(counts.total(), 0);
    }
}
