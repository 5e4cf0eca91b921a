//! Commands between nodes: refused without an introduction, and left out of every answer to clients.

use crate::command::spec::{Argument, ArgumentKind, CommandId, CommandSpec, Flags, Group, KeySpec};

const VERSION: Argument = Argument::new("version", ArgumentKind::String);
const VALUE: Argument = Argument::new("value", ArgumentKind::String);
const BALLOT: Argument = Argument::new("ballot", ArgumentKind::String);
const EXPIRY: Argument = Argument::new("expiry", ArgumentKind::String);
const CALL: Argument = Argument::new("call", ArgumentKind::Integer);
/// Of a step: a time in Unix milliseconds or `-`; a mark is such a time.
const EXPIRY_OF_STEP: Argument = Argument::new("expiry", ArgumentKind::String);
const MARK: Argument = Argument::new("mark", ArgumentKind::String);
const INTERNAL: Flags = Flags::INTERNAL.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE);
const WRITE: Flags = INTERNAL.and(Flags::WRITE).and(Flags::FAST);
const READ: Flags = INTERNAL.and(Flags::READONLY);

pub(super) const COMMANDS: &[CommandSpec] = &[
    command(CommandId::RHello, "rhello", -3, "Introduces a node, by words with a value each.")
        .flags(INTERNAL.and(Flags::NO_AUTH))
        .arguments(&[Argument::block(
            "word_value",
            &[Argument::new("word", ArgumentKind::String), Argument::new("value", ArgumentKind::String)],
        )
        .multiple()]),
    command(CommandId::RSet, "rset", -4, "Writes a fresh record.")
        .flags(WRITE)
        .keys(KeySpec::first(&["OW", "update"]))
        .arguments(&[
            Argument::key(),
            VALUE,
            VERSION,
            Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime).token("PXAT").optional(),
        ]),
    command(CommandId::RSets, "rsets", -5, "Writes fresh records that were stamped one after the other.")
        .flags(WRITE)
        .arguments(&[
            VERSION,
            Argument::new("steps", ArgumentKind::String),
            Argument::block("key_value", &[Argument::new("key", ArgumentKind::String), VALUE]).multiple(),
        ]),
    command(
        CommandId::RAgain,
        "ragain",
        5,
        "Writes a record that was refused under an earlier version, below newer ones if need be.",
    )
    .flags(WRITE)
    .keys(KeySpec::first(&["OW", "update"]))
    .arguments(&[Argument::key(), VERSION, Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime), VALUE]),
    command(CommandId::RDel, "rdel", 3, "Writes a fresh tombstone and says whether it hid a value.")
        .flags(WRITE)
        .keys(KeySpec::first(&["RM", "delete"]))
        .arguments(&[Argument::key(), VERSION]),
    command(
        CommandId::RCopy,
        "rcopy",
        -4,
        "Hands over a record that another replica holds, without a value a tombstone.",
    )
    .flags(WRITE)
    .keys(KeySpec::first(&["OW", "update"]))
    .arguments(&[Argument::key(), VERSION, Argument::new("expiry", ArgumentKind::String), VALUE.optional()]),
    command(CommandId::RRevert, "rrevert", 3, "Takes an open version back.")
        .flags(WRITE)
        .keys(KeySpec::first(&["RM", "delete"]))
        .arguments(&[Argument::key(), VERSION]),
    command(CommandId::RGet, "rget", 2, "Returns the record that is shown here.")
        .flags(READ.and(Flags::FAST))
        .keys(KeySpec::first(&["RO", "access"]))
        .arguments(&[Argument::key()]),
    command(CommandId::RGets, "rgets", -2, "Returns the records that are shown here of several keys.")
        .flags(READ.and(Flags::FAST))
        .arguments(&[Argument::new("key", ArgumentKind::String).multiple()]),
    command(CommandId::RMark, "rmark", 4, "Moves the sender's watermark: lower versions are decided.")
        .flags(INTERNAL.and(Flags::FAST))
        .arguments(&[
            Argument::new("start", ArgumentKind::String),
            Argument::new("lowest-open", ArgumentKind::String),
            Argument::new("state", ArgumentKind::String),
        ]),
    command(CommandId::RKeys, "rkeys", -2, "Returns the versions of the records of a slot, page by page.")
        .flags(READ)
        .arguments(&[
            Argument::new("slot", ArgumentKind::Integer),
            Argument::new("position", ArgumentKind::Integer).optional(),
        ]),
    command(CommandId::RDigest, "rdigest", -1, "Returns digests of the slots that both nodes keep.")
        .flags(READ)
        .arguments(&[
            Argument::new("scope", ArgumentKind::String).optional(),
            Argument::new("number", ArgumentKind::Integer).optional(),
        ]),
    command(CommandId::RCount, "rcount", 2, "Counts the live keys that this node answers for among the given nodes.")
        .flags(READ)
        .arguments(&[Argument::new("nodes", ArgumentKind::String)]),
    command(CommandId::RScan, "rscan", -5, "Returns the keys that this node answers for, from a place on.")
        .flags(READ)
        .arguments(&[
            Argument::new("place", ArgumentKind::Integer),
            Argument::new("until-slot", ArgumentKind::Integer),
            Argument::new("count", ArgumentKind::Integer),
            Argument::new("nodes", ArgumentKind::String),
            Argument::block(
                "rest",
                &[Argument::new("position", ArgumentKind::Integer), Argument::new("end", ArgumentKind::Integer)],
            )
            .optional(),
        ]),
    command(CommandId::RHold, "rhold", 2, "Returns what a key holds, as a step of an update.")
        .flags(WRITE)
        .keys(KeySpec::first(&["RO", "access"]))
        .arguments(&[Argument::key()]),
    command(CommandId::RPlace, "rplace", -5, "Writes what is moved under its new name.")
        .flags(WRITE)
        .keys(KeySpec::first(&["OW", "update"]))
        .arguments(&[Argument::key(), VALUE, EXPIRY_OF_STEP, MARK, Argument::word("nx", "NX").optional()]),
    command(CommandId::RTake, "rtake", 4, "Deletes what was moved under its old name, if it is still there.")
        .flags(WRITE)
        .keys(KeySpec::first(&["RM", "delete"]))
        .arguments(&[Argument::key(), VALUE, EXPIRY_OF_STEP]),
    command(CommandId::RSettle, "rsettle", -3, "Gives what was moved its true expiry, or deletes it.")
        .flags(WRITE)
        .keys(KeySpec::first(&["RW", "update"]))
        .arguments(&[Argument::key(), MARK, EXPIRY_OF_STEP.optional()]),
    command(CommandId::RPick, "rpick", 4, "Returns a random key of those that this node counts among the given nodes.")
        .flags(READ)
        .arguments(&[
            Argument::new("slot-draw", ArgumentKind::Integer),
            Argument::new("key-draw", ArgumentKind::Integer),
            Argument::new("nodes", ArgumentKind::String),
        ]),
    command(CommandId::RSums, "rsums", 2, "Returns the digests of some slots that this node keeps.")
        .flags(READ)
        .arguments(&[Argument::new("slots", ArgumentKind::String)]),
    command(CommandId::RClock, "rclock", -1, "Reads the hybrid clock.").flags(INTERNAL.and(Flags::FAST)),
    command(CommandId::RBeat, "rbeat", 1, "Reads the wall clock.").flags(INTERNAL.and(Flags::FAST)),
    command(CommandId::RFlush, "rflush", -2, "Drops everything older than a version, now and later.")
        .flags(INTERNAL.and(Flags::WRITE))
        .arguments(&[VERSION]),
    command(
        CommandId::RPrepare,
        "rprepare",
        -3,
        "Promises a ballot to an update and returns the record that is shown here.",
    )
    .flags(READ.and(Flags::FAST))
    .keys(KeySpec::first(&["RO", "access"]))
    .arguments(&[Argument::key(), BALLOT]),
    command(
        CommandId::RAccept,
        "raccept",
        -5,
        "Writes an update's record, without a value a tombstone, if that was promised.",
    )
    .flags(WRITE)
    .keys(KeySpec::first(&["RW", "access", "update"]))
    .arguments(&[Argument::key(), BALLOT, VERSION, EXPIRY, VALUE.optional()]),
    command(CommandId::RBase, "rbase", -5, "Hands over the record that an update has seen.")
        .flags(WRITE)
        .keys(KeySpec::first(&["OW", "update"]))
        .arguments(&[Argument::key(), BALLOT, VERSION, EXPIRY, VALUE.optional()]),
    command(CommandId::RCall, "rcall", -4, "Has an update carried out.").flags(INTERNAL.and(Flags::WRITE)).arguments(
        &[
            CALL,
            Argument::new("protocol", ArgumentKind::Integer),
            Argument::new("word", ArgumentKind::String).multiple(),
        ],
    ),
    command(CommandId::RDone, "rdone", 3, "Returns the reply of an update that was carried out.")
        .flags(INTERNAL.and(Flags::FAST))
        .arguments(&[CALL, Argument::new("reply", ArgumentKind::String)]),
];

const fn command(id: CommandId, name: &'static str, arity: i8, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, arity, summary).filed(Group::Internal, "0.1.0", "O(1)")
}
