//! A session: one connection, from its first byte to its last.
//!
//! What arrives in one piece is one [`Turn`]: all its commands are dispatched, their remote work runs at once, and
//! all replies leave in one write. Nothing more is read from a client before its replies are taken, so a slow reader
//! costs no memory beyond one turn.

mod admission;
mod buffers;
mod connection;
mod lone;
mod lookahead;
mod settle;
mod stall;
mod unsent;

use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;

use smallvec::SmallVec;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::codec::{ProtocolError, Request, reply};
use crate::command::{
    self, Client, ClusterWide, Flow, KillToken, LargeValue, LiveSettings, Order, PauseScope, Replies, Server, State,
    Statistics, Turn, WaitOrder,
};
use crate::coordinator::HurryTimer;
use crate::peer::INTRODUCTION_COMMAND;
use crate::time::UnixMs;

use admission::{is_stranger, limits};
use connection::{Connection, LINGER, READ_BYTES_MAX, Received};
use lookahead::Lookahead;

pub use admission::{Admission, DENIED, TURNED_AWAY};

/// Bytes of input after which the others have their turn: what a deep pipeline or a large value sends.
const LONG_TURN_BYTES: usize = READ_BYTES_MAX / 2;

/// Serves one connection until the client leaves, is killed, breaks the protocol, or the server stops.
pub async fn serve(server: Arc<Server>, client: Arc<Client>, socket: TcpStream, admission: Admission) {
    let killed = client.killed.clone();
    let mut session = Session::new(&server, Arc::clone(&client), socket, admission);
    if let Err(error) = session.run(&killed).await {
        if error.kind() == ErrorKind::QuotaExceeded {
            tracing::warn!(client = client.id, address = %client.address, %error, "closed a client");
        }
        tracing::debug!(client = client.id, address = %client.address, %error, "connection lost");
    }
    command::stop_monitoring(&server, &client, &mut session.state);
    server.clients.disconnect(&client);
}

struct Session<'a> {
    server: &'a Server,
    client: Arc<Client>,
    admission: Admission,
    state: State,
    connection: Connection,
    requests: Lookahead,
    /// Set if the next command was begun, or has to wait: the argument to go on with.
    unfinished: Option<usize>,
    turn: Turn,
    timer: HurryTimer,
    /// When a killed session ends, though it be amid a command. Set once it is found to be killed.
    ends_at: Option<Instant>,
}

/// Why a turn ended.
#[derive(PartialEq, Eq)]
enum TurnEnd {
    /// No whole command is left.
    Drained,
    /// There is more to do before anything is read.
    Busy,
    /// The whole cluster has to be asked.
    Await(Box<ClusterWide>),
    /// Clients are to wait.
    Paused,
    /// Other replicas have to be waited for.
    Wait(Box<WaitOrder>),
    /// Nothing more is to be served.
    Close,
}

impl<'a> Session<'a> {
    fn new(server: &'a Server, client: Arc<Client>, socket: TcpStream, admission: Admission) -> Self {
        let state = State::new(server);
        let requests = Lookahead::new(limits(server, &state), is_stranger(&state));
        Self {
            server,
            client,
            admission,
            state,
            connection: Connection::new(socket),
            requests,
            unfinished: None,
            turn: Turn::default(),
            timer: HurryTimer::default(),
            ends_at: None,
        }
    }

