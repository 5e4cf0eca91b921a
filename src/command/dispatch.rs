//! From a request to the code that serves it: one arm per command, each one call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_protocol::resp3::types::BytesFrame;

use crate::codec::{Request, reply};
use crate::ring::Slot;
use crate::time::UnixMs;

use super::client::Client;
use super::errors::{CommandError, REQUEST_BYTES_MAX};
use super::expiry::Unit;
use super::reading::{Reading, TimeUnit};
use super::server::Server;
use super::spec::{CommandId, CommandSpec};
use super::turn::Turn;
use super::wait::WaitOrder;
use super::watch::error_code;
use super::{
    acl, clients, cluster, connection, info, latency, lcs, modes, monitor, part, peering, reconfigure, scan, settings,
    slowlog, table, wait,
};

pub(super) use super::cluster_wide::ClusterWide;

/// What the session does after a command was dispatched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Flow {
    /// Goes on with the next command.
    Next,
    /// Ends the turn: other clients come before the next command.
    Pause,
    /// Ends the turn and goes on with this command at that argument.
    More(usize),
    /// Ends the turn, since this command has to see what those before it did, and dispatches it again.
    Barrier,
    /// Ends the turn, does this, and goes on.
    Await(Box<ClusterWide>),
    /// Ends the turn, waits for other replicas, and goes on.
    Wait(Box<WaitOrder>),
    /// Ends the turn, sends the replies and closes the connection.
    Close,
}

impl Flow {
    /// Ends the turn, does this, and goes on. In a box, for hardly any command does so, and every one returns a flow.
    pub(super) fn wait_for(wanted: ClusterWide) -> Self {
        Self::Await(Box::new(wanted))
    }
}

/// What a client has asked for.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) request: &'a Request<'a>,
    /// The slot of its first argument, if it has one.
    pub(crate) slot: Slot,
    /// The first argument that was not worked on in an earlier turn.
    pub(crate) from: usize,
}

/// Serves one request of `client`, on from where it was left if it was begun in an earlier turn.
#[inline]
pub(crate) fn dispatch(
    server: &Server,
    client: &Arc<Client>,
    state: &mut connection::State,
    order: Order<'_>,
    now: UnixMs,
    turn: &mut Turn,
) -> Flow {
    let Order { request, slot, from } = order;
    let spec = match table::resolve(request.args()) {
        Ok(spec) => spec,
        // Some website talks through a browser behind our firewall: what follows are its headers and its commands.
        Err(_) if is_http(request.arg(0)) => return Flow::Close,
        Err(error) => return reject(&error, None, server, request, turn),
    };
    if !state.authenticated && connection::must_authenticate(server, state, spec) {
        return reject(&CommandError::AuthenticationRequired, Some(spec), server, request, turn);
    }
    let mut context = Context { server, client, state, request, slot, from, now, turn };
    if !spec.plain || from > 0 || server.watch.monitors.any() {
        let dispatch = if spec.is_internal() { dispatch_peers } else { dispatch_closely };
        return dispatch(spec, &mut context);
    }
    let flow = context.serve(spec, |context| context.run(spec));
    if !matches!(flow, Flow::Next) {
        account(&flow, None, turn);
    }
    flow
}

/// As [`dispatch`], for a command of a peer: it is neither timed nor shown to monitors.
#[inline(never)]
fn dispatch_peers(spec: &'static CommandSpec, context: &mut Context<'_>) -> Flow {
    context.serve(spec, |context| peering::dispatch(context, spec))
}

/// As [`dispatch`], for commands that may take long, go on from an earlier turn, or are watched by a monitor.
#[inline(never)]
fn dispatch_closely(spec: &'static CommandSpec, context: &mut Context<'_>) -> Flow {
    let Context { server, client, request, from, .. } = *context;
    if spec.is_laborious() && request.frame_len() > REQUEST_BYTES_MAX {
        return reject(&CommandError::TooLong(spec.name), Some(spec), server, request, context.turn);
    }
    let is_watched = server.watch.monitors.any();
    if is_watched && let Err(error) = monitor::allows(context.state, spec) {
        return reject(&error, Some(spec), server, request, context.turn);
    }
    let began = Instant::now();
    let flow = context.serve(spec, |context| match context.run(spec)? {
        Flow::Next if spec.is_laborious() => Ok(Flow::Pause),
        flow => Ok(flow),
    });
    let turn = &mut *context.turn;
    if is_watched && from == 0 && flow != Flow::Barrier {
        monitor::show(server, client, spec, request);
    }
    let took = account(&flow, Some(began.elapsed()), turn);
    if took.is_some_and(|took| slowlog::log_if_slow(server, client, (spec, request), 0, took)) {
        turn.meter.keep_longer_than(request.frame_len());
    }
    flow
}

