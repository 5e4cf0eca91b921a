//! What a client tells or asks of its own connection: PING, HELLO, AUTH and their kin.
//!
//! There is one user, `default`, with the password that `requirepass` sets. Without one HELLO and AUTH answer as a Redis
//! does: any password of `default` is right, any other user is wrong, and AUTH with a password alone is refused, since
//! whoever sends it believes that one was configured. With one a connection is served only a few commands until it has
//! said it. One that was let in stays so when the password changes; a node introduces itself instead (RHELLO).

#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature, whether they can fail or not")]

use std::sync::Arc;

use crate::codec::{Protocol, reply};
use crate::coordinator::Quorum;
use crate::ring::NodeIndex;

use super::clients;
use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::integer::parse_i64;
use super::modes::Replies;
use super::monitor;
use super::server::Server;
use super::spec::{CommandId, CommandSpec, Flags};
use super::watch::Feed;

/// The version of Redis whose answers these are, for clients that choose by it what they may ask.
pub(super) const COMPATIBLE_WITH: &str = "7.0.15";
/// The one user.
pub(super) const USER: &str = "default";

/// What one session remembers from command to command. What others may see of it is in the client's description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// The version of RESP that the client is answered in.
    pub protocol: Protocol,
    /// The last command, for CLIENT LIST.
    pub last_command: Option<CommandId>,
    /// The node that the connection introduced itself as, by which it may use the commands between nodes.
    pub peer: Option<NodeIndex>,
    /// Whether it has said the password, or came when there was none.
    pub authenticated: bool,
    /// Which replies it is sent.
    pub replies: Replies,
    /// How many replicas its reads and writes take.
    pub quorum: Quorum,
    /// What a client that monitors is yet to be sent.
    pub(crate) monitoring: Option<Arc<Feed>>,
}

impl State {
    /// A connection that was just made to `server`.
    #[must_use]
    pub fn new(server: &Server) -> Self {
        let authenticated = !server.live.has_password();
        let quorum = server.store.quorum();
        Self {
            protocol: Protocol::default(),
            last_command: None,
            peer: None,
            authenticated,
            replies: Replies::On,
            quorum,
            monitoring: None,
        }
    }
}

/// Whether a connection that has not authenticated has to before `spec` is served.
#[cold]
pub(super) fn must_authenticate(server: &Server, state: &State, spec: &CommandSpec) -> bool {
    !spec.flags.contains(Flags::NO_AUTH) && state.peer.is_none() && server.live.has_password()
}

/// PING: `PONG`, or the message if there is one.
pub(super) fn ping(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let request = context.request;
    match request.len() {
        1 => reply::simple(&mut context.turn.out, "PONG"),
        2 => reply::bulk(&mut context.turn.out, request.arg(1)),
        _ => return Err(CommandError::WrongArity("ping")),
    }
    Ok(Flow::Next)
}

/// ECHO: the message.
pub(super) fn echo(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    Ok(context.bulk(context.request.arg(1)))
}

/// HELLO: another protocol version, and AUTH and SETNAME on the way. Options take effect one by one, so those before a
/// wrong one stay; the protocol changes last.
pub(super) fn hello(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let args: Vec<&[u8]> = context.request.args().collect();
    let protocol = args.get(1).map_or(Ok(context.state.protocol), |version| parse_protocol(version))?;
    let mut options = args.get(2..).unwrap_or_default();
    while let [option, values @ ..] = options {
        options = match values {
            [user, password, rest @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                authenticate(context, user, password)?;
                rest
            }
            [name, rest @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                clients::rename(context.client, name)?;
                rest
            }
            _ => return Err(CommandError::hello_option(option)),
        };
    }
    if !context.state.authenticated && context.server.live.has_password() {
        return Err(CommandError::HelloAuthenticationRequired);
    }
    speak(context, protocol);
    introduce_ourselves(context);
    Ok(Flow::Next)
}

/// AUTH, with a password or with a user and a password.
pub(super) fn auth(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let request = context.request;
    match request.len() {
        2 if !context.server.live.has_password() => Err(CommandError::NoPasswordConfigured),
        2 => authenticate(context, USER.as_bytes(), request.arg(1)).map(|()| context.ok()),
        3 => authenticate(context, request.arg(1), request.arg(2)).map(|()| context.ok()),
        _ => Err(CommandError::Syntax),
    }
}

/// SELECT: there is database 0 and no other.
pub(super) fn select(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    match parse_i64(context.request.arg(1)) {
        Some(0) => Ok(context.ok()),
        Some(number) if i32::try_from(number).is_err() => Err(CommandError::NotAnInt32),
        Some(_) => Err(CommandError::DatabaseOutOfRange),
        None => Err(CommandError::NotAnInteger),
    }
}

/// QUIT: `OK`, and the end.
pub(super) fn quit(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    context.ok();
    Ok(Flow::Close)
}

