//! Inline requests. The expected words were compared with those of redis-server 7.0.15, except for NUL bytes: Redis
//! ends the line at one and waits, here it is a byte like any other.

use proptest::prelude::*;

use super::{request_error, requests_in, words};

fn words_of(line: &str) -> Vec<Vec<u8>> {
    let (mut requests, error) = requests_in(format!("{line}\r\n").as_bytes());
    assert_eq!((requests.len(), error), (1, None), "{line}");
    requests.remove(0)
}

#[test]
fn words_are_separated_by_white_space() {
    for line in ["ECHO a", "  ECHO\ta  ", "ECHO \x0b a", "ECHO a\r", "ECHO\ra"] {
        assert_eq!(words_of(line), words(&["ECHO", "a"]), "{line:?}");
    }
    assert_eq!(words_of("ECHO a\x0bb\0"), words(&["ECHO", "a\x0bb\0"]));
}

#[test]
fn line_may_end_without_carriage_return() {
    assert_eq!(requests_in(b"PING\nPING\r\n\n"), (vec![words(&["PING"]), words(&["PING"])], None));
}

#[test]
fn double_quotes_hold_spaces_and_escapes() {
    assert_eq!(words_of(r#"ECHO "a b""#), words(&["ECHO", "a b"]));
    assert_eq!(words_of(r#"ECHO "\x41\n\r\t\b\a\q\\\"""#), words(&["ECHO", "A\n\r\t\x08\x07q\\\""]));
    assert_eq!(words_of(r#"ECHO "\x4\xg1\XFF""#), words(&["ECHO", "x4xg1XFF"]));
    assert_eq!(words_of(r#"ECHO "\xfF\x00""#)[1], [0xff, 0]);
}

#[test]
fn single_quotes_hold_all_but_themselves() {
    assert_eq!(words_of(r"ECHO 'a \x41\n\' b'"), words(&["ECHO", r"a \x41\n' b"]));
}

#[test]
fn quotes_may_open_within_a_word_and_be_empty() {
    assert_eq!(words_of(r#"ECHO a"b c""#), words(&["ECHO", "ab c"]));
    assert_eq!(words_of(r#""" '' x"#), words(&["", "", "x"]));
    assert_eq!(words_of(r"ECHO a\ b \x41"), words(&["ECHO", "a\\", "b", "\\x41"]));
}

#[test]
fn unbalanced_quotes_are_refused() {
    for line in [
        r#"ECHO "a"#,
        "ECHO 'a",
        r#"ECHO "a"b"#,
        "ECHO 'a'b",
        r#"ECHO "a\""#,
        r"ECHO 'a\'",
        r#"ECHO "\"#,
        r#"a"b"c"#,
        "'",
    ] {
        assert_eq!(request_error(format!("{line}\r\n").as_bytes()), "unbalanced quotes in request", "{line}");
    }
}

/// Writes `word` so that no byte of it can be misunderstood.
fn quoted(word: &[u8]) -> String {
    let escaped = word.iter().map(|byte| format!("\\x{byte:02x}"));
    format!("\"{}\"", escaped.collect::<Vec<_>>().concat())
}

proptest! {
    #[test]
    fn quoted_words_arrive_as_they_were(expected in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..6)) {
        let line: Vec<String> = expected.iter().map(|word| quoted(word)).collect();
        prop_assert_eq!(words_of(&line.join(" ")), expected);
    }
}
