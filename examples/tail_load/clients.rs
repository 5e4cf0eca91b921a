//! Ordinary clients: they send one request, wait for its answer, and send the next.

use std::io;
use std::time::Instant;

use tokio::task::JoinSet;

use super::command::encode;
use super::connection::Connection;
use super::replies::Replies;
use super::times::Times;
use super::{Numbers, Server, Span, key, refuse_errors};

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
    let (mut connection, mut out) = (connect(server).await?, Vec::new());
    let (mut numbers, mut times) = (Numbers(seed * 7919 + 1), Times::default());
    let value = vec![b'v'; server.value_bytes];
    loop {
        let key = key(numbers.next(server.among));
        match writes_alone || numbers.next(2) == 0 {
            true => encode(&[b"SET", &key, &value], &mut out),
            false => encode(&[b"GET", &key], &mut out),
        }
        let began = Instant::now();
        exchange(&mut connection, &mut out, 1).await?;
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
    let (mut connection, mut out) = (connect(server).await?, Vec::new());
    let value = vec![b'v'; server.value_bytes];
    while next < end {
        let batch = pipeline.min(end - next);
        for number in next..next + batch {
            encode(&[b"SET", &key(number), &value], &mut out);
        }
        exchange(&mut connection, &mut out, batch).await?;
        next += batch;
    }
    Ok(())
}

async fn connect(server: Server) -> io::Result<Connection> {
    Connection::open(server.port, Replies::new(0)).await
}

/// Sends what is in `out`, empties it, and waits for so many replies.
async fn exchange(connection: &mut Connection, out: &mut Vec<u8>, replies: u64) -> io::Result<()> {
    connection.exchange(out, replies).await?;
    out.clear();
    refuse_errors(&connection.replies)
}
