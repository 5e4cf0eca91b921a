//! Updates: whoever carries them out, none is lost and none takes effect twice.

use std::sync::Arc;

use super::*;

/// The sum that a reply names.
fn sum_of(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Value(Some(text)) => text.strip_prefix(':').and_then(|digits| digits.parse().ok()),
        _ => None,
    }
}

/// So many clients of `node` count up `key`, so many times each; the replies.
async fn count_up(cluster: &Arc<TestCluster>, node: usize, clients: usize, times: usize, key: &str) -> Vec<Reply> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (cluster, command) = (Arc::clone(cluster), format!("INCR {key}"));
        tasks.spawn(async move {
            let mut replies = Vec::new();
            for _ in 0..times {
                replies.push(cluster.update(node, &command).await);
            }
            replies
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// What the counter must be at least and at most: what was acknowledged, and what may have happened besides.
fn bounds(replies: &[Reply]) -> (u64, u64) {
    let sure = replies.iter().filter(|reply| sum_of(reply).is_some()).count() as u64;
    let perhaps = replies.iter().filter(|reply| matches!(reply, Reply::Indeterminate(_) | Reply::Died)).count() as u64;
    (sure, sure + perhaps)
}

async fn counter(cluster: &TestCluster, node: usize, key: &str) -> u64 {
    sum_of(&cluster.update(node, &format!("INCRBY {key} 0")).await).expect("a whole cluster answers")
}

#[tokio::test(start_paused = true)]
async fn clients_of_all_nodes_count_together() {
    let cluster = Setup::new(5, (3, 2, 1)).start().await;
    let replies = count_from(&cluster, &[0, 1, 2, 3, 4], (10, 20), "k").await;

    let mut sums: Vec<u64> = replies.iter().map(|reply| sum_of(reply).expect("nothing fails")).collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=1000).collect::<Vec<u64>>(), "each of them saw all before it");
}

/// Clients of these nodes count up `key` at the same time; all replies.
async fn count_from(
    cluster: &Arc<TestCluster>,
    nodes: &[usize],
    (clients, times): (usize, usize),
    key: &str,
) -> Vec<Reply> {
    let mut counts = tokio::task::JoinSet::new();
    for &node in nodes {
        let (cluster, key) = (Arc::clone(cluster), key.to_owned());
        counts.spawn(async move { count_up(&cluster, node, clients, times, &key).await });
    }
    counts.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(start_paused = true)]
async fn updates_of_one_pipeline_take_effect_in_order() {
    let cluster = three().start().await;
    for node in cluster.indices() {
        let key = format!("k{node}");
        let command = format!("INCR {key}");
        let replies = cluster.update_all(node, &vec![command.as_str(); 100]).await;
        let sums: Vec<u64> = replies.iter().filter_map(sum_of).collect();
        assert_eq!(sums, (1..=100).collect::<Vec<u64>>());
    }
}

/// The first replica cannot reach the last one, which therefore takes the second for the home of all keys of the first:
/// two homes work on one key at the same time.
#[tokio::test(start_paused = true)]
async fn two_homes_that_do_not_know_of_each_other_lose_nothing() {
    let cluster = three().start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    cluster.network.cut(index(0), index(2));
    cluster.until("they miss each other", |cluster| !cluster.is_linked(2, 0) && !cluster.is_linked(0, 2)).await;

    let replies = count_from(&cluster, &[0, 1, 2], (3, 30), &key).await;

    let (sure, at_most) = bounds(&replies);
    assert!(sure > 200, "most go through: {sure}, {replies:?}");
    cluster.network.heal(index(0), index(2));
    cluster.until_linked().await;
    let count = counter(&cluster, 1, &key).await;
    assert!((sure..=at_most).contains(&count), "{sure} <= {count} <= {at_most}");
}

