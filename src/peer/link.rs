//! The TCP link to one peer: dial, introduce, carry batches, start over.
//!
//! One task per link does everything that waits: it reads, writes, ticks and dials again, so that whatever ends one of
//! these ends them all and nothing of an old connection is left when the next is made. Sessions only ever touch the
//! queues, under a lock held for a few assignments and the copy of their batch.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::clock_probe::{self, ClockQuestion, ClockSample};
use super::health::TICKS_PER_TIMEOUT;
use super::links::PeerLink;
use super::outgoing::Outgoing;
use super::pipeline::{Finished, Pipeline, Unasked};
use super::reply_reader::{ReadError, ReplyReader};
use super::standing::Standing;
use super::{
    Exchange, Health, IntroductionError, LinkFault, LinkState, LinkStatus, LocalNode, Mark, PeerReply, PeerRequest,
    RequestBatch, Welcome,
};
use crate::codec::DecodeLimits;
use crate::ring::NodeIndex;
use crate::time::WallClock;

/// So often the sockets are looked at before a message leaves that still grows.
const GATHERING_ROUNDS_MAX: usize = 3;
/// Bytes that are read or written at a time. What is more has to wait until the clients have had their turn.
const PIECE_BYTES: usize = 128 << 10;
/// So many batches of a broken link are ended before others have their turn.
const HANDED_OVER_AT_ONCE: usize = 64;

/// What all links of a node have in common.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// Every exchange, and every attempt to make a link, ends within this time. At least 8 ms.
    pub request_timeout: Duration,
    /// Bytes that may wait for one peer; at the bound a batch is refused as overloaded.
    pub queue_bytes_max: usize,
    /// How large a peer's answer may be.
    pub limits: DecodeLimits,
    /// This node's clock, to tell how far the peers' are off.
    pub clock: WallClock,
}

impl LinkOptions {
    /// The default of `queue_bytes_max`.
    pub const QUEUE_BYTES_MAX: usize = 64 << 20;

    /// Options with the default bounds.
    #[must_use]
    pub fn new(request_timeout: Duration, clock: WallClock) -> Self {
        let limits = DecodeLimits::between_nodes();
        Self { request_timeout, queue_bytes_max: Self::QUEUE_BYTES_MAX, limits, clock }
    }

    /// How often a link looks at what waits.
    pub(super) fn tick(&self) -> Duration {
        (self.request_timeout / TICKS_PER_TIMEOUT).max(Duration::from_millis(1))
    }
}

/// The link to one peer.
pub struct Link {
    standing: Standing,
    options: LinkOptions,
    /// The present connection's queues; `None` when there is no connection that was introduced.
    pipeline: Mutex<Option<Pipeline>>,
    /// Tells the writer that something waits in the queues.
    waiting: Notify,
}

