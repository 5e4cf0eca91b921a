//! The store against a twin that is slow and obviously right: it remembers all that ever happened to each version and
//! frees nothing. Where the store may have forgotten, two answers are right; everywhere else just one is.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const KEYS: [&str; 2] = ["a", "b"];
const NODES: u16 = 3;

/// What happened to one version.
#[derive(Clone, Default, Debug)]
struct Past {
    key: usize,
    /// When it was accepted as a fresh write.
    accepted_at: Option<UnixMs>,
    copied: bool,
    newest_once: bool,
    shown: bool,
    void_until: Option<UnixMs>,
}

struct Twin {
    bench: Bench,
    now: UnixMs,
    past: BTreeMap<Version, Past>,
    flush_mark: Version,
    /// Run and lowest open time per node.
    marks: [(u64, u64); NODES as usize],
    /// Marks that passed enough to be worth a visit, and those among them that had to close it.
    visits: usize,
    closings: usize,
}

/// One step of a story. A version is named by time and node; its key and content follow from those.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write(u64, u16),
    WriteNext(usize, u16),
    /// As many writes of one node as are worth a visit and so many more, and a mark that passes all but so many of them.
    Burst(u16, usize, usize),
    Copy(u64, u16),
    Revert(u64, u16),
    RevertShown(usize),
    Read(usize),
    Mark(u16, u64),
    NewRun(u16),
    Flush(u64),
    Wait(u64),
    Sweep,
    Compare,
}

fn step() -> impl Strategy<Value = Step> {
    let (hlc, node, key) = (1..14_u64, 0..NODES, 0..KEYS.len());
    prop_oneof![
        24 => (hlc.clone(), node.clone()).prop_map(|(hlc, node)| Step::Write(hlc, node)),
        6 => (key.clone(), node.clone()).prop_map(|(key, node)| Step::WriteNext(key, node)),
        1 => (node.clone(), 0..8_usize, 1..8_usize).prop_map(|(node, more, left)| Step::Burst(node, more, left)),
        10 => (hlc.clone(), node.clone()).prop_map(|(hlc, node)| Step::Copy(hlc, node)),
        12 => (hlc.clone(), node.clone()).prop_map(|(hlc, node)| Step::Revert(hlc, node)),
        8 => key.clone().prop_map(Step::RevertShown),
        6 => key.prop_map(Step::Read),
        4 => (node.clone(), hlc.clone()).prop_map(|(node, hlc)| Step::Mark(node, hlc)),
        2 => node.prop_map(Step::NewRun),
        2 => (1..8_u64).prop_map(Step::Flush),
        4 => (1..OPEN_TTL_MS).prop_map(Step::Wait),
        2 => Just(Step::Sweep),
        2 => Just(Step::Compare),
    ]
}

fn is_delete(version: Version) -> bool {
    version.hlc().0.is_multiple_of(4)
}

fn expires_at(version: Version) -> Option<UnixMs> {
    version.hlc().0.is_multiple_of(5).then_some(UnixMs(NOW.0 + 700))
}

impl Twin {
    fn new() -> Self {
        let (past, flush_mark) = (BTreeMap::new(), Version::default());
        Self {
            bench: Bench::new(),
            now: NOW,
            past,
            flush_mark,
            marks: [(0, 0); NODES as usize],
            visits: 0,
            closings: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Write(hlc, node) => self.write(of_node(hlc, node)),
            Step::WriteNext(key, node) => drop(self.write_next(key, node)),
            Step::Burst(node, more, left) => self.burst(node, more, left),
            Step::Copy(hlc, node) => self.copy(of_node(hlc, node)),
            Step::Revert(hlc, node) => self.revert(of_node(hlc, node)),
            Step::RevertShown(key) => {
                let shown = self.shown(key);
                self.revert(shown);
            }
            Step::Read(key) => self.read(key),
            Step::Mark(node, lowest_open) => self.mark(node, START, lowest_open),
            Step::NewRun(node) => self.mark(node, START + 1, 0),
            Step::Flush(hlc) => {
                self.flush_mark = self.flush_mark.max(v(hlc));
                drop(self.bench.store.flush(v(hlc)));
            }
            Step::Wait(ms) => self.now.0 += ms,
            Step::Sweep => {
                self.bench.store.sweep(self.now);
                let _ = self.bench.store.sweep_expired(self.bench.slot, 100, self.now);
            }
            Step::Compare => self.compare(),
        }
        self.assert_that_sums_follow(step);
        for (index, key) in KEYS.iter().enumerate() {
            let shown = self.shown(index);
            let shown = (shown > self.flush_mark).then_some(shown);
            assert_eq!(self.bench.shown(key), shown, "after {step:?}");
        }
    }

