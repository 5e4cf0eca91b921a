//! Runs many seeds on all cores and finds the first that fails.

use std::cell::RefCell;
use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::Instant;

use crate::checker::Violation;
use crate::support::history::History;
use crate::world::World;

/// So often does a long run show that it is alive.
const SEEDS_PER_LINE: u64 = 500;

thread_local! {
    /// The panics of the seed that runs on this thread; `None` while none runs.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// What came of one seed.
pub(crate) struct Story {
    pub(crate) seed: u64,
    /// Everything that happened, in order.
    pub(crate) history: String,
    pub(crate) verdict: Result<(), Violation>,
}

impl Story {
    /// The check that failed, in a few words.
    #[cfg_attr(not(feature = "mutations"), allow(dead_code, reason = "for the table of mutations"))]
    pub(crate) fn check(&self) -> &str {
        let words = self.verdict.as_ref().err().map_or("", String::as_str);
        words.split_once(":\n").map_or(words, |(check, _)| check)
    }
}

/// Lives through one seed on this thread.
pub(crate) fn run(seed: u64) -> Story {
    keep_panics();
    PANICS.set(Some(Vec::new()));
    let history = Arc::new(History::default());
    let ended = panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime without I/O").block_on(World::run(seed, Arc::clone(&history)))
    }));
    // Also those of tasks that nobody waits for.
    let panics = PANICS.take().unwrap_or_default();
    let verdict = match (panics.first(), ended) {
        (Some(panic), _) => Err(format!("a panic:\n{panic}")),
        (None, Ok(verdict)) => verdict,
        (None, Err(_)) => Err("a panic".to_owned()),
    };
    Story { seed, history: history.print(), verdict }
}

/// Has the panics of simulated nodes kept for the verdict, and all others printed as ever.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_kept =
                PANICS.with_borrow_mut(|panics| panics.as_mut().map(|panics| panics.push(info.to_string())).is_some());
            if !is_kept {
                usual(info);
            }
        }));
    });
}

/// The first of these seeds that fails, if one does. `prepare` is called on each thread.
pub(crate) fn first_failure(
    first: u64,
    count: u64,
    prepare: impl Fn() + Sync,
    progress: impl Fn(u64) + Sync,
) -> Option<Story> {
    let next = AtomicU64::new(first);
    let found: Mutex<Option<Story>> = Mutex::new(None);
    let work = || {
        prepare();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            // All seeds below one that failed are still tried: the first one is asked for.
            if seed >= first + count
                || found.lock().expect("no holder panics").as_ref().is_some_and(|story| story.seed < seed)
            {
                return;
            }
            let story = run(seed);
            progress(seed + 1 - first);
            if story.verdict.is_err() {
                let mut found = found.lock().expect("no holder panics");
                if found.as_ref().is_none_or(|story| story.seed > seed) {
                    *found = Some(story);
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    found.into_inner().expect("no holder panics")
}

/// Prints how far a long run has come.
pub(crate) fn print_progress(count: u64) -> impl Fn(u64) + Sync {
    let began = Instant::now();
    move |done| {
        if done.is_multiple_of(SEEDS_PER_LINE) || done == count {
            print(&format!("{done} of {count} seeds, {:.0} s", began.elapsed().as_secs_f64()));
        }
    }
}

/// Prints a line at once, whether or not the test's output is captured.
pub(crate) fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be listening any more.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
