//! Clients that write, overwrite and read while nodes come and go, and remember what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, AsyncTypedCommands, Client, RedisError, RedisResult};
use tokio::task::JoinHandle;

use super::*;

/// How long a client waits for a reply: longer than any stall that these tests allow.
const REPLY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Clients that write, overwrite and read until they are told to stop, or their connection breaks.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    /// Rounds of all clients so far.
    rounds: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Story>>,
}

impl Load {
    pub(crate) async fn start(ports: &[u16]) -> Self {
        let mut load = Self { stop: Arc::default(), rounds: Arc::default(), clients: Vec::new() };
        for (client, &port) in ports.iter().enumerate() {
            let (stop, rounds) = (Arc::clone(&load.stop), Arc::clone(&load.rounds));
            let connection = connect(port).await;
            let story = Story { client, port, ..Story::default() };
            load.clients.push(tokio::spawn(story.live(connection, stop, rounds)));
        }
        load
    }

    /// Waits until all clients together have been served `count` more rounds.
    pub(crate) fn run_for(&self, count: usize) {
        let until = self.rounds.load(Ordering::Acquire) + count;
        wait_until("the clients are served", || self.rounds.load(Ordering::Acquire) >= until);
    }

    pub(crate) async fn end(self) -> Vec<Story> {
        self.stop.store(true, Ordering::Release);
        let mut stories = Vec::new();
        for client in self.clients {
            stories.push(client.await.expect("a client does not panic"));
        }
        stories
    }
}

/// What one client went through.
#[derive(Default, Debug)]
pub(crate) struct Story {
    client: usize,
    pub(crate) port: u16,
    /// Keys 0 to this one, exclusively, were written and acknowledged.
    acknowledged: usize,
    pub(crate) failures: Vec<String>,
    longest: Duration,
}

impl Story {
    async fn live(
        mut self,
        mut connection: MultiplexedConnection,
        stop: Arc<AtomicBool>,
        rounds: Arc<AtomicUsize>,
    ) -> Self {
        while !stop.load(Ordering::Acquire) {
            match self.round(&mut connection).await {
                Ok(()) => drop(rounds.fetch_add(1, Ordering::AcqRel)),
                Err(error) => {
                    self.failures.push(error.to_string());
                    if error.is_io_error() || error.is_connection_dropped() {
                        break;
                    }
                }
            }
        }
        self
    }

    /// A key written once, a counter overwritten and read back, an old key, a missing key.
    async fn round(&mut self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let (client, number) = (self.client, self.acknowledged);
        let value = number.to_string();
        self.time(connection.set(key(client, number), &value)).await?;
        self.time(connection.set(counter(client), &value)).await?;
        self.acknowledged += 1;
        let read = self.time(connection.get(counter(client))).await?;
        assert_eq!(read.as_ref(), Some(&value), "a client reads its own write");
        let old = number / 2;
        let read = self.time(connection.get(key(client, old))).await?;
        assert_eq!(read, Some(old.to_string()), "an acknowledged write can be read");
        let read = self.time(connection.get(format!("missing:{client}:{number}"))).await?;
        assert_eq!(read, None);
        Ok(())
    }

    async fn time<T>(&mut self, request: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
        let began = Instant::now();
        let result = request.await;
        self.longest = self.longest.max(began.elapsed());
        result
    }
}

async fn connect(port: u16) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(REPLY_WAIT_MAX))
        .set_response_timeout(Some(REPLY_WAIT_MAX));
    let client = Client::open(format!("redis://127.0.0.1:{port}")).expect("a good address");
    client.get_multiplexed_async_connection_with_config(&config).await.expect("the node accepts connections")
}

fn key(client: usize, number: usize) -> String {
    format!("load:{client}:{number}")
}

fn counter(client: usize) -> String {
    format!("counter:{client}")
}

pub(crate) fn longest(stories: &[Story]) -> Duration {
    stories.iter().map(|story| story.longest).max().unwrap_or_default()
}

/// Every acknowledged write can be read from the node at `port`, and no counter has gone back.
pub(crate) async fn assert_nothing_is_lost(stories: &[Story], port: u16) {
    assert_nothing_is_lost_on(stories, &[port]).await;
}

/// Every acknowledged write can be read from each of these nodes, and the newest counter that one of them shows has not
/// gone back. With R = 1 another may show an older one: its coordinator died with the third copy in hand.
pub(crate) async fn assert_nothing_is_lost_on(stories: &[Story], ports: &[u16]) {
    let mut newest = vec![0; stories.len()];
    for &port in ports {
        assert_keys_are_there(stories, port, &mut newest).await;
    }
    for (story, last) in stories.iter().zip(newest) {
        // A write whose answer never came may have taken effect, too.
        let possible = story.acknowledged - 1..=story.acknowledged;
        assert!(possible.contains(&last), "counter {} is {last} on {ports:?}, not in {possible:?}", story.client);
    }
}

/// Every acknowledged key can be read from the node at `port`; raises `newest` to the counters that it shows.
async fn assert_keys_are_there(stories: &[Story], port: u16, newest: &mut [usize]) {
    let mut connection = connect(port).await;
    for (story, newest) in stories.iter().zip(newest) {
        let numbers: Vec<usize> = (0..story.acknowledged).collect();
        for part in numbers.chunks(1000) {
            let keys: Vec<String> = part.iter().map(|&number| key(story.client, number)).collect();
            let values: Vec<Option<String>> = connection.mget(keys).await.expect("the node answers");
            for (number, value) in part.iter().zip(values) {
                assert_eq!(value, Some(number.to_string()), "{} on {port}", key(story.client, *number));
            }
        }
        let last = connection.get(counter(story.client)).await.expect("the node answers");
        *newest = (*newest).max(last.expect("it was written").parse().expect("a number"));
    }
}
