//! How the replies of a turn are put together: which outcomes belong to which, and where large values stand.

use std::time::Duration;

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
fn an_operation_with_the_only_reply_is_answered_by_itself() {
    let mut turn = Turn::default();
    put(&mut turn, Fold::Stored);
    assert!(turn.take_lone().is_some_and(|operation| !operation.is_read()));
    turn.answer_lone(&done());
    assert_eq!(turn.out, b"+OK\r\n");
    assert!(!turn.has_launched() && turn.take_lone().is_none(), "it is launched and answered once");

    turn.out.clear();
    ask(&mut turn);
    assert!(turn.take_lone().is_some_and(|operation| operation.is_read()));
    let failure = QuorumError::TooFewForRead { answers: 1, needed: 2, reason: None };
    turn.answer_lone(&Outcome::Failed(failure.clone()));
    let mut expected = Vec::new();
    reply::error(&mut expected, &failure.to_string());
    assert_eq!(turn.out, expected);

    // The first part of a command with more keys than a turn may launch: its count goes on in the next turn.
    turn.out.clear();
    ask(&mut turn);
    turn.notes[0].fold = Fold::Partial(PartialFold::Existing);
    assert!(turn.take_lone().is_some());
    turn.answer_lone(&found(Bytes::from_static(b"v")));
    assert!(turn.out.is_empty());
    ask(&mut turn);
    turn.notes[0].fold = Fold::Existing;
    assert!(turn.take_lone().is_some());
    turn.answer_lone(&found(Bytes::from_static(b"v")));
    assert_eq!(turn.out, b":2\r\n");
}

#[test]
fn a_read_behind_an_update_of_its_slot_asks_so_many_that_one_has_it() {
    let configured = Quorum { replicas: 3, write: 2, read: 1 };
    let mut turn = Turn::default();
    let reads = |turn: &Turn, millis| turn.quorum(configured, configured, UnixMs(millis)).read;
    ask(&mut turn);
    assert_eq!(reads(&turn, 5000), 1);
    turn.updated.add([Slot::FIRST], UnixMs(5000), Duration::from_secs(1));
    assert_eq!((reads(&turn, 5999), reads(&turn, 6000)), (2, 1));
    turn.take_operations();
    put(&mut turn, Fold::Stored);
    assert_eq!(reads(&turn, 5000), 1, "a write is none");
}

