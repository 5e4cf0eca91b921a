//! The link to one peer in memory: the same life as a TCP link's, with messages in place of a byte stream.
//!
//! One task runs two loops. The one makes connections: introduce, wait until it breaks, wait a while. The other is the
//! way itself: it keeps messages until their time has come and delivers them, also those of connections long gone.

use std::cmp::Reverse;
use std::future::pending;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::trace;

use super::connection::{Connection, ExchangeId, Outbound};
use super::switchboard::{Arrival, InMemoryNetwork, Incarnation};
use super::way::{Content, Message, Way};
use crate::codec::{DecodeLimits, ProtocolError, RequestDecoder, Requests, reply};
use crate::peer::backoff::Backoff;
use crate::peer::clock_probe::{self, ClockQuestion, ClockSample};
use crate::peer::links::PeerLink;
use crate::peer::reply_reader::{ReadError, ReplyReader};
use crate::peer::standing::Standing;
use crate::peer::{
    Answers, Exchange, Health, IntroductionError, LinkFault, LinkOptions, LinkStatus, LocalNode, PeerReply,
    PeerRequest, RequestBatch, Welcome, answer_introduction,
};
use crate::ring::NodeIndex;

/// The link from one node to one peer.
pub struct MemoryLink {
    network: InMemoryNetwork,
    local: NodeIndex,
    /// This node's own process; the link ends with it.
    own: Incarnation,
    standing: Standing,
    options: LinkOptions,
    queue: Mutex<Queue>,
    /// Tells the way that there is something to send.
    waiting: Notify,
    /// Tells the other loop that the connection is gone.
    closed: Notify,
}

