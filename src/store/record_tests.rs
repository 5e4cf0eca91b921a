//! Tests of [`Record`]: its parts, its block, and any story of one against a twin that keeps each part by itself.

use proptest::prelude::*;

use super::*;
use crate::ring::NodeIndex;
use crate::version::{Hlc, StartNumber};

fn version(hlc: u64) -> Version {
    Version::new(Hlc(hlc), NodeIndex(1), StartNumber::new(1))
}

/// Of the one run that finds a place in no table.
fn of_no_place(hlc: u64) -> Version {
    Version::new(Hlc(hlc), NodeIndex(u16::MAX), StartNumber::new(u64::MAX))
}

#[test]
fn a_record_gives_back_what_it_was_made_of() {
    for (key, value) in [(&b""[..], Some(&b""[..])), (b"k", Some(b"")), (b"", Some(b"v")), (b"key", None)] {
        let record = Record::decided(Content { key, value, expires_at: Some(UnixMs(5)) }, version(7));
        assert_eq!((record.key(), record.value()), (key, value));
        assert_eq!((record.version(), record.expires_at()), (version(7), value.map(|_| UnixMs(5))));
    }
}

#[test]
fn a_record_made_without_a_version_has_the_one_it_is_stamped_with() {
    let content = Content { key: b"k", value: Some(b"v"), expires_at: Some(UnixMs(5)) };
    for (stamp, is_open) in [(version(7), true), (of_no_place(7), true), (version(8), false), (of_no_place(8), false)] {
        let record = Record::unstamped(content, is_open).stamped(stamp);
        assert_eq!((record.key(), record.value(), record.version()), (&b"k"[..], Some(&b"v"[..]), stamp));
        assert_eq!(
            (record.expires_at(), record.is_born_open(), record.is_shown()),
            (Some(UnixMs(5)), is_open, !is_open)
        );
    }
}

#[test]
fn a_retired_block_becomes_the_next_record_of_its_size() {
    let content = |value| Content { key: b"k", value: Some(value), expires_at: None };
    let make = |value, hlc| Record::open(content(value), version(hlc));
    let first = make(b"one".as_slice(), 1);
    first.mark_shown();
    let (block, kept) = (first.address(), make(b"kept", 2));
    first.retire();
    kept.clone().retire();

    let second = make(b"two", 3);
    assert_eq!((second.address(), second.value(), second.version()), (block, Some(b"two".as_slice()), version(3)));
    assert!(!second.is_shown() && second.is_born_open(), "nothing is left of the first");
    assert_eq!(kept.value(), Some(b"kept".as_slice()), "what somebody holds is left alone");
    second.retire();
    assert_eq!(make(b"three", 4).value(), Some(b"three".as_slice()));
}

#[test]
fn a_tombstone_and_an_expired_record_are_not_live() {
    let content = Content { key: b"k", value: Some(b"v"), expires_at: Some(UnixMs(5)) };
    let record = Record::decided(content, version(1));
    assert!(record.is_live(UnixMs(4)));
    assert!(!record.is_live(UnixMs(5)));
    let tombstone = record.without_value(UnixMs(7));
    assert!(!tombstone.is_live(UnixMs(4)));
    assert_eq!((tombstone.version(), tombstone.expires_at()), (version(1), None));
    assert_eq!(tombstone.came_at(), UnixMs(7));
}

#[test]
fn an_expiry_at_the_epoch_is_long_past_and_not_never() {
    let record = Record::decided(Content { key: b"k", value: Some(b"v"), expires_at: Some(UnixMs(0)) }, version(1));
    assert!(!record.is_live(UnixMs(1)));
}

#[test]
fn a_large_value_is_shared_and_a_small_one_is_not() {
    let value = vec![7; LARGE_BYTES];
    let record = Record::decided(Content { key: b"k", value: Some(&value), expires_at: None }, version(1));
    let shared = record.large_value().unwrap();
    assert_eq!(shared.as_ptr(), record.value().unwrap().as_ptr());
    drop(record);
    assert_eq!(shared, value, "it outlives the record's place in the store");
    for value in [Some(&value[1..]), None] {
        let record = Record::decided(Content { key: b"k", value, expires_at: None }, version(1));
        assert!(record.large_value().is_none());
    }
}

#[test]
fn a_value_that_stays_apart_is_never_copied() {
    let (content, value) = (Content { key: b"k", value: None, expires_at: None }, Bytes::from(vec![7; LARGE_BYTES]));
    let record = Record::unstamped(content, true).with_value_apart(value.clone()).stamped(version(3));
    assert_eq!(record.value().unwrap().as_ptr(), value.as_ptr());
    assert_eq!(record.large_value().unwrap().as_ptr(), value.as_ptr());
    assert!(record.heap_bytes() > LARGE_BYTES, "it counts as the record's memory");
    let stamped = record.stamped(of_no_place(4));
    assert_eq!((stamped.value().unwrap().as_ptr(), stamped.version()), (value.as_ptr(), of_no_place(4)));
    stamped.retire();
    assert!(value.is_unique(), "nobody keeps it when the record is gone, nor does the block that is left");
}

