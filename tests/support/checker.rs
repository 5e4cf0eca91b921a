//! Whether what clients saw of one key is what was promised to them.
//!
//! [`is_linearizable`] searches for an order in which the calls could have taken effect one at a time, each between
//! its beginning and its answer (Wing & Gong, "Testing and Verifying Concurrent Objects", 1993), and remembers the
//! dead ends (Lowe, "Testing for Linearizability", 2017). A write of unknown fate may take effect at any time after it
//! began, or never; one that was taken back never does.

use std::collections::{HashMap, HashSet};

use crate::support::history::{Action, Call, Fate, NOBODY};

/// Where the search gives up rather than take all memory: that many dead ends take some hundred megabytes.
const DEAD_ENDS_MAX: usize = 1 << 21;

/// Why a history breaks a promise: the calls that show it, in words.
pub(crate) type Violation = String;

/// What a call returned of the key, if it tells that: no value, or those that make it up.
#[allow(clippy::option_option, reason = "whether something is told, and whether that is a value, are two questions")]
fn seen(call: &Call) -> Option<Option<&str>> {
    match (&call.action, &call.fate) {
        (Action::Read | Action::Swap(_), Fate::Saw(value)) => Some(value.as_deref()),
        _ => None,
    }
}

/// The values that were put behind one another, in their order.
fn parts(values: &str) -> impl DoubleEndedIterator<Item = &str> {
    values.split('.').filter(|value| !value.is_empty())
}

/// The calls of each key.
pub(crate) fn by_key(calls: &[Call]) -> Vec<Vec<Call>> {
    let mut keys: HashMap<&str, Vec<Call>> = HashMap::new();
    for call in calls {
        keys.entry(&call.key).or_default().push(call.clone());
    }
    let mut keys: Vec<_> = keys.into_values().collect();
    keys.sort_by(|a, b| a[0].key.cmp(&b[0].key));
    keys
}

