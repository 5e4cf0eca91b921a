//! One client: a pipeline is sent, its replies are read, and the next is sent.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::Budget;
use super::connection::Connection;
use super::histogram::Histogram;
use super::requests::Requests;

/// A connection and what it asks for.
pub(crate) struct Client {
    port: u16,
    connection: Connection,
    requests: Requests,
    budget: Arc<Budget>,
}

/// What clients saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) times: Histogram,
    pub(crate) missing: u64,
    /// Error replies, and the text of one.
    pub(crate) errors: u64,
    pub(crate) error: Option<String>,
}

impl Seen {
    pub(crate) fn add(&mut self, other: Self) {
        self.times.add(&other.times);
        self.missing += other.missing;
        self.errors += other.errors;
        self.error = self.error.take().or(other.error);
    }
}

impl Client {
    pub(crate) fn new(port: u16, connection: Connection, requests: Requests, budget: Arc<Budget>) -> Self {
        Self { port, connection, requests, budget }
    }

    /// Asks until the budget is used up.
    pub(crate) async fn run(mut self) -> Result<Seen, String> {
        let port = self.port;
        self.ask().await.map_err(|error| format!("port {port}: {error}"))
    }

    async fn ask(&mut self) -> io::Result<Seen> {
        let (mut out, mut times) = (Vec::new(), Histogram::default());
        loop {
            let (count, first) = self.budget.take(self.requests.pipeline, Instant::now());
            if count == 0 {
                let replies = &mut self.connection.replies;
                let (missing, errors) = (replies.missing, replies.errors);
                return Ok(Seen { times, missing, errors, error: replies.error.take() });
            }
            out.clear();
            let replies = self.requests.write(count, first, &mut out);
            let sent = Instant::now();
            self.connection.exchange(&out, replies).await?;
            times.note(sent.elapsed(), count);
        }
    }
}
