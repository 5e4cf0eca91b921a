//! `ringkv ring --simulate`: how evenly rings of many sizes share out the slots, and what they cost.
//!
//! Placement is computed from names alone, so what a cluster of a thousand nodes would come to can be told without one.
//! Some names are luckier than others; therefore each figure is the worse one of two ways to name the nodes. All are
//! the same on every machine, save for the two times.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::codec::{Protocol, reply};
use crate::config::{ClusterConfig, NODES_MAX, VIRTUAL_NODES};
use crate::ring::{HashRing, NodeId, NodeIndex, SLOT_COUNT, Share, Slot};

/// The cluster sizes that a range `FROM..TO` goes through, besides its ends.
const STEPS: [u16; 9] = [3, 5, 10, 20, 50, 100, 200, 500, 1000];
/// How many nodes are made to leave, one at a time: the first, the last, and some between.
const LEAVING: usize = 5;
/// How often all slots are looked up to tell how long one takes.
const LOOKUP_ROUNDS: u32 = 20;
const HEADS: [&str; COLUMNS] = [
    "nodes",
    "primary",
    "all",
    "join",
    "ideal",
    "leave",
    "ideal",
    "primary join",
    "leave",
    "ranges",
    "SLOTS",
    "config",
    "read",
    "memory",
    "build",
    "lookup",
];
const COLUMNS: usize = 16;
const LEGEND: &str = "\
primary, all    largest share / mean: of the slots that a node is asked first for, of all slots that it keeps
join, leave     copies of slots that move to other nodes, in parts of all copies; ideal: what none could do with less
primary join, leave  slots that change the node asked first, over the ideal
ranges, SLOTS   of the reply to CLUSTER SLOTS
config, read    length of the shortest cluster.toml, and the time to read and check it
memory, build   what a node keeps of the ring, and the time to compute it; lookup: to find the nodes of a slot
";

/// Which rings to simulate.
#[derive(Args, Debug)]
pub struct SimulateArguments {
    /// Show instead how rings of many sizes would share out the slots, and what they would cost; reads no file
    #[arg(long)]
    pub simulate: bool,
    /// Cluster sizes, as a list such as 3,10,100 or as a range such as 3..1000
    #[arg(long, value_name = "SIZES", default_value = "3..1000", value_parser = sizes, requires = "simulate")]
    pub nodes: Sizes,
    /// At how many positions each simulated node stands
    #[arg(long, value_name = "V", default_value = "256", requires = "simulate",
          value_parser = RangedU64ValueParser::<u32>::new().range(VIRTUAL_NODES.range()))]
    pub virtual_nodes: u32,
    /// How many simulated nodes keep each slot
    #[arg(long, value_name = "N", default_value = "3", requires = "simulate",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub replication_factor: u16,
    /// Show one line of JSON for each size instead
    #[arg(long, requires = "simulate")]
    pub json: bool,
}

/// The numbers of nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sizes(Vec<u16>);

/// What one ring comes to.
#[derive(Clone, Copy, Default, Debug)]
struct Figures {
    /// The largest share over the mean, of slots as primary and of all that are kept.
    primary: f64,
    all: f64,
    join: Movement,
    leave: Movement,
    ranges: usize,
    slots_bytes: usize,
    config_bytes: usize,
    config_ms: f64,
    memory_bytes: usize,
    build_ms: f64,
    lookup_ns: f64,
}

/// What moves when the list of nodes changes by one.
#[derive(Clone, Copy, Default, Debug)]
struct Movement {
    /// The part of all copies that is with a node that had none.
    copies: f64,
    /// The part of the slots that have another primary.
    primaries: f64,
}

/// The report on the rings that `arguments` ask for.
pub(super) fn report(arguments: &SimulateArguments) -> String {
    let rule = (arguments.virtual_nodes, arguments.replication_factor);
    let all = arguments.nodes.0.iter().map(|&size| (size, figures(size, rule)));
    if arguments.json {
        return all.map(|(size, figures)| json(size, &figures)).collect();
    }
    let lines: Vec<_> = [HEADS.map(str::to_owned)].into_iter().chain(all.map(|(size, it)| cells(size, &it))).collect();
    format!("virtual nodes of each: {}, replicas of each slot: {}\n\n{}\n{LEGEND}", rule.0, rule.1, aligned(&lines))
}

