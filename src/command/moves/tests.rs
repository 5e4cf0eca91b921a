//! RENAME, RENAMENX and COPY as a client sees them, within a slot and between slots.

use super::super::dispatch::Flow;
use super::super::testing::Bench;

// The answers were read off redis-server 7.0.15 with one database.

const OK: &str = "+OK\r\n";
const YES: &str = ":1\r\n";
const NO: &str = ":0\r\n";
const NIL: &str = "$-1\r\n";

/// Two keys of one slot, and two of different slots.
const PAIRS: [(&str, &str); 2] = [("{s}a", "{s}b"), ("a", "b")];

/// What is asked in turn, and answered; `<a>` and `<b>` stand for the two keys, `<far>` for a time that does not come.
async fn converse(lines: &[(&str, &str)]) {
    for (a, b) in PAIRS {
        let mut bench = Bench::single_node();
        for (request, answer) in lines {
            let request = request.replace("<a>", a).replace("<b>", b).replace("<far>", "9000000000000");
            assert_eq!(bench.ask_and_wait(&request).await, *answer, "{request}");
        }
    }
}

#[tokio::test]
async fn rename_moves_value_and_expiry_over_whatever_was_there() {
    converse(&[
        ("SET <a> v PXAT <far>", OK),
        ("SET <b> w", OK),
        ("RENAME <a> <b>", OK),
        ("GET <a>", NIL),
        ("GET <b>", "$1\r\nv\r\n"),
        ("PEXPIRETIME <b>", ":9000000000000\r\n"),
        ("SET <a> 5", OK),
        ("rename <a> <b>", OK),
        ("TTL <b>", ":-1\r\n"),
        ("INCR <b>", ":6\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn renamenx_moves_only_to_a_name_that_is_free() {
    converse(&[
        ("MSET <a> v <b> w", OK),
        ("RENAMENX <a> <b>", NO),
        ("MGET <a> <b>", "*2\r\n$1\r\nv\r\n$1\r\nw\r\n"),
        ("DEL <b>", YES),
        ("PEXPIREAT <a> <far>", YES),
        ("RENAMENX <a> <b>", YES),
        ("MGET <a> <b>", "*2\r\n$-1\r\n$1\r\nv\r\n"),
        ("PEXPIRETIME <b>", ":9000000000000\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn copy_leaves_the_source_and_replaces_only_when_told() {
    converse(&[
        ("SET <a> v PXAT <far>", OK),
        ("COPY <a> <b>", YES),
        ("PEXPIRETIME <b>", ":9000000000000\r\n"),
        ("SET <b> w", OK),
        ("COPY <a> <b>", NO),
        ("GET <b>", "$1\r\nw\r\n"),
        ("COPY <a> <b> replace db 0", YES),
        ("MGET <a> <b>", "*2\r\n$1\r\nv\r\n$1\r\nv\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn a_missing_source_changes_nothing() {
    let missing = "-ERR no such key\r\n";
    converse(&[
        ("SET <b> w", OK),
        ("RENAME <a> <b>", missing),
        ("RENAMENX <a> <b>", missing),
        ("RENAME <a> <a>", missing),
        ("RENAMENX <a> <a>", missing),
        ("COPY <a> <b>", NO),
        ("COPY <a> <b> REPLACE", NO),
        ("GET <b>", "$1\r\nw\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn a_key_that_is_renamed_to_itself_stays() {
    let same = "-ERR source and destination objects are the same\r\n";
    converse(&[
        ("COPY <a> <a>", same),
        ("SET <a> v PXAT <far>", OK),
        ("RENAME <a> <a>", OK),
        ("RENAMENX <a> <a>", NO),
        ("COPY <a> <a> DB 0 REPLACE", same),
        ("GET <a>", "$1\r\nv\r\n"),
        ("PEXPIRETIME <a>", ":9000000000000\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn options_of_copy_are_refused_as_redis_refuses_them() {
    let (syntax, range) = ("-ERR syntax error\r\n", "-ERR DB index is out of range\r\n");
    let not_an_integer = "-ERR value is not an integer or out of range\r\n";
    converse(&[
        ("SET <a> v", OK),
        ("COPY <a> <b> DB 1", range),
        ("COPY <a> <b> DB 1 FOO", range),
        ("COPY <a> <b> DB -1", range),
        ("COPY <a> <b> DB", syntax),
        ("COPY <a> <b> FOO", syntax),
        ("COPY <a> <b> DB x", not_an_integer),
        ("COPY <a> <b> DB 99999999999999999999", not_an_integer),
        (
            "COPY <a> <b> DB 99999999999",
            "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n",
        ),
        ("COPY <a>", "-ERR wrong number of arguments for 'copy' command\r\n"),
        ("RENAME <a>", "-ERR wrong number of arguments for 'rename' command\r\n"),
        ("EXISTS <b>", NO),
    ])
    .await;
}

#[test]
fn keys_of_one_slot_are_moved_at_once_where_that_is_safe() {
    let mut single = Bench::single_node();
    for request in ["RENAME {s}a {s}b", "RENAMENX {s}a {s}b", "COPY {s}a {s}b", "COPY a a"] {
        assert_eq!(single.ask_for(request).1, Flow::Next, "{request}");
    }
    for request in ["RENAME a b", "RENAMENX a b", "COPY a b"] {
        assert!(matches!(single.ask_for(request).1, Flow::Await(_)), "{request}");
    }
    let mut replicated = Bench::three_nodes();
    for request in ["RENAME {s}a {s}b", "RENAMENX {s}a {s}b"] {
        assert!(matches!(replicated.ask_for(request).1, Flow::Await(_)), "{request}");
    }
}

#[test]
fn the_steps_are_hidden_from_clients() {
    let mut bench = Bench::single_node();
    for (step, name) in
        [("RHOLD k", "rhold"), ("RPLACE k v - -", "rplace"), ("RTAKE k v -", "rtake"), ("RSETTLE k 5", "rsettle")]
    {
        let answer = bench.ask(step);
        assert!(answer.starts_with(&format!("-NOPERM the '{name}' command is for nodes")), "{answer}");
        assert_eq!(bench.ask(&format!("COMMAND INFO {name}")), "*1\r\n$-1\r\n");
    }
}
