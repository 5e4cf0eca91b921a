//! Whether what clients saw of one key is what was promised to them.

mod order;
mod tests;

use std::collections::HashMap;

use crate::support::history::{Action, Call, Fate, NOBODY};

pub(crate) use order::is_linearizable;

/// Why a history breaks a promise: the calls that show it, in words.
pub(crate) type Violation = String;

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

fn list(calls: &[Call]) -> String {
    let mut calls = calls.to_vec();
    calls.sort_by_key(|call| call.invoked);
    calls.iter().map(Call::to_string).collect::<Vec<_>>().join("\n")
}
