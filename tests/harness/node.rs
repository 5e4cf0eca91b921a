//! `ringkv` processes: a configuration on free ports, started, waited for, signalled, and killed in the end.

use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{Links, PATIENCE, Ports, RawClient, command, poll};

/// How long nodes give each other for an answer: so long that on a busy machine nobody is taken for one that hangs. A node that
/// comes back waits as long until it counts.
const REQUEST_TIMEOUT_MS: u64 = 2000;
/// What Linux tells times of processes in.
const MILLIS_PER_TICK: u64 = 10;
/// Lines of each node's log that a failing test shows.
const LOG_LINES_SHOWN: usize = 40;

/// What a cluster is like.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) nodes: usize,
    pub(crate) replication_factor: usize,
    pub(crate) write_quorum: usize,
    pub(crate) read_quorum: usize,
    pub(crate) request_timeout_ms: u64,
    /// More lines for `[cluster]`.
    pub(crate) settings: String,
    /// More lines for `[server]`.
    pub(crate) server: String,
    /// Whether the nodes reach each other by wires that a test can cut.
    pub(crate) has_wires: bool,
}

impl Layout {
    /// `nodes` nodes, with the defaults of a small cluster.
    pub(crate) fn of(nodes: usize) -> Self {
        let replication_factor = nodes.min(3);
        Self {
            nodes,
            replication_factor,
            write_quorum: replication_factor / 2 + 1,
            read_quorum: 1,
            request_timeout_ms: REQUEST_TIMEOUT_MS,
            settings: String::new(),
            server: String::new(),
            has_wires: false,
        }
    }

    /// The text of cluster.toml with the nodes on these ports.
    pub(crate) fn text(&self, ports: &[u16]) -> String {
        self.text_with_wires(ports, ports)
    }

    /// The same for a node that reaches the nodes at the ports `reached`.
    fn text_with_wires(&self, ports: &[u16], reached: &[u16]) -> String {
        let Self { replication_factor, write_quorum, read_quorum, request_timeout_ms, settings, server, .. } = self;
        let mut text = format!(
            "[cluster]\nreplication_factor = {replication_factor}\nwrite_quorum = {write_quorum}\nread_quorum = {read_quorum}\n\
             request_timeout_ms = {request_timeout_ms}\n{settings}\n[server]\nworker_threads = 2\n{server}\n"
        );
        for ((port, reached), number) in ports.iter().zip(reached).zip(1..) {
            let node = format!("[[nodes]]\nid = \"node-{number}\"\naddr = \"127.0.0.1:{port}\"\n");
            text.push_str(&node);
            if port != reached {
                let announce = format!("announce = \"127.0.0.1:{reached}\"\n");
                text.push_str(&announce);
            }
        }
        text
    }
}

/// What a process may be told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Terminate,
    Interrupt,
    Stop,
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "-TERM",
            Self::Interrupt => "-INT",
            Self::Stop => "-STOP",
            Self::Continue => "-CONT",
        }
    }
}

/// One process. Killed when dropped; its log is shown if the test fails.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) port: u16,
    child: Child,
    log: PathBuf,
    /// Whether it was waited for, so that its pid may belong to another process.
    is_gone: Cell<bool>,
}

impl Node {
    /// Starts the node `id` of the file `config`, without waiting for anything. Its log goes to `<id>.log` beside the file.
    pub(crate) fn spawn(config: &Path, id: &str, port: u16) -> Self {
        let log = config.with_file_name(format!("{id}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log).expect("a log in the test's own directory");
        let child = Command::new(env!("CARGO_BIN_EXE_ringkv"))
            .arg("--config")
            .arg(config)
            .args(["--node", id])
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the binary under test starts");
        Self { id: id.to_owned(), port, child, log, is_gone: Cell::new(false) }
    }

    /// The exit status, if it ended on its own.
    pub(crate) fn exit(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("it is our child");
        self.is_gone.set(self.is_gone.get() || status.is_some());
        status
    }

    /// Waits for it to end.
    pub(crate) fn wait_for_exit(&mut self, patience: Duration) -> ExitStatus {
        poll("the node's end", patience, || self.exit())
    }

    /// Everything it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A new connection.
    pub(crate) fn client(&self) -> RawClient {
        RawClient::connect(self.port)
    }

    /// INFO, if it answers.
    pub(crate) fn try_info(&self) -> Option<String> {
        let mut client = RawClient::try_connect(self.port).ok()?;
        client.try_send(&command(&["INFO"])).ok()?;
        client.try_reply().ok().map(|reply| reply.text())
    }

    /// A field of INFO.
    pub(crate) fn info(&self, field: &str) -> Option<String> {
        let text = self.try_info()?;
        text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(|value| value.trim().to_owned()))
    }

    /// Bytes of memory that the system counts for it.
    pub(crate) fn resident_bytes(&self) -> usize {
        let status = self.status();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is alive");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kilobytes") * 1024
    }

