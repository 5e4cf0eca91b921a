//! Memory of the whole process: pages that are small, and back with the system once they are free.
//!
//! A transparent huge page is emptied by whoever touches it first, all 2 MB of it, and on some machines the host has to find
//! it first. Measured while millions of keys were written: one request in a hundred waited 10 ms for that, 0.1 ms without.
//! So this process asks for none, as Redis does; it costs up to an eighth more processor time with deep pipelines among
//! millions of keys.
//!
//! mimalloc keeps what was freed for a moment, in case it is wanted again, and looks whether that moment is over only
//! when memory of some size is asked for or freed the next time. On a node that served a few huge values and then
//! small ones alone, that would be never: measured, 130 to 230 MB stay after a single value of 64 MB. So a piece of that
//! size is asked for and freed now and then. Nobody touches it, so it costs no memory and next to no time.

use std::hint::black_box;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// How often; the allocator's moment is a tenth of a second.
const ROUND: Duration = Duration::from_millis(500);
/// Enough that the allocator turns to the memory of all threads, and little enough not to be given just what was freed.
const PIECE_BYTES: usize = 4 << 20;

/// Asks the system for small pages only, from now on. Where it cannot be asked, it goes by its own rules.
pub(super) fn refuse_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::warn!(%error, "cannot do without transparent huge pages: single requests may wait some milliseconds for one");
    }
}

/// Runs until it is dropped.
pub(super) async fn give_back() {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        drop(black_box(Vec::<u8>::with_capacity(PIECE_BYTES)));
    }
}
