//! The search for an order in which calls could have taken effect one at a time.
//!
//! Each has to take effect between its beginning and its answer (Wing & Gong, "Testing and Verifying Concurrent Objects",
//! 1993), and dead ends are remembered (Lowe, "Testing for Linearizability", 2017). A write of unknown fate may take effect at
//! any time after it began, or never; one that was taken back never does.

use std::collections::HashSet;

use super::{Violation, list, parts, seen};
use crate::support::history::{Action, Call, Fate};

/// Where the search gives up rather than take all memory: that many dead ends take some hundred megabytes.
const DEAD_ENDS_MAX: usize = 1 << 21;

/// There is an order of all calls, each between its beginning and its answer, in which every read returns the latest
/// write. `calls` are of one key that began without a value.
pub(crate) fn is_linearizable(calls: &[Call]) -> Result<(), Violation> {
    let steps = Steps::of(calls);
    let explains = |with_unseen| {
        let mut search = Search { steps: &steps, with_unseen, dead_ends: HashSet::new() };
        search.can_go_on(&mut Position { taken: vec![false; steps.0.len()], value: None, is_unseen: false })
    };
    // Nearly always what nobody saw is not needed, and without it there are far fewer ways.
    let has_appends = calls.iter().any(|call| matches!(call.action, Action::Append(_)));
    if explains(false) || has_appends && explains(true) {
        return Ok(());
    }
    Err(format!("no order of these calls explains what was read:\n{}", list(calls)))
}

/// One call as the search sees it.
struct Step {
    invoked: u64,
    /// The end of time where it is open whether, and when, it took effect.
    returned: u64,
    effect: Effect,
    /// Whether its fate is unknown, and nobody saw its value.
    is_unseen: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum Effect {
    Write(Option<String>),
    Read(Option<String>),
    Swap {
        seen: Option<String>,
        value: Option<String>,
    },
    /// The length that was told, if any.
    Append {
        value: String,
        length: Option<usize>,
    },
}

impl Effect {
    /// Whether it can be the next that takes effect on a key that holds this.
    fn fits(&self, held: Option<&String>) -> bool {
        match self {
            Self::Write(_) | Self::Append { length: None, .. } => true,
            Self::Append { value, length: Some(length) } => held.map_or(0, String::len) + value.len() + 1 == *length,
            Self::Read(seen) | Self::Swap { seen, .. } => seen.as_ref() == held,
        }
    }
}

impl Step {
    /// Whether only a length can tell of it.
    fn is_hidden(&self) -> bool {
        self.is_unseen && self.effect != Effect::Write(None)
    }
}

struct Steps(Vec<Step>);

/// The values that somebody saw.
fn all_seen(calls: &[Call]) -> HashSet<Option<&str>> {
    let each = calls.iter().filter_map(seen).flat_map(|seen| match seen {
        None => vec![None],
        Some(values) => parts(values).map(Some).collect(),
    });
    each.collect()
}

impl Steps {
    fn of(calls: &[Call]) -> Self {
        let all_seen = all_seen(calls);
        let step = |call: &Call| {
            let (effect, returned) = match (&call.action, &call.fate) {
                (Action::Write(value), Fate::Acknowledged) => (Effect::Write(value.clone()), call.returned),
                (Action::Write(value) | Action::Swap(value), Fate::Unknown) => (Effect::Write(value.clone()), u64::MAX),
                (Action::Read, Fate::Saw(value)) => (Effect::Read(value.clone()), call.returned),
                (Action::Append(value), Fate::Unknown) => {
                    (Effect::Append { value: value.clone(), length: None }, u64::MAX)
                }
                (Action::Append(value), Fate::Saw(length)) => {
                    let length = length.as_ref().and_then(|length| length.trim_start_matches(':').parse().ok());
                    (Effect::Append { value: value.clone(), length }, call.returned)
                }
                (Action::Swap(value), Fate::Saw(seen)) => {
                    (Effect::Swap { seen: seen.clone(), value: value.clone() }, call.returned)
                }
                _ => return None,
            };
            let is_unseen = match &effect {
                Effect::Write(value) => call.fate == Fate::Unknown && !all_seen.contains(&value.as_deref()),
                Effect::Append { value, .. } => call.fate == Fate::Unknown && !all_seen.contains(&Some(value.as_str())),
                Effect::Read(_) | Effect::Swap { .. } => false,
            };
            Some(Step { invoked: call.invoked, returned, effect, is_unseen })
        };
        let mut steps: Vec<Step> = calls.iter().filter_map(step).collect();
        steps.sort_by_key(|step| step.invoked);
        Self(steps)
    }
}

/// Which calls have taken effect, and what the key holds then.
struct Position {
    taken: Vec<bool>,
    value: Option<String>,
    /// Whether what was taken last was unseen.
    is_unseen: bool,
}

struct Search<'a> {
    steps: &'a Steps,
    /// Whether what nobody saw may have taken effect.
    with_unseen: bool,
    dead_ends: HashSet<(Vec<bool>, Option<String>, bool)>,
}

