//! MONITOR: every command that clients send to this node, as it is served.
//!
//! As in Redis commands for those who run the server are not shown, nor are passwords; commands between nodes are not
//! either. A command is shown when its turn comes, so one that waits for other nodes is shown before its reply leaves.
//! Huge requests are cut, since each line is made while its sender waits and is kept for each monitor.

use std::io::Write as _;

use crate::codec::Request;

use super::client::Client;
use super::connection::State;
use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::server::Server;
use super::spec::{CommandSpec, Flags};
use super::watch::shown;

/// Bytes of an argument that are shown.
const ARG_BYTES_MAX: usize = 64 << 10;
/// Bytes of a line after which no further argument is shown.
const LINE_BYTES_MAX: usize = 512 << 10;

/// MONITOR: from now on the client is told. Told already, it gets no answer, as in Redis.
pub(super) fn monitor(context: &mut Context<'_>) -> Flow {
    if context.state.monitoring.is_some() {
        return Flow::Next;
    }
    context.client.describe(|about| about.is_monitor = true);
    context.state.monitoring = Some(context.server.watch.monitors.join(context.client.killed.clone()));
    context.ok()
}

/// The client is told no more.
pub(crate) fn stop(server: &Server, client: &Client, state: &mut State) {
    if let Some(feed) = state.monitoring.take() {
        server.watch.monitors.leave(&feed);
        client.describe(|about| about.is_monitor = false);
    }
}

/// Refuses a command on keys to a client that monitors, as Redis does.
pub(super) fn allows(state: &State, spec: &CommandSpec) -> Result<(), CommandError> {
    let is_on_data = spec.flags.contains(Flags::READONLY) || spec.flags.contains(Flags::WRITE);
    if state.monitoring.is_some() && is_on_data { Err(CommandError::MonitorAndData) } else { Ok(()) }
}

/// Shows a request of `client` to all monitors.
#[cold]
#[inline(never)]
pub(super) fn show(server: &Server, client: &Client, spec: &CommandSpec, request: &Request<'_>) {
    if !(spec.flags.contains(Flags::ADMIN) || spec.is_internal()) {
        let now_micros = server.store.replica.wall.now_micros();
        server.watch.monitors.tell(&line(now_micros, &client.address, spec, request));
    }
}

fn line(now_micros: u64, address: &str, spec: &CommandSpec, request: &Request<'_>) -> Vec<u8> {
    let mut line = Vec::with_capacity(64 + request.frame_len().min(LINE_BYTES_MAX));
    let (seconds, micros) = (now_micros / 1_000_000, now_micros % 1_000_000);
    let _ = write!(line, "+{seconds}.{micros:06} [0 {address}]");
    for index in 0..request.len() {
        if line.len() > LINE_BYTES_MAX {
            let _ = write!(line, " ... ({} more arguments)", request.len() - index);
            break;
        }
        quote(&mut line, shown(spec, request, index));
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// Appends a space and the word in quotes, with the escapes of Redis.
fn quote(line: &mut Vec<u8>, word: &[u8]) {
    line.extend_from_slice(b" \"");
    let kept = &word[..word.len().min(ARG_BYTES_MAX)];
    for &byte in kept {
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x07 => line.extend_from_slice(b"\\a"),
            0x08 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(byte),
            _ => drop(write!(line, "\\x{byte:02x}")),
        }
    }
    if kept.len() < word.len() {
        let _ = write!(line, "... ({} more bytes)", word.len() - kept.len());
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, request};
    use super::*;
    use crate::command::table;

    // Lines and answers were read off redis-server 7.0.15.

    fn shown_as(text: &str) -> String {
        let requests = request(text);
        let request = requests.first();
        let spec = table::resolve(request.args()).unwrap();
        String::from_utf8(line(1_700_000_000_012_345, "127.0.0.1:5000", spec, &request)).unwrap()
    }

    #[test]
    fn a_line_tells_when_who_and_what() {
        assert_eq!(shown_as("set k v"), "+1700000000.012345 [0 127.0.0.1:5000] \"set\" \"k\" \"v\"\r\n");
        assert_eq!(
            shown_as("AUTH default pw"),
            "+1700000000.012345 [0 127.0.0.1:5000] \"AUTH\" \"(redacted)\" \"(redacted)\"\r\n"
        );
    }

    #[test]
    fn bytes_are_escaped_as_redis_escapes_them() {
        let line = shown_as(r#"SET k "\x00\xff\n\r\t\a\b\\\"'x~\x7f""#);
        assert!(line.ends_with("\"SET\" \"k\" \"\\x00\\xff\\n\\r\\t\\a\\b\\\\\\\"'x~\\x7f\"\r\n"), "{line}");
    }

    #[test]
    fn huge_requests_are_cut() {
        let shown_words = |words: &[&str]| {
            let bulks: Vec<String> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
            shown_as(&format!("*{}\r\n{}", words.len(), bulks.concat()))
        };
        let line = shown_words(&["SET", "k", &"v".repeat(ARG_BYTES_MAX + 10)]);
        assert!(line.ends_with("v... (10 more bytes)\"\r\n"));
        let key = "k".repeat(ARG_BYTES_MAX);
        let line = shown_words(&[&["MGET"][..], &[key.as_str(); 20]].concat());
        assert!(line.ends_with("k\" ... (12 more arguments)\r\n"), "{}", &line[line.len() - 40..]);
    }

    /// What the client's feed has gathered, without times and addresses.
    async fn seen(bench: &Bench) -> String {
        let feed = bench.state.monitoring.clone().unwrap();
        let lines = String::from_utf8(feed.lines().await).unwrap();
        lines.lines().map(|line| line.split_once("] ").unwrap().1).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn what_is_served_is_shown_and_what_is_refused_or_for_operators_is_not() {
        let mut bench = Bench::single_node();
        assert_eq!(bench.ask("MONITOR"), "+OK\r\n");
        assert_eq!(bench.ask("MONITOR"), "");
        for request in ["PING", "NOSUCH", "ECHO", "CONFIG GET save", "CLIENT ID", "SELECT 9", "SLOWLOG LEN", "RGET k"] {
            bench.ask(request);
        }
        assert_eq!(seen(&bench).await, "\"PING\"; \"CLIENT\" \"ID\"; \"SELECT\" \"9\"");
    }

    #[test]
    fn a_monitor_cannot_use_keys() {
        let mut bench = Bench::single_node();
        bench.ask("MONITOR");
        for request in ["GET k", "SET k v", "DBSIZE", "FLUSHALL"] {
            assert_eq!(bench.ask(request), "-ERR Replica can't interact with the keyspace\r\n", "{request}");
        }
        assert!(bench.ask("CLIENT INFO").contains(" flags=O "));
        assert!(
            bench.ask("INFO commandstats").contains("cmdstat_get:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,")
        );
    }

    #[test]
    fn reset_ends_it() {
        let mut bench = Bench::single_node();
        bench.ask("MONITOR");
        assert!(bench.server.watch.monitors.any());
        assert_eq!(bench.ask("RESET"), "+RESET\r\n");
        assert!(!bench.server.watch.monitors.any());
        assert_eq!(bench.ask("GET k"), "$-1\r\n");
        assert!(bench.ask("CLIENT INFO").contains(" flags=N "));
    }
}
