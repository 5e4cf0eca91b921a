//! Who has to wait for whom: bad neighbours of ordinary clients.
//!
//! Node and clients share one thread, so nothing depends on how busy the machine is: what is counted is how much of a
//! neighbour's work the node does between somebody's request and the answer to it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringkv::cli::ServeOptions;
use ringkv::config::{ClusterConfig, ServerConfig};
use ringkv::ring::NodeIndex;
use ringkv::server::Node;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// What the light client asks in turn, each alone, and what it is told. Of two about a key one after the other the second finds a
/// session that waits for its memory.
const ASKED: [(&[u8], &[u8]); 5] = [
    (b"SET light v\r\n", b"+OK\r\n"),
    (b"SET light w\r\n", b"+OK\r\n"),
    (b"GET light\r\n", b"$1\r\nw\r\n"),
    (b"GET light\r\n", b"$1\r\nw\r\n"),
    (b"PING\r\n", b"+PONG\r\n"),
];
/// What the neighbour's client handles before it lets others run.
const PIECE_BYTES: usize = 64 << 10;

async fn start() -> Node {
    let mut cluster = ClusterConfig::single_node();
    "127.0.0.1:0".clone_into(&mut cluster.nodes[0].addr);
    let server = ServerConfig { worker_threads: 1, ..ServerConfig::default() };
    Node::start(ServeOptions { cluster, node: NodeIndex(0), server, config_file: None, log: None }).await.unwrap()
}

async fn connect(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(node.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A neighbour who sends `input`, and takes `replies` bytes of replies.
async fn neighbour(node: &Node, input: Vec<u8>, replies: usize) -> JoinHandle<()> {
    let (mut from, mut to) = connect(node).await.into_split();
    tokio::spawn(async move {
        let sending = tokio::spawn(async move {
            for piece in input.chunks(PIECE_BYTES) {
                to.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            to
        });
        let (mut taken, mut piece) = (0, vec![0; PIECE_BYTES]);
        while taken < replies {
            taken += from.read(&mut piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(sending.await.unwrap());
    })
}

/// Asks until the neighbour is done. How often, and by how much `counter` rose at most while an answer was waited for.
async fn ask_beside(node: &Node, neighbour: JoinHandle<()>, counter: &AtomicU64) -> (u64, u64) {
    let (mut stream, mut asked, mut most) = (connect(node).await, 0, 0);
    for (request, expected) in ASKED.into_iter().cycle() {
        if neighbour.is_finished() {
            break;
        }
        let before = counter.load(Ordering::Relaxed);
        stream.write_all(request).await.unwrap();
        let mut reply = vec![0; expected.len()];
        stream.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply, expected);
        asked += 1;
        most = most.max(counter.load(Ordering::Relaxed) - before);
    }
    neighbour.await.unwrap();
    (asked, most)
}

#[tokio::test]
async fn a_deep_pipeline_lets_others_have_their_turn() {
    const REQUESTS: usize = 200_000;
    let node = start().await;
    let deep = neighbour(&node, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(REQUESTS), REQUESTS * b"$-1\r\n".len()).await;

    let (asked, most) = timeout(PATIENCE, ask_beside(&node, deep, &node.server.statistics.commands)).await.unwrap();

    assert!(asked >= 20, "{asked}");
    assert!(most <= 8192, "{most} requests of a neighbour came before one of somebody else, who asked {asked} times");
    node.stop().await;
}

#[tokio::test]
async fn large_values_let_others_have_their_turn() {
    const VALUE_BYTES: usize = 10_000_000;
    let mut input = Vec::new();
    for _ in 0..4 {
        input.extend_from_slice(format!("*3\r\n$3\r\nSET\r\n$1\r\nl\r\n${VALUE_BYTES}\r\n").as_bytes());
        input.resize(input.len() + VALUE_BYTES, b'v');
        input.extend_from_slice(b"\r\n*2\r\n$3\r\nGET\r\n$1\r\nl\r\n");
    }
    let replies = 4 * (b"+OK\r\n".len() + format!("${VALUE_BYTES}\r\n").len() + VALUE_BYTES + 2);
    let node = start().await;
    let large = neighbour(&node, input, replies).await;

    let (asked, most) = timeout(PATIENCE, ask_beside(&node, large, &node.server.statistics.input_bytes)).await.unwrap();

    assert!(asked >= 40, "{asked}");
    assert!(most <= 2 << 20, "{most} bytes of a neighbour came before one request, who asked {asked} times");
    node.stop().await;
}
