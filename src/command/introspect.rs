//! COMMAND and its subcommands, answered from the command table.
//!
//! Cluster-aware clients route by COMMAND INFO, so its entries have the ten elements of Redis 7 to the letter; a test
//! holds them against the answers of redis-server 7.0.15. One thing cannot be had: Redis sends the key specs as a
//! RESP3 set of maps, and our frame type has no sets of maps, so they are an array. (RESP2 knows no difference, and
//! clients read both as a list.) Commands between nodes do not exist here.

use std::collections::BTreeMap;

use redis_protocol::resp3::types::BytesFrame;

use crate::command::errors::CommandError;
use crate::command::frame::{array, bulk, copied, integer, map, set, simple};
use crate::command::glob::{self, Case};
use crate::command::spec::{Argument, ArgumentKind, CommandSpec, KeySpec};
use crate::command::table;

/// COMMAND COUNT: how many commands there are, subcommands aside.
#[must_use]
pub fn count() -> BytesFrame {
    integer(u32::try_from(table::visible().count()).unwrap_or(u32::MAX))
}

/// COMMAND: what clients need for routing, an entry for each command.
#[must_use]
pub fn info() -> BytesFrame {
    array(table::visible().map(info_entry))
}

/// The entry of the command `name`; nil if there is none.
#[must_use]
pub fn info_of(name: &[u8]) -> BytesFrame {
    table::find(name).map_or(BytesFrame::Null, info_entry)
}

/// COMMAND DOCS with `names`: what commands do, by name; unknown names are left out. No name means all.
#[must_use]
pub fn docs(names: &[&[u8]]) -> BytesFrame {
    if names.is_empty() {
        return map(table::visible().map(|spec| (spec.name, docs_entry(spec))));
    }
    // However often a name is repeated, its entry is made once.
    let asked: BTreeMap<_, _> =
        names.iter().filter_map(|name| table::find(name)).map(|spec| (spec.name, spec)).collect();
    map(asked.into_iter().map(|(name, spec)| (name, docs_entry(spec))))
}

/// COMMAND LIST with what follows it: the names of commands and subcommands, all or those that pass the filter.
///
/// # Errors
/// A syntax error if the filter is not one of `FILTERBY MODULE|ACLCAT|PATTERN` and a word.
pub fn list(args: &[&[u8]]) -> Result<BytesFrame, CommandError> {
    let filter = Filter::parse(args)?;
    let every = table::visible().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands));
    Ok(array(every.filter(|spec| filter.passes(spec)).map(|spec| bulk(spec.name))))
}

/// COMMAND GETKEYS with a complete command: its keys.
///
/// # Errors
/// The command is unknown, has no keys, or a wrong number of arguments.
pub fn get_keys(command: &[&[u8]]) -> Result<BytesFrame, CommandError> {
    let spec = match command {
        [name, inner, ..] if table::find(name).is_some_and(|spec| !spec.subcommands.is_empty()) => {
            table::find(name).and_then(|spec| table::lookup_subcommand(spec, inner))
        }
        [name, ..] if !name.contains(&b'|') => table::find(name),
        _ => None,
    }
    .ok_or(CommandError::GetKeysUnknownCommand)?;
    let keys = spec.keys.ok_or(CommandError::GetKeysWithoutKeys)?;
    if !spec.accepts(command.len()) {
        return Err(CommandError::GetKeysWrongArity);
    }
    Ok(array(keys.positions(command.len()).filter_map(|index| command.get(index)).map(|key| copied(key))))
}

