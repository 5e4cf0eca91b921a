//! Clusters of three nodes with N=3, W=2, R=1, as their nodes see them, and what that comes to.

use super::super::report::tests::info;
use super::*;

/// What the nodes of these numbers answer; the others stay silent.
fn survey(answers: &[(u16, String)]) -> Survey {
    let report = |(number, text): &(u16, String)| (format!("h:700{number}"), Report::parse(text).unwrap());
    let silent = (1..=3).map(|number| format!("h:700{number}"));
    let mut survey = Survey { reports: answers.iter().map(report).collect(), ..Survey::default() };
    survey.silent = silent
        .filter(|address| !survey.reports.contains_key(address))
        .map(|address| (address, "no answer".to_owned()))
        .collect();
    survey
}

fn assessed(answers: &[(u16, String)]) -> Assessment {
    assess(&survey(answers)).expect("somebody answers")
}

/// Views of all three nodes, each of the other two in order.
fn all(one: [&str; 2], two: [&str; 2], three: [&str; 2]) -> Vec<(u16, String)> {
    vec![
        (1, info(1, &[(2, one[0]), (3, one[1])])),
        (2, info(2, &[(1, two[0]), (3, two[1])])),
        (3, info(3, &[(1, three[0]), (2, three[1])])),
    ]
}

fn states(assessment: &Assessment) -> Vec<NodeState> {
    assessment.rows.iter().map(|row| row.state).collect()
}

const UP: [&str; 2] = ["alive", "alive"];

#[test]
fn nodes_that_all_see_each_other_have_converged() {
    let assessment = assessed(&all(UP, UP, UP));
    assert_eq!(assessment.verdict, Verdict::Converged("3 nodes alive, nothing known to differ".to_owned()));
    assert_eq!((assessment.verdict.exit_code(), assessment.quorum), (0, (3, 2, 1)));
    let row = &assessment.rows[1];
    assert_eq!((row.id.as_str(), row.address.as_str(), row.keys_held), ("node-2", "h:7002", Some(7)));
    assert_eq!((row.slots_owned, row.clock_offset_ms, row.hints, row.lag_ms), (Some(SLOT_COUNT), Some(20), None, None));
}

#[test]
fn a_node_that_the_others_miss_is_down_and_the_rest_goes_on() {
    let answers = [(1, info(1, &[(2, "down"), (3, "alive")])), (3, info(3, &[(1, "alive"), (2, "down")]))];
    let assessment = assessed(&answers);
    let text = "node-2 is down, writes and reads go on (2 of 3 nodes, W=2)";
    assert_eq!(assessment.verdict, Verdict::Degraded(text.to_owned()));
    assert_eq!(assessment.verdict.exit_code(), 1);
    assert_eq!(assessment.rows[1].silent.as_deref(), Some("no answer"));
}

#[test]
fn with_two_of_three_down_nothing_can_be_written_but_reads_go_on() {
    let assessment = assessed(&[(1, info(1, &[(2, "down"), (3, "down")]))]);
    let text = "all of the keys cannot be written (W=2), reads go on: node-2, node-3 are down";
    assert_eq!(assessment.verdict, Verdict::Unavailable(text.to_owned()));
    assert_eq!(assessment.verdict.exit_code(), 2);
}

#[test]
fn a_node_that_hangs_and_is_not_missed_yet_is_trouble() {
    let answers = [(1, info(1, &[(2, "alive"), (3, "alive")])), (3, info(3, &[(1, "alive"), (2, "alive")]))];
    let Verdict::Degraded(text) = assessed(&answers).verdict else { panic!("it does not answer") };
    assert!(text.contains("node-2 does not answer here (no answer), though other nodes reach it"), "{text}");
}

#[test]
fn a_suspect_is_trouble_and_counts() {
    let Verdict::Degraded(text) = assessed(&all(["suspect", "alive"], UP, ["alive", "suspect"])).verdict else {
        panic!("somebody is slow")
    };
    assert_eq!(text, "node-2 is slow to answer, writes and reads go on (3 of 3 nodes, W=2)");
}

#[test]
fn a_suspect_that_does_not_answer_here_either_is_told_once() {
    let answers = [(1, info(1, &[(2, "suspect"), (3, "alive")])), (3, info(3, &[(1, "alive"), (2, "suspect")]))];
    let Verdict::Degraded(text) = assessed(&answers).verdict else { panic!("it does not answer") };
    assert_eq!(text, "node-2 does not answer (no answer), writes and reads go on (3 of 3 nodes, W=2)");
}