#[test]
fn debug_output_holds_no_value() {
    let record = Record::open(Content { key: b"key", value: Some(b"secret"), expires_at: None }, version(1));
    assert!(!format!("{record:?}").contains("secret"));
}

#[test]
fn a_small_record_has_a_small_block() {
    assert_eq!((size_of::<Header>(), size_of::<Option<Record>>()), (16, 8));
    let block_bytes = |expires_at, version| {
        let record = Record::decided(Content { key: &[7; 16], value: Some(&[8; 64]), expires_at }, version);
        HEAD_BYTES + record.0.slice.len()
    };
    assert_eq!(block_bytes(None, version(1)), 112, "a size that allocators have");
    assert_eq!(block_bytes(Some(UnixMs(5)), version(1)), 120);
    assert_eq!(block_bytes(None, of_no_place(1)), 120);
    assert_eq!(block_bytes(Some(UnixMs(5)), of_no_place(1)), 128);
}

#[test]
fn what_a_record_counts_for_does_not_depend_on_the_runs_that_came_before() {
    let counted = |version| Record::decided(Content { key: b"k", value: Some(b"v"), expires_at: None }, version);
    assert_eq!(counted(version(1)).heap_bytes(), counted(of_no_place(1)).heap_bytes());
}

#[test]
fn a_run_without_a_place_outranks_and_is_outranked_as_any_other() {
    let content = Content { key: b"k", value: Some(b"v"), expires_at: Some(UnixMs(9)) };
    let record = Record::open(content, Version::default()).stamped(of_no_place(3));
    assert_eq!((record.version(), record.expires_at()), (of_no_place(3), Some(UnixMs(9))));
    assert!(record.is_born_open() && version(3) < record.version() && record.version() < version(4));
    let record = record.stamped(version(4));
    assert_eq!((record.version(), record.key(), record.value()), (version(4), &b"k"[..], Some(&b"v"[..])));
}

#[test]
fn a_record_is_overwritten_in_place_where_the_block_has_room_for_all() {
    let content = |value, expires_at| Content { key: b"k", value, expires_at };
    let (one, other, at) = (Some(&b"one"[..]), Some(&b"two"[..]), Some(UnixMs(5)));
    let is_overwritten = |before: Content<'_>, run: fn(u64) -> Version, after: Content<'_>, version| {
        let mut record = Record::decided(before, run(1));
        let done = record.overwrite(after, run(1), version);
        let expected = if done { (after, version) } else { (before, run(1)) };
        assert_eq!((record.value(), record.expires_at()), (expected.0.value, expected.0.expires_at));
        assert_eq!((record.key(), record.version()), (&b"k"[..], expected.1));
        done
    };
    assert!(is_overwritten(content(one, None), version, content(other, None), version(2)));
    assert!(is_overwritten(content(one, at), version, content(other, Some(UnixMs(6))), version(2)));
    assert!(is_overwritten(content(one, at), of_no_place, content(other, at), version(2)));
    assert!(is_overwritten(content(one, None), of_no_place, content(other, None), of_no_place(2)));
    assert!(!is_overwritten(content(one, None), version, content(other, at), version(2)), "an expiry appears");
    assert!(!is_overwritten(content(one, at), version, content(other, None), version(2)), "an expiry goes");
    assert!(!is_overwritten(content(one, None), version, content(other, None), of_no_place(2)), "no room for the run");
    assert!(!is_overwritten(content(one, None), version, content(Some(b"three"), None), version(2)), "another length");
    assert!(!is_overwritten(content(one, None), version, content(None, None), version(2)), "a tombstone");
}

/// What happens to a record.
#[derive(Clone, Debug)]
enum Step {
    Replace(Parts),
    ReplaceRetired(Parts),
    Overwrite(Parts),
    Stamp(Version),
    Expire(UnixMs),
    Show,
    Bury,
    Surface,
    Hold,
}

/// What a record is made of, each part by itself.
#[derive(Clone, PartialEq, Debug)]
struct Parts {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    expires_at: Option<UnixMs>,
    version: Version,
    is_open: bool,
    /// Whether the value, if there is one, stays where it is.
    is_apart: bool,
}

