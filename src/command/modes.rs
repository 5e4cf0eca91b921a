//! How a client wants its connection, or those of others, to behave: CLIENT PAUSE, REPLY, TRACKING and UNBLOCK, QUORUM
//! and SHUTDOWN.

#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature, whether they can fail or not")]

use crate::coordinator::Quorum;
use crate::time::UnixMs;

use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::frame::{array, bulk, integer, map, set};
use super::integer::parse_i64;
use super::pause::PauseScope;

/// Which of its replies a connection is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Replies {
    /// All.
    #[default]
    On,
    /// All but that to the next command.
    SkipNext,
    /// Not that to the present command.
    Skipping,
    /// None.
    Off,
}

/// CLIENT REPLY: begins a turn of its own, so that a turn is answered or not as a whole.
pub(super) fn reply_mode(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let mode = match context.request.arg(2).to_ascii_lowercase().as_slice() {
        b"on" => Replies::On,
        b"off" => Replies::Off,
        b"skip" => Replies::SkipNext,
        _ => return Err(CommandError::Syntax),
    };
    if !context.turn.is_blank() {
        return Ok(Flow::Barrier);
    }
    match mode {
        Replies::On => drop(context.ok()),
        // Who wants no reply wants none to the next command, either.
        Replies::SkipNext if context.state.replies == Replies::Off => return Ok(Flow::Next),
        _ => {}
    }
    context.state.replies = mode;
    Ok(Flow::Pause)
}

/// CLIENT PAUSE: this node's clients wait, for all or for writes alone.
pub(super) fn pause(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let request = context.request;
    if request.len() > 4 {
        return Err(CommandError::SubcommandArguments { name: "PAUSE", container: "CLIENT" });
    }
    let scope = match (request.len() > 3).then(|| request.arg(3).to_ascii_lowercase()).as_deref() {
        None | Some(b"all") => PauseScope::All,
        Some(b"write") => PauseScope::Write,
        Some(_) => return Err(CommandError::PauseMode),
    };
    let timeout = parse_i64(request.arg(2)).ok_or(CommandError::TimeoutNotAnInteger)?;
    let timeout = u64::try_from(timeout).map_err(|_| CommandError::TimeoutNegative)?;
    context.server.pause.begin(scope, UnixMs(context.now.0.saturating_add(timeout)));
    Ok(context.ok())
}

/// CLIENT UNPAUSE: nobody waits any more.
pub(super) fn unpause(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    context.server.pause.end();
    Ok(context.ok())
}

/// CLIENT UNBLOCK: no command blocks here, so there is nobody to unblock.
pub(super) fn unblock(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let request = context.request;
    match request.len() {
        3 => {}
        4 if [&b"timeout"[..], b"error"].iter().any(|word| request.arg(3).eq_ignore_ascii_case(word)) => {}
        4 => return Err(CommandError::UnblockReason),
        _ => return Err(CommandError::SubcommandArguments { name: "UNBLOCK", container: "CLIENT" }),
    }
    parse_i64(request.arg(2)).ok_or(CommandError::NotAnInteger)?;
    Ok(context.integer(0))
}

/// CLIENT TRACKING: it can be switched off.
pub(super) fn tracking(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    match context.request.arg(2) {
        word if word.eq_ignore_ascii_case(b"off") => Ok(context.ok()),
        word if word.eq_ignore_ascii_case(b"on") => Err(CommandError::NoTracking),
        _ => Err(CommandError::Syntax),
    }
}

/// CLIENT CACHING: only for who tracks.
pub(super) fn caching(_: &mut Context<'_>) -> Result<Flow, CommandError> {
    Err(CommandError::CachingWithoutTracking)
}

/// CLIENT TRACKINGINFO: that it is off.
pub(super) fn tracking_info(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let frame = map([("flags", set([bulk("off")])), ("redirect", integer(-1)), ("prefixes", array([]))]);
    Ok(context.frame(&frame))
}

/// CLIENT GETREDIR: to nobody, since tracking is off.
pub(super) fn redirection(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    Ok(context.integer(-1))
}

