//! Ports that stay a test's own, whoever listens there and however often.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// Ports of this machine, bound but not listened on: nobody answers there until a node listens, and meanwhile, also between a
/// node's death and its return, the system gives them to nobody else. They are free again when this is dropped.
pub(crate) struct Ports {
    pub(crate) numbers: Vec<u16>,
    _sockets: Vec<TcpSocket>,
}

impl Ports {
    /// So many of them.
    pub(crate) fn reserve(count: usize) -> Self {
        let sockets: Vec<_> = (0..count).map(|_| bound()).collect();
        let numbers = sockets.iter().map(|socket| socket.local_addr().expect("it is bound").port()).collect();
        Self { numbers, _sockets: sockets }
    }
}

fn bound() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Two may be bound to one port if both say so and only one of them listens, as nodes and redis-server do.
    socket.set_reuseaddr(true).expect("an option that every system has");
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).expect("a free port");
    socket
}