/// Accounts for a command that is not simply done, or was timed alone. Returns what one that is done took.
#[inline(never)]
fn account(flow: &Flow, own: Option<Duration>, turn: &mut Turn) -> Option<Duration> {
    match flow {
        Flow::Barrier | Flow::Await(_) | Flow::Wait(_) => turn.meter.take_back(),
        Flow::More(_) => turn.meter.interrupted(own.unwrap_or_default()),
        Flow::Next | Flow::Pause | Flow::Close => return own.map(|own| turn.meter.timed(own)),
    }
    None
}

/// Counts a command whose reply, at `reply_at`, is an error.
#[cold]
#[inline(never)]
fn fail(spec: &CommandSpec, server: &Server, turn: &Turn, reply_at: usize) {
    server.watch.failed(spec.id, error_code(&turn.out[reply_at..]));
}

/// Whether a line that begins with `word` can only come from an HTTP client, as Redis tells, too. (`GET` is ours.)
fn is_http(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"POST") || word.eq_ignore_ascii_case(b"Host:")
}

/// Answers a command that does not even begin; `spec` is its description, if there is one.
#[cold]
#[inline(never)]
fn reject(
    error: &CommandError,
    spec: Option<&CommandSpec>,
    server: &Server,
    request: &Request<'_>,
    turn: &mut Turn,
) -> Flow {
    let misused = |name| table::everything().find(|spec| spec.name == name);
    let spec = match error {
        CommandError::WrongArity(name) => misused(*name),
        _ => spec,
    };
    server.watch.rejected(spec.map(|spec| spec.id), error.to_string().as_bytes());
    turn.meter.keep_longer_than(request.frame_len());
    refuse(error, turn)
}

/// Answers with an error; the connection stays.
fn refuse(error: &CommandError, turn: &mut Turn) -> Flow {
    reply::error(&mut turn.out, &error.to_string());
    Flow::Next
}

/// One command being served.
pub(crate) struct Context<'a> {
    pub(crate) server: &'a Server,
    pub(crate) client: &'a Arc<Client>,
    pub(crate) state: &'a mut connection::State,
    pub(crate) request: &'a Request<'a>,
    /// The slot of the first argument.
    pub(crate) slot: Slot,
    /// The first argument that was not worked on in an earlier turn.
    pub(crate) from: usize,
    pub(crate) now: UnixMs,
    pub(crate) turn: &'a mut Turn,
}