/// Why a link could not be made.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("cannot connect: {0}")]
    Unreachable(io::Error),
    #[error("the connection broke before the welcome: {0}")]
    Broken(#[from] io::Error),
    #[error("{0}")]
    Introduction(#[from] IntroductionError),
    #[error("closed by the peer instead of an answer to the introduction")]
    Closed,
    #[error("instead of an answer to the introduction, {0}")]
    Rubbish(#[from] ReadError),
}

impl Link {
    pub(super) fn new(peer: NodeIndex, address: String, options: LinkOptions, node: Arc<dyn LocalNode>) -> Self {
        let standing = Standing::new(peer, address, node);
        Self { standing, options, pipeline: Mutex::new(None), waiting: Notify::new() }
    }

    async fn connect_and_serve(&self, backoff: &mut Backoff) {
        let mut reader = ReplyReader::new(self.options.limits);
        match tokio::time::timeout(self.options.request_timeout, self.connect(&mut reader)).await {
            Err(_) => self.standing.failed(&format_args!("no welcome within {:?}", self.options.request_timeout)),
            Ok(Err(error)) => self.standing.failed(&error),
            Ok(Ok((stream, welcome, clock))) => {
                self.open(&welcome, clock);
                let opened = Instant::now();
                let fault = self.serve(stream, reader).await;
                self.close(&fault).await;
                backoff.link_lived(opened.elapsed());
            }
        }
    }

    async fn connect(&self, reader: &mut ReplyReader) -> Result<(TcpStream, Welcome, ClockSample), ConnectError> {
        let mut stream = TcpStream::connect(self.standing.address()).await.map_err(ConnectError::Unreachable)?;
        stream.set_nodelay(true)?;
        let mut introduction = Vec::new();
        self.standing.node().introduction().encode(&mut introduction);
        let question = ClockQuestion::ask(&self.options.clock);
        stream.write_all(&introduction).await?;
        let welcome = read_welcome(&mut stream, reader).await?;
        let clock = question.answered(welcome.wall, &self.options.clock);
        self.standing.node().welcomed(self.standing.peer(), &welcome)?;
        Ok((stream, welcome, clock))
    }

    fn open(&self, welcome: &Welcome, clock: ClockSample) {
        *self.pipeline.lock() = Some(Pipeline::new(welcome.start));
        self.standing.rise(welcome, clock);
    }

    /// Ends the connection for everybody: no batch is accepted, then the link is known to be down, then waiters learn.
    /// There may be a hundred thousand batches that nobody waits for, each of which has to be owed to the peer.
    async fn close(&self, fault: &LinkFault) {
        let Some(pipeline) = self.pipeline.lock().take() else { return };
        let heard_ticks = u32::try_from(pipeline.pulse().heard).unwrap_or(u32::MAX);
        self.standing.fall(fault, self.options.tick() * heard_ticks);
        let mut finished = pipeline.close(fault).into_iter();
        while finished.len() > 0 {
            self.hand_over(finished.by_ref().take(HANDED_OVER_AT_ONCE));
            tokio::task::yield_now().await;
        }
    }

    /// Carries batches until something breaks. Then what still lies in the socket is thrown away: the kernel would go on
    /// for minutes to send what has failed here already, and nothing may arrive that late.
    async fn serve(&self, mut stream: TcpStream, reader: ReplyReader) -> LinkFault {
        let (read_half, write_half) = stream.split();
        let fault = tokio::select! {
            fault = self.read_replies(read_half, reader) => fault,
            fault = self.write_batches(write_half) => fault,
            fault = self.watch() => fault,
            never = clock_probe::run(&self.standing, &self.options.clock, |batch| self.exchange(batch)) => match never {},
        };
        // It fails only where there is no connection any more.
        let _ = stream.set_zero_linger();
        fault
    }

    /// Writes what waits, all of it in one go.
    async fn write_batches(&self, mut socket: WriteHalf<'_>) -> LinkFault {
        let mut writing = Outgoing::default();
        let mut marker = Marker::default();
        loop {
            self.waiting.notified().await;
            self.gather().await;
            self.take(&mut marker, &mut writing);
            while writing.has_remaining() {
                let written = match writing.remaining() {
                    ..=PIECE_BYTES => socket.write_buf(&mut writing).await,
                    _ => socket.write_buf(&mut (&mut writing).take(PIECE_BYTES)).await,
                };
                match written {
                    Ok(0) => return LinkFault::Lost("the socket takes no more".to_owned()),
                    Ok(count) => self.with_pipeline(|pipeline| pipeline.wrote(count)),
                    Err(error) => return LinkFault::Lost(error.to_string()),
                }
                if writing.has_remaining() {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Lets the sessions that are ready add their batches, and those that become ready meanwhile, as long as some do: a message
    /// costs both ends much more than a batch in it. A lone batch waits for no more than one look at the sockets.
    async fn gather(&self) {
        let mut batches = self.batches_waiting();
        for _ in 0..GATHERING_ROUNDS_MAX {
            if self.is_complete() {
                return;
            }
            tokio::task::yield_now().await;
            let before = std::mem::replace(&mut batches, self.batches_waiting());
            if batches == before || !self.is_gathering() {
                return;
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.pipeline.lock().as_ref().is_some_and(Pipeline::is_complete)
    }

    fn batches_waiting(&self) -> usize {
        self.pipeline.lock().as_ref().map_or(0, Pipeline::batches_waiting)
    }

    fn take(&self, marker: &mut Marker, writing: &mut Outgoing) {
        let changed = marker.update(self.standing.node().mark());
        self.with_pipeline(|pipeline| {
            let mark = (changed || pipeline.mark_due()).then_some(marker.bytes.as_slice());
            pipeline.take(mark, writing);
        });
    }

    /// Reads answers and hands them to those who wait, with one wake per batch.
    async fn read_replies(&self, mut socket: ReadHalf<'_>, mut reader: ReplyReader) -> LinkFault {
        let mut replies = Vec::new();
        let mut finished = Vec::new();
        let mut count = 0;
        loop {
            let decoded = decode_all(&mut reader, &mut replies);
            let matched = self.hand_out(count, &mut replies, &mut finished);
            self.hand_over(finished.drain(..));
            if let Err(error) = decoded {
                return LinkFault::Lost(error.to_string());
            }
            if matched.is_err() {
                return LinkFault::Lost("a reply that nobody asked for".to_owned());
            }
            if count >= PIECE_BYTES / 2 {
                tokio::task::yield_now().await;
            }
            count = match socket.read_buf(&mut reader.buffer().limit(PIECE_BYTES)).await {
                Ok(0) if reader.is_torn() => return LinkFault::Lost("closed by the peer within a reply".to_owned()),
                Ok(0) => return LinkFault::Lost("closed by the peer".to_owned()),
                Ok(count) => count,
                Err(error) => return LinkFault::Lost(error.to_string()),
            };
        }
    }

    fn hand_out(
        &self,
        count: usize,
        replies: &mut Vec<PeerReply>,
        finished: &mut Vec<Finished>,
    ) -> Result<(), Unasked> {
        let mut guard = self.pipeline.lock();
        let Some(pipeline) = &mut *guard else { return Ok(()) };
        pipeline.flowed(count);
        replies.drain(..).try_for_each(|reply| pipeline.answer(reply, finished))
    }

    /// Ends what waits too long, and the connection if its peer shows no sign of life.
    async fn watch(&self) -> LinkFault {
        let tick = self.options.tick();
        let mut interval = tokio::time::interval_at(Instant::now() + tick, tick);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let outcome = self.pipeline.lock().as_mut().map(Pipeline::tick).unwrap_or_default();
            self.hand_over(outcome.finished);
            if outcome.health == Health::Down {
                return LinkFault::TimedOut;
            }
            self.standing.judged(outcome.health);
            if outcome.wake_writer {
                self.waiting.notify_one();
            }
        }
    }

    fn hand_over(&self, finished: impl IntoIterator<Item = Finished>) {
        for missed in finished.into_iter().filter_map(Finished::send) {
            self.standing.node().missed(self.standing.peer(), missed);
        }
    }

    fn with_pipeline(&self, action: impl FnOnce(&mut Pipeline)) {
        if let Some(pipeline) = &mut *self.pipeline.lock() {
            action(pipeline);
        }
    }
}

impl PeerLink for Link {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn status(&self) -> LinkStatus {
        let pulse = self.pipeline.lock().as_ref().map(Pipeline::pulse);
        self.standing.status(pulse, self.options.tick())
    }

    fn is_gathering(&self) -> bool {
        self.pipeline.lock().as_ref().is_some_and(Pipeline::is_gathering)
    }

    fn send_now(&self) {
        self.with_pipeline(Pipeline::complete);
    }

    /// Queues a batch for the next write.
    fn exchange(&self, batch: RequestBatch) -> Exchange {
        if self.standing.state() == LinkState::Down {
            return Exchange::unsent(LinkFault::Down, batch);
        }
        let replies = Vec::with_capacity(batch.len());
        let (sender, receiver) = oneshot::channel();
        let wake_writer = match &mut *self.pipeline.lock() {
            None => return Exchange::unsent(LinkFault::Down, batch),
            Some(pipeline) if !pipeline.has_room(self.options.queue_bytes_max) => {
                return Exchange::unsent(LinkFault::Overloaded, batch);
            }
            Some(pipeline) => pipeline.push(batch, (sender, replies)),
        };
        if wake_writer {
            self.waiting.notify_one();
        }
        Exchange::waiting(receiver)
    }

    /// Keeps the link up until `cancel`.
    async fn run(&self, cancel: CancellationToken) {
        let mut backoff = Backoff::new(RandomState::new().hash_one(self.standing.peer()));
        let stopped = cancel.run_until_cancelled(async {
            loop {
                self.connect_and_serve(&mut backoff).await;
                tokio::time::sleep(backoff.next()).await;
            }
        });
        stopped.await;
        self.close(&LinkFault::Lost("this node is shutting down".to_owned())).await;
    }
}

/// The mark that was last written on a connection.
#[derive(Default)]
struct Marker {
    mark: Option<Mark>,
    /// Its request.
    bytes: Vec<u8>,
}

impl Marker {
    /// Notes the present mark; true if it is another one.
    fn update(&mut self, mark: Mark) -> bool {
        if self.mark == Some(mark) {
            return false;
        }
        self.mark = Some(mark);
        self.bytes.clear();
        PeerRequest::Mark(mark).encode(&mut self.bytes);
        true
    }
}

async fn read_welcome(stream: &mut TcpStream, reader: &mut ReplyReader) -> Result<Welcome, ConnectError> {
    loop {
        if let Some(frame) = reader.next_frame()? {
            return Ok(Welcome::from_frame(frame)?);
        }
        if stream.read_buf(reader.buffer()).await? == 0 {
            return Err(ConnectError::Closed);
        }
    }
}

/// Decodes what has arrived; the replies before an error count.
fn decode_all(reader: &mut ReplyReader, replies: &mut Vec<PeerReply>) -> Result<(), ReadError> {
    while let Some(reply) = reader.next()? {
        replies.push(reply);
    }
    Ok(())
}
