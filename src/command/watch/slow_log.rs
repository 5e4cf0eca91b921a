//! The slow log: the last commands whose clients waited long.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::secrets::shown;
use crate::codec::Request;
use crate::command::client::Client;
use crate::command::spec::CommandSpec;
use crate::time::UnixMs;

/// Arguments that an entry keeps; the last may say how many there were more.
const ARGS_MAX: usize = 32;
/// Bytes of an argument that an entry keeps.
const ARG_BYTES_MAX: usize = 128;

/// The last slow commands, newest first, and which are slow.
#[derive(Debug)]
pub struct SlowLog {
    slower_than_micros: AtomicI64,
    /// The same as a time that can be compared at once; never reached if nothing is slow.
    slow_nanos: AtomicU64,
    len_max: AtomicU64,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<SlowCommand>,
    next_id: u64,
}

/// One slow command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SlowCommand {
    /// Unique in this run of the process, growing.
    pub(crate) id: u64,
    /// When it was done.
    pub(crate) at: UnixMs,
    pub(crate) took: Duration,
    /// Its words, shortened.
    pub(crate) args: Vec<Vec<u8>>,
    /// Who sent it.
    pub(crate) address: String,
    pub(crate) client_name: String,
}

impl Default for SlowLog {
    /// With the defaults of Redis.
    fn default() -> Self {
        let log = Self {
            slower_than_micros: AtomicI64::default(),
            slow_nanos: AtomicU64::default(),
            len_max: AtomicU64::new(128),
            log: Mutex::default(),
        };
        log.set_slower_than(10_000);
        log
    }
}

impl SlowLog {
    /// `slowlog-log-slower-than`: commands that take so many microseconds or more are slow; none, if it is negative.
    #[must_use]
    pub fn slower_than(&self) -> i64 {
        self.slower_than_micros.load(Ordering::Relaxed)
    }

    /// Sets `slowlog-log-slower-than`.
    pub fn set_slower_than(&self, micros: i64) {
        let nanos = u64::try_from(micros).map_or(u64::MAX, |micros| micros.saturating_mul(1000));
        self.slow_nanos.store(nanos, Ordering::Relaxed);
        self.slower_than_micros.store(micros, Ordering::Relaxed);
    }

    /// `slowlog-max-len`: how many commands are kept.
    #[must_use]
    pub fn len_max(&self) -> u64 {
        self.len_max.load(Ordering::Relaxed)
    }

    /// Sets `slowlog-max-len`. The log is cut to it when the next command comes in, as in Redis.
    pub fn set_len_max(&self, commands: u64) {
        self.len_max.store(commands, Ordering::Relaxed);
    }

    /// Whether what took so long is slow.
    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        took.as_nanos() >= u128::from(self.slow_nanos.load(Ordering::Relaxed))
    }

    /// Keeps a request of `client` that was slow, together with `others` that it shared its turn with.
    pub(crate) fn add(
        &self,
        (spec, request): (&CommandSpec, &Request<'_>),
        others: u64,
        client: &Client,
        took: Duration,
        at: UnixMs,
    ) {
        let args = shortened(spec, request, others);
        let (address, client_name) = (client.address.clone(), client.description().name);
        let len_max = usize::try_from(self.len_max()).unwrap_or(usize::MAX);
        let mut log = self.log.lock();
        let id = log.next_id;
        log.next_id += 1;
        log.entries.push_front(SlowCommand { id, at, took, args, address, client_name });
        log.entries.truncate(len_max);
    }

    /// The last `count` slow commands, newest first.
    pub(crate) fn latest(&self, count: usize) -> Vec<SlowCommand> {
        self.log.lock().entries.iter().take(count).cloned().collect()
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.log.lock().entries.len()
    }

    /// Forgets them. Ids go on.
    pub(crate) fn reset(&self) {
        self.log.lock().entries.clear();
    }
}

/// A request's words, cut as Redis cuts them, and how many commands stood beside it in its pipeline.
fn shortened(spec: &CommandSpec, request: &Request<'_>, others: u64) -> Vec<Vec<u8>> {
    let places = ARGS_MAX - usize::from(others > 0);
    let kept = if request.len() > places { places - 1 } else { request.len() };
    let mut args: Vec<Vec<u8>> = (0..kept).map(|index| cut(shown(spec, request, index))).collect();
    if kept < request.len() {
        args.push(format!("... ({} more arguments)", request.len() - kept).into_bytes());
    }
    if others > 0 {
        args.push(format!("... ({others} more commands)").into_bytes());
    }
    args
}

fn cut(arg: &[u8]) -> Vec<u8> {
    match arg.split_at_checked(ARG_BYTES_MAX) {
        Some((start, rest)) if !rest.is_empty() => {
            [start, format!("... ({} more bytes)", rest.len()).as_bytes()].concat()
        }
        _ => arg.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table;
    use crate::command::testing::request;

    fn words(line: &str, others: u64) -> Vec<String> {
        let requests = request(line);
        let request = requests.first();
        let spec = table::resolve(request.args()).unwrap();
        shortened(spec, &request, others).into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn long_arguments_are_cut_where_redis_cuts_them() {
        let (fits, long) = ("y".repeat(128), "x".repeat(200));
        assert_eq!(words(&format!("SET k {fits}"), 0), ["SET", "k", &fits]);
        let expected = format!("{}... (72 more bytes)", "x".repeat(128));
        assert_eq!(words(&format!("SET k {long}"), 0), ["SET", "k", &expected]);
    }

    #[test]
    fn many_arguments_are_counted_from_the_thirty_second_on() {
        let mget = |keys: usize| format!("MGET{}", " k".repeat(keys));
        assert_eq!(words(&mget(31), 0).len(), 32);
        assert!(!words(&mget(31), 0).contains(&"... (1 more arguments)".to_owned()));
        assert_eq!(words(&mget(32), 0)[31], "... (2 more arguments)");
        assert_eq!(words(&mget(40), 0)[31], "... (10 more arguments)");
        assert_eq!(words(&mget(40), 7)[30..], ["... (11 more arguments)", "... (7 more commands)"]);
    }

    #[test]
    fn commands_of_the_same_turn_are_counted() {
        assert_eq!(words("GET k", 15), ["GET", "k", "... (15 more commands)"]);
    }

    #[test]
    fn slow_is_what_reaches_the_threshold_and_nothing_if_it_is_negative() {
        let log = SlowLog::default();
        let is_slow = |micros| log.is_slow(Duration::from_micros(micros));
        assert_eq!((is_slow(9_999), is_slow(10_000)), (false, true));
        log.set_slower_than(0);
        assert!(is_slow(0));
        log.set_slower_than(-1);
        assert!(!is_slow(1_000_000_000_000), "not even days are");
    }
}
