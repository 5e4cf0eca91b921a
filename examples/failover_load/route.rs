//! Which node a writer talks to, now and after its connection broke: the only difference between the two systems.

use std::io;

use super::command::encode;
use super::connection::{Connection, Reply};
use super::writer::slots_of_third;

/// Redirections in a row before a client takes the cluster for broken.
const REDIRECTIONS_MAX: usize = 8;

/// A writer's way to the owner of its keys.
pub(crate) struct Route {
    /// All nodes, the writer's own first.
    ports: Vec<u16>,
    /// For Redis Cluster: a slot of the writer's, to look up.
    slot: Option<u16>,
    connection: Option<Connection>,
    /// How often MOVED was followed.
    pub(crate) redirected: u64,
}

impl Route {
    pub(crate) fn new(ports: &[u16], third: usize, redis_cluster: bool) -> Result<Self, String> {
        let mut ports = ports.to_vec();
        let own = third % ports.len();
        ports.rotate_left(own);
        let slot = redis_cluster.then(|| slots_of_third(third).start);
        let mut route = Self { ports, slot, connection: None, redirected: 0 };
        match route.connection() {
            Some(_) => Ok(route),
            None => Err(format!("none of the nodes {:?} can be reached", route.ports)),
        }
    }

    /// The connection, made anew if it broke; `None` if there is nobody to connect to.
    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        if self.connection.is_none() {
            self.connection = match self.slot {
                None => self.ports.iter().find_map(|&port| Connection::open(port).ok()),
                Some(slot) => {
                    self.ports.iter().find_map(|&port| owner(port, slot)).and_then(|owner| Connection::open(owner).ok())
                }
            };
        }
        self.connection.as_mut()
    }

    /// The connection broke: the next node of the list comes first from now on.
    pub(crate) fn broken(&mut self) {
        self.connection = None;
        self.ports.rotate_left(1);
    }

    /// Follows `MOVED slot host:port`; false if the error is another one.
    pub(crate) fn follow(&mut self, error: &str) -> bool {
        let Some(port) = moved_to(error) else { return false };
        self.redirected += 1;
        self.connection = Connection::open(port).ok();
        true
    }

    /// Asks one question.
    pub(crate) fn ask(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        let mut request = Vec::new();
        encode(words, &mut request);
        for _ in 0..REDIRECTIONS_MAX {
            let connection = self.connection().ok_or(io::ErrorKind::NotConnected)?;
            connection.send(&request)?;
            match connection.reply()? {
                Reply::Error(error) if self.follow(&error) => {}
                reply => return Ok(reply),
            }
        }
        Err(io::Error::other("redirected in circles"))
    }
}

fn moved_to(error: &str) -> Option<u16> {
    error.strip_prefix("MOVED ")?.rsplit(':').next()?.parse().ok()
}

/// The primary of `slot` as the node at `port` knows it.
fn owner(port: u16, slot: u16) -> Option<u16> {
    let mut connection = Connection::open(port).ok()?;
    let mut request = Vec::new();
    encode(&[b"CLUSTER", b"NODES"], &mut request);
    connection.send(&request).ok()?;
    let Reply::Bulk(nodes) = connection.reply().ok()? else { return None };
    nodes.lines().find_map(|line| port_if_owner(line, slot))
}

/// From `id host:port@bus flags primary ping pong epoch link slot-range..`.
fn port_if_owner(line: &str, slot: u16) -> Option<u16> {
    let fields: Vec<&str> = line.split(' ').collect();
    let ranges = fields.get(8..)?.iter().filter_map(|range| range.split_once('-'));
    let mut numbers = ranges.filter_map(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
    if !numbers.any(|range| range.contains(&slot)) {
        return None;
    }
    fields[1].split('@').next()?.rsplit(':').next()?.parse().ok()
}
