//! The client of `scripts/failover_bench.sh`: what do users notice when a node is killed at full load?
//!
//! Each writer owns a connection and some keys, and writes increasing numbers to them, so that the last acknowledged
//! number of every key is known: whatever is read back below it was lost. A number is tried until it is acknowledged; each
//! try that ends otherwise is a failed request. Both systems are driven by this one program, and only its routing differs:
//!
//! * ringkv: a list of nodes. When a connection breaks, the next of the list is dialled.
//! * Redis Cluster: the primary that the slot map names. MOVED is followed at once and is no failure. When a connection
//!   breaks, the slot map is read again from any node that answers.
//!
//! The keys of a writer lie in one third of the slots, which is one primary's share in a Redis Cluster of three, and its
//! first node is the third that it belongs to. So in both systems a third of the writers begin on the node that is killed.

#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

#[path = "shared/command.rs"]
mod command;
#[path = "failover_load/connection.rs"]
mod connection;
#[path = "shared/own_time.rs"]
mod own_time;
#[path = "failover_load/route.rs"]
mod route;
#[path = "failover_load/writer.rs"]
mod writer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};

use connection::Reply;
use own_time::own_ticks;
use route::Route;
use writer::{Key, Shared, Writer};

/// Writers of each third of the slots: this many requests are in flight on each at a time.
const BATCHES: [usize; 4] = [1, 1, 16, 16];
/// Keys of a writer, a multiple of each batch. Few enough that each is written every few milliseconds.
const KEYS_PER_WRITER: usize = 64;
/// The thirds of the slots.
const THIRDS: usize = 3;

#[derive(Parser)]
#[command(about = "Writes increasing numbers while a node is killed; see scripts/failover_bench.sh")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Writes, kills, and prints what the writers noticed.
    Write(Write),
    /// Reads every key back and prints how many acknowledged writes are gone.
    Check(Check),
}

#[derive(Args)]
struct Nodes {
    /// Ports of all nodes on 127.0.0.1; writers of the n-th third begin at the n-th of them.
    #[arg(long, value_delimiter = ',', required = true)]
    ports: Vec<u16>,
    /// The nodes are a Redis Cluster.
    #[arg(long)]
    redis_cluster: bool,
}

#[derive(Args)]
struct Write {
    #[command(flatten)]
    nodes: Nodes,
    /// The process to kill.
    #[arg(long)]
    victim: u32,
    /// Seconds of load before the kill.
    #[arg(long, default_value_t = 4)]
    before: u64,
    /// Seconds of load after the last key has come back.
    #[arg(long, default_value_t = 5)]
    after: u64,
    /// Seconds after the kill when it ends at the latest.
    #[arg(long, default_value_t = 90)]
    limit: u64,
    /// Where the acknowledged numbers go, for `check`.
    #[arg(long)]
    acknowledged: PathBuf,
}

#[derive(Args)]
struct Check {
    #[command(flatten)]
    nodes: Nodes,
    /// What `write` left.
    #[arg(long)]
    acknowledged: PathBuf,
}

fn main() -> Result<(), String> {
    match Arguments::parse().task {
        Task::Write(arguments) => write(&arguments),
        Task::Check(arguments) => check(&arguments),
    }
}

fn write(arguments: &Write) -> Result<(), String> {
    let shared = Arc::new(Shared::default());
    let writers = (0..THIRDS * BATCHES.len()).map(|number| {
        let (third, batch) = (number % THIRDS, BATCHES[number / THIRDS]);
        let route = Route::new(&arguments.nodes.ports, third, arguments.nodes.redis_cluster)?;
        Ok(Writer::new(number, third, batch, route))
    });
    let writers = writers.collect::<Result<Vec<_>, String>>()?;
    let threads: Vec<_> = writers
        .into_iter()
        .map(|writer| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || writer.run(&shared))
        })
        .collect();

    // The first second fills caches and is not looked at.
    thread::sleep(Duration::from_secs(1));
    let (began, requests, ticks) = (Instant::now(), shared.acknowledged(), own_ticks());
    shared.watch();
    thread::sleep(Duration::from_secs(arguments.before.saturating_sub(1)));
    let seconds = began.elapsed().as_secs_f64();
    println!("writes_per_second {:.0}", count(shared.acknowledged() - requests) / seconds);
    println!("client_cpu_percent {:.0}", count(own_ticks() - ticks) / seconds);

    let killed = shared.note_kill();
    kill(arguments.victim)?;
    let limit = killed + Duration::from_secs(arguments.limit);
    while shared.recovered() < threads.len() && Instant::now() < limit {
        thread::sleep(Duration::from_millis(20));
    }
    let left = limit.saturating_duration_since(Instant::now());
    thread::sleep(Duration::from_secs(arguments.after).min(left));
    shared.stop();
    let writers: Vec<Writer> = threads.into_iter().map(|thread| thread.join().expect("no writer panics")).collect();
    report(&writers);
    remember(&writers, &arguments.acknowledged)
}

