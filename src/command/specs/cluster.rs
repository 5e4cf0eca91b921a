//! Commands on slots and nodes.

use crate::command::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group};

const ANY_TIME: Flags = Flags::FAST.and(Flags::LOADING).and(Flags::STALE);
const PER_NODE: &str = "O(N), N being the number of nodes";
const PER_RANGE: &str = "O(N), N being the number of slot ranges";
const CHANGES: &[&str] = &["nondeterministic_output"];

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new(
        CommandId::ReadOnly,
        "readonly",
        1,
        "Is accepted and changes nothing: every replica serves reads.",
    )
    .filed(Group::Cluster, "3.0.0", "O(1)")
    .flags(ANY_TIME)
    .also_in(Categories::CONNECTION),
    CommandSpec::new(CommandId::ReadWrite, "readwrite", 1, "Is accepted and changes nothing: every node takes writes.")
        .filed(Group::Cluster, "3.0.0", "O(1)")
        .flags(ANY_TIME)
        .also_in(Categories::CONNECTION),
    CommandSpec::new(CommandId::Cluster, "cluster", -2, "Groups the commands on slots and nodes.")
        .filed(Group::Cluster, "3.0.0", "That of the subcommand")
        .subcommands(CLUSTER),
];

const CLUSTER: &[CommandSpec] = &[
    subcommand(CommandId::ClusterCountKeysInSlot, "cluster|countkeysinslot", 3, "Counts this node's keys of a slot.")
        .arguments(&[Argument::new("slot", ArgumentKind::Integer)]),
    subcommand(CommandId::ClusterGetKeysInSlot, "cluster|getkeysinslot", 4, "Returns this node's keys of a slot.")
        .filed(Group::Cluster, "3.0.0", "O(N), N being the number of keys asked for")
        .tips(CHANGES)
        .arguments(&[Argument::new("slot", ArgumentKind::Integer), Argument::new("count", ArgumentKind::Integer)]),
    subcommand(CommandId::ClusterHelp, "cluster|help", 2, "Lists the subcommands of CLUSTER.")
        .filed(Group::Cluster, "5.0.0", "O(1)")
        .flags(Flags::LOADING.and(Flags::STALE)),
    subcommand(CommandId::ClusterInfo, "cluster|info", 2, "Reports the cluster's state as this node sees it.")
        .tips(CHANGES),
    subcommand(CommandId::ClusterKeySlot, "cluster|keyslot", 3, "Returns the slot of a key.")
        .filed(Group::Cluster, "3.0.0", "O(N), N being the length of the key")
        .arguments(&[Argument::new("key", ArgumentKind::String)]),
    subcommand(
        CommandId::ClusterLinks,
        "cluster|links",
        2,
        "Returns the connections between this node and the others.",
    )
    .filed(Group::Cluster, "7.0.0", PER_NODE)
    .tips(CHANGES),
    subcommand(CommandId::ClusterMyId, "cluster|myid", 2, "Returns this node's id."),
    subcommand(CommandId::ClusterNodes, "cluster|nodes", 2, "Describes all nodes, one on each line.")
        .filed(Group::Cluster, "3.0.0", PER_NODE)
        .tips(CHANGES),
    subcommand(CommandId::ClusterReplicas, "cluster|replicas", 3, "Returns nothing, since every node is a master.")
        .filed(Group::Cluster, "5.0.0", PER_NODE)
        .flags(Flags::STALE.and(Flags::ADMIN))
        .tips(CHANGES)
        .arguments(&[Argument::new("node-id", ArgumentKind::String)]),
    subcommand(CommandId::ClusterShards, "cluster|shards", 2, "Returns the slot ranges of each set of replicas.")
        .filed(Group::Cluster, "7.0.0", PER_RANGE)
        .tips(CHANGES),
    subcommand(CommandId::ClusterSlots, "cluster|slots", 2, "Returns each slot range with its replicas.")
        .filed(Group::Cluster, "3.0.0", PER_RANGE)
        .tips(CHANGES),
];

const fn subcommand(id: CommandId, name: &'static str, arity: i8, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, arity, summary).filed(Group::Cluster, "3.0.0", "O(1)").flags(Flags::STALE)
}
