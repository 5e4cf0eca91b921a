//! Texts of errors to the letter, and what of a client may stand in them.

use super::*;
use crate::command::table;

// The texts were read off redis-server 7.0.15; CLIENT SETINFO, which it lacks, has those of 7.2.

fn unknown(name: &str, arguments: &[&str]) -> String {
    let arguments = arguments.iter().map(|argument| argument.as_bytes());
    CommandError::unknown_command(name.as_bytes(), arguments).to_string()
}

#[test]
fn an_unknown_command_is_named_with_its_arguments() {
    assert_eq!(unknown("foo", &[]), "ERR unknown command 'foo', with args beginning with: ");
    assert_eq!(unknown("FOO", &["a", ""]), "ERR unknown command 'FOO', with args beginning with: 'a' '' ");
    assert_eq!(unknown("", &[]), "ERR unknown command '', with args beginning with: ");
}

#[test]
fn long_names_and_arguments_are_cut_where_redis_cuts_them() {
    let (x, a) = ("x".repeat(128), "a".repeat(128));
    let expected = format!("ERR unknown command '{x}', with args beginning with: '{a}' ");
    assert_eq!(unknown(&"x".repeat(200), &[&"a".repeat(200), &"b".repeat(200)]), expected);
    let abc = "'abc' ".repeat(21);
    let expected = format!("ERR unknown command 'foo', with args beginning with: {abc}'ab' ");
    assert_eq!(unknown("foo", &["abc"; 100]), expected);
}

#[test]
fn line_ends_and_nuls_cannot_break_the_reply() {
    let expected = "ERR unknown command 'f  oo', with args beginning with: 'a  b' 'c' ";
    assert_eq!(unknown("f\r\noo", &["a\r\nb", "c\0d"]), expected);
    assert_eq!(unknown("foo\0bar", &[]), "ERR unknown command 'foo', with args beginning with: ");
    let raw = CommandError::unknown_command(b"\xff\r", [b"\xfe\n".as_slice()]).to_string();
    assert!(!raw.contains(['\r', '\n']));
}

#[test]
fn an_unknown_subcommand_points_to_help() {
    let client = table::lookup(b"client").unwrap();
    let text = |name: &[u8]| CommandError::unknown_subcommand(client, name).to_string();
    assert_eq!(text(b"FoO"), "ERR unknown subcommand 'FoO'. Try CLIENT HELP.");
    assert_eq!(text(b"f\r\nx"), "ERR unknown subcommand 'f  x'. Try CLIENT HELP.");
    assert_eq!(text(&[b'y'; 300]), format!("ERR unknown subcommand '{}'. Try CLIENT HELP.", "y".repeat(128)));
}

#[test]
fn texts_with_one_word_of_the_client_are_those_of_redis() {
    for (error, text) in [
        (CommandError::WrongArity("client|setname"), "ERR wrong number of arguments for 'client|setname' command"),
        (CommandError::InvalidExpireTime("set"), "ERR invalid expire time in 'set' command"),
        (CommandError::hello_option(b"foo"), "ERR Syntax error in HELLO option 'foo'"),
        (CommandError::unknown_client_type(b"foo"), "ERR Unknown client type 'foo'"),
        (CommandError::no_such_user(b"foo"), "ERR No such user 'foo'"),
        (CommandError::unknown_client_attribute(b"foo"), "ERR Unrecognized option 'foo'"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn long_texts_have_no_gap_where_their_source_lines_join() {
    assert_eq!(
        CommandError::NoPasswordConfigured.to_string(),
        "ERR AUTH <password> called without any password configured for the default user. \
         Are you sure your configuration is correct?"
    );
    assert_eq!(
        CommandError::HelloAuthenticationRequired.to_string(),
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
         option can be used to authenticate the client and select the RESP protocol version at the same time"
    );
}
