//! FLUSHALL, also past nodes that were away.

use ringkv::peer::UpdateRequest;
use ringkv::version::Hlc;

use super::*;

/// Node 2 is away during a FLUSHALL. Nothing older may come back with it, not even for the first read.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_away_learns_of_a_flush_before_any_data() {
    let cluster = three().skews_ms(&[0, 0, 20_000]).start().await;
    for number in 0..20 {
        assert!(cluster.set(2, &format!("k{number}"), "v").await.is_done());
    }
    cluster.isolate(2);
    cluster.until_missed(2).await;
    assert!(cluster.flush(0).await.is_done());
    cluster.network.heal_all();
    cluster.until_linked().await;

    for number in 0..20 {
        for node in cluster.indices() {
            assert_eq!(cluster.get(node, &format!("k{number}")).await, Reply::nil());
        }
    }
    assert_eq!(cluster.count(2).await, Ok(0));
    assert!(cluster.set(0, "k1", "again").await.is_done());
    assert_eq!(cluster.get(2, "k1").await, Reply::value("again"));
}

/// A node that lost its memory hears of the flush from those that it catches up from.
#[tokio::test(start_paused = true)]
async fn a_flush_outlives_the_restart_of_a_node_that_carried_it_out() {
    let cluster = Setup::new(3, (3, 2, 2)).start().await;
    assert!(cluster.set(2, "k", "v").await.is_done());
    cluster.isolate(2);
    cluster.until_missed(2).await;
    assert!(cluster.flush(0).await.is_done());
    cluster.start(0);
    cluster.network.heal_all();
    cluster.until_whole().await;

    for node in cluster.indices() {
        assert_eq!(cluster.get(node, "k").await, Reply::nil(), "at node {node}");
        assert!(cluster.node(node).replica().store.flush_mark() > Version::default());
    }
}

/// 1 acknowledged "late", with a clock that is ahead, together with 2. While 2 is away 1 loses its memory, and with
/// it the knowledge of how late that was: a flush of 0 and 1 would be stamped too low and leave it.
#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_memory_does_not_count_for_a_flush() {
    let cluster = Setup::new(3, (3, 2, 2)).skews_ms(&[0, 30_000, 0]).start().await;
    cluster.isolate(0);
    cluster.until_missed(0).await;
    assert!(cluster.set(1, "k", "late").await.is_done());
    cluster.isolate(2);
    cluster.set_skew_ms(1, 0);
    cluster.start(1);
    cluster.network.heal(index(0), index(1));
    cluster.until("0 and 1 are linked", |cluster| cluster.is_linked(0, 1) && cluster.is_linked(1, 0)).await;
    cluster.until_missed(2).await;

    let flushed = cluster.flush(0).await;

    cluster.network.heal_all();
    cluster.until_whole().await;
    assert!(matches!(flushed, Reply::NotWritten(_)), "{flushed:?}");
    assert_eq!(cluster.get(0, "k").await, Reply::value("late"));
}

#[tokio::test(start_paused = true)]
async fn a_flush_without_a_quorum_drops_nothing() {
    let cluster = three().start().await;
    assert!(cluster.set(0, "k", "v").await.is_done());
    cluster.crash(1);
    cluster.crash(2);
    cluster.until_missed(1).await;
    cluster.until_missed(2).await;

    assert!(matches!(cluster.flush(0).await, Reply::NotWritten(_)));
    assert_eq!(cluster.get(0, "k").await, Reply::value("v"));
}

/// Clients write through all nodes, with clocks apart, while another flushes. What was written before the flush
/// is gone, what was written after it stays.
#[tokio::test(start_paused = true)]
async fn a_flush_among_writes_takes_what_was_before_and_leaves_what_comes_after() {
    let cluster = three().skews_ms(&[0, 30_000, -25_000]).start().await;
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        cluster.network.set_delay(index(from), index(to), Duration::from_millis(5 + 3 * (from + 2 * to) as u64));
    }
    for number in 0..30 {
        assert!(cluster.set(number % 3, &format!("before-{number}"), "v").await.is_done());
    }
    let writes = async {
        for number in 0..30 {
            assert!(cluster.set(number % 3, &format!("during-{number}"), "v").await.is_done());
        }
    };
    let (flushed, ()) = tokio::join!(cluster.flush(2), writes);
    assert!(flushed.is_done(), "{flushed:?}");
    for number in 0..30 {
        assert!(cluster.set(number % 3, &format!("after-{number}"), "v").await.is_done());
    }
    cluster.pass(100).await;

    for node in cluster.indices() {
        for number in 0..30 {
            assert_eq!(cluster.get(node, &format!("before-{number}")).await, Reply::nil());
            assert_eq!(cluster.get(node, &format!("after-{number}")).await, Reply::value("v"));
        }
    }
}

/// A reader has "v" from 0 and brings it to 1 before the write itself arrives there; then comes a FLUSHALL, and only then
/// the write. 2 has heard of the flush alone. Were "v" refused by 1 and 2, it would be written once more, after the flush.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_read_before_a_flush_does_not_come_again_after_it() {
    let cluster = Setup::new(3, (3, 2, 2)).start().await;
    let (key, value, version) = (b"k".as_slice(), Some(b"v".as_slice()), version_of(&cluster, 0));
    cluster.hand(2, 1, PeerRequest::Copy { key, value, version, expires_at: None });
    assert_eq!(cluster.value_at(1, "k").as_deref(), Some("v"));
    assert!(cluster.flush(2).await.is_done());

    let late = PeerRequest::Write { key, value, version, expires_at: None };

    assert_eq!(ask(&cluster, 0, 1, late.clone()), encoded(&PeerReply::Ok), "it took effect before the flush");
    assert!(ask(&cluster, 0, 2, late).starts_with(b"-STALE "), "it never was there");
    assert_eq!(cluster.get(0, "k").await, Reply::nil());
}

