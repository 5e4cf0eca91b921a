//! The client of `scripts/bench.sh` and its like: a steady load on servers that speak Redis' protocol, and what it saw.
//!
//! redis-benchmark shares the machine with the servers that it measures, spends more time per request than they do, has no
//! p99.9 in its figures, and cannot ask for keys of certain slots, skewed keys, or a mix of commands. This one thread
//! does, and spends a fraction of the time: requests are copied from a template, and replies are counted, not kept.
//!
//! Each of the clients is a connection with one pipeline under way: it sends its requests in one write, reads all their
//! replies, and begins anew. A request's latency is the time from that write to the last reply of its pipeline. Keys are
//! named as redis-benchmark names them, `key:000000000042`. Prints one line of JSON, with the number of error replies and
//! the text of one if there are any.
//!
//! ```text
//! load --ports 7001 --fill                                  every key once, then nothing else
//! load --ports 7001 --pipeline 16 --seconds 5 get
//! load --ports 7001,7002,7003 --keys 2000000 --zipf 0.99 mix
//! load --ports 7001 --slots 0-99,8000-8099 set              only keys of these slots
//! load --ports 6379 --pipeline 16 --wait 1 set              16 SETs and one WAIT 1 in a write
//! ```

#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

#[path = "load/client.rs"]
mod client;
#[path = "shared/command.rs"]
mod command;
#[path = "shared/connection.rs"]
mod connection;
#[path = "load/histogram.rs"]
mod histogram;
#[path = "load/keys.rs"]
mod keys;
#[path = "shared/own_time.rs"]
mod own_time;
#[path = "shared/replies.rs"]
mod replies;
#[path = "load/requests.rs"]
mod requests;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use tokio::task::JoinSet;

use client::{Client, Seen};
use connection::Connection;
use histogram::Histogram;
use keys::{Keys, SlotRange};
use own_time::own_ticks;
use replies::Replies;
use requests::Requests;

#[derive(Parser)]
#[command(about = "Loads servers on 127.0.0.1 and prints, as one line of JSON, how they answered")]
struct Arguments {
    /// Ports on 127.0.0.1; the clients are spread over them in turn
    #[arg(long, value_delimiter = ',', required = true)]
    ports: Vec<u16>,
    /// What is asked for
    #[arg(default_value = "set")]
    command: Command,
    /// Write each key once and end, whatever else is asked for
    #[arg(long)]
    fill: bool,
    /// Connections
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Requests in one write of a client
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pipeline: u32,
    /// How long new requests are sent
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// End after so many requests, even if time is left
    #[arg(long)]
    requests: Option<u64>,
    /// How many different keys there are
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// Only keys whose slot is one of these, such as 0-99,16383
    #[arg(long, value_delimiter = ',')]
    slots: Vec<SlotRange>,
    /// Skew: the k-th most frequent key is asked for in proportion to 1 / k^S (below 1); otherwise all are equally frequent
    #[arg(long, value_name = "S")]
    zipf: Option<f64>,
    /// Length of each value
    #[arg(long, default_value_t = 64)]
    value_bytes: usize,
    /// Keys in one MGET
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    mget_keys: u32,
    /// Append WAIT for so many replicas to each write, as one more command that is not counted
    #[arg(long, value_name = "REPLICAS")]
    wait: Option<u32>,
    /// Where the choice of keys begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print how many requests took how long as well, as [microseconds at most, requests]
    #[arg(long)]
    histogram: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Command {
    Set,
    Get,
    /// SET and GET, either with probability one half
    Mix,
    Mget,
}

/// What all clients draw on.
struct Budget {
    /// Requests that may still begin.
    left: AtomicU64,
    /// When no further request begins; a fill goes on until it is done.
    until: Option<Instant>,
}

impl Budget {
    /// How many of `wanted` requests may begin now, and the number of the first, counted down to zero.
    fn take(&self, wanted: u64, now: Instant) -> (u64, u64) {
        if self.until.is_some_and(|until| now >= until) {
            return (0, 0);
        }
        let left = self.left.load(Ordering::Relaxed);
        let taken = wanted.min(left);
        self.left.store(left - taken, Ordering::Relaxed);
        (taken, left - taken)
    }
}

fn main() -> Result<(), String> {
    let arguments = Arguments::parse();
    if arguments.zipf.is_some_and(|skew| !(0.0..1.0).contains(&skew)) {
        return Err("--zipf takes a number from 0 to below 1".to_owned());
    }
    if !arguments.seconds.is_finite() || arguments.seconds <= 0.0 {
        return Err("--seconds takes a number above 0".to_owned());
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    println!("{}", runtime.block_on(load(&arguments))?);
    Ok(())
}

async fn load(arguments: &Arguments) -> Result<String, String> {
    let keys = Arc::new(Keys::new(arguments.keys, &arguments.slots, arguments.zipf)?);
    let mut connections = Vec::new();
    for &port in arguments.ports.iter().cycle().take(arguments.clients as usize) {
        let replies = Replies::new(arguments.wait.unwrap_or_default());
        let connection = Connection::open(port, replies).await.map_err(|error| format!("port {port}: {error}"))?;
        connections.push((port, connection));
    }
    let (began, ticks) = (Instant::now(), own_ticks());
    let budget = Arc::new(Budget {
        left: AtomicU64::new(if arguments.fill { keys.count() } else { arguments.requests.unwrap_or(u64::MAX) }),
        until: (!arguments.fill).then(|| began + Duration::from_secs_f64(arguments.seconds)),
    });
    let mut clients = JoinSet::new();
    for (number, (port, connection)) in (0_u64..).zip(connections) {
        let requests = Requests::new(arguments, Arc::clone(&keys), number);
        clients.spawn(Client::new(port, connection, requests, Arc::clone(&budget)).run());
    }
    let mut seen = Seen::default();
    while let Some(client) = clients.join_next().await {
        seen.add(client.map_err(|error| error.to_string())??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let busy = count(own_ticks() - ticks) / seconds;
    Ok(report(&seen, seconds, busy, arguments.histogram))
}

fn report(seen: &Seen, seconds: f64, busy_percent: f64, histogram: bool) -> String {
    let times: &Histogram = &seen.times;
    let requests = times.count();
    let mut line = format!(
        "{{\"requests\":{requests},\"seconds\":{seconds:.4},\"per_second\":{:.1},\"missing\":{},\"mean_us\":{:.2}",
        count(requests) / seconds,
        seen.missing,
        times.mean_us(),
    );
    for (name, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
        let _ = write!(line, ",\"{name}_us\":{:.2}", times.quantile_us(part));
    }
    let _ = write!(line, ",\"client_cpu_percent\":{busy_percent:.0},\"errors\":{}", seen.errors);
    if let Some(text) = &seen.error {
        let _ = write!(line, ",\"error\":{text:?}");
    }
    if histogram {
        let buckets: Vec<String> =
            times.buckets().map(|(upper, requests)| format!("[{upper:.2},{requests}]")).collect();
        let _ = write!(line, ",\"histogram\":[{}]", buckets.join(","));
    }
    line + "}"
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}