/// A parser of cluster sizes.
fn sizes(text: &str) -> Result<Sizes, String> {
    let size = |part: &str| match part.trim().parse() {
        Ok(size @ 1_u16..) if usize::from(size) <= NODES_MAX => Ok(size),
        _ => Err(format!("{part:?} is no number of nodes; write one of 1 to {NODES_MAX}")),
    };
    let Some((from, to)) = text.split_once("..") else {
        return text.split(',').map(size).collect::<Result<_, _>>().map(Sizes);
    };
    let (from, to) = (size(from)?, size(to)?);
    if from > to {
        return Err(format!("it begins above its end; write {to}..{from} instead"));
    }
    let between = STEPS.into_iter().filter(|step| (from..=to).contains(step));
    let mut sizes: Vec<u16> = [from, to].into_iter().chain(between).collect();
    sizes.sort_unstable();
    sizes.dedup();
    Ok(Sizes(sizes))
}

/// The figures of a ring of `size` nodes: the worse of both ways to name them.
fn figures(size: u16, rule: (u32, u16)) -> Figures {
    let plain = measured(size, rule, |number| format!("node-{number}"));
    let addresses = measured(size, rule, |number| format!("10.0.{}.{}:6379", number / 250, number % 250));
    plain.worse(&addresses)
}

fn measured(size: u16, (virtual_nodes, factor): (u32, u16), name: impl Fn(u16) -> String) -> Figures {
    let build = |numbers: &[u16]| {
        let mut ids: Vec<NodeId> = numbers.iter().map(|&number| NodeId::from(name(number).as_str())).collect();
        ids.sort_unstable();
        let begun = Instant::now();
        let ring = HashRing::new(&ids, virtual_nodes, factor);
        (ids, ring, begun.elapsed())
    };
    let numbers: Vec<u16> = (1..=size).collect();
    let (ids, ring, build_time) = build(&numbers);
    let with = |numbers: &[u16]| {
        let (ids, ring, _) = build(numbers);
        (ids, ring)
    };
    let here = (ids, ring);
    let joined = with(&(1..=size + 1).collect::<Vec<_>>());
    let mut leave = Movement::default();
    let (len, leaving) = (numbers.len(), LEAVING.min(numbers.len()));
    for part in 0..if size > 1 { leaving } else { 0 } {
        let mut left = numbers.clone();
        left.remove(part * (len - 1) / (leaving - 1));
        leave = leave.worse(moved(&here, &with(&left)));
    }
    let ring = &here.1;
    let (config_bytes, config_ms) = config_cost(&here.0, virtual_nodes);
    let (primary, all) = largest_to_mean(&ring.shares());
    Figures {
        primary,
        all,
        join: moved(&here, &joined),
        leave,
        ranges: ring.ranges().count(),
        slots_bytes: slots_bytes(ring),
        config_bytes,
        config_ms,
        memory_bytes: ring.memory_bytes(),
        build_ms: build_time.as_secs_f64() * 1e3,
        lookup_ns: lookup_ns(ring),
    }
}

/// What comes to another node on the way from one ring to the next.
fn moved((ids, before): &(Vec<NodeId>, HashRing), (next_ids, after): &(Vec<NodeId>, HashRing)) -> Movement {
    // Numbers of nodes shift when one joins or leaves: this is what each was before.
    let number = |id: &NodeId| ids.binary_search(id).ok().and_then(|at| u16::try_from(at).ok()).map(NodeIndex);
    let earlier: Vec<Option<NodeIndex>> = next_ids.iter().map(number).collect();
    let (mut copies, mut primaries) = (0_u32, 0_u32);
    for slot in Slot::all() {
        let (old, new) = (before.preference_list(slot), after.preference_list(slot));
        let came = |node: &&NodeIndex| earlier[node.as_usize()].is_none_or(|node| !old.contains(node));
        copies += new.iter().filter(came).map(|_| 1).sum::<u32>();
        primaries += u32::from(earlier[new.primary().as_usize()] != Some(old.primary()));
    }
    let slots = f64::from(SLOT_COUNT);
    Movement { copies: f64::from(copies) / slots / count(after.replicas()), primaries: f64::from(primaries) / slots }
}

