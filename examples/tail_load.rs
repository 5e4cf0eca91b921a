//! The clients of `scripts/tail.sh`: who waits how long while a neighbour is a burden?
//!
//! Each task is a process of its own, so that the script can pin it to a core and be polite or not on its behalf. All of
//! them end by themselves, after `--seconds` or when the process named by `--until` is gone, and print their figures as
//! lines `name value`; times are in microseconds. They speak plain RESP, so redis-server is asked the same.

#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

#[path = "tail_load/clients.rs"]
mod clients;
#[path = "shared/command.rs"]
mod command;
#[path = "shared/connection.rs"]
mod connection;
#[path = "tail_load/longest.rs"]
mod longest;
#[path = "tail_load/neighbours.rs"]
mod neighbours;
#[path = "tail_load/probe.rs"]
mod probe;
#[path = "shared/replies.rs"]
mod replies;
#[path = "tail_load/scheduler.rs"]
mod scheduler;
#[path = "tail_load/slow_link.rs"]
mod slow_link;
#[path = "tail_load/times.rs"]
mod times;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};

use replies::Replies;

#[derive(Parser)]
#[command(about = "Measures how long clients wait beside bad neighbours; see scripts/tail.sh")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Writes so many different keys, as fast as they are taken.
    Fill {
        #[command(flatten)]
        server: Server,
        #[arg(long)]
        keys: u64,
        /// Requests in flight on each of four connections.
        #[arg(long, default_value_t = 16)]
        pipeline: u64,
    },
    /// Asks once a millisecond, and notes how long each answer took.
    Probe {
        #[command(flatten)]
        server: Server,
        /// The id of the server's process.
        #[arg(long)]
        process: u32,
        #[command(flatten)]
        end: End,
    },
    /// Sleeps for a millisecond at a time, and notes how much longer it took: the machine's own pauses.
    Hiccups {
        /// The id of the server's process.
        #[arg(long)]
        process: u32,
        #[command(flatten)]
        end: End,
    },
    /// Clients with one request in flight each, half of them SETs, and how long each answer took.
    Clients {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        end: End,
        #[arg(long, default_value_t = 50)]
        count: usize,
        /// SETs alone.
        #[arg(long)]
        writes: bool,
    },
    /// SETs and GETs a large value over and over.
    Large {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        end: End,
        #[arg(long, default_value_t = 10_000_000)]
        bytes: usize,
    },
    /// Sends thousands of requests at once, over and over.
    Deep {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        end: End,
        #[arg(long, default_value_t = 10_000)]
        pipeline: u64,
    },
    /// Asks for values of 100 KB and never reads an answer.
    Deaf {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        end: End,
        /// How many answers are asked for: a server that keeps them all must not fill the machine.
        #[arg(long, default_value_t = 5_000)]
        requests: usize,
    },
    /// Carries connections to `--port`, each byte so much later, until it is ended.
    SlowLink {
        #[arg(long)]
        listen: u16,
        #[arg(long)]
        port: u16,
        #[arg(long)]
        delay_ms: u64,
    },
}

/// Whom to ask.
#[derive(Args, Clone, Copy)]
struct Server {
    /// Its port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Different keys that are asked for, where it is not `fill`.
    #[arg(long, default_value_t = 100_000)]
    among: u64,
    /// Bytes of a value.
    #[arg(long, default_value_t = 64)]
    value_bytes: usize,
}

/// How long to go on.
#[derive(Args, Clone, Copy)]
struct End {
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// Ends when this process is gone, too.
    #[arg(long)]
    until: Option<u32>,
}

/// An [`End`] that has begun.
struct Span {
    deadline: Instant,
    process: Option<PathBuf>,
}

impl Span {
    fn begin(end: End) -> Self {
        let process = end.until.map(|id| PathBuf::from(format!("/proc/{id}")));
        Self { deadline: Instant::now() + Duration::from_secs(end.seconds), process }
    }

    /// Whether it is over by the clock.
    fn is_over_at(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Whether it is over; takes a system call.
    fn is_over(&self) -> bool {
        self.is_over_at(Instant::now()) || self.process.as_ref().is_some_and(|process| !process.exists())
    }
}

fn main() -> io::Result<()> {
    match Arguments::parse().task {
        Task::Fill { server, keys, pipeline } => clients::fill(server, keys, pipeline),
        Task::Probe { server, process, end } => probe::probe(server, process, &Span::begin(end)),
        Task::Hiccups { process, end } => probe::hiccups(process, &Span::begin(end)),
        Task::Clients { server, end, count, writes } => clients::run(server, &Span::begin(end), count, writes),
        Task::Large { server, end, bytes } => neighbours::large(server, &Span::begin(end), bytes),
        Task::Deep { server, end, pipeline } => neighbours::deep(server, &Span::begin(end), pipeline),
        Task::Deaf { server, end, requests } => neighbours::deaf(server, &Span::begin(end), requests),
        Task::SlowLink { listen, port, delay_ms } => slow_link::run(listen, port, Duration::from_millis(delay_ms)),
    }
}

/// Ends a task whose requests are refused: what it would measure is not what it is for.
fn refuse_errors(replies: &Replies) -> io::Result<()> {
    replies.error.as_ref().map_or(Ok(()), |error| Err(io::Error::other(error.clone())))
}

/// Numbers in no order, the same in each run: xorshift.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}
