//! What clients did and saw.

use std::fmt;
use std::sync::Mutex;

use tokio::time::Instant;

use super::cluster::Reply;

/// The client of reads that the test itself makes when all faults have ended.
pub(crate) const NOBODY: usize = usize::MAX;

/// A client's request and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    pub(crate) client: usize,
    /// The node that was asked.
    pub(crate) node: usize,
    pub(crate) key: String,
    pub(crate) action: Action,
    pub(crate) fate: Fate,
    /// The error that the client was told, if any.
    pub(crate) words: String,
    /// When it began and when it was answered: events of one run are numbered, for many share a point in time.
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Store a value that no other call stores (`Some`), or delete.
    Write(Option<String>),
    Read,
    /// Store such a value, or delete, and return what was there before.
    Swap(Option<String>),
    /// Put such a value, after a dot, behind what was there before.
    Append(String),
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// The read, or the swap, returned this.
    Saw(Option<String>),
    /// The write was acknowledged.
    Acknowledged,
    /// The write was said to have had no effect and never to have one.
    TakenBack,
    /// The write may have had an effect, or have it later, or never.
    Unknown,
    /// The read failed.
    Failed,
}

impl From<Reply> for Fate {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Value(value) => Self::Saw(value),
            Reply::Done { .. } => Self::Acknowledged,
            Reply::NotWritten(_) | Reply::Reverted(_) => Self::TakenBack,
            // Of a read this means nothing, of a write that its fate is open.
            Reply::Indeterminate(_) | Reply::Died => Self::Unknown,
            Reply::Unread(_) => Self::Failed,
        }
    }
}

impl Reply {
    /// What the client was told beside a value.
    fn words(&self) -> String {
        match self {
            Self::NotWritten(words) | Self::Reverted(words) | Self::Indeterminate(words) | Self::Unread(words) => {
                words.clone()
            }
            Self::Died => "no answer".to_owned(),
            Self::Value(_) | Self::Done { .. } => String::new(),
        }
    }
}

impl Call {
    /// What it stores, if it stores anything: of what it appends, the value alone.
    #[allow(
        clippy::option_option,
        reason = "whether something is told, and whether that is a value, are two questions"
    )]
    pub(crate) fn value(&self) -> Option<Option<&str>> {
        match &self.action {
            Action::Write(value) | Action::Swap(value) => Some(value.as_deref()),
            Action::Append(value) => Some(Some(value)),
            Action::Read => None,
        }
    }

    /// Whether it was acknowledged that its value was stored.
    pub(crate) fn has_written(&self) -> bool {
        match self.action {
            Action::Write(_) => self.fate == Fate::Acknowledged,
            Action::Swap(_) | Action::Append(_) => matches!(self.fate, Fate::Saw(_)),
            Action::Read => false,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, node, key, action, fate, words, invoked, returned } = self;
        write!(f, "{invoked:>5} to {returned:>5}  ")?;
        match *client {
            NOBODY => write!(f, "finally, at node {node}: ")?,
            client => write!(f, "client {client} at node {node}: ")?,
        }
        match action {
            Action::Write(Some(value)) => write!(f, "SET {key} {value}")?,
            Action::Write(None) => write!(f, "DEL {key}")?,
            Action::Read => write!(f, "GET {key}")?,
            Action::Swap(Some(value)) => write!(f, "SET {key} {value} GET")?,
            Action::Swap(None) => write!(f, "GETDEL {key}")?,
            Action::Append(value) => write!(f, "APPEND {key} .{value}")?,
        }
        match fate {
            Fate::Saw(Some(value)) => write!(f, " = {value}"),
            Fate::Saw(None) => write!(f, " = nil"),
            Fate::Acknowledged => write!(f, " OK"),
            Fate::TakenBack => write!(f, " taken back: {words}"),
            Fate::Unknown => write!(f, " unknown: {words}"),
            Fate::Failed => write!(f, " failed: {words}"),
        }
    }
}

/// The record of a run.
#[derive(Default)]
pub(crate) struct History {
    /// When each event was.
    events: Mutex<Vec<Instant>>,
    calls: Mutex<Vec<Call>>,
    /// What was done to the cluster, with the event that it came after.
    faults: Mutex<Vec<(u64, String)>>,
}

impl History {
    /// Records a call around `ask`.
    pub(crate) async fn record(
        &self,
        (client, node): (usize, usize),
        key: &str,
        action: Action,
        ask: impl Future<Output = Reply>,
    ) {
        self.record_all((client, node), vec![(key.to_owned(), action)], async { vec![ask.await] }).await;
    }

    /// Records calls that are made, and answered, together.
    pub(crate) async fn record_all(
        &self,
        (client, node): (usize, usize),
        actions: Vec<(String, Action)>,
        ask: impl Future<Output = Vec<Reply>>,
    ) {
        let invoked = self.event();
        let replies = ask.await;
        let returned = self.event();
        let calls = actions.into_iter().zip(replies).map(|((key, action), reply)| {
            let (words, fate) = (reply.words(), Fate::from(reply));
            Call { client, node, key, action, fate, words, invoked, returned }
        });
        self.calls.lock().expect("no test panics with it").extend(calls);
    }

    /// Notes what was done to the cluster.
    pub(crate) fn note(&self, fault: String) {
        let event = self.event();
        self.faults.lock().expect("no test panics with it").push((event, fault));
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no test panics with it").clone()
    }

    /// Everything in the order in which it began: when, in milliseconds, the numbers of its events, and what it was.
    pub(crate) fn print(&self) -> String {
        let faults = self.faults.lock().expect("no test panics with it").clone();
        let mut lines: Vec<(u64, String)> =
            faults.into_iter().map(|(event, fault)| (event, format!("{event:>5}           {fault}"))).collect();
        lines.extend(self.calls().iter().map(|call| (call.invoked, call.to_string())));
        lines.sort();
        let timed = |(event, line): (u64, String)| format!("{:>7} ms {line}", self.millis(event)) + "\n";
        lines.into_iter().map(timed).collect()
    }

    fn event(&self) -> u64 {
        let mut events = self.events.lock().expect("no test panics with it");
        events.push(Instant::now());
        events.len() as u64 - 1
    }

    /// When an event was, counted from the first.
    fn millis(&self, event: u64) -> u128 {
        let events = self.events.lock().expect("no test panics with it");
        let at = |event: usize| events.get(event).copied();
        let (first, event) = (at(0), usize::try_from(event).ok().and_then(at));
        event.zip(first).map_or(0, |(event, first)| event.duration_since(first).as_millis())
    }
}