/// RESET: as if the connection had just been made. What the client's library said of itself remains true and stays.
pub(super) fn reset(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let configured = context.server.store.quorum();
    let changes_turn = context.state.quorum != configured || context.state.replies != Replies::On;
    if changes_turn && !context.turn.is_blank() {
        return Ok(Flow::Barrier);
    }
    // A reply that is to be skipped is skipped even so.
    if context.state.replies != Replies::Skipping {
        context.state.replies = Replies::On;
    }
    context.state.quorum = configured;
    speak(context, Protocol::default());
    context.state.peer = None;
    context.state.authenticated = !context.server.live.has_password();
    monitor::stop(context.server, context.client, context.state);
    context.client.describe(|about| {
        about.name.clear();
        about.peer = None;
        about.no_evict = false;
        about.no_touch = false;
    });
    reply::simple(&mut context.turn.out, "RESET");
    Ok(Flow::Next)
}

fn parse_protocol(version: &[u8]) -> Result<Protocol, CommandError> {
    match parse_i64(version) {
        Some(2) => Ok(Protocol::Resp2),
        Some(3) => Ok(Protocol::Resp3),
        Some(_) => Err(CommandError::UnsupportedProtocol),
        None => Err(CommandError::ProtocolVersionNotAnInteger),
    }
}

/// Lets the connection in if it is `user`'s password. Otherwise it stays what it was.
fn authenticate(context: &mut Context<'_>, user: &[u8], password: &[u8]) -> Result<(), CommandError> {
    // Both are looked at, so that the time does not tell which one was wrong.
    if context.server.live.admits(password) & (user == USER.as_bytes()) {
        context.state.authenticated = true;
        return Ok(());
    }
    tracing::debug!(client = context.client.id, address = %context.client.address, "wrong password");
    Err(CommandError::WrongPassword)
}

/// From this reply on the client is answered in `protocol`.
fn speak(context: &mut Context<'_>, protocol: Protocol) {
    context.state.protocol = protocol;
    context.client.describe(|about| about.protocol = protocol);
}

/// HELLO's answer. Clients know the fields by name, people by their order, which is that of Redis.
fn introduce_ourselves(context: &mut Context<'_>) {
    let (out, protocol) = (&mut context.turn.out, context.state.protocol);
    reply::map(out, protocol, 7);
    for (name, value) in [("server", "redis"), ("version", COMPATIBLE_WITH)] {
        reply::bulk(out, name.as_bytes());
        reply::bulk(out, value.as_bytes());
    }
    reply::bulk(out, b"proto");
    reply::integer(out, protocol_number(protocol));
    reply::bulk(out, b"id");
    reply::integer(out, clients::shown_id(context.client));
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        reply::bulk(out, name.as_bytes());
        reply::bulk(out, value.as_bytes());
    }
    reply::bulk(out, b"modules");
    reply::array(out, 0);
}

