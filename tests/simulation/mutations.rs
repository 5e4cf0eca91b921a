//! Every rule that is broken on purpose is noticed; where one is not, the simulation is blind.

use ringkv::mutation::{self, Mutation};

use crate::number;
use crate::runner::{first_failure, print};

/// Seeds after which a mutation counts as not caught.
const SEEDS: u64 = 3_000;

/// Breaks the rule that `RINGKV_MUTATION` names, if any, on the present thread.
pub(crate) fn set_from_environment() {
    mutation::set(asked_for());
}

fn asked_for() -> Option<Mutation> {
    let name = std::env::var("RINGKV_MUTATION").ok()?;
    let mutation = Mutation::ALL.into_iter().find(|mutation| format!("{mutation:?}") == name);
    Some(mutation.expect("the name of a mutation"))
}

#[test]
fn every_mutation_is_caught_and_nothing_else() {
    let seeds = number("RINGKV_SIM_SEEDS").unwrap_or(SEEDS);
    let mutations = asked_for().map_or(Mutation::ALL.to_vec(), |mutation| vec![mutation]);
    let mut survivors = Vec::new();
    let mut last_seed = 0;
    for mutation in mutations {
        match first_failure(0, seeds, || mutation::set(Some(mutation)), |_| {}) {
            Some(story) => {
                last_seed = last_seed.max(story.seed);
                print(&format!("{:<24} seed {:>5}  {}", format!("{mutation:?}"), story.seed, story.check()));
            }
            None => {
                print(&format!("{:<24} not caught by {seeds} seeds", format!("{mutation:?}")));
                survivors.push(mutation);
            }
        }
    }
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
    // The same seeds find nothing where nothing is broken.
    if let Some(story) = first_failure(0, last_seed + 1, || mutation::set(None), |_| {}) {
        panic!("seed {} fails without any mutation: {}", story.seed, story.verdict.unwrap_err());
    }
    print(&format!("{:<24} seeds 0 to {last_seed} hold", "none"));
}
