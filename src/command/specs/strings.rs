//! Commands on values as strings of bytes, beyond GET, SET and the counters.

use crate::command::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group, KeySpec};

const KEY: Argument = Argument::key();
const VALUE: Argument = Argument::new("value", ArgumentKind::String);
const SECONDS: Argument = Argument::new("seconds", ArgumentKind::Integer);
const MILLISECONDS: Argument = Argument::new("milliseconds", ArgumentKind::Integer);
const PART: &[Argument] =
    &[KEY, Argument::new("start", ArgumentKind::Integer), Argument::new("end", ArgumentKind::Integer)];
/// GETEX's options.
const EXPIRATION: Argument = Argument::one_of(
    "expiration",
    &[
        SECONDS.token("EX"),
        MILLISECONDS.token("PX"),
        Argument::new("unix-time-seconds", ArgumentKind::UnixTime).token("EXAT"),
        Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime).token("PXAT"),
        Argument::word("persist", "PERSIST"),
    ],
);

const WRITE_FAST: Flags = Flags::WRITE.and(Flags::FAST);
const GROWS: Flags = Flags::WRITE.and(Flags::DENYOOM);
const GROWS_FAST: Flags = GROWS.and(Flags::FAST);

const PER_KEY: &str = "O(N), N being the number of keys";
const PER_BYTE: &str = "O(N), N being the length of the value";

pub(super) const COMMANDS: &[CommandSpec] = &[
    string(CommandId::SetNx, "setnx", 3, "Writes a key's value unless the key exists; whether it did.")
        .filed(Group::String, "1.0.0", "O(1)")
        .flags(GROWS_FAST)
        .keys(KeySpec::first(&["OW", "insert"]))
        .arguments(&[KEY, VALUE]),
    string(CommandId::SetEx, "setex", 4, "Writes a key's value, which expires after so many seconds.")
        .filed(Group::String, "2.0.0", "O(1)")
        .flags(GROWS)
        .keys(KeySpec::first(&["OW", "update"]))
        .arguments(&[KEY, SECONDS, VALUE]),
    string(CommandId::PSetEx, "psetex", 4, "Writes a key's value, which expires after so many milliseconds.")
        .filed(Group::String, "2.6.0", "O(1)")
        .flags(GROWS)
        .keys(KeySpec::first(&["OW", "update"]))
        .arguments(&[KEY, MILLISECONDS, VALUE]),
    string(CommandId::GetSet, "getset", 3, "Writes a key's value and returns the one before.")
        .filed(Group::String, "1.0.0", "O(1)")
        .flags(GROWS_FAST)
        .keys(KeySpec::first(&["RW", "access", "update"]))
        .arguments(&[KEY, VALUE]),
    string(CommandId::GetDel, "getdel", 2, "Deletes a key and returns the value that it had.")
        .filed(Group::String, "6.2.0", "O(1)")
        .flags(WRITE_FAST)
        .keys(KeySpec::first(&["RW", "access", "delete"]))
        .arguments(&[KEY]),
    string(CommandId::GetEx, "getex", -2, "Returns a key's value, and changes when it expires if told to.")
        .filed(Group::String, "6.2.0", "O(1)")
        .flags(WRITE_FAST)
        .keys(KeySpec::first(&["RW", "access", "update"]))
        .arguments(&[KEY, EXPIRATION.optional()]),
    string(CommandId::MSetNx, "msetnx", -3, "Writes the values of several keys of one slot unless any of them exists.")
        .filed(Group::String, "1.0.1", PER_KEY)
        .flags(GROWS)
        .keys(KeySpec::every(2, &["OW", "insert"]))
        .arguments(&[Argument::block("key_value", &[KEY, VALUE]).multiple()]),
    string(CommandId::Append, "append", 3, "Adds to the end of a key's value and returns its new length.")
        .filed(Group::String, "2.0.0", PER_BYTE)
        .flags(GROWS_FAST)
        .keys(KeySpec::first(&["RW", "insert"]))
        .arguments(&[KEY, VALUE]),
    part(CommandId::GetRange, "getrange", "2.4.0", "Returns a part of a key's value, the end included."),
    part(CommandId::SubStr, "substr", "1.0.0", "Does the same as GETRANGE."),
    string(CommandId::SetRange, "setrange", 4, "Writes over a part of a key's value and returns its new length.")
        .filed(Group::String, "2.2.0", PER_BYTE)
        .flags(GROWS)
        .keys(KeySpec::first(&["RW", "update"]))
        .arguments(&[KEY, Argument::new("offset", ArgumentKind::Integer), VALUE]),
    string(CommandId::Lcs, "lcs", -3, "Returns the longest subsequence that two values have in common.")
        .filed(Group::String, "7.0.0", "O(N*M), N and M being the lengths of the values")
        .flags(Flags::READONLY)
        .keys(KeySpec::first_two(&["RO", "access"]))
        .arguments(&[
            Argument::key_of(0, "key1"),
            Argument::key_of(0, "key2"),
            Argument::word("len", "LEN").optional(),
            Argument::word("idx", "IDX").optional(),
            Argument::new("len", ArgumentKind::Integer).token("MINMATCHLEN").optional(),
            Argument::word("withmatchlen", "WITHMATCHLEN").optional(),
        ]),
];

/// A question about a part of a value.
const fn part(id: CommandId, name: &'static str, since: &'static str, summary: &'static str) -> CommandSpec {
    string(id, name, 4, summary)
        .filed(Group::String, since, "O(N), N being the length of the part")
        .flags(Flags::READONLY)
        .keys(KeySpec::first(&["RO", "access"]))
        .arguments(PART)
}

const fn string(id: CommandId, name: &'static str, arity: i8, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, arity, summary).also_in(Categories::STRING)
}
