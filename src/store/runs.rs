//! Which run of which node wrote a record, in two bytes.
//!
//! A version names its writer's run (node and start number) in eight bytes, and these are the same in millions of records: a
//! process meets its own run, one per peer, and another one whenever a peer starts anew. So each run has a place in one table
//! of the process, and a record holds the number of that place.
//!
//! The table neither grows nor gives a place to another run, for records may point there as long as the process lives.
//! A run that finds its places taken, because thousands have come before it, stands in its records themselves
//! (`record.rs`), which are eight bytes larger and otherwise the same. More than that a peer cannot do by making up runs.
//!
//! A place is written once, and whoever reads it got its number from a record that was made later. So there is no lock and
//! no order to keep, and looking a run up is one load.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many runs have a place: 16 KB of them.
const PLACES: u16 = 1 << 11;
/// In how many places a run may stand. Fewer would fill up while most of the table is free.
const CHOICES: u16 = 8;
/// Nobody's place. Node 65535 had to start in the year 10889 to be this run; it finds no place.
const FREE: u64 = u64::MAX;

/// The runs that this process has met.
pub(super) static RUNS: Runs = Runs::new();

/// Runs, each at a place of its own.
pub(super) struct Runs {
    places: [AtomicU64; PLACES as usize],
}

impl Runs {
    const fn new() -> Self {
        Self { places: [const { AtomicU64::new(FREE) }; PLACES as usize] }
    }

    /// The place of `run`, which it has from now on; `None` if there is none for it.
    #[inline]
    pub(super) fn place_of(&self, run: u64) -> Option<u16> {
        let first = first_choice(run);
        if self.at(first) == Some(run) && run != FREE { Some(first) } else { self.find_or_take(run, first) }
    }

    /// The run at `place`; `None` if the table has no such place.
    #[inline]
    pub(super) fn at(&self, place: u16) -> Option<u64> {
        self.places.get(usize::from(place)).map(|run| run.load(Ordering::Relaxed))
    }

    #[cold]
    fn find_or_take(&self, run: u64, first: u16) -> Option<u16> {
        let mut choices = (0..CHOICES).map(|step| (first + step) % PLACES).filter(|_| run != FREE);
        choices.find(|&place| match self.at(place) {
            Some(FREE) => self.take(place, run),
            taken => taken == Some(run),
        })
    }

    /// Puts `run` into a free place, unless another thread was there first with another run.
    fn take(&self, place: u16, run: u64) -> bool {
        let taken = self.places[usize::from(place)].compare_exchange(FREE, run, Ordering::Relaxed, Ordering::Relaxed);
        taken.is_ok() || taken == Err(run)
    }
}

/// Where a run goes if it can. Start numbers are times and nodes are few, so all bits have to take part.
fn first_choice(run: u64) -> u16 {
    let [high, low, ..] = run.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
    u16::from_be_bytes([high, low]) % PLACES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::thread;

    use super::*;

    /// Runs as they come: some nodes, each started now and then.
    fn run(number: u64) -> u64 {
        (number % 9) << 48 | (1_800_000_000_000 + number * 3_600_000)
    }

    #[test]
    fn a_run_keeps_its_place_and_shares_it_with_nobody() {
        let runs = Runs::new();
        let all: Vec<u64> = [0, 1, FREE - 1].into_iter().chain((0..300).map(run)).collect();
        let places: Vec<u16> = all.iter().map(|&run| runs.place_of(run).expect("most of the table is free")).collect();
        for (&run, &place) in all.iter().zip(&places) {
            assert_eq!((runs.at(place), runs.place_of(run)), (Some(run), Some(place)));
        }
        assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn a_full_table_refuses_new_runs_and_keeps_the_old_ones() {
        let runs = Runs::new();
        let of_first: Vec<_> = (0..100_000).map(|number| (run(number), runs.place_of(run(number)))).collect();
        assert!(runs.places.iter().all(|place| place.load(Ordering::Relaxed) != FREE));
        assert_eq!(of_first.iter().filter(|(_, place)| place.is_some()).count(), usize::from(PLACES));
        assert!((100_000..101_000).all(|number| runs.place_of(run(number)).is_none()));
        assert!(of_first.iter().all(|&(run, place)| runs.place_of(run) == place));
    }

    #[test]
    fn the_mark_of_a_free_place_is_no_run() {
        let runs = Runs::new();
        assert_eq!(runs.place_of(FREE), None);
        assert_eq!((runs.at(PLACES), runs.at(u16::MAX)), (None, None));
    }

    #[test]
    fn threads_that_bring_the_same_runs_agree_on_their_places() {
        let runs = Runs::new();
        let all = |from: u64| (0..300).map(|number| runs.place_of(run((from + number) % 300))).collect::<Vec<_>>();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || all(thread * 75))).collect();
            for (from, found) in threads.into_iter().enumerate() {
                let found = found.join().unwrap();
                for (number, place) in found.into_iter().enumerate() {
                    let run = run((from as u64 * 75 + number as u64) % 300);
                    assert_eq!((place, runs.at(place.unwrap())), (runs.place_of(run), Some(run)));
                }
            }
        });
    }
}
