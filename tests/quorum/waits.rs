//! WAIT: how many other replicas hold what a connection has written.

use ringkv::coordinator::WrittenSlots;

use super::support::chance::Chance;
use super::*;

/// A connection, as far as WAIT is concerned.
struct Connection<'a> {
    cluster: &'a TestCluster,
    node: usize,
    written: WrittenSlots,
}

impl<'a> Connection<'a> {
    fn new(cluster: &'a TestCluster, node: usize) -> Self {
        Self { cluster, node, written: WrittenSlots::default() }
    }

    async fn set(&mut self, key: &str, value: &str) {
        assert!(self.cluster.set(self.node, key, value).await.is_done());
        self.written.insert(slot(key));
    }

    async fn delete(&mut self, key: &str) {
        assert!(self.cluster.delete(self.node, key).await.is_done());
        self.written.insert(slot(key));
    }

    /// WAIT wanted timeout: the answer, and how many milliseconds it took.
    async fn wait(&mut self, wanted: u64, timeout_ms: u64) -> (u16, u128) {
        let began = Instant::now();
        let deadline = (timeout_ms > 0).then(|| began + Duration::from_millis(timeout_ms));
        let held = self.cluster.node(self.node).store.wait(&mut self.written, wanted, deadline).await;
        (held, began.elapsed().as_millis())
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_just_written_is_soon_on_all_replicas() {
    for (nodes, quorum, others) in
        [(1, (1, 1, 1), 0), (3, (3, 2, 1), 2), (3, (3, 1, 1), 2), (5, (3, 2, 2), 2), (2, (2, 1, 1), 1)]
    {
        let cluster = Setup::new(nodes, quorum).start().await;
        for node in cluster.indices() {
            let mut connection = Connection::new(&cluster, node);
            for number in 0..20 {
                connection.set(&format!("k{number}"), &node.to_string()).await;
            }
            let (held, took_ms) = connection.wait(others.into(), 0).await;
            assert_eq!(held, others, "{nodes} nodes, {quorum:?}");
            assert!(took_ms < 20, "{took_ms}");
            assert!(connection.written.is_empty());
        }
    }
}

/// Node 2 cannot be reached while the connection writes. It is waited for, and comes in the end.
#[tokio::test(start_paused = true)]
async fn a_replica_behind_a_cut_link_does_not_count_until_it_has_everything() {
    let cluster = three().start().await;
    let mut connection = Connection::new(&cluster, 0);
    connection.set("before", "v").await;
    cluster.isolate(2);
    connection.set("a", "v").await;
    connection.delete("before").await;

    let (held, took_ms) = connection.wait(2, 500).await;
    assert_eq!(held, 1);
    assert!((500..=510).contains(&took_ms), "{took_ms}");
    assert_eq!(connection.wait(1, 0).await.0, 1);

    let heal = async {
        cluster.pass(3_000).await;
        assert_eq!(cluster.value_at(2, "before").as_deref(), Some("v"));
        cluster.network.heal_all();
    };
    let ((held, took_ms), ()) = tokio::join!(connection.wait(2, 0), heal);
    assert_eq!(held, 2);
    assert!(took_ms >= 3_000);
    assert_eq!((cluster.value_at(2, "a").as_deref(), cluster.value_at(2, "before")), (Some("v"), None));
}

/// The replicas are asked again and again; when time is up they are being asked once more.
#[tokio::test(start_paused = true)]
async fn a_look_that_is_cut_short_takes_nothing_back() {
    let cluster = three().start().await;
    let mut connection = Connection::new(&cluster, 0);
    cluster.isolate(2);
    cluster.until_missed(2).await;
    connection.set("k", "v").await;
    for (from, to) in [(0, 1), (1, 0)] {
        cluster.network.set_delay(index(from), index(to), Duration::from_millis(20));
    }
    for timeout_ms in 60..160 {
        assert_eq!(connection.wait(2, timeout_ms).await.0, 1, "within {timeout_ms} ms");
    }
}

/// The link is whole again, yet nothing brings node 2 what it missed.
#[tokio::test(start_paused = true)]
async fn a_replica_that_is_back_but_lacks_a_write_does_not_count() {
    let cluster = Setup::new(3, (3, 2, 1)).hint_bytes_max(0).without_anti_entropy().start().await;
    let mut connection = Connection::new(&cluster, 0);
    cluster.isolate(2);
    cluster.until_missed(2).await;
    connection.set("a", "v").await;
    cluster.network.heal_all();
    cluster.until_linked().await;
    connection.set("b", "v").await;
    assert_eq!(cluster.value_at(2, "b").as_deref(), Some("v"));
    assert_eq!(connection.wait(2, 1_000).await.0, 1);
    connection.set("a", "again").await;
    assert_eq!(connection.wait(2, 0).await.0, 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_write_those_count_that_could_hold_one() {
    let cluster = three().start().await;
    let mut connection = Connection::new(&cluster, 1);
    assert_eq!(connection.wait(2, 0).await.0, 2);
    connection.set("k", "v").await;
    assert_eq!(connection.wait(2, 0).await.0, 2);
    cluster.crash(2);
    cluster.until_missed(2).await;
    assert_eq!(connection.wait(2, 100).await.0, 1);
    cluster.start(2);
    assert_eq!(connection.wait(2, 0).await.0, 2);
}

/// With W = 1 nobody knows which of two replicas acknowledged, so two that are equal prove nothing.
#[tokio::test(start_paused = true)]
async fn too_few_equal_replicas_prove_nothing() {
    let cluster = Setup::new(3, (3, 1, 1)).start().await;
    let mut connection = Connection::new(&cluster, 0);
    cluster.isolate(2);
    cluster.until_missed(2).await;
    connection.set("k", "v").await;
    assert_eq!(connection.wait(1, 100).await.0, 0);
}

/// Five nodes, each key on three. A node that is none of a key's replicas may die; of several keys the worst counts.
#[tokio::test(start_paused = true)]
async fn each_key_counts_its_own_replicas() {
    let cluster = Setup::new(5, (3, 2, 1)).start().await;
    let keys: Vec<String> = (0..100).map(|number| format!("k{number}")).collect();
    let (hit, spared): (Vec<_>, Vec<_>) = keys.iter().partition(|key| cluster.replicas_of(key).contains(&4));
    cluster.crash(4);
    cluster.until_missed(4).await;
    let mut connection = Connection::new(&cluster, 3);
    connection.set(spared[0], "v").await;
    assert_eq!(connection.wait(2, 0).await.0, 2);
    connection.set(spared[0], "v").await;
    connection.set(hit[0], "v").await;
    assert_eq!(connection.wait(2, 100).await.0, 1);
}

/// Others write the same slot all the time, so replicas differ at many a look.
#[tokio::test(start_paused = true)]
async fn others_who_write_the_same_slot_do_not_make_it_wait_for_ever() {
    let cluster = three().start().await;
    cluster.network.set_delay(index(0), index(2), Duration::from_millis(3));
    let mut chance = Chance::new(3);
    let mut connection = Connection::new(&cluster, 0);
    let others = async {
        for number in 0..2_000 {
            assert!(cluster.set(1, &format!("{{k}}{}", number % 50), &number.to_string()).await.is_done());
            cluster.pass(chance.within(0..10)).await;
        }
    };
    let waits = async {
        for number in 0..10 {
            connection.set("{k}", &number.to_string()).await;
            let (held, took_ms) = connection.wait(2, 1_000).await;
            assert_eq!(held, 2, "after {took_ms} ms");
        }
    };
    tokio::select! { () = others => panic!("the others were done first"), () = waits => {} }
}
