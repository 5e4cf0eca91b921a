//! Refused introductions, remembered so that the log tells of each once.
//!
//! A node with a wrong setting dials again and again, and each time is refused for the same reason. Only so many reasons
//! are remembered: a stranger who makes up ever new ones is not to fill the memory.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Reasons that are remembered; at the bound the oldest is forgotten.
const REASONS_MAX: usize = 32;
/// Of a longer one the rest is not compared.
const REASON_CHARS_MAX: usize = 256;

/// Who was refused lately, and why.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Hosts and reasons, the newest last.
    known: Mutex<VecDeque<(String, String)>>,
}

impl Refusals {
    /// Notes that a connection from `address` was refused. Whether this is news.
    pub(super) fn refused(&self, address: &str, reason: &str) -> bool {
        let entry = (host(address).to_owned(), reason.chars().take(REASON_CHARS_MAX).collect());
        let mut known = self.known.lock();
        if known.contains(&entry) {
            return false;
        }
        if known.len() == REASONS_MAX {
            known.pop_front();
        }
        known.push_back(entry);
        true
    }

    /// Notes that a node from `address` was let in: the next refusal there is news.
    pub(super) fn accepted(&self, address: &str) {
        self.known.lock().retain(|(known, _)| known != host(address));
    }
}

/// The address without its port, which is another one each time.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_news_once_until_its_host_was_let_in() {
        let refusals = Refusals::default();
        assert!(refusals.refused("10.0.0.1:5000", "the secret differs"));
        assert!(!refusals.refused("10.0.0.1:5001", "the secret differs"));
        assert!(refusals.refused("10.0.0.1:5002", "cluster differs"));
        assert!(refusals.refused("10.0.0.2:5000", "the secret differs"));
        assert!(!refusals.refused("10.0.0.1:5003", "the secret differs"), "reasons may take turns");

        refusals.accepted("10.0.0.1:5004");
        assert!(refusals.refused("10.0.0.1:5005", "the secret differs"));
        assert!(!refusals.refused("10.0.0.2:5006", "the secret differs"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let refusals = Refusals::default();
        for number in 0..10 * REASONS_MAX {
            assert!(refusals.refused("h:1", &format!("{number} {}", "x".repeat(10_000))));
        }
        let known = refusals.known.lock();
        assert_eq!(known.len(), REASONS_MAX);
        assert!(known.iter().all(|(_, reason)| reason.len() <= REASON_CHARS_MAX));
    }
}
