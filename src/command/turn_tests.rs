//! Where large values stand among the replies of a turn.

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
