//! Commands on values as rows of bits.

use crate::command::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group, KeySpec};

const KEY: Argument = Argument::key();
const OFFSET: Argument = Argument::new("offset", ArgumentKind::Integer);
const START: Argument = Argument::new("start", ArgumentKind::Integer);
const END: Argument = Argument::new("end", ArgumentKind::Integer);
const ENCODING: Argument = Argument::new("encoding", ArgumentKind::String);
const UNIT: Argument =
    Argument::one_of("index_unit", &[Argument::word("byte", "BYTE"), Argument::word("bit", "BIT")]).optional();
/// Of a BITFIELD.
const GET: Argument = Argument::block("encoding_offset", &[ENCODING, OFFSET]).token("GET");
const OVERFLOW: Argument = Argument::one_of(
    "wrap_sat_fail",
    &[Argument::word("wrap", "WRAP"), Argument::word("sat", "SAT"), Argument::word("fail", "FAIL")],
)
.token("OVERFLOW")
.optional();
const WRITES: Argument = Argument::one_of(
    "write_operation",
    &[
        Argument::block("encoding_offset_value", &[ENCODING, OFFSET, Argument::new("value", ArgumentKind::Integer)])
            .token("SET"),
        Argument::block(
            "encoding_offset_increment",
            &[ENCODING, OFFSET, Argument::new("increment", ArgumentKind::Integer)],
        )
        .token("INCRBY"),
    ],
);

const BITOP_SOURCES: KeySpec = KeySpec { first: 3, ..KeySpec::every(1, &["RO", "access"]) };

const GROWS: Flags = Flags::WRITE.and(Flags::DENYOOM);
const READ_FAST: Flags = Flags::READONLY.and(Flags::FAST);

const PER_BYTE: &str = "O(N), N being the length of the value";
const PER_STEP: &str = "O(N), N being the number of fields";

pub(super) const COMMANDS: &[CommandSpec] = &[
    bitmap(CommandId::SetBit, "setbit", 4, "Sets or clears a bit and returns what it was.")
        .filed(Group::Bitmap, "2.2.0", PER_BYTE)
        .flags(GROWS)
        .keys(KeySpec::first(&["RW", "access", "update"]))
        .arguments(&[KEY, OFFSET, Argument::new("value", ArgumentKind::Integer)]),
    bitmap(CommandId::GetBit, "getbit", 3, "Returns a bit.")
        .filed(Group::Bitmap, "2.2.0", "O(1)")
        .flags(READ_FAST)
        .keys(KeySpec::first(&["RO", "access"]))
        .arguments(&[KEY, OFFSET]),
    bitmap(CommandId::BitCount, "bitcount", -2, "Counts the bits that are set, in all of a value or a part.")
        .filed(Group::Bitmap, "2.6.0", PER_BYTE)
        .flags(Flags::READONLY)
        .keys(KeySpec::first(&["RO", "access"]))
        .arguments(&[KEY, Argument::block("index", &[START, END, UNIT]).optional()]),
    bitmap(CommandId::BitPos, "bitpos", -3, "Returns where the first bit is that is set, or clear.")
        .filed(Group::Bitmap, "2.8.7", PER_BYTE)
        .flags(Flags::READONLY)
        .keys(KeySpec::first(&["RO", "access"]))
        .arguments(&[
            KEY,
            Argument::new("bit", ArgumentKind::Integer),
            Argument::block("index", &[START, Argument::block("end_index", &[END, UNIT]).optional()]).optional(),
        ]),
    bitmap(CommandId::BitOp, "bitop", -4, "Combines the values of keys of one slot bit by bit into another value.")
        .filed(Group::Bitmap, "2.6.0", "O(N), N being the length of all values")
        .flags(GROWS)
        .keys(KeySpec::second(&["OW", "update"]).then(&BITOP_SOURCES))
        .arguments(&[
            Argument::new("operation", ArgumentKind::String),
            Argument::key_of(0, "destkey"),
            Argument::key_of(1, "key").multiple(),
        ]),
    bitmap(CommandId::BitField, "bitfield", -2, "Reads, writes and counts up integers at any bits of a value.")
        .filed(Group::Bitmap, "3.2.0", PER_STEP)
        .flags(GROWS)
        .keys(KeySpec::first(&["RW", "access", "update", "variable_flags"]))
        .arguments(&[
            KEY,
            Argument::one_of("operation", &[GET, Argument::block("write", &[OVERFLOW, WRITES])]).multiple().optional(),
        ]),
    bitmap(CommandId::BitFieldRo, "bitfield_ro", -2, "Reads integers at any bits of a value.")
        .filed(Group::Bitmap, "6.0.0", PER_STEP)
        .flags(READ_FAST)
        .keys(KeySpec::first(&["RO", "access"]))
        .arguments(&[KEY, GET.multiple_with_token().optional()]),
];

const fn bitmap(id: CommandId, name: &'static str, arity: i8, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, arity, summary).also_in(Categories::BITMAP)
}