/// As a power failure would end it.
fn kill(pid: u32) -> Result<(), String> {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
    if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err(format!("cannot kill process {pid}")) }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

fn report(writers: &[Writer]) {
    let longest = |gap: &dyn Fn(&Key) -> Duration, chosen: &dyn Fn(&Writer) -> bool| {
        let keys = writers.iter().filter(|writer| chosen(writer)).flat_map(|writer| &writer.keys);
        keys.map(gap).max().unwrap_or_default().as_secs_f64()
    };
    let hit = |writer: &Writer| writer.third == 0;
    println!("gap_before {:.3}", longest(&|key| key.gap_before, &|_| true));
    println!("gap_hit {:.3}", longest(&|key| key.gap_after, &hit));
    println!("gap_others {:.3}", longest(&|key| key.gap_after, &|writer| !hit(writer)));
    let sum = |figure: fn(&Writer) -> u64| writers.iter().map(figure).sum::<u64>();
    println!("failed_before {}", sum(|writer| writer.failed_before));
    println!("failed_in_flight {}", sum(|writer| writer.failed_in_flight));
    println!("failed_refused {}", sum(|writer| writer.failed_refused));
    println!("failed_unreachable {}", sum(|writer| writer.failed_unreachable));
    println!("redirected {}", sum(|writer| writer.route.redirected));
    println!("unavailable_keys {}", writers.iter().flat_map(|writer| &writer.keys).filter(|key| !key.is_back).count());
    for text in writers.iter().filter_map(|writer| writer.refusal.as_deref()) {
        println!("refusal {text}");
    }
}

fn remember(writers: &[Writer], path: &Path) -> Result<(), String> {
    let line = |key: &Key| format!("{} {} {}\n", key.name, key.third, key.acknowledged);
    let lines: String = writers.iter().flat_map(|writer| &writer.keys).map(line).collect();
    fs::write(path, lines).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn check(arguments: &Check) -> Result<(), String> {
    let text = fs::read_to_string(&arguments.acknowledged).map_err(|error| error.to_string())?;
    let (mut lost, mut keys_lost, mut written) = (0, 0, 0);
    for line in text.lines() {
        let [name, third, acknowledged] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("not a line of acknowledged numbers: {line}"));
        };
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{line}: {error}"));
        let (third, acknowledged) = (usize::try_from(number(third)?).unwrap_or_default(), number(acknowledged)?);
        let found = read_back(&arguments.nodes, third, name)?;
        written += acknowledged;
        lost += acknowledged.saturating_sub(found);
        keys_lost += u64::from(found < acknowledged);
    }
    println!("acknowledged {written}");
    println!("lost {lost}");
    println!("keys_lost {keys_lost}");
    Ok(())
}

/// The smallest number that any node shows to a client; Redis Cluster shows it at the primary alone.
fn read_back(nodes: &Nodes, third: usize, name: &str) -> Result<u64, String> {
    let read = |route: &mut Route| match route.ask(&[b"GET", name.as_bytes()]) {
        Ok(Reply::Bulk(number)) => number.parse().map_err(|error| format!("{name} is '{number}': {error}")),
        Ok(Reply::Null) => Ok(0),
        other => Err(format!("GET {name}: {other:?}")),
    };
    if nodes.redis_cluster {
        return read(&mut Route::new(&nodes.ports, third, true)?);
    }
    let shown = nodes.ports.iter().map(|&port| read(&mut Route::new(&[port], 0, false)?));
    shown.collect::<Result<Vec<_>, _>>().map(|shown| shown.into_iter().min().unwrap_or_default())
}
