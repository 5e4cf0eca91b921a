//! Large values are stored and sent without a copy, by clients' commands and by peers'.

use super::testing::{Bench, NOW, request};
use super::{Flow, Turn};
use crate::codec::{LARGE_BULK_BYTES, Requests};
use crate::ring::{NodeIndex, Slot};

fn array(words: &[&str]) -> Requests {
    let bulks: Vec<String> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    request(format!("*{}\r\n{}", words.len(), bulks.concat()).trim_end())
}

/// Where the value of a key lies.
fn place_of(bench: &Bench, key: &str) -> Option<*const u8> {
    let (slot, store) = (Slot::of_key(key.as_bytes()), &bench.server.store.replica.store);
    store.read(slot, key.as_bytes(), NOW, |lookup| Some(lookup.live()?.value()?.as_ptr()))
}

#[test]
fn a_clients_large_value_is_kept_where_it_was_received_and_sent_from_there() {
    let (mut bench, mut turn) = (Bench::single_node(), Turn::default());
    let (large, small) = ("v".repeat(LARGE_BULK_BYTES), "v".repeat(LARGE_BULK_BYTES - 1));
    for (words, value) in [
        (vec!["SET", "k", &large], 2),
        (vec!["SET", "k", &large, "EX", "10"], 2),
        (vec!["SETEX", "k", "10", &large], 3),
    ] {
        let requests = array(&words);
        assert_eq!(bench.dispatch_first(&requests, &mut turn), Flow::Next);
        let received = requests.first().arg(value).as_ptr();
        assert_eq!(place_of(&bench, "k"), Some(received), "{}", words[0]);
        drop(requests);
        assert_eq!(bench.dispatch_first(&array(&["GET", "k"]), &mut turn), Flow::Next);
        let sent = turn.take_large();
        assert_eq!((sent.len(), sent[0].value.as_ptr(), sent[0].value.len()), (1, received, large.len()));
    }
    let requests = array(&["SET", "k", &small]);
    assert_eq!(bench.dispatch_first(&requests, &mut turn), Flow::Next);
    assert_ne!(place_of(&bench, "k"), Some(requests.first().arg(2).as_ptr()), "it is copied");
}

#[test]
fn a_large_value_that_came_with_much_else_is_copied() {
    let (mut bench, mut turn, large) = (Bench::single_node(), Turn::default(), "v".repeat(LARGE_BULK_BYTES));
    let requests = array(&["MSET", "one", &large, "other", &large]);
    assert_eq!(bench.dispatch_first(&requests, &mut turn), Flow::Next);
    for (key, argument) in [("one", 2), ("other", 4)] {
        let place = place_of(&bench, key);
        assert!(place.is_some() && place != Some(requests.first().arg(argument).as_ptr()), "{key}");
    }
}

#[test]
fn a_peers_large_value_is_kept_where_it_was_received_and_sent_from_there() {
    let (mut bench, mut turn, large) = (Bench::single_node(), Turn::default(), "v".repeat(LARGE_BULK_BYTES));
    bench.state.peer = Some(NodeIndex(0));
    let version = "0000000000000001-0000-000000000001";
    let requests = array(&["RSET", "k", &large, version]);
    assert_eq!(bench.dispatch_first(&requests, &mut turn), Flow::Next);
    assert_eq!(bench.dispatch_first(&array(&["RGET", "k"]), &mut turn), Flow::Next);
    let (sent, received) = (turn.take_large(), requests.first().arg(2).as_ptr());
    assert_eq!((place_of(&bench, "k"), sent[0].value.as_ptr()), (Some(received), received));
    let (head, tail) = turn.out.split_at(sent[0].at);
    let expected = format!("+OK\r\n*3\r\n$34\r\n{version}\r\n$1\r\n-\r\n${LARGE_BULK_BYTES}\r\n");
    assert_eq!((String::from_utf8_lossy(head).into_owned(), tail), (expected, &b"\r\n"[..]));
}
