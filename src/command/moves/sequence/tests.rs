//! Moves step by step, with other clients and failures in between.

use std::collections::BTreeMap;

use proptest::prelude::*;
use smallvec::SmallVec;

use super::*;
use crate::coordinator::{Change, Held, Work};

const NOW: UnixMs = UnixMs(1000);

/// What all keys hold.
type World = BTreeMap<Bytes, Content>;

fn content(value: &str, expires_at: Option<u64>) -> Content {
    Content { value: Bytes::from(value.to_owned()), expires_at: expires_at.map(UnixMs) }
}

fn task(kind: Kind) -> Move {
    Move { kind, source: Bytes::from("source"), destination: Bytes::from("destination") }
}

/// A world in which the source holds this.
fn world(source: &Content) -> World {
    World::from([(Bytes::from("source"), source.clone())])
}

/// Carries an update out, as the coordinator does.
fn obey(world: &mut World, order: &UpdateOrder) -> Bytes {
    let mut out = Vec::new();
    let changes = {
        let as_held = |content: &'_ Content| -> (Bytes, Option<UnixMs>) { (content.value.clone(), content.expires_at) };
        let found: Vec<_> = order.keys.iter().map(|key| world.get(key).map(as_held)).collect();
        let held: Vec<_> = found
            .iter()
            .map(|found| found.as_ref().map(|(value, expires_at)| Held { value, expires_at: *expires_at }))
            .collect();
        let args: Vec<&[u8]> = order.args.iter().map(|word| &**word).collect();
        let protocol = order.protocol;
        let mut work = Work { args: &args, held: &held, now: NOW, protocol, changes: SmallVec::new(), out: &mut out };
        (order.rule)(&mut work);
        work.changes
    };
    for (position, change) in changes {
        let key = order.keys[position].clone();
        match change {
            Change::Put { value, expires_at } => drop(world.insert(key, Content { value, expires_at })),
            Change::Delete => drop(world.remove(&key)),
        }
    }
    out.into()
}

/// Carries a move out; before its `n`-th step, counted from 0, others do what `meanwhile` says.
fn run(kind: Kind, number: u64, world: &mut World, mut meanwhile: impl FnMut(usize, &mut World)) -> String {
    let (mut sequence, mut order) = Sequence::begin(task(kind), number);
    for step in 0..100 {
        meanwhile(step, world);
        match sequence.next(obey(world, &order)) {
            Step::Ask(next) => order = next,
            Step::Answer(answer) => return String::from_utf8(answer.to_vec()).unwrap(),
        }
    }
    panic!("a move has an end")
}

fn set(world: &mut World, key: &'static str, content: Content) {
    world.insert(Bytes::from(key), content);
}

#[test]
fn undisturbed_moves_end_with_the_true_expiry() {
    for expires_at in [None, Some(5000)] {
        let moved = content("v", expires_at);
        for kind in [Kind::Rename, Kind::RenameNx, Kind::Copy { replace: false }] {
            let mut world = world(&moved);
            let answer = run(kind, 77, &mut world, |_, _| {});
            assert_eq!(answer, if kind == Kind::Rename { "+OK\r\n" } else { ":1\r\n" });
            assert_eq!(world.get("destination".as_bytes()), Some(&moved));
            assert_eq!(world.contains_key("source".as_bytes()), matches!(kind, Kind::Copy { .. }));
        }
    }
}

#[test]
fn a_source_that_changes_before_it_is_deleted_is_moved_as_it_is_then() {
    for kind in [Kind::Rename, Kind::RenameNx] {
        let mut world = world(&content("old", None));
        run(kind, 1, &mut world, |step, world| {
            if step == 2 {
                set(world, "source", content("new", Some(9000)));
            }
        });
        assert_eq!(world, World::from([(Bytes::from("destination"), content("new", Some(9000)))]));
    }
}

#[test]
fn a_source_that_never_rests_keeps_its_name() {
    for kind in [Kind::Rename, Kind::RenameNx] {
        let mut world = world(&content("v", None));
        let answer = run(kind, 1, &mut world, |step, world| {
            set(world, "source", content(&step.to_string(), None));
        });
        assert!(answer.starts_with("-TRYAGAIN the key kept changing"), "{answer}");
        assert_eq!(world.keys().collect::<Vec<_>>(), ["source"]);
    }
}

#[test]
fn of_two_renames_of_one_key_one_is_done() {
    for steps_ahead in 0..4 {
        let mut world = world(&content("v", None));
        let (mut first, mut order) = Sequence::begin(task(Kind::Rename), 1);
        for _ in 0..steps_ahead {
            let Step::Ask(next) = first.next(obey(&mut world, &order)) else { panic!("it takes four steps") };
            order = next;
        }
        let second = run(Kind::Rename, 2, &mut world, |_, _| {});
        let first = loop {
            match first.next(obey(&mut world, &order)) {
                Step::Ask(next) => order = next,
                Step::Answer(answer) => break answer,
            }
        };
        let answers = [&*first, second.as_bytes()];
        assert_eq!(answers.iter().filter(|answer| **answer == b"+OK\r\n").count(), 1, "{answers:?}");
        assert!(answers.contains(&&b"-ERR no such key\r\n"[..]), "{answers:?}");
        assert_eq!(world, World::from([(Bytes::from("destination"), content("v", None))]));
    }
}

