//! The arguments and their environment variables, declared once for parsing and for `--help`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::simulate::SimulateArguments;
use super::status::StatusArguments;
use crate::config::{Knob, MAX_CLIENTS, MAX_VALUE_BYTES, SECRET_BYTES_MAX, Secret, WORKER_THREADS};

const EXAMPLES: &str = "\
Examples:
  ringkv                                         One node on 127.0.0.1:6379, without a file
  RINGKV_REQUIREPASS=s3cret ringkv --bind 0.0.0.0 The same, for other machines that know a password
  ringkv --config cluster.toml --node node-1     One of the nodes of a cluster
  ringkv check --config cluster.toml             What is wrong with the file, or what it promises
  ringkv ring --config cluster.toml --key foo    Which nodes keep how much, and who keeps `foo`
  ringkv ring --simulate --nodes 3..1000         What rings of other sizes would come to
  ringkv status --addr 127.0.0.1:7001 --watch    The running cluster at a glance, over and over

Exit codes: 0 done, 1 failed, 2 a mistake in the arguments or the file";

const STATUS_EXIT_CODES: &str = "\
Any node will do: the others are learnt from it. A node's state is what most of those that answer say of it.

Columns:
  keys       that it holds
  share      of all slots
  caught up  with the others since its last start
  clock      ahead of the others'
  owed       writes that it missed and that others keep for it
  lag        since all its slots were last seen to be equal to the others'

Exit codes:
  0  converged: all nodes are alive, and nothing is known to differ
  1  repairing or degraded: every key still has the replicas for its writes and reads
  2  UNAVAILABLE: some keys have too few replicas, or no node answers
  2  a mistake in the arguments or the file
With --watch: 0 after Ctrl-C";

/// A Redis-protocol server made of equal nodes on a consistent-hash ring: no leader, no failover.
///
/// Without a subcommand it serves: as the node --node of the cluster that --config describes, or, without a file, as a
/// single node that any Redis client can use.
#[derive(Parser, Debug)]
#[command(name = "ringkv", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do other than serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The file that describes the cluster, the same for all of its nodes.
    #[arg(long, value_name = "FILE", env = "RINGKV_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// How to serve.
    #[command(flatten)]
    pub serve: ServeArguments,
}

/// What there is to do other than serve.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Say what is wrong with a configuration, by line, or what it promises (cluster.toml unless --config names another)
    Check,
    /// Show how the ring shares out the slots, and which nodes keep a key (cluster.toml unless --config names another)
    Ring {
        /// A key whose nodes to show; may be repeated.
        #[arg(long = "key", value_name = "KEY")]
        keys: Vec<String>,
        /// Rings of other sizes.
        #[command(flatten)]
        simulation: SimulateArguments,
    },
    /// Show running nodes at a glance: who is up, holds how much, and lags how far behind; exits by what it finds
    #[command(after_help = STATUS_EXIT_CODES)]
    Status(StatusArguments),
}

