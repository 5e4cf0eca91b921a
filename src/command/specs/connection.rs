//! Commands on the client's connection.

use crate::command::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group};
use crate::command::specs::client;

const FAST: Flags = Flags::FAST.and(Flags::LOADING).and(Flags::STALE);
/// What a client may send before it has authenticated.
const OPENING: Flags = FAST.and(Flags::NOSCRIPT).and(Flags::NO_AUTH).and(Flags::ALLOW_BUSY);
const MESSAGE: Argument = Argument::new("message", ArgumentKind::String);
const USERNAME: Argument = Argument::new("username", ArgumentKind::String);
const PASSWORD: Argument = Argument::new("password", ArgumentKind::String);

pub(super) const COMMANDS: &[CommandSpec] = &[
    command(CommandId::Ping, "ping", -1, "1.0.0", "Answers PONG, or the message if one is given.")
        .flags(Flags::FAST)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .arguments(&[MESSAGE.optional()]),
    command(CommandId::Echo, "echo", 2, "1.0.0", "Answers the message.").flags(FAST).arguments(&[MESSAGE]),
    command(CommandId::Hello, "hello", -1, "6.0.0", "Chooses the protocol version, with AUTH and SETNAME on the way.")
        .flags(OPENING)
        .arguments(&[Argument::block(
            "arguments",
            &[
                Argument::new("protover", ArgumentKind::Integer),
                Argument::block("username_password", &[USERNAME, PASSWORD]).token("AUTH").optional(),
                Argument::new("clientname", ArgumentKind::String).token("SETNAME").optional(),
            ],
        )
        .optional()]),
    command(CommandId::Auth, "auth", -2, "1.0.0", "Authenticates the connection.")
        .flags(OPENING)
        .arguments(&[USERNAME.optional(), PASSWORD]),
    command(CommandId::Select, "select", 2, "1.0.0", "Accepts database 0, the only one.")
        .flags(FAST)
        .arguments(&[Argument::new("index", ArgumentKind::Integer)]),
    command(CommandId::Quit, "quit", -1, "1.0.0", "Answers OK and closes the connection.").flags(OPENING),
    command(CommandId::Reset, "reset", 1, "6.2.0", "Puts the connection into the state of a new one.").flags(OPENING),
    CommandSpec::new(CommandId::Client, "client", -2, "Groups the commands on client connections.")
        .filed(Group::Connection, "2.4.0", "That of the subcommand")
        .subcommands(client::SUBCOMMANDS),
];

const fn command(
    id: CommandId,
    name: &'static str,
    arity: i8,
    since: &'static str,
    summary: &'static str,
) -> CommandSpec {
    CommandSpec::new(id, name, arity, summary).filed(Group::Connection, since, "O(1)").also_in(Categories::CONNECTION)
}
