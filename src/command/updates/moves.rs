//! RENAME, RENAMENX and COPY where one update does it all, and the steps that they are made of elsewhere.
//!
//! The steps are updates of one key each, which no client can ask for. RHOLD tells what a key holds, RPLACE writes that
//! under another name, RTAKE deletes it from the old one if it is still there, RSETTLE says what is to become of what
//! was placed. In between, what was placed has an expiry that no other has, its *mark*, and is known by it.

use bytes::{Buf, Bytes};
use smallvec::smallvec;

use crate::codec::Protocol;
use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;
use crate::coordinator::{Held, UpdateOrder, Work};
use crate::ring::Slot;
use crate::time::UnixMs;

use super::Reply;

/// The word for an expiry that never comes.
const NEVER: Bytes = Bytes::from_static(b"-");
/// The bytes before a value in the reply of RHOLD: its expiry.
const EXPIRY_BYTES: usize = size_of::<u64>();

/// RENAME key newkey.
pub(super) fn rename(work: &mut Work<'_>) -> Result<(), CommandError> {
    let held = work.held[0].ok_or(CommandError::NoSuchKey)?;
    move_unless_same(work, held);
    work.ok();
    Ok(())
}

/// RENAMENX key newkey.
pub(super) fn rename_nx(work: &mut Work<'_>) -> Result<(), CommandError> {
    let held = work.held[0].ok_or(CommandError::NoSuchKey)?;
    let is_free = work.held[1].is_none();
    if is_free {
        move_unless_same(work, held);
    }
    work.integer(i64::from(is_free));
    Ok(())
}

fn move_unless_same(work: &mut Work<'_>, held: Held<'_>) {
    if work.args[1] != work.args[2] {
        work.put(1, held.value.to_vec(), held.expires_at);
        work.delete(0);
    }
}

/// COPY source destination [DB destination-db] [REPLACE].
pub(super) fn copy(work: &mut Work<'_>) -> Result<(), CommandError> {
    let replace = copy_replaces(work.args[3..].iter().copied())?;
    if work.args[1] == work.args[2] {
        return Err(CommandError::SameObject);
    }
    let held = work.held[0].filter(|_| replace || work.held[1].is_none());
    if let Some(held) = held {
        work.put(1, held.value.to_vec(), held.expires_at);
    }
    work.integer(i64::from(held.is_some()));
    Ok(())
}

/// Whether COPY with these options replaces a key that exists.
pub(in crate::command) fn copy_replaces<'a>(mut options: impl Iterator<Item = &'a [u8]>) -> Result<bool, CommandError> {
    let mut replace = false;
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"REPLACE") {
            replace = true;
            continue;
        }
        let database = options.next().filter(|_| option.eq_ignore_ascii_case(b"DB")).ok_or(CommandError::Syntax)?;
        let database = parse_i64(database).ok_or(CommandError::NotAnInteger)?;
        if i32::try_from(database).map_err(|_| CommandError::NoShortInteger)? != 0 {
            return Err(CommandError::DatabaseOutOfRange);
        }
    }
    Ok(replace)
}

/// What is moved or copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::command) struct Content {
    pub(in crate::command) value: Bytes,
    pub(in crate::command) expires_at: Option<UnixMs>,
}

/// What a key may hold that is written over, beside what the same move has placed there before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::command) enum Over {
    /// Whatever it is.
    Anything,
    /// Nothing.
    Nothing,
}

/// What [`place`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::command) enum Found {
    /// Something that has to stay.
    InTheWay,
    /// Nothing that matters.
    Room,
    /// The same value, and wrote it again. It may have come by another move of the same key, which relies on it.
    Same,
}

/// What becomes of what was placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::command) enum Fate {
    /// It stays, with this expiry.
    Stays(Option<UnixMs>),
    /// It goes.
    Goes,
}

/// What [`take`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::command) enum Taken {
    /// What it looked for, and deleted that.
    Mine,
    /// Nothing: somebody else has deleted or moved it, or it has expired.
    Gone,
    /// Something else, and let it be.
    Other,
}

/// The step that asks what `key` holds.
pub(in crate::command) fn hold(key: Bytes) -> UpdateOrder {
    order(b"RHOLD", key, [])
}

/// The step that lets `key` hold `content`, where the same move may have placed something `before` with this mark.
pub(in crate::command) fn place(key: Bytes, content: Content, before: Option<UnixMs>, over: Over) -> UpdateOrder {
    let words = [content.value, expiry_word(content.expires_at), expiry_word(before)];
    let condition = (over == Over::Nothing).then_some(Bytes::from_static(b"NX"));
    order(b"RPLACE", key, words.into_iter().chain(condition))
}

/// The step that deletes `key` if it holds `content`.
pub(in crate::command) fn take(key: Bytes, content: Content) -> UpdateOrder {
    order(b"RTAKE", key, [content.value, expiry_word(content.expires_at)])
}

/// The step that settles what becomes of what was placed at `key` with this mark, if it is still there.
pub(in crate::command) fn settle(key: Bytes, mark: UnixMs, fate: Fate) -> UpdateOrder {
    let expiry = if let Fate::Stays(expires_at) = fate { Some(expiry_word(expires_at)) } else { None };
    order(b"RSETTLE", key, [expiry_word(Some(mark))].into_iter().chain(expiry))
}

