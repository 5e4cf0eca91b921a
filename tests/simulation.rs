//! Random schedules: whole clusters under faults, and what their clients saw held against what was promised.
//!
//! One seed draws everything: the theme, the cluster's size and quorums, its clocks, what clients ask of which node, and
//! what goes wrong (delays, loss, repetition, reordering, links cut both ways or one way, crashes that lose all memory,
//! nodes that are slow or hang). A failing seed prints its list of operations; `RINGKV_SIM_SEED=n` replays it,
//! `RINGKV_SIM_THEMES=word,word` has seeds draw from the themes whose names contain such a word and so makes other seeds of them,
//! `scripts/sim.sh` runs thousands, and `scripts/mutations.sh` breaks rules to show that it is noticed.
//!
//! The in-memory communicator in paused time was chosen over a simulated TCP stack: one exchange is one message, so
//! loss, repetition and reordering hit the quorum rules themselves, where TCP would mask them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/checker/mod.rs"]
mod checker;
#[path = "simulation/clients.rs"]
mod clients;
#[cfg(feature = "mutations")]
#[path = "simulation/mutations.rs"]
mod mutations;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/runner.rs"]
mod runner;
mod support;
#[path = "simulation/theme.rs"]
mod theme;
#[path = "simulation/troubles.rs"]
mod troubles;
#[path = "simulation/world.rs"]
mod world;

use std::sync::LazyLock;

use runner::Story;

/// Seeds of an ordinary test run.
const SEEDS: u64 = 400;

/// The number that an environment variable holds, if it is set.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// The words that `RINGKV_SIM_THEMES` lists.
fn themes_asked_for() -> &'static [&'static str] {
    static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let list = std::env::var("RINGKV_SIM_THEMES").unwrap_or_default();
        list.leak().split(',').filter(|word| !word.is_empty()).collect()
    });
    &WORDS
}

/// Has everything on this thread run as the environment asks for.
fn prepare() {
    theme::draw_from(themes_asked_for());
    #[cfg(feature = "mutations")]
    mutations::set_from_environment();
}

#[test]
fn promises_hold_under_random_faults() {
    if let Some(seed) = number("RINGKV_SIM_SEED") {
        return replay(seed);
    }
    let (first, asked_for) = (number("RINGKV_SIM_FIRST").unwrap_or(0), number("RINGKV_SIM_SEEDS"));
    let failure = match asked_for {
        Some(count) => runner::first_failure(first, count, prepare, runner::print_progress(count)),
        None => runner::first_failure(first, SEEDS, prepare, |_| {}),
    };
    if let Some(Story { seed, history, verdict }) = failure {
        let replay = format!("replay it: RINGKV_SIM_SEED={seed} cargo test --test simulation promises");
        panic!("seed {seed}: {}\n\nall of it, with the numbers of events:\n{history}\n{replay}", verdict.unwrap_err());
    }
}

/// Shows all that happens in one seed, whether or not it fails.
fn replay(seed: u64) {
    prepare();
    let story = runner::run(seed);
    runner::print(&story.history);
    assert_eq!(story.verdict, Ok(()));
}

#[test]
fn a_seed_repeats_itself() {
    for seed in 0..8 {
        let (once, again) = (runner::run(seed), runner::run(seed));
        assert_eq!(once.history, again.history);
    }
}
