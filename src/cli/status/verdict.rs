//! What the nodes' views come to: a state for each node, and one verdict on the cluster.
//!
//! * A node is what most of those that answer say of it, itself included; where they are divided, what it says
//!   itself, and if it does not answer, the worse.
//! * A key is available if one of the nodes that answer can reach enough replicas of it that count. Whether that is so
//!   is reckoned slot by slot on the ring, which follows from the nodes' names and two numbers.

use std::collections::BTreeSet;

use super::client::Survey;
use super::report::{NodeState, Report};
use crate::config::{NODES_MAX, VIRTUAL_NODES};
use crate::ring::{HashRing, NodeId, SLOT_COUNT};

/// The cluster at a glance.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Assessment {
    pub(super) cluster: String,
    /// N, W and R.
    pub(super) quorum: (u16, u16, u16),
    pub(super) rows: Vec<Row>,
    pub(super) verdict: Verdict,
}

/// One node.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) state: NodeState,
    /// Why it did not answer, if it did not.
    pub(super) silent: Option<String>,
    pub(super) keys_held: Option<u64>,
    pub(super) slots_owned: Option<u16>,
    pub(super) sync_percent: Option<u8>,
    /// Its clock less the others', the median of what they measured.
    pub(super) clock_offset_ms: Option<i64>,
    /// Writes, and their bytes, that all others together owe to it.
    pub(super) hints: Option<(u64, u64)>,
    /// How long ago it last agreed with the one with which it agreed least lately.
    pub(super) lag_ms: Option<u64>,
}

/// The one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// All nodes are alive, and nothing is known to differ.
    Converged(String),
    /// All nodes are alive, and what differs is being made equal.
    Repairing(String),
    /// Something is wrong, but every key has its quorums.
    Degraded(String),
    /// Some keys have no quorum.
    Unavailable(String),
}

impl Verdict {
    /// The word for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Converged(_) => "converged",
            Self::Repairing(_) => "repairing",
            Self::Degraded(_) => "degraded",
            Self::Unavailable(_) => "UNAVAILABLE",
        }
    }

    /// Why.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Converged(reason) | Self::Repairing(reason) | Self::Degraded(reason) | Self::Unavailable(reason) => {
                reason
            }
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Converged(_) => 0,
            Self::Repairing(_) | Self::Degraded(_) => 1,
            Self::Unavailable(_) => super::UNAVAILABLE,
        }
    }
}

/// What the answers come to; `None` if nobody answered.
pub(super) fn assess(survey: &Survey) -> Option<Assessment> {
    let reports: Vec<&Report> = survey.reports.values().collect();
    let first = *reports.first()?;
    let ids: BTreeSet<&str> = reports.iter().flat_map(|report| names(report)).collect();
    let ring = ring(first, &ids);
    let rows: Vec<Row> =
        ids.iter().enumerate().map(|(index, id)| row(survey, &reports, ring.as_ref(), index, id)).collect();
    let lacking = [first.write_quorum, first.read_quorum].map(|needed| {
        // Clients of a node that is cut off may turn to another one.
        let lacking = reports.iter().map(|report| slots_lacking(report, &ids, ring.as_ref(), needed));
        lacking.min().unwrap_or(SLOT_COUNT)
    });
    let verdict = verdict(first, &reports, &rows, lacking);
    let quorum = (first.replication_factor, first.write_quorum, first.read_quorum);
    Some(Assessment { cluster: first.cluster.clone(), quorum, rows, verdict })
}

fn names(report: &Report) -> impl Iterator<Item = &str> {
    std::iter::once(report.id.as_str()).chain(report.peers.keys().map(String::as_str))
}

/// The ring of the nodes, if this program computes the same one as they do.
fn ring(report: &Report, ids: &BTreeSet<&str>) -> Option<HashRing> {
    if ids.len() > NODES_MAX || !VIRTUAL_NODES.range().contains(&report.virtual_nodes.into()) {
        return None;
    }
    let ids: Vec<NodeId> = ids.iter().map(|id| NodeId::from(*id)).collect();
    let ring = HashRing::new(&ids, report.virtual_nodes, report.replication_factor);
    (ring.fingerprint().to_string() == report.ring_fingerprint).then_some(ring)
}