/// SHUTDOWN: what SIGTERM does. NOSAVE, SAVE, NOW and FORCE make no difference: nothing is kept on disk, and no replica has
/// to be waited for beyond what stopping in order waits for anyway. There is no answer.
pub(super) fn shutdown(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let words: Vec<Vec<u8>> = context.request.args().skip(1).map(<[u8]>::to_ascii_lowercase).collect();
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let is_there = |word: &[u8]| words.contains(&word);
    let all_known = words.iter().all(|word| [&b"nosave"[..], b"save", b"now", b"force", b"abort"].contains(word));
    if !all_known || (is_there(b"save") && is_there(b"nosave")) || (is_there(b"abort") && words.len() > 1) {
        return Err(CommandError::Syntax);
    }
    if is_there(b"abort") {
        return Err(CommandError::NoShutdown);
    }
    tracing::info!(client = context.client.id, address = %context.client.address, "SHUTDOWN");
    context.server.shutdown.cancel();
    Ok(Flow::Close)
}

/// QUORUM: shows this connection's read and write quorum, or chooses them, within 1..N.
pub(super) fn quorum(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let words: Vec<&[u8]> = context.request.args().skip(1).collect();
    if words.is_empty() {
        let Quorum { replicas, write, read } = context.state.quorum;
        let fields = [("read", integer(read)), ("write", integer(write)), ("replicas", integer(replicas))];
        return Ok(context.frame(&map(fields)));
    }
    let chosen = choose(context.state.quorum, &words)?;
    // What is in this turn was to be served with the quorum before.
    if !context.turn.is_blank() {
        return Ok(Flow::Barrier);
    }
    context.state.quorum = chosen;
    Ok(context.ok())
}

