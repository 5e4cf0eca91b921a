//! Commands on keys and values.

use crate::command::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group, KeySpec};

const KEY: &[Argument] = &[Argument::key()];
const KEYS: &[Argument] = &[Argument::key().multiple()];
const VALUE: Argument = Argument::new("value", ArgumentKind::String);
/// On what SET depends; IFEQ is Valkey's.
const CONDITION: Argument = Argument::one_of(
    "condition",
    &[
        Argument::word("nx", "NX"),
        Argument::word("xx", "XX"),
        Argument::new("comparison-value", ArgumentKind::String).token("IFEQ"),
    ],
);
const EXPIRATION: Argument = Argument::one_of(
    "expiration",
    &[
        Argument::new("seconds", ArgumentKind::Integer).token("EX"),
        Argument::new("milliseconds", ArgumentKind::Integer).token("PX"),
        Argument::new("unix-time-seconds", ArgumentKind::UnixTime).token("EXAT"),
        Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime).token("PXAT"),
        Argument::word("keepttl", "KEEPTTL"),
    ],
);

const READ_FAST: Flags = Flags::READONLY.and(Flags::FAST);
const WRITE_DENYOOM: Flags = Flags::WRITE.and(Flags::DENYOOM);
const PER_KEY: &str = "O(N), N being the number of keys";

/// A client that knows the slots may split these by key and join the answers.
const SPLIT: &str = "request_policy:multi_shard";
const SPLIT_AND_ADD_UP: &[&str] = &[SPLIT, "response_policy:agg_sum"];
/// The time that is left is another at each look.
const CHANGES: &[&str] = &["nondeterministic_output"];

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new(CommandId::Get, "get", 2, "Returns a key's value, or nil if the key does not exist.")
        .filed(Group::String, "1.0.0", "O(1)")
        .flags(READ_FAST)
        .also_in(Categories::STRING)
        .keys(KeySpec::first(&["RO", "access"]))
        .arguments(KEY),
    CommandSpec::new(
        CommandId::Set,
        "set",
        -3,
        "Writes a key's value, perhaps on a condition, with an expiry if one is given.",
    )
    .filed(Group::String, "1.0.0", "O(1)")
    .flags(WRITE_DENYOOM)
    .also_in(Categories::STRING)
    .keys(KeySpec::first(&["RW", "access", "update", "variable_flags"]))
    .arguments(&[
        Argument::key(),
        VALUE,
        CONDITION.optional(),
        Argument::word("get", "GET").optional(),
        EXPIRATION.optional(),
    ]),
    CommandSpec::new(CommandId::MGet, "mget", -2, "Returns the values of several keys, nil for each that is missing.")
        .filed(Group::String, "1.0.0", PER_KEY)
        .flags(READ_FAST)
        .also_in(Categories::STRING)
        .tips(&[SPLIT])
        .keys(KeySpec::every(1, &["RO", "access"]))
        .arguments(KEYS),
    CommandSpec::new(CommandId::MSet, "mset", -3, "Writes the values of several keys, each on its own.")
        .filed(Group::String, "1.0.1", PER_KEY)
        .flags(WRITE_DENYOOM)
        .also_in(Categories::STRING)
        .tips(&[SPLIT, "response_policy:all_succeeded"])
        .keys(KeySpec::every(2, &["OW", "update"]))
        .arguments(&[Argument::block("key_value", &[Argument::key(), VALUE]).multiple()]),
    CommandSpec::new(CommandId::StrLen, "strlen", 2, "Returns the length of a key's value in bytes.")
        .filed(Group::String, "2.2.0", "O(1)")
        .flags(READ_FAST)
        .also_in(Categories::STRING)
        .keys(KeySpec::first(&["RO"]))
        .arguments(KEY),
    CommandSpec::new(CommandId::Del, "del", -2, "Deletes keys and returns how many of them existed.")
        .filed(Group::Generic, "1.0.0", PER_KEY)
        .flags(Flags::WRITE)
        .also_in(Categories::KEYSPACE)
        .tips(SPLIT_AND_ADD_UP)
        .keys(KeySpec::every(1, &["RM", "delete"]))
        .arguments(KEYS),
    CommandSpec::new(CommandId::Unlink, "unlink", -2, "Does the same as DEL.")
        .filed(Group::Generic, "4.0.0", PER_KEY)
        .flags(Flags::WRITE.and(Flags::FAST))
        .also_in(Categories::KEYSPACE)
        .tips(SPLIT_AND_ADD_UP)
        .keys(KeySpec::every(1, &["RM", "delete"]))
        .arguments(KEYS),
    CommandSpec::new(CommandId::Exists, "exists", -2, "Counts the keys that exist; one named twice counts twice.")
        .filed(Group::Generic, "1.0.0", PER_KEY)
        .flags(READ_FAST)
        .also_in(Categories::KEYSPACE)
        .tips(SPLIT_AND_ADD_UP)
        .keys(KeySpec::every(1, &["RO"]))
        .arguments(KEYS),
    CommandSpec::new(CommandId::Type, "type", 2, "Returns `string` for a key that exists, else `none`.")
        .filed(Group::Generic, "1.0.0", "O(1)")
        .flags(READ_FAST)
        .also_in(Categories::KEYSPACE)
        .keys(KeySpec::first(&["RO"]))
        .arguments(KEY),
    life(CommandId::Ttl, "ttl", "1.0.0", "Returns how many seconds a key has left.").tips(CHANGES),
    life(CommandId::PTtl, "pttl", "2.6.0", "Returns how many milliseconds a key has left.").tips(CHANGES),
    life(CommandId::ExpireTime, "expiretime", "7.0.0", "Returns when a key expires, in Unix seconds."),
    life(CommandId::PExpireTime, "pexpiretime", "7.0.0", "Returns when a key expires, in Unix milliseconds."),
];

/// A question about a key's expiry.
const fn life(id: CommandId, name: &'static str, since: &'static str, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, 2, summary)
        .filed(Group::Generic, since, "O(1)")
        .flags(READ_FAST)
        .also_in(Categories::KEYSPACE)
        .keys(KeySpec::first(&["RO", "access"]))
        .arguments(KEY)
}
