//! Every rule that is broken on purpose is noticed; where one is not, the simulation is blind.
//!
//! A rule is missed in few themes, and each new theme takes seeds from the others. So the seeds of a mutation draw from the themes
//! that are about its rule: how many it takes until one notices does not depend on what else there is. All other seeds draw from
//! all themes.

use ringkv::mutation::{self, Mutation};

use crate::runner::{first_failure, print, run};
use crate::{number, theme};

/// Seeds after which a mutation counts as not caught.
const SEEDS: u64 = 1_000;

/// The themes that are about a rule, by words of their names.
fn themes_of(mutation: Mutation) -> &'static [&'static str] {
    match mutation {
        Mutation::NoStaleRule | Mutation::FlushByOwnClock => &["clocks minutes apart"],
        Mutation::RetryAtFirstStale | Mutation::StaleIsAck => &["writes that race"],
        Mutation::NoWriteBack => &["one is away, then another", "links that work one way", "clocks minutes apart"],
        Mutation::SyncingAnswers => &["restarts in quick succession"],
        Mutation::SyncingAcks | Mutation::SyncingCountsForFlush => &["one is away, then another"],
        Mutation::SyncingConfirmsRevert => &["nodes that forget what they have shown"],
        Mutation::ShownIsIgnored
        | Mutation::OneRecordPerKey
        | Mutation::RevertedTooEarly
        | Mutation::VoidMarkIsIgnored => &["writes taken back, and late messages"],
        Mutation::NoStartNumber => &["a coordinator that forgets"],
        Mutation::TombstonesByAge => &["deletes while somebody is away"],
        Mutation::HintsOutliveTombstones => &["hints of what was deleted"],
        Mutation::FlushIgnoresPromises => &["updates and flushes that race"],
        Mutation::PromiseIsIgnored => &["updates and writes that race"],
        Mutation::PromiseIsForgotten => &["left where nobody can ask"],
    }
}

/// Breaks the rule that `RINGKV_MUTATION` names, if any, on the present thread.
pub(crate) fn set_from_environment() {
    if let Some(mutation) = asked_for() {
        break_rule(mutation);
    }
}

fn break_rule(mutation: Mutation) {
    mutation::set(Some(mutation));
    theme::draw_from(themes_of(mutation));
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
    for mutation in mutations {
        let Some(story) = first_failure(0, seeds, || break_rule(mutation), |_| {}) else {
            print(&format!("{:<24} not caught by {seeds} seeds", format!("{mutation:?}")));
            survivors.push(mutation);
            continue;
        };
        print(&format!("{:<24} seed {:>5}  {}", format!("{mutation:?}"), story.seed, story.check()));
        // The same seeds find nothing where nothing is broken.
        let unbroken = || {
            mutation::set(None);
            theme::draw_from(themes_of(mutation));
        };
        unbroken();
        assert_eq!(run(story.seed).verdict, Ok(()), "seed {} fails without any mutation", story.seed);
    }
    theme::draw_from(&[]);
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}
