//! Clocks that are off, and processes that start with an old one.

use super::*;

/// Plain last-write-wins stores lose the later of two acknowledged writes if it comes from the slower clock.
#[tokio::test(start_paused = true)]
async fn the_write_acknowledged_last_wins_however_far_clocks_are_apart_within_the_limit() {
    let cluster = three().skews_ms(&[0, 30_000, -29_000]).start().await;
    for (number, order) in [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0], [0, 2, 1], [2, 0, 1]].iter().enumerate() {
        let key = format!("k{number}");
        for writer in order {
            assert!(cluster.set(*writer, &key, &format!("by {writer}")).await.is_done());
            for reader in cluster.indices() {
                assert_eq!(cluster.get(reader, &key).await, Reply::value(&format!("by {writer}")));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_an_hour_ahead_is_refused_with_both_clocks_named() {
    let cluster = three().skews_ms(&[HOUR_MS, 0, 0]).start().await;

    let Reply::Reverted(words) = cluster.set(0, "k", "v").await else { panic!("it is taken back") };

    let (ahead, right) = (cluster.node(0).replica().wall.now(), cluster.node(1).replica().wall.now());
    assert!(words.contains(&ahead.to_string()) && words.contains(&right.to_string()), "{words}");
    assert!(cluster.set(1, "k", "v").await.is_done(), "the others go on");
    assert_eq!(cluster.get(0, "k").await, Reply::value("v"), "and it reads what they write");
}

/// A node's clock was set back while it was down. It must not stamp with a start number that it had before.
#[tokio::test(start_paused = true)]
async fn a_process_that_starts_with_an_older_clock_gets_a_start_number_above_the_former_one() {
    let cluster = three().start().await;
    assert!(cluster.set(1, "k", "before").await.is_done());
    let former = cluster.node(1).replica().start();
    cluster.set_skew_ms(1, -50_000);
    cluster.start(1);
    cluster.until_whole().await;

    assert!(cluster.node(1).replica().start() > former);
    assert!(cluster.set(1, "k", "after").await.is_done());
    assert_eq!(cluster.get(0, "k").await, Reply::value("after"));
}

#[tokio::test(start_paused = true)]
async fn a_process_keeps_its_start_number_when_nobody_remembers_another() {
    let cluster = three().start().await;
    for node in cluster.indices() {
        let replica = cluster.node(node).store.replica.clone();
        assert_eq!(replica.start().get(), replica.wall.now().0 - cluster.age_ms());
    }
}

/// It came back within the same millisecond, or its clock was set back to exactly then.
#[tokio::test(start_paused = true)]
async fn a_process_that_starts_with_the_start_number_of_the_former_one_gets_another() {
    let cluster = three().start().await;
    let former = cluster.node(1).replica().start();
    let began = cluster.node(1).replica().wall.now().0 - former.get();
    cluster.set_skew_ms(1, -i64::try_from(began).expect("a moment"));
    cluster.start(1);
    assert_eq!(cluster.node(1).replica().start(), former);
    cluster.until_whole().await;

    assert!(cluster.node(1).replica().start() > former);
}

/// The highest start number seen of a node is remembered, and its next run has to exceed it.
#[tokio::test(start_paused = true)]
async fn a_start_number_that_no_clock_can_have_shown_locks_nobody_out() {
    let cluster = three().start().await;
    let absurd = StartNumber::new(u64::MAX);
    let introduction = Introduction { start: absurd, ..cluster.node(1).replica().introduction() };

    let refusal = cluster.node(0).replica().introduce(&introduction).unwrap_err();

    assert!(refusal.to_string().contains("node-2") && refusal.to_string().contains("years ahead"), "{refusal}");
    cluster.start(1);
    cluster.until_whole().await;
    assert!(cluster.node(1).replica().start() < absurd);
}

/// One replica holds a version from a clock ahead, another is dead. A refused write moves the coordinator's clock, so
/// that the client's next try gets through.
#[tokio::test(start_paused = true)]
async fn a_coordinator_follows_the_version_for_which_its_write_was_refused() {
    let cluster = three().start().await;
    let ahead =
        cluster.node(2).replica().clock.tick(cluster.node(2).replica().wall.now().after(Duration::from_secs(30)));
    let version = Version::new(ahead, index(2), cluster.node(2).replica().start());
    let request = PeerRequest::Write { key: b"k", value: Some(b"ahead"), version, expires_at: None };
    ask(&cluster, 2, 0, request);
    cluster.crash(2);
    cluster.until("node 1 misses node 2", |cluster| !cluster.is_linked(1, 2)).await;

    assert!(matches!(cluster.set(1, "k", "first try").await, Reply::Reverted(_)));
    assert!(cluster.set(1, "k", "second try").await.is_done());
    assert_eq!(cluster.get(1, "k").await, Reply::value("second try"));
}

/// A replica was reached by a version that lies further ahead than the coordinator's clock may follow. Neither
/// refuses without saying which clocks it looked at.
#[tokio::test(start_paused = true)]
async fn a_coordinator_refuses_to_follow_a_clock_too_far_ahead_and_names_both() {
    // Node 1 is half an hour slow; to node 0 and 2 its limit is an hour, as to all.
    let limit_ms = 3_600_000;
    let cluster =
        three().skews_ms(&[0, -1_800_000, 0]).with(|config| config.max_clock_drift_ms = limit_ms).start().await;
    let right = cluster.node(0).replica().wall.now();
    let ahead = cluster.node(0).replica().clock.tick(right.after(Duration::from_mins(45)));
    let version = Version::new(ahead, index(0), cluster.node(0).replica().start());
    for node in [0, 2] {
        let write = PeerRequest::Write { key: b"k", value: Some(b"ahead"), version, expires_at: None };
        assert_eq!(ask(&cluster, 0, node, write), encoded(&PeerReply::Ok));
    }
    let slow = cluster.node(1).replica().wall.now();

    // At the replica.
    let write = PeerRequest::Write { key: b"k", value: Some(b"ahead"), version, expires_at: None };
    let refusal = String::from_utf8(ask(&cluster, 0, 1, write)).unwrap();
    assert!(refusal.starts_with("-DRIFT ") && refusal.contains(&slow.to_string()), "{refusal}");
    assert!(refusal.contains(&ahead.wall().to_string()), "{refusal}");

    // At the coordinator, whose write the others refuse as older than what they hold.
    let reply = cluster.set(1, "k", "behind").await;
    let (Reply::Reverted(words) | Reply::Indeterminate(words)) = reply else { panic!("{reply:?}") };
    assert!(words.contains(&ahead.wall().to_string()) && words.contains(&slow.to_string()), "{words}");
    assert!(cluster.node(1).replica().clock.last().wall() < right, "it did not follow");
}
