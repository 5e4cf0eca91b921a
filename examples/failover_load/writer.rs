//! One writer: its keys, its tries, and when each of its keys was served.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringkv::ring::Slot;

use super::KEYS_PER_WRITER;
use super::command::encode;
use super::connection::Reply;
use super::route::Route;

/// What a client waits before it tries again what failed.
const PAUSE: Duration = Duration::from_millis(50);

/// The share of the slots that `redis-cli --cluster create` gives to each of three primaries.
pub(crate) fn slots_of_third(third: usize) -> Range<u16> {
    [0..5461, 5461..10923, 10923..16384][third].clone()
}

/// What the writers and whoever started them tell each other.
#[derive(Default)]
pub(crate) struct Shared {
    acknowledged: AtomicU64,
    recovered: AtomicUsize,
    is_watched: AtomicBool,
    killed_at: OnceLock<Instant>,
    is_over: AtomicBool,
}

impl Shared {
    /// Requests answered with OK so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Writers whose keys have all been served since the kill.
    pub(crate) fn recovered(&self) -> usize {
        self.recovered.load(Ordering::Acquire)
    }

    /// From now on gaps count.
    pub(crate) fn watch(&self) {
        self.is_watched.store(true, Ordering::Release);
    }

    /// The moment before the node is killed.
    pub(crate) fn note_kill(&self) -> Instant {
        *self.killed_at.get_or_init(Instant::now)
    }

    pub(crate) fn stop(&self) {
        self.is_over.store(true, Ordering::Release);
    }
}

/// A key and what became of its writes.
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) third: usize,
    /// All numbers up to this one were acknowledged.
    pub(crate) acknowledged: u64,
    served_at: Instant,
    /// The longest time between two acknowledgements before the kill.
    pub(crate) gap_before: Duration,
    /// The longest time without an acknowledgement after the kill.
    pub(crate) gap_after: Duration,
    /// Whether a write was acknowledged since the kill.
    pub(crate) is_back: bool,
}

/// A connection that writes its keys in turn, a batch at a time.
pub(crate) struct Writer {
    pub(crate) third: usize,
    pub(crate) keys: Vec<Key>,
    pub(crate) route: Route,
    batch: usize,
    pub(crate) failed_before: u64,
    /// Sent, and the connection broke before the answer.
    pub(crate) failed_in_flight: u64,
    /// Answered with an error other than a redirection.
    pub(crate) failed_refused: u64,
    /// Not sent, for there was nobody to send it to.
    pub(crate) failed_unreachable: u64,
    /// The first error that came as an answer.
    pub(crate) refusal: Option<String>,
}

/// What became of a try.
enum Outcome {
    Acknowledged,
    Refused(String),
    Lost,
}

/// What became of a batch.
#[derive(Default)]
struct Summary {
    redirection: Option<String>,
    redirected: Vec<usize>,
    refused: usize,
    lost: usize,
}

/// What a writer does after a batch.
enum Next {
    Go,
    /// There may be another node to ask, so there is nothing to wait for.
    Again,
    AgainLater,
}

impl Writer {
    pub(crate) fn new(number: usize, third: usize, batch: usize, route: Route) -> Self {
        let slots = slots_of_third(third);
        let names = (0..).map(|key| format!("writer{number}:key{key}"));
        let own = names.filter(|name| slots.contains(&Slot::of_key(name.as_bytes()).number()));
        let keys = own.take(KEYS_PER_WRITER).map(|name| Key::new(name, third)).collect();
        Self {
            third,
            keys,
            route,
            batch,
            failed_before: 0,
            failed_in_flight: 0,
            failed_refused: 0,
            failed_unreachable: 0,
            refusal: None,
        }
    }

    /// Writes until it is told to stop.
    pub(crate) fn run(mut self, shared: &Shared) -> Self {
        let mut first = 0;
        let mut is_back = false;
        while !shared.is_over.load(Ordering::Acquire) {
            match self.write(first..first + self.batch, shared) {
                Next::Go => first = (first + self.batch) % KEYS_PER_WRITER,
                Next::Again => {}
                Next::AgainLater => thread::sleep(PAUSE),
            }
            if !is_back && self.keys.iter().all(|key| key.is_back) {
                is_back = true;
                shared.recovered.fetch_add(1, Ordering::AcqRel);
            }
        }
        if let Some(&killed_at) = shared.killed_at.get() {
            let now = Instant::now();
            self.keys.iter_mut().for_each(|key| key.note_end(now, killed_at));
        }
        self
    }

