//! `ringkv status` against real nodes: what it says of dead, hanging and returning ones, and how it exits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Cluster, Layout, PATIENCE, Signal, poll, poll_for};

/// How long a call waits for a node where all answer or are gone.
const ASK_MS: &str = "20000";
/// The same where one hangs: less than it takes to see that.
const ASK_BRIEFLY: [&str; 2] = ["--timeout", "1000"];

/// What one call came to.
#[derive(Debug)]
struct Shown {
    text: String,
    exit_code: Option<i32>,
    began: Instant,
}

impl Shown {
    /// The last line.
    fn verdict(&self) -> &str {
        self.text.lines().last().unwrap_or_default()
    }

    /// The state of a node, as it stands in the table.
    fn state_of(&self, id: &str) -> Option<&str> {
        let line = self.text.lines().find(|line| line.starts_with(&format!("{id} ")))?;
        line.split_whitespace().nth(2)
    }
}

fn status(arguments: &[&str]) -> Shown {
    let began = Instant::now();
    let output = status_command(arguments).output().expect("the binary under test starts");
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    Shown { text, exit_code: output.status.code(), began }
}

fn status_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringkv"));
    command.arg("status").args(arguments).stdin(Stdio::null()).env_remove("RINGKV_CONFIG");
    if !arguments.contains(&"--timeout") {
        command.args(["--timeout", ASK_MS]);
    }
    command
}

fn address(cluster: &Cluster, index: usize) -> String {
    format!("127.0.0.1:{}", cluster.ports[index])
}

/// Asks node `index` until what is shown is right: nodes may learn of it one after the other, or be slow to answer.
fn shown_when(cluster: &Cluster, index: usize, more: &[&str], is_right: impl Fn(&Shown) -> bool) -> Shown {
    let (address, mut last) = (address(cluster, index), None);
    let found = poll_for(PATIENCE, || {
        let shown = status(&[&["--addr", &address], more].concat());
        last = (!is_right(&shown)).then(|| format!("{shown:?}"));
        last.is_none().then_some(shown)
    });
    found.unwrap_or_else(|| panic!("after {PATIENCE:?}, still: {last:?}"))
}

#[test]
fn a_cluster_is_converged_then_degraded_then_unavailable_as_nodes_die() {
    let mut cluster = Cluster::start(&Layout::of(3));
    for index in 0..3 {
        let shown = shown_when(&cluster, index, &[], |shown| shown.exit_code == Some(0));
        assert!(shown.verdict().starts_with("converged: 3 nodes alive"), "{shown:?}");
        assert!(["node-1", "node-2", "node-3"].iter().all(|id| shown.state_of(id) == Some("alive")), "{shown:?}");
        assert!(shown.text.contains("N=3, W=2, R=1") && shown.text.contains("100.0%"), "{shown:?}");
    }

    cluster.kill(1);
    let verdict = "degraded: node-2 is down, writes and reads go on (2 of 3 nodes, W=2)";
    let shown = shown_when(&cluster, 0, &[], |shown| shown.verdict() == verdict);
    assert_eq!((shown.state_of("node-2"), shown.exit_code), (Some("down"), Some(1)), "{shown:?}");

    cluster.kill(2);
    let verdict = "UNAVAILABLE: all of the keys cannot be written (W=2), reads go on";
    let shown = shown_when(&cluster, 0, &[], |shown| shown.verdict().starts_with(verdict));
    assert_eq!(shown.exit_code, Some(2), "{shown:?}");

    let json = status(&["--addr", &address(&cluster, 0), "--json"]);
    assert!(json.text.starts_with("{\"verdict\":\"UNAVAILABLE\",") && json.text.lines().count() == 1, "{json:?}");
    assert!(json.text.contains("\"id\":\"node-2\"") && json.exit_code == Some(2), "{json:?}");

    // The file leads to whoever is left.
    let config = cluster.config.to_str().unwrap().to_owned();
    assert_eq!(status(&["--config", &config]).state_of("node-1"), Some("alive"));
    cluster.kill(0);
    let shown = status(&["--config", &config]);
    assert_eq!(shown.exit_code, Some(2));
    assert!(shown.text.starts_with("UNAVAILABLE: no node answers"), "{shown:?}");
    assert!((0..3).all(|index| shown.text.contains(&address(&cluster, index))), "{shown:?}");
}

#[test]
fn a_node_that_hangs_is_shown_as_down_within_two_timeouts_and_alive_when_it_goes_on() {
    let layout = Layout { request_timeout_ms: 4000, ..Layout::of(3) };
    let cluster = Cluster::start(&layout);
    shown_when(&cluster, 0, &[], |shown| shown.exit_code == Some(0));
    let stopped = Instant::now();
    cluster.node(2).signal(Signal::Stop);

    let verdict = "degraded: node-3 is down, writes and reads go on (2 of 3 nodes, W=2)";
    let shown = shown_when(&cluster, 0, &ASK_BRIEFLY, |shown| shown.verdict() == verdict);

    let two_timeouts = 2 * Duration::from_millis(layout.request_timeout_ms);
    assert!(shown.began - stopped <= two_timeouts, "after {:?}", shown.began - stopped);
    assert_eq!(shown.state_of("node-3"), Some("down"), "{shown:?}");
    // One node that has noticed is enough for the table; a node's own view follows within the same two timeouts.
    let mut client = cluster.node(0).client();
    let nodes = poll("its view", PATIENCE, || {
        let nodes = client.ask(&["CLUSTER", "NODES"]).text();
        let line = nodes.lines().find(|line| line.contains(&address(&cluster, 2))).unwrap();
        let is_down = line.contains(" master,fail - 0 ") && line.ends_with(" disconnected");
        is_down.then_some(nodes)
    });
    assert!(stopped.elapsed() <= two_timeouts, "after {:?}", stopped.elapsed());
    let living = nodes.lines().find(|line| line.contains(&address(&cluster, 1))).unwrap();
    let heard: u64 = living.split(' ').nth(5).unwrap().parse().unwrap();
    assert!(heard > 1_600_000_000_000, "a time in Unix milliseconds: {nodes}");

    cluster.node(2).signal(Signal::Continue);
    shown_when(&cluster, 0, &ASK_BRIEFLY, |shown| shown.exit_code == Some(0));
}

#[test]
fn watching_shows_it_again_until_interrupted_and_exits_with_zero() {
    let cluster = Cluster::start(&Layout::of(1));
    let address = address(&cluster, 0);
    let mut command = status_command(&["--addr", &address, "--watch", "1"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary under test starts");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);

    for _ in 0..2 {
        let verdict = lines.find(|line| line.starts_with("converged")).expect("it is shown again");
        assert_eq!(verdict, "converged: 1 node alive");
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());

    let status = poll("its end", PATIENCE, || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert!(lines.all(|line| !line.contains('\u{1b}')), "plain text where there is no terminal");
}

#[test]
fn what_is_no_node_is_named_with_what_to_do() {
    let shown = status(&["--addr", "localhost"]);
    assert_eq!(shown.exit_code, Some(2));
    assert!(shown.text.contains("--addr host:port"), "{shown:?}");
}
