//! A link on which every byte takes longer.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How much is read at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that are on their way in one direction at most; then the sender has to wait, as on a real link.
const PIECES_MAX: usize = 1024;

/// Carries each connection in both directions, for ever.
pub(crate) fn run(listen: u16, port: u16, delay: Duration) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen))?;
    for near in listener.incoming() {
        let near = near?;
        // Whoever calls while nobody is there is hung up on, and will call again.
        let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        carry(near.try_clone()?, far.try_clone()?, delay);
        carry(far, near, delay);
    }
    Ok(())
}

/// Carries one direction, in two threads that end with it.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (pieces, due) = mpsc::sync_channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    thread::spawn(move || {
        for (at, piece) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if pieces.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
    });
}
