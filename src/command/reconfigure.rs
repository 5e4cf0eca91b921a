//! CONFIG SET and REWRITE: what can change while the node runs, several settings at once or none of them.
//!
//! All values are read first, into [`Change`]s, and only if each is legal the changes are made. What must be the same on
//! all nodes cannot be changed on one; nor can what a node is built on when it starts. Such a setting may still be "set"
//! to the value that it has: scripts made for Redis begin with `CONFIG SET save ""`.

use crate::config::{Knob, MAX_CLIENTS, MAX_VALUE_BYTES, SECONDS, SECRET_BYTES_MAX, Secret, parse_bytes};

use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::integer::parse_i64;
use super::live::Change;
use super::server::Server;
use super::settings;

/// What is wrong with a setting that is there but not to be changed.
const SHARED: &str = "all nodes have to agree on it: change it in the configuration of each and restart them";
const IMMUTABLE: &str = "can't set immutable config";
const DUPLICATE: &str = "duplicate parameter";
const NOT_AN_INTEGER: &str = "argument couldn't be parsed into an integer";

/// One setting that is to change, by who owns it.
enum Step {
    Live(Change),
    /// In microseconds; a negative number is never.
    SlowerThan(i64),
    SlowLogLen(u64),
}

/// CONFIG SET: pairs of a setting and its new value.
pub(super) fn set(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let words: Vec<&[u8]> = context.request.args().skip(2).collect();
    let (pairs, []) = words.as_chunks::<2>() else { return Err(CommandError::Syntax) };
    let server = context.server;
    let mut changes = Vec::with_capacity(pairs.len());
    for [name, _] in pairs {
        if known(server, name).is_none() {
            return Err(CommandError::unknown_setting(name));
        }
    }
    for (position, [name, value]) in pairs.iter().enumerate() {
        let failed = |why: String| CommandError::setting_refused(name, why);
        if pairs[..position].iter().any(|[earlier, _]| earlier.eq_ignore_ascii_case(name)) {
            return Err(failed(DUPLICATE.to_owned()));
        }
        let text = std::str::from_utf8(value).unwrap_or_default();
        let (name, present) = known(server, name).unwrap_or_default();
        changes.push(change(server, name, &present, value, text).map_err(failed)?);
    }
    for change in changes {
        match change {
            Step::Live(change) => server.live.apply(change),
            Step::SlowerThan(micros) => server.watch.slow_log.set_slower_than(micros),
            Step::SlowLogLen(commands) => server.watch.slow_log.set_len_max(commands),
        }
    }
    Ok(context.ok())
}

/// CONFIG REWRITE: cluster.toml is the same for all nodes and written by people, so no node writes it.
pub(super) fn rewrite(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    match context.server.config_file {
        None => Err(CommandError::NoConfigFile),
        Some(_) => Err(CommandError::NoRewrite),
    }
}

/// The setting called `name` in any case, and its present value.
fn known(server: &Server, name: &[u8]) -> Option<(&'static str, String)> {
    settings::settings(server).into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// What setting `name`, by now `present`, to `value` comes to; `text` is the same if it is UTF-8.
///
/// A new setting that can change at run time gets an arm here, and a variant of [`Change`] or, if it does not live in
/// [`super::live`], of [`Step`].
fn change(server: &Server, name: &str, present: &str, value: &[u8], text: &str) -> Result<Step, String> {
    let change = match name {
        "slowlog-log-slower-than" => return number(value, -1).map(Step::SlowerThan),
        "slowlog-max-len" => return number(value, 0).map(|count| Step::SlowLogLen(count.cast_unsigned())),
        "maxclients" => integer(value, &MAX_CLIENTS).map(|count| Change::MaxClients(narrow(count))),
        "timeout" => integer(value, &SECONDS).map(Change::TimeoutSeconds),
        "tcp-keepalive" => integer(value, &SECONDS).map(Change::TcpKeepaliveSeconds),
        "proto-max-bulk-len" => {
            let bytes = parse_bytes(text).ok_or("argument must be a memory value")?;
            within(bytes, &MAX_VALUE_BYTES).map(|bytes| Change::MaxValueBytes(narrow(bytes)))
        }
        "protected-mode" => yes_or_no(text).map(Change::ProtectedMode),
        "client-output-buffer-limit" => Ok(server.live.output_limits().changed_by(text).map(Change::OutputLimits)?),
        "requirepass" => password(value, text).map(Change::Password),
        _ if value == present.as_bytes() => Ok(Change::None),
        _ if is_shared(server, name) => Err(SHARED.to_owned()),
        _ => Err(IMMUTABLE.to_owned()),
    };
    change.map(Step::Live)
}

/// Whether peers refuse each other when they differ in it.
fn is_shared(server: &Server, name: &str) -> bool {
    let shared = server.store.replica.config.peer_settings();
    name == "read-quorum" || shared.iter().any(|(key, _)| key.replace('_', "-") == name)
}

/// A number from `min` on.
fn number(value: &[u8], min: i64) -> Result<i64, String> {
    let number = parse_i64(value).ok_or(NOT_AN_INTEGER)?;
    let out_of_range = || format!("argument must be between {min} and {} inclusive", i64::MAX);
    if number >= min { Ok(number) } else { Err(out_of_range()) }
}

fn integer(value: &[u8], knob: &Knob) -> Result<u64, String> {
    let number = parse_i64(value).ok_or(NOT_AN_INTEGER)?;
    // What is negative is below every range that does not hold it.
    within(u64::try_from(number).unwrap_or(u64::MAX), knob)
}

fn within(number: u64, knob: &Knob) -> Result<u64, String> {
    let Knob { min, max, .. } = knob;
    let is_legal = knob.range().contains(&number);
    is_legal.then_some(number).ok_or_else(|| format!("argument must be between {min} and {max} inclusive"))
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        _ if text.eq_ignore_ascii_case("yes") => Ok(true),
        _ if text.eq_ignore_ascii_case("no") => Ok(false),
        _ => Err("argument must be 'yes' or 'no'".to_owned()),
    }
}

