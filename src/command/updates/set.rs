//! SET with options, and the commands that it has come to replace: what is written depends on what the key holds, or the
//! answer tells of it.

use bytes::Bytes;

use crate::command::errors::CommandError;
use crate::command::expiry::{Condition, parse_get_ex_options, parse_set_options};
use crate::coordinator::{Held, Work};

use super::Reply;

/// SET key value [NX | XX | IFEQ value] [GET] [EX | PX | EXAT | PXAT | KEEPTTL].
pub(super) fn set(work: &mut Work<'_>) -> Result<(), CommandError> {
    let options = parse_set_options(work.args[3..].iter().copied(), work.now)?;
    let held = work.first();
    let met = is_met(options.condition, held);
    if options.returns_old {
        answer(work, held);
    } else if met {
        work.ok();
    } else {
        work.null();
    }
    if met {
        let expires_at = options.expiry.after(held.and_then(|held| held.expires_at));
        work.put(0, Bytes::copy_from_slice(work.args[2]), expires_at);
    }
    Ok(())
}

/// SETNX key value.
#[expect(clippy::unnecessary_wraps, reason = "all rules have one signature, whether they can fail or not")]
pub(super) fn set_nx(work: &mut Work<'_>) -> Result<(), CommandError> {
    let is_absent = work.first().is_none();
    if is_absent {
        work.put(0, Bytes::copy_from_slice(work.args[2]), None);
    }
    work.integer(i64::from(is_absent));
    Ok(())
}

/// MSETNX key value [key value ...]: all or nothing. Of a key that is named twice the last value counts.
pub(super) fn mset_nx(work: &mut Work<'_>) -> Result<(), CommandError> {
    if work.args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity("msetnx"));
    }
    let are_absent = work.held.iter().all(Option::is_none);
    if are_absent {
        for (position, pair) in work.args[1..].chunks_exact(2).enumerate() {
            work.put(position, Bytes::copy_from_slice(pair[1]), None);
        }
    }
    work.integer(i64::from(are_absent));
    Ok(())
}

/// GETSET key value.
#[expect(clippy::unnecessary_wraps, reason = "all rules have one signature, whether they can fail or not")]
pub(super) fn get_set(work: &mut Work<'_>) -> Result<(), CommandError> {
    answer(work, work.first());
    work.put(0, Bytes::copy_from_slice(work.args[2]), None);
    Ok(())
}

/// GETDEL key.
#[expect(clippy::unnecessary_wraps, reason = "all rules have one signature, whether they can fail or not")]
pub(super) fn get_del(work: &mut Work<'_>) -> Result<(), CommandError> {
    let held = work.first();
    answer(work, held);
    if held.is_some() {
        work.delete(0);
    }
    Ok(())
}

/// GETEX key [EX | PX | EXAT | PXAT | PERSIST]. A number is looked at only where the key exists, as in Redis.
pub(super) fn get_ex(work: &mut Work<'_>) -> Result<(), CommandError> {
    let options = parse_get_ex_options(work.args[2..].iter().copied())?;
    let Some(held) = work.first() else {
        work.null();
        return Ok(());
    };
    let expires_at = options.expiry(work.now)?.after(held.expires_at);
    work.bulk(held.value);
    if expires_at != held.expires_at {
        work.put(0, Bytes::copy_from_slice(held.value), expires_at);
    }
    Ok(())
}

fn is_met(condition: Option<Condition<'_>>, held: Option<Held<'_>>) -> bool {
    match condition {
        None => true,
        Some(Condition::Absent) => held.is_none(),
        Some(Condition::Present) => held.is_some(),
        Some(Condition::Equal(value)) => held.is_some_and(|held| held.value == value),
    }
}

