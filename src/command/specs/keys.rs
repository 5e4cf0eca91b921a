//! Commands on keys, whatever they hold: how long they live, and what they are made of.

use crate::command::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group, KeySpec};

const KEY: &[Argument] = &[Argument::key()];
const KEYSPACE: Categories = Categories::KEYSPACE;
const WRITE_FAST: Flags = Flags::WRITE.and(Flags::FAST);
const WRITE_DENYOOM: Flags = Flags::WRITE.and(Flags::DENYOOM);
/// A key that gets another name, and its names.
const MOVED: KeySpec = KeySpec::first(&["RW", "access", "delete"]);
const NAMES: &[Argument] = &[Argument::key(), Argument::key_of(1, "newkey")];
const LOADING_STALE: Flags = Flags::LOADING.and(Flags::STALE);
/// What is answered differs from one server to the next.
const VARIES: &[&str] = &["nondeterministic_output"];

/// When a new expiry counts.
const CONDITION: Argument = Argument::one_of(
    "condition",
    &[Argument::word("nx", "NX"), Argument::word("xx", "XX"), Argument::word("gt", "GT"), Argument::word("lt", "LT")],
)
.optional();

pub(super) const COMMANDS: &[CommandSpec] = &[
    expiry(CommandId::Expire, "expire", "1.0.0", "Lets a key expire in so many seconds.").arguments(&[
        Argument::key(),
        Argument::new("seconds", ArgumentKind::Integer),
        CONDITION,
    ]),
    expiry(CommandId::PExpire, "pexpire", "2.6.0", "Lets a key expire in so many milliseconds.").arguments(&[
        Argument::key(),
        Argument::new("milliseconds", ArgumentKind::Integer),
        CONDITION,
    ]),
    expiry(CommandId::ExpireAt, "expireat", "1.2.0", "Lets a key expire at a Unix time in seconds.").arguments(&[
        Argument::key(),
        Argument::new("unix-time-seconds", ArgumentKind::UnixTime),
        CONDITION,
    ]),
    expiry(CommandId::PExpireAt, "pexpireat", "2.6.0", "Lets a key expire at a Unix time in milliseconds.")
        .arguments(&[Argument::key(), Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime), CONDITION]),
    CommandSpec::new(CommandId::Persist, "persist", 2, "Lets a key live for ever.")
        .filed(Group::Generic, "2.2.0", "O(1)")
        .flags(WRITE_FAST)
        .also_in(KEYSPACE)
        .keys(KeySpec::first(&["RW", "update"]))
        .arguments(KEY),
    CommandSpec::new(CommandId::Touch, "touch", -2, "Counts the keys that exist, as EXISTS does.")
        .filed(Group::Generic, "3.2.1", "O(N), N being the number of keys")
        .flags(Flags::READONLY.and(Flags::FAST))
        .also_in(KEYSPACE)
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(KeySpec::every(1, &["RO"]))
        .arguments(&[Argument::key().multiple()]),
    CommandSpec::new(CommandId::Rename, "rename", 3, "Gives a key another name, whatever had that before.")
        .filed(Group::Generic, "1.0.0", "O(1)")
        .flags(Flags::WRITE)
        .also_in(KEYSPACE)
        .keys(MOVED.then(&KeySpec::second(&["OW", "update"])))
        .arguments(NAMES),
    CommandSpec::new(CommandId::RenameNx, "renamenx", 3, "Gives a key another name, unless a key has that.")
        .filed(Group::Generic, "1.0.0", "O(1)")
        .flags(WRITE_FAST)
        .also_in(KEYSPACE)
        .keys(MOVED.then(&KeySpec::second(&["OW", "insert"])))
        .arguments(NAMES),
    CommandSpec::new(CommandId::Copy, "copy", -3, "Writes a key's value under another name, too.")
        .filed(Group::Generic, "6.2.0", "O(1)")
        .flags(WRITE_DENYOOM)
        .also_in(KEYSPACE)
        .keys(KeySpec::first(&["RO", "access"]).then(&KeySpec::second(&["OW", "update"])))
        .arguments(&[
            Argument::key_of(0, "source"),
            Argument::key_of(1, "destination"),
            Argument::new("destination-db", ArgumentKind::Integer).token("DB").optional(),
            Argument::word("replace", "REPLACE").optional(),
        ]),
    CommandSpec::new(CommandId::Dump, "dump", 2, "Returns a key's value in a form that RESTORE takes, Redis' too.")
        .filed(Group::Generic, "2.6.0", "O(1)")
        .flags(Flags::READONLY)
        .also_in(KEYSPACE)
        .tips(VARIES)
        .keys(KeySpec::first(&["RO", "access"]))
        .arguments(KEY),
    CommandSpec::new(CommandId::Restore, "restore", -4, "Writes a value that DUMP returned, here or in Redis.")
        .filed(Group::Generic, "2.6.0", "O(1)")
        .flags(WRITE_DENYOOM)
        .also_in(KEYSPACE.and(Categories::DANGEROUS))
        .keys(KeySpec::first(&["OW", "update"]))
        .arguments(&[
            Argument::key(),
            Argument::new("ttl", ArgumentKind::Integer),
            Argument::new("serialized-value", ArgumentKind::String),
            Argument::word("replace", "REPLACE").optional(),
            Argument::word("absttl", "ABSTTL").optional(),
            Argument::new("seconds", ArgumentKind::Integer).token("IDLETIME").optional(),
            Argument::new("frequency", ArgumentKind::Integer).token("FREQ").optional(),
        ]),
    CommandSpec::new(CommandId::Object, "object", -2, "Groups the commands on what a value is made of.")
        .filed(Group::Generic, "2.2.3", "That of the subcommand")
        .subcommands(OBJECT),
    CommandSpec::new(CommandId::Memory, "memory", -2, "Groups the commands on memory.")
        .filed(Group::Server, "4.0.0", "That of the subcommand")
        .subcommands(MEMORY),
];