    fn write(&mut self, version: Version) {
        let (key, before) = (self.key_of(version), self.past_of(version));
        let newest = self.shown(key);
        let prior = Prior { version: newest, live: self.is_live(newest) };
        let value = (!is_delete(version)).then_some(&b"v"[..]);
        let written = self.bench.store.write(
            self.bench.slot,
            KEYS[key].as_bytes(),
            value,
            expires_at(version),
            version,
            self.now,
        );
        if version <= self.flush_mark {
            let is_repeated = before.newest_once && matches!(written, Written::Applied { .. });
            assert!(is_repeated || written == Written::Stale(newest), "flushed: {written:?}");
        } else if before.void_until.is_some_and(|until| self.now < until) {
            assert_eq!(written, Written::Void);
        } else if self.is_held(version) && before.newest_once && written != Written::Stale(newest) {
            assert!(matches!(written, Written::Applied { .. }), "repeated: {written:?}");
            // If it is a delete, what it says of the one below makes that shown: but which that was may be forgotten.
            self.mark_shown_as_the_store_did(version);
        } else if !self.is_held(version) && version > newest {
            assert_eq!(written, Written::Applied { prior });
            self.accept(version, newest);
        } else {
            assert!(
                !before.newest_once || !self.is_held(version) || self.may_be_forgotten(version),
                "forgot {version}"
            );
            assert_eq!(written, Written::Stale(newest));
            // It must not show later, so this one has to stay.
            if let Some(newest) = self.past.get_mut(&newest) {
                newest.shown = true;
            }
        }
    }

    fn write_next(&mut self, key: usize, node: u16) -> Version {
        let (newest, past) = (self.shown(key), &self.past);
        let draw = |shown: Version| {
            let unused = |hlc: &u64| !past.contains_key(&of_node(*hlc, node)) && !hlc.is_multiple_of(4);
            let version = of_node((shown.hlc().0.max(20) + 1..1000).find(unused).unwrap(), node);
            assert_eq!(shown, newest);
            version
        };
        let (slot, bytes) = (self.bench.slot, KEYS[key].as_bytes());
        let (version, prior) = self.bench.store.write_next(slot, bytes, Some(b"v"), None, self.now, draw);
        assert_eq!(prior, Prior { version: newest, live: self.is_live(newest) });
        self.past.insert(version, Past { key, ..Past::default() });
        self.accept(version, newest);
        version
    }

    /// A mark that passes so many open writes closes them itself, unless one of another node is open before them; nothing may
    /// show the difference but the memory.
    fn burst(&mut self, node: u16, more: usize, left: usize) {
        let is_clear = self.bench.store.slots[self.bench.slot.as_usize()].lock().pending.open_records() == 0;
        let mut written: Vec<Version> =
            (0..VISITED_MIN + more).map(|number| self.write_next(number % KEYS.len(), node)).collect();
        written.sort();
        written.retain(|&version| !self.is_passed(version));
        let Some(&lowest_open) = written.get(written.len().saturating_sub(left)) else { return };
        let open_bytes = |twin: &Self| twin.bench.store.open_bytes.load(Ordering::Relaxed);
        let before = open_bytes(self);
        self.mark(node, START, lowest_open.hlc().0);
        if written.iter().filter(|&&version| self.is_passed(version)).count() >= VISITED_MIN {
            self.visits += 1;
            self.closings += usize::from(is_clear);
            assert!(!is_clear || open_bytes(self) < before, "a mark closes what it passes");
        }
    }

