//! ACL, as far as there is anything to say: one user, who may do everything once it has said the password.

#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature, whether they can fail or not")]

use crate::codec::reply;

use super::connection::USER;
use super::dispatch::{Context, Flow};
use super::errors::CommandError;

/// ACL WHOAMI: the user that the connection acts for.
pub(super) fn who_am_i(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    Ok(context.bulk(USER))
}

/// ACL USERS: the names of all users.
pub(super) fn users(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    reply::array(&mut context.turn.out, 1);
    Ok(context.bulk(USER))
}

/// ACL LIST: the users with their rights. Where Redis shows a hash of the password, from which a weak one could be
/// guessed, here is only said that there is one.
pub(super) fn list(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let password = if context.server.live.has_password() { "#(hidden)" } else { "nopass" };
    reply::array(&mut context.turn.out, 1);
    Ok(context.bulk(format!("user {USER} on {password} ~* &* +@all")))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    // Read off redis-server 7.0.15, the list with a password aside.
    #[test]
    fn there_is_one_user_whose_password_is_not_told() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("ACL WHOAMI"), "$7\r\ndefault\r\n");
        assert_eq!(bench.ask("acl users"), "*1\r\n$7\r\ndefault\r\n");
        assert_eq!(bench.ask("ACL LIST"), "*1\r\n$34\r\nuser default on nopass ~* &* +@all\r\n");
        bench.ask("CONFIG SET requirepass sesame");
        assert_eq!(bench.ask("ACL LIST"), "*1\r\n$37\r\nuser default on #(hidden) ~* &* +@all\r\n");
        assert_eq!(bench.ask("ACL FOO"), "-ERR unknown subcommand 'FOO'. Try ACL HELP.\r\n");
        assert_eq!(bench.ask("ACL"), "-ERR wrong number of arguments for 'acl' command\r\n");
        assert!(bench.ask("ACL HELP").contains("+WHOAMI\r\n"));
    }
}