fn protocol_number(protocol: Protocol) -> i64 {
    match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    // The answers were read off redis-server 7.0.15.

    #[test]
    fn ping_and_echo_give_back_what_they_got() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("PING"), "+PONG\r\n");
        assert_eq!(bench.ask("PING abc"), "$3\r\nabc\r\n");
        assert_eq!(bench.ask("PING a b"), "-ERR wrong number of arguments for 'ping' command\r\n");
        assert_eq!(bench.ask("ECHO abc"), "$3\r\nabc\r\n");
    }

    #[test]
    fn hello_names_the_server_in_the_protocol_that_it_chose() {
        let mut bench = Bench::single_node();
        let fields = |proto| {
            format!(
                "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:{proto}\r\n$2\r\nid\r\n:1\r\n\
                 $4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
            )
        };
        assert_eq!(bench.ask("HELLO"), format!("*14\r\n{}", fields(2)));
        assert_eq!(bench.ask("HELLO 3"), format!("%7\r\n{}", fields(3)));
        assert_eq!(bench.ask("CLIENT GETNAME"), "_\r\n");
        assert_eq!(bench.client.description().protocol, Protocol::Resp3);
        assert_eq!(bench.ask("HELLO 2"), format!("*14\r\n{}", fields(2)));
    }

    #[test]
    fn a_refused_hello_keeps_the_protocol() {
        let mut bench = Bench::single_node();
        for (request, error) in [
            ("HELLO 4", "NOPROTO unsupported protocol version"),
            ("HELLO abc", "ERR Protocol version is not an integer or out of range"),
            ("HELLO 3 AUTH default", "ERR Syntax error in HELLO option 'AUTH'"),
            ("HELLO 3 SETNAME", "ERR Syntax error in HELLO option 'SETNAME'"),
            ("HELLO 3 SETNAME a FOO", "ERR Syntax error in HELLO option 'FOO'"),
            ("HELLO 3 AUTH foo bar", "WRONGPASS invalid username-password pair or user is disabled."),
            ("HELLO 5 AUTH foo bar", "NOPROTO unsupported protocol version"),
            ("HELLO 3 SETNAME \"a b\"", "ERR Client names cannot contain spaces, newlines or special characters."),
        ] {
            assert_eq!(bench.ask(request), format!("-{error}\r\n"), "{request}");
            assert_eq!(bench.state.protocol, Protocol::Resp2);
        }
    }

    #[test]
    fn hello_takes_its_options_one_by_one() {
        let mut bench = Bench::single_node();
        assert!(bench.ask("HELLO 3 auth default anything setname first").starts_with("%7"));
        assert_eq!(bench.client.description().name, "first");
        assert!(bench.ask("HELLO 3 SETNAME second AUTH foo bar").starts_with("-WRONGPASS"));
        assert_eq!(bench.client.description().name, "second");
    }

    #[test]
    fn auth_knows_the_one_user_without_a_password() {
        let mut bench = Bench::single_node();
        assert!(bench.ask("AUTH x").starts_with("-ERR AUTH <password> called without any password configured"));
        assert_eq!(bench.ask("AUTH default x"), "+OK\r\n");
        assert!(bench.ask("AUTH foo x").starts_with("-WRONGPASS"));
        assert_eq!(bench.ask("AUTH a b c"), "-ERR syntax error\r\n");
    }

    #[test]
    fn nothing_is_served_before_the_password_was_said() {
        let mut bench = Bench::single_node();
        bench.ask("CONFIG SET requirepass sesame");
        assert_eq!(bench.ask("PING"), "+PONG\r\n", "who is in stays in");
        assert_eq!(bench.ask("RESET"), "+RESET\r\n");
        for request in ["PING", "GET a", "SET a b", "INFO", "ACL WHOAMI", "CLIENT LIST", "COMMAND", "RSET k v 1-2-3"] {
            assert_eq!(bench.ask(request), "-NOAUTH Authentication required.\r\n", "{request}");
        }
        for (request, error) in [
            ("FOO bar", "ERR unknown command 'FOO', with args beginning with: 'bar' "),
            ("GET", "ERR wrong number of arguments for 'get' command"),
            ("HELLO 9", "NOPROTO unsupported protocol version"),
            ("HELLO 3 AUTH default wrong", "WRONGPASS invalid username-password pair or user is disabled."),
            ("HELLO 3 AUTH foo sesame", "WRONGPASS invalid username-password pair or user is disabled."),
            ("AUTH wrong", "WRONGPASS invalid username-password pair or user is disabled."),
            ("AUTH foo sesame", "WRONGPASS invalid username-password pair or user is disabled."),
            ("AUTH a b c", "ERR syntax error"),
        ] {
            assert_eq!(bench.ask(request), format!("-{error}\r\n"), "{request}");
        }
        for request in ["HELLO", "HELLO 3", "HELLO 3 SETNAME x"] {
            assert!(bench.ask(request).starts_with("-NOAUTH HELLO must be called with"), "{request}");
        }
        assert!(!bench.state.authenticated);
    }

    #[test]
    fn the_password_lets_in_until_reset() {
        let mut bench = Bench::single_node();
        bench.ask("CONFIG SET requirepass sesame");
        for request in ["AUTH sesame", "AUTH default sesame", "HELLO 2 AUTH default sesame"] {
            bench.ask("RESET");
            assert!(bench.ask("GET a").starts_with("-NOAUTH"));
            assert!(!bench.ask(request).starts_with('-'), "{request}");
            assert_eq!(bench.ask("GET a"), "$-1\r\n");
        }
        assert!(bench.ask("AUTH wrong").starts_with("-WRONGPASS"));
        assert_eq!(bench.ask("PING"), "+PONG\r\n", "a wrong password takes nothing away");
        bench.ask("CONFIG SET requirepass \"\"");
        assert!(bench.ask("AUTH sesame").starts_with("-ERR AUTH <password> called without any password configured"));
    }

    #[test]
    fn there_is_database_zero_alone() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("SELECT 0"), "+OK\r\n");
        for (request, error) in [
            ("SELECT 1", "ERR DB index is out of range"),
            ("SELECT -1", "ERR DB index is out of range"),
            ("SELECT abc", "ERR value is not an integer or out of range"),
            ("SELECT 01", "ERR value is not an integer or out of range"),
        ] {
            assert_eq!(bench.ask(request), format!("-{error}\r\n"), "{request}");
        }
    }

    #[test]
    fn quit_says_ok_before_the_end() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask_for("QUIT"), ("+OK\r\n".to_owned(), Flow::Close));
    }

    #[test]
    fn reset_makes_a_new_connection_of_an_old_one() {
        let mut bench = Bench::single_node();
        bench.ask("HELLO 3 SETNAME worker");
        bench.ask("CLIENT NO-EVICT ON");
        bench.ask("CLIENT SETINFO LIB-NAME redis-py");
        bench.state.peer = Some(NodeIndex(0));

        assert_eq!(bench.ask("RESET"), "+RESET\r\n");
        assert_eq!((bench.state.protocol, bench.state.peer), (Protocol::Resp2, None));
        let about = bench.client.description();
        assert_eq!((about.name.as_str(), about.no_evict, about.library_name.as_str()), ("", false, "redis-py"));
    }
}
