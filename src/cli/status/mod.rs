//! `ringkv status`: the whole cluster at a glance, asked of any node, with an exit code for scripts.
//!
//! No node knows the cluster: each has its own view, and a node that is cut off may think itself alone in the world. So
//! one node is only asked who the others are, then each is asked for its view, and what they come to together is
//! decided by a plain function ([`verdict`]). Everything needed is in INFO, so this is an ordinary client.

mod client;
mod json;
mod report;
mod table;
mod verdict;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use tokio::time::MissedTickBehavior;

use super::Failure;
use super::arguments::password;
use crate::config::{ClusterConfig, Secret};

use client::survey;
use verdict::assess;

/// Where a node is looked for if nothing else is said: where a node without a file listens.
const DEFAULT_ADDRESS: &str = "127.0.0.1:6379";
/// The exit code when some keys have no quorum, or nobody answers.
const UNAVAILABLE: u8 = 2;

/// What `ringkv status` is to show.
#[derive(Args, Debug)]
pub struct StatusArguments {
    /// A node to ask first, as host:port; may be repeated [default: the nodes of --config, else 127.0.0.1:6379]
    #[arg(long = "addr", value_name = "HOST:PORT")]
    pub addresses: Vec<String>,
    /// The password of the nodes' clients [default: `requirepass` of --config, if there is one]. Other users of this machine
    /// can read arguments, so the environment variable is better
    #[arg(long, value_name = "PASSWORD", env = "RINGKV_PASSWORD", hide_env_values = true, value_parser = password)]
    pub password: Option<Secret>,
    /// Show it again every so many seconds until Ctrl-C [default: 2]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub watch: Option<u64>,
    /// Show one line of JSON instead, for programs
    #[arg(long)]
    pub json: bool,
    /// How long to wait for each node, in milliseconds
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub timeout: u64,
}

/// Shows the status once, or again and again; the exit code.
pub(super) fn run(arguments: &StatusArguments, config: Option<&Path>) -> Result<u8, Failure> {
    let (seeds, password) = (seeds(arguments, config)?, password_for(arguments, config)?);
    let password = password.as_ref();
    let timeout = Duration::from_millis(arguments.timeout);
    let form = if arguments.json { Form::Json } else { Form::Table };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(&error))?;
    runtime.block_on(async {
        match arguments.watch {
            None => show_once(look(&seeds, password, timeout, form).await),
            Some(seconds) => {
                watch(async || look(&seeds, password, timeout, form).await.0, Duration::from_secs(seconds)).await
            }
        }
    })
}

/// The addresses to begin with.
fn seeds(arguments: &StatusArguments, config: Option<&Path>) -> Result<Vec<String>, Failure> {
    if let Some(wrong) = arguments.addresses.iter().find(|address| !is_address(address)) {
        return Err(Failure::mistake(format!("'{wrong}' is no address; write --addr host:port")));
    }
    match config {
        _ if !arguments.addresses.is_empty() => Ok(arguments.addresses.clone()),
        Some(file) => {
            let nodes = ClusterConfig::load(file)?.cluster.nodes;
            Ok(nodes.iter().map(|node| node.announced().to_owned()).collect())
        }
        None => Ok(vec![DEFAULT_ADDRESS.to_owned()]),
    }
}

/// The password to say: that of the file if no other is given.
fn password_for(arguments: &StatusArguments, config: Option<&Path>) -> Result<Option<Secret>, Failure> {
    match (&arguments.password, config) {
        (None, Some(file)) => Ok(ClusterConfig::load(file)?.server.requirepass),
        (given, _) => Ok(given.clone()),
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn show_once((text, exit_code): (String, u8)) -> Result<u8, Failure> {
    match write(&text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(&error)),
        _ => Ok(exit_code),
    }
}

/// Shows the status until Ctrl-C, or until nobody reads it any more. A node that cannot be asked now may be there later.
async fn watch(look: impl AsyncFn() -> String, period: Duration) -> Result<u8, Failure> {
    let frames = async {
        let is_terminal = io::stdout().is_terminal();
        let mut rounds = tokio::time::interval(period);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_first = true;
        loop {
            rounds.tick().await;
            let text = look().await;
            let shown = if is_terminal { screen(&text, is_first) } else { text };
            is_first = false;
            match write(&shown) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(0),
                Err(error) => return Err(Failure::failed(&error)),
            }
        }
    };
    tokio::select! {
        biased;
        stopped = tokio::signal::ctrl_c() => stopped.map(|()| 0).map_err(|error| Failure::failed(&error)),
        ended = frames => ended,
    }
}

/// The text to show now, and the exit code that goes with it.
async fn look(seeds: &[String], password: Option<&Secret>, timeout: Duration, form: Form) -> (String, u8) {
    let survey = survey(seeds, password, timeout).await;
    match (assess(&survey), form) {
        (Some(assessment), Form::Table) => (table::text(&assessment), assessment.verdict.exit_code()),
        (Some(assessment), Form::Json) => (json::text(&assessment), assessment.verdict.exit_code()),
        (None, Form::Table) => (table::nobody(&survey), UNAVAILABLE),
        (None, Form::Json) => (json::nobody(&survey), UNAVAILABLE),
    }
}

/// How the status is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Table,
    Json,
}

/// `text` in place of what the terminal shows: each line over the former one, so that nothing flickers.
fn screen(text: &str, is_first: bool) -> String {
    let start = if is_first { "\x1b[2J\x1b[H" } else { "\x1b[H" };
    format!("{start}{}\x1b[J", text.replace('\n', "\x1b[K\n"))
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(addresses: &[&str]) -> StatusArguments {
        StatusArguments {
            addresses: addresses.iter().map(|&text| text.to_owned()).collect(),
            password: None,
            watch: None,
            json: false,
            timeout: 100,
        }
    }

    #[test]
    fn a_named_address_outranks_the_file_and_the_file_the_default() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster.toml");
        assert_eq!(seeds(&arguments(&["h:1"]), Some(&file)).unwrap(), ["h:1"]);
        assert_eq!(seeds(&arguments(&[]), Some(&file)).unwrap()[2], "127.0.0.1:7003");
        assert_eq!(seeds(&arguments(&[]), None).unwrap(), [DEFAULT_ADDRESS]);
    }

    #[test]
    fn what_is_no_address_is_a_mistake_that_says_what_to_write() {
        for wrong in ["localhost", "7001", ":7001", "h:port", "h:70000"] {
            let failure = seeds(&arguments(&[wrong]), None).unwrap_err();
            assert_eq!(failure.exit_code, 2);
            assert!(failure.message.contains(wrong) && failure.message.contains("--addr host:port"), "{failure:?}");
        }
        assert!(seeds(&arguments(&["[::1]:7001"]), None).is_ok());
    }

    #[test]
    fn a_terminal_is_written_over_line_by_line() {
        assert_eq!(screen("a\nb\n", true), "\x1b[2J\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(screen("a\n", false), "\x1b[Ha\x1b[K\n\x1b[J");
    }

    #[tokio::test]
    async fn where_nobody_listens_the_text_says_what_to_do() {
        let (text, exit_code) = look(&["127.0.0.1:1".to_owned()], None, Duration::from_secs(5), Form::Table).await;
        assert_eq!(exit_code, 2);
        assert!(text.starts_with("UNAVAILABLE: no node answers") && text.contains("--addr"), "{text}");
    }
}
