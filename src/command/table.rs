//! The command table: from a request's first words to the command that is meant.
//!
//! Every request passes here, so a name is folded to lower case on the stack and looked up in a map that is built
//! once. Names that are longer than any command's are unknown without a look.

use std::sync::LazyLock;

use fnv::FnvHashMap;

pub use super::spec::{Argument, ArgumentKind, Categories, CommandId, CommandSpec, Flags, Group, KeySpec};
use crate::command::errors::CommandError;
use crate::command::specs;

/// The longest name of a command, container or not, that the table takes.
const NAME_BYTES_MAX: usize = 24;

static COMMANDS: LazyLock<FnvHashMap<&'static [u8], &'static CommandSpec>> =
    LazyLock::new(|| specs::all().map(|spec| (spec.name.as_bytes(), spec)).collect());

/// The commands whose names fit into a word, which are nearly all that matter for speed: a look-up of these costs a
/// multiplication in place of folding, hashing and comparing strings.
static SHORT: LazyLock<ShortNames> = LazyLock::new(|| ShortNames::new(specs::all()));

/// The command with this name in any case, whether for clients or between nodes; never a subcommand.
///
/// ```
/// use ringkv::command::table::{CommandId, lookup};
/// assert_eq!(lookup(b"mGet").map(|spec| spec.id), Some(CommandId::MGet));
/// assert!(lookup(b"lpush").is_none());
/// ```
#[must_use]
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static CommandSpec> {
    SHORT.get(name).map(|found| found.spec).or_else(|| lookup_any(name))
}

fn lookup_any(name: &[u8]) -> Option<&'static CommandSpec> {
    let mut folded = [0; NAME_BYTES_MAX];
    let folded = folded.get_mut(..name.len())?;
    folded.copy_from_slice(name);
    folded.make_ascii_lowercase();
    COMMANDS.get(&*folded).copied()
}

/// Names of up to eight letters, as words, at the places that their hashes name or right behind.
struct ShortNames([Option<ShortName>; SHORT_PLACES]);

/// What has to be known of most requests.
#[derive(Clone, Copy)]
struct ShortName {
    /// The name as [`packed`] has it, and its length.
    word: u64,
    len: u32,
    /// How many words a request of this command has, its name included. None if a subcommand follows.
    words: (u32, u32),
    spec: &'static CommandSpec,
}

impl ShortName {
    fn new(word: u64, spec: &'static CommandSpec) -> Self {
        let wanted = u32::from(spec.arity.unsigned_abs());
        let words = match spec.arity {
            _ if !spec.subcommands.is_empty() => (u32::MAX, 0),
            ..0 => (wanted, u32::MAX),
            _ => (wanted, wanted),
        };
        Self { word, len: u32::try_from(spec.name.len()).unwrap_or(u32::MAX), words, spec }
    }

    /// Whether a request of so many words is one of this command, and is complete.
    #[inline]
    fn takes(&self, words: usize) -> bool {
        self.words.0 as usize <= words && words <= self.words.1 as usize
    }
}

/// A power of two, several times the number of commands, so that few names stand behind their place.
const SHORT_PLACES: usize = 256;

impl ShortNames {
    fn new(specs: impl Iterator<Item = &'static CommandSpec>) -> Self {
        let mut places = [None; SHORT_PLACES];
        let short = specs.filter(|spec| spec.name.bytes().all(|byte| byte.is_ascii_lowercase()));
        for (word, spec) in short.filter_map(|spec| Some((packed(spec.name.as_bytes())?, spec))) {
            let mut after = (0..=u8::MAX).map(|step| usize::from(first_place(word).wrapping_add(step)));
            let free = after.find(|&place| places[place].is_none());
            places[free.expect("there are more places than commands")] = Some(ShortName::new(word, spec));
        }
        Self(places)
    }

    #[inline]
    fn get(&self, name: &[u8]) -> Option<&ShortName> {
        let word = packed(name)?;
        let mut place = first_place(word);
        loop {
            match &self.0[usize::from(place)] {
                Some(found) if found.word == word && found.len as usize == name.len() => return Some(found),
                Some(_) => place = place.wrapping_add(1),
                None => return None,
            }
        }
    }
}

/// Where a word stands, or else at the next free place behind. There are more places than commands.
#[inline]
fn first_place(name: u64) -> u8 {
    name.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()[7]
}

