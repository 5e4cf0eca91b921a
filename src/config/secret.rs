//! Words that open doors: the one that nodes of a cluster know and clients do not, and the password of clients.

use std::fmt;

use subtle::ConstantTimeEq;

/// What a node must say to be taken for a peer, or a client to be served. It never appears in a log: its debug form is `***`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The secret `text`.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether `candidate` is the secret. Takes equally long wherever the two differ, so that a client cannot find it out
    /// byte by byte.
    #[must_use]
    pub fn matches(&self, candidate: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(candidate).into()
    }

    /// The secret itself, to be sent to a peer and nowhere else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_matches() {
        let secret = Secret::new("between us".to_owned());
        assert!(secret.matches(b"between us"));
        for candidate in [&b""[..], b"between", b"between us ", b"Between us"] {
            assert!(!secret.matches(candidate));
        }
    }

    #[test]
    fn debug_form_hides_the_secret() {
        assert_eq!(format!("{:?}", Some(Secret::new("between us".to_owned()))), "Some(***)");
    }
}
