//! A light client that notices every pause, and a sleeper that notices those that are the machine's own.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::command::encode;
use super::longest::Longest;
use super::replies::Replies;
use super::scheduler::{Process, Thread};
use super::times::Times;
use super::{Numbers, Server, Span, key, refuse_errors};

/// How often.
const PERIOD: Duration = Duration::from_millis(1);
/// How often it is looked whether the end has come.
const LOOK: u32 = 64;

/// GETs and SETs in turn, one each period. Of the longest it is told what became of the time at the server, whose process has
/// the id `process`, and here.
pub(crate) fn probe(server: Server, process: u32, span: &Span) -> io::Result<()> {
    let (process, this) = (Process::of(process)?, Thread::this()?);
    let mut longest = Longest::new(["ran", "waited", "others_ran", "client_waited"]);
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
        let before = (process.main(), process.others_ran(), this.counted());
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
        longest.add(began, took, || {
            let main = process.main().since(before.0);
            let others_ran = process.others_ran().saturating_sub(before.1);
            [main.ran, main.waited, others_ran, this.counted().since(before.2).waited]
        });
        thread::sleep(PERIOD.saturating_sub(took));
    }
    times.print();
    longest.print();
    Ok(())
}

/// By how much each sleep was too long. Of the longest it is told for how long the main thread of `process` counted as running
/// meanwhile, although nobody was let onto the core: the period itself, in which it may have run, is taken off.
pub(crate) fn hiccups(process: u32, span: &Span) -> io::Result<()> {
    let process = Process::of(process)?;
    let (mut times, mut longest, mut round) = (Times::default(), Longest::new(["ran"]), 0_u32);
    while !(round.is_multiple_of(LOOK) && span.is_over()) {
        round += 1;
        let (ran, began) = (process.main().ran, Instant::now());
        thread::sleep(PERIOD);
        let late = began.elapsed().saturating_sub(PERIOD);
        times.add(late);
        longest.add(began + PERIOD, late, || {
            let meanwhile = Duration::from_nanos(process.main().ran.saturating_sub(ran));
            [u64::try_from(meanwhile.saturating_sub(PERIOD).as_nanos()).unwrap_or(u64::MAX)]
        });
    }
    times.print();
    longest.print();
    Ok(())
}