fn order(name: &'static [u8], key: Bytes, words: impl IntoIterator<Item = Bytes>) -> UpdateOrder {
    UpdateOrder {
        slot: Slot::of_key(&key),
        args: [Bytes::from_static(name), key.clone()].into_iter().chain(words).collect(),
        keys: smallvec![key],
        protocol: Protocol::Resp2,
        rule: super::rule,
    }
}

/// What a key holds, by the reply to [`hold`].
///
/// # Errors
/// The step failed; this is the reply that says why.
pub(in crate::command) fn held(mut reply: Bytes) -> Result<Option<Content>, Bytes> {
    if reply.starts_with(b"$-") {
        return Ok(None);
    }
    let header = reply.iter().position(|&byte| byte == b'\n').filter(|_| reply.starts_with(b"$"));
    let Some(header) = header.filter(|header| reply.len() >= header + 1 + EXPIRY_BYTES + 2) else {
        return Err(reply);
    };
    reply.advance(header + 1);
    reply.truncate(reply.len() - 2);
    let expiry = reply.get_u64();
    Ok(Some(Content { value: reply, expires_at: (expiry != 0).then_some(UnixMs(expiry)) }))
}

/// What [`place`] found, by its reply.
///
/// # Errors
/// The step failed; this is the reply that says why.
pub(in crate::command) fn found(reply: Bytes) -> Result<Found, Bytes> {
    match &*reply {
        b":0\r\n" => Ok(Found::InTheWay),
        b":1\r\n" => Ok(Found::Room),
        b":2\r\n" => Ok(Found::Same),
        _ => Err(reply),
    }
}

/// Whether [`settle`] found what it looked for, by its reply.
///
/// # Errors
/// The step failed; this is the reply that says why.
pub(in crate::command) fn is_done(reply: Bytes) -> Result<bool, Bytes> {
    match &*reply {
        b":1\r\n" => Ok(true),
        b":0\r\n" => Ok(false),
        _ => Err(reply),
    }
}

/// What [`take`] found, by its reply.
///
/// # Errors
/// The step failed; this is the reply that says why.
pub(in crate::command) fn taken(reply: Bytes) -> Result<Taken, Bytes> {
    match &*reply {
        b":1\r\n" => Ok(Taken::Mine),
        b":0\r\n" => Ok(Taken::Gone),
        b":-1\r\n" => Ok(Taken::Other),
        _ => Err(reply),
    }
}

/// RHOLD key.
#[expect(clippy::unnecessary_wraps, reason = "the shape of all rules")]
pub(super) fn hold_step(work: &mut Work<'_>) -> Result<(), CommandError> {
    match work.held[0] {
        None => work.null(),
        Some(held) => {
            let expiry = held.expires_at.map_or(0, |at| at.0);
            work.bulk(&[&expiry.to_be_bytes(), held.value].concat());
        }
    }
    Ok(())
}

/// RPLACE key value expiry earlier-mark [NX]: 1, 2 if another has placed the same value, 0 if what is there has to stay.
pub(super) fn place_step(work: &mut Work<'_>) -> Result<(), CommandError> {
    let (expires_at, before) = (parse_expiry(work.args[3])?, parse_expiry(work.args[4])?);
    let theirs = work.held[0].filter(|held| before.is_none() || held.expires_at != before);
    let answer = match theirs {
        Some(_) if work.args.len() > 5 => 0,
        Some(held) if held.value == work.args[2] => 2,
        Some(_) | None => 1,
    };
    if answer > 0 {
        work.put(0, work.args[2].to_vec(), expires_at);
    }
    work.integer(answer);
    Ok(())
}

/// RTAKE key value expiry: 1 if it was there and is deleted, 0 if there is nothing, -1 if it is something else.
pub(super) fn take_step(work: &mut Work<'_>) -> Result<(), CommandError> {
    let expires_at = parse_expiry(work.args[3])?;
    let answer = match work.held[0] {
        None => 0,
        Some(held) if held.value == work.args[2] && held.expires_at == expires_at => {
            work.delete(0);
            1
        }
        Some(_) => -1,
    };
    work.integer(answer);
    Ok(())
}

/// RSETTLE key mark [expiry]: deletes what has this mark if no expiry is given; 0 if nothing has it.
pub(super) fn settle_step(work: &mut Work<'_>) -> Result<(), CommandError> {
    let mark = parse_expiry(work.args[2])?;
    let expiry = work.args.get(3).map(|word| parse_expiry(word)).transpose()?;
    let marked = work.held[0].filter(|held| held.expires_at == mark);
    match (marked, expiry) {
        (None, _) => {}
        (Some(_), None) => work.delete(0),
        (Some(held), Some(expires_at)) => work.put(0, held.value.to_vec(), expires_at),
    }
    work.integer(i64::from(marked.is_some()));
    Ok(())
}

fn expiry_word(expires_at: Option<UnixMs>) -> Bytes {
    expires_at.map_or(NEVER, |at| Bytes::from(at.0.to_string()))
}

fn parse_expiry(word: &[u8]) -> Result<Option<UnixMs>, CommandError> {
    if word == NEVER {
        return Ok(None);
    }
    let at = parse_i64(word).and_then(|at| u64::try_from(at).ok()).ok_or(CommandError::NotAnInteger)?;
    Ok(Some(UnixMs(at)))
}