    async fn run(&mut self, killed: &KillToken) -> std::io::Result<()> {
        let mut death = std::pin::pin!(killed.killed());
        let introduced_by = Instant::now() + LINGER;
        loop {
            self.client.waits();
            let refusal = match self.admission {
                Admission::Peer(refusal) if self.state.peer.is_none() => Some(refusal),
                Admission::Anybody | Admission::Peer(_) => None,
            };
            let received = match (self.state.monitoring.is_some(), refusal) {
                (true, _) => self.receive_as_monitor(death.as_mut(), killed).await?,
                (false, None) => self.connection.receive(death.as_mut(), killed).await?,
                (false, Some(refusal)) => {
                    match timeout_at(introduced_by, self.connection.receive(death.as_mut(), killed)).await {
                        Ok(received) => received?,
                        Err(_) => return self.turn_away(refusal, killed).await,
                    }
                }
            };
            self.client.works();
            let Received::Bytes(count) = received else { return Ok(()) };
            Statistics::add(&self.server.statistics.input_bytes, count);
            if self.take_turns(killed).await? == TurnEnd::Close {
                return self.connection.finish().await;
            }
            if count >= LONG_TURN_BYTES {
                // More may be there already, and the runtime would let this session go on with it for long.
                if self.state.peer.is_none() {
                    lone::note_long_turn();
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits for bytes of a client that monitors, and meanwhile sends it what the others do.
    async fn receive_as_monitor(
        &mut self,
        mut death: Pin<&mut impl Future<Output = ()>>,
        killed: &KillToken,
    ) -> std::io::Result<Received> {
        while let Some(feed) = &self.state.monitoring {
            let lines = tokio::select! {
                received = self.connection.receive(death.as_mut(), killed) => return received,
                lines = feed.lines() => lines,
            };
            Statistics::add(&self.server.statistics.output_bytes, lines.len());
            self.connection.send(&[&lines], self.limits(), killed).await?;
        }
        self.connection.receive(death, killed).await
    }

    /// Ends a connection that there is no room for.
    async fn turn_away(&mut self, refusal: &[u8], killed: &KillToken) -> std::io::Result<()> {
        Statistics::add(&self.server.statistics.rejected_connections, 1);
        self.connection.send(&[refusal], None, killed).await?;
        self.connection.finish().await
    }

    /// What to say if there is no room for whoever sent `request`: it is no node, nor about to become one.
    fn refusal(&self, request: &Request<'_>) -> Option<&'static [u8]> {
        match self.admission {
            Admission::Anybody => None,
            Admission::Peer(refusal) => {
                let is_node =
                    self.state.peer.is_some() || request.arg(0).eq_ignore_ascii_case(INTRODUCTION_COMMAND.as_bytes());
                (!is_node).then_some(refusal)
            }
        }
    }

    /// When to close the connection if its replies are not taken; nodes take them or are known to be down.
    fn limits(&self) -> Option<&'a LiveSettings> {
        self.state.peer.is_none().then_some(&self.server.live)
    }

    /// Serves what has arrived: until it is used up, or nothing more is to be served.
    async fn take_turns(&mut self, killed: &KillToken) -> std::io::Result<TurnEnd> {
        loop {
            let end = self.take_turn(killed).await?;
            // A client that never stops sending would not notice otherwise, and its unread bytes would cost it replies.
            if killed.is_killed() && !self.may_go_on() {
                return Ok(TurnEnd::Close);
            }
            match end {
                TurnEnd::Drained | TurnEnd::Close => return Ok(end),
                // Long work of one client lets the others have their turn in between.
                TurnEnd::Busy | TurnEnd::Await(_) | TurnEnd::Wait(_) => {
                    lone::note_long_turn();
                    tokio::task::yield_now().await;
                }
                TurnEnd::Paused => tokio::select! {
                    () = self.server.pause.over(&self.server.store.replica.wall) => {}
                    () = killed.killed() => return Ok(TurnEnd::Close),
                },
            }
        }
    }

    /// Whether a killed session is amid a command, and has time left to end it.
    fn may_go_on(&mut self) -> bool {
        let is_begun = self.unfinished.is_some_and(|from| from > 0);
        is_begun && Instant::now() < *self.ends_at.get_or_insert_with(|| Instant::now() + LINGER)
    }

    /// Dispatches what has arrived, waits for what that launched, and sends the replies.
    async fn take_turn(&mut self, killed: &KillToken) -> std::io::Result<TurnEnd> {
        let store = &self.server.store.replica.store;
        if self.requests.refill(self.connection.input(), store) == 1 && self.is_likely_served_here() {
            self.warm_lone().await;
            if killed.is_killed() {
                return Ok(TurnEnd::Close);
            }
        }
        // That others were served meanwhile is nothing that this turn took.
        let began = Instant::now();
        let now = self.server.store.replica.wall.now_at(began);
        self.turn.out = buffers::take_out();
        let mut end = self.fill_turn(now);
        let quorum = self.turn.quorum(self.state.quorum, self.server.store.quorum(), now);
        if let Some(operation) = self.turn.take_lone() {
            self.settle_lone(operation, quorum, began, now).await;
        } else if self.turn.has_launched() {
            self.settle_launched(quorum, began, now).await;
        }
        self.settle_turn(began);
        match end {
            TurnEnd::Await(request) => {
                Box::pin(self.ask_cluster(*request)).await;
                end = TurnEnd::Busy;
            }
            TurnEnd::Wait(order) => end = Box::pin(self.wait(*order, killed)).await,
            TurnEnd::Drained | TurnEnd::Busy | TurnEnd::Paused | TurnEnd::Close => {}
        }
        if end == TurnEnd::Drained {
            self.requests.rest();
        }
        let (out, large) = (std::mem::take(&mut self.turn.out), self.turn.take_large());
        let mut sent = Ok(());
        if self.is_answered() {
            let taken = if large.is_empty() { self.connection.send_some(&out) } else { 0 };
            Statistics::add(&self.server.statistics.output_bytes, taken);
            if taken < out.len() {
                sent = Box::pin(self.send(&out, taken, &large, killed)).await;
            }
        }
        buffers::give_out(out);
        sent.map(|()| end)
    }

    /// Sends the replies of a turn: `out` but for the first `taken` bytes, with the large values at their places.
    async fn send(
        &mut self,
        out: &[u8],
        taken: usize,
        large: &[LargeValue],
        killed: &KillToken,
    ) -> std::io::Result<()> {
        let mut from = taken;
        let pieces = large.iter().flat_map(|large| {
            let before = &out[std::mem::replace(&mut from, large.at)..large.at];
            [before, &large.value]
        });
        let mut pieces: SmallVec<[&[u8]; 3]> = pieces.collect();
        pieces.push(&out[from..]);
        Statistics::add(&self.server.statistics.output_bytes, pieces.iter().map(|piece| piece.len()).sum());
        self.connection.send(&pieces, self.limits(), killed).await
    }

    /// Adds the turn to the node's statistics, and to the slow log if it was slow. A command that was alone in its turn
    /// took all the time; the commands of a pipeline share what none of them took alone.
    #[inline(never)]
    fn settle_turn(&mut self, began: Instant) {
        let meter = &mut self.turn.meter;
        let commands = meter.commands();
        if commands > 0 {
            let elapsed = began.elapsed();
            let shared = meter.settle(elapsed, &self.server.watch);
            let waited = if commands == 1 { elapsed } else { shared };
            if let Some((position, spec)) = meter.kept()
                && let Some(request) = self.requests.at(position)
            {
                command::log_if_slow(self.server, &self.client, (spec, &request), commands - 1, waited);
            }
        }
        meter.drop_kept();
    }

    /// Whether the client wants the replies of the turn that has ended.
    fn is_answered(&mut self) -> bool {
        let replies = self.state.replies;
        if replies == Replies::Skipping && self.unfinished.is_none() {
            self.state.replies = Replies::On;
        }
        matches!(replies, Replies::On | Replies::SkipNext)
    }

    /// Whether a pause that makes `scope` wait makes this wait, too. What was begun goes on.
    fn has_to_wait(&self, scope: PauseScope, request: &Request<'_>, from: usize) -> bool {
        from == 0 && self.state.peer.is_none() && scope.holds(request)
    }

    /// Dispatches commands until none is left or the turn has to end. The hottest loop of all, so it is compiled apart
    /// from the state machine around it, with [`command::dispatch`] in it.
    #[inline(never)]
    fn fill_turn(&mut self, now: UnixMs) -> TurnEnd {
        let store = &self.server.store.replica.store;
        let (mut served, pause) = (0, self.server.pause.scope());
        let end = loop {
            let Some((request, slot)) = self.requests.current() else { break self.end_of_batch() };
            if self.turn.is_full() {
                break TurnEnd::Busy;
            }
            let from = self.unfinished.take().unwrap_or_default();
            if let Some(refusal) = self.refusal(&request) {
                Statistics::add(&self.server.statistics.rejected_connections, 1);
                self.turn.out.extend_from_slice(refusal);
                break TurnEnd::Close;
            }
            if pause.is_some_and(|scope| self.has_to_wait(scope, &request, from)) {
                self.unfinished = Some(from);
                break TurnEnd::Paused;
            }
            if self.state.replies == Replies::SkipNext {
                self.state.replies = Replies::Skipping;
            }
            let (server, client, state) = (self.server, &self.client, &mut self.state);
            let standing = (state.peer, state.authenticated);
            let flow =
                command::dispatch(server, client, state, Order { request: &request, slot, from }, now, &mut self.turn);
            match flow {
                Flow::Next | Flow::Pause => self.turn.meter.keep(self.requests.position(), request.frame_len()),
                Flow::Barrier => {
                    self.unfinished = Some(from);
                    break TurnEnd::Busy;
                }
                Flow::More(argument) => {
                    self.unfinished = Some(argument);
                    break TurnEnd::Busy;
                }
                Flow::Await(_) | Flow::Wait(_) | Flow::Close => {}
            }
            served += 1;
            if (state.peer, state.authenticated) != standing {
                self.requests.limit(limits(server, state), is_stranger(state));
            }
            match flow {
                Flow::Await(wanted) => break TurnEnd::Await(wanted),
                Flow::Next if self.state.replies != Replies::Skipping => self.requests.advance(store),
                flow => {
                    self.requests.advance(store);
                    break match flow {
                        Flow::Wait(order) => TurnEnd::Wait(order),
                        Flow::Close => TurnEnd::Close,
                        _ => TurnEnd::Busy,
                    };
                }
            }
        };
        Statistics::add(&self.server.statistics.commands, served);
        self.client.was_active(self.state.last_command, now);
        end
    }

    /// Why a turn ends that has served all that was decoded.
    fn end_of_batch(&mut self) -> TurnEnd {
        match self.requests.take_error() {
            Some(error) => self.refuse_framing(&error),
            None if self.requests.is_cut() => TurnEnd::Busy,
            None => TurnEnd::Drained,
        }
    }

    /// Tells the client what is wrong with its framing. Where the next command begins is unknown, so this is the end.
    fn refuse_framing(&mut self, error: &ProtocolError) -> TurnEnd {
        tracing::debug!(client = self.client.id, address = %self.client.address, %error, "broken framing");
        Statistics::add(&self.server.statistics.protocol_errors, 1);
        self.server.watch.errors.add("ERR");
        reply::error(&mut self.turn.out, &format!("ERR Protocol error: {error}"));
        TurnEnd::Close
    }
}