    fn accept(&mut self, version: Version, covered: Version) {
        if is_delete(version)
            && let Some(covered) = self.past.get_mut(&covered)
        {
            covered.shown = true;
        }
        let key = self.key_of(version);
        let fresh = Past { key, accepted_at: Some(self.now), newest_once: true, ..Past::default() };
        self.past.insert(version, fresh);
    }

    fn copy(&mut self, version: Version) {
        let key = self.key_of(version);
        let (newest, was_held) = (self.shown(key), self.is_held(version));
        let value = (!is_delete(version)).then_some(&b"v"[..]);
        let copied =
            self.bench.store.copy(self.bench.slot, KEYS[key].as_bytes(), value, expires_at(version), version, self.now);
        let is_outranked = self.newest_decided(key) > version;
        let may_be_forgotten = self.may_be_forgotten(version);
        let past = self.past.entry(version).or_default();
        past.void_until = None;
        if version <= self.flush_mark {
            let is_the_mark = version == self.flush_mark && version == newest;
            assert_eq!(copied, if is_the_mark { Copied::Newest } else { Copied::Older(self.flush_mark) });
        } else if was_held {
            let expected = if past.newest_once { Copied::Newest } else { Copied::Older(newest) };
            assert!(copied == expected || may_be_forgotten && copied == Copied::Older(newest), "{copied:?}");
            past.copied = true;
        } else if version > newest {
            assert_eq!(copied, Copied::Newest);
            (past.copied, past.newest_once, past.key) = (true, true, key);
        } else {
            assert_eq!(copied, Copied::Older(newest));
            (past.copied, past.newest_once, past.key) = (!is_outranked, false, key);
        }
    }

    fn revert(&mut self, version: Version) {
        let (key, before) = (self.key_of(version), self.past_of(version));
        let (is_held, is_decided) = (self.is_held(version), self.is_decided(version));
        let outcome = self.bench.store.revert(self.bench.slot, KEYS[key].as_bytes(), version, self.now);
        let confirmed = outcome == Reverted::Confirmed;
        if version <= self.flush_mark || is_held && (is_decided || before.shown) {
            assert!(!confirmed, "{version} is here to stay: {before:?}");
        } else if is_held || before.void_until.is_some_and(|until| self.now < until) {
            assert!(confirmed, "{version} can be taken back: {before:?}");
        } else if self.newest_decided(key) < version {
            assert_eq!(confirmed, !self.is_passed(version), "{version} never came: {before:?}");
        }
        if confirmed {
            let void_until = Some(UnixMs(self.now.0 + OPEN_TTL_MS));
            self.past.insert(version, Past { key, void_until, ..Past::default() });
            let surfaced = self.shown(key);
            if let Some(surfaced) = self.past.get_mut(&surfaced) {
                surfaced.newest_once = true;
            }
        }
    }

    fn read(&mut self, key: usize) {
        let shown = self.shown(key);
        let is_live = self.is_live(shown);
        self.bench.store.read(self.bench.slot, KEYS[key].as_bytes(), self.now, |found| {
            assert_eq!(found.version().unwrap_or_default(), shown);
            assert_eq!(found.live().is_some(), is_live);
        });
        if let Some(past) = self.past.get_mut(&shown) {
            past.shown = true;
        }
    }

    /// The digest tells what is live, and whether anything may still be taken back.
    fn compare(&self) {
        let live = (0..KEYS.len()).map(|key| self.shown(key)).filter(|&version| self.is_live(version));
        let sum = live.fold(0_u64, |sum, version| sum.wrapping_add(version.mixed()));
        let digest = self.bench.store.digest(self.bench.slot, self.now);
        assert_eq!(digest.sum, sum);
        let is_open = self.past.keys().any(|&version| self.is_held(version) && !self.is_decided(version));
        let is_void = self.past.values().any(|past| past.void_until.is_some_and(|until| self.now < until));
        assert!(digest.is_busy || !is_open && (!is_void || self.flush_mark > Version::default()));
    }

    /// What is kept up to date is what counting anew comes to.
    fn assert_that_sums_follow(&self, step: Step) {
        let table = self.bench.store.slots[self.bench.slot.as_usize()].lock();
        let with_value = || table.records.iter().filter(|record| !record.is_tombstone());
        let sum = with_value().fold(0_u64, |sum, record| sum.wrapping_add(record.version().mixed()));
        assert_eq!((table.tally.live as usize, table.tally.digest), (with_value().count(), sum), "after {step:?}");
        assert!(with_value().filter_map(Record::expires_at).all(|at| table.tally.is_due(at)), "after {step:?}");
    }

