//! A wire between two nodes that a test can cut, freeze and slow down, each direction for itself.
//!
//! A cut wire ends every connection and refuses new ones, as when a peer's machine says that nobody listens. A frozen one
//! is silent: bytes wait, as when packets are lost, and what waited arrives late once it thaws, even if whoever sent it has
//! given up long ago.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Bytes that are carried at once; while they wait, no more are taken, so the sender feels it.
const CHUNK_BYTES: usize = 64 << 10;

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// From whoever dials.
    There,
    /// From whoever is dialled.
    Back,
}

/// How bytes travel in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Passage {
    Clear,
    Frozen,
    Delayed(Duration),
}

/// The wire. It ends with all its connections when dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    wire: Arc<Wire>,
    acceptor: Option<JoinHandle<()>>,
}

struct Wire {
    target: u16,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    is_cut: bool,
    is_over: bool,
    there: Passage,
    back: Passage,
    /// Both ends of each connection.
    streams: Vec<TcpStream>,
}

impl Proxy {
    /// A wire from a port of its own to `target`.
    pub(crate) fn listen(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state =
            State { is_cut: false, is_over: false, there: Passage::Clear, back: Passage::Clear, streams: Vec::new() };
        let wire = Arc::new(Wire { target, state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&wire);
        let acceptor = thread::spawn(move || accepting.accept(&listener));
        Self { port, wire, acceptor: Some(acceptor) }
    }

    /// Ends all connections; new ones are ended at once.
    pub(crate) fn cut(&self) {
        self.wire.change(|state| {
            state.is_cut = true;
            state.end_connections();
        });
    }

    /// How bytes travel that way from now on.
    pub(crate) fn set(&self, direction: Direction, passage: Passage) {
        self.wire.change(|state| *state.passage(direction) = passage);
    }

    /// As good as new.
    pub(crate) fn mend(&self) {
        self.wire.change(|state| {
            state.is_cut = false;
            (state.there, state.back) = (Passage::Clear, Passage::Clear);
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wire.change(|state| {
            state.is_over = true;
            state.end_connections();
        });
        // Wakes the acceptor.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

impl State {
    fn passage(&mut self, direction: Direction) -> &mut Passage {
        match direction {
            Direction::There => &mut self.there,
            Direction::Back => &mut self.back,
        }
    }

    fn end_connections(&mut self) {
        for stream in self.streams.drain(..) {
            // It may have ended on its own.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Wire {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let Ok(dialler) = stream else { return };
            if self.lock().is_over {
                return;
            }
            // A connection that cannot be passed on is closed, as it would be without the wire.
            let _ = self.join(dialler);
        }
    }

    /// Carries bytes both ways between whoever dials and the target.
    fn join(self: &Arc<Self>, dialler: TcpStream) -> io::Result<()> {
        if self.lock().is_cut {
            return Ok(());
        }
        let target = TcpStream::connect(("127.0.0.1", self.target))?;
        for stream in [&dialler, &target] {
            stream.set_nodelay(true)?;
        }
        let ends = [dialler.try_clone()?, target.try_clone()?];
        let mut state = self.lock();
        if state.is_cut || state.is_over {
            return Ok(());
        }
        state.streams.extend(ends);
        drop(state);
        self.carry(Direction::There, dialler.try_clone()?, target.try_clone()?);
        self.carry(Direction::Back, target, dialler);
        Ok(())
    }

    fn carry(self: &Arc<Self>, direction: Direction, mut from: TcpStream, mut to: TcpStream) {
        let wire = Arc::clone(self);
        thread::spawn(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            while let Ok(count @ 1..) = from.read(&mut chunk) {
                wire.wait_to_pass(direction);
                if to.write_all(&chunk[..count]).is_err() {
                    break;
                }
            }
            // Neither end is of use without the other.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }

    fn wait_to_pass(&self, direction: Direction) {
        let mut state = self.lock();
        if let Passage::Delayed(delay) = *state.passage(direction) {
            let in_time = |state: &mut State| !state.is_over && !state.is_cut;
            state = self.changed.wait_timeout_while(state, delay, in_time).expect("nobody panics with it").0;
        }
        let frozen =
            |state: &mut State| *state.passage(direction) == Passage::Frozen && !state.is_over && !state.is_cut;
        drop(self.changed.wait_while(state, frozen).expect("nobody panics with it"));
    }
}