/// How much more than the mean the busiest node has: of the slots as primary, and of all that it keeps.
fn largest_to_mean(shares: &[Share]) -> (f64, f64) {
    let ratio = |slots: &dyn Fn(&Share) -> u32| {
        let all: u32 = shares.iter().map(slots).sum();
        f64::from(shares.iter().map(slots).max().unwrap_or_default()) * count(shares.len()) / f64::from(all)
    };
    let kept = |share: &Share| u32::from(share.primary_slots) + u32::from(share.replica_slots);
    (ratio(&|share| share.primary_slots.into()), ratio(&kept))
}

/// The length of the reply to CLUSTER SLOTS, in RESP2 and with IPv4 addresses.
fn slots_bytes(ring: &HashRing) -> usize {
    let mut out = Vec::new();
    reply::array(&mut out, ring.ranges().count());
    for (first, last, list) in ring.ranges() {
        reply::array(&mut out, 2 + list.len());
        reply::integer(&mut out, first.number().into());
        reply::integer(&mut out, last.number().into());
        for _ in list.iter() {
            reply::array(&mut out, 4);
            reply::bulk(&mut out, b"10.0.100.100");
            reply::integer(&mut out, 6379);
            reply::bulk(&mut out, &[b'0'; 40]);
            reply::map(&mut out, Protocol::Resp2, 0);
        }
    }
    out.len()
}

/// The length of a cluster.toml that names these nodes, and the milliseconds to read and check it.
fn config_cost(ids: &[NodeId], virtual_nodes: u32) -> (usize, f64) {
    let mut text = format!("[cluster]\nvirtual_nodes = {virtual_nodes}\nreplication_factor = 1\nwrite_quorum = 1\n");
    for (number, id) in ids.iter().enumerate() {
        let _ = write!(text, "\n[[nodes]]\nid = \"{id}\"\naddr = \"10.0.{}.{}:6379\"\n", number / 250, number % 250);
    }
    let begun = Instant::now();
    let read = ClusterConfig::parse(black_box(&text), "cluster.toml");
    let time = begun.elapsed();
    debug_assert!(read.is_ok(), "{read:?}");
    (text.len(), time.as_secs_f64() * 1e3)
}

fn lookup_ns(ring: &HashRing) -> f64 {
    let begun = Instant::now();
    for _ in 0..LOOKUP_ROUNDS {
        for slot in Slot::all() {
            black_box(ring.preference_list(black_box(slot)).primary());
        }
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUP_ROUNDS) / f64::from(SLOT_COUNT)
}

impl Figures {
    fn worse(&self, other: &Self) -> Self {
        Self {
            primary: self.primary.max(other.primary),
            all: self.all.max(other.all),
            join: self.join.worse(other.join),
            leave: self.leave.worse(other.leave),
            ranges: self.ranges.max(other.ranges),
            slots_bytes: self.slots_bytes.max(other.slots_bytes),
            config_bytes: self.config_bytes.max(other.config_bytes),
            config_ms: self.config_ms.max(other.config_ms),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            build_ms: self.build_ms.max(other.build_ms),
            lookup_ns: self.lookup_ns.max(other.lookup_ns),
        }
    }
}

impl Movement {
    fn worse(self, other: Self) -> Self {
        Self { copies: self.copies.max(other.copies), primaries: self.primaries.max(other.primaries) }
    }
}

