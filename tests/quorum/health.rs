//! What nodes know of each other's life and clocks.

use ringkv::peer::Health;

use super::*;

fn health(cluster: &TestCluster, from: usize, to: usize) -> Health {
    cluster.node(from).store.peers.health(index(to))
}

/// A node that hangs keeps its connections, and nobody asks it anything.
#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_is_suspect_and_then_down_within_two_timeouts() {
    let cluster = three().start().await;
    let began = Instant::now();
    cluster.network.freeze(index(2));

    cluster.until("it is suspect", |cluster| health(cluster, 0, 2) == Health::Suspect).await;
    assert!(cluster.is_linked(0, 2), "a suspect still counts");
    assert!(cluster.set(0, "k", "v").await.is_done(), "two others make the quorum");
    cluster.until_missed(2).await;

    assert!(began.elapsed() < 2 * cluster.config.request_timeout(), "{:?}", began.elapsed());
    assert_eq!((health(&cluster, 0, 2), health(&cluster, 0, 1)), (Health::Down, Health::Alive));
    cluster.network.thaw(index(2));
    cluster.until_linked().await;
    assert_eq!(health(&cluster, 0, 2), Health::Alive);
}

/// The first replica of the key hangs; a read through a node that keeps no copy need not wait for it to be found dead.
#[tokio::test(start_paused = true)]
async fn a_read_asks_a_living_replica_before_a_suspect() {
    let cluster = Setup::new(4, (3, 2, 1)).start().await;
    let key = cluster.key_on(&[0, 1, 2]);
    assert!(cluster.set(3, &key, "v").await.is_done());
    cluster.network.freeze(index(0));
    cluster.until("it is suspect", |cluster| health(cluster, 3, 0) == Health::Suspect).await;
    let began = Instant::now();

    assert_eq!(cluster.get(3, &key).await, Reply::value("v"));

    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// The introduction takes long on the way there and no time back, so half of that is taken for an offset, until the way
/// is quick.
#[tokio::test(start_paused = true)]
async fn a_clock_is_measured_again_and_the_quickest_sample_believed() {
    let cluster = three().skews_ms(&[0, 5_000, -5_000]).build();
    cluster.network.set_delay(index(0), index(1), Duration::from_millis(100));
    cluster.indices().for_each(|node| cluster.start(node));
    cluster.until_whole().await;
    let offset =
        |cluster: &TestCluster, from: usize, to: usize| cluster.node(from).replica().clock_offset_ms(index(to));
    assert_eq!(offset(&cluster, 0, 1), 5_050);

    cluster.network.set_delay(index(0), index(1), Duration::ZERO);
    cluster.pass(1_500).await;

    assert_eq!([offset(&cluster, 0, 1), offset(&cluster, 0, 2), offset(&cluster, 2, 1)], [5_000, -5_000, 10_000]);
    let status = cluster.node(0).store.peers.status(index(1)).unwrap();
    assert_eq!(status.clock_offset_ms, 5_000, "INFO shows the same");
}
