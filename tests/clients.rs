//! The Rust crate `redis` in each of its forms: sync, multiplexed, connection manager, cluster, cluster-async. What is tried is
//! what applications do: pools, pipelines, bytes, large values, counting together, RESP3, and going on when a node dies.
//! (The libraries of other languages are tried by `scripts/clients.sh`.)

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::{AsyncConnectionConfig, AsyncTypedCommands, Client, Cmd, Pipeline, RedisError, TypedCommands, Value, pipe};

use harness::{Cluster, Layout, PATIENCE, poll};

const POOL: usize = 50;
const PIPELINE: usize = 10_000;
const INCREMENTS: usize = 20;
const LARGE: usize = 10 << 20;
/// How long a client waits for its replies, be it those of a pipeline of thousands.
const REPLIES_WAIT_MAX: Duration = Duration::from_mins(5);

/// Three nodes at which reads show what was written last at any other: R + W > N.
fn three() -> Cluster {
    Cluster::start(&Layout { read_quorum: 2, ..Layout::of(3) })
}

fn url(port: u16, more: &str) -> String {
    format!("redis://127.0.0.1:{port}/{more}")
}

fn client(port: u16) -> Client {
    Client::open(url(port, "")).unwrap()
}

fn client_of_resp3(port: u16) -> Client {
    Client::open(url(port, "?protocol=resp3")).unwrap()
}

fn cluster_client(cluster: &Cluster) -> ClusterClient {
    let urls = cluster.ports.iter().map(|&port| url(port, ""));
    ClusterClient::builder(urls).connection_timeout(PATIENCE).response_timeout(REPLIES_WAIT_MAX).build().unwrap()
}

/// A connection that many tasks share. By default the crate gives a reply half a second, which is little for 10 MB.
async fn multiplexed(client: Client) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(REPLIES_WAIT_MAX));
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// One that connects again by itself.
async fn managed(client: Client) -> ConnectionManager {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(REPLIES_WAIT_MAX));
    ConnectionManager::new_with_config(client, config).await.unwrap()
}

fn every_byte() -> Vec<u8> {
    (0..=u8::MAX).collect()
}

fn large() -> Vec<u8> {
    every_byte().repeat(LARGE / 256)
}

/// SETs of numbers, each with a GET behind it.
fn pipeline(prefix: &str) -> Pipeline {
    let mut pipeline = pipe();
    for number in 0..PIPELINE / 2 {
        let key = format!("{prefix}:{}", number % 100);
        pipeline.set(&key, number).ignore().get(&key);
    }
    pipeline
}

fn numbers() -> Vec<usize> {
    (0..PIPELINE / 2).collect()
}

/// Each number from 1 on came once.
fn assert_counted(seen: &[usize]) {
    assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), (1..=seen.len()).collect());
}

fn assert_unknown<T: std::fmt::Debug>(answer: Result<T, RedisError>, command: &str) {
    let error = answer.unwrap_err().to_string();
    assert!(error.contains(&format!("unknown command '{command}'")), "{error}");
}

#[test]
fn sync_connections_work_in_both_protocols() {
    let cluster = three();
    for client in [client(cluster.ports[0]), client_of_resp3(cluster.ports[0])] {
        let mut one = client.get_connection().unwrap();
        let mut other = self::client(cluster.ports[2]).get_connection().unwrap();
        let key = every_byte();
        let () = redis::Commands::set_ex(&mut one, &key, &key, 1000).unwrap();
        assert_eq!(redis::Commands::get::<_, Vec<u8>>(&mut other, &key).unwrap(), every_byte());
        let ttl: i64 = redis::Commands::ttl(&mut other, &key).unwrap();
        assert!((990..=1000).contains(&ttl), "{ttl}");
        one.set("large", large()).unwrap();
        assert!(redis::Commands::get::<_, Vec<u8>>(&mut other, "large").unwrap() == large(), "another value came back");
        assert_eq!(other.del("large").unwrap(), 1);
        assert_eq!(pipeline("sync").query::<Vec<usize>>(&mut one).unwrap(), numbers());
        assert_eq!(other.get("none").unwrap(), None);
        assert_unknown(redis::Commands::lpush::<_, _, ()>(&mut one, "list", 1), "LPUSH");
        assert_unknown(redis::Commands::publish::<_, _, ()>(&mut one, "channel", 1), "PUBLISH");
        assert_unknown(redis::cmd("MULTI").exec(&mut one), "MULTI");
        assert_eq!(redis::cmd("PING").query::<String>(&mut one).unwrap(), "PONG", "the connection stays");
    }
}

