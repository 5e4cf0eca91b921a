//! How long the pieces take of which every request is made. Each is called on many keys in turn, so that no single one
//! stays in the first-level cache alone; what an operation costs as a whole is counted by `scripts/budget.sh`.
//!
//! `cargo bench` runs all; `cargo bench -- decode` those whose name contains `decode`.

use bytes::BytesMut;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use ringkv::clock::HybridClock;
use ringkv::codec::{DecodeLimits, RequestDecoder, reply};
use ringkv::ring::{HashRing, NodeId, NodeIndex, Slot};
use ringkv::store::{LocalKvStore, Lookup, Record, StoreOptions};
use ringkv::time::UnixMs;
use ringkv::version::{Hlc, StartNumber, Version};
use tikv_jemallocator::Jemalloc;
use tokio_util::codec::Decoder;

/// As in the server.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// How many keys there are in turn.
const KEYS: usize = 100_000;
/// Requests of one pipeline.
const PIPELINE: usize = 16;
const VALUE: [u8; 64] = [b'v'; 64];
const NOW: UnixMs = UnixMs(1_700_000_000_000);

fn main() {
    divan::main();
}

/// 16 bytes each, in an order that neither the store nor the cache has.
struct Keys {
    keys: Vec<(Slot, Vec<u8>)>,
    next: usize,
}

impl Keys {
    fn new() -> Self {
        // 7919 shares no factor with their number, so that each comes once.
        let key = |number: usize| format!("key:{:012}", number * 7919 % KEYS).into_bytes();
        let keys = (0..KEYS).map(key).map(|key| (Slot::of_key(&key), key)).collect();
        Self { keys, next: 0 }
    }

    fn next(&mut self) -> (Slot, &[u8]) {
        self.next = (self.next + 1) % KEYS;
        let (slot, key) = &self.keys[self.next];
        (*slot, key)
    }
}

// ---- the wire ----

fn request(command: &str) -> Vec<u8> {
    match command {
        "GET" => b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000042\r\n".to_vec(),
        _ => [b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$64\r\n", VALUE.as_slice(), b"\r\n"].concat(),
    }
}

/// A pipeline of 16 requests, from bytes in a buffer to requests.
#[divan::bench(args = ["GET", "SET"])]
fn decode(bencher: Bencher<'_, '_>, command: &str) {
    let pipeline = request(command).repeat(PIPELINE);
    let mut decoder = RequestDecoder::new(DecodeLimits::default());
    bencher.counter(ItemsCount::new(PIPELINE)).with_inputs(|| BytesMut::from(pipeline.as_slice())).bench_local_refs(
        |buffer| {
            while let Ok(Some(request)) = decoder.decode(buffer) {
                drop(black_box(request));
            }
        },
    );
}

/// The replies to a pipeline of 16 GETs.
#[divan::bench]
fn encode_value(bencher: Bencher<'_, '_>) {
    let mut out = Vec::with_capacity(PIPELINE * 128);
    bencher.counter(ItemsCount::new(PIPELINE)).bench_local(|| {
        out.clear();
        (0..PIPELINE).for_each(|_| reply::bulk(&mut out, black_box(&VALUE)));
        black_box(out.len())
    });
}

/// The replies to a pipeline of 16 SETs.
#[divan::bench]
fn encode_ok(bencher: Bencher<'_, '_>) {
    let mut out = Vec::with_capacity(PIPELINE * 128);
    bencher.counter(ItemsCount::new(PIPELINE)).bench_local(|| {
        out.clear();
        (0..PIPELINE).for_each(|_| reply::simple(&mut out, black_box("OK")));
        black_box(out.len())
    });
}

// ---- the ring ----

/// From a key to its slot.
#[divan::bench]
fn slot_of_key(bencher: Bencher<'_, '_>) {
    let mut keys = Keys::new();
    bencher.bench_local(|| Slot::of_key(black_box(keys.next().1)));
}

/// From a key to its replicas.
#[divan::bench(args = [3, 100], sample_size = 1000)]
fn ring_lookup(bencher: Bencher<'_, '_>, nodes: u16) {
    let mut ids: Vec<NodeId> = (0..nodes).map(|node| NodeId::from(format!("node-{node:03}").as_str())).collect();
    ids.sort();
    let ring = HashRing::new(&ids, 256, 3);
    let mut keys = Keys::new();
    bencher.bench_local(|| ring.preference_list(Slot::of_key(keys.next().1)).primary());
}

// ---- the store ----

fn options(replicated: bool) -> StoreOptions {
    StoreOptions { nodes: 3, replicated, open_ttl_ms: 2000, max_clock_drift_ms: 60_000, open_bytes_max: 1 << 26 }
}

fn filled(replicated: bool, keys: &mut Keys, clock: &HybridClock) -> LocalKvStore {
    let store = LocalKvStore::new(options(replicated));
    for _ in 0..KEYS {
        write(&store, keys, clock);
    }
    store
}

/// What a coordinator does with a key of its own.
fn write(store: &LocalKvStore, keys: &mut Keys, clock: &HybridClock) -> Version {
    let (slot, key) = keys.next();
    store.write_next(slot, key, Some(black_box(&VALUE)), None, NOW, |shown| stamp(clock, shown)).0
}

fn stamp(clock: &HybridClock, shown: Version) -> Version {
    Version::new(clock.tick_above(shown.hlc(), NOW), NodeIndex(0), StartNumber::new(1))
}

/// A GET of a key that is there.
#[divan::bench(sample_size = 1000)]
fn local_get(bencher: Bencher<'_, '_>) {
    let (mut keys, clock) = (Keys::new(), HybridClock::new(60_000));
    let store = filled(false, &mut keys, &clock);
    let bytes = |found: Lookup<'_>| found.live().and_then(Record::value).map(<[u8]>::len);
    bencher.bench_local(|| {
        let (slot, key) = keys.next();
        store.read(slot, key, NOW, bytes)
    });
}

/// A SET of a key that is there, on the only copy.
#[divan::bench(sample_size = 1000)]
fn local_set(bencher: Bencher<'_, '_>) {
    let (mut keys, clock) = (Keys::new(), HybridClock::new(60_000));
    let store = filled(false, &mut keys, &clock);
    bencher.bench_local(|| write(&store, &mut keys, &clock));
}

/// The same on one of three copies: until its watermark passes, the write may be taken back.
#[divan::bench(sample_size = 1000)]
fn replicated_set(bencher: Bencher<'_, '_>) {
    let (mut keys, clock) = (Keys::new(), HybridClock::new(60_000));
    let store = filled(true, &mut keys, &clock);
    let pass = || store.advance_watermark(NodeIndex(0), StartNumber::new(1), clock.last().next(), NOW);
    pass();
    bencher.bench_local(|| {
        write(&store, &mut keys, &clock);
        pass();
    });
}

// ---- versions ----

/// A version above the one that a key shows.
#[divan::bench]
fn version_stamp(bencher: Bencher<'_, '_>) {
    let (clock, shown) = (HybridClock::new(60_000), Version::new(Hlc(1), NodeIndex(1), StartNumber::new(1)));
    bencher.bench_local(|| stamp(&clock, black_box(shown)));
}

/// To the text that a message to another node carries, and back.
#[divan::bench]
fn version_text(bencher: Bencher<'_, '_>) {
    let version = Version::new(Hlc::first_of(NOW), NodeIndex(1), StartNumber::new(1));
    bencher.bench_local(|| Version::parse(&black_box(version).to_text()));
}