    /// How long processors have worked for it, however many others they worked for meanwhile.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux tells of processes");
        // The name, in brackets, may hold spaces. After it `utime` and `stime` are the 12th and 13th field.
        let fields = stat.rsplit(')').next().expect("a name").split_whitespace();
        let ticks = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number of ticks")).sum::<u64>();
        Duration::from_millis(ticks * MILLIS_PER_TICK)
    }

    /// Sends a signal to it.
    pub(crate) fn signal(&self, signal: Signal) {
        assert!(!self.is_gone.get(), "{} has ended", self.id);
        let status = Command::new("kill").args([signal.name(), &self.child.id().to_string()]).status();
        assert!(status.expect("there is a kill command").success());
        if matches!(signal, Signal::Stop) {
            // It may answer a little longer, each of its threads.
            poll("the node to stand still", PATIENCE, || self.stands_still().then_some(()));
        }
    }

    fn stands_still(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("Linux tells of threads");
        let mut states = threads.map(|thread| fs::read_to_string(thread.expect("a thread").path().join("status")));
        // A thread that ends meanwhile has no state.
        states.all(|state| state.is_ok_and(|state| state.contains("State:\tT")))
    }

    /// What the system says of it.
    fn status(&self) -> String {
        fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux tells of processes")
    }

    /// Ends it as a power failure would.
    pub(crate) fn kill(&mut self) {
        if !self.is_gone.replace(true) {
            self.child.kill().expect("it is our child");
            self.child.wait().expect("it is our child");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            show(&format!("--- the end of the log of {}:\n{}", self.id, shown.join("\n")));
        }
    }
}

#[allow(clippy::print_stderr, reason = "the test failed: whoever reads this wants the log")]
fn show(text: &str) {
    eprintln!("{text}");
}

/// All nodes of one configuration.
pub(crate) struct Cluster {
    pub(crate) layout: Layout,
    pub(crate) config: PathBuf,
    pub(crate) ports: Vec<u16>,
    /// The wires between the nodes, if the layout has any.
    pub(crate) links: Option<Links>,
    nodes: Vec<Option<Node>>,
    /// Given back last, as is the directory.
    _reserved: Ports,
    _directory: TempDir,
}

impl Cluster {
    /// Starts all nodes and waits until each counts and sees all others.
    pub(crate) fn start(layout: &Layout) -> Self {
        let mut cluster = Self::configure(layout.clone());
        (0..layout.nodes).for_each(|index| cluster.spawn(index));
        cluster.wait_until_up();
        cluster
    }

    /// A configuration, with no node started.
    pub(crate) fn configure(layout: Layout) -> Self {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let config = directory.path().join("cluster.toml");
        let reserved = Ports::reserve(layout.nodes);
        let ports = reserved.numbers.clone();
        fs::write(&config, layout.text(&ports)).expect("the directory is ours");
        let nodes = ports.iter().map(|_| None).collect();
        let links = layout.has_wires.then(|| Links::between(&ports));
        let cluster = Self { layout, config, ports, links, nodes, _reserved: reserved, _directory: directory };
        for (index, links) in cluster.links.iter().flat_map(|links| (0..cluster.ports.len()).map(move |i| (i, links))) {
            let text = cluster.layout.text_with_wires(&cluster.ports, &links.ports_for(index));
            fs::write(cluster.config_of(index), text).expect("the directory is ours");
        }
        cluster
    }

    /// The file that node `index` reads.
    fn config_of(&self, index: usize) -> PathBuf {
        match self.links {
            Some(_) => self.config.with_file_name(format!("node-{}.toml", index + 1)),
            None => self.config.clone(),
        }
    }

    /// Starts node `index`, counted from 0, without waiting.
    pub(crate) fn spawn(&mut self, index: usize) {
        let id = format!("node-{}", index + 1);
        self.nodes[index] = Some(Node::spawn(&self.config_of(index), &id, self.ports[index]));
    }

    /// The running node `index`.
    pub(crate) fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().expect("it was started")
    }

    /// Kills node `index`.
    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].take().expect("it was started").kill();
    }

    /// Ends node `index` by SIGTERM, or whatever else ends it; the process is handed over.
    pub(crate) fn take(&mut self, index: usize) -> Node {
        self.nodes[index].take().expect("it was started")
    }

    /// Waits until node `index` sees `peers` others and has caught up.
    pub(crate) fn wait_ready(&self, index: usize, peers: usize) {
        let what = format!("node-{} caught up, with {peers} peers", index + 1);
        poll(&what, PATIENCE, || self.is_ready(index, peers).then_some(()));
    }

    /// Waits until all running nodes see each other.
    pub(crate) fn wait_all_ready(&self) {
        let running: Vec<usize> = (0..self.nodes.len()).filter(|&index| self.nodes[index].is_some()).collect();
        for &index in &running {
            self.wait_ready(index, running.len() - 1);
        }
    }

    fn is_ready(&self, index: usize, peers: usize) -> bool {
        let Some(info) = self.node(index).try_info() else { return false };
        let holds = |line: String| info.lines().any(|other| other == line);
        let states = info.lines().filter(|line| line.starts_with("peer") && line.contains(",state=up,")).count();
        holds("slots_syncing:0".to_owned()) && holds(format!("peers_up:{peers}")) && states == peers
    }

    fn wait_until_up(&mut self) {
        let others = self.layout.nodes - 1;
        poll("a cluster that is up", PATIENCE, || {
            for node in self.nodes.iter_mut().flatten() {
                if let Some(status) = node.exit() {
                    panic!("{} ended with {status}:\n{}", node.id, node.log());
                }
            }
            (0..self.layout.nodes).all(|index| self.is_ready(index, others)).then_some(())
        });
    }
}