    fn mark(&mut self, node: u16, start: u64, lowest_open: u64) {
        let mark = &mut self.marks[usize::from(node)];
        *mark = (*mark).max((start, lowest_open));
        self.bench.store.advance_watermark(NodeIndex(node), StartNumber::new(start), Hlc(lowest_open), self.now);
    }

    /// A repeated delete marks what it covered as shown if that is still known; ask the store, by the record's flag.
    fn mark_shown_as_the_store_did(&mut self, version: Version) {
        let key = self.key_of(version);
        let table = self.bench.store.slots[self.bench.slot.as_usize()].lock();
        for (&other, past) in self.past.range_mut(..version).filter(|(_, past)| past.key == key) {
            let covered = table.pending.covered(KEYS[key].as_bytes(), other);
            past.shown |= is_delete(version) && covered.is_some_and(Record::is_shown);
        }
    }

    fn past_of(&self, version: Version) -> Past {
        self.past.get(&version).cloned().unwrap_or_default()
    }

    fn key_of(&self, version: Version) -> usize {
        let drawn = self.past.get(&version).filter(|_| version.hlc().0 > 20).map(|past| past.key);
        drawn.unwrap_or(usize::from(version.hlc().0 & 2 != 0))
    }

    fn is_held(&self, version: Version) -> bool {
        let is_here = |past: &Past| past.accepted_at.is_some() || past.copied;
        version > self.flush_mark && self.past.get(&version).is_some_and(is_here)
    }

    fn is_passed(&self, version: Version) -> bool {
        let (start, lowest_open) = self.marks[version.node().as_usize()];
        start > START || start == START && version.hlc().0 < lowest_open
    }

    fn is_decided(&self, version: Version) -> bool {
        let past = self.past_of(version);
        let is_overdue = past.accepted_at.is_some_and(|at| self.now.0 >= at.0 + OPEN_TTL_MS);
        self.is_held(version) && (past.copied || is_overdue || self.is_passed(version))
    }

    /// Its memory may be freed: it is decided, and something decided is newer.
    fn may_be_forgotten(&self, version: Version) -> bool {
        self.is_decided(version) && self.newest_decided(self.key_of(version)) > version
    }

    fn held(&self, key: usize) -> impl Iterator<Item = Version> {
        self.past.keys().copied().filter(move |&version| self.is_held(version) && self.key_of(version) == key)
    }

    /// The version that a key shows, or the flush mark.
    fn shown(&self, key: usize) -> Version {
        self.held(key).max().unwrap_or(self.flush_mark)
    }

    fn newest_decided(&self, key: usize) -> Version {
        self.held(key).filter(|&version| self.is_decided(version)).max().unwrap_or_default()
    }

    fn is_live(&self, version: Version) -> bool {
        let is_expired = expires_at(version).is_some_and(|at| at <= self.now) && version.hlc().0 < 20;
        self.is_held(version) && !is_delete(version) && !is_expired
    }
}

#[test]
fn the_store_does_what_its_slow_twin_does() {
    /// A quarter of what the stories mostly come to.
    const VISITS_MIN: usize = 45;
    let (visits, closings) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let config = ProptestConfig { cases: 1000, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..80))| {
        let mut twin = Twin::new();
        for step in steps {
            twin.take(step);
        }
        twin.bench.store.sweep(UnixMs(twin.now.0 + 2 * OPEN_TTL_MS));
        let counts = twin.bench.store.counts();
        prop_assert_eq!((counts.open_records, counts.open_bytes, counts.records), (0, 0, counts.keys));
        visits.fetch_add(twin.visits, Ordering::Relaxed);
        closings.fetch_add(twin.closings, Ordering::Relaxed);
    });
    let (visits, closings) = (visits.into_inner(), closings.into_inner());
    assert!(visits >= VISITS_MIN && closings > 0, "{visits}, {closings}");
}