impl Parts {
    fn content(&self) -> Content<'_> {
        Content { key: &self.key, value: self.value.as_deref(), expires_at: self.expires_at }
    }

    fn made(&self) -> Record {
        let make = if self.is_open { Record::open } else { Record::decided };
        match &self.value {
            Some(value) if self.is_apart => {
                let record = make(Content { value: None, ..self.content() }, self.version);
                record.with_value_apart(Bytes::copy_from_slice(value))
            }
            _ => make(self.content(), self.version),
        }
    }

    fn assert_are_those_of(&self, record: &Record) {
        assert_eq!((record.key(), record.value(), record.version()), (&*self.key, self.value.as_deref(), self.version));
        let expires_at = self.expires_at.filter(|_| self.value.is_some());
        assert_eq!((record.expires_at(), record.came_at()), (expires_at, self.expires_at.unwrap_or_default()));
        assert_eq!((record.is_tombstone(), record.is_born_open()), (self.value.is_none(), self.is_open));
        let is_live = |now| self.value.is_some() && expires_at.is_none_or(|at| now < at);
        assert!([UnixMs(0), UnixMs(1), UnixMs(9)].into_iter().all(|now| record.is_live(now) == is_live(now)));
    }
}

fn versions() -> impl Strategy<Value = Version> {
    let runs = prop_oneof![Just(version as fn(u64) -> Version), Just(of_no_place as fn(u64) -> Version)];
    prop_oneof![1 => Just(Version::default()), 9 => (runs, 1..100_u64).prop_map(|(run, hlc)| run(hlc))]
}

fn expiries() -> impl Strategy<Value = UnixMs> {
    prop_oneof![Just(UnixMs(0)), Just(UnixMs(5)), any::<u64>().prop_map(UnixMs)]
}

fn parts() -> impl Strategy<Value = Parts> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..4);
    let content = (bytes(), prop::option::weighted(0.8, bytes()), prop::option::of(expiries()));
    let ways = (any::<bool>(), prop::bool::weighted(0.2));
    (content, versions(), ways).prop_map(|((key, value, expires_at), version, (is_open, is_apart))| Parts {
        key,
        value,
        expires_at,
        version,
        is_open,
        is_apart,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => parts().prop_map(Step::Replace),
        3 => parts().prop_map(Step::ReplaceRetired),
        4 => parts().prop_map(Step::Overwrite),
        2 => versions().prop_map(Step::Stamp),
        1 => expiries().prop_map(Step::Expire),
        1 => Just(Step::Show),
        1 => Just(Step::Bury),
        1 => Just(Step::Surface),
        1 => Just(Step::Hold),
    ]
}

proptest! {
    #[test]
    fn a_record_is_what_its_parts_are_whatever_happens_to_it(first in parts(), steps in prop::collection::vec(step(), 1..40)) {
        let (mut record, mut twin) = (first.made(), first);
        let (mut is_shown, mut is_buried) = (!twin.is_open, false);
        let mut held: Vec<(Record, Parts)> = Vec::new();
        for step in steps {
            match step {
                Step::Replace(parts) => {
                    (record, is_shown, is_buried) = (parts.made(), !parts.is_open, false);
                    twin = parts;
                }
                Step::ReplaceRetired(parts) => {
                    record.retire();
                    (record, is_shown, is_buried) = (parts.made(), !parts.is_open, false);
                    twin = parts;
                }
                Step::Overwrite(mut parts) => {
                    parts.key.clone_from(&twin.key);
                    (parts.is_open, parts.is_apart) = (twin.is_open, false);
                    let is_held = held.iter().any(|(held, _)| held.address() == record.address());
                    let lengths = [&twin, &parts].map(|parts| parts.value.as_ref().map(Vec::len));
                    let fits = lengths[0].is_some() && lengths[0] == lengths[1]
                        && twin.expires_at.is_some() == parts.expires_at.is_some();
                    let has_room = record.lead().run == IN_BLOCK || parts.version.run() != of_no_place(1).run();
                    let done = record.overwrite(parts.content(), twin.version, parts.version);
                    prop_assert_eq!(done, fits && has_room && !is_held && !twin.is_apart);
                    if done {
                        twin = parts;
                    }
                }
                Step::Stamp(version) if held.iter().all(|(held, _)| held.address() != record.address()) => {
                    (record, twin.version) = (record.stamped(version), version);
                }
                Step::Stamp(_) => {}
                Step::Expire(now) => {
                    record = record.without_value(now);
                    (twin.value, twin.expires_at) = (None, Some(now));
                }
                Step::Show => {
                    record.mark_shown();
                    is_shown = true;
                }
                Step::Bury => {
                    record.mark_buried();
                    is_buried = true;
                }
                Step::Surface => {
                    record.mark_surfaced();
                    is_buried = false;
                }
                Step::Hold => held.push((record.clone(), twin.clone())),
            }
            twin.assert_are_those_of(&record);
            prop_assert_eq!((record.is_shown(), record.is_buried()), (is_shown, is_buried));
            for (record, parts) in &held {
                parts.assert_are_those_of(record);
            }
        }
    }
}