    /// Writes the next number of each of these keys, and where the cluster redirects, again there.
    fn write(&mut self, keys: Range<usize>, shared: &Shared) -> Next {
        let mut left: Vec<usize> = keys.collect();
        loop {
            let Some(outcomes) = self.attempt(&left) else {
                self.fail(shared, left.len(), |writer| &mut writer.failed_unreachable);
                return Next::AgainLater;
            };
            let summary = self.note(&left, outcomes, shared);
            if summary.lost > 0 {
                self.route.broken();
                return Next::Again;
            }
            match summary.redirection {
                Some(error) if self.route.follow(&error) => left = summary.redirected,
                _ if summary.refused > 0 => return Next::AgainLater,
                _ => return Next::Go,
            }
        }
    }

    fn note(&mut self, keys: &[usize], outcomes: Vec<Outcome>, shared: &Shared) -> Summary {
        let now = Instant::now();
        let mut summary = Summary::default();
        for (&key, outcome) in keys.iter().zip(outcomes) {
            match outcome {
                Outcome::Acknowledged => self.keys[key].note_acknowledged(now, shared),
                Outcome::Refused(error) if error.starts_with("MOVED ") => {
                    summary.redirection = Some(error);
                    summary.redirected.push(key);
                }
                Outcome::Refused(error) => {
                    self.refusal.get_or_insert(error);
                    summary.refused += 1;
                }
                Outcome::Lost => summary.lost += 1,
            }
        }
        self.fail(shared, summary.refused, |writer| &mut writer.failed_refused);
        self.fail(shared, summary.lost, |writer| &mut writer.failed_in_flight);
        summary
    }

    /// One outcome per key; `None` if there was nobody to send to.
    fn attempt(&mut self, keys: &[usize]) -> Option<Vec<Outcome>> {
        let mut requests = Vec::new();
        for &key in keys {
            let key = &self.keys[key];
            let number = (key.acknowledged + 1).to_string();
            encode(&[b"SET", key.name.as_bytes(), number.as_bytes()], &mut requests);
        }
        let connection = self.route.connection()?;
        let is_sent = connection.send(&requests).is_ok();
        let mut outcomes = Vec::with_capacity(keys.len());
        while is_sent && outcomes.len() < keys.len() {
            match connection.reply() {
                Ok(Reply::Error(error)) => outcomes.push(Outcome::Refused(error)),
                Ok(_) => outcomes.push(Outcome::Acknowledged),
                Err(_) => break,
            }
        }
        outcomes.resize_with(keys.len(), || Outcome::Lost);
        Some(outcomes)
    }

    fn fail(&mut self, shared: &Shared, count: usize, kind: fn(&mut Self) -> &mut u64) {
        let figure = if shared.killed_at.get().is_some() { kind(self) } else { &mut self.failed_before };
        *figure += count as u64;
    }
}

impl Key {
    fn new(name: String, third: usize) -> Self {
        Self {
            name,
            third,
            acknowledged: 0,
            served_at: Instant::now(),
            gap_before: Duration::ZERO,
            gap_after: Duration::ZERO,
            is_back: false,
        }
    }

    fn note_acknowledged(&mut self, now: Instant, shared: &Shared) {
        self.acknowledged += 1;
        shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        match shared.killed_at.get() {
            Some(&killed_at) => {
                self.note_end(now, killed_at);
                self.is_back = true;
            }
            None if shared.is_watched.load(Ordering::Acquire) => {
                self.gap_before = self.gap_before.max(now - self.served_at);
            }
            None => {}
        }
        self.served_at = now;
    }

    /// A gap ends here, by an acknowledgement or with the run.
    fn note_end(&mut self, now: Instant, killed_at: Instant) {
        let since = self.served_at.max(killed_at);
        self.gap_after = self.gap_after.max(now.saturating_duration_since(since));
    }
}