const OBJECT: &[CommandSpec] = &[
    object(
        CommandId::ObjectEncoding,
        "object|encoding",
        "2.2.3",
        "Returns how Redis would keep such a value: as `int`, `embstr` or `raw`.",
    ),
    object(CommandId::ObjectFreq, "object|freq", "4.0.0", "Is refused for a key that exists: nothing counts accesses."),
    CommandSpec::new(CommandId::ObjectHelp, "object|help", 2, "Lists the subcommands of OBJECT.")
        .filed(Group::Generic, "6.2.0", "O(1)")
        .flags(LOADING_STALE)
        .also_in(KEYSPACE),
    object(
        CommandId::ObjectIdleTime,
        "object|idletime",
        "2.2.3",
        "Is refused for a key that exists: nothing remembers accesses.",
    ),
    object(CommandId::ObjectRefCount, "object|refcount", "2.2.3", "Returns 1 for a key that exists."),
];

const MEMORY: &[CommandSpec] = &[
    CommandSpec::new(CommandId::MemoryHelp, "memory|help", 2, "Lists the subcommands of MEMORY.")
        .filed(Group::Server, "4.0.0", "O(1)")
        .flags(LOADING_STALE),
    CommandSpec::new(CommandId::MemoryUsage, "memory|usage", -3, "Returns the bytes that each copy of a key takes.")
        .filed(Group::Server, "4.0.0", "O(1)")
        .flags(Flags::READONLY)
        .keys(KeySpec::second(&["RO"]))
        .arguments(&[Argument::key(), Argument::new("count", ArgumentKind::Integer).token("SAMPLES").optional()]),
];

const fn expiry(id: CommandId, name: &'static str, since: &'static str, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, -3, summary)
        .filed(Group::Generic, since, "O(1)")
        .flags(WRITE_FAST)
        .also_in(KEYSPACE)
        .keys(KeySpec::first(&["RW", "update"]))
}

const fn object(id: CommandId, name: &'static str, since: &'static str, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, 3, summary)
        .filed(Group::Generic, since, "O(1)")
        .flags(Flags::READONLY)
        .also_in(KEYSPACE)
        .tips(VARIES)
        .keys(KeySpec::second(&["RO"]))
        .arguments(KEY)
}