#[tokio::test(start_paused = true)]
async fn a_home_that_dies_takes_no_acknowledged_update_along() {
    let cluster = three().start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    let counting = count_from(&cluster, &[1, 2], (5, 200), &key);
    let killing = async {
        cluster.pass(40).await;
        cluster.crash(0);
    };
    let (replies, ()) = tokio::join!(counting, killing);

    let (sure, at_most) = bounds(&replies);
    let count = counter(&cluster, 1, &key).await;
    assert!(sure >= 1900, "the others go on: {sure}");
    assert!((sure..=at_most).contains(&count), "{sure} <= {count} <= {at_most}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_counted_where_too_few_replicas_can_be_reached() {
    let cluster = three().start().await;
    assert_eq!(sum_of(&cluster.update(0, "INCR k").await), Some(1));
    for gone in [1, 2] {
        cluster.crash(gone);
        cluster.until_missed(gone).await;
    }
    let began = Instant::now();
    let reply = cluster.update(0, "INCR k").await;
    assert_eq!(reply, Reply::NotWritten("-NOQUORUM 1 of 2 replicas reachable; nothing was written".to_owned()));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// The question of an update that is over already comes late to the node that is asked to write: by then the write shows there, and the
/// others refuse it for what they have promised. It is taken back and stamped anew, since nobody has seen it.
#[tokio::test(start_paused = true)]
async fn a_write_that_a_late_question_meets_is_acknowledged() {
    let cluster = three().skews_ms(&[0, 0, -50]).start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    assert!(cluster.set(0, &key, "before").await.is_done());
    cluster.pass(1000).await;
    cluster.network.set_delay(index(0), index(2), Duration::from_millis(5));
    assert_eq!(cluster.update(0, &format!("SETNX {key} v")).await, Reply::Value(Some(":0".to_owned())));

    for other in [0, 1] {
        cluster.network.set_delay(index(2), index(other), Duration::from_millis(10));
    }
    let written = cluster.set(2, &key, "after").await;

    assert!(written.is_done(), "{written:?}");
    for node in cluster.indices() {
        assert_eq!(cluster.get(node, &key).await, Reply::value("after"), "at node {node}");
    }
}

/// Two of three replicas show it, and may take it back as far as the home knows: it is acknowledged, so the update sees it.
#[tokio::test(start_paused = true)]
async fn an_update_sees_what_was_acknowledged_just_before() {
    let cluster = three().start().await;
    for number in 0..30 {
        let key = format!("k{number}");
        assert!(cluster.set(number % 3, &key, "7").await.is_done());
        let sum = cluster.update((number + 1) % 3, &format!("INCR {key}")).await;
        assert_eq!(sum_of(&sum), Some(8));
    }
}

/// Its coordinator wrote before the counting began, but the message to two replicas comes late: they have counted on from the
/// written value by then, so that it must neither be lost nor take effect again.
#[tokio::test(start_paused = true)]
async fn a_write_that_an_update_has_seen_takes_effect_once() {
    let cluster = three().start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    for other in [0, 1] {
        cluster.network.set_delay(index(2), index(other), Duration::from_millis(50));
    }
    let (node, now) = (cluster.node(2), cluster.node(2).replica().wall.now());
    let flight = node.store.launch(vec![write(&key, Some("10"))], now);
    let counted = cluster.update(2, &format!("INCR {key}")).await;
    let written = flight.settle().await;
    assert_eq!(written.len(), 1);

    assert!(matches!(sum_of(&counted), Some(1 | 11)), "{counted:?}");
    let expected = if sum_of(&counted) == Some(11) { "11" } else { "10" };
    assert_eq!(cluster.get(0, &key).await, Reply::value(expected));
}

/// The home takes a whole pipeline on and dies: whoever waits for it is told soon, however many commands there were.
#[tokio::test(start_paused = true)]
async fn a_home_that_dies_keeps_a_pipeline_waiting_once() {
    let cluster = Setup::new(3, (3, 3, 1)).start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    cluster.network.set_delay(index(2), index(0), Duration::from_millis(400));
    let commands = vec![format!("INCR {key}"); 100];
    let words: Vec<&str> = commands.iter().map(String::as_str).collect();
    let counting = cluster.update_all(1, &words);
    let killing = async {
        cluster.pass(100).await;
        cluster.crash(0);
        Instant::now()
    };
    let (replies, died_at) = tokio::join!(counting, killing);

    assert!(replies.iter().all(|reply| matches!(reply, Reply::Indeterminate(_))), "{:?}", replies[0]);
    assert!(died_at.elapsed() <= 5 * cluster.config.request_timeout(), "{:?}", died_at.elapsed());
}

/// A rule that panics takes its own round along and nothing else.
#[tokio::test(start_paused = true)]
async fn a_rule_that_panics_does_not_block_its_slot() {
    let cluster = three().start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    let mut order = update(&format!("INCR {key}"));
    order.rule = |_| panic!("a bug");
    let reply = cluster.node(0).store.update(vec![order]).await.remove(0);
    assert!(reply.starts_with(b"-INDETERMINATE"), "{reply:?}");

    let next = timeout(10 * cluster.config.request_timeout(), cluster.update(0, &format!("INCR {key}"))).await;
    assert_eq!(next, Ok(Reply::Value(Some(":1".to_owned()))));
}
/// An update reaches one replica alone and is taken back at its home. Then a coordinator whose clock is behind writes, below
/// the update's version, to the others: what it acknowledges must not give way to an update that has not seen it.
#[tokio::test(start_paused = true)]
async fn an_update_that_was_cut_short_does_not_undo_a_later_write() {
    let cluster = Setup::new(4, (3, 2, 2)).skews_ms(&[0, 0, 0, -2500]).start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    assert!(cluster.set(0, &key, "0").await.is_done());
    cluster.pass(3000).await;
    cluster.network.cut(index(0), index(1));
    cluster.network.cut(index(2), index(1));
    cluster.until("they miss it", |cluster| !cluster.is_linked(0, 1) && !cluster.is_linked(2, 1)).await;
    cluster.network.set_delay(index(2), index(0), Duration::from_millis(100));
    let cutting = async {
        cluster.pass(150).await;
        cluster.network.cut(index(0), index(2));
    };
    let command = format!("INCR {key}");
    let (counted, ()) = tokio::join!(cluster.update(0, &command), cutting);
    assert!(matches!(counted, Reply::Indeterminate(_)), "{counted:?}");

    cluster.network.cut(index(3), index(2));
    cluster.until("it is missed", |cluster| !cluster.is_linked(3, 2)).await;
    let written = cluster.set(3, &key, "100").await;
    assert!(written.is_done(), "{written:?}");
    cluster.network.heal_all();
    cluster.until_linked().await;
    assert_eq!(cluster.get(0, &key).await, Reply::value("100"));
    assert_eq!(cluster.get(2, &key).await, Reply::value("100"));
}

/// The home cannot know yet that the write is acknowledged, but two of three replicas have it. The third takes its time.
#[tokio::test(start_paused = true)]
async fn an_update_waits_for_no_slow_replica_after_a_write() {
    let cluster = Setup::new(3, (3, 2, 1)).start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    for other in [0, 1] {
        cluster.network.set_delay(index(2), index(other), Duration::from_millis(50));
        cluster.network.set_delay(index(other), index(2), Duration::from_millis(50));
    }
    assert!(cluster.set(1, &key, "7").await.is_done());
    let began = Instant::now();
    assert_eq!(sum_of(&cluster.update(0, &format!("INCR {key}")).await), Some(8));
    assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());
}
