//! The subcommands of CLIENT.

use crate::command::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group};

const OWN: Flags = Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE);
const OF_OTHERS: Flags = OWN.and(Flags::ADMIN);
const PER_CLIENT: &str = "O(N), N being the number of connections";
const CHANGES: &[&str] = &["nondeterministic_output"];

const SWITCH: Argument = Argument::one_of("enabled", &[Argument::word("on", "ON"), Argument::word("off", "OFF")]);
const TYPE: Argument = Argument::one_of(
    "client-type",
    &[
        Argument::word("normal", "NORMAL"),
        Argument::word("master", "MASTER"),
        Argument::word("replica", "REPLICA"),
        Argument::word("pubsub", "PUBSUB"),
    ],
)
.token("TYPE")
.optional();
const CLIENT_ID: Argument = Argument::new("client-id", ArgumentKind::Integer);
const ADDRESS: Argument = Argument::new("ip:port", ArgumentKind::String);
const KILL_FILTERS: Argument = Argument::block(
    "filters",
    &[
        CLIENT_ID.token("ID").optional(),
        TYPE,
        Argument::new("username", ArgumentKind::String).token("USER").optional(),
        ADDRESS.token("ADDR").optional(),
        ADDRESS.token("LADDR").optional(),
        Argument::new("yes/no", ArgumentKind::String).token("SKIPME").optional(),
    ],
);

const PAUSED: Argument =
    Argument::one_of("mode", &[Argument::word("write", "WRITE"), Argument::word("all", "ALL")]).optional();
const REASON: Argument =
    Argument::one_of("timeout_error", &[Argument::word("timeout", "TIMEOUT"), Argument::word("error", "ERROR")])
        .optional();

pub(super) const SUBCOMMANDS: &[CommandSpec] = &[
    subcommand(CommandId::ClientCaching, "client|caching", 3, "6.0.0", "Is refused, since there is no tracking.")
        .flags(OWN)
        .arguments(&[Argument::one_of("mode", &[Argument::word("yes", "YES"), Argument::word("no", "NO")])]),
    subcommand(CommandId::ClientGetRedir, "client|getredir", 2, "6.0.0", "Returns -1, since there is no tracking.")
        .flags(OWN),
    subcommand(CommandId::ClientGetName, "client|getname", 2, "2.6.9", "Returns the connection's name.").flags(OWN),
    subcommand(CommandId::ClientHelp, "client|help", 2, "5.0.0", "Lists the subcommands of CLIENT.")
        .flags(Flags::LOADING.and(Flags::STALE)),
    subcommand(CommandId::ClientId, "client|id", 2, "5.0.0", "Returns the connection's number on this node.")
        .flags(OWN),
    subcommand(CommandId::ClientInfo, "client|info", 2, "6.2.0", "Describes this connection.").flags(OWN).tips(CHANGES),
    subcommand(CommandId::ClientKill, "client|kill", -3, "2.4.0", "Closes connections to this node.")
        .filed(Group::Connection, "2.4.0", PER_CLIENT)
        .flags(OF_OTHERS)
        .arguments(&[Argument::one_of("filter", &[ADDRESS, KILL_FILTERS])]),
    subcommand(CommandId::ClientList, "client|list", -2, "2.4.0", "Describes the connections to this node.")
        .filed(Group::Connection, "2.4.0", PER_CLIENT)
        .flags(OF_OTHERS)
        .tips(CHANGES)
        .arguments(&[TYPE, CLIENT_ID.token("ID").multiple().optional()]),
    subcommand(CommandId::ClientNoEvict, "client|no-evict", 3, "7.0.0", "Is accepted and changes nothing.")
        .flags(OF_OTHERS)
        .arguments(&[SWITCH]),
    subcommand(CommandId::ClientNoTouch, "client|no-touch", 3, "7.2.0", "Is accepted and changes nothing.")
        .flags(OWN)
        .arguments(&[SWITCH]),
    subcommand(
        CommandId::ClientPause,
        "client|pause",
        -3,
        "2.9.50",
        "Lets the clients of this node wait for some time.",
    )
    .flags(OF_OTHERS)
    .arguments(&[Argument::new("timeout", ArgumentKind::Integer), PAUSED]),
    subcommand(CommandId::ClientReply, "client|reply", 3, "3.2.0", "Switches the connection's replies on or off.")
        .flags(OWN)
        .arguments(&[Argument::one_of(
            "on_off_skip",
            &[Argument::word("on", "ON"), Argument::word("off", "OFF"), Argument::word("skip", "SKIP")],
        )]),
    subcommand(CommandId::ClientSetInfo, "client|setinfo", 4, "7.2.0", "Notes which library the client uses.")
        .flags(OWN)
        .arguments(&[Argument::one_of(
            "attr",
            &[
                Argument::new("libname", ArgumentKind::String).token("LIB-NAME"),
                Argument::new("libver", ArgumentKind::String).token("LIB-VER"),
            ],
        )]),
    subcommand(CommandId::ClientSetName, "client|setname", 3, "2.6.9", "Names the connection.")
        .flags(OWN)
        .arguments(&[Argument::new("connection-name", ArgumentKind::String)]),
    subcommand(CommandId::ClientTracking, "client|tracking", -3, "6.0.0", "Can be switched off, and is.")
        .flags(OWN)
        .arguments(&[SWITCH]),
    subcommand(CommandId::ClientTrackingInfo, "client|trackinginfo", 2, "6.2.0", "Reports that tracking is off.")
        .flags(OWN),
    subcommand(CommandId::ClientUnblock, "client|unblock", -3, "5.0.0", "Returns 0, since no command blocks.")
        .flags(OF_OTHERS)
        .arguments(&[CLIENT_ID, REASON]),
    subcommand(CommandId::ClientUnpause, "client|unpause", 2, "6.2.0", "Ends what CLIENT PAUSE began.")
        .filed(Group::Connection, "6.2.0", PER_CLIENT)
        .flags(OF_OTHERS),
];

const fn subcommand(
    id: CommandId,
    name: &'static str,
    arity: i8,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    CommandSpec::new(id, name, arity, summary).filed(Group::Connection, since, "O(1)").also_in(Categories::CONNECTION)
}
