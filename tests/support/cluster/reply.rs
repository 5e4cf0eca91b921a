//! What becomes of a request.

use ringkv::coordinator::{Outcome, QuorumError};

use super::text;

/// What became of a request, as a client sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    Value(Option<String>),
    /// Written; whether the key had a value before.
    Done {
        live: bool,
    },
    /// Refused beforehand: nothing was written.
    NotWritten(String),
    Reverted(String),
    Indeterminate(String),
    /// The read found too few replicas.
    Unread(String),
    /// The node that was asked died.
    Died,
}

impl Reply {
    pub(crate) fn value(text: &str) -> Self {
        Self::Value(Some(text.to_owned()))
    }

    pub(crate) fn nil() -> Self {
        Self::Value(None)
    }

    /// What a client reads after an update.
    pub(super) fn of_update(reply: &[u8]) -> Self {
        let text = String::from_utf8_lossy(reply).trim_end().to_owned();
        match text.as_bytes() {
            [b'-', ..] if text.contains("nothing was written") => Self::NotWritten(text),
            [b'-', ..] if text.contains("reverted") => Self::Reverted(text),
            [b'-', ..] => Self::Indeterminate(text),
            b"$-1" => Self::Value(None),
            [b'$', ..] => Self::Value(text.split_once("\r\n").map(|(_, value)| value.to_owned())),
            _ => Self::Value(Some(text)),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }
}

impl From<Outcome> for Reply {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Read(found) => Self::Value(found.and_then(|found| found.value).map(|value| text(&value))),
            Outcome::Written(before) => Self::Done { live: before.live },
            Outcome::Failed(error) => error.into(),
        }
    }
}

impl From<QuorumError> for Reply {
    fn from(error: QuorumError) -> Self {
        let words = error.to_string();
        match error {
            QuorumError::TooFewForWrite { .. } => Self::NotWritten(words),
            QuorumError::Reverted { .. } => Self::Reverted(words),
            QuorumError::Indeterminate { .. } => Self::Indeterminate(words),
            QuorumError::TooFewForRead { .. } | QuorumError::NotWrittenBack { .. } => Self::Unread(words),
        }
    }
}
