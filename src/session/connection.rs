//! The socket of a session and its input buffer.
//!
//! An idle connection holds no buffer: it borrows one from the thread when bytes are there, and gives it back as soon
//! as no torn command is left in it.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncWriteExt, Interest, Ready};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::io::poll_read_buf;

use super::buffers;
use super::lone::note_long_turn;
use super::stall::Stall;
use super::unsent::Unsent;
use crate::command::{KillToken, LiveSettings};

/// How long a connection that is being closed waits for the client: to take its replies, to read what was sent before.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read at a time. What is more has to wait until the others have had their turn: a large value takes its
/// reader no longer away from them than a few dozen small ones.
pub(super) const READ_BYTES_MAX: usize = 32 << 10;
/// Bytes that are written at a time. Each piece costs a system call and the receiver a wake, so a value of 64 KB is one.
const WRITE_BYTES_MAX: usize = 80 << 10;
/// Bytes of a client that are read and dropped while its connection is being closed.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// Why a client was closed.
const UNTAKEN: &str = "it did not take its replies in time";

/// What a wait for bytes came to.
pub(super) enum Received {
    /// So many more bytes are in the input.
    Bytes(usize),
    /// The client has closed its side, perhaps in the midst of a command.
    End,
    /// The session is to end.
    Killed,
}

/// A socket with the bytes that were received and not yet decoded.
pub(super) struct Connection {
    socket: TcpStream,
    input: BytesMut,
    /// Whether the session's task is woken when it is killed, wherever it waits then.
    hears_of_death: bool,
}

impl Connection {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, input: BytesMut::new(), hears_of_death: false }
    }

    /// What was received and not yet decoded.
    pub(super) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Waits for more bytes, or until `killed`. `death`, the same as a future of the session's task, is polled once in all: who has
    /// been told whom to wake needs no telling before every wait.
    pub(super) async fn receive(
        &mut self,
        mut death: Pin<&mut impl Future<Output = ()>>,
        killed: &KillToken,
    ) -> io::Result<Received> {
        poll_fn(|context| {
            if self.input.capacity() == 0 {
                self.input = buffers::take_input();
            } else {
                buffers::make_room(&mut self.input);
            }
            let mut piece = (&mut self.input).limit(READ_BYTES_MAX);
            match poll_read_buf(Pin::new(&mut self.socket), context, &mut piece) {
                Poll::Ready(Ok(0)) => Poll::Ready(Ok(Received::End)),
                Poll::Ready(Ok(count)) => Poll::Ready(Ok(Received::Bytes(count))),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => {
                    if self.input.is_empty() {
                        buffers::give_input(std::mem::take(&mut self.input));
                    }
                    let is_killed = match std::mem::replace(&mut self.hears_of_death, true) {
                        true => killed.is_killed(),
                        false => death.as_mut().poll(context).is_ready(),
                    };
                    if is_killed { Poll::Ready(Ok(Received::Killed)) } else { Poll::Pending }
                }
            }
        })
        .await
    }

    /// Ends once the client has closed its side; what it has sent before stays where it is.
    pub(super) async fn left(&self) {
        while !self.socket.ready(Interest::READABLE).await.is_ok_and(Ready::is_read_closed) {
            // Bytes that nobody reads now: they would be reported again at once.
            tokio::time::sleep(LINGER).await;
        }
    }

    /// Sends what the client takes at once, and tells how many bytes that was. An error comes to light when the rest is sent.
    #[inline]
    pub(super) fn send_some(&self, out: &[u8]) -> usize {
        let piece = &out[..out.len().min(WRITE_BYTES_MAX)];
        if piece.is_empty() { 0 } else { self.socket.try_write(piece).unwrap_or_default() }
    }

    /// Sends all `pieces`, one after the other; waits while the client does not take them, as long as `limits` allow if there
    /// are any, but not for long once `killed`.
    pub(super) async fn send(
        &mut self,
        pieces: &[&[u8]],
        limits: Option<&LiveSettings>,
        killed: &KillToken,
    ) -> io::Result<()> {
        let unsent = Unsent::new(pieces);
        if unsent.len() == 0 {
            return Ok(());
        }
        tokio::select! {
            // What the client takes at once costs no look at the rest.
            biased;
            sent = self.send_within(unsent, limits) => sent,
            () = linger_after(killed) => Err(io::Error::new(ErrorKind::TimedOut, "killed without reading its replies")),
        }
    }

    async fn send_within(&mut self, mut unsent: Unsent<'_>, limits: Option<&LiveSettings>) -> io::Result<()> {
        let mut stall: Option<Stall> = None;
        loop {
            match self.socket.try_write_vectored(&unsent.slices(WRITE_BYTES_MAX)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) if count == unsent.len() => return Ok(()),
                Ok(count) => {
                    unsent.advance(count);
                    if let Some(stall) = &mut stall {
                        stall.taken(Instant::now());
                    }
                    note_long_turn();
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            let Some(limits) = limits else {
                self.socket.writable().await?;
                continue;
            };
            let now = Instant::now();
            let stall = stall.get_or_insert_with(|| Stall::new(now));
            let patience = stall.patience(unsent.len(), limits.output_limit(), limits.idle_timeout(), now);
            let patience = patience.ok_or_else(|| io::Error::new(ErrorKind::QuotaExceeded, UNTAKEN))?;
            if let Ok(ready) = timeout(patience, self.socket.writable()).await {
                ready?;
            }
        }
    }

    /// Closes the connection so that the client gets the last reply: bytes that it still sends are read and dropped
    /// for a moment, since closing a socket with unread bytes would discard what it has not read yet.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.socket.shutdown().await?;
        let drain = async {
            let mut dropped = 0;
            while dropped < LINGER_BYTES_MAX {
                self.input.clear();
                match poll_fn(|context| poll_read_buf(Pin::new(&mut self.socket), context, &mut self.input)).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => dropped += count,
                }
            }
        };
        // Time is up: whatever is still on its way is the client's loss.
        let _ = tokio::time::timeout(LINGER, drain).await;
        Ok(())
    }
}

/// Ends [`LINGER`] after `killed`.
async fn linger_after(killed: &KillToken) {
    killed.killed().await;
    tokio::time::sleep(LINGER).await;
}