fn cells(size: u16, figures: &Figures) -> [String; COLUMNS] {
    let (join, leave) = ideal(size);
    let percent = |part: f64| format!("{:.2}%", 100.0 * part);
    [
        size.to_string(),
        format!("{:.3}", figures.primary),
        format!("{:.3}", figures.all),
        percent(figures.join.copies),
        percent(join),
        percent(figures.leave.copies),
        percent(leave),
        format!("{:.2}", figures.join.primaries / join),
        format!("{:.2}", figures.leave.primaries / leave),
        figures.ranges.to_string(),
        format!("{} KiB", figures.slots_bytes.div_ceil(1024)),
        format!("{} KiB", figures.config_bytes.div_ceil(1024)),
        format!("{:.1} ms", figures.config_ms),
        format!("{} KiB", figures.memory_bytes.div_ceil(1024)),
        format!("{:.1} ms", figures.build_ms),
        format!("{:.1} ns", figures.lookup_ns),
    ]
}

fn json(size: u16, figures: &Figures) -> String {
    let Figures {
        primary, all, ranges, slots_bytes, config_bytes, config_ms, memory_bytes, build_ms, lookup_ns, ..
    } = figures;
    let (join, leave) = ideal(size);
    format!(
        "{{\"nodes\":{size},\"primary_max_to_mean\":{primary:.4},\"all_max_to_mean\":{all:.4},\
         \"join_copies_moved\":{:.6},\"join_primaries_moved\":{:.6},\"join_ideal\":{join:.6},\
         \"leave_copies_moved\":{:.6},\"leave_primaries_moved\":{:.6},\"leave_ideal\":{leave:.6},\
         \"ranges\":{ranges},\"cluster_slots_bytes\":{slots_bytes},\
         \"config_bytes\":{config_bytes},\"config_read_ms\":{config_ms:.3},\"memory_bytes\":{memory_bytes},\
         \"build_ms\":{build_ms:.3},\"lookup_ns\":{lookup_ns:.2}}}\n",
        figures.join.copies, figures.join.primaries, figures.leave.copies, figures.leave.primaries
    )
}

/// The part that has to move for even shares when a node joins `size` others, and when one of `size` leaves.
fn ideal(size: u16) -> (f64, f64) {
    (1.0 / (f64::from(size) + 1.0), 1.0 / f64::from(size))
}

fn aligned(lines: &[[String; COLUMNS]]) -> String {
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let width = lines.iter().map(|line| line[column].len()).max().unwrap_or_default();
            let _ = write!(text, "{}{cell:>width$}", if column == 0 { "" } else { "  " });
        }
        text.push('\n');
    }
    text
}

fn count(len: usize) -> f64 {
    f64::from(u32::try_from(len).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulated(sizes: &[u16], json: bool) -> String {
        let nodes = Sizes(sizes.to_vec());
        report(&SimulateArguments { simulate: true, nodes, virtual_nodes: 64, replication_factor: 3, json })
    }

    #[test]
    fn sizes_are_a_list_or_the_steps_of_a_range() {
        assert_eq!(sizes("7,3"), Ok(Sizes(vec![7, 3])));
        assert_eq!(sizes("3..1000"), Ok(Sizes(STEPS.to_vec())));
        assert_eq!(sizes("4..60"), Ok(Sizes(vec![4, 5, 10, 20, 50, 60])));
        for wrong in ["", "0", "3,", "1025", "a..b", "5..3"] {
            assert!(sizes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_size_has_its_line() {
        let shown = simulated(&[1, 2, 4], false);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "virtual nodes of each: 64, replicas of each slot: 3");
        for (line, size) in lines[3..6].iter().zip(["1", "2", "4"]) {
            assert_eq!(line.split_whitespace().next(), Some(size), "{shown}");
        }
        assert_eq!(simulated(&[1, 2, 4], true).lines().count(), 3);
    }

    #[test]
    fn where_every_node_keeps_every_slot_only_the_newcomers_copies_move() {
        let (here, joined) = (figures(2, (16, 2)), figures(2, (16, 3)));
        assert!((here.all - 1.0).abs() < 1e-9);
        assert!((joined.join.copies - 1.0 / 3.0).abs() < 1e-9, "{joined:?}");
        assert!(joined.leave.copies.abs() < 1e-9, "{joined:?}");
    }
}
