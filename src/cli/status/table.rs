//! The text of `ringkv status`: a line for each node, and the verdict.

use super::client::Survey;
use super::report::NodeState;
use super::verdict::{Assessment, Row};
use crate::ring::SLOT_COUNT;

/// What to do where nobody answers.
pub(super) const NOBODY: &str =
    "no node answers; start one, or name one with --addr host:port or all with --config FILE";
/// In place of what is not known.
const UNKNOWN: &str = "-";
const HEADS: [&str; COLUMNS] = ["node", "address", "state", "keys", "share", "caught up", "clock", "owed", "lag"];
const COLUMNS: usize = 9;
/// Columns of words, which begin at the left; the others are numbers.
const WORDS: usize = 3;

/// The cluster at a glance.
pub(super) fn text(assessment: &Assessment) -> String {
    let Assessment { cluster, quorum: (n, w, r), rows, verdict } = assessment;
    let mut lines = vec![HEADS.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let table = aligned(&lines);
    let verdict = format!("{}: {}", verdict.word(), verdict.reason());
    format!("cluster {cluster}: nodes = {}, N={n}, W={w}, R={r}\n\n{table}\n{verdict}\n", rows.len())
}

/// Nobody answered: who was asked, and what to do.
pub(super) fn nobody(survey: &Survey) -> String {
    let asked: Vec<String> = survey.silent.iter().map(|(address, reason)| format!("  {address}: {reason}\n")).collect();
    format!("UNAVAILABLE: {NOBODY}\n{}", asked.concat())
}

fn cells(row: &Row) -> [String; COLUMNS] {
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    [
        row.id.clone(),
        row.address.clone(),
        state(row),
        or_unknown(row.keys_held.map(|keys| keys.to_string())),
        or_unknown(row.slots_owned.map(|slots| format!("{:.1}%", 100.0 * f64::from(slots) / f64::from(SLOT_COUNT)))),
        or_unknown(row.sync_percent.map(|percent| format!("{percent}%"))),
        or_unknown(row.clock_offset_ms.map(|offset_ms| format!("{offset_ms:+} ms"))),
        or_unknown(row.hints.map(|(hints, bytes)| format!("{hints} ({} KiB)", bytes.div_ceil(1024)))),
        or_unknown(row.lag_ms.map(duration)),
    ]
}

/// The state; in brackets if the node itself says nothing to it.
fn state(row: &Row) -> String {
    let word = row.state.word();
    match (row.state, &row.silent) {
        (NodeState::Down, _) | (_, None) => word.to_owned(),
        (_, Some(_)) => format!("({word})"),
    }
}

/// A time in its two largest units at most.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

fn aligned(lines: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column < WORDS {
            true => format!("{cell:width$}"),
            false => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Verdict;
    use super::*;

    #[test]
    fn columns_are_aligned_and_what_is_not_known_is_a_dash() {
        let known = Row {
            id: "node-1".to_owned(),
            address: "127.0.0.1:7001".to_owned(),
            state: NodeState::Alive,
            silent: None,
            keys_held: Some(12_345),
            slots_owned: Some(SLOT_COUNT),
            sync_percent: Some(100),
            clock_offset_ms: Some(-3),
            hints: Some((12, 3456)),
            lag_ms: Some(1200),
        };
        let unknown = Row {
            id: "b".to_owned(),
            state: NodeState::Down,
            silent: Some("no answer".to_owned()),
            keys_held: None,
            slots_owned: None,
            sync_percent: None,
            clock_offset_ms: None,
            hints: None,
            lag_ms: None,
            ..known.clone()
        };
        let verdict = Verdict::Degraded("b is down".to_owned());
        let assessment =
            Assessment { cluster: "test".to_owned(), quorum: (3, 2, 1), rows: vec![known, unknown], verdict };
        let expected = "\
cluster test: nodes = 2, N=3, W=2, R=1

node    address         state   keys   share  caught up  clock        owed    lag
node-1  127.0.0.1:7001  alive  12345  100.0%       100%  -3 ms  12 (4 KiB)  1.2 s
b       127.0.0.1:7001  down       -       -          -      -           -      -

degraded: b is down
";
        assert_eq!(text(&assessment), expected);
    }

    #[test]
    fn a_state_that_only_others_tell_stands_in_brackets() {
        let row = |state, silent: Option<&str>| Row {
            id: String::new(),
            address: String::new(),
            state,
            silent: silent.map(str::to_owned),
            keys_held: None,
            slots_owned: None,
            sync_percent: None,
            clock_offset_ms: None,
            hints: None,
            lag_ms: None,
        };
        assert_eq!(state(&row(NodeState::Suspect, Some(""))), "(suspect)");
        assert_eq!(state(&row(NodeState::Syncing, None)), "syncing");
        assert_eq!(state(&row(NodeState::Down, Some(""))), "down");
    }

    #[test]
    fn times_are_short() {
        let texts = [999, 1000, 59_999, 60_000, 3_600_000, 90_000_000].map(duration);
        assert_eq!(texts, ["999 ms", "1.0 s", "59.9 s", "1 min 0 s", "1 h 0 min", "25 h 0 min"]);
    }
}
