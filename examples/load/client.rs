//! One connection: a pipeline is sent, its replies are read, and the next is sent.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::Budget;
use super::histogram::Histogram;
use super::replies::Replies;
use super::requests::Requests;

const READ_BYTES: usize = 64 * 1024;
/// A pipeline longer than this is read from while it is sent: a server may stop taking requests until its replies are read.
const SENT_BLINDLY_MAX: usize = 64 * 1024;

/// A connection and what it asks for.
pub(crate) struct Client {
    port: u16,
    stream: TcpStream,
    requests: Requests,
    budget: Arc<Budget>,
    replies: Replies,
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
    pub(crate) fn new(port: u16, stream: TcpStream, requests: Requests, budget: Arc<Budget>) -> Self {
        let replies = Replies::new(requests.replicas);
        Self { port, stream, requests, budget, replies }
    }

    /// Asks until the budget is used up.
    pub(crate) async fn run(mut self) -> Result<Seen, String> {
        let port = self.port;
        self.ask().await.map_err(|error| format!("port {port}: {error}"))
    }

    async fn ask(&mut self) -> io::Result<Seen> {
        let (mut reader, mut writer) = self.stream.split();
        let (mut out, mut buffer) = (Vec::new(), vec![0; READ_BYTES]);
        let mut times = Histogram::default();
        loop {
            let (count, first) = self.budget.take(self.requests.pipeline, Instant::now());
            if count == 0 {
                let Replies { missing, errors, .. } = self.replies;
                return Ok(Seen { times, missing, errors, error: self.replies.error.take() });
            }
            out.clear();
            self.replies.expect(self.requests.write(count, first, &mut out));
            let sent = Instant::now();
            exchange(&mut reader, &mut writer, &out, &mut self.replies, &mut buffer).await?;
            times.note(sent.elapsed(), count);
        }
    }
}

async fn exchange(
    reader: &mut ReadHalf<'_>,
    writer: &mut WriteHalf<'_>,
    out: &[u8],
    replies: &mut Replies,
    buffer: &mut [u8],
) -> io::Result<()> {
    if out.len() <= SENT_BLINDLY_MAX {
        writer.write_all(out).await?;
        return read(reader, replies, buffer).await;
    }
    tokio::try_join!(writer.write_all(out), read(reader, replies, buffer)).map(|_| ())
}

async fn read(reader: &mut ReadHalf<'_>, replies: &mut Replies, buffer: &mut [u8]) -> io::Result<()> {
    while !replies.are_complete() {
        let length = reader.read(buffer).await?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        replies.take(&buffer[..length]).map_err(|text| io::Error::new(ErrorKind::InvalidData, text))?;
    }
    Ok(())
}