/// How to serve.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Serving")]
pub struct ServeArguments {
    /// Which of the file's nodes to be; may be left out if there is only one.
    #[arg(long, value_name = "ID", env = "RINGKV_NODE")]
    pub node: Option<String>,
    /// The IP address to bind without a file [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR", env = "RINGKV_BIND")]
    pub bind: Option<IpAddr>,
    /// The port to bind without a file; 0 takes a free one [default: 6379]
    #[arg(long, short, value_name = "PORT", env = "RINGKV_PORT")]
    pub port: Option<u16>,
    /// The threads that serve requests, instead of the file's `worker_threads` [default: one per processor]
    #[arg(long, value_name = "N", env = "RINGKV_THREADS", value_parser = legal(&WORKER_THREADS))]
    pub threads: Option<usize>,
    /// How many clients may be connected at a time, instead of the file's `max_clients` [default: 10000]
    #[arg(long, value_name = "N", env = "RINGKV_MAX_CLIENTS", value_parser = legal(&MAX_CLIENTS))]
    pub max_clients: Option<usize>,
    /// The longest value that a client may send, instead of the file's `max_value_bytes` [default: 536870912]
    #[arg(long, value_name = "BYTES", env = "RINGKV_MAX_VALUE_BYTES", value_parser = legal(&MAX_VALUE_BYTES))]
    pub max_value_bytes: Option<usize>,
    /// What clients must say before they are served, instead of the file's `requirepass`. Other users of this machine can
    /// read arguments, so the environment variable is better
    #[arg(long, value_name = "PASSWORD", env = "RINGKV_REQUIREPASS", hide_env_values = true, value_parser = password)]
    pub requirepass: Option<Secret>,
    /// Whether a node without a password refuses clients of other machines, instead of the file's `protected_mode`
    /// [default: yes]
    #[arg(long, value_name = "yes|no", env = "RINGKV_PROTECTED_MODE", hide_possible_values = true)]
    pub protected_mode: Option<Switch>,
    /// What to log: error, warn, info, debug, trace, or a filter by module such as `info,ringkv::peer=debug` [default: what
    /// `RUST_LOG` says, else info]
    #[arg(long, value_name = "LEVEL", env = "RINGKV_LOG")]
    pub log: Option<String>,
}

/// On or off, in Redis' words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Switch {
    /// On.
    Yes,
    /// Off.
    No,
}

/// A parser of passwords; what it says does not repeat them.
pub(super) fn password(text: &str) -> Result<Secret, String> {
    match text.len() {
        1..=SECRET_BYTES_MAX => Ok(Secret::new(text.to_owned())),
        len => Err(format!("it has {len} bytes; write 1 to {SECRET_BYTES_MAX}")),
    }
}

/// A parser of the legal values of `knob`: the same as in the file.
fn legal(knob: &Knob) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(knob.range())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["ringkv"], arguments].concat())
    }

    #[test]
    fn declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_argument_has_its_environment_variable() {
        for argument in Cli::command().get_arguments().filter(|argument| !argument.is_global_set()) {
            let name = argument.get_long().unwrap().to_uppercase().replace('-', "_");
            let variable = argument.get_env().and_then(|variable| variable.to_str());
            assert_eq!(variable, Some(format!("RINGKV_{name}").as_str()));
        }
    }

    #[test]
    fn file_may_be_named_before_or_after_the_subcommand() {
        for arguments in [["--config", "a.toml", "check"], ["check", "--config", "a.toml"]] {
            let cli = parse(&arguments).unwrap();
            assert!(matches!(cli.command, Some(Command::Check)));
            assert_eq!(cli.config, Some(PathBuf::from("a.toml")));
        }
    }

    #[test]
    fn keys_may_be_repeated() {
        let cli = parse(&["ring", "--key", "foo", "--key", "bar"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Ring { keys, .. }) if keys == ["foo", "bar"]));
    }

    #[test]
    fn values_outside_of_their_range_are_refused() {
        for arguments in [["--threads", "0"], ["--threads", "1025"], ["--max-value-bytes", "1"], ["--max-clients", "0"]]
        {
            assert_eq!(parse(&arguments).unwrap_err().kind(), ErrorKind::ValueValidation, "{arguments:?}");
        }
        for arguments in [["--port", "65536"], ["--bind", "everywhere"]] {
            assert_eq!(parse(&arguments).unwrap_err().kind(), ErrorKind::ValueValidation, "{arguments:?}");
        }
        assert_eq!(parse(&["--replicas", "1"]).unwrap_err().kind(), ErrorKind::UnknownArgument);
    }

    #[test]
    fn help_shows_examples_and_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        for part in ["ringkv check --config cluster.toml", "Exit codes", "RINGKV_NODE", "no leader"] {
            assert!(help.contains(part), "no {part:?} in\n{help}");
        }
    }
}