/// A name of one to eight bytes as a word, letters in lower case. Other bytes may become letters' neighbours, but never
/// letters, so a word of letters alone comes from no other name of that length. Names of four bytes or more are read as two
/// halves, which overlap if there are fewer than eight: no loop, whatever the length.
#[inline]
fn packed(name: &[u8]) -> Option<u64> {
    const CASE: u64 = u64::from_le_bytes([b'a' ^ b'A'; 8]);
    let word = match (name.first_chunk(), name.last_chunk()) {
        (Some(head), Some(tail)) if name.len() <= size_of::<u64>() => {
            u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)) << 32
        }
        (None, None) => {
            let (first, last) = (*name.first()?, *name.last()?);
            u64::from(u32::from_le_bytes([first, name[name.len() / 2], last, 0]))
        }
        _ => return None,
    };
    Some(word | CASE)
}

/// The subcommand of `container` with this name in any case.
#[must_use]
pub fn lookup_subcommand(container: &CommandSpec, name: &[u8]) -> Option<&'static CommandSpec> {
    container.subcommands.iter().find(|spec| spec.short_name().as_bytes().eq_ignore_ascii_case(name))
}

/// The command or subcommand that a request asks for; its number of arguments is right.
///
/// # Errors
/// The command or subcommand is unknown, or the number of arguments is wrong. Redis reports these before it asks for
/// authentication, and so should the caller.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a call takes a third of all that it does for most requests")]
pub fn resolve<'a>(mut args: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<&'static CommandSpec, CommandError> {
    let len = args.len();
    let name = args.next().unwrap_or_default();
    match SHORT.get(name) {
        Some(found) if found.takes(len) => Ok(found.spec),
        _ => resolve_any(len, name, args),
    }
}

/// The same for all that is not a plain command with a short name.
#[inline(never)]
fn resolve_any<'a>(
    len: usize,
    name: &'a [u8],
    mut args: impl Iterator<Item = &'a [u8]>,
) -> Result<&'static CommandSpec, CommandError> {
    let Some(command) = lookup(name) else {
        return Err(CommandError::unknown_command(name, args));
    };
    let spec = match args.next() {
        Some(name) if !command.subcommands.is_empty() => {
            lookup_subcommand(command, name).ok_or_else(|| CommandError::unknown_subcommand(command, name))?
        }
        _ => command,
    };
    if spec.accepts(len) { Ok(spec) } else { Err(CommandError::WrongArity(spec.name)) }
}

/// Every command, container and subcommand, those between nodes too.
pub fn everything() -> impl Iterator<Item = &'static CommandSpec> {
    specs::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands))
}

/// Every command that clients may see, containers but not their subcommands.
pub fn visible() -> impl Iterator<Item = &'static CommandSpec> {
    specs::all().filter(|spec| !spec.is_internal())
}

