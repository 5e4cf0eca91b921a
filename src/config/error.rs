//! A mistake in a configuration: where it is, what is wrong, what to write instead.

use std::error::Error;
use std::fmt;

/// Why a configuration cannot be used. The operator's to mend; nothing has been started or changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    file: Option<String>,
    line: Option<usize>,
    message: String,
}

impl ConfigError {
    /// A mistake on `line` (counted from 1) of `file`.
    pub(super) fn at(file: &str, line: usize, message: String) -> Self {
        Self { file: Some(file.to_owned()), line: Some(line), message }
    }

    /// A mistake that concerns `file` as a whole.
    pub(super) fn of_file(file: &str, message: String) -> Self {
        Self { file: Some(file.to_owned()), line: None, message }
    }

    /// A mistake outside of any file.
    pub(super) fn elsewhere(message: String) -> Self {
        Self { file: None, line: None, message }
    }

    /// The file with the mistake, as its name was given.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line of the mistake, counted from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// What is wrong and what to write instead.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            match self.line {
                Some(line) => write!(f, "{line}: ")?,
                None => f.write_str(" ")?,
            }
        }
        f.write_str(&self.message)
    }
}

impl Error for ConfigError {}