fn row(survey: &Survey, reports: &[&Report], ring: Option<&HashRing>, index: usize, id: &str) -> Row {
    let own = reports.iter().find(|report| report.id == id);
    let views = || reports.iter().filter_map(|report| report.peers.get(id));
    let asked_at = survey.reports.iter().find(|(_, report)| report.id == id).map(|(address, _)| address.clone());
    let address = views().map(|view| view.address.clone()).next().or(asked_at).unwrap_or_default();
    let hints: Vec<(u64, u64)> = views().filter_map(|view| view.hints).collect();
    let sum = |hints: Vec<(u64, u64)>| {
        hints.iter().fold((0_u64, 0_u64), |sum, owed| (sum.0.saturating_add(owed.0), sum.1.saturating_add(owed.1)))
    };
    let share = ring.and_then(|ring| ring.shares().get(index).map(|share| share.primary_slots + share.replica_slots));
    Row {
        id: id.to_owned(),
        state: majority(reports, id),
        silent: own.is_none().then(|| survey.silent.get(&address).cloned().unwrap_or_default()),
        address,
        keys_held: own.and_then(|report| report.keys_held),
        slots_owned: share.or(own.and_then(|report| report.slots_owned)),
        sync_percent: own.and_then(|report| report.sync_percent),
        clock_offset_ms: median(views().filter_map(|view| view.clock_offset_ms).collect()),
        hints: (!hints.is_empty()).then(|| sum(hints)),
        lag_ms: lag_ms(reports, id),
    }
}

