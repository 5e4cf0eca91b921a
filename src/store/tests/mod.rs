//! What the store promises: rule by rule, against a slow twin, as laws, and from several threads.

mod bounds;
mod digests;
mod flush_and_expiry;
mod merging;
mod promises;
mod reverts;
mod threads;
mod tombstones;
mod twin;
mod writes;

use super::*;

const OPEN_TTL_MS: u64 = 1000;
const MAX_CLOCK_DRIFT_MS: u64 = 60_000;
const NOW: UnixMs = UnixMs(1_000_000);
/// When everything that is open at [`NOW`] is overdue.
const LATER: UnixMs = UnixMs(NOW.0 + OPEN_TTL_MS);
const START: u64 = 1;
const OPTIONS: StoreOptions = StoreOptions {
    nodes: 3,
    replicated: true,
    open_ttl_ms: OPEN_TTL_MS,
    max_clock_drift_ms: MAX_CLOCK_DRIFT_MS,
    open_bytes_max: 1 << 20,
};

/// The store of a node that is the only one, with room for whatever a test writes.
pub(super) fn roomy(replicated: bool) -> LocalKvStore {
    LocalKvStore::new(StoreOptions { nodes: 1, replicated, open_bytes_max: 1 << 30, ..OPTIONS })
}

/// A store with shorthands for a single slot.
struct Bench {
    store: LocalKvStore,
    slot: Slot,
}

impl Bench {
    fn new() -> Self {
        Self::with(OPTIONS)
    }

    fn unreplicated() -> Self {
        Self::with(StoreOptions { replicated: false, ..OPTIONS })
    }

    fn with(options: StoreOptions) -> Self {
        Self { store: LocalKvStore::new(options), slot: Slot::new(7).unwrap() }
    }

    fn set(&self, key: &str, value: &str, version: Version) -> Written {
        self.store.write(self.slot, key.as_bytes(), Some(value.as_bytes()), None, version, NOW)
    }

    fn delete(&self, key: &str, version: Version) -> Written {
        self.store.write(self.slot, key.as_bytes(), None, None, version, NOW)
    }

    fn copy(&self, key: &str, value: &str, version: Version) -> Copied {
        self.store.copy(self.slot, key.as_bytes(), Some(value.as_bytes()), None, version, NOW)
    }

    fn revert(&self, key: &str, version: Version) -> Reverted {
        self.store.revert(self.slot, key.as_bytes(), version, NOW)
    }

    fn get(&self, key: &str) -> Option<String> {
        self.get_at(key, NOW)
    }

    fn get_at(&self, key: &str, now: UnixMs) -> Option<String> {
        self.store.read(self.slot, key.as_bytes(), now, |found| {
            found.live().map(|record| String::from_utf8(record.value().unwrap().to_vec()).unwrap())
        })
    }

    /// The version that is shown, without reading it.
    fn shown(&self, key: &str) -> Option<Version> {
        self.store.version_of(self.slot, key.as_bytes())
    }

    /// All records of a slot, sorted, however many pages it takes.
    fn list(&self, slot: Slot) -> Vec<Listed> {
        let (mut listed, mut from) = (Vec::new(), Some(0));
        while let Some(position) = from {
            let page = self.store.page(slot, position, NOW);
            listed.extend(page.records);
            from = page.next;
        }
        listed.sort_unstable();
        listed
    }

    fn pass(&self, node: u16, lowest_open: u64) {
        self.store.advance_watermark(NodeIndex(node), StartNumber::new(START), Hlc(lowest_open), NOW);
    }
}

/// A version of node 0.
fn v(hlc: u64) -> Version {
    of_node(hlc, 0)
}

fn of_node(hlc: u64, node: u16) -> Version {
    Version::new(Hlc(hlc), NodeIndex(node), StartNumber::new(START))
}

fn applied(version: Version, live: bool) -> Written {
    Written::Applied { prior: Prior { version, live } }
}
