//! The door: binds the address and starts a session for each connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::MissedTickBehavior;
use tokio_util::task::TaskTracker;

use super::ServeError;
use crate::command::{KillToken, Server, Statistics};
use crate::session::{self, Admission, DENIED, TURNED_AWAY};

/// Connections that the system keeps waiting for us, as Redis asks for.
const BACKLOG: i32 = 511;
/// How long to wait when the system has no more file descriptors to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often it is looked whether clients are silent for too long.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// How often the system asks within the time that it was silent before, as Redis has it.
const KEEPALIVE_QUESTIONS: u32 = 3;
/// Connections above `max_clients` for each other node: its link, and a dead one that nobody has noticed yet.
const CONNECTIONS_PER_PEER: usize = 2;

/// Listens on `address`, `host:port`.
pub(super) async fn bind(address: &str) -> Result<TcpListener, ServeError> {
    let refused = |source: io::Error| ServeError::Bind {
        address: address.to_owned(),
        advice: match source.kind() {
            io::ErrorKind::AddrInUse => "another process has this port: stop it, or choose another one",
            io::ErrorKind::PermissionDenied => "this user may not use this port: choose one above 1023",
            _ => "it has to be an address of this machine",
        },
        source,
    };
    let resolved = lookup_host(address).await.map_err(refused)?.next();
    let resolved = resolved.ok_or_else(|| refused(io::ErrorKind::AddrNotAvailable.into()))?;
    let listen = || {
        let socket = Socket::new(Domain::for_address(resolved), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&resolved.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    listen().map_err(refused)
}

/// Accepts connections until `stop`.
pub(super) async fn run(server: Arc<Server>, listener: TcpListener, sessions: TaskTracker, stop: KillToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.killed() => return,
        };
        match accepted {
            Ok((socket, _)) => welcome(&server, socket, &sessions, &stop),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Starts a session, or turns the client away if there are too many. Whoever comes then may still be a peer, without
/// whom this node would count for nothing, so there is room to find that out.
fn welcome(server: &Arc<Server>, socket: TcpStream, sessions: &TaskTracker, stop: &KillToken) {
    let Ok((theirs, ours)) = prepare(&socket, server.live.tcp_keepalive()) else {
        return; // it is gone already
    };
    let is_denied = server.live.is_protected() && !is_of_this_machine(theirs);
    let (theirs, ours) = (theirs.to_string(), ours.to_string());
    Statistics::add(&server.statistics.connections, 1);
    let (now, max) = (server.store.replica.wall.now(), server.live.max_clients());
    let connect = |max| server.clients.connect(theirs.clone(), ours.clone(), now, max, stop);
    let cluster = &server.store.replica.config;
    // Without a secret anybody can say to be a node, so a protected node does not ask.
    if is_denied && cluster.secret.is_none() {
        return turn_away(server, &socket, DENIED);
    }
    let to_some = if is_denied { Admission::Peer(DENIED) } else { Admission::Anybody };
    let admitted = connect(max).map(|client| (client, to_some));
    let reserve = CONNECTIONS_PER_PEER * (cluster.nodes.len() - 1);
    match admitted.or_else(|| connect(max + reserve).map(|client| (client, Admission::Peer(TURNED_AWAY)))) {
        Some((client, admission)) => {
            sessions.spawn(session::serve(Arc::clone(server), client, socket, admission));
        }
        None => turn_away(server, &socket, TURNED_AWAY),
    }
}

/// Tells a client why it is not served.
fn turn_away(server: &Server, socket: &TcpStream, refusal: &[u8]) {
    Statistics::add(&server.statistics.rejected_connections, 1);
    // The buffer of a new socket takes this at once; whether the client reads it is its own affair.
    let _ = socket.try_write(refusal);
}

/// Whether whoever calls from `address` runs on this machine, as far as its address tells.
fn is_of_this_machine(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// The addresses of both ends. After `keepalive` of silence the system asks for a sign of life, and three times more.
fn prepare(socket: &TcpStream, keepalive: Option<Duration>) -> io::Result<(SocketAddr, SocketAddr)> {
    socket.set_nodelay(true)?;
    if let Some(silence) = keepalive {
        let interval = (silence / KEEPALIVE_QUESTIONS).max(Duration::from_secs(1));
        SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(silence).with_interval(interval))?;
    }
    Ok((socket.peer_addr()?, socket.local_addr()?))
}

/// Closes clients that are silent for too long, until it is dropped.
pub(super) async fn close_idle(server: Arc<Server>) {
    let mut rounds = tokio::time::interval(IDLE_LOOK);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        if let Some(patience) = server.live.idle_timeout() {
            server.clients.close_idle(patience, server.store.replica.wall.now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_of_either_family_are_of_this_machine() {
        for (address, expected) in [
            ("127.0.0.1:1", true),
            ("127.8.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.0.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
            ("[fe80::1]:1", false),
        ] {
            assert_eq!(is_of_this_machine(address.parse().unwrap()), expected, "{address}");
        }
    }
}
