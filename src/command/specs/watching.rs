//! Commands that show what a node does: MONITOR, SLOWLOG and LATENCY.

use crate::command::spec::{Argument, ArgumentKind, CommandId, CommandSpec, Flags, Group};

const LOADING_STALE: Flags = Flags::LOADING.and(Flags::STALE);
const ADMIN: Flags = LOADING_STALE.and(Flags::ADMIN);
const ADMIN_NOSCRIPT: Flags = ADMIN.and(Flags::NOSCRIPT);
const PER_NODE: &str = "nondeterministic_output";
const EVENT: Argument = Argument::new("event", ArgumentKind::String);

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new(CommandId::Monitor, "monitor", 1, "Shows every command that clients send to this node.")
        .filed(Group::Server, "1.0.0", "O(1), and each command of others costs more")
        .flags(ADMIN_NOSCRIPT),
    CommandSpec::new(CommandId::SlowLog, "slowlog", -2, "Groups the commands on slow commands.")
        .filed(Group::Server, "2.2.12", "That of the subcommand")
        .subcommands(SLOWLOG),
    CommandSpec::new(CommandId::Latency, "latency", -2, "Groups the commands on how long others take.")
        .filed(Group::Server, "2.8.13", "That of the subcommand")
        .subcommands(LATENCY),
];

const SLOWLOG: &[CommandSpec] = &[
    CommandSpec::new(
        CommandId::SlowLogGet,
        "slowlog|get",
        -2,
        "Returns the last slow commands of this node's clients.",
    )
    .filed(Group::Server, "2.2.12", "O(N), N being the number of commands returned")
    .flags(ADMIN)
    .tips(&["request_policy:all_nodes", PER_NODE])
    .arguments(&[Argument::new("count", ArgumentKind::Integer).optional()]),
    CommandSpec::new(CommandId::SlowLogHelp, "slowlog|help", 2, "Lists the subcommands of SLOWLOG.")
        .filed(Group::Server, "6.2.0", "O(1)")
        .flags(LOADING_STALE),
    CommandSpec::new(CommandId::SlowLogLen, "slowlog|len", 2, "Counts the slow commands that this node has kept.")
        .filed(Group::Server, "2.2.12", "O(1)")
        .flags(ADMIN)
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum", PER_NODE]),
    CommandSpec::new(CommandId::SlowLogReset, "slowlog|reset", 2, "Forgets the slow commands of this node's clients.")
        .filed(Group::Server, "2.2.12", "O(N), N being the number of commands kept")
        .flags(ADMIN)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];

const LATENCY: &[CommandSpec] = &[
    CommandSpec::new(CommandId::LatencyHelp, "latency|help", 2, "Lists the subcommands of LATENCY.")
        .filed(Group::Server, "2.8.13", "O(1)")
        .flags(LOADING_STALE),
    CommandSpec::new(
        CommandId::LatencyHistogram,
        "latency|histogram",
        -2,
        "Returns how many calls took up to 1, 2, 4, ... microseconds on this node, for each command or those named.",
    )
    .filed(Group::Server, "7.0.0", "O(N), N being the number of commands")
    .flags(ADMIN_NOSCRIPT)
    .tips(&[PER_NODE, "request_policy:all_nodes", "response_policy:special"])
    .arguments(&[Argument::new("command", ArgumentKind::String).optional().multiple()]),
    CommandSpec::new(CommandId::LatencyHistory, "latency|history", 3, "Returns nothing: no events are recorded.")
        .filed(Group::Server, "2.8.13", "O(1)")
        .flags(ADMIN_NOSCRIPT)
        .tips(&[PER_NODE, "request_policy:all_nodes", "response_policy:special"])
        .arguments(&[EVENT]),
    CommandSpec::new(CommandId::LatencyLatest, "latency|latest", 2, "Returns nothing: no events are recorded.")
        .filed(Group::Server, "2.8.13", "O(1)")
        .flags(ADMIN_NOSCRIPT)
        .tips(&[PER_NODE, "request_policy:all_nodes", "response_policy:special"]),
    CommandSpec::new(CommandId::LatencyReset, "latency|reset", -2, "Returns 0: no events are recorded.")
        .filed(Group::Server, "2.8.13", "O(1)")
        .flags(ADMIN_NOSCRIPT)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .arguments(&[EVENT.optional().multiple()]),
];
