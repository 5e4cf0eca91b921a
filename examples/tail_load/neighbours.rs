//! Neighbours that are a burden: large values, deep pipelines, and one who never reads.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::command::encode;
use super::replies::Replies;
use super::times::Times;
use super::{Numbers, Server, Span, key, refuse_errors};

/// The value that is asked for and never read.
const UNPIECE_BYTES: usize = 100_000;
/// How many requests for it are sent at a time.
const UNREAD_BATCH: usize = 20;
/// The pause after each such batch.
const UNREAD_PAUSE: Duration = Duration::from_millis(10);
/// How much is read or written at a time. A longer call would keep the ordinary clients, on the same core, from running
/// when their answers are there, which is not the server's doing.
const PIECE_BYTES: usize = 64 << 10;

fn connect(server: Server) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// SETs and GETs one key in turn; how long each pair took.
pub(crate) fn large(server: Server, span: &Span, bytes: usize) -> io::Result<()> {
    let mut stream = connect(server)?;
    let (mut set, mut get) = (Vec::new(), Vec::new());
    encode(&[b"SET", b"large", &vec![b'l'; bytes]], &mut set);
    encode(&[b"GET", b"large"], &mut get);
    let (mut times, mut input) = (Times::default(), vec![0; PIECE_BYTES]);
    while !span.is_over() {
        let began = Instant::now();
        write_pieces(&mut stream, &set)?;
        skip(&mut stream, &mut input, b"+OK\r\n".len())?;
        stream.write_all(&get)?;
        skip(&mut stream, &mut input, format!("${bytes}\r\n").len() + bytes + 2)?;
        times.add(began.elapsed());
    }
    times.print();
    Ok(())
}

fn write_pieces(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(PIECE_BYTES).try_for_each(|piece| stream.write_all(piece))
}

/// Reads so many bytes and looks at none of them but the first.
fn skip(stream: &mut TcpStream, input: &mut [u8], bytes: usize) -> io::Result<()> {
    let mut missing = bytes;
    while missing > 0 {
        let room = missing.min(input.len());
        match stream.read(&mut input[..room])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ if missing == bytes && input[0] == b'-' => return Err(io::Error::other("an error in place of a value")),
            count => missing -= count,
        }
    }
    Ok(())
}

/// Sends `pipeline` requests at once, half of them SETs, reads all replies, and begins anew; how long each round took.
pub(crate) fn deep(server: Server, span: &Span, pipeline: u64) -> io::Result<()> {
    let mut stream = connect(server)?;
    let mut writer = stream.try_clone()?;
    let (wanted, orders) = mpsc::sync_channel::<()>(1);
    let mut numbers = Numbers(11);
    let (mut batch, value) = (Vec::new(), vec![b'v'; server.value_bytes]);
    for number in 0..pipeline {
        let key = key(numbers.next(server.among));
        match number % 2 {
            0 => encode(&[b"SET", &key, &value], &mut batch),
            _ => encode(&[b"GET", &key], &mut batch),
        }
    }
    // Whoever only writes would wait for a server that waits for its replies to be taken.
    let writing = thread::spawn(move || orders.into_iter().try_for_each(|()| write_pieces(&mut writer, &batch)));
    let (mut times, mut replies, mut piece) = (Times::default(), Replies::new(0), vec![0; PIECE_BYTES]);
    while !span.is_over() {
        let began = Instant::now();
        let _ = wanted.send(());
        replies.expect(pipeline);
        while !replies.are_complete() {
            match stream.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => replies.take(&piece[..count])?,
            }
        }
        refuse_errors(&replies)?;
        times.add(began.elapsed());
    }
    drop(wanted);
    writing.join().map_err(|_| io::Error::other("the writer panicked"))??;
    times.print();
    Ok(())
}

/// Asks and never reads; how many requests the server took.
pub(crate) fn deaf(server: Server, span: &Span, requests: usize) -> io::Result<()> {
    let mut stream = connect(server)?;
    let mut set = Vec::new();
    encode(&[b"SET", b"unread", &vec![b'u'; UNPIECE_BYTES]], &mut set);
    stream.write_all(&set)?;
    skip(&mut stream, &mut [0; 5], b"+OK\r\n".len())?;
    stream.set_nonblocking(true)?;
    let mut batch = Vec::new();
    (0..UNREAD_BATCH).for_each(|_| encode(&[b"GET", b"unread"], &mut batch));
    let (mut sent, mut rest) = (0, batch.as_slice());
    while !span.is_over_at(Instant::now()) {
        if sent < requests {
            match stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // It may have lost its patience.
                Err(_) => break,
            }
            if rest.is_empty() {
                rest = &batch;
                sent += UNREAD_BATCH;
            }
        }
        thread::sleep(UNREAD_PAUSE);
    }
    println!("sent {sent}");
    Ok(())
}