/// Answers with a value, or nil.
fn answer(work: &mut Work<'_>, held: Option<Held<'_>>) {
    match held {
        Some(held) => work.bulk(held.value),
        None => work.null(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::hold;

    const NIL: &str = "$-1\r\n";
    const OK: &str = "+OK\r\n";
    const SYNTAX: &str = "-ERR syntax error\r\n";

    // The answers were read off redis-server 7.0.15; those of IFEQ are Valkey 8.1's.

    #[test]
    fn set_writes_only_where_its_condition_is_met() {
        hold(&[
            ("SET k v NX", OK),
            ("SET k w NX", NIL),
            ("GET k", "$1\r\nv\r\n"),
            ("SET k w XX", OK),
            ("SET none w XX", NIL),
            ("SET k w NX XX", SYNTAX),
            ("SET k x IFEQ v", NIL),
            ("SET k x IFEQ w", OK),
            ("SET none x IFEQ w", NIL),
            ("EXISTS none", ":0\r\n"),
        ]);
    }

    #[test]
    fn set_with_get_answers_what_was_there_whether_it_wrote_or_not() {
        hold(&[
            ("SET k x GET", NIL),
            ("SET k y NX GET", "$1\r\nx\r\n"),
            ("SET none y XX GET", NIL),
            ("SET new y NX GET", NIL),
            ("GET new", "$1\r\ny\r\n"),
            ("SET k z IFEQ y GET", "$1\r\nx\r\n"),
            ("SET k z IFEQ x GET", "$1\r\nx\r\n"),
            ("SET k 2 GET GET NX NX", "$1\r\nz\r\n"),
            ("SET k 2 XX EXAT 1 GET", "$1\r\nz\r\n"),
            ("EXISTS k", ":0\r\n"),
        ]);
    }

    #[test]
    fn set_drops_the_expiry_unless_told_to_keep_it() {
        hold(&[
            ("SET k 1 EX 100", OK),
            ("SET k 2 KEEPTTL", OK),
            ("TTL k", ":100\r\n"),
            ("SET k 2 KEEPTTL EX 5", SYNTAX),
            ("SET k 3 XX PX 50", OK),
            ("PTTL k", ":50\r\n"),
            ("SET k 3 XX", OK),
            ("TTL k", ":-1\r\n"),
            ("SET new 3 KEEPTTL", OK),
            ("TTL new", ":-1\r\n"),
            ("SET k 2 NX EX abc", "-ERR value is not an integer or out of range\r\n"),
            ("SET k 2 NX EX 0", "-ERR invalid expire time in 'set' command\r\n"),
        ]);
    }

    #[test]
    fn what_set_has_replaced_does_as_before() {
        hold(&[
            ("SETNX k 1", ":1\r\n"),
            ("SETNX k 2", ":0\r\n"),
            ("SETEX k 10 v", OK),
            ("TTL k", ":10\r\n"),
            ("SETEX k 0 v", "-ERR invalid expire time in 'setex' command\r\n"),
            ("SETEX k x v", "-ERR value is not an integer or out of range\r\n"),
            ("SETEX k 9223372036854775807 v", "-ERR invalid expire time in 'setex' command\r\n"),
            ("PSETEX k 1500 v", OK),
            ("PTTL k", ":1500\r\n"),
            ("PSETEX k -1 v", "-ERR invalid expire time in 'psetex' command\r\n"),
            ("GETSET k new", "$1\r\nv\r\n"),
            ("TTL k", ":-1\r\n"),
            ("GETSET other new", NIL),
            ("GETDEL other", "$3\r\nnew\r\n"),
            ("GETDEL other", NIL),
        ]);
    }

    #[test]
    fn getex_changes_the_expiry_alone() {
        hold(&[
            ("GETEX k EX abc", NIL),
            ("GETEX k EX", SYNTAX),
            ("SET k new", OK),
            ("GETEX k", "$3\r\nnew\r\n"),
            ("GETEX k EX 10", "$3\r\nnew\r\n"),
            ("TTL k", ":10\r\n"),
            ("GETEX k PERSIST", "$3\r\nnew\r\n"),
            ("TTL k", ":-1\r\n"),
            ("GETEX k EX 0", "-ERR invalid expire time in 'getex' command\r\n"),
            ("GETEX k EX abc", "-ERR value is not an integer or out of range\r\n"),
            ("GETEX k PX 5 EX 6", SYNTAX),
            ("GETEX k EXAT 1", "$3\r\nnew\r\n"),
            ("EXISTS k", ":0\r\n"),
        ]);
    }

    #[test]
    fn msetnx_writes_all_or_nothing_within_one_slot() {
        hold(&[
            ("MSETNX {t}a 1 {t}b 2", ":1\r\n"),
            ("MSETNX {t}a 1 {t}c 2", ":0\r\n"),
            ("EXISTS {t}c", ":0\r\n"),
            ("MSETNX a 1 c", "-ERR wrong number of arguments for 'msetnx' command\r\n"),
            ("MSETNX a 1 c 2", "-CROSSSLOT Keys in request don't hash to the same slot\r\n"),
            ("MSETNX q 1 q 2", ":1\r\n"),
            ("GET q", "$1\r\n2\r\n"),
        ]);
    }
}
