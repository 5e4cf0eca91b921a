//! The command line: what to run, from arguments, environment variables and cluster.toml.
//!
//! `ringkv` alone serves; `ringkv check` and `ringkv ring` explain a configuration and start nothing; `ringkv status` asks
//! running nodes. Serving itself is handed in by the binary, so that this module knows nothing of a node's parts.

mod arguments;
mod report;
mod serve;
mod simulate;
mod status;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::config::{ClusterConfig, ConfigError};

pub use arguments::{Cli, Command, ServeArguments};
pub use serve::ServeOptions;
pub use simulate::{SimulateArguments, Sizes};
pub use status::StatusArguments;

/// The file that `check` and `ring` read where none is named.
const DEFAULT_FILE: &str = "cluster.toml";
/// The exit code for a mistake of the person who runs ringkv, as clap has it.
const MISTAKE: u8 = 2;
/// The exit code when something failed that was asked for correctly.
const FAILURE: u8 = 1;

/// Does what the process' arguments ask for; `serve` serves until the node is told to stop.
///
/// The exit code is 0 if that went well, 1 if it failed, 2 for a mistake in the arguments or the configuration; that of
/// `ringkv status` tells the state of the cluster.
pub fn run(serve: impl FnOnce(ServeOptions) -> Result<(), Box<dyn Error>>) -> ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(cli) => execute(cli, serve),
        Err(error) => {
            // Help and version are "errors" that belong on standard output. If neither stream takes the text, nobody reads it.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(MISTAKE) } else { ExitCode::SUCCESS };
        }
    };
    outcome.map_or_else(Failure::report, ExitCode::from)
}

fn execute(cli: Cli, serve: impl FnOnce(ServeOptions) -> Result<(), Box<dyn Error>>) -> Result<u8, Failure> {
    let file = cli.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    match cli.command {
        None => serve(cli.serve.options(cli.config.as_deref())?).map_err(|error| Failure::failed(error.as_ref()))?,
        Some(Command::Check) => print(&report::check(&ClusterConfig::load(file)?, file))?,
        Some(Command::Ring { simulation, .. }) if simulation.simulate => print(&simulate::report(&simulation))?,
        Some(Command::Ring { keys, .. }) => print(&report::ring(&ClusterConfig::load(file)?.cluster, &keys))?,
        Some(Command::Status(arguments)) => return status::run(&arguments, cli.config.as_deref()),
    }
    Ok(0)
}

/// Writes `text` to standard output. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(&error)),
        _ => Ok(()),
    }
}

/// Why ringkv ends with an exit code other than 0.
#[derive(Debug)]
struct Failure {
    exit_code: u8,
    message: String,
}

impl Failure {
    fn mistake(message: String) -> Self {
        Self { exit_code: MISTAKE, message }
    }

    fn failed(error: &dyn Error) -> Self {
        Self { exit_code: FAILURE, message: format!("ringkv: {error}") }
    }

    fn report(self) -> ExitCode {
        // If standard error is closed, the exit code still tells.
        let _ = writeln!(io::stderr().lock(), "{}", self.message);
        ExitCode::from(self.exit_code)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::mistake(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What `ringkv` with `arguments` comes to; serving fails with the text of its options.
    fn outcome(arguments: &[&str]) -> Result<u8, Failure> {
        let cli = Cli::try_parse_from([&["ringkv"], arguments].concat()).unwrap();
        execute(cli, |options| Err(format!("serving {}", options.cluster.nodes[0].addr).into()))
    }

    #[test]
    fn a_failure_to_serve_exits_with_one() {
        let failure = outcome(&["--port", "7000"]).unwrap_err();
        assert_eq!((failure.exit_code, failure.message.as_str()), (1, "ringkv: serving 127.0.0.1:7000"));
    }

    #[test]
    fn a_mistake_in_the_file_exits_with_two_and_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.toml");
        fs::write(&path, "[cluster]\nwrite_quorum = 2").unwrap();
        let path = path.to_str().unwrap();
        for arguments in [&["check", "--config", path][..], &["ring", "--config", path], &["--config", path]] {
            let failure = outcome(arguments).unwrap_err();
            assert_eq!(failure.exit_code, 2);
            assert!(failure.message.starts_with(&format!("{path}:2: there are no nodes")), "{}", failure.message);
        }
    }

    #[test]
    fn a_missing_file_exits_with_two() {
        let failure = outcome(&["--config", "/nonexistent/cluster.toml", "check"]).unwrap_err();
        assert_eq!(failure.exit_code, 2);
        assert!(failure.message.starts_with("/nonexistent/cluster.toml: cannot be read"), "{}", failure.message);
    }
}
