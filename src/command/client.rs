//! Clients: what the server knows of each connection, for the client itself and for CLIENT LIST and KILL.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::codec::Protocol;
use crate::ring::NodeIndex;
use crate::time::UnixMs;

use super::kill_token::KillToken;
use super::spec::CommandId;
use super::table;

/// What a client said of itself, and what it did last. Shown to other clients by CLIENT LIST.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientDescription {
    /// By CLIENT SETNAME or HELLO SETNAME.
    pub name: String,
    /// By CLIENT SETINFO LIB-NAME.
    pub library_name: String,
    /// By CLIENT SETINFO LIB-VER.
    pub library_version: String,
    /// The version of RESP that it is answered in.
    pub protocol: Protocol,
    /// CLIENT NO-EVICT ON.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH ON.
    pub no_touch: bool,
    /// Whether it is shown what all clients ask, by MONITOR.
    pub is_monitor: bool,
    /// The node that it introduced itself as, if it is one.
    pub peer: Option<NodeIndex>,
}

/// In place of the number of a [`CommandId`]: the client has not asked for anything yet.
const NO_COMMAND: u16 = u16::MAX;

/// One connected client. Its session owns it; the registry lends it to others.
#[derive(Debug)]
pub struct Client {
    /// Unique in this run of the process, growing.
    pub id: u64,
    /// Its address and port.
    pub address: String,
    /// The address and port that it connected to.
    pub local_address: String,
    /// When it connected.
    pub connected_at: UnixMs,
    /// When it sent something last, in Unix milliseconds.
    last_active: AtomicU64,
    /// Whether nothing of it is being served.
    waiting: AtomicBool,
    /// The number of its last command's [`CommandId`], or [`NO_COMMAND`].
    last_command: AtomicU16,
    /// Rarely written and rarely read.
    description: Mutex<ClientDescription>,
    /// Ends its session, by CLIENT KILL or when the server stops.
    pub killed: KillToken,
}

impl Client {
    /// A change of what the client says of itself.
    pub fn describe(&self, change: impl FnOnce(&mut ClientDescription)) {
        change(&mut self.description.lock());
    }

    /// What the client says of itself.
    #[must_use]
    pub fn description(&self) -> ClientDescription {
        self.description.lock().clone()
    }

    /// Notes that the client sent this command.
    pub fn was_active(&self, command: Option<CommandId>, now: UnixMs) {
        self.last_active.store(now.0, Ordering::Relaxed);
        self.last_command.store(command.map_or(NO_COMMAND, |id| id as u16), Ordering::Relaxed);
    }

    /// The name of its last command, as Redis shows it.
    fn last_command(&self) -> &'static str {
        let number = self.last_command.load(Ordering::Relaxed);
        table::everything().find(|spec| spec.id as u16 == number).map_or("NULL", |spec| spec.name)
    }

    /// Notes that all it has sent is served.
    pub fn waits(&self) {
        self.waiting.store(true, Ordering::Relaxed);
    }

    /// Notes that something of it is being served: it is not idle, however long that takes.
    pub fn works(&self) {
        self.waiting.store(false, Ordering::Relaxed);
    }

    /// Whether it is no node and has been silent for longer than `patience`.
    fn is_idle(&self, patience: Duration, now: UnixMs) -> bool {
        let silent = Duration::from_millis(now.0.saturating_sub(self.last_active.load(Ordering::Relaxed)));
        self.waiting.load(Ordering::Relaxed) && silent > patience && self.description.lock().peer.is_none()
    }

    /// The line of CLIENT LIST and CLIENT INFO, with Redis' field names.
    #[must_use]
    pub fn line(&self, now: UnixMs) -> String {
        let about = self.description();
        let seconds_since = |then: u64| now.0.saturating_sub(then) / 1000;
        let protocol = match about.protocol {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        };
        let mut flags = String::new();
        flags.push_str(if about.is_monitor { "O" } else { "" });
        flags.push_str(if about.peer.is_some() { "S" } else { "" });
        flags.push_str(if about.no_evict { "e" } else { "" });
        flags.push_str(if about.no_touch { "T" } else { "" });
        if flags.is_empty() {
            flags.push('N');
        }
        let mut line = String::new();
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db=0 sub=0 psub=0 ssub=0 multi=-1 \
             qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={} \
             user=default redir=-1 resp={protocol} lib-name={} lib-ver={}",
            self.id,
            self.address,
            self.local_address,
            about.name,
            seconds_since(self.connected_at.0),
            seconds_since(self.last_active.load(Ordering::Relaxed)),
            self.last_command(),
            about.library_name,
            about.library_version,
        );
        line
    }
}

/// All connected clients, by id.
#[derive(Debug, Default)]
pub struct Clients {
    connected: Mutex<BTreeMap<u64, Arc<Client>>>,
    next_id: AtomicU64,
}

impl Clients {
    /// Registers a client that has just connected; `None` if there are `max` already. `stop` ends its session too.
    pub fn connect(
        &self,
        address: String,
        local_address: String,
        now: UnixMs,
        max: usize,
        stop: &KillToken,
    ) -> Option<Arc<Client>> {
        let mut connected = self.connected.lock();
        if connected.len() >= max {
            return None;
        }
        let client = Arc::new(Client {
            id: self.next_id.fetch_add(1, Ordering::Relaxed) + 1,
            address,
            local_address,
            connected_at: now,
            last_active: AtomicU64::new(now.0),
            waiting: AtomicBool::new(true),
            last_command: AtomicU16::new(NO_COMMAND),
            description: Mutex::default(),
            killed: stop.child(),
        });
        connected.insert(client.id, Arc::clone(&client));
        Some(client)
    }

    /// Forgets a client whose session ended.
    pub fn disconnect(&self, client: &Client) {
        self.connected.lock().remove(&client.id);
    }

    /// Ends the sessions of clients that have been silent for longer than `patience`.
    pub fn close_idle(&self, patience: Duration, now: UnixMs) {
        for client in self.all().iter().filter(|client| client.is_idle(patience, now)) {
            tracing::debug!(client = client.id, address = %client.address, "closing an idle client");
            client.killed.kill();
        }
    }

    /// Every client, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.connected.lock().values().map(Arc::clone).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.connected.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_who_was_silent_too_long_and_waits_and_is_no_node() {
        let (clients, stop) = (Clients::default(), KillToken::default());
        let connect = || clients.connect(String::new(), String::new(), UnixMs(1000), usize::MAX, &stop).unwrap();
        let [silent, speaking, working, peer] = [connect(), connect(), connect(), connect()];
        speaking.was_active(Some(CommandId::Ping), UnixMs(2000));
        working.works();
        peer.describe(|about| about.peer = Some(NodeIndex(1)));

        clients.close_idle(Duration::from_secs(5), UnixMs(6000));
        assert!(!silent.killed.is_killed(), "exactly as long as it may");
        clients.close_idle(Duration::from_secs(5), UnixMs(6001));
        let closed = [silent, speaking, working, peer].map(|client| client.killed.is_killed());
        assert_eq!(closed, [true, false, false, false]);
    }
}
