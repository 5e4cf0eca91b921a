//! What COMMAND answers, held against what redis-server 7.0.15 answered.
//!
//! `redis_7_0_15.txt` has a line per command, as reported by COMMAND INFO in RESP3: name, arity, flags, first key, last
//! key, step, categories / tips / key specs. Sets stand in braces and maps in angle brackets, both sorted; simple
//! strings begin with `+`. The notes of key specs (free text) are left out.

use super::*;

const REDIS: &str = include_str!("redis_7_0_15.txt");

/// The commands that a later Redis brought, so that 7.0.15 does not know them.
const LATER: [&str; 2] = ["client|no-touch", "client|setinfo"];

/// The command that Redis does not have.
const OURS: &str = "quorum";

/// A frame in the notation of the recorded answers.
fn render(frame: &BytesFrame) -> String {
    let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
    let joined = |items: &[BytesFrame]| items.iter().map(render).collect::<Vec<_>>().join(" ");
    match frame {
        BytesFrame::BlobString { data, .. } => text(data),
        BytesFrame::SimpleString { data, .. } => format!("+{}", text(data)),
        BytesFrame::Number { data, .. } => data.to_string(),
        BytesFrame::Null => "nil".to_owned(),
        BytesFrame::Array { data, .. } => format!("[{}]", joined(data)),
        BytesFrame::Set { data, .. } => format!("{{{}}}", sorted(data.iter().map(render))),
        BytesFrame::Map { data, .. } => {
            format!("<{}>", sorted(data.iter().map(|(key, value)| format!("{}={}", render(key), render(value)))))
        }
        other => panic!("no such frame in these replies: {other:?}"),
    }
}

fn sorted(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<_> = items.collect();
    items.sort();
    items.join(" ")
}

fn elements(frame: &BytesFrame) -> &[BytesFrame] {
    match frame {
        BytesFrame::Array { data, .. } => data,
        other => panic!("no array: {other:?}"),
    }
}

/// What is reported of one command: what has to be equal (head, key specs), and the tips.
#[derive(PartialEq, Debug)]
struct Report {
    head: String,
    keys: String,
    tips: Vec<String>,
}

/// What we report of a command.
fn reported(name: &str) -> Report {
    let fields = names(&entry(name));
    // The brackets of a list or braces of a set, as wide as a byte each.
    let inside = |field: &str| field[1..field.len() - 1].to_owned();
    Report { head: fields[..7].join(" "), keys: inside(&fields[8]), tips: words(&fields[7]) }
}

/// What Redis reports of it.
fn recorded(name: &str) -> Option<Report> {
    let line = REDIS.lines().find(|line| line.split(' ').next() == Some(name))?;
    let [head, tips, keys] = line.split('/').map(str::trim).collect::<Vec<_>>().try_into().unwrap();
    Some(Report { head: head.to_owned(), keys: keys.to_owned(), tips: words(tips) })
}

/// The words in a rendered set.
fn words(set: &str) -> Vec<String> {
    set.trim_matches(['{', '}']).split_whitespace().map(str::to_owned).collect()
}

fn entry(name: &str) -> BytesFrame {
    info_of(name.as_bytes())
}

fn names(frame: &BytesFrame) -> Vec<String> {
    elements(frame).iter().map(render).collect()
}

fn listed(args: &[&str]) -> Result<Vec<String>, CommandError> {
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    list(&args).map(|frame| names(&frame))
}

fn keys_of(command: &str) -> Result<Vec<String>, CommandError> {
    let command: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
    get_keys(&command).map(|frame| names(&frame))
}

#[test]
fn every_entry_of_command_info_is_that_of_redis() {
    for name in listed(&[]).unwrap() {
        let ours = reported(&name);
        let Some(theirs) = recorded(&name) else {
            assert!(LATER.contains(&name.as_str()) || name == OURS, "{name} is not in the recorded answers");
            continue;
        };
        assert_eq!((ours.head, ours.keys), (theirs.head, theirs.keys));
        // Tips may be fewer: one node answers for the whole cluster.
        assert!(ours.tips.iter().all(|tip| theirs.tips.contains(tip)), "{name}");
    }
}

#[test]
fn every_recorded_command_is_offered() {
    for recorded in REDIS.lines() {
        let name = recorded.split(' ').next().unwrap();
        assert!(table::find(name.as_bytes()).is_some(), "{name}");
    }
}

#[test]
fn commands_that_redis_brought_later_have_the_shape_of_their_kin() {
    for (name, arity) in [("client|setinfo", 4), ("client|no-touch", 3)] {
        let head = format!("{name} {arity} {{+loading +noscript +stale}} 0 0 0 {{+@connection +@slow}}");
        assert_eq!(reported(name), Report { head, keys: String::new(), tips: Vec::new() });
    }
}

