//! What each node holds itself, past its coordinator: asked as a node asks another, slot by slot.

use std::collections::{BTreeMap, BTreeSet};

use ringkv::config::ClusterConfig;
use ringkv::peer::{CatchUp, Introduction, LocalNode};
use ringkv::replica::Replica;
use ringkv::ring::{NodeIndex, SLOT_COUNT};
use ringkv::time::WallClock;
use ringkv::version::StartNumber;

use super::{Cluster, RawClient, Reply, command};

/// Questions that are asked at once.
const QUESTIONS_AT_ONCE: usize = 512;

/// Keys, and the version that a node shows of each.
type Holdings = BTreeMap<Vec<u8>, Vec<u8>>;

/// A connection to node `index` that has introduced itself as another node of the cluster. That one must have caught up.
fn introduced(cluster: &Cluster, index: usize) -> RawClient {
    let posed = (index + 1) % cluster.ports.len();
    let config = ClusterConfig::load(&cluster.config).expect("the nodes took it").cluster;
    let node = NodeIndex(u16::try_from(posed).expect("a small cluster"));
    let start = cluster.node(posed).info("start_number").expect("it answers").parse().expect("a number");
    let introduction = Introduction {
        start: StartNumber::new(start),
        catch_up: CatchUp::Complete,
        ..Replica::new(config, node, WallClock::System).introduction()
    };
    let mut client = cluster.node(index).client();
    let mut bytes = Vec::new();
    introduction.encode(&mut bytes);
    client.send(bytes);
    assert!(matches!(client.reply(), Reply::Array(_)), "the introduction is accepted");
    client
}

/// The answers to many questions, in order.
fn ask_all(client: &mut RawClient, questions: &[Vec<Vec<u8>>]) -> Vec<Reply> {
    let mut answers = Vec::with_capacity(questions.len());
    for part in questions.chunks(QUESTIONS_AT_ONCE) {
        client.send(part.iter().flat_map(|words| command(words)).collect::<Vec<u8>>());
        answers.extend(part.iter().map(|_| client.reply()));
    }
    answers
}

fn holdings(client: &mut RawClient) -> Holdings {
    let slots: Vec<_> = (0..SLOT_COUNT).map(|slot| vec![b"RKEYS".to_vec(), slot.to_string().into_bytes()]).collect();
    let mut holdings = Holdings::new();
    for answer in ask_all(client, &slots) {
        let Reply::Array(parts) = answer else { panic!("no list of keys: {answer:?}") };
        for pair in parts[1..].chunks(2) {
            let [Reply::Bulk(key), Reply::Bulk(version)] = pair else { panic!("no key and version: {pair:?}") };
            holdings.insert(key.clone(), version.clone());
        }
    }
    holdings
}

/// What is shown of each key: a live record as version and value; a tombstone is as good as nothing.
fn live_records(client: &mut RawClient, keys: &[Vec<u8>]) -> Vec<Option<String>> {
    let questions: Vec<_> = keys.iter().map(|key| vec![b"RGET".to_vec(), key.clone()]).collect();
    let live = |answer: Reply| match &answer {
        Reply::Array(parts) if parts.len() > 1 => Some(parts.iter().map(Reply::text).collect::<Vec<_>>().join(" ")),
        Reply::Array(_) | Reply::Null => None,
        other => panic!("no record: {other:?}"),
    };
    ask_all(client, &questions).into_iter().map(live).collect()
}

/// A key of which not every node holds the same live record.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) key: String,
    /// What each node holds.
    #[allow(dead_code, reason = "a failing test shows it")]
    records: Vec<Option<String>>,
}

/// All differences. Each node must be a replica of every key, and have caught up.
pub(crate) fn differences(cluster: &Cluster) -> Vec<Difference> {
    let mut clients: Vec<_> = (0..cluster.ports.len()).map(|index| introduced(cluster, index)).collect();
    let held: Vec<Holdings> = clients.iter_mut().map(holdings).collect();
    let all: BTreeSet<&Vec<u8>> = held.iter().flat_map(BTreeMap::keys).collect();
    let is_suspect = |key: &Vec<u8>| held.iter().any(|holdings| holdings.get(key) != held[0].get(key));
    let suspects: Vec<Vec<u8>> = all.into_iter().filter(|key| is_suspect(key)).cloned().collect();
    let records: Vec<_> = clients.iter_mut().map(|client| live_records(client, &suspects)).collect();
    let difference = |(at, key): (usize, &Vec<u8>)| Difference {
        key: String::from_utf8_lossy(key).into_owned(),
        records: records.iter().map(|records| records[at].clone()).collect(),
    };
    let is_one = |difference: &Difference| difference.records.iter().any(|record| *record != difference.records[0]);
    suspects.iter().enumerate().map(difference).filter(is_one).collect()
}