/// Which commands COMMAND LIST names.
enum Filter<'a> {
    All,
    Module,
    Category(&'a [u8]),
    Pattern(&'a [u8]),
}

impl<'a> Filter<'a> {
    fn parse(args: &[&'a [u8]]) -> Result<Self, CommandError> {
        match *args {
            [] => Ok(Self::All),
            [word, kind, value] if word.eq_ignore_ascii_case(b"filterby") => {
                let is = |name: &str| kind.eq_ignore_ascii_case(name.as_bytes());
                if is("module") {
                    Ok(Self::Module)
                } else if is("aclcat") {
                    Ok(Self::Category(value))
                } else if is("pattern") {
                    Ok(Self::Pattern(value))
                } else {
                    Err(CommandError::Syntax)
                }
            }
            _ => Err(CommandError::Syntax),
        }
    }

    fn passes(&self, spec: &CommandSpec) -> bool {
        match self {
            Self::All => true,
            // There are no modules, so none of them has brought a command.
            Self::Module => false,
            Self::Category(wanted) => spec
                .categories()
                .names()
                .any(|name| name.trim_start_matches('@').as_bytes().eq_ignore_ascii_case(wanted)),
            Self::Pattern(pattern) => glob::matches(pattern, spec.name.as_bytes(), Case::Insensitive),
        }
    }
}

/// One entry of COMMAND INFO, of ten elements.
fn info_entry(spec: &CommandSpec) -> BytesFrame {
    let last = spec.keys.and_then(|keys| keys.each().last()).map_or(0, |keys| keys.last);
    let (first, step) = spec.keys.map_or((0, 0), |keys| (keys.first, keys.step));
    array([
        bulk(spec.name),
        integer(spec.arity),
        set(spec.flags.names().map(simple)),
        integer(first),
        integer(last),
        integer(step),
        set(spec.categories().names().map(simple)),
        set(spec.tips.iter().copied().map(bulk)),
        spec.keys.map_or_else(|| set([]), |keys| array(keys.each().map(key_spec))),
        // An array for a container and a set for others, as Redis has it.
        if spec.subcommands.is_empty() { set([]) } else { array(spec.subcommands.iter().map(info_entry)) },
    ])
}

/// How a client finds the keys of a command, step by step.
fn key_spec(keys: KeySpec) -> BytesFrame {
    // In this place Redis counts the last key from the first, unless it counts from the end.
    let last = if keys.last < 0 { i64::from(keys.last) } else { i64::from(keys.last) - i64::from(keys.first) };
    let range = [("lastkey", integer(last)), ("keystep", integer(keys.step)), ("limit", integer(0))];
    map([
        ("flags", set(keys.access.iter().copied().map(simple))),
        ("begin_search", map([("type", bulk("index")), ("spec", map([("index", integer(keys.first))]))])),
        ("find_keys", map([("type", bulk("range")), ("spec", map(range))])),
    ])
}

/// One entry of COMMAND DOCS.
fn docs_entry(spec: &CommandSpec) -> BytesFrame {
    let mut fields = vec![
        ("summary", bulk(spec.summary)),
        ("since", bulk(spec.since)),
        ("group", bulk(spec.group.name())),
        ("complexity", bulk(spec.complexity)),
    ];
    if !spec.arguments.is_empty() {
        fields.push(("arguments", array(spec.arguments.iter().map(argument))));
    }
    if !spec.subcommands.is_empty() {
        let entries = spec.subcommands.iter().map(|inner| (inner.name, docs_entry(inner)));
        fields.push(("subcommands", map(entries)));
    }
    map(fields)
}

/// One argument in an entry of COMMAND DOCS.
fn argument(argument: &Argument) -> BytesFrame {
    let mut fields = vec![("name", bulk(argument.name)), ("type", bulk(argument.kind.name()))];
    if argument.kind == ArgumentKind::Key {
        fields.push(("key_spec_index", integer(argument.key_spec)));
    }
    fields.extend(argument.token.map(|token| ("token", bulk(token))));
    let marks =
        [(argument.optional, "optional"), (argument.multiple, "multiple"), (argument.repeats_token, "multiple_token")];
    if argument.optional || argument.multiple {
        let given = marks.into_iter().filter(|&(given, _)| given).map(|(_, mark)| simple(mark));
        fields.push(("flags", set(given)));
    }
    if !argument.arguments.is_empty() {
        fields.push(("arguments", array(argument.arguments.iter().map(self::argument))));
    }
    map(fields)
}

#[cfg(test)]
mod tests;