/// A version that node 0 could stamp so many milliseconds from now.
fn version_in(cluster: &TestCluster, ms: u64) -> Version {
    let now = version_of(cluster, 0);
    Version::new(Hlc::first_of(UnixMs(now.hlc().wall().0 + ms)), now.node(), now.start())
}

fn prepare(key: &str, ballot: Version) -> PeerRequest<'_> {
    PeerRequest::Update(UpdateRequest::Prepare { key: key.as_bytes(), ballot, insists: true })
}

/// The update was prepared while the flush was on its way. It has seen the old value, so it must not outlive the flush.
#[tokio::test(start_paused = true)]
async fn a_flush_is_stamped_above_what_was_promised_to_updates() {
    let cluster = three().start().await;
    assert!(cluster.set(0, "k", "v").await.is_done());
    cluster.pass(100).await;
    let base = cluster.version_at(1, "k").unwrap();
    let ballot = version_in(&cluster, 25);
    for node in [1, 2] {
        cluster.hand(0, node, prepare("k", ballot));
    }

    assert!(cluster.flush(0).await.is_done());

    for node in [1, 2] {
        assert!(cluster.node(node).replica().store.flush_mark() > ballot);
        let accept = UpdateRequest::Accept { key: b"k", value: Some(b"v and more"), ballot, base, expires_at: None };
        cluster.hand(0, node, PeerRequest::Update(accept));
    }
    for node in cluster.indices() {
        assert_eq!(cluster.get(node, "k").await, Reply::nil());
    }
}

/// Clients of all nodes count all the time.
#[tokio::test(start_paused = true)]
async fn a_flush_comes_through_between_updates() {
    let cluster = three().start().await;
    let counting = |node: usize| {
        let cluster = &cluster;
        async move {
            let mut sure = 0;
            for number in 0..600 {
                let reply = cluster.update(node, &format!("INCR k{}", number % 20)).await;
                sure += usize::from(matches!(reply, Reply::Value(_)));
            }
            sure
        }
    };
    let flushing = async {
        for _ in 0..20 {
            cluster.pass(7).await;
            assert!(cluster.flush(1).await.is_done());
        }
    };
    let (first, second, third, ()) = tokio::join!(counting(0), counting(1), counting(2), flushing);
    assert!(first + second + third > 1_000, "{first} {second} {third}");
}

/// Its coordinator died when 0 alone had the mark, and 1 and 2 had promised more to an update of one key. That key may be
/// there or not, but everywhere.
#[tokio::test(start_paused = true)]
async fn a_flush_that_nobody_finished_leaves_replicas_equal() {
    let cluster = three().hint_bytes_max(0).start().await;
    for number in 0..20 {
        assert!(cluster.set(0, &format!("k{number}"), "v").await.is_done());
    }
    cluster.pass(3_000).await;
    let mark = version_in(&cluster, 1);
    for node in [1, 2] {
        cluster.hand(0, node, prepare("k7", version_in(&cluster, 2)));
    }
    cluster.hand(0, 0, PeerRequest::Flush { version: mark, is_decided: false });

    let shown = |cluster: &TestCluster, number| {
        cluster.indices().map(|node| cluster.value_at(node, &format!("k{number}"))).collect::<Vec<_>>()
    };
    cluster
        .until("all are equal", |cluster| {
            (0..20).all(|number| shown(cluster, number).windows(2).all(|pair| pair[0] == pair[1]))
        })
        .await;

    for number in (0..20).filter(|&number| number != 7) {
        assert_eq!(shown(&cluster, number), [const { None }; 3], "k{number}");
    }
    assert!(cluster.age_ms() < 20_000, "{}", cluster.age_ms());
    assert!(cluster.flush(2).await.is_done());
    assert_eq!(shown(&cluster, 7), [const { None }; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_decided_mark_is_taken_whatever_was_promised() {
    let cluster = three().start().await;
    assert!(cluster.set(0, "k", "v").await.is_done());
    let (mark, ballot) = (version_in(&cluster, 1), version_in(&cluster, 2));
    cluster.hand(0, 1, prepare("k", ballot));

    let refused = ask(&cluster, 0, 1, PeerRequest::Flush { version: mark, is_decided: false });
    assert!(refused.starts_with(b"-PROMISED"), "{}", refused.escape_ascii());
    assert_eq!(cluster.value_at(1, "k").as_deref(), Some("v"));

    let taken = ask(&cluster, 0, 1, PeerRequest::Flush { version: mark, is_decided: true });
    assert_eq!(taken, encoded(&PeerReply::Ok));
    assert_eq!(cluster.value_at(1, "k"), None);
    assert_eq!(cluster.node(1).replica().store.flush_mark(), mark);
}

/// 2 has just hung, and nobody knows yet. The others wait for its clock no longer than updates wait for them.
#[tokio::test(start_paused = true)]
async fn updates_outlast_a_flush_that_waits_for_a_node_that_hangs() {
    let cluster = three().start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    let count = format!("INCR {key}");
    cluster.network.freeze(index(2));
    assert_eq!(cluster.update(1, &count).await, Reply::value(":1"), "it needs no more than two");

    let counting = async {
        cluster.pass(5).await;
        cluster.update(1, &count).await
    };
    let (flushed, counted) = tokio::join!(cluster.flush(0), counting);

    assert!(matches!(counted, Reply::Value(_)), "{counted:?} beside {flushed:?}");
}
