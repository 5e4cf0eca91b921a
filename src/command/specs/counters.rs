//! Counters: values that are numbers.

use crate::command::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group, KeySpec};

const UPDATE_FAST: Flags = Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST);

pub(super) const COMMANDS: &[CommandSpec] = &[
    counter(CommandId::Incr, "incr", 2, "Adds one to a key's integer and returns the sum; a missing key counts as 0.")
        .arguments(&[Argument::key()]),
    counter(
        CommandId::Decr,
        "decr",
        2,
        "Takes one from a key's integer and returns the rest; a missing key counts as 0.",
    )
    .arguments(&[Argument::key()]),
    counter(CommandId::IncrByFloat, "incrbyfloat", 3, "Adds to a key's decimal fraction and returns the sum.")
        .filed(Group::String, "2.6.0", "O(1)")
        .arguments(&[Argument::key(), Argument::new("increment", ArgumentKind::Double)]),
    counter(CommandId::IncrBy, "incrby", 3, "Adds to a key's integer and returns the sum.")
        .arguments(&[Argument::key(), Argument::new("increment", ArgumentKind::Integer)]),
    counter(CommandId::DecrBy, "decrby", 3, "Takes from a key's integer and returns the rest.")
        .arguments(&[Argument::key(), Argument::new("decrement", ArgumentKind::Integer)]),
];

const fn counter(id: CommandId, name: &'static str, arity: i8, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, arity, summary)
        .filed(Group::String, "1.0.0", "O(1)")
        .flags(UPDATE_FAST)
        .also_in(Categories::STRING)
        .keys(KeySpec::first(&["RW", "access", "update"]))
}
