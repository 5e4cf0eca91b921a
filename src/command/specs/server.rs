//! Commands on the server as a whole.

use crate::command::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group};

const LOADING_STALE: Flags = Flags::LOADING.and(Flags::STALE);
const FLUSH_MODE: &[Argument] =
    &[Argument::one_of("mode", &[Argument::word("async", "ASYNC"), Argument::word("sync", "SYNC")]).optional()];
const COMMAND_NAMES: &[Argument] = &[Argument::new("command-name", ArgumentKind::String).optional().multiple()];
const UNORDERED: &[&str] = &["nondeterministic_output_order"];

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new(CommandId::DbSize, "dbsize", 1, "Counts the keys of the whole cluster.")
        .filed(Group::Server, "1.0.0", "O(N), N being the number of nodes")
        .flags(Flags::READONLY.and(Flags::FAST))
        .also_in(Categories::KEYSPACE),
    flush(CommandId::FlushAll, "flushall", "Removes every key of the cluster."),
    flush(CommandId::FlushDb, "flushdb", "Does the same as FLUSHALL: there is one database."),
    CommandSpec::new(CommandId::Time, "time", 1, "Returns the node's clock: Unix seconds, and microseconds in them.")
        .filed(Group::Server, "2.6.0", "O(1)")
        .flags(LOADING_STALE.and(Flags::FAST))
        .tips(&["nondeterministic_output"]),
    CommandSpec::new(CommandId::Info, "info", -1, "Reports the state and the counters of this node.")
        .filed(Group::Server, "1.0.0", "O(1)")
        .flags(LOADING_STALE)
        .also_in(Categories::DANGEROUS)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .arguments(&[Argument::new("section", ArgumentKind::String).optional().multiple()]),
    CommandSpec::new(CommandId::Config, "config", -2, "Groups the commands on settings.")
        .filed(Group::Server, "2.0.0", "That of the subcommand")
        .subcommands(CONFIG),
    CommandSpec::new(CommandId::Command, "command", -1, "Describes all commands.")
        .filed(Group::Server, "2.8.13", "O(N), N being the number of commands")
        .flags(LOADING_STALE)
        .also_in(Categories::CONNECTION)
        .tips(UNORDERED)
        .subcommands(COMMAND),
];

const CONFIG: &[CommandSpec] = &[
    CommandSpec::new(CommandId::ConfigGet, "config|get", -3, "Returns the settings that match a pattern.")
        .filed(Group::Server, "2.0.0", "O(N), N being the number of patterns")
        .flags(LOADING_STALE.and(Flags::ADMIN).and(Flags::NOSCRIPT))
        .arguments(&[Argument::new("parameter", ArgumentKind::Pattern).multiple()]),
    CommandSpec::new(CommandId::ConfigHelp, "config|help", 2, "Lists the subcommands of CONFIG.")
        .filed(Group::Server, "5.0.0", "O(1)")
        .flags(LOADING_STALE),
    CommandSpec::new(CommandId::ConfigResetStat, "config|resetstat", 2, "Starts the counters of INFO again.")
        .filed(Group::Server, "2.0.0", "O(N), N being the number of commands")
        .flags(LOADING_STALE.and(Flags::ADMIN).and(Flags::NOSCRIPT)),
    CommandSpec::new(CommandId::ConfigRewrite, "config|rewrite", 2, "Is refused: all nodes share one file.")
        .filed(Group::Server, "2.8.0", "O(1)")
        .flags(LOADING_STALE.and(Flags::ADMIN).and(Flags::NOSCRIPT)),
    CommandSpec::new(
        CommandId::ConfigSet,
        "config|set",
        -4,
        "Changes settings of this node, all of those given or none.",
    )
    .filed(Group::Server, "2.0.0", "O(N), N being the number of settings")
    .flags(LOADING_STALE.and(Flags::ADMIN).and(Flags::NOSCRIPT))
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
    .arguments(&[Argument::block(
        "parameter_value",
        &[Argument::new("parameter", ArgumentKind::String), Argument::new("value", ArgumentKind::String)],
    )
    .multiple()]),
];

const COMMAND: &[CommandSpec] = &[
    about_commands(CommandId::CommandCount, "command|count", 2, "Counts the commands.").filed(
        Group::Server,
        "2.8.13",
        "O(1)",
    ),
    about_commands(
        CommandId::CommandDocs,
        "command|docs",
        -2,
        "Returns what commands do and which arguments they take.",
    )
    .filed(Group::Server, "7.0.0", "O(N), N being the number of names")
    .tips(UNORDERED)
    .arguments(COMMAND_NAMES),
    about_commands(CommandId::CommandGetKeys, "command|getkeys", -4, "Returns the keys of a complete command.")
        .filed(Group::Server, "2.8.13", "O(N), N being the number of arguments")
        .arguments(&[
            Argument::new("command", ArgumentKind::String),
            Argument::new("arg", ArgumentKind::String).multiple(),
        ]),
    about_commands(CommandId::CommandHelp, "command|help", 2, "Lists the subcommands of COMMAND.").filed(
        Group::Server,
        "5.0.0",
        "O(1)",
    ),
    about_commands(CommandId::CommandInfo, "command|info", -2, "Returns arity, flags and key positions of commands.")
        .filed(Group::Server, "2.8.13", "O(N), N being the number of names")
        .tips(UNORDERED)
        .arguments(COMMAND_NAMES),
    about_commands(CommandId::CommandList, "command|list", -2, "Returns the names of commands, all or some.")
        .filed(Group::Server, "7.0.0", "O(N), N being the number of commands")
        .tips(UNORDERED)
        .arguments(&[Argument::one_of(
            "filterby",
            &[
                Argument::new("module-name", ArgumentKind::String).token("MODULE"),
                Argument::new("category", ArgumentKind::String).token("ACLCAT"),
                Argument::new("pattern", ArgumentKind::Pattern).token("PATTERN"),
            ],
        )
        .token("FILTERBY")
        .optional()]),
];

const fn flush(id: CommandId, name: &'static str, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, -1, summary)
        .filed(Group::Server, "1.0.0", "O(N), N being the number of keys")
        .flags(Flags::WRITE)
        .also_in(Categories::KEYSPACE.and(Categories::DANGEROUS))
        .arguments(FLUSH_MODE)
}

const fn about_commands(id: CommandId, name: &'static str, arity: i8, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, arity, summary).flags(LOADING_STALE).also_in(Categories::CONNECTION)
}
