//! Who is let in, and how a client and its node part.

use crate::command::spec::{CommandId, CommandSpec, Flags, Group};

const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE);
const OWN: Flags = ANY_TIME.and(Flags::NOSCRIPT);
const ADMIN: Flags = OWN.and(Flags::ADMIN);

pub(super) const COMMANDS: &[CommandSpec] =
    &[CommandSpec::new(CommandId::Acl, "acl", -2, "Groups the commands on users.")
        .filed(Group::Server, "6.0.0", "That of the subcommand")
        .subcommands(ACL)];

const ACL: &[CommandSpec] = &[
    acl(CommandId::AclHelp, "acl|help", "Lists the subcommands of ACL.").flags(ANY_TIME),
    acl(CommandId::AclList, "acl|list", "Returns the one user with its rights.").flags(ADMIN),
    acl(CommandId::AclUsers, "acl|users", "Returns the name of the one user.").flags(ADMIN),
    acl(CommandId::AclWhoAmI, "acl|whoami", "Returns the name of the connection's user.").flags(OWN),
];

const fn acl(id: CommandId, name: &'static str, summary: &'static str) -> CommandSpec {
    CommandSpec::new(id, name, 2, summary).filed(Group::Server, "6.0.0", "O(1)")
}