#[test]
fn an_operation_with_other_replies_around_is_not_answered_by_itself() {
    let others: [fn(&mut Turn); 4] = [
        |turn| reply::simple(&mut turn.out, "PONG"),
        |turn| turn.send_large(large(b'a')),
        ask,
        |turn| assert!(turn.read_own(Slot::FIRST, b"k", UnixMs(1))),
    ];
    for other in others {
        let mut turn = Turn::default();
        put(&mut turn, Fold::Stored);
        other(&mut turn);
        assert!(turn.take_lone().is_none() && turn.has_launched());
    }
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

/// A GET of `key`, which a write of this turn answers or not.
fn ask_own(turn: &mut Turn, key: &'static [u8]) -> bool {
    let is_answered = turn.read_own(Slot::FIRST, key, UnixMs(1000));
    if !is_answered {
        turn.read(Slot::FIRST, Bytes::from_static(key));
    }
    turn.note(1, Fold::Read(Reading::Value), Protocol::Resp2);
    is_answered
}

fn set(turn: &mut Turn, key: &'static [u8], value: &'static [u8], expires_at: Option<UnixMs>) {
    turn.write(Slot::FIRST, Bytes::from_static(key), Some(Bytes::from_static(value)), expires_at);
    turn.note(1, Fold::Stored, Protocol::Resp2);
}

/// The replies that these outcomes of the operations come to, and what had to be asked for besides.
fn replies(turn: &mut Turn, outcomes: Outcomes, asked: Outcomes) -> (String, usize) {
    turn.take_operations();
    let unanswered = turn.unanswered(&outcomes).len();
    let outcomes = turn.settle(outcomes, asked);
    turn.finish(outcomes, Vec::new());
    (String::from_utf8(std::mem::take(&mut turn.out)).unwrap(), unanswered)
}

fn done() -> Outcome {
    Outcome::Written(Before::default())
}

#[test]
fn a_read_behind_writes_of_its_key_finds_the_last_of_them() {
    let mut turn = Turn::default();
    set(&mut turn, b"k", b"1", None);
    assert!(ask_own(&mut turn, b"k"));
    assert!(!ask_own(&mut turn, b"other"), "of the same slot, but nobody has written it");
    set(&mut turn, b"k", b"2", None);
    set(&mut turn, b"short", b"3", Some(UnixMs(1000)));
    assert!(ask_own(&mut turn, b"k") && ask_own(&mut turn, b"k") && ask_own(&mut turn, b"short"));
    turn.write(Slot::FIRST, Bytes::from_static(b"k"), None, None);
    turn.note(1, Fold::Deleted, Protocol::Resp2);
    assert!(ask_own(&mut turn, b"k"));

    let outcomes = smallvec![done(), found(Bytes::from_static(b"0")), done(), done(), done()];
    let answers = replies(&mut turn, outcomes, Outcomes::new());

    let expected = "+OK\r\n$1\r\n1\r\n$1\r\n0\r\n+OK\r\n+OK\r\n$1\r\n2\r\n$1\r\n2\r\n$-1\r\n:0\r\n$-1\r\n";
    assert_eq!(answers, (expected.to_owned(), 0));
    assert!(!ask_own(&mut turn, b"k"), "the next turn has written nothing yet");
}

fn refused() -> Outcome {
    Outcome::Failed(QuorumError::TooFewForWrite { reachable: 1, needed: 2 })
}

#[test]
fn a_read_whose_write_failed_is_asked_for_once_for_all_who_read_it() {
    let mut turn = Turn::default();
    set(&mut turn, b"k", b"1", None);
    assert!(ask_own(&mut turn, b"k") && ask_own(&mut turn, b"k"));
    // Another key of the slot, and a later write that has failed for certain, change nothing.
    set(&mut turn, b"other", b"2", None);
    set(&mut turn, b"k", b"3", None);

    let answers = replies(&mut turn, smallvec![refused(), done(), refused()], smallvec![found("0".into())]);

    let failed = "-NOQUORUM 1 of 2 replicas reachable; nothing was written\r\n";
    assert_eq!(answers, (format!("{failed}$1\r\n0\r\n$1\r\n0\r\n+OK\r\n{failed}"), 1));
}

#[test]
fn a_read_whose_write_failed_fails_if_a_later_one_may_have_changed_the_key() {
    let unknown = Outcome::Failed(QuorumError::Indeterminate { acks: 1, needed: 2, reason: None });
    for later in [done(), unknown] {
        let mut turn = Turn::default();
        set(&mut turn, b"k", b"1", None);
        assert!(ask_own(&mut turn, b"k"));
        set(&mut turn, b"k", b"2", None);
        set(&mut turn, b"k", b"3", None);

        let (answers, asked) = replies(&mut turn, smallvec![refused(), refused(), later.clone()], Outcomes::new());

        assert_eq!(asked, 0, "{later:?}");
        assert_eq!(answers.matches("-NOQUORUM 1 of 2 replicas reachable; nothing was written").count(), 3, "{answers}");
    }
}

#[test]
fn of_writes_that_failed_only_so_many_are_asked_for_as_reads_may_be_launched() {
    let mut turn = Turn::default();
    let keys: Vec<&'static [u8]> = b"0123456789abcdefghijklmnopqrstuvwxyz".chunks(1).collect();
    for key in &keys {
        set(&mut turn, key, b"v", None);
    }
    assert!(keys.iter().all(|key| ask_own(&mut turn, key)));
    let reads_max = turn.pace.reads_max();

    let asked = (0..reads_max).map(|_| found("0".into())).collect();
    let (answers, asked) = replies(&mut turn, keys.iter().map(|_| refused()).collect(), asked);

    assert_eq!((asked, answers.matches("$1\r\n0\r\n").count()), (reads_max, reads_max));
    assert_eq!(answers.matches("-NOQUORUM").count(), 2 * keys.len() - reads_max);
}

#[test]
fn values_that_were_written_fill_a_turn_that_reads_them() {
    let mut turn = Turn::default();
    turn.write(Slot::FIRST, Bytes::from_static(b"k"), Some(vec![0; REPLY_BYTES_MAX].into()), None);
    turn.note(1, Fold::Stored, Protocol::Resp2);
    assert!(!turn.is_full());
    assert!(ask_own(&mut turn, b"k") && turn.is_full());
    assert_eq!(turn.room(), OPERATIONS_MAX - 2);
}
