//! Who is let in, on which terms, and how a client and its node part.

use crate::command::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group};

const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE);
const OWN: Flags = ANY_TIME.and(Flags::NOSCRIPT);
const ADMIN: Flags = OWN.and(Flags::ADMIN);

pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new(CommandId::Acl, "acl", -2, "Groups the commands on users.")
        .filed(Group::Server, "6.0.0", "That of the subcommand")
        .subcommands(ACL),
    CommandSpec::new(CommandId::Shutdown, "shutdown", -1, "Stops this node in order; the others go on.")
        .filed(Group::Server, "1.0.0", "O(1)")
        .flags(ADMIN.and(Flags::ALLOW_BUSY).and(Flags::NO_MULTI))
        .arguments(&[
            Argument::one_of("nosave_save", &[Argument::word("nosave", "NOSAVE"), Argument::word("save", "SAVE")])
                .optional(),
            Argument::word("now", "NOW").optional(),
            Argument::word("force", "FORCE").optional(),
            Argument::word("abort", "ABORT").optional(),
        ]),
    CommandSpec::new(
        CommandId::Quorum,
        "quorum",
        -1,
        "Shows or chooses how many replicas this connection reads and writes.",
    )
    .filed(Group::Connection, "0.2.0", "O(1)")
    .flags(OWN.and(Flags::FAST))
    .also_in(Categories::CONNECTION)
    .arguments(&[
        Argument::new("replicas", ArgumentKind::Integer).token("READ").optional(),
        Argument::new("replicas", ArgumentKind::Integer).token("WRITE").optional(),
    ]),
];

const ACL: &[CommandSpec] = &[
    acl(CommandId::AclHelp, "acl|help", "Lists the subcommands of ACL.").flags(ANY_TIME),
    acl(CommandId::AclList, "acl|list", "Returns the one user with its rights.").flags(ADMIN),
    acl(CommandId::AclUsers, "acl|users", "Returns the name of the one user.").flags(ADMIN),
    acl(CommandId::AclWhoAmI, "acl|whoami", "Returns the name of the connection's user.").flags(OWN),
];

const fn acl(id: CommandId, name: &'static str, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, 2, summary).filed(Group::Server, "6.0.0", "O(1)")
}
