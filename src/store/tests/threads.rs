//! Several threads at once: locks and counters hold, and a revert that is confirmed is never contradicted.

use std::cell::Cell;
use std::thread;

use super::*;

const KEYS: u64 = 8;
const ROUNDS: u64 = 3000;

#[test]
fn what_is_confirmed_as_reverted_was_never_read_by_any_thread() {
    let bench = &Bench::new();
    let reverted_and_read = thread::scope(|scope| {
        let writers: Vec<_> = (0..3).map(|node| scope.spawn(move || write_and_revert(bench, node))).collect();
        let reader = scope.spawn(|| read_all(bench));
        let reverted: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        (reverted, reader.join().unwrap())
    });
    let (reverted, read) = reverted_and_read;
    assert!(reverted.iter().all(|version| !read.contains(version)));
    bench.store.sweep(UnixMs(LATER.0 + ROUNDS));
    let counts = bench.store.counts();
    assert_eq!((counts.open_records, counts.open_bytes), (0, 0));
    assert_eq!((counts.keys, counts.records), (counts.live_keys, counts.live_keys));
}

fn write_and_revert(bench: &Bench, node: u16) -> Vec<Version> {
    let (mut reverted, last) = (Vec::new(), Cell::new(0));
    for round in 0..ROUNDS {
        let key = [b'a' + u8::try_from((round + u64::from(node)) % KEYS).unwrap()];
        // Like any clock it never shows a time twice, also when what it was above has been taken back.
        let clock = |shown: Version| {
            last.set(shown.hlc().0.max(last.get()) + 1);
            of_node(last.get(), node)
        };
        let (version, _) = bench.store.write_next(bench.slot, &key, Some(b"v"), None, NOW, clock);
        if round % 3 == 0 && bench.store.revert(bench.slot, &key, version, NOW) == Reverted::Confirmed {
            reverted.push(version);
        }
        if round % 100 == 0 {
            bench.store.sweep(NOW);
        }
    }
    reverted
}

fn read_all(bench: &Bench) -> std::collections::HashSet<Version> {
    let mut read = std::collections::HashSet::new();
    for round in 0..ROUNDS {
        let key = [b'a' + u8::try_from(round % KEYS).unwrap()];
        read.extend(bench.store.read(bench.slot, &key, NOW, |found| found.live().map(Record::version)));
    }
    read
}