/// The visible command with this name, or subcommand with this `container|subcommand`, in any case.
#[must_use]
pub fn find(full_name: &[u8]) -> Option<&'static CommandSpec> {
    let mut words = full_name.splitn(2, |&byte| byte == b'|');
    let command = lookup(words.next()?).filter(|spec| !spec.is_internal())?;
    words.next().map_or(Some(command), |name| lookup_subcommand(command, name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn resolved(request: &str) -> Result<CommandId, String> {
        let args: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        resolve(args.iter().copied()).map(|spec| spec.id).map_err(|error| error.to_string())
    }

    #[test]
    fn short_names_are_found_as_words_and_no_other_bytes_pass_for_letters() {
        for spec in specs::all().filter(|spec| spec.name.len() <= 8 && !spec.name.contains('-')) {
            assert_eq!(SHORT.get(spec.name.as_bytes()).map(|found| found.spec), Some(spec));
        }
        for byte in (0..=u8::MAX).filter(|byte| !byte.eq_ignore_ascii_case(&b'g')) {
            assert!(lookup(&[byte, b'e', b't']).is_none_or(|spec| spec.name != "get"), "{byte}");
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_nothing_else_is() {
        for name in ["get", "GET", "gEt"] {
            assert_eq!(lookup(name.as_bytes()).map(|spec| spec.id), Some(CommandId::Get));
        }
        for name in ["", "ge", "gett", "get ", "get\0", "client|id", "a name that is longer than any command's"] {
            assert!(lookup(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn every_command_is_found_under_its_own_name() {
        for spec in specs::all() {
            assert_eq!(lookup(spec.name.to_ascii_uppercase().as_bytes()), Some(spec));
            for inner in spec.subcommands {
                assert_eq!(lookup_subcommand(spec, inner.short_name().to_ascii_uppercase().as_bytes()), Some(inner));
                assert_eq!(inner.name, format!("{}|{}", spec.name, inner.short_name()));
            }
        }
    }

    #[test]
    fn names_and_ids_are_unique_and_names_fit() {
        let (mut names, mut ids) = (HashSet::new(), HashSet::new());
        for spec in everything() {
            assert!(names.insert(spec.name) && ids.insert(spec.id), "{}", spec.name);
            assert!(spec.subcommands.is_empty() || spec.name.len() <= NAME_BYTES_MAX, "{}", spec.name);
            assert_eq!(spec.name, spec.name.to_ascii_lowercase());
        }
    }

    #[test]
    fn plain_commands_are_the_fast_ones_of_clients_and_set() {
        for spec in everything() {
            let is_plain = spec.flags.contains(Flags::FAST) && !spec.is_internal() || spec.id == CommandId::Set;
            assert_eq!(spec.plain, is_plain, "{}", spec.name);
        }
    }

    #[test]
    fn each_description_is_sound() {
        for spec in everything() {
            assert!(spec.summary.ends_with('.') && !spec.complexity.is_empty(), "{}", spec.name);
            assert!(spec.arity != 0 && (spec.keys.is_none() || spec.arity.unsigned_abs() > 1), "{}", spec.name);
            assert_eq!(spec.is_internal(), spec.group == Group::Internal, "{}", spec.name);
            let documents_a_key = format!("{:?}", spec.arguments).contains("kind: Key");
            assert_eq!(documents_a_key, spec.keys.is_some(), "{}", spec.name);
            assert!(spec.arity != 1 || spec.arguments.is_empty(), "{}", spec.name);
        }
    }

    #[test]
    fn a_request_is_resolved_to_command_or_subcommand() {
        assert_eq!(resolved("get k"), Ok(CommandId::Get));
        assert_eq!(resolved("COMMAND"), Ok(CommandId::Command));
        assert_eq!(resolved("Command Count"), Ok(CommandId::CommandCount));
        assert_eq!(resolved("client SETNAME me"), Ok(CommandId::ClientSetName));
        assert_eq!(resolved("rset k v 1-2-3"), Ok(CommandId::RSet));
    }

    #[test]
    fn a_request_that_means_nothing_is_answered_as_redis_does() {
        let refused = |request| resolved(request).unwrap_err();
        assert_eq!(refused("foo a b"), "ERR unknown command 'foo', with args beginning with: 'a' 'b' ");
        assert_eq!(refused("get"), "ERR wrong number of arguments for 'get' command");
        assert_eq!(refused("GET a b"), "ERR wrong number of arguments for 'get' command");
        assert_eq!(refused("client"), "ERR wrong number of arguments for 'client' command");
        assert_eq!(refused("CLIENT SetName"), "ERR wrong number of arguments for 'client|setname' command");
        assert_eq!(refused("command help x"), "ERR wrong number of arguments for 'command|help' command");
        assert_eq!(refused("Client FoO x"), "ERR unknown subcommand 'FoO'. Try CLIENT HELP.");
        assert!(resolve(std::iter::empty()).is_err());
    }

    #[test]
    fn keys_are_where_the_spec_says() {
        let positions =
            |name: &str, len| lookup(name.as_bytes()).unwrap().keys.unwrap().positions(len).collect::<Vec<_>>();
        assert_eq!(positions("get", 2), [1]);
        assert_eq!(positions("set", 5), [1]);
        assert_eq!(positions("del", 4), [1, 2, 3]);
        assert_eq!(positions("mset", 5), [1, 3]);
        assert_eq!(positions("mset", 4), [1, 3], "an MSET that lacks its last value, as in Redis");
        assert_eq!(positions("del", 1), [0; 0]);
        assert_eq!(positions("get", 1), [0; 0]);
    }

    #[test]
    fn commands_between_nodes_are_hidden_but_known() {
        assert!(lookup(b"RHELLO").is_some_and(CommandSpec::is_internal));
        assert!(find(b"rhello").is_none());
        assert!(visible().all(|spec| !spec.is_internal()));
        assert_eq!(find(b"CLIENT|List").map(|spec| spec.id), Some(CommandId::ClientList));
        for name in ["get|foo", "client|", "client|foo", "|", ""] {
            assert!(find(name.as_bytes()).is_none(), "{name}");
        }
    }
}
