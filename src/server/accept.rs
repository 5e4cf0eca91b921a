//! The door: binds the address and starts a session for each connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ServeError;
use crate::command::{Server, Statistics};
use crate::session::{self, Admission, TURNED_AWAY};

/// Connections that the system keeps waiting for us, as Redis asks for.
const BACKLOG: i32 = 511;
/// How long to wait when the system has no more file descriptors to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
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
pub(super) async fn run(server: Arc<Server>, listener: TcpListener, sessions: TaskTracker, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
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
fn welcome(server: &Arc<Server>, socket: TcpStream, sessions: &TaskTracker, stop: &CancellationToken) {
    let Ok((theirs, ours)) = prepare(&socket) else {
        return; // it is gone already
    };
    Statistics::add(&server.statistics.connections, 1);
    let (now, max) = (server.store.replica.wall.now(), server.settings.max_clients);
    let connect = |max| server.clients.connect(theirs.clone(), ours.clone(), now, max, stop);
    let admitted = connect(max).map(|client| (client, Admission::Anybody));
    let reserve = CONNECTIONS_PER_PEER * (server.store.replica.config.nodes.len() - 1);
    match admitted.or_else(|| connect(max + reserve).map(|client| (client, Admission::Peer))) {
        Some((client, admission)) => {
            sessions.spawn(session::serve(Arc::clone(server), client, socket, admission));
        }
        None => {
            Statistics::add(&server.statistics.rejected_connections, 1);
            // The buffer of a new socket takes this at once; whether the client reads it is its own affair.
            let _ = socket.try_write(TURNED_AWAY);
        }
    }
}

/// The addresses of both ends, as text.
fn prepare(socket: &TcpStream) -> io::Result<(String, String)> {
    socket.set_nodelay(true)?;
    Ok((socket.peer_addr()?.to_string(), socket.local_addr()?.to_string()))
}
