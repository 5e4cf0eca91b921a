//! CLIENT: what a client says of itself, and what it may learn of the others or do to them.
//!
//! A session that is killed may be waiting for anything, so nothing is taken from it: it is told by its token, and it
//! ends itself. A client that kills itself is still owed the answer, so its own session is told to close instead.

#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature, whether they can fail or not")]

use std::collections::BTreeSet;
use std::sync::Arc;

use redis_protocol::resp3::types::VerbatimStringFormat;

use crate::codec::reply;
use crate::time::UnixMs;

use super::client::{Client, ClientDescription};
use super::connection::USER;
use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::integer::parse_i64;

/// CLIENT ID: the connection's number on this node.
pub(super) fn id(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    Ok(context.integer(shown_id(context.client)))
}

/// CLIENT GETNAME: nil if there is none.
pub(super) fn get_name(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    match context.client.description().name.as_str() {
        "" => reply::null(&mut context.turn.out, context.state.protocol),
        name => reply::bulk(&mut context.turn.out, name.as_bytes()),
    }
    Ok(Flow::Next)
}

/// CLIENT SETNAME: an empty name is none.
pub(super) fn set_name(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    rename(context.client, context.request.arg(2))?;
    Ok(context.ok())
}

/// CLIENT SETINFO: which library the client uses, and which version of it.
pub(super) fn set_info(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let (attribute, value) = (context.request.arg(2), context.request.arg(3));
    let known = ["lib-name", "lib-ver"].into_iter().find(|name| attribute.eq_ignore_ascii_case(name.as_bytes()));
    let known = known.ok_or_else(|| CommandError::unknown_client_attribute(attribute))?;
    let value = printable(value).ok_or(CommandError::ClientAttribute(known))?.to_owned();
    context.client.describe(|about| match known {
        "lib-name" => about.library_name = value,
        _ => about.library_version = value,
    });
    Ok(context.ok())
}

/// CLIENT INFO: this connection's line of CLIENT LIST.
pub(super) fn info(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let client = Arc::clone(context.client);
    Ok(describe(context, &[client]))
}

/// CLIENT LIST: a line for each connection, oldest first; those of one type, or with one of these ids, if asked.
pub(super) fn list(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let filter: Vec<&[u8]> = context.request.args().skip(2).collect();
    let mut clients = context.server.clients.all();
    match filter.as_slice() {
        [] => {}
        [word, kind] if word.eq_ignore_ascii_case(b"type") => {
            let kind = Kind::parse(kind)?;
            clients.retain(|client| kind.includes(client));
        }
        [word, ids @ ..] if word.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
            let ids = ids.iter().map(|id| parse_i64(id)).collect::<Option<BTreeSet<i64>>>();
            let ids = ids.ok_or(CommandError::InvalidClientId)?;
            clients.retain(|client| ids.contains(&shown_id(client)));
        }
        _ => return Err(CommandError::Syntax),
    }
    Ok(describe(context, &clients))
}

/// CLIENT KILL: by the address, or by filters that all have to match.
pub(super) fn kill(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let args: Vec<&[u8]> = context.request.args().skip(2).collect();
    if let [address] = args.as_slice() {
        let filter = KillFilter { address: Some(address), skip_me: false, ..KillFilter::default() };
        return match kill_all(context, &filter) {
            Killed { count: 0, .. } => Err(CommandError::NoSuchClient),
            killed => {
                context.ok();
                Ok(killed.flow())
            }
        };
    }
    let filter = KillFilter::parse(&args)?;
    let killed = kill_all(context, &filter);
    context.integer(killed.count);
    Ok(killed.flow())
}

/// CLIENT NO-EVICT: noted. No client is ever evicted here.
pub(super) fn no_evict(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    note_switch(context, |about, on| about.no_evict = on)
}

/// CLIENT NO-TOUCH: noted. No order of use is kept here that a client could disturb.
pub(super) fn no_touch(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    note_switch(context, |about, on| about.no_touch = on)
}

/// Names the connection; an empty name is none.
pub(super) fn rename(client: &Client, name: &[u8]) -> Result<(), CommandError> {
    let name = printable(name).ok_or(CommandError::ClientName)?;
    client.describe(|about| name.clone_into(&mut about.name));
    Ok(())
}