impl Context<'_> {
    /// Serves it by `serve`, and counts it if its reply is an error.
    #[inline]
    fn serve(
        &mut self,
        spec: &'static CommandSpec,
        serve: impl FnOnce(&mut Self) -> Result<Flow, CommandError>,
    ) -> Flow {
        self.state.last_command = Some(spec.id);
        self.turn.meter.begin(spec);
        let reply_at = self.turn.out.len();
        let flow = match serve(self) {
            Ok(flow) => flow,
            Err(error) => refuse(&error, self.turn),
        };
        if self.turn.out.get(reply_at) == Some(&b'-') {
            fail(spec, self.server, self.turn, reply_at);
        }
        flow
    }

    /// Compiled apart, so that what is around it fits into the session's loop.
    #[inline(never)]
    fn run(&mut self, spec: &'static CommandSpec) -> Result<Flow, CommandError> {
        use CommandId as Id;
        match spec.id {
            Id::Get => Ok(self.read(Reading::Value)),
            Id::Set => self.write(spec),
            Id::SetEx => self.write_for(spec, Unit::Ex),
            Id::PSetEx => self.write_for(spec, Unit::Px),
            Id::GetEx => self.read_or_expire(spec),
            Id::GetRange | Id::SubStr => part::range(self.request).map(|part| self.read(Reading::Part(part))),
            Id::GetBit => part::bit(self.request).map(|part| self.read(Reading::Part(part))),
            Id::BitCount => Ok(self.read(Reading::Part(part::count(self.request)))),
            Id::BitPos => part::position(self.request).map(|part| self.read(Reading::Part(part))),
            Id::BitField | Id::BitFieldRo => self.fields(spec),
            Id::Lcs => lcs::lcs(self),
            Id::MSetNx => self.write_many_if_none(spec),
            Id::MGet => Ok(self.read_many()),
            Id::MSet => self.write_many(),
            Id::Del | Id::Unlink => Ok(self.delete()),
            Id::Exists | Id::Touch => Ok(self.count_existing()),
            Id::StrLen => Ok(self.read(Reading::Length)),
            Id::Type => Ok(self.read(Reading::Type)),
            Id::Ttl => Ok(self.read(Reading::Remaining(TimeUnit::Seconds, self.now))),
            Id::PTtl => Ok(self.read(Reading::Remaining(TimeUnit::Milliseconds, self.now))),
            Id::ExpireTime => Ok(self.read(Reading::ExpiresAt(TimeUnit::Seconds))),
            Id::PExpireTime => Ok(self.read(Reading::ExpiresAt(TimeUnit::Milliseconds))),
            Id::Rename | Id::RenameNx | Id::Copy => self.move_key(spec),
            Id::Dump => Ok(self.read(Reading::Payload)),
            Id::ObjectEncoding => Ok(self.read_at(2, Reading::Encoding)),
            Id::ObjectFreq => Ok(self.read_at(2, Reading::Frequency)),
            Id::ObjectIdleTime => Ok(self.read_at(2, Reading::IdleTime)),
            Id::ObjectRefCount => Ok(self.read_at(2, Reading::References)),
            Id::MemoryUsage => self.memory_usage(),
            Id::DbSize => Ok(Flow::wait_for(ClusterWide::CountKeys)),
            Id::Scan => scan::scan(self),
            Id::Keys => Ok(scan::keys(self)),
            Id::RandomKey => Ok(Flow::wait_for(ClusterWide::RandomKey)),
            Id::Wait => wait::parse(self),
            Id::FlushAll | Id::FlushDb => settings::flush(self),
            Id::Ping => connection::ping(self),
            Id::Echo => connection::echo(self),
            Id::Hello => connection::hello(self),
            Id::Auth => connection::auth(self),
            Id::Select => connection::select(self),
            Id::Quit => connection::quit(self),
            Id::Reset => connection::reset(self),
            Id::ReadOnly | Id::ReadWrite => Ok(self.ok()),
            Id::ClientId => clients::id(self),
            Id::ClientGetName => clients::get_name(self),
            Id::ClientSetName => clients::set_name(self),
            Id::ClientSetInfo => clients::set_info(self),
            Id::ClientInfo => clients::info(self),
            Id::ClientList => clients::list(self),
            Id::ClientKill => clients::kill(self),
            Id::ClientNoEvict => clients::no_evict(self),
            Id::ClientNoTouch => clients::no_touch(self),
            Id::Time => settings::time(self),
            Id::ConfigGet => settings::get(self),
            Id::ConfigResetStat => settings::reset_statistics(self),
            Id::Monitor => Ok(monitor::monitor(self)),
            Id::SlowLogGet => slowlog::get(self),
            Id::SlowLogLen => Ok(slowlog::len(self)),
            Id::SlowLogReset => Ok(slowlog::reset(self)),
            Id::LatencyHistogram => latency::histogram(self),
            Id::LatencyLatest | Id::LatencyHistory => Ok(latency::no_events(self)),
            Id::LatencyReset => Ok(self.integer(0)),
            Id::ConfigSet => reconfigure::set(self),
            Id::ConfigRewrite => reconfigure::rewrite(self),
            Id::ClusterGetKeysInSlot => cluster::get_keys_in_slot(self),
            Id::ClusterLinks => cluster::links(self),
            Id::ClusterReplicas => cluster::replicas(self),
            Id::ClientCaching => modes::caching(self),
            Id::ClientGetRedir => modes::redirection(self),
            Id::ClientPause => modes::pause(self),
            Id::ClientReply => modes::reply_mode(self),
            Id::ClientTracking => modes::tracking(self),
            Id::ClientTrackingInfo => modes::tracking_info(self),
            Id::ClientUnblock => modes::unblock(self),
            Id::ClientUnpause => modes::unpause(self),
            Id::Shutdown => modes::shutdown(self),
            Id::Quorum => modes::quorum(self),
            Id::AclWhoAmI => acl::who_am_i(self),
            Id::AclUsers => acl::users(self),
            Id::AclList => acl::list(self),
            Id::Info => info::info(self),
            Id::ClusterInfo => cluster::info(self),
            Id::ClusterMyId => cluster::my_id(self),
            Id::ClusterNodes => cluster::nodes(self),
            Id::ClusterSlots => cluster::slots(self),
            Id::ClusterShards => cluster::shards(self),
            Id::ClusterKeySlot => cluster::key_slot(self),
            Id::ClusterCountKeysInSlot => cluster::count_keys_in_slot(self),
            Id::CommandInfo => Ok(self.describe_each()),
            // Updates; else COMMAND and the HELPs: what the table alone can answer.
            _ => self.update(spec).unwrap_or_else(|| self.describe(spec.id)),
        }
    }

    /// Answers `OK`.
    pub(super) fn ok(&mut self) -> Flow {
        reply::ok(&mut self.turn.out);
        Flow::Next
    }

    /// Answers with a bulk string.
    pub(super) fn bulk(&mut self, text: impl AsRef<[u8]>) -> Flow {
        reply::bulk(&mut self.turn.out, text.as_ref());
        Flow::Next
    }

    /// Answers with an integer.
    pub(super) fn integer(&mut self, number: i64) -> Flow {
        reply::integer(&mut self.turn.out, number);
        Flow::Next
    }

    /// Answers with a reply of any shape.
    pub(super) fn frame(&mut self, frame: &BytesFrame) -> Flow {
        reply::frame(&mut self.turn.out, self.state.protocol, frame);
        Flow::Next
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    #[test]
    fn laborious_commands_let_other_clients_come_before_the_next_one() {
        let mut bench = Bench::three_nodes();
        for request in
            ["INFO", "COMMAND", "COMMAND DOCS", "CONFIG GET *", "CLIENT LIST", "CLUSTER SLOTS", "CLUSTER NODES"]
        {
            assert_eq!(bench.ask_for(request).1, Flow::Pause, "{request}");
        }
        for request in ["PING", "ECHO x", "SELECT 0", "HELLO 3", "TIME"] {
            assert_eq!(bench.ask_for(request).1, Flow::Next, "{request}");
        }
    }

    #[test]
    fn laborious_commands_of_absurd_length_are_refused() {
        let mut bench = Bench::single_node();
        // An inline command could not be that long.
        let array = |words: &str, long: usize| {
            let words: Vec<String> = words.split(' ').map(|word| word.replace('~', &"x".repeat(long))).collect();
            let bulks: Vec<String> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
            format!("*{}\r\n{}", words.len(), bulks.concat())
        };
        for request in ["CONFIG GET *[~", "COMMAND LIST FILTERBY PATTERN *[~", "CLIENT LIST ID ~"] {
            let answer = bench.ask(&array(request, REQUEST_BYTES_MAX - 200));
            assert!(!answer.contains("too long"), "{request}: {answer}");
            let answer = bench.ask(&array(request, REQUEST_BYTES_MAX));
            assert!(answer.ends_with("command is too long: at most 65536 bytes\r\n"), "{request}: {answer}");
        }
        assert_eq!(bench.ask(&array("STRLEN ~", REQUEST_BYTES_MAX)), ":0\r\n");
        assert!(bench.ask(&array("ECHO ~", REQUEST_BYTES_MAX)).len() > REQUEST_BYTES_MAX);
    }

    #[test]
    fn http_clients_are_sent_away_before_their_body_is_read() {
        let mut bench = Bench::single_node();
        for line in ["POST / HTTP/1.1", "Host: localhost:6379", "host: x"] {
            assert_eq!(bench.ask_for(line), (String::new(), Flow::Close), "{line}");
        }
        assert_eq!(bench.ask_for("HOST x").1, Flow::Next);
    }

    #[test]
    fn command_info_describes_each_name_in_shares() {
        let mut bench = Bench::single_node();
        let few = bench.ask("COMMAND INFO get nosuch GET");
        assert!(few.starts_with("*3\r\n*10\r\n$3\r\nget\r\n") && few.contains("$-1\r\n*10\r\n"), "{few}");
        let entry = bench.ask("COMMAND INFO get").len() - "*1\r\n".len();
        let (share, flow) = bench.ask_for(&format!("COMMAND INFO{}", " get".repeat(1000)));
        let Flow::More(next) = flow else { panic!("{flow:?}") };
        assert_eq!(share.len(), "*1000\r\n".len() + (next - 2) * entry);
        assert_eq!(bench.ask("COMMAND INFO"), bench.ask("COMMAND"));
    }
}