#[test]
fn a_source_that_is_deleted_in_between_leaves_nothing_under_the_new_name() {
    for kind in [Kind::Rename, Kind::RenameNx] {
        let mut world = world(&content("v", None));
        let answer = run(kind, 1, &mut world, |step, world| {
            if step == 2 {
                world.remove("source".as_bytes());
            }
        });
        assert_eq!((answer.as_str(), world.len()), ("-ERR no such key\r\n", 0));
    }
}

#[test]
fn what_others_write_to_the_destination_stays() {
    let theirs = content("theirs", None);
    for (kind, step) in
        [(Kind::RenameNx, 1), (Kind::Copy { replace: false }, 1), (Kind::Rename, 3), (Kind::RenameNx, 3)]
    {
        let mut world = world(&content("v", None));
        let answer = run(kind, 1, &mut world, |now, world| {
            if now == step {
                set(world, "destination", theirs.clone());
            }
        });
        assert_eq!(world.get("destination".as_bytes()), Some(&theirs), "{kind:?}");
        assert_eq!(answer == ":0\r\n", step == 1, "{kind:?}");
    }
}

#[test]
fn a_step_that_fails_ends_the_move_with_its_error() {
    for failing in 0..4 {
        let mut world = world(&content("v", None));
        let (mut sequence, mut order) = Sequence::begin(task(Kind::Rename), 1);
        for _ in 0..failing {
            let Step::Ask(next) = sequence.next(obey(&mut world, &order)) else { panic!("it takes four steps") };
            order = next;
        }
        let error = Bytes::from("-NOQUORUM 1 of 2 acks; reverted\r\n");
        let Step::Answer(answer) = sequence.next(error.clone()) else { panic!("it goes on after an error") };
        assert_eq!(answer, error);
        assert!(world.values().any(|content| content.value == "v"));
    }
}

#[test]
fn marks_end_no_sooner_than_what_they_stand_for() {
    for number in [0, 1, 4095, u64::MAX] {
        let sequence = Sequence::begin(task(Kind::Rename), number).0;
        for at in [1, 5000, i64::MAX.unsigned_abs()] {
            let mark = sequence.mark_for(&content("v", Some(at))).0;
            assert!((at..=at + 4096).contains(&mark) && i64::try_from(mark).is_ok());
        }
        assert!(sequence.mark_for(&content("v", None)).0 >= MARKS_FROM);
    }
}

proptest! {
    /// Several moves of one key, to one place or several, their steps in any order, some of which fail with or without
    /// effect: whatever happens the value is somewhere, and without failures in one place.
    #[test]
    fn a_value_is_never_lost(
        schedule in prop::collection::vec((0..3_usize, 0..20_u8), 0..40),
        kinds in prop::array::uniform3(prop_oneof![Just(Kind::Rename), Just(Kind::RenameNx)]),
        places in prop::array::uniform3(0..2_u8),
        fails: bool,
    ) {
        let mut world = world(&content("v", None));
        let mut moves: Vec<_> = (0..3_u8)
            .map(|number| {
                let at = usize::from(number);
                let destination = Bytes::from(format!("place {}", places[at]));
                let task = Move { destination, ..task(kinds[at]) };
                Some(Sequence::begin(task, u64::from(number)))
            })
            .collect();
        let rest = (0..120).map(|step| (step % 3, 9));
        let (mut done, mut failed) = (0, 0);
        for (at, chance) in schedule.into_iter().chain(rest) {
            let Some((mut sequence, order)) = moves[at].take() else { continue };
            let error = Bytes::from("-INDETERMINATE\r\n");
            let reply = match chance {
                0 if fails => error,
                1 if fails => {
                    obey(&mut world, &order);
                    error
                }
                _ => obey(&mut world, &order),
            };
            match sequence.next(reply) {
                Step::Ask(next) => moves[at] = Some((sequence, next)),
                Step::Answer(answer) if answer == "+OK\r\n" || answer == ":1\r\n" => done += 1,
                Step::Answer(answer) => failed += u8::from(answer.starts_with(b"-INDETERMINATE")),
            }
            prop_assert!(world.values().any(|content| content.value == "v"), "the value is lost");
        }
        prop_assert!(moves.iter().all(Option::is_none), "a move has an end");
        if failed == 0 {
            prop_assert_eq!(done, 1);
            prop_assert!(world.values().all(|held| *held == content("v", None)), "{world:?}");
            // Of two moves to one place and a third to another, one that wrote where the other had cannot know who was
            // first.
            let is_clear = places == [places[0]; 3] || kinds == [Kind::RenameNx; 3];
            prop_assert!(world.len() == 1 || !is_clear && world.len() == 2, "{world:?}");
        }
    }
}