/// No value whose write was answered as taken back is read, before or after that answer; nor one that nobody wrote.
pub(crate) fn nothing_taken_back_is_read(calls: &[Call]) -> Result<(), Violation> {
    let written: HashMap<&str, &Call> = calls.iter().filter_map(|call| Some((call.value()??, call))).collect();
    for read in calls {
        let Some(values) = seen(read) else { continue };
        for value in values.iter().flat_map(|values| parts(values)) {
            match written.get(value) {
                None => return Err(format!("nobody wrote what was read:\n{read}")),
                Some(write) if write.key != read.key => return Err(format!("another key's value:\n{write}\n{read}")),
                Some(write) if write.fate == Fate::TakenBack => {
                    return Err(format!("a value was read that was taken back:\n{write}\n{read}"));
                }
                Some(write) if write.invoked > read.returned => {
                    return Err(format!("a value was read before it was written:\n{write}\n{read}"));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// Each read returns the last acknowledged write, or one that was in flight or is of unknown fate. `calls` are of one
/// key that began without a value.
pub(crate) fn reads_return_the_last_acknowledged(calls: &[Call]) -> Result<(), Violation> {
    these_return_the_last_acknowledged(calls, |_| true)
}

/// The same for reads after the last fault alone. In particular a key that was deleted last stays deleted.
pub(crate) fn final_reads_return_the_last_acknowledged(calls: &[Call]) -> Result<(), Violation> {
    these_return_the_last_acknowledged(calls, |read| read.client == NOBODY)
}

fn these_return_the_last_acknowledged(calls: &[Call], is_held: impl Fn(&Call) -> bool) -> Result<(), Violation> {
    for read in calls.iter().filter(|call| is_held(call)) {
        let Some(seen) = seen(read) else { continue };
        // What was put there last is what the key holds by now.
        let seen = seen.map(|values| parts(values).next_back().unwrap_or_default());
        // The latest beginning of any write that was acknowledged before this read began: whatever was answered
        // before that, is superseded.
        let acknowledged = calls.iter().filter(|call| call.has_written() && call.returned < read.invoked);
        let superseded_before = acknowledged.map(|call| call.invoked).max();
        let allows = |write: &&Call| {
            let may_be_it = write.value() == Some(seen) && write.invoked < read.returned;
            let is_current = || write.has_written() && superseded_before.is_none_or(|at| write.returned > at);
            may_be_it && (write.fate == Fate::Unknown || is_current())
        };
        let is_initial = seen.is_none() && superseded_before.is_none();
        if !is_initial && !calls.iter().any(|call| allows(&call)) {
            return Err(format!("neither the last acknowledged write nor one in flight:\n{read}\n{}", list(calls)));
        }
    }
    Ok(())
}

/// Each swap returns the last acknowledged write, or one in flight or of unknown fate, and no two return the same value: each
/// has seen all that took effect before. `calls` are of one key that began without a value.
pub(crate) fn swaps_see_one_another(calls: &[Call]) -> Result<(), Violation> {
    let is_swap = |call: &Call| matches!(call.action, Action::Swap(_));
    these_return_the_last_acknowledged(calls, is_swap)?;
    let mut replaced: HashMap<&str, &Call> = HashMap::new();
    for swap in calls.iter().filter(|call| is_swap(call)) {
        if let Some(Some(value)) = seen(swap)
            && let Some(other) = replaced.insert(value, swap)
        {
            return Err(format!("one value was replaced twice:\n{other}\n{swap}\n{}", list(calls)));
        }
    }
    Ok(())
}

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

fn list(calls: &[Call]) -> String {
    let mut calls = calls.to_vec();
    calls.sort_by_key(|call| call.invoked);
    calls.iter().map(Call::to_string).collect::<Vec<_>>().join("\n")
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

mod tests {
    //! The checkers find what is wrong and let pass what is right.

    use super::*;

    /// A history of one key from lines like `0-5 set a`, `6-7 get a`, `2-? set b` (unknown), `2-3! set c` (taken back), `4-5 swap b a` (b
    /// for a).
    fn history(lines: &[&str]) -> Vec<Call> {
        lines.iter().enumerate().map(|(client, line)| call(client, line)).collect()
    }

    fn call(client: usize, line: &str) -> Call {
        let mut words = line.split(' ');
        let (begin, end) = words.next().and_then(|times| times.split_once('-')).expect("two times");
        let action = match words.next() {
            Some("set") => Action::Write(words.next().map(str::to_owned)),
            Some("del") => Action::Write(None),
            Some("append") => Action::Append(words.next().map(str::to_owned).expect("a value")),
            Some("swap") => Action::Swap(words.next().map(str::to_owned)),
            _ => Action::Read,
        };
        let fate = match (&action, end) {
            (_, "?") => Fate::Unknown,
            (_, end) if end.ends_with('!') => Fate::TakenBack,
            (Action::Read | Action::Swap(_) | Action::Append(_), _) => {
                Fate::Saw(words.next().filter(|&value| value != "nil").map(str::to_owned))
            }
            _ => Fate::Acknowledged,
        };
        let returned = end.trim_end_matches('!').parse().unwrap_or(1000);
        let invoked = begin.parse().expect("a time");
        Call { client, node: 0, key: "k".to_owned(), action, fate, words: String::new(), invoked, returned }
    }

    #[test]
    fn reads_in_the_order_of_writes_are_linearizable() {
        for lines in [
            &["0-1 get nil", "2-3 set a", "4-5 get a", "6-7 del", "8-9 get nil"][..],
            &["0-9 set a", "1-2 get nil", "3-4 get a"],
            &["0-9 set a", "0-9 set b", "1-2 get a", "3-4 get b"],
            &["0-1 set a", "2-? set b", "3-4 get a", "5-6 get b", "7-8 set c", "9-10 get c"],
            &["0-1 set a", "2-? set b", "3-4 set c", "5-6 get c", "7-8 get b"],
            &["0-1 set a", "2-3! set b", "4-5 get a"],
            &["0-1 set a", "2-? del", "3-4 get a", "5-6 get nil", "7-8 get nil"],
        ] {
            assert_eq!(is_linearizable(&history(lines)), Ok(()), "{lines:?}");
            assert_eq!(nothing_taken_back_is_read(&history(lines)), Ok(()), "{lines:?}");
        }
    }

    #[test]
    fn swaps_that_saw_one_another_are_linearizable() {
        for lines in [
            &["0-1 set a", "2-9 swap b a", "2-9 swap c b", "10-11 get c"][..],
            &["0-9 swap a nil", "0-9 set b", "10-11 get a"],
            &["0-1 set a", "2-? swap b", "3-4 swap c b", "5-6 get c"],
            &["0-1 set a", "2-3! swap b", "4-5 swap c a"],
        ] {
            assert_eq!(swaps_see_one_another(&history(lines)), Ok(()), "{lines:?}");
        }
        assert_eq!(is_linearizable(&history(&["0-1 set a", "2-9 swap b a", "2-9 swap c b", "10-11 get c"])), Ok(()));
    }

    #[test]
    fn what_is_appended_stands_behind_what_was_there() {
        for lines in [
            &["0-1 set a", "2-9 append b 3", "2-9 append c 5", "10-11 get a.b.c"][..],
            &["0-1 append a 2", "2-? append b", "3-4 append c 6", "5-6 get .a.b.c"],
            &["0-1 set a", "2-? set bb", "3-4 append c 4", "5-6 set d", "7-8 get d"],
            &["0-1 set a", "2-? del", "3-4 append c 2", "5-6 get .c"],
            &["0-1 set a", "2-? del", "3-? append c", "5-6 get .c"],
            &[
                "0-1 set a",
                "2-? append b",
                "3-? append c",
                "5-6 append d 5",
                "7-? append e",
                "8-9 append f 9",
                "10-11 set g",
            ],
        ] {
            assert_eq!(is_linearizable(&history(lines)), Ok(()), "{lines:?}");
            assert_eq!(nothing_taken_back_is_read(&history(lines)), Ok(()), "{lines:?}");
            assert_eq!(reads_return_the_last_acknowledged(&history(lines)), Ok(()), "{lines:?}");
        }
        for lines in [
            &["0-1 set a", "2-3 append b 3", "4-5 append c 3"][..],
            &["0-1 set a", "2-3 set b", "4-? append c", "5-6 get a.c"],
            &["0-1 set a", "2-3 append b 3", "4-5 get a"],
        ] {
            assert!(is_linearizable(&history(lines)).is_err(), "{lines:?}");
        }
        assert!(nothing_taken_back_is_read(&history(&["0-1 set a", "2-3! append b", "4-5 get a.b"])).is_err());
    }

    #[test]
    fn many_writes_of_unknown_fate_do_not_hide_the_order_that_there_is() {
        let unknown: Vec<String> = (0..20).map(|at| format!("{}-? append {at:02}", at + 2)).collect();
        let known = ["0-1 set a", "40-41 append b 3", "50-51 get a.b", "52-53 append c 5", "60-61 get a.b.c"];
        let lines: Vec<&str> = known.into_iter().chain(unknown.iter().map(String::as_str)).collect();
        assert_eq!(is_linearizable(&history(&lines)), Ok(()));
    }

    #[test]
    fn a_lost_swap_is_found() {
        for lines in [
            &["0-1 set a", "2-9 swap b a", "2-9 swap c a"][..],
            &["0-1 set a", "2-3 swap b a", "4-5 swap c a"],
            &["0-1 set a", "2-3 set b", "4-5 swap c a"],
        ] {
            assert!(swaps_see_one_another(&history(lines)).is_err(), "{lines:?}");
            assert!(is_linearizable(&history(lines)).is_err(), "{lines:?}");
        }
        assert!(is_linearizable(&history(&["0-1 set a", "2-5 swap b a", "2-5 set c", "6-7 get b"])).is_err());
    }

    #[test]
    fn a_stale_read_is_found() {
        assert!(is_linearizable(&history(&["0-1 set a", "2-3 set b", "4-5 get a"])).is_err());
        assert!(is_linearizable(&history(&["0-1 set a", "2-3 get nil"])).is_err());
        assert!(is_linearizable(&history(&["0-1 set a", "2-3 del", "4-5 get a"])).is_err());
    }

    #[test]
    fn reads_that_go_back_in_time_are_found() {
        let lines = ["0-1 set a", "2-9 set b", "3-4 get b", "5-6 get a"];
        assert!(is_linearizable(&history(&lines)).is_err());
        assert_eq!(reads_return_the_last_acknowledged(&history(&lines)), Ok(()), "that one was never promised");
    }

    #[test]
    fn a_write_that_takes_effect_twice_is_found() {
        let lines = ["0-9 set x", "1-2 get x", "3-4 set y", "5-6 get y", "7-8 get x"];
        assert!(is_linearizable(&history(&lines)).is_err());
    }

    #[test]
    fn a_lost_acknowledged_write_is_found() {
        let lines = ["0-1 set a", "2-3 set b", "4-? set c", "5-6 get a"];
        assert!(is_linearizable(&history(&lines)).is_err());
        assert!(reads_return_the_last_acknowledged(&history(&lines)).is_err());
    }

    #[test]
    fn an_unknown_write_takes_effect_once_only() {
        let lines = ["0-? set a", "1-2 get a", "3-4 set b", "5-6 get b", "7-8 get a"];
        assert!(is_linearizable(&history(&lines)).is_err());
    }

    #[test]
    fn a_value_that_was_taken_back_must_never_be_read() {
        for lines in [&["0-5! set a", "1-2 get a"][..], &["0-1! set a", "8-9 get a"]] {
            assert!(nothing_taken_back_is_read(&history(lines)).is_err(), "{lines:?}");
            assert!(is_linearizable(&history(lines)).is_err(), "{lines:?}");
            assert!(reads_return_the_last_acknowledged(&history(lines)).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn a_value_from_nowhere_or_from_the_future_is_found() {
        assert!(nothing_taken_back_is_read(&history(&["0-1 get a"])).is_err());
        assert!(nothing_taken_back_is_read(&history(&["0-1 get a", "2-3 set a"])).is_err());
    }

    #[test]
    fn a_deleted_value_that_is_back_after_all_faults_is_found() {
        let mut calls = history(&["0-1 set a", "2-3 del", "4-5 get a", "6-7 get a"]);
        assert_eq!(final_reads_return_the_last_acknowledged(&calls), Ok(()), "until then an old read is allowed");
        calls[3].client = NOBODY;
        assert!(final_reads_return_the_last_acknowledged(&calls).is_err());
        calls[1].fate = Fate::Unknown;
        assert_eq!(final_reads_return_the_last_acknowledged(&calls), Ok(()), "that delete may never have been");
    }

    #[test]
    fn the_last_acknowledged_write_or_one_in_flight_may_be_read() {
        for lines in [
            &["0-1 set a", "2-3 get a"][..],
            &["0-1 set a", "2-9 set b", "3-4 get a", "5-6 get b", "7-8 get a"],
            &["0-5 set a", "1-6 set b", "7-8 get a"],
            &["0-1 set a", "2-? set b", "3-4 set c", "5-6 get b", "7-8 get c"],
        ] {
            assert_eq!(reads_return_the_last_acknowledged(&history(lines)), Ok(()), "{lines:?}");
        }
        assert!(reads_return_the_last_acknowledged(&history(&["0-1 set a", "2-3 set b", "4-5 get a"])).is_err());
        assert!(reads_return_the_last_acknowledged(&history(&["0-1 set a", "2-3 get nil"])).is_err());
    }
}
