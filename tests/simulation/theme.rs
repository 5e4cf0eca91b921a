//! What kind of trouble a seed is about.
//!
//! Every rule needs a rare coincidence to be missed: a node that forgets while the only other holder is out of reach,
//! a message that is late by just so much, a clock that is behind of all that was written. Chance spread over everything
//! meets none of them often. So each seed draws a theme, which keeps to few kinds of faults, few keys and a rhythm in
//! which they coincide.

mod themes;

use std::cell::Cell;

use crate::troubles::Event;

use themes::THEMES;

/// N, W and R.
pub(crate) type Quorum = (u16, u16, u16);

/// Clocks are off by less than this, in milliseconds.
pub(crate) const SKEW_MS_MAX: u64 = 180_000;

/// What may be drawn. Lists are drawn from evenly; what stands twice is drawn twice as often.
pub(crate) struct Theme {
    pub(crate) name: &'static str,
    /// How many shares of the seeds it gets.
    pub(crate) shares: usize,
    /// Nodes, and quorums.
    pub(crate) settings: &'static [(u16, Quorum)],
    /// Clocks are off by less than this.
    pub(crate) skews_ms: &'static [u64],
    pub(crate) keys: std::ops::Range<u64>,
    pub(crate) clients: std::ops::Range<u64>,
    /// By each client.
    pub(crate) calls: std::ops::Range<u64>,
    /// A client waits less than this before a call, unless a fault wakes it.
    pub(crate) hurries_ms: &'static [u64],
    pub(crate) mix: Mix,
    /// Less than this passes between faults.
    pub(crate) calms_ms: &'static [u64],
    /// How many faults of a hundred wake the clients, before or after.
    pub(crate) pulses: u64,
    /// Messages take less than this on their way.
    pub(crate) delays_ms: &'static [u64],
    /// Those that others may overtake take less than this in addition.
    pub(crate) hold_ups_ms: &'static [u64],
    /// Kinds of faults, and how many of a hundred seeds have each.
    pub(crate) kinds: &'static [(u64, &'static [Event])],
    /// Hints live, and clocks differ, so little that tombstones may go while the seed lasts.
    pub(crate) forgets_soon: bool,
    /// Whether one node stands out.
    pub(crate) odd_one: OddOne,
}

/// What is special about the node that stands out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OddOne {
    /// There is none.
    None,
    /// Nothing but that.
    Busy,
    /// Its clock is so far behind that it takes no write of the others, and says so late.
    Refusing,
    /// Its clock is far behind those of all others.
    Slow,
    /// Its clock is far ahead of those of all others.
    Fast,
}

/// What clients ask for, in percent.
#[derive(Clone, Copy)]
pub(crate) struct Mix {
    pub(crate) reads: u64,
    pub(crate) flushes: u64,
    pub(crate) pipelines: u64,
    /// Values that are deleted at once, by way of another node.
    pub(crate) brief: u64,
    /// Of the writes.
    pub(crate) deletes: u64,
    /// Of the writes: clients that do not wait for the answer.
    pub(crate) hang_ups: u64,
    /// Of the writes: updates, which return what was there before.
    pub(crate) swaps: u64,
}

thread_local! {
    /// Seeds that run on this thread draw from the themes whose names contain one of these; from all if there are none.
    static WANTED: Cell<&'static [&'static str]> = const { Cell::new(&[]) };
}

/// Has the seeds that run on this thread draw from the themes whose names contain one of these words.
///
/// # Panics
/// If one of them is in no name.
pub(crate) fn draw_from(words: &'static [&'static str]) {
    for word in words {
        assert!(THEMES.iter().any(|theme| theme.name.contains(word)), "no theme's name contains '{word}'");
    }
    WANTED.set(words);
}

/// The themes that seeds on this thread draw from.
pub(crate) fn themes() -> impl Iterator<Item = &'static Theme> {
    let wanted = WANTED.get();
    let is_wanted = move |theme: &&Theme| wanted.is_empty() || wanted.iter().any(|word| theme.name.contains(word));
    THEMES.iter().filter(is_wanted)
}
