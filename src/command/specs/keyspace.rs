//! Commands on the keys of the whole cluster.

use crate::command::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group};

const PATTERN: Argument = Argument::new("pattern", ArgumentKind::Pattern);

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new(CommandId::Scan, "scan", -2, "Walks through the keys of the whole cluster, some at a time.")
        .filed(Group::Generic, "2.8.0", "O(1) for a call, O(N) for all keys, N being their number")
        .flags(Flags::READONLY)
        .also_in(Categories::KEYSPACE)
        .tips(&["nondeterministic_output"])
        .arguments(&[
            Argument::new("cursor", ArgumentKind::Integer),
            PATTERN.token("MATCH").optional(),
            Argument::new("count", ArgumentKind::Integer).token("COUNT").optional(),
            Argument::new("type", ArgumentKind::String).token("TYPE").optional(),
        ]),
    CommandSpec::new(CommandId::Keys, "keys", 2, "Returns the keys of the whole cluster that match a pattern.")
        .filed(Group::Generic, "1.0.0", "O(N), N being the number of keys")
        .flags(Flags::READONLY)
        .also_in(Categories::KEYSPACE.and(Categories::DANGEROUS))
        .tips(&["nondeterministic_output_order"])
        .arguments(&[PATTERN]),
    CommandSpec::new(CommandId::RandomKey, "randomkey", 1, "Returns some key of the cluster, or nil if there is none.")
        .filed(Group::Generic, "1.0.0", "O(1)")
        .flags(Flags::READONLY)
        .also_in(Categories::KEYSPACE)
        .tips(&["nondeterministic_output"]),
    CommandSpec::new(CommandId::Wait, "wait", 3, "Waits until other replicas hold what this connection has written.")
        .filed(Group::Generic, "3.0.0", "O(N), N being the number of slots written to")
        .flags(Flags::NOSCRIPT)
        .also_in(Categories::CONNECTION)
        .arguments(&[
            Argument::new("numreplicas", ArgumentKind::Integer),
            Argument::new("timeout", ArgumentKind::Integer),
        ]),
];