struct Queue {
    /// The introduced connection, if there is one.
    connection: Option<Connection>,
    next_id: ExchangeId,
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("connection refused")]
    Refused,
    #[error("{0}")]
    Introduction(#[from] IntroductionError),
    #[error("instead of an answer to the introduction, {0}")]
    Rubbish(#[from] ReadError),
}

impl MemoryLink {
    pub(super) fn new(
        network: InMemoryNetwork,
        local: (NodeIndex, Incarnation),
        standing: Standing,
        options: LinkOptions,
    ) -> Self {
        let (local, own) = local;
        let queue = Mutex::new(Queue { connection: None, next_id: 0 });
        Self { network, local, own, standing, options, queue, waiting: Notify::new(), closed: Notify::new() }
    }

    fn push(
        &self,
        batch: RequestBatch,
        sender: Option<oneshot::Sender<Answers>>,
    ) -> Result<(), (LinkFault, RequestBatch)> {
        let queue = &mut *self.queue.lock();
        let Some(connection) = &mut queue.connection else { return Err((LinkFault::Down, batch)) };
        if !connection.has_room(self.options.queue_bytes_max) {
            return Err((LinkFault::Overloaded, batch));
        }
        queue.next_id += 1;
        connection.push(queue.next_id, batch, sender);
        self.waiting.notify_one();
        Ok(())
    }

    async fn connect_again_and_again(&self) {
        let mut backoff = Backoff::new(self.network.seed());
        loop {
            match tokio::time::timeout(self.options.request_timeout, self.dial()).await {
                Err(_) => self.standing.failed(&format_args!("no welcome within {:?}", self.options.request_timeout)),
                Ok(Err(error)) => self.standing.failed(&error),
                Ok(Ok((welcome, incarnation, clock))) => {
                    let opened = Instant::now();
                    self.open(&welcome, incarnation, clock);
                    self.until_closed().await;
                    backoff.link_lived(opened.elapsed());
                }
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// Measures the peer's clock until the connection is gone.
    async fn until_closed(&self) {
        tokio::select! {
            biased;
            () = self.closed.notified() => {}
            never = clock_probe::run(&self.standing, &self.options.clock, |batch| self.exchange(batch)) => match never {},
        }
    }

    /// Introduces this node to the peer, each way taking its time and its risk.
    async fn dial(&self) -> Result<(Welcome, Incarnation, ClockSample), DialError> {
        let peer = self.standing.peer();
        let question = ClockQuestion::ask(&self.options.clock);
        let (node, incarnation) = self.travel(self.local, peer).await?;
        // As over TCP, the introduction is written when there is a connection to this very process.
        let mut introduction = Vec::new();
        self.standing.node().introduction().encode(&mut introduction);
        let reply = welcome_by(&*node, &introduction, self.options.limits);
        self.travel(peer, self.local).await?;
        let welcome = read_welcome(&reply, self.options.limits)?;
        let clock = question.answered(welcome.wall, &self.options.clock);
        self.standing.node().welcomed(peer, &welcome)?;
        Ok((welcome, incarnation, clock))
    }

    /// Waits until a message would have arrived; for ever if it is lost.
    async fn travel(&self, from: NodeIndex, to: NodeIndex) -> Result<(Arc<dyn LocalNode>, Incarnation), DialError> {
        let Some(trip) = self.network.send(from, to).first().copied() else { return pending().await };
        tokio::time::sleep(trip.duration).await;
        loop {
            let changed = self.network.changed();
            match self.network.arrive(from, to) {
                Arrival::Here(node, incarnation) => return Ok((node, incarnation)),
                Arrival::Refused => return Err(DialError::Refused),
                Arrival::Lost => return pending().await,
                Arrival::Held => changed.await,
            }
        }
    }

    fn open(&self, welcome: &Welcome, incarnation: Incarnation, clock: ClockSample) {
        self.queue.lock().connection = Some(Connection::new(welcome.start, incarnation));
        self.standing.rise(welcome, clock);
    }

    fn close(&self, fault: &LinkFault) {
        let Some(connection) = self.queue.lock().connection.take() else { return };
        let heard_ticks = u32::try_from(connection.pulse().heard).unwrap_or(u32::MAX);
        self.standing.fall(fault, self.options.tick() * heard_ticks);
        connection.close(fault, &self.standing);
        self.closed.notify_one();
    }

    /// Moves messages until this node's process ends.
    async fn carry(&self) {
        let mut way = Way::default();
        let tick = self.options.tick();
        let mut ticks = tokio::time::interval_at(Instant::now() + tick, tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.network.incarnation(self.local) == Some(self.own) {
            let changed = self.network.changed();
            way.release();
            self.notice_dead_peer();
            self.send_outbox(&mut way);
            self.deliver_due(&mut way);
            let next = way.travelling.peek().map(|Reverse(message)| message.at);
            tokio::select! {
                biased;
                _ = ticks.tick() => self.tick(),
                () = changed => {}
                () = self.waiting.notified() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    fn notice_dead_peer(&self) {
        let incarnation = self.network.incarnation(self.standing.peer());
        let is_gone = |connection: &Connection| Some(connection.incarnation) != incarnation;
        let gone = self.queue.lock().connection.as_ref().is_some_and(is_gone);
        if gone {
            self.close(&LinkFault::Lost("closed by the peer".to_owned()));
        }
    }

    fn tick(&self) {
        let (health, idle) = match &mut self.queue.lock().connection {
            Some(connection) => (connection.tick(&self.standing), connection.is_idle()),
            None => return,
        };
        if health == Health::Down {
            return self.close(&LinkFault::TimedOut);
        }
        self.standing.judged(health);
        if idle {
            // Its place is taken by the mark that goes ahead of every batch; refusal means that the link is not idle.
            drop(self.push(RequestBatch::new(), None));
        }
    }

    /// Sends off what is queued, each batch behind the mark of this moment.
    fn send_outbox(&self, way: &mut Way) {
        while let Some((outbound, incarnation)) = self.take_outbound() {
            let mark = self.standing.node().mark();
            let mut bytes = Vec::new();
            PeerRequest::Mark(mark).encode(&mut bytes);
            bytes.extend_from_slice(&outbound.bytes);
            self.send(way, outbound.id, incarnation, &Content::Requests(bytes));
        }
    }

    fn take_outbound(&self) -> Option<(Outbound, Incarnation)> {
        let queue = &mut *self.queue.lock();
        let connection = queue.connection.as_mut()?;
        let incarnation = connection.incarnation;
        connection.take().map(|outbound| (outbound, incarnation))
    }

    fn send(&self, way: &mut Way, id: ExchangeId, incarnation: Incarnation, content: &Content) {
        let (from, to) = self.ends(content);
        for trip in self.network.send(from, to) {
            let at = way.arrival(Instant::now() + trip.duration, trip.loose, content);
            way.sequence += 1;
            let message = Message { at, sequence: way.sequence, id, incarnation, content: content.clone() };
            way.travelling.push(Reverse(message));
        }
    }

    fn ends(&self, content: &Content) -> (NodeIndex, NodeIndex) {
        match content {
            Content::Requests(_) => (self.local, self.standing.peer()),
            Content::Replies(_) => (self.standing.peer(), self.local),
        }
    }

    fn deliver_due(&self, way: &mut Way) {
        let now = Instant::now();
        while way.travelling.peek().is_some_and(|Reverse(message)| message.at <= now) {
            if let Some(Reverse(message)) = way.travelling.pop() {
                self.deliver(way, message);
            }
        }
    }

    fn deliver(&self, way: &mut Way, message: Message) {
        let (from, to) = self.ends(&message.content);
        match (self.network.arrive(from, to), &message.content) {
            (Arrival::Held, _) => way.held.push_back(message),
            (Arrival::Lost | Arrival::Refused, _) => {}
            (Arrival::Here(_, incarnation), Content::Requests(_)) if incarnation != message.incarnation => {
                trace!(peer = to.0, "requests to an earlier process are lost");
            }
            (Arrival::Here(node, incarnation), Content::Requests(bytes)) => {
                let replies = handle_all(&*node, self.local, bytes, self.options.limits);
                self.send(way, message.id, incarnation, &Content::Replies(replies));
            }
            (Arrival::Here(..), Content::Replies(bytes)) => self.take_replies(message.id, bytes),
        }
    }

    /// Ends the exchange that the replies belong to, if it waits, and the connection if they are not what was asked for.
    fn take_replies(&self, id: ExchangeId, bytes: &[u8]) {
        let mut queue = self.queue.lock();
        let Some(connection) = &mut queue.connection else { return };
        let Some(asked) = connection.asked(id) else { return };
        let (replies, fault) = read_replies(bytes, asked, self.options.limits);
        connection.finish(id, replies, fault.clone(), &self.standing);
        drop(queue);
        if let Some(fault) = fault {
            self.close(&fault);
        }
    }
}

impl PeerLink for MemoryLink {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn status(&self) -> LinkStatus {
        let pulse = self.queue.lock().connection.as_ref().map(Connection::pulse);
        self.standing.status(pulse, self.options.tick())
    }

    fn is_gathering(&self) -> bool {
        self.queue.lock().connection.as_ref().is_some_and(Connection::is_gathering)
    }

    fn exchange(&self, batch: RequestBatch) -> Exchange {
        let (sender, receiver) = oneshot::channel();
        match self.push(batch, Some(sender)) {
            Ok(()) => Exchange::waiting(receiver),
            Err((fault, batch)) => Exchange::unsent(fault, batch),
        }
    }

    /// Keeps the link up until `cancel`, or until this node's process is another one.
    async fn run(&self, cancel: CancellationToken) {
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            () = self.carry() => {}
            () = self.connect_again_and_again() => {}
        }
        self.close(&LinkFault::Lost("this node is shutting down".to_owned()));
    }
}

fn decode(bytes: &[u8], limits: DecodeLimits) -> Result<Requests, ProtocolError> {
    let mut requests = Requests::default();
    RequestDecoder::new(limits).decode_up_to(usize::MAX, &mut BytesMut::from(bytes), &mut requests)?;
    Ok(requests)
}

/// What `node` answers to an introduction, as its server would.
fn welcome_by(node: &dyn LocalNode, introduction: &[u8], limits: DecodeLimits) -> Vec<u8> {
    let mut out = Vec::new();
    for request in decode(introduction, limits).unwrap_or_default().iter() {
        let args: Vec<&[u8]> = request.args().collect();
        // The refusal's reason is in the reply.
        drop(answer_introduction(node, &args, &mut out));
    }
    out
}

/// What `node` answers to requests, as its server would.
fn handle_all(node: &dyn LocalNode, from: NodeIndex, bytes: &[u8], limits: DecodeLimits) -> Vec<u8> {
    let mut out = Vec::new();
    match decode(bytes, limits) {
        Err(error) => reply::error(&mut out, &format!("ERR Protocol error: {error}")),
        Ok(requests) => requests.iter().for_each(|request| match PeerRequest::parse(&request) {
            Ok(request) => node.handle(from, request, &mut out),
            Err(error) => reply::error(&mut out, &format!("ERR {error}")),
        }),
    }
    out
}

fn read_welcome(bytes: &[u8], limits: DecodeLimits) -> Result<Welcome, DialError> {
    let mut reader = ReplyReader::new(limits);
    reader.buffer().extend_from_slice(bytes);
    let frame = reader.next_frame()?.ok_or(DialError::Refused)?;
    Ok(Welcome::from_frame(frame)?)
}

/// The replies to a mark, which nobody wants, and to `asked` requests, and what is wrong with them.
fn read_replies(bytes: &[u8], asked: usize, limits: DecodeLimits) -> (Vec<PeerReply>, Option<LinkFault>) {
    let mut reader = ReplyReader::new(limits);
    reader.buffer().extend_from_slice(bytes);
    let mut replies = Vec::with_capacity(asked + 1);
    let fault = loop {
        match reader.next() {
            Ok(Some(reply)) => replies.push(reply),
            Ok(None) => break None,
            Err(error) => break Some(LinkFault::Lost(error.to_string())),
        }
    };
    let wrong_count = (replies.len() != asked + 1).then(|| {
        let words = if replies.len() <= asked { "closed by the peer within a reply" } else { "a reply too many" };
        LinkFault::Lost(words.to_owned())
    });
    replies.truncate(asked + 1);
    replies.drain(..replies.len().min(1));
    (replies, fault.or(wrong_count))
}