/// What most say of `id`.
fn majority(reports: &[&Report], id: &str) -> NodeState {
    let mut votes: Vec<NodeState> = reports.iter().filter_map(|report| report.view_of(id)).collect();
    votes.sort_unstable();
    let own = reports.iter().find(|report| report.id == id).map(|report| report.own_state());
    let (lower, upper) = (votes[(votes.len() - 1) / 2], votes[votes.len() / 2]);
    if lower == upper { upper } else { own.unwrap_or(upper) }
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// The longest time since `id` agreed with one of the nodes that it can reach, by whoever of the two knows.
fn lag_ms(reports: &[&Report], id: &str) -> Option<u64> {
    let seen_from_it = reports.iter().filter(|report| report.id == id).flat_map(|report| report.peers.values());
    let seen_by_others = reports.iter().filter_map(|report| report.peers.get(id));
    let living = seen_from_it.filter(|view| view.state != NodeState::Down);
    living.chain(seen_by_others).filter_map(|view| view.agreement.agreed_age_ms).max()
}

/// How many slots have fewer than `needed` replicas that count for the node of `report`.
fn slots_lacking(report: &Report, ids: &BTreeSet<&str>, ring: Option<&HashRing>, needed: u16) -> u16 {
    let counts: Vec<bool> =
        ids.iter().map(|id| matches!(report.view_of(id), Some(NodeState::Alive | NodeState::Suspect))).collect();
    let Some(ring) = ring else {
        // Without the ring any N of the nodes may be the replicas of some key.
        let missing = counts.iter().filter(|&&counts| !counts).count();
        return if missing + usize::from(needed) > usize::from(report.replication_factor) { SLOT_COUNT } else { 0 };
    };
    let lacks =
        |nodes: &[crate::ring::NodeIndex]| nodes.iter().filter(|node| counts[node.as_usize()]).count() < needed.into();
    let ranges = ring.ranges().filter(|(_, _, list)| lacks(list.as_slice()));
    ranges.map(|(first, last, _)| last.number() - first.number() + 1).sum()
}

fn verdict(first: &Report, reports: &[&Report], rows: &[Row], [lacking_writes, lacking_reads]: [u16; 2]) -> Verdict {
    let mut troubles = troubles(reports, rows);
    let repairs = repairs(reports, rows);
    let (write_quorum, read_quorum) = (first.write_quorum, first.read_quorum);
    if lacking_writes > 0 || lacking_reads > 0 {
        troubles.extend(repairs);
        let what = match (lacking_writes, lacking_reads) {
            (writes, 0) => format!("{} of the keys cannot be written (W={write_quorum}), reads go on", share(writes)),
            (0, reads) => format!("{} of the keys cannot be read (R={read_quorum}), writes go on", share(reads)),
            (writes, reads) if writes == reads => {
                format!("{} of the keys have no quorum (W={write_quorum}, R={read_quorum})", share(reads))
            }
            (writes, reads) => {
                format!(
                    "{} of the keys cannot be written (W={write_quorum}), {} not read (R={read_quorum})",
                    share(writes),
                    share(reads)
                )
            }
        };
        return Verdict::Unavailable(format!("{what}: {}", troubles.join("; ")));
    }
    if !troubles.is_empty() {
        troubles.extend(repairs);
        let counting = rows.iter().filter(|row| matches!(row.state, NodeState::Alive | NodeState::Suspect)).count();
        let nodes = rows.len();
        return Verdict::Degraded(format!(
            "{}, writes and reads go on ({counting} of {nodes} nodes, W={write_quorum})",
            troubles.join("; ")
        ));
    }
    match repairs.is_empty() {
        true => Verdict::Converged(match rows.len() {
            1 => "1 node alive".to_owned(),
            nodes => format!("{nodes} nodes alive, nothing known to differ"),
        }),
        false => Verdict::Repairing(repairs.join("; ")),
    }
}

/// What is wrong with nodes and their links.
fn troubles(reports: &[&Report], rows: &[Row]) -> Vec<String> {
    let named = |is_so: &dyn Fn(&Row) -> bool| -> Vec<&str> {
        rows.iter().filter(|row| is_so(row)).map(|row| row.id.as_str()).collect()
    };
    let down = named(&|row| row.state == NodeState::Down);
    let slow = named(&|row| row.state == NodeState::Suspect && row.silent.is_none());
    let mut troubles = Vec::new();
    for (ids, one, many) in [(down, "is down", "are down"), (slow, "is slow to answer", "are slow to answer")] {
        match ids.as_slice() {
            [] => {}
            [id] => troubles.push(format!("{id} {one}")),
            ids => troubles.push(format!("{} {many}", ids.join(", "))),
        }
    }
    for row in rows.iter().filter(|row| row.state != NodeState::Down) {
        troubles.extend(silence(row));
        let cut_off = reports.iter().filter(|report| report.view_of(&row.id) == Some(NodeState::Down));
        let cut_off: Vec<&str> = cut_off.map(|report| report.id.as_str()).collect();
        if !cut_off.is_empty() {
            let verb = if cut_off.len() == 1 { "does" } else { "do" };
            troubles.push(format!("{} {verb} not reach {}", cut_off.join(", "), row.id));
        }
    }
    troubles
}

/// What to say of a node that the others do not miss but that did not answer here.
fn silence(row: &Row) -> Option<String> {
    let (id, reason) = (&row.id, row.silent.as_ref()?);
    Some(match row.state {
        NodeState::Suspect => format!("{id} does not answer ({reason})"),
        NodeState::Alive | NodeState::Syncing | NodeState::Down => {
            format!("{id} does not answer here ({reason}), though other nodes reach it")
        }
    })
}

/// What is known to differ.
fn repairs(reports: &[&Report], rows: &[Row]) -> Vec<String> {
    let mut repairs = Vec::new();
    for row in rows.iter().filter(|row| row.state == NodeState::Syncing) {
        let percent = row.sync_percent.map(|percent| format!(" ({percent} %)")).unwrap_or_default();
        repairs.push(format!("{} is catching up{percent}", row.id));
    }
    let views = || reports.iter().flat_map(|report| report.peers.values());
    // Both ends of a pair may tell of the same slot.
    let differing = views().filter_map(|view| view.agreement.slots_differing).max().unwrap_or(0);
    if differing > 0 {
        repairs.push(format!("{differing} slots differ between replicas"));
    }
    let hints = views().filter_map(|view| view.hints).fold(0_u64, |sum, (hints, _)| sum.saturating_add(hints));
    if hints > 0 {
        repairs.push(format!("{hints} missed writes wait for delivery"));
    }
    repairs
}

/// A number of slots as a share of the keys.
fn share(slots: u16) -> String {
    match slots {
        SLOT_COUNT => "all".to_owned(),
        slots => format!("{:.1} %", 100.0 * f64::from(slots) / f64::from(SLOT_COUNT)),
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
