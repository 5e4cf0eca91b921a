//! `# Convergence`: whether the replicas are equal, and what it took to keep them so.
//!
//! A lag that nobody can see is found by the client that reads the wrong value. So each peer has a line of what is known
//! of the slots that it shares with this node and of the writes that it is owed; what is not known is left out.

use std::fmt::Write as _;

use crate::replica::{HintStatus, PeerAgreement};
use crate::time::UnixMs;

use super::Report;

impl Report<'_> {
    pub(super) fn add_convergence(&mut self) {
        let store = &self.server.store;
        let replica = &store.replica;
        let peers = replica.config.node_indices().filter(|&node| node != replica.index);
        for (position, peer) in peers.enumerate() {
            let id = &replica.config.nodes[peer.as_usize()].id;
            let known = peer_fields(replica.agreement(peer), store.hint_status(peer), self.now);
            // Clients keep all sections' fields in one map, and `# Ring` has a field `peer0` already.
            self.field(format_args!("peer{position}_convergence"), format_args!("id={id}{known}"));
        }
        self.add_repairs();
        let counts = self.counts();
        self.field("tombstones", counts.tombstones);
        self.field("voided_versions", counts.void_marks);
        self.field("open_records", counts.open_records);
        self.field("open_records_closed_early", counts.closed_early);
        self.add_catching_up();
    }

    fn add_repairs(&mut self) {
        let convergence = &self.server.store.replica.convergence;
        self.counter("repairs_by_hint", &convergence.repairs_by_hint);
        self.counter("repairs_by_read", &convergence.repairs_by_read);
        self.counter("repairs_by_anti_entropy", &convergence.repairs_by_anti_entropy);
        self.counter("stale_reads", &convergence.stale_reads);
        self.counter("reverted_writes", &convergence.reverted_writes);
    }

    fn add_catching_up(&mut self) {
        let replica = &self.server.store.replica;
        let (owned, syncing) = (super::slots_owned(replica), replica.syncing.count());
        self.field("slots_syncing", syncing);
        self.field("sync_percent", sync_percent(owned.into(), syncing));
        let progress = replica.sync_progress();
        let took_ms = progress.ended.unwrap_or(self.now).0.saturating_sub(progress.began.0);
        self.field("sync_duration_ms", took_ms);
        self.field("sync_records", progress.records_fetched);
        self.field("sync_bytes", progress.bytes_fetched);
        self.field("sync_records_per_sec", per_second(progress.records_fetched, took_ms));
    }
}

/// What is known of a peer, each field behind a comma.
fn peer_fields(agreement: PeerAgreement, hints: HintStatus, now: UnixMs) -> String {
    let PeerAgreement { equal, differing, agreed_at, .. } = agreement;
    let mut text = format!(",slots_equal={equal},slots_differing={differing}");
    if let Some(agreed_at) = agreed_at {
        let _ = write!(text, ",agreed_age_ms={}", now.0.saturating_sub(agreed_at.0));
    }
    let HintStatus { count, bytes, oldest_age_ms, dropped } = hints;
    let _ = write!(text, ",hints={count},hint_bytes={bytes},hint_oldest_ms={oldest_age_ms},hints_dropped={dropped}");
    text
}

/// The share of the owned slots that count, cut to a whole number so that 100 means all.
fn sync_percent(owned: usize, syncing: usize) -> usize {
    100 * owned.saturating_sub(syncing) / owned.max(1)
}

/// The rate of so many in so many milliseconds.
fn per_second(count: u64, ms: u64) -> u64 {
    count.saturating_mul(1000) / ms.max(1)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Bench;
    use super::*;

    #[test]
    fn what_is_known_of_a_peer_is_told_and_the_rest_left_out() {
        let (now, agreed_at) = (UnixMs(10_000), Some(UnixMs(9_400)));
        let agreement = PeerAgreement { equal: 16_380, differing: 4, compared_at: agreed_at, agreed_at };
        let hints = HintStatus { count: 12, bytes: 3456, oldest_age_ms: 780, dropped: 9 };
        let equal = ",slots_equal=16380,slots_differing=4";
        let owed = ",hints=12,hint_bytes=3456,hint_oldest_ms=780,hints_dropped=9";
        assert_eq!(peer_fields(agreement, hints, now), format!("{equal},agreed_age_ms=600{owed}"));
        let never = PeerAgreement { agreed_at: None, ..agreement };
        assert_eq!(peer_fields(never, hints, now), format!("{equal}{owed}"));
    }

    #[test]
    fn a_node_that_counts_for_all_its_slots_is_at_a_hundred_percent() {
        assert_eq!([sync_percent(300, 300), sync_percent(300, 1), sync_percent(300, 0)], [0, 99, 100]);
        assert_eq!(sync_percent(0, 0), 0);
    }

    #[test]
    fn every_counter_has_its_line() {
        let mut bench = Bench::three_nodes();
        let text = bench.ask("INFO convergence");
        for line in [
            "# Convergence",
            "peer0_convergence:id=node-2,slots_equal=0,slots_differing=0,hints=0,hint_bytes=0,hint_oldest_ms=0,hints_dropped=0",
            "peer1_convergence:id=node-3,slots_equal=0,slots_differing=0,hints=0,hint_bytes=0,hint_oldest_ms=0,hints_dropped=0",
            "repairs_by_hint:0",
            "repairs_by_read:0",
            "repairs_by_anti_entropy:0",
            "stale_reads:0",
            "reverted_writes:0",
            "tombstones:0",
            "voided_versions:0",
            "open_records:0",
            "open_records_closed_early:0",
            "slots_syncing:16384",
            "sync_percent:0",
            "sync_records:0",
            "sync_bytes:0",
            "sync_records_per_sec:0",
        ] {
            assert!(text.lines().any(|other| other == line), "no {line} in\n{text}");
        }
    }
}
