//! How the replies of a turn are put together: which outcomes belong to which, and where large values stand.

use smallvec::smallvec;

use super::*;
use crate::version::Version;

fn large(byte: u8) -> Bytes {
    vec![byte; LARGE_BYTES].into()
}

/// What the client reads.
fn sent(turn: &mut Turn) -> Vec<u8> {
    let (mut sent, mut from) = (Vec::new(), 0);
    for LargeValue { at, value } in turn.take_large() {
        sent.extend_from_slice(&turn.out[from..at]);
        sent.extend_from_slice(&value);
        from = at;
    }
    sent.extend_from_slice(&turn.out[from..]);
    sent
}

fn ask(turn: &mut Turn) {
    turn.read(Slot::FIRST, Bytes::from_static(b"k"));
    turn.note(1, Fold::Read(Reading::Value), Protocol::Resp2);
}

fn found(value: Bytes) -> Outcome {
    Outcome::Read(Some(Found { version: Version::default(), expires_at: None, value: Some(value) }))
}

fn put(turn: &mut Turn, fold: Fold) {
    turn.write(Slot::FIRST, Bytes::from_static(b"k"), Some(Bytes::from_static(b"v")), None);
    turn.note(1, fold, Protocol::Resp2);
}

#[test]
fn each_reply_has_its_own_outcomes_whatever_became_of_those_before() {
    let mut turn = Turn::default();
    // The last part of an MSET whose first part failed, and a SET.
    put(&mut turn, Fold::Partial(PartialFold::Stored));
    put(&mut turn, Fold::Stored);
    put(&mut turn, Fold::Stored);
    // An MGET of which the first of two fails, and a GET.
    let (at, first) = (turn.out.len(), turn.notes());
    ask(&mut turn);
    ask(&mut turn);
    turn.note_whole(at, first, Protocol::Resp2);
    ask(&mut turn);
    let failure = |answers| QuorumError::TooFewForRead { answers, needed: 3, reason: None };
    let done = || Outcome::Written(Before::default());
    let unread = found(Bytes::from_static(b"unread"));

    turn.finish(
        smallvec![
            Outcome::Failed(failure(1)),
            done(),
            done(),
            Outcome::Failed(failure(2)),
            unread,
            found(Bytes::from_static(b"read"))
        ],
        Vec::new(),
    );

    let mut expected = Vec::new();
    reply::error(&mut expected, &failure(1).to_string());
    reply::ok(&mut expected);
    reply::error(&mut expected, &failure(2).to_string());
    reply::bulk(&mut expected, b"read");
    assert_eq!(String::from_utf8_lossy(&turn.out), String::from_utf8_lossy(&expected));
}

#[test]
fn large_values_of_here_and_elsewhere_are_sent_in_the_order_of_their_requests() {
    let mut turn = Turn::default();
    ask(&mut turn);
    turn.send_large(large(b'a'));
    reply::simple(&mut turn.out, "OK");
    ask(&mut turn);
    ask(&mut turn);
    turn.send_large(large(b'b'));

    turn.finish(smallvec![found(large(b'c')), found(Bytes::from_static(b"small")), found(large(b'd'))], Vec::new());

    let mut expected = Vec::new();
    reply::bulk(&mut expected, &large(b'c'));
    reply::bulk(&mut expected, &large(b'a'));
    reply::simple(&mut expected, "OK");
    reply::bulk(&mut expected, b"small");
    reply::bulk(&mut expected, &large(b'd'));
    reply::bulk(&mut expected, &large(b'b'));
    assert!(sent(&mut turn) == expected);
    assert!(turn.take_large().is_empty(), "they are sent once");
}

#[test]
fn a_failure_takes_the_large_values_of_its_command_with_it() {
    let mut turn = Turn::default();
    turn.send_large(large(b'a'));
    let (at, first) = (turn.out.len(), turn.notes());
    turn.send_large(large(b'b'));
    ask(&mut turn);
    turn.note_whole(at, first, Protocol::Resp2);
    turn.send_large(large(b'c'));
    let failure = QuorumError::TooFewForRead { answers: 1, needed: 2, reason: None };
    let mut expected = Vec::new();
    reply::bulk(&mut expected, &large(b'a'));
    reply::error(&mut expected, &failure.to_string());
    reply::bulk(&mut expected, &large(b'c'));

    turn.finish(smallvec![Outcome::Failed(failure)], Vec::new());

    assert!(sent(&mut turn) == expected);
}

#[test]
fn large_values_fill_a_turn_as_others_do() {
    let mut turn = Turn::default();
    turn.send_large(vec![0; REPLY_BYTES_MAX].into());
    assert!(turn.is_full());
    turn.take_large();
    assert!(!turn.is_full());
}