#[test]
fn an_entry_has_ten_elements_and_the_last_holds_the_subcommands() {
    let command = entry("command");
    assert_eq!(elements(&command).len(), 10);
    let inner: Vec<String> = elements(&elements(&command)[9]).iter().map(|inner| names(inner)[0].clone()).collect();
    assert_eq!(
        inner,
        ["command|count", "command|docs", "command|getkeys", "command|help", "command|info", "command|list"]
    );
    for name in ["get", "command|count"] {
        assert_eq!(render(&elements(&entry(name))[9]), "{}");
    }
}

#[test]
fn without_names_info_and_docs_cover_every_command_and_no_other() {
    let visible = table::visible().count();
    assert_eq!(render(&count()), visible.to_string());
    assert_eq!(elements(&info()).len(), visible);
    let BytesFrame::Map { data, .. } = docs(&[]) else { panic!("no map") };
    assert_eq!(data.len(), visible);
}

#[test]
fn unknown_and_hidden_names_are_nil_in_info_and_absent_from_docs() {
    for name in ["nosuch", "get|foo", "client|foo", "rset", "RHELLO", "", "|"] {
        assert_eq!(render(&info_of(name.as_bytes())), "nil", "{name}");
        assert_eq!(render(&docs(&[name.as_bytes()])), "<>", "{name}");
    }
}

#[test]
fn docs_of_a_name_that_is_repeated_are_told_once() {
    assert_eq!(render(&docs(&[b"get".as_slice(); 1000])), render(&docs(&[b"GET"])));
}

#[test]
fn docs_have_the_fields_of_redis() {
    assert_eq!(
        render(&docs(&[b"Get"])),
        "<get=<arguments=[<key_spec_index=0 name=key type=key>] complexity=O(1) group=string since=1.0.0 \
         summary=Returns a key's value, or nil if the key does not exist.>>"
    );
    let BytesFrame::Map { data, .. } = docs(&[b"SET"]) else { panic!("no map") };
    let set = data.values().map(render).collect::<String>();
    assert!(set.contains("<name=seconds token=EX type=integer>"), "{set}");
    assert!(set.contains("flags={+optional} name=expiration type=oneof"), "{set}");
    assert!(set.contains("<name=keepttl token=KEEPTTL type=pure-token>"), "{set}");
    let config = render(&docs(&[b"config"]));
    assert!(config.contains("subcommands=<config|get=<arguments=[<flags={+multiple} name=parameter"), "{config}");
    assert!(render(&docs(&[b"CLIENT|getname"])).starts_with("<client|getname=<complexity=O(1)"));
}

#[test]
fn list_names_subcommands_too_and_hides_commands_between_nodes() {
    let all = listed(&[]).unwrap();
    assert!(all.contains(&"client".to_owned()) && all.contains(&"client|list".to_owned()));
    assert!(!all.iter().any(|name| name.starts_with("rset") || name.starts_with("rhello")));
}

#[test]
fn list_filters_as_redis_does() {
    assert_eq!(listed(&["FilterBy", "Pattern", "CLIENT|S*"]).unwrap(), ["client|setinfo", "client|setname"]);
    assert_eq!(listed(&["filterby", "pattern", "?set"]).unwrap(), ["mset"]);
    let strings = listed(&["filterby", "aclcat", "STRING"]).unwrap();
    assert_eq!(strings[..5], ["get", "set", "mget", "mset", "strlen"]);
    let connection = listed(&["filterby", "aclcat", "connection"]).unwrap();
    assert!(connection.contains(&"client|id".to_owned()) && !connection.contains(&"client".to_owned()));
    for nothing in [["filterby", "module", "x"], ["filterby", "aclcat", "nosuch"], ["filterby", "aclcat", "@read"]] {
        assert_eq!(listed(&nothing).unwrap(), [""; 0], "{nothing:?}");
    }
    let broken: [&[&str]; 4] = [&["foo"], &["filterby"], &["filterby", "x", "y"], &["filterby", "pattern", "a", "b"]];
    for args in broken {
        assert_eq!(listed(args), Err(CommandError::Syntax), "{args:?}");
    }
}

#[test]
fn get_keys_finds_keys_and_says_why_not() {
    assert_eq!(keys_of("GET a"), Ok(vec!["a".to_owned()]));
    assert_eq!(keys_of("mset a b c d"), Ok(vec!["a".to_owned(), "c".to_owned()]));
    assert_eq!(keys_of("mset a b c"), Ok(vec!["a".to_owned(), "c".to_owned()]));
    assert_eq!(keys_of("del a b"), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(keys_of("set k v ex 5"), Ok(vec!["k".to_owned()]));
    for command in ["foo a", "client foo", "rset k v 1-1-1", "client|id x", "get|x a"] {
        assert_eq!(keys_of(command), Err(CommandError::GetKeysUnknownCommand), "{command}");
    }
    for command in ["ping x y z", "ping x", "client id", "client setname x y"] {
        assert_eq!(keys_of(command), Err(CommandError::GetKeysWithoutKeys), "{command}");
    }
    assert_eq!(keys_of("get a b"), Err(CommandError::GetKeysWrongArity));
    assert_eq!(get_keys(&[]), Err(CommandError::GetKeysUnknownCommand));
}
