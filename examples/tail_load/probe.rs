//! A light client that notices every pause, and a sleeper that notices those that are the machine's own.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::command::encode;
use super::replies::Replies;
use super::times::Times;
use super::{Numbers, Server, Span, key, refuse_errors};

/// How often.
const PERIOD: Duration = Duration::from_millis(1);
/// How often it is looked whether the end has come.
const LOOK: u32 = 64;

/// GETs and SETs in turn, one each period.
pub(crate) fn probe(server: Server, span: &Span) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))?;
    stream.set_nodelay(true)?;
    let (mut numbers, mut times) = (Numbers(7), Times::default());
    let value = vec![b'p'; server.value_bytes];
    let (mut out, mut input, mut replies) = (Vec::new(), vec![0; server.value_bytes + 64], Replies::new(0));
    let mut round = 0_u32;
    while !(round.is_multiple_of(LOOK) && span.is_over()) {
        round += 1;
        let key = key(numbers.next(server.among));
        out.clear();
        match round.is_multiple_of(2) {
            true => encode(&[b"GET", &key], &mut out),
            false => encode(&[b"SET", &key, &value], &mut out),
        }
        let began = Instant::now();
        stream.write_all(&out)?;
        replies.expect(1);
        while !replies.are_complete() {
            match stream.read(&mut input)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => replies.take(&input[..count])?,
            }
        }
        refuse_errors(&replies)?;
        let took = began.elapsed();
        times.add(took);
        thread::sleep(PERIOD.saturating_sub(took));
    }
    times.print();
    Ok(())
}

/// By how much each sleep was too long.
pub(crate) fn hiccups(span: &Span) {
    let (mut times, mut round) = (Times::default(), 0_u32);
    while !(round.is_multiple_of(LOOK) && span.is_over()) {
        round += 1;
        let began = Instant::now();
        thread::sleep(PERIOD);
        times.add(began.elapsed().saturating_sub(PERIOD));
    }
    times.print();
}
