//! The status as one line of JSON, for programs. What is not known is null.

use std::fmt::{Display, Write as _};

use super::client::Survey;
use super::table;
use super::verdict::{Assessment, Row};

/// The cluster at a glance.
pub(super) fn text(assessment: &Assessment) -> String {
    let Assessment { cluster, quorum: (n, w, r), rows, verdict } = assessment;
    let nodes: Vec<String> = rows.iter().map(node).collect();
    format!(
        "{{\"verdict\":{},\"reason\":{},\"exit_code\":{},\"cluster\":{},\"n\":{n},\"w\":{w},\"r\":{r},\"nodes\":[{}]}}\n",
        string(verdict.word()),
        string(verdict.reason()),
        verdict.exit_code(),
        string(cluster),
        nodes.join(",")
    )
}

/// Nobody answered.
pub(super) fn nobody(survey: &Survey) -> String {
    let asked: Vec<String> =
        survey.silent.iter().map(|(address, reason)| format!("{}:{}", string(address), string(reason))).collect();
    let reason = string(table::NOBODY);
    format!(
        "{{\"verdict\":\"UNAVAILABLE\",\"reason\":{reason},\"exit_code\":{},\"asked\":{{{}}}}}\n",
        super::UNAVAILABLE,
        asked.join(",")
    )
}

fn node(row: &Row) -> String {
    let Row { id, address, state, silent, keys_held, slots_owned, sync_percent, clock_offset_ms, hints, lag_ms } = row;
    format!(
        "{{\"id\":{},\"address\":{},\"state\":{},\"answered\":{},\"keys_held\":{},\"slots_owned\":{},\"sync_percent\":{},\
         \"clock_offset_ms\":{},\"hints\":{},\"hint_bytes\":{},\"lag_ms\":{}}}",
        string(id),
        string(address),
        string(state.word()),
        silent.is_none(),
        or_null(*keys_held),
        or_null(*slots_owned),
        or_null(*sync_percent),
        or_null(*clock_offset_ms),
        or_null(hints.map(|(count, _)| count)),
        or_null(hints.map(|(_, bytes)| bytes)),
        or_null(*lag_ms)
    )
}

fn or_null(number: Option<impl Display>) -> String {
    number.map_or_else(|| "null".to_owned(), |number| number.to_string())
}

fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' | '\\' => quoted.extend(['\\', sign]),
            sign if sign.is_control() => drop(write!(quoted, "\\u{:04x}", u32::from(sign))),
            sign => quoted.push(sign),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::report::NodeState;
    use super::super::verdict::Verdict;
    use super::*;

    #[test]
    fn a_node_that_says_nothing_has_nulls() {
        let row = Row {
            id: "node-2".to_owned(),
            address: "h:7002".to_owned(),
            state: NodeState::Down,
            silent: Some("no answer".to_owned()),
            keys_held: None,
            slots_owned: Some(16_384),
            sync_percent: None,
            clock_offset_ms: Some(-3),
            hints: Some((12, 3456)),
            lag_ms: None,
        };
        let verdict = Verdict::Degraded("node-2 is down".to_owned());
        let assessment = Assessment { cluster: "a \"b\"".to_owned(), quorum: (3, 2, 1), rows: vec![row], verdict };
        let expected = "{\"verdict\":\"degraded\",\"reason\":\"node-2 is down\",\"exit_code\":1,\"cluster\":\"a \\\"b\\\"\",\
                        \"n\":3,\"w\":2,\"r\":1,\"nodes\":[{\"id\":\"node-2\",\"address\":\"h:7002\",\"state\":\"down\",\
                        \"answered\":false,\"keys_held\":null,\"slots_owned\":16384,\"sync_percent\":null,\
                        \"clock_offset_ms\":-3,\"hints\":12,\"hint_bytes\":3456,\"lag_ms\":null}]}\n";
        assert_eq!(text(&assessment), expected);
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(string("a\\b\n\u{1b}"), "\"a\\\\b\\u000a\\u001b\"");
    }
}