#[test]
fn fifty_connections_count_together() {
    let cluster = three();
    let ports = &cluster.ports;
    let count = |number: usize| {
        let mut connection = client(ports[number % ports.len()]).get_connection().unwrap();
        (0..INCREMENTS).map(|_| redis::Commands::incr(&mut connection, "counter", 1).unwrap()).collect::<Vec<usize>>()
    };
    let seen: Vec<usize> = thread::scope(|scope| {
        let threads: Vec<_> = (0..POOL).map(|number| scope.spawn(move || count(number))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(seen.len(), POOL * INCREMENTS);
    assert_counted(&seen);
}

/// What every asynchronous connection has to do.
async fn assert_works(mut one: impl ConnectionLike + Send + Clone + 'static, prefix: &'static str) {
    let key = format!("{prefix}:bytes");
    redis::cmd("SET").arg(&key).arg(large()).arg("PX").arg(1_000_000).exec_async(&mut one).await.unwrap();
    assert!(redis::cmd("GET").arg(&key).query_async::<Vec<u8>>(&mut one).await.unwrap() == large());
    let left: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut one).await.unwrap();
    assert!((900_000..=1_000_000).contains(&left), "{left}");
    redis::cmd("DEL").arg(&key).exec_async(&mut one).await.unwrap();
    // One tag, since a pipeline of a cluster client goes to one node.
    assert_eq!(pipeline(&format!("{{{prefix}}}")).query_async::<Vec<usize>>(&mut one).await.unwrap(), numbers());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..POOL {
        let mut own = one.clone();
        tasks.spawn(async move {
            let mut seen = Vec::with_capacity(INCREMENTS);
            for _ in 0..INCREMENTS {
                seen.push(Cmd::incr(format!("{prefix}:counter"), 1).query_async(&mut own).await.unwrap());
            }
            seen
        });
    }
    assert_counted(&tasks.join_all().await.concat());
    assert_unknown(Cmd::lpush("list", 1).query_async::<Value>(&mut one).await, "LPUSH");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn multiplexed_connections_and_managers_work() {
    let cluster = three();
    assert_works(multiplexed(client(cluster.ports[0])).await, "multiplexed").await;
    assert_works(multiplexed(client_of_resp3(cluster.ports[1])).await, "resp3").await;
    assert_works(managed(client(cluster.ports[2])).await, "manager").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_connections_work() {
    let cluster = three();
    assert_works(cluster_client(&cluster).get_async_connection().await.unwrap(), "cluster").await;
    let client = cluster_client(&cluster);
    tokio::task::spawn_blocking(move || {
        let mut connection = client.get_connection().unwrap();
        for number in 0..1000 {
            connection.set(format!("sync:{number}"), number).unwrap();
        }
        let got = (0..1000).map(|number| connection.get(format!("sync:{number}")).unwrap());
        assert!(got.enumerate().all(|(number, value)| value == Some(number.to_string())));
    })
    .await
    .unwrap();
}

/// A sync connection to a cluster learns of a changed map by MOVED alone, which a dead node cannot send. Its client makes a
/// new one.
#[test]
fn a_sync_cluster_client_goes_on_when_a_node_dies() {
    let mut cluster = three();
    let client = cluster_client(&cluster);
    let mut connection = client.get_connection().unwrap();
    for number in 0..100 {
        connection.set(format!("key:{number}"), "before").unwrap();
    }
    cluster.kill(1);
    assert!((0..100).any(|number| connection.set(format!("key:{number}"), "during").is_err()), "a dead node answered");
    // The nodes may take a moment to agree that it is gone.
    let mut connection = poll("all writes after the death", PATIENCE, || {
        let mut connection = client.get_connection().ok()?;
        (0..100).all(|number| connection.set(format!("key:{number}"), "after").is_ok()).then_some(connection)
    });
    for number in 0..100 {
        assert_eq!(connection.get(format!("key:{number}")).unwrap().as_deref(), Some("after"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asynchronous_connections_go_on_when_a_node_dies() {
    let mut cluster = three();
    let mut clustered = cluster_client(&cluster).get_async_connection().await.unwrap();
    let mut manager = managed(client(cluster.ports[1])).await;
    let mut elsewhere = multiplexed(client(cluster.ports[0])).await;
    for number in 0..100 {
        clustered.set(format!("key:{number}"), "before").await.unwrap();
    }
    manager.set("managed", "before").await.unwrap();

    cluster.kill(1);

    assert!(manager.get("managed").await.is_err(), "a dead node answered");
    assert_eq!(elsewhere.get("managed").await.unwrap().as_deref(), Some("before"));
    elsewhere.set("managed", "after").await.unwrap();
    for number in 0..100 {
        within_patience(async || clustered.set(format!("key:{number}"), "after").await).await;
    }
    for number in 0..100 {
        let value = within_patience(async || clustered.get(format!("key:{number}")).await).await;
        assert_eq!(value.as_deref(), Some("after"));
    }
    // When the node is back, its manager connects again by itself.
    cluster.spawn(1);
    cluster.wait_all_ready();
    let value = within_patience(async || manager.get("managed").await).await;
    assert_eq!(value.as_deref(), Some("after"));
}

/// Repeats what may fail while clients notice that a node has gone.
async fn within_patience<T>(mut action: impl AsyncFnMut() -> Result<T, RedisError>) -> T {
    let repeated = async {
        loop {
            if let Ok(value) = action().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, repeated).await.expect("clients go on in time")
}