/// `quorum` with what `words` change of it.
fn choose(mut quorum: Quorum, words: &[&[u8]]) -> Result<Quorum, CommandError> {
    let (pairs, []) = words.as_chunks::<2>() else { return Err(CommandError::Syntax) };
    let (mut read, mut write) = (None, None);
    for [word, count] in pairs {
        let field = match word.to_ascii_lowercase().as_slice() {
            b"read" => &mut read,
            b"write" => &mut write,
            _ => return Err(CommandError::Syntax),
        };
        let count = parse_i64(count).ok_or(CommandError::NotAnInteger)?;
        let legal = u16::try_from(count).ok().filter(|count| (1..=quorum.replicas).contains(count));
        let legal = legal.ok_or(CommandError::QuorumOutOfRange(quorum.replicas))?;
        if field.replace(legal).is_some() {
            return Err(CommandError::Syntax);
        }
    }
    quorum.read = read.unwrap_or(quorum.read);
    quorum.write = write.unwrap_or(quorum.write);
    Ok(quorum)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    // The answers were read off redis-server 7.0.15, those of QUORUM and of TRACKING ON aside.

    #[test]
    fn tracking_is_off_and_stays_so() {
        let mut bench = Bench::single_node();
        let caching = "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT \
                       mode enabled\r\n";
        for (request, answer) in [
            ("CLIENT TRACKING OFF", "+OK\r\n"),
            ("CLIENT TRACKING off BCAST", "+OK\r\n"),
            ("CLIENT TRACKING FOO", "-ERR syntax error\r\n"),
            (
                "CLIENT TRACKING ON",
                "-ERR CLIENT TRACKING ON is not offered: this server does not tell clients of changes\r\n",
            ),
            ("CLIENT CACHING YES", caching),
            ("CLIENT CACHING FOO", caching),
            ("CLIENT GETREDIR", ":-1\r\n"),
            (
                "CLIENT TRACKINGINFO",
                "*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n",
            ),
            ("CLIENT UNBLOCK 1", ":0\r\n"),
            ("CLIENT UNBLOCK 9 ERROR", ":0\r\n"),
            ("CLIENT UNBLOCK abc", "-ERR value is not an integer or out of range\r\n"),
            ("CLIENT UNBLOCK 9 FOO", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"),
            (
                "CLIENT UNBLOCK 9 ERROR x",
                "-ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.\r\n",
            ),
        ] {
            assert_eq!(bench.ask(request), answer, "{request}");
        }
        bench.ask("HELLO 3");
        assert_eq!(
            bench.ask("CLIENT TRACKINGINFO"),
            "%3\r\n$5\r\nflags\r\n~1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n"
        );
    }

    #[test]
    fn a_pause_is_asked_for_in_milliseconds() {
        let mut bench = Bench::single_node();
        for (request, error) in [
            ("CLIENT PAUSE abc", "ERR timeout is not an integer or out of range"),
            ("CLIENT PAUSE -1", "ERR timeout is negative"),
            ("CLIENT PAUSE 1 FOO", "ERR CLIENT PAUSE mode must be WRITE or ALL"),
            (
                "CLIENT PAUSE 1 WRITE x",
                "ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.",
            ),
        ] {
            assert_eq!(bench.ask(request), format!("-{error}\r\n"), "{request}");
            assert_eq!(bench.server.pause.scope(), None);
        }
        assert_eq!(bench.ask("CLIENT PAUSE 9223372036854775807 write"), "+OK\r\n");
        assert_eq!(bench.server.pause.scope(), Some(PauseScope::Write));
        assert_eq!(bench.ask("CLIENT PAUSE 1"), "+OK\r\n");
        assert_eq!(bench.server.pause.scope(), Some(PauseScope::All));
        assert_eq!(bench.ask("CLIENT UNPAUSE"), "+OK\r\n");
        assert_eq!(bench.server.pause.scope(), None);
    }

    #[test]
    fn replies_are_switched_between_turns() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("CLIENT REPLY FOO"), "-ERR syntax error\r\n");
        for (request, answer, replies) in [
            ("CLIENT REPLY OFF", "", Replies::Off),
            ("CLIENT REPLY SKIP", "", Replies::Off),
            ("CLIENT REPLY on", "+OK\r\n", Replies::On),
            ("CLIENT REPLY SKIP", "", Replies::SkipNext),
            ("RESET", "+RESET\r\n", Replies::On),
        ] {
            assert_eq!((bench.ask(request).as_str(), bench.state.replies), (answer, replies), "{request}");
        }
    }

    #[test]
    fn shutdown_is_asked_for_in_the_words_of_redis() {
        let mut bench = Bench::single_node();
        for (request, error) in [
            ("SHUTDOWN FOO", "ERR syntax error"),
            ("SHUTDOWN SAVE NOSAVE", "ERR syntax error"),
            ("SHUTDOWN ABORT NOW", "ERR syntax error"),
            ("SHUTDOWN ABORT", "ERR No shutdown in progress."),
        ] {
            assert_eq!(bench.ask(request), format!("-{error}\r\n"), "{request}");
            assert!(!bench.server.shutdown.is_cancelled());
        }
        assert_eq!(bench.ask_for("SHUTDOWN NOSAVE NOW force"), (String::new(), Flow::Close));
        assert!(bench.server.shutdown.is_cancelled());
    }

    #[test]
    fn a_connection_chooses_its_quorum_until_it_is_reset() {
        let mut bench = Bench::three_nodes();
        let shown =
            |read, write| format!("*6\r\n$4\r\nread\r\n:{read}\r\n$5\r\nwrite\r\n:{write}\r\n$8\r\nreplicas\r\n:3\r\n");
        assert_eq!(bench.ask("QUORUM"), shown(1, 2));
        assert_eq!(bench.ask("QUORUM READ 3"), "+OK\r\n");
        assert_eq!(bench.ask("quorum write 1 read 2"), "+OK\r\n");
        assert_eq!(bench.ask("QUORUM"), shown(2, 1));
        for (request, error) in [
            ("QUORUM READ", "ERR syntax error"),
            ("QUORUM READ 1 READ 2", "ERR syntax error"),
            ("QUORUM FOO 1", "ERR syntax error"),
            ("QUORUM READ x", "ERR value is not an integer or out of range"),
            ("QUORUM READ 1 WRITE 4", "ERR a quorum is from 1 to 3, the number of replicas of each key"),
            ("QUORUM WRITE 0", "ERR a quorum is from 1 to 3, the number of replicas of each key"),
        ] {
            assert_eq!(bench.ask(request), format!("-{error}\r\n"), "{request}");
        }
        assert_eq!(bench.ask("QUORUM"), shown(2, 1), "what is refused changes nothing");
        bench.ask("RESET");
        assert_eq!(bench.ask("QUORUM"), shown(1, 2));
    }
}
