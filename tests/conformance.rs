//! ringkv beside a real redis-server 7.0: the same commands go to both in the same run, and the replies are compared byte
//! for byte, in RESP2 and in RESP3, for a single node and for a cluster whose nodes are asked in turn.
//!
//! The cases stand in `conformance/*.txt` (`conformance/case.rs` says how they are written), together with each reply in
//! which ringkv differs on purpose, and why.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "conformance/case.rs"]
mod case;
#[allow(dead_code, reason = "each kind of test uses its own share")]
#[path = "support/chance.rs"]
mod chance;
#[path = "conformance/frame.rs"]
mod frame;
#[allow(dead_code, unused_imports, reason = "each kind of test uses its own share")]
mod harness;
#[path = "conformance/random.rs"]
mod random;
#[path = "conformance/runner.rs"]
mod runner;
#[path = "conformance/twin.rs"]
mod twin;

use std::fs;
use std::path::{Path, PathBuf};

use case::Case;
use runner::Bench;

/// Fewer would mean that a file was not found.
const CASES_MIN: usize = 1300;
/// Failures that are shown.
const FAILURES_SHOWN: usize = 60;

/// All cases, file by file. `RINGKV_CASES` limits them to those whose file or text contains it.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let read = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        case::parse(&name, &fs::read_to_string(file).unwrap()).unwrap_or_else(|error| panic!("{error}"))
    };
    let mut cases: Vec<Case> = files.iter().flat_map(read).collect();
    assert!(cases.len() >= CASES_MIN, "{} cases", cases.len());
    if let Ok(part) = std::env::var("RINGKV_CASES") {
        cases.retain(|case| case.to_string().contains(&part));
    }
    cases
}

fn assert_answers_as_redis(nodes: usize, protocol: u8) {
    let score = Bench::start(nodes, protocol).play(&cases());
    let differences = score.differences;
    show(&format!(
        "{} cases with {} replies in RESP{protocol}, {nodes} node(s): {differences} replies differ on purpose",
        score.cases, score.replies,
    ));
    assert!(
        score.skipped.is_empty(),
        "ringkv lacks commands, and the cases do not say so:\n{}",
        score.skipped.join("\n")
    );
    let failures = &score.failures;
    let first = &failures[..failures.len().min(FAILURES_SHOWN)];
    assert!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), score.cases, first.join("\n"));
}

#[allow(clippy::print_stdout, reason = "shown by the test runner where a test fails or all output is asked for")]
fn show(text: &str) {
    println!("{text}");
}

#[test]
fn a_single_node_answers_as_redis_in_resp2() {
    assert_answers_as_redis(1, 2);
}

#[test]
fn a_single_node_answers_as_redis_in_resp3() {
    assert_answers_as_redis(1, 3);
}

#[test]
fn a_cluster_answers_as_redis_in_resp2() {
    assert_answers_as_redis(3, 2);
}

#[test]
fn a_cluster_answers_as_redis_in_resp3() {
    assert_answers_as_redis(3, 3);
}

#[test]
fn a_single_node_answers_random_sequences_as_redis() {
    random::assert_sequences_answered_as_redis(1);
}

#[test]
fn a_cluster_answers_random_sequences_as_redis() {
    random::assert_sequences_answered_as_redis(3);
}

#[test]
fn no_case_is_written_twice() {
    let cases = cases();
    let mut seen = std::collections::BTreeMap::new();
    for case in &cases {
        let earlier = seen.insert(case.text.as_str(), &case.place);
        assert!(earlier.is_none(), "{case} stands at {} already", earlier.unwrap());
    }
}
