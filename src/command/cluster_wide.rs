//! Commands that wait for the whole cluster: DBSIZE and FLUSHALL.

use crate::codec::reply;

use super::connection::State;
use super::dispatch::ClusterWide;
use super::server::Server;

/// Does what `request` asks of the whole cluster and appends the reply to `out`.
pub(crate) async fn ask_cluster(server: &Server, state: &State, request: ClusterWide, out: &mut Vec<u8>) {
    let store = &server.store;
    let _ = state;
    match request {
        ClusterWide::CountKeys => match store.count_keys().await {
            Ok(keys) => reply::integer(out, i64::try_from(keys).unwrap_or(i64::MAX)),
            Err(error) => reply::error(out, &error.to_string()),
        },
        ClusterWide::FlushAll => match store.flush_all().await {
            Ok(()) => reply::simple(out, "OK"),
            Err(error) => reply::error(out, &error.to_string()),
        },
    }
}
