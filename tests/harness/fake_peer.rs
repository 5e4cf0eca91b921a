//! A listener in the place of a node, that behaves as badly as a test wants.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::poll;
use super::wait::PATIENCE;

/// The listener. Closed, with all its connections, when dropped.
pub(crate) struct FakePeer {
    port: u16,
    stopped: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakePeer {
    /// Listens on `port`, which a node has just left, and serves each connection by `behave`: it gets the connection
    /// and how many came before it. The connection is closed when `behave` returns.
    pub(crate) fn listen(port: u16, behave: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = poll("a port that a node has left", PATIENCE, || match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => Some(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => None,
            Err(error) => panic!("cannot listen on {port}: {error}"),
        });
        let stopped = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (ends, kept) = (Arc::clone(&stopped), Arc::clone(&connections));
        let acceptor = thread::spawn(move || accept(&listener, &ends, &kept, &Arc::new(behave)));
        Self { port, stopped, connections, acceptor: Some(acceptor) }
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.connections.lock().expect("nobody panics with it").len()
    }
}

impl Drop for FakePeer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // Wakes the acceptor.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
        for connection in self.connections.lock().expect("nobody panics with it").iter() {
            // The other side may have closed it.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn accept(
    listener: &TcpListener,
    stopped: &AtomicBool,
    connections: &Mutex<Vec<TcpStream>>,
    behave: &Arc<impl Fn(TcpStream, usize) + Send + Sync + 'static>,
) {
    loop {
        let Ok((stream, _)) = listener.accept() else { return };
        if stopped.load(Ordering::Acquire) {
            return;
        }
        let mut connections = connections.lock().expect("nobody panics with it");
        let before = connections.len();
        connections.push(stream.try_clone().expect("a second handle on a socket"));
        drop(connections);
        let behave = Arc::clone(behave);
        thread::spawn(move || {
            let end = stream.try_clone().expect("a second handle on a socket");
            behave(stream, before);
            // The other side may have closed it.
            let _ = end.shutdown(Shutdown::Both);
        });
    }
}