/// The client's id as the integer of a reply.
pub(super) fn shown_id(client: &Client) -> i64 {
    client.id.cast_signed()
}

/// `text`, if its bytes can stand between the spaces of a line of CLIENT LIST.
fn printable(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_graphic()).then_some(text)
}

/// Answers with the clients' lines. The one who asks is doing just that, which is noted only at the end of its turn.
fn describe(context: &mut Context<'_>, clients: &[Arc<Client>]) -> Flow {
    context.client.was_active(context.state.last_command, context.now);
    let lines: String = clients.iter().map(|client| client.line(context.now) + "\n").collect();
    let (out, protocol) = (&mut context.turn.out, context.state.protocol);
    reply::verbatim(out, protocol, &VerbatimStringFormat::Text, lines.as_bytes());
    Flow::Next
}

fn note_switch(
    context: &mut Context<'_>,
    note: impl FnOnce(&mut ClientDescription, bool),
) -> Result<Flow, CommandError> {
    let on = match context.request.arg(2) {
        word if word.eq_ignore_ascii_case(b"on") => true,
        word if word.eq_ignore_ascii_case(b"off") => false,
        _ => return Err(CommandError::Syntax),
    };
    context.client.describe(|about| note(about, on));
    Ok(context.ok())
}

/// Whom CLIENT KILL has ended.
#[derive(Clone, Copy, Debug)]
struct Killed {
    count: i64,
    /// Whether the client that asked is among them.
    me: bool,
}

impl Killed {
    fn flow(self) -> Flow {
        if self.me { Flow::Close } else { Flow::Next }
    }
}

fn kill_all(context: &Context<'_>, filter: &KillFilter<'_>) -> Killed {
    let mut killed = Killed { count: 0, me: false };
    for client in context.server.clients.all() {
        let is_me = client.id == context.client.id;
        if (is_me && filter.skip_me) || !filter.includes(&client, context.now) {
            continue;
        }
        killed.count += 1;
        if is_me {
            killed.me = true;
        } else {
            client.killed.kill();
        }
    }
    killed
}

/// What CLIENT LIST TYPE and CLIENT KILL TYPE tell apart. A peer's link, which sends records here, is what comes
/// closest to a replica of Redis; masters and subscribers do not exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Normal,
    Replica,
    Master,
    PubSub,
}

impl Kind {
    fn parse(name: &[u8]) -> Result<Self, CommandError> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Self::Normal),
            b"replica" | b"slave" => Ok(Self::Replica),
            b"master" => Ok(Self::Master),
            b"pubsub" => Ok(Self::PubSub),
            _ => Err(CommandError::unknown_client_type(name)),
        }
    }

    fn includes(self, client: &Client) -> bool {
        match self {
            Self::Normal => client.description().peer.is_none(),
            Self::Replica => client.description().peer.is_some(),
            Self::Master | Self::PubSub => false,
        }
    }
}

/// Whom CLIENT KILL is to end: whoever passes every filter given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct KillFilter<'a> {
    id: Option<i64>,
    kind: Option<Kind>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    /// Connected for so many seconds or longer.
    age_seconds_min: u64,
    /// Not the client that asks.
    skip_me: bool,
}

impl Default for KillFilter<'_> {
    fn default() -> Self {
        Self { id: None, kind: None, address: None, local_address: None, age_seconds_min: 0, skip_me: true }
    }
}

