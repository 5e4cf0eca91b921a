//! Records that expire.

use super::*;

/// Expiry needs no message: each replica knows the moment.
#[tokio::test(start_paused = true)]
async fn an_expired_key_is_gone_on_every_node_at_once() {
    let cluster = three().start().await;
    let mut operation = write("k", Some("v"));
    let expires_at = cluster.node(0).replica().wall.now().after(Duration::from_secs(2));
    operation.kind =
        ringkv::coordinator::OperationKind::Write { value: Some("v".into()), expires_at: Some(expires_at) };
    assert!(cluster.batch(0, vec![operation]).await[0].is_done());
    assert_eq!(cluster.get(1, "k").await, Reply::value("v"));

    // The count follows when the janitor has come by.
    cluster.pass(2_700).await;

    for node in cluster.indices() {
        assert_eq!(cluster.get(node, "k").await, Reply::nil());
        let shows = |now: UnixMs| {
            let node = cluster.node(node);
            node.replica().store.read(slot("k"), b"k", now, |lookup| matches!(lookup, Lookup::Live(_)))
        };
        assert!(!shows(expires_at));
        assert_eq!(cluster.count(node).await, Ok(0));
    }
    assert_eq!(cluster.delete(2, "k").await, Reply::Done { live: false });
}
