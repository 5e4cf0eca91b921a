//! The HELP of containers: each subcommand with its arguments and what it does, from the command table.

use redis_protocol::resp3::types::BytesFrame;

use crate::command::frame::{array, simple};
use crate::command::spec::{Argument, ArgumentKind, CommandSpec};

/// The reply to `container` HELP: a line per subcommand, and below each, indented, what it does.
#[must_use]
pub fn help(container: &CommandSpec) -> BytesFrame {
    array(lines(container).into_iter().map(simple))
}

/// The lines of the reply.
fn lines(container: &CommandSpec) -> Vec<String> {
    let mut lines = vec![format!("{} <subcommand> [<argument> ...]", container.name.to_ascii_uppercase())];
    if container.accepts(1) {
        lines.extend(["(no subcommand)".to_owned(), indented(container.summary)]);
    }
    for spec in container.subcommands {
        lines.extend([usage(spec), indented(spec.summary)]);
    }
    lines
}

fn indented(text: &str) -> String {
    format!("    {text}")
}

/// The subcommand's name and arguments, as one would type them.
fn usage(spec: &CommandSpec) -> String {
    let words = spec.arguments.iter().map(syntax);
    std::iter::once(spec.short_name().to_ascii_uppercase()).chain(words).collect::<Vec<_>>().join(" ")
}

/// One argument in the usual notation: `<value>`, `[optional]`, `(A|B)`, `<several> [<several> ...]`.
fn syntax(argument: &Argument) -> String {
    let body = body(argument);
    let once = match argument.token {
        Some(token) if argument.kind != ArgumentKind::PureToken => format!("{token} {body}"),
        _ => body.clone(),
    };
    match (argument.optional, argument.multiple) {
        (false, false) => once,
        (true, false) => format!("[{once}]"),
        (false, true) => format!("{once} [{body} ...]"),
        (true, true) => format!("[{once} [{body} ...]]"),
    }
}

/// What stands after an argument's token, or the word itself.
fn body(argument: &Argument) -> String {
    let inner = || argument.arguments.iter().map(syntax).collect::<Vec<_>>();
    match argument.kind {
        ArgumentKind::PureToken => argument.token.unwrap_or(argument.name).to_owned(),
        ArgumentKind::OneOf => format!("({})", inner().join("|")),
        ArgumentKind::Block => inner().join(" "),
        ArgumentKind::String
        | ArgumentKind::Integer
        | ArgumentKind::Double
        | ArgumentKind::Key
        | ArgumentKind::Pattern
        | ArgumentKind::UnixTime => format!("<{}>", argument.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table;

    fn lines_of(container: &str) -> Vec<String> {
        lines(table::lookup(container.as_bytes()).unwrap())
    }

    #[test]
    fn the_first_line_shows_how_to_call_the_container() {
        assert_eq!(lines_of("client")[0], "CLIENT <subcommand> [<argument> ...]");
    }

    #[test]
    fn every_subcommand_has_a_line_and_an_indented_explanation() {
        for container in ["client", "cluster", "command", "config"] {
            let lines = lines_of(container);
            for spec in table::lookup(container.as_bytes()).unwrap().subcommands {
                let name = spec.short_name().to_ascii_uppercase();
                let at = lines.iter().position(|line| line.split(' ').next() == Some(&name)).unwrap();
                assert_eq!(lines[at + 1], format!("    {}", spec.summary));
            }
        }
    }

    #[test]
    fn arguments_stand_in_the_usual_notation() {
        assert!(lines_of("config").contains(&"GET <parameter> [<parameter> ...]".to_owned()));
        let client = lines_of("client");
        assert!(client.contains(&"NO-EVICT (ON|OFF)".to_owned()));
        assert!(
            client
                .contains(&"LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <client-id> [<client-id> ...]]".to_owned())
        );
        let command = lines_of("command");
        assert!(command.contains(&"DOCS [<command-name> [<command-name> ...]]".to_owned()));
        let list = "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]";
        assert!(command.contains(&list.to_owned()));
    }

    #[test]
    fn only_a_container_that_works_alone_says_so() {
        assert!(lines_of("command").contains(&"(no subcommand)".to_owned()));
        assert!(!lines_of("client").contains(&"(no subcommand)".to_owned()));
    }

    #[test]
    fn the_reply_is_an_array_of_simple_strings_of_one_line_each() {
        let BytesFrame::Array { data, .. } = help(table::lookup(b"cluster").unwrap()) else { panic!("no array") };
        for line in data {
            let BytesFrame::SimpleString { data, .. } = line else { panic!("no simple string") };
            assert!(!data.contains(&b'\n') && data.len() <= 160);
        }
    }
}