impl<'a> KillFilter<'a> {
    /// Reads pairs of a filter's name and its value. There is one user, so a USER that exists includes everybody.
    fn parse(args: &[&'a [u8]]) -> Result<Self, CommandError> {
        let mut filter = Self::default();
        let mut rest = args;
        while let [name, value, others @ ..] = rest {
            match name.to_ascii_lowercase().as_slice() {
                b"id" => filter.id = Some(parse_id(value)?),
                b"type" => filter.kind = Some(Kind::parse(value)?),
                b"addr" => filter.address = Some(value),
                b"laddr" => filter.local_address = Some(value),
                b"maxage" => filter.age_seconds_min = parse_age(value)?,
                b"skipme" => filter.skip_me = parse_yes_no(value)?,
                b"user" if *value == USER.as_bytes() => {}
                b"user" => return Err(CommandError::no_such_user(value)),
                _ => return Err(CommandError::Syntax),
            }
            rest = others;
        }
        if rest.is_empty() { Ok(filter) } else { Err(CommandError::Syntax) }
    }

    fn includes(&self, client: &Client, now: UnixMs) -> bool {
        let age_ms = now.0.saturating_sub(client.connected_at.0);
        self.id.is_none_or(|id| id == shown_id(client))
            && self.kind.is_none_or(|kind| kind.includes(client))
            && self.address.is_none_or(|address| address == client.address.as_bytes())
            && self.local_address.is_none_or(|address| address == client.local_address.as_bytes())
            && age_ms / 1000 >= self.age_seconds_min
    }
}

fn parse_id(text: &[u8]) -> Result<i64, CommandError> {
    parse_i64(text).filter(|id| *id > 0).ok_or(CommandError::ClientIdNotPositive)
}

fn parse_age(text: &[u8]) -> Result<u64, CommandError> {
    parse_i64(text).and_then(|age| u64::try_from(age).ok()).ok_or(CommandError::NotAnInteger)
}

fn parse_yes_no(text: &[u8]) -> Result<bool, CommandError> {
    match text.to_ascii_lowercase().as_slice() {
        b"yes" => Ok(true),
        b"no" => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, NOW};
    use super::*;
    use crate::ring::NodeIndex;

    // The answers were read off redis-server 7.0.15; those on SETINFO, NO-TOUCH and MAXAGE are of later versions.

    #[test]
    fn a_name_is_kept_until_it_is_emptied() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("CLIENT ID"), ":1\r\n");
        assert_eq!(bench.ask("CLIENT GETNAME"), "$-1\r\n");
        assert_eq!(bench.ask("CLIENT SETNAME ab"), "+OK\r\n");
        assert_eq!(bench.ask("CLIENT GETNAME"), "$2\r\nab\r\n");
        assert_eq!(bench.ask("CLIENT SETNAME \"\""), "+OK\r\n");
        assert_eq!(bench.ask("CLIENT GETNAME"), "$-1\r\n");
    }

    #[test]
    fn names_that_would_break_a_line_are_refused() {
        let mut bench = Bench::single_node();
        let error = "-ERR Client names cannot contain spaces, newlines or special characters.\r\n";
        for name in ["\"a b\"", "\"a\\n\"", "\"\\xff\"", "\"\\xc3\\xbf\"", "\"\\x7f\""] {
            assert_eq!(bench.ask(&format!("CLIENT SETNAME {name}")), error, "{name}");
        }
        let error = "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n";
        assert_eq!(bench.ask("CLIENT SETINFO LIB-NAME \"a b\""), error);
        assert_eq!(bench.ask("CLIENT SETINFO FOO bar"), "-ERR Unrecognized option 'FOO'\r\n");
    }

    #[test]
    fn a_client_reads_of_itself_what_it_said() {
        let mut bench = Bench::single_node();
        assert!(bench.client.line(NOW).contains(" cmd=NULL "), "it has asked for nothing yet");
        for request in
            ["CLIENT SETNAME ab", "CLIENT SETINFO lib-name py", "CLIENT SETINFO LIB-VER 5", "CLIENT NO-EVICT on"]
        {
            assert_eq!(bench.ask(request), "+OK\r\n");
        }
        let line = bench.ask("CLIENT INFO");
        for field in
            ["id=1 ", " name=ab ", " flags=e ", " cmd=client|info ", " resp=2 ", " lib-name=py ", " lib-ver=5\n\r\n"]
        {
            assert!(line.contains(field), "no {field:?} in {line}");
        }
        assert_eq!(bench.ask("CLIENT NO-EVICT foo"), "-ERR syntax error\r\n");
        assert_eq!(bench.ask("CLIENT NO-TOUCH OFF"), "+OK\r\n");
    }

    #[test]
    fn the_list_is_filtered_by_type_and_id() {
        let mut bench = Bench::single_node();
        let peer = bench.connect();
        peer.describe(|about| about.peer = Some(NodeIndex(0)));
        let mut ids = |request: &str| -> Vec<String> {
            let answer = bench.ask(request);
            answer.lines().filter_map(|line| line.strip_prefix("id=")?.split(' ').next()).map(str::to_owned).collect()
        };
        assert_eq!(ids("CLIENT LIST"), ["1", "2"]);
        assert_eq!(ids("CLIENT LIST TYPE Normal"), ["1"]);
        assert_eq!(ids("CLIENT LIST TYPE replica"), ["2"]);
        assert_eq!(ids("CLIENT LIST TYPE pubsub"), [""; 0]);
        assert_eq!(ids("CLIENT LIST ID 2 -1 0 99 2"), ["2"]);
    }

    #[test]
    fn a_list_without_lines_is_empty_text() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("CLIENT LIST ID 99"), "$0\r\n\r\n");
        bench.ask("HELLO 3");
        assert_eq!(bench.ask("CLIENT LIST ID 99"), "=4\r\ntxt:\r\n");
    }

    #[test]
    fn requests_that_redis_refuses_are_refused_in_its_words() {
        let mut bench = Bench::single_node();
        for (request, error) in [
            ("CLIENT LIST FOO", "ERR syntax error"),
            ("CLIENT LIST TYPE", "ERR syntax error"),
            ("CLIENT LIST ID", "ERR syntax error"),
            ("CLIENT LIST TYPE normal x", "ERR syntax error"),
            ("CLIENT LIST TYPE foo", "ERR Unknown client type 'foo'"),
            ("CLIENT LIST ID 1 abc", "ERR Invalid client ID"),
            ("CLIENT KILL 1.2.3.4:5", "ERR No such client"),
            ("CLIENT KILL ID", "ERR No such client"),
            ("CLIENT KILL ID 0", "ERR client-id should be greater than 0"),
            ("CLIENT KILL ID abc", "ERR client-id should be greater than 0"),
            ("CLIENT KILL ID 1 SKIPME", "ERR syntax error"),
            ("CLIENT KILL SKIPME foo", "ERR syntax error"),
            ("CLIENT KILL FOO BAR", "ERR syntax error"),
            ("CLIENT KILL TYPE foo", "ERR Unknown client type 'foo'"),
            ("CLIENT KILL USER foo", "ERR No such user 'foo'"),
            ("CLIENT KILL MAXAGE x", "ERR value is not an integer or out of range"),
        ] {
            assert_eq!(bench.ask(request), format!("-{error}\r\n"), "{request}");
        }
    }

    #[test]
    fn the_killed_are_those_that_pass_every_filter() {
        let mut bench = Bench::single_node();
        let (first, second) = (bench.connect(), bench.connect());
        for request in
            ["CLIENT KILL ID 99", "CLIENT KILL ID 2 ADDR 1.2.3.4:5", "CLIENT KILL MAXAGE 60", "CLIENT KILL ID 1"]
        {
            assert_eq!(bench.ask(request), ":0\r\n", "{request}");
        }
        assert!(!first.killed.is_killed());
        assert_eq!(bench.ask_for(&format!("CLIENT KILL {}", first.address)), ("+OK\r\n".to_owned(), Flow::Pause));
        assert!(first.killed.is_killed() && !second.killed.is_killed());
        assert_eq!(bench.ask("CLIENT KILL ID 3 TYPE normal USER default MAXAGE 0"), ":1\r\n");
        assert!(second.killed.is_killed());
    }

    #[test]
    fn a_client_that_kills_itself_still_gets_its_answer() {
        let mut bench = Bench::single_node();
        let own_address = bench.client.address.clone();
        assert_eq!(bench.ask_for(&format!("CLIENT KILL {own_address}")), ("+OK\r\n".to_owned(), Flow::Close));
        assert_eq!(bench.ask_for("CLIENT KILL ID 1 SKIPME no"), (":1\r\n".to_owned(), Flow::Close));
        assert!(!bench.client.killed.is_killed());
    }
}
