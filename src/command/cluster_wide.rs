//! Commands that wait for the whole cluster, such as DBSIZE, FLUSHALL and SCAN, or for keys of several slots.

use bytes::Bytes;

use crate::codec::reply;
use crate::coordinator::{ConsistentHashingKvStore, Operation, OperationKind, Outcome, Quorum, QuorumError};
use crate::ring::Slot;

use super::connection::State;
use super::fields::{self, Field};
use super::lcs::{self, LcsOptions};
use super::moves::{self, Move};
use super::scan::{self, Pattern, ScanOrder};
use super::server::Server;

/// Commands that wait for more than the replicas of their keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ClusterWide {
    /// DBSIZE.
    CountKeys,
    /// FLUSHALL, FLUSHDB.
    FlushAll,
    /// LCS.
    Lcs {
        /// Of what these keys hold.
        keys: [Bytes; 2],
        /// What is told of it.
        options: LcsOptions,
    },
    /// BITFIELD and `BITFIELD_RO`, where another node has to be asked for several fields.
    ReadFields {
        /// Of this key.
        key: Bytes,
        /// These.
        fields: Vec<Field>,
    },
    /// SCAN.
    Scan(ScanOrder),
    /// KEYS.
    Keys(Pattern),
    /// RANDOMKEY.
    RandomKey,
    /// RENAME, RENAMENX or COPY in several steps.
    Move(Box<Move>),
}

impl ClusterWide {
    /// The slots of the keys that it updates.
    pub(crate) fn updated_slots(&self) -> Option<[Slot; 2]> {
        match self {
            Self::Move(task) => Some(task.slots()),
            _ => None,
        }
    }
}

/// Does what `request` asks of the whole cluster, reads with this quorum, and appends the reply to `out`.
pub(crate) async fn ask_cluster(
    server: &Server,
    state: &State,
    quorum: Quorum,
    request: ClusterWide,
    out: &mut Vec<u8>,
) {
    let store = &server.store;
    let served = match request {
        ClusterWide::CountKeys => {
            store.count_keys().await.map(|keys| reply::integer(out, i64::try_from(keys).unwrap_or(i64::MAX)))
        }
        ClusterWide::FlushAll => store.flush_all().await.map(|()| reply::ok(out)),
        ClusterWide::ReadFields { key, fields } => values(store, quorum, [key])
            .await
            .map(|[value]| fields::tell(&fields, value.as_deref().unwrap_or_default(), out)),
        ClusterWide::Lcs { keys, options } => match values(store, quorum, keys).await {
            Ok(values) => {
                let [one, other] = values.map(Option::unwrap_or_default);
                lcs::compare(&one, &other, options, state.protocol, out).await;
                Ok(())
            }
            Err(error) => Err(error),
        },
        ClusterWide::Move(task) => {
            moves::carry_out(server, *task, out).await;
            Ok(())
        }
        ClusterWide::Scan(order) => scan::serve_scan(store, order, out).await,
        ClusterWide::Keys(pattern) => scan::serve_keys(store, &pattern, out).await,
        ClusterWide::RandomKey => scan::serve_random_key(store, state.protocol, out).await,
    };
    if let Err(error) = served {
        reply::error(out, &error.to_string());
    }
}

/// What these keys hold.
async fn values<const KEYS: usize>(
    store: &ConsistentHashingKvStore,
    quorum: Quorum,
    keys: [Bytes; KEYS],
) -> Result<[Option<Bytes>; KEYS], QuorumError> {
    let read = |key: Bytes| Operation { slot: Slot::of_key(&key), key, kind: OperationKind::Read };
    let outcomes =
        store.launch_for(quorum, keys.into_iter().map(read).collect(), store.replica.wall.now()).settle().await;
    let mut values = [const { None }; KEYS];
    for (value, outcome) in values.iter_mut().zip(outcomes) {
        match outcome {
            Outcome::Read(found) => *value = found.and_then(|found| found.value),
            Outcome::Failed(error) => return Err(error),
            Outcome::Written(_) => unreachable!("a read ends as a read"),
        }
    }
    Ok(values)
}
