//! Ordinary clients: they send one request, wait for its answer, and send the next.

use std::io;
use std::net::Ipv4Addr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::times::Times;
use super::{Numbers, Server, Span, key, reply_len, request};

/// Connections of `fill`.
const FILLERS: u64 = 4;

/// Runs `count` clients until the span is over.
pub(crate) fn run(server: Server, span: &Span, count: usize, writes_alone: bool) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let deadline = span.deadline;
    let began = Instant::now();
    let all = runtime.block_on(async {
        let mut clients = JoinSet::new();
        for number in 0..count {
            clients.spawn(client(server, deadline, number as u64, writes_alone));
        }
        let mut all = Vec::new();
        while let Some(times) = clients.join_next().await {
            all.push(times.map_err(io::Error::other)??);
        }
        Ok::<_, io::Error>(all)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let mut times = Times::default();
    for client in all {
        times.extend(client);
    }
    println!("seconds {seconds:.3}");
    times.print();
    Ok(())
}

async fn client(server: Server, deadline: Instant, seed: u64, writes_alone: bool) -> io::Result<Times> {
    let mut connection = Connection::to(server).await?;
    let (mut numbers, mut times) = (Numbers(seed * 7919 + 1), Times::default());
    let value = vec![b'v'; server.value_bytes];
    loop {
        let key = key(numbers.next(server.among));
        match writes_alone || numbers.next(2) == 0 {
            true => request(&[b"SET", &key, &value], &mut connection.out),
            false => request(&[b"GET", &key], &mut connection.out),
        }
        let began = Instant::now();
        connection.exchange(1).await?;
        let now = Instant::now();
        times.add(now - began);
        if now >= deadline {
            return Ok(times);
        }
    }
}

/// Writes the keys from 0 to `keys`.
pub(crate) fn fill(server: Server, keys: u64, pipeline: u64) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    runtime.block_on(async {
        let mut fillers = JoinSet::new();
        for number in 0..FILLERS {
            fillers.spawn(filler(server, (keys * number / FILLERS, keys * (number + 1) / FILLERS), pipeline));
        }
        while let Some(filled) = fillers.join_next().await {
            filled.map_err(io::Error::other)??;
        }
        Ok::<_, io::Error>(())
    })?;
    println!("seconds {:.3}", began.elapsed().as_secs_f64());
    Ok(())
}

async fn filler(server: Server, (mut next, end): (u64, u64), pipeline: u64) -> io::Result<()> {
    let mut connection = Connection::to(server).await?;
    let value = vec![b'v'; server.value_bytes];
    while next < end {
        let batch = pipeline.min(end - next);
        for number in next..next + batch {
            request(&[b"SET", &key(number), &value], &mut connection.out);
        }
        connection.exchange(batch).await?;
        next += batch;
    }
    Ok(())
}

/// A connection with what is to be sent, and what was received.
struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
}

impl Connection {
    async fn to(server: Server) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, out: Vec::new(), input: Vec::new() })
    }

    /// Sends what is to be sent, and waits for so many replies.
    async fn exchange(&mut self, replies: u64) -> io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        let (mut missing, mut at) = (replies, 0);
        loop {
            while let Some(len) = reply_len(&self.input[at..])? {
                at += len;
                missing -= 1;
            }
            self.input.drain(..at);
            at = 0;
            if missing == 0 {
                return Ok(());
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
