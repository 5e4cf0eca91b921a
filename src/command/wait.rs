//! WAIT numreplicas timeout.
//!
//! It counts as Redis does: the replicas beside one that hold everything this connection has written, so N-1 at most.
//! With more nodes than N each key has its own replicas; the answer is that of the slot with the fewest.

use std::time::Duration;

use tokio::time::Instant;

use crate::codec::reply;

use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::integer::parse_i64;
use super::server::Server;
use super::turn::Turn;

/// WAIT, as it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WaitOrder {
    /// How many other replicas are enough.
    replicas: u64,
    /// `None` waits for ever.
    timeout: Option<Duration>,
}

/// WAIT numreplicas timeout.
pub(super) fn parse(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let replicas = parse_i64(context.request.arg(1)).ok_or(CommandError::NotAnInteger)?;
    let timeout_ms = parse_i64(context.request.arg(2)).ok_or(CommandError::TimeoutNotAnInteger)?;
    let timeout_ms = u64::try_from(timeout_ms).map_err(|_| CommandError::TimeoutNegative)?;
    let timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms));
    Ok(Flow::Wait(Box::new(WaitOrder { replicas: u64::try_from(replicas).unwrap_or_default(), timeout })))
}

/// Waits as `order` says and appends the reply to the turn.
pub(crate) async fn wait(server: &Server, order: WaitOrder, turn: &mut Turn) {
    // A deadline beyond what the clock can tell never comes.
    let deadline = order.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let held = server.store.wait(&mut turn.written, order.replicas, deadline).await;
    reply::integer(&mut turn.out, held.into());
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    #[test]
    fn arguments_are_read_as_redis_reads_them() {
        let mut bench = Bench::single_node();
        // Read off redis-server 7.0.15.
        for (request, text) in [
            ("WAIT", "ERR wrong number of arguments for 'wait' command"),
            ("WAIT 0", "ERR wrong number of arguments for 'wait' command"),
            ("WAIT a 0", "ERR value is not an integer or out of range"),
            ("WAIT 0 a", "ERR timeout is not an integer or out of range"),
            ("WAIT 0 99999999999999999999", "ERR timeout is not an integer or out of range"),
            ("WAIT 0 -1", "ERR timeout is negative"),
        ] {
            assert_eq!(bench.ask(request), format!("-{text}\r\n"), "{request}");
        }
        let order = |replicas, timeout_ms: Option<u64>| {
            Flow::Wait(Box::new(WaitOrder { replicas, timeout: timeout_ms.map(Duration::from_millis) }))
        };
        assert_eq!(bench.ask_for("WAIT -1 0").1, order(0, None));
        assert_eq!(bench.ask_for("WAIT 2 100").1, order(2, Some(100)));
    }

    #[tokio::test]
    async fn a_key_without_other_replicas_has_none() {
        let bench = Bench::single_node();
        let mut turn = Turn::default();
        wait(&bench.server, WaitOrder { replicas: 1, timeout: Some(Duration::from_millis(1)) }, &mut turn).await;
        assert_eq!(turn.out, b":0\r\n");
    }
}
