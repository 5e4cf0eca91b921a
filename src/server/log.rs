//! The log: to standard error, filtered by `--log` or `RUST_LOG`, in colours if people read it there.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::ServeError;

/// What is logged when nobody says otherwise.
const DEFAULT_FILTER: &str = "info";

/// Starts logging as `filter` says, or the environment variable `RUST_LOG`.
///
/// # Errors
/// [`ServeError::LogFilter`] if the filter cannot be understood.
pub(super) fn start(filter: Option<&str>) -> Result<(), ServeError> {
    let environment = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let chosen = filter.or(environment.as_deref()).unwrap_or(DEFAULT_FILTER);
    let filter = EnvFilter::builder()
        .parse(chosen)
        .map_err(|source| ServeError::LogFilter { filter: chosen.to_owned(), reason: source.to_string() })?;
    let stderr = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A program that embeds the server may have set up a log of its own: that one stays.
    let _ = stderr.with_ansi(io::stderr().is_terminal()).try_init();
    Ok(())
}