#[test]
fn a_node_that_catches_up_is_repaired_and_counts_for_nothing() {
    let mut answers = all(["syncing", "alive"], UP, ["alive", "syncing"]);
    answers[1].1.push_str("slots_syncing:1000\r\nsync_percent:93\r\n");
    let assessment = assessed(&answers);
    assert_eq!(assessment.verdict, Verdict::Repairing("node-2 is catching up (93 %)".to_owned()));
    assert_eq!(assessment.verdict.exit_code(), 1);

    let mut answers = vec![(1, info(1, &[(2, "syncing"), (3, "down")])), (2, info(2, &[(1, "alive"), (3, "down")]))];
    answers[1].1.push_str("slots_syncing:1000\r\n");
    let verdict = assessed(&answers).verdict;
    let text = "all of the keys cannot be written (W=2), reads go on: node-3 is down; node-2 is catching up";
    assert_eq!(verdict, Verdict::Unavailable(text.to_owned()));
}

#[test]
fn what_differs_is_counted_once_and_what_is_owed_by_all() {
    let mut answers = all(UP, UP, UP);
    let more = |peer: u16, hints: u16, age: u16| {
        format!(
            "peer1_convergence:id=node-{peer},slots_differing=4,agreed_age_ms={age},hints={hints},hint_bytes=100\r\n"
        )
    };
    answers[0].1.push_str(&more(3, 5, 700));
    answers[1].1.push_str(&more(3, 2, 900));
    let assessment = assessed(&answers);
    let text = "4 slots differ between replicas; 7 missed writes wait for delivery";
    assert_eq!(assessment.verdict, Verdict::Repairing(text.to_owned()));
    let seen: Vec<_> = assessment.rows.iter().map(|row| (row.hints, row.lag_ms)).collect();
    assert_eq!(seen, [(None, Some(700)), (None, Some(900)), (Some((7, 200)), Some(900))]);
}

#[test]
fn a_node_is_what_most_say_of_it() {
    // node-3 is cut off from both others.
    let assessment = assessed(&all(["alive", "down"], ["alive", "down"], ["down", "down"]));
    assert_eq!(states(&assessment), [NodeState::Alive, NodeState::Alive, NodeState::Down]);
    let Verdict::Degraded(text) = assessment.verdict else { panic!("the two others go on") };
    assert!(text.starts_with("node-3 is down; node-3 does not reach node-1; node-3 does not reach node-2"), "{text}");

    // One link alone is cut.
    let assessment = assessed(&all(["down", "alive"], ["down", "alive"], UP));
    assert_eq!(states(&assessment), [NodeState::Alive; 3]);
    let Verdict::Degraded(text) = assessment.verdict else { panic!("a link is cut") };
    assert!(text.contains("node-2 does not reach node-1; node-1 does not reach node-2"), "{text}");
}

#[test]
fn nodes_that_are_all_cut_off_from_each_other_are_unavailable_though_each_answers() {
    let apart = ["down", "down"];
    assert_eq!(assessed(&all(apart, apart, apart)).verdict.exit_code(), 2);
}

#[test]
fn without_the_ring_the_worst_is_reckoned_with() {
    let other_ring = |text: String| text.replace("virtual_nodes:16", "virtual_nodes:17");
    let one = other_ring(info(1, &[(2, "down"), (3, "alive")]));
    assert_eq!(assessed(&[(1, one)]).verdict.exit_code(), 1);
    let two = other_ring(info(1, &[(2, "down"), (3, "down")]));
    assert_eq!(assessed(&[(1, two)]).verdict.exit_code(), 2);
}

#[test]
fn keys_that_have_no_quorum_are_told_as_a_share() {
    let single = |text: String| {
        text.replace("replication_factor:3", "replication_factor:1").replace("write_quorum:2", "write_quorum:1")
    };
    let ids: Vec<NodeId> = (1..=3).map(|number| NodeId::from(format!("node-{number}").as_str())).collect();
    let (three, one) = (HashRing::new(&ids, 16, 3), HashRing::new(&ids, 16, 1));
    let text = single(info(1, &[(2, "down"), (3, "alive")]));
    let text = text.replace(&three.fingerprint().to_string(), &one.fingerprint().to_string());
    let Verdict::Unavailable(line) = assessed(&[(1, text)]).verdict else { panic!("a third of the keys is gone") };
    let percent = 100.0 * f64::from(one.shares()[1].primary_slots) / f64::from(SLOT_COUNT);
    assert!(
        line.starts_with(&format!("{percent:.1} % of the keys have no quorum (W=1, R=1): node-2 is down")),
        "{line}"
    );
}

#[test]
fn nobody_comes_to_nothing() {
    assert_eq!(assess(&survey(&[])), None);
}