/// A password; an empty one is none. The error does not repeat it.
fn password(value: &[u8], text: &str) -> Result<Option<Secret>, String> {
    match value.len() {
        0 => Ok(None),
        1..=SECRET_BYTES_MAX if text.len() == value.len() => Ok(Some(Secret::new(text.to_owned()))),
        _ => Err(format!("argument must be UTF-8 text of at most {SECRET_BYTES_MAX} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    /// The answer to CONFIG GET of one setting.
    fn value(bench: &mut Bench, name: &str) -> String {
        bench.ask(&format!("CONFIG GET {name}")).lines().nth(4).unwrap().to_owned()
    }

    // The errors were read off redis-server 7.0.15; bounds are our own.

    #[test]
    fn what_is_set_is_shown() {
        let mut bench = Bench::single_node();
        for (name, set, shown) in [
            ("maxclients", "50", "50"),
            ("TimeOut", "30", "30"),
            ("tcp-keepalive", "0", "0"),
            ("proto-max-bulk-len", "1mb", "1048576"),
            ("protected-mode", "NO", "no"),
            (
                "client-output-buffer-limit",
                "\"normal 1mb 1kb 5\"",
                "normal 1048576 1024 5 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            ),
            ("requirepass", "sesame", "(hidden)"),
            ("requirepass", "\"\"", ""),
            ("save", "\"\"", ""),
            ("appendonly", "no", "no"),
        ] {
            assert_eq!(bench.ask(&format!("CONFIG SET {name} {set}")), "+OK\r\n", "{name}");
            assert_eq!(value(&mut bench, name), shown, "{name}");
        }
    }

    #[test]
    fn wrong_values_are_refused_in_the_words_of_redis() {
        let mut bench = Bench::three_nodes();
        for (pair, words) in [
            ("timeout abc", "argument couldn't be parsed into an integer"),
            ("timeout -1", "argument must be between 0 and 2147483647 inclusive"),
            ("timeout 99999999999", "argument must be between 0 and 2147483647 inclusive"),
            ("timeout 5 timeout 6", "duplicate parameter"),
            ("maxclients 0", "argument must be between 1 and 1000000 inclusive"),
            ("maxclients 1e3", "argument couldn't be parsed into an integer"),
            ("protected-mode maybe", "argument must be 'yes' or 'no'"),
            ("proto-max-bulk-len xx", "argument must be a memory value"),
            ("proto-max-bulk-len 5", "argument must be between 1024 and 536870912 inclusive"),
            ("client-output-buffer-limit x", "Wrong number of arguments in buffer limit configuration."),
            ("databases 5", "can't set immutable config"),
            ("appendonly yes", "can't set immutable config"),
            ("write-quorum 3", super::SHARED),
            ("read-quorum 3", super::SHARED),
            ("request-timeout-ms 3", super::SHARED),
        ] {
            let name = pair.split(' ').next().unwrap();
            let error = format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {words}\r\n");
            assert_eq!(bench.ask(&format!("CONFIG SET {pair}")), error);
        }
        for (request, error) in [
            ("CONFIG SET foo bar", "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
            ("CONFIG SET timeout abc FoO 5", "ERR Unknown option or number of arguments for CONFIG SET - 'FoO'"),
            ("CONFIG SET maxclients 1000 timeout", "ERR syntax error"),
            ("CONFIG SET timeout", "ERR wrong number of arguments for 'config|set' command"),
            ("CONFIG REWRITE", "ERR The server is running without a config file"),
        ] {
            assert_eq!(bench.ask(request), format!("-{error}\r\n"), "{request}");
        }
        bench.server.config_file = Some("/etc/cluster.toml".into());
        assert!(bench.ask("CONFIG REWRITE").starts_with("-ERR Rewriting config file is not possible"));
    }

    #[test]
    fn of_several_settings_all_are_changed_or_none() {
        let mut bench = Bench::single_node();
        assert!(bench.ask("CONFIG SET timeout 7 maxclients 0").starts_with("-ERR CONFIG SET failed"));
        assert_eq!(value(&mut bench, "timeout"), "0");
        assert_eq!(bench.ask("CONFIG SET timeout 7 maxclients 5"), "+OK\r\n");
        assert_eq!((value(&mut bench, "timeout"), value(&mut bench, "maxclients")), ("7".to_owned(), "5".to_owned()));
    }

    #[test]
    fn no_answer_repeats_a_password() {
        let mut bench = Bench::single_node();
        let long = "x".repeat(2000);
        for request in [format!("CONFIG SET requirepass {long}"), "CONFIG SET requirepass sesame timeout x".to_owned()]
        {
            let answer = bench.ask(&request);
            assert!(answer.starts_with("-ERR") && !answer.contains("sesame") && !answer.contains("xxx"), "{answer}");
        }
        bench.ask("CONFIG SET requirepass sesame");
        for request in ["CONFIG GET *", "INFO everything", "CLIENT LIST", "ACL LIST"] {
            assert!(!bench.ask(request).contains("sesame"), "{request}");
        }
    }
}
