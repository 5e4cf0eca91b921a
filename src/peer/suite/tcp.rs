//! The suite's world of sockets: `b` is a few tasks behind a port.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::node::{A, B, TORN, TestNode};
use super::{Harness, PATIENT, Parts, eventually, options};
use crate::codec::{DecodeLimits, RequestDecoder};
use crate::peer::{
    INTRODUCTION_COMMAND, LinkOptions, LinkState, LocalNode, PeerRequest, RespCommunicator, answer_introduction,
};
use crate::ring::NodeIndex;

pub(super) struct TcpHarness {
    parts: Parts,
    /// Bound but not listening, so that the port is ours while nobody answers there.
    _reservation: TcpSocket,
    address: SocketAddr,
    frozen: watch::Sender<bool>,
    /// How often `b` has read something that it does not look at, for it is frozen.
    reads: Arc<AtomicUsize>,
    /// The running `b`.
    server: Mutex<Option<Server>>,
}

struct Server {
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Harness for TcpHarness {
    const SLACK: Duration = Duration::from_secs(5);

    fn new(options: LinkOptions) -> Self {
        let reservation = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = reservation.local_addr().unwrap();
        let local = TestNode::new("a", 1);
        let node: Arc<dyn LocalNode> = Arc::<TestNode>::clone(&local);
        let communicator = RespCommunicator::new(A, vec![(B, address.to_string())], &options, &node);
        let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
        communicator.start(&tracker, &cancel);
        let parts = Parts { local, communicator: Arc::new(communicator), tracker, cancel };
        let (frozen, reads, server) = (watch::Sender::new(false), Arc::default(), Mutex::new(None));
        Self { parts, _reservation: reservation, address, frozen, reads, server }
    }

    fn parts(&self) -> &Parts {
        &self.parts
    }

    async fn start_peer(&self, node: &Arc<TestNode>) {
        let listener = bound(self.address).listen(16).unwrap();
        let server = Server { tasks: TaskTracker::new(), cancel: CancellationToken::new() };
        let (tasks, cancel) = (server.tasks.clone(), server.cancel.clone());
        let peer = Peer { node: Arc::clone(node), frozen: self.frozen.subscribe(), reads: Arc::clone(&self.reads) };
        server.tasks.spawn(async move { cancel.run_until_cancelled(accept(listener, peer, &tasks, &cancel)).await });
        *self.server.lock() = Some(server);
    }

    async fn kill_peer(&self) {
        let Some(server) = self.server.lock().take() else { return };
        server.cancel.cancel();
        server.tasks.close();
        server.tasks.wait().await;
    }

    fn set_peer_frozen(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
        self.reads.store(0, Ordering::Relaxed);
    }

    async fn until_sent(&self) {
        eventually("it is read", || self.reads.load(Ordering::Relaxed) > 0).await;
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

/// What the connections of `b` share.
#[derive(Clone)]
struct Peer {
    node: Arc<TestNode>,
    frozen: watch::Receiver<bool>,
    reads: Arc<AtomicUsize>,
}

async fn accept(listener: TcpListener, peer: Peer, tasks: &TaskTracker, cancel: &CancellationToken) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (peer, cancel) = (peer.clone(), cancel.clone());
        tasks.spawn(async move { cancel.run_until_cancelled(serve(stream, peer)).await });
    }
}

/// One connection of `b`, until it ends or breaks.
async fn serve(mut stream: TcpStream, mut peer: Peer) -> std::io::Result<()> {
    let mut decoder = RequestDecoder::new(DecodeLimits::default());
    let mut buffer = BytesMut::new();
    let mut from = None;
    while stream.read_buf(&mut buffer).await? > 0 {
        if *peer.frozen.borrow() {
            peer.reads.fetch_add(1, Ordering::Relaxed);
        }
        peer.frozen.wait_for(|frozen| !frozen).await.unwrap();
        let mut out = Vec::new();
        while let Some(request) = decoder.decode(&mut buffer).unwrap() {
            let args: Vec<&[u8]> = request.first().args().collect();
            answer(&peer.node, &mut from, &args, &mut out);
            if args.last() == Some(&TORN) {
                return stream.write_all(&out).await;
            }
        }
        stream.write_all(&out).await?;
    }
    Ok(())
}

fn answer(node: &TestNode, from: &mut Option<NodeIndex>, args: &[&[u8]], out: &mut Vec<u8>) {
    if args[0] == INTRODUCTION_COMMAND.as_bytes() {
        *from = answer_introduction(node, args, out).ok();
        return;
    }
    let from = from.expect("the introduction comes first");
    node.handle(from, PeerRequest::parse_args(args).unwrap(), out);
}

/// Answers every connection with `bytes` in place of a welcome; what becomes known of it.
async fn error_after(bytes: &'static [u8]) -> String {
    let harness = TcpHarness::new(options(PATIENT));
    let listener = bound(harness.address).listen(16).unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // All of it: closing a socket with unread bytes could cost the answer.
            let mut buffer = BytesMut::with_capacity(4096);
            stream.read_buf(&mut buffer).await.unwrap();
            stream.write_all(bytes).await.unwrap();
        }
    });
    let error = || harness.parts.communicator.status(B).unwrap().last_error;
    eventually("the answer is judged", || !error().is_empty() && !error().contains("refused (")).await;
    server.abort();
    assert_eq!(harness.parts.communicator.link(B), LinkState::Down);
    error()
}

#[tokio::test]
async fn whoever_is_no_node_is_told_apart() {
    for (bytes, words) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), "unexpected reply type 'H'"),
        (b"-ERR unknown command 'RHELLO'\r\n", "refused by the peer: ERR unknown command 'RHELLO'"),
        (b"+OK\r\n", "not a welcome"),
        (b"*1\r\n$1\r\nx\r\n", "not a welcome"),
        (b"", "closed by the peer"),
    ] {
        let error = error_after(bytes).await;
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn a_reply_that_nobody_asked_for_ends_the_link() {
    let harness = TcpHarness::new(options(PATIENT));
    let listener = bound(harness.address).listen(16).unwrap();
    let peer = TestNode::new("b", 1);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut out = Vec::new();
        peer.introduce(&crate::peer::testing::introduction("a")).unwrap().1.encode(&mut out);
        out.extend_from_slice(b"+OK\r\n");
        stream.write_all(&out).await.unwrap();
        stream
    });
    let error = || harness.parts.communicator.status(B).unwrap().last_error;
    eventually("the link is ended", || error().contains("a reply that nobody asked for")).await;
    drop(server.await);
}