impl Search<'_> {
    fn can_go_on(&mut self, position: &mut Position) -> bool {
        let left = |at: &usize| !position.taken[*at];
        let steps = &self.steps.0;
        // Whatever takes effect next must have begun before every answer that is still to come.
        let horizon = (0..steps.len()).filter(left).map(|at| steps[at].returned).min();
        if horizon.is_none_or(|horizon| horizon == u64::MAX) {
            return true;
        }
        let next: Vec<usize> = (0..steps.len()).filter(left).filter(|&at| Some(steps[at].invoked) < horizon).collect();
        // A read that fits can be taken at once: that never closes a way.
        let fitting = next.iter().copied().find(|&at| steps[at].effect == Effect::Read(position.value.clone()));
        if let Some(read) = fitting.filter(|_| !position.is_unseen) {
            return self.takes(position, read);
        }
        if !self.dead_ends.insert((position.taken.clone(), position.value.clone(), position.is_unseen)) {
            return false;
        }
        assert!(self.dead_ends.len() < DEAD_ENDS_MAX, "too many ways to try them all: the seed needs fewer clients");
        let candidates = self.candidates(&next, position);
        candidates.into_iter().any(|at| self.takes(position, at))
    }

    /// Which of `next` to try: all that fit, but for what nobody saw. Of that only a length can tell that an append was answered with,
    /// and until then nobody reads. So it may as well take effect just before such an append, and of those that make it as long, any
    /// will do.
    fn candidates(&self, next: &[usize], position: &Position) -> Vec<usize> {
        let tells = |step: &Step| matches!(step.effect, Effect::Append { length: Some(_), .. });
        let may_be_unseen = next.iter().any(|&at| tells(&self.steps.0[at]));
        let (mut candidates, mut shapes) = (Vec::new(), HashSet::new());
        for &at in next {
            let step = &self.steps.0[at];
            let is_wanted = match (step.is_unseen, &step.effect) {
                (true, _) if !self.with_unseen => false,
                // What is behind nothing tells that there was nothing before.
                (true, Effect::Write(None)) => !position.is_unseen,
                (true, Effect::Write(value)) => may_be_unseen && shapes.insert((true, value.as_ref().map(String::len))),
                (true, Effect::Append { value, .. }) => may_be_unseen && shapes.insert((false, Some(value.len()))),
                (_, Effect::Read(_)) => false,
                _ => !position.is_unseen || tells(step),
            };
            if is_wanted && step.effect.fits(position.value.as_ref()) {
                candidates.push(at);
            }
        }
        candidates
    }

    fn takes(&mut self, position: &mut Position, at: usize) -> bool {
        let before = position.value.clone();
        match &self.steps.0[at].effect {
            Effect::Write(value) | Effect::Swap { value, .. } => position.value.clone_from(value),
            Effect::Append { value, .. } => {
                let held = position.value.get_or_insert_default();
                held.push('.');
                held.push_str(value);
            }
            Effect::Read(_) => {}
        }
        let was_unseen = std::mem::replace(&mut position.is_unseen, self.steps.0[at].is_hidden());
        position.taken[at] = true;
        let goes_on = self.can_go_on(position);
        position.taken[at] = false;
        position.is_unseen = was_unseen;
        position.value = before;
        goes_on
    }
}
