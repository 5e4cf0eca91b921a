//! What clients did and saw.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cluster::Reply;

/// A client's request and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    pub(crate) client: usize,
    /// The node that was asked.
    pub(crate) node: usize,
    pub(crate) key: String,
    pub(crate) action: Action,
    pub(crate) fate: Fate,
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
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// The read returned this.
    Saw(Option<String>),
    /// The write was acknowledged.
    Acknowledged,
    /// The write was said to have had no effect and never to have one.
    TakenBack,
    /// The write may have had an effect, or have it later, or never.
    Unknown,
    /// The read failed.
    Failed(String),
}

impl From<Reply> for Fate {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Value(value) => Self::Saw(value),
            Reply::Done { .. } => Self::Acknowledged,
            Reply::NotWritten(_) | Reply::Reverted(_) => Self::TakenBack,
            // Of a read this means nothing, of a write that its fate is open.
            Reply::Indeterminate(_) | Reply::Died => Self::Unknown,
            Reply::Unread(why) => Self::Failed(why),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, node, key, action, fate, invoked, returned } = self;
        write!(f, "{invoked:>5} to {returned:>5}  client {client} at node {node}: ")?;
        match action {
            Action::Write(Some(value)) => write!(f, "SET {key} {value}")?,
            Action::Write(None) => write!(f, "DEL {key}")?,
            Action::Read => write!(f, "GET {key}")?,
        }
        match fate {
            Fate::Saw(Some(value)) => write!(f, " = {value}"),
            Fate::Saw(None) => write!(f, " = nil"),
            other => write!(f, " {other:?}"),
        }
    }
}

/// The record of a run.
#[derive(Default)]
pub(crate) struct History {
    events: AtomicU64,
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
            let fate = Fate::from(reply);
            Call { client, node, key, action, fate, invoked, returned }
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

    /// Everything in the order in which it began.
    pub(crate) fn print(&self) -> String {
        let faults = self.faults.lock().expect("no test panics with it").clone();
        let mut lines: Vec<(u64, String)> =
            faults.into_iter().map(|(event, fault)| (event, format!("{event:>5}           {fault}"))).collect();
        lines.extend(self.calls().iter().map(|call| (call.invoked, call.to_string())));
        lines.sort();
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }

    fn event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::Relaxed)
    }
}
