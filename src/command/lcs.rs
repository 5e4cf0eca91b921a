//! LCS: the longest subsequence that two values have in common.
//!
//! The keys may be in any slots; each is read on its own. The work grows with the product of the lengths, and Redis
//! refuses what would take it more than its largest value's worth of memory. So does this, although a table of one bit
//! per pair does here; and since even so much takes a good part of a second, the others get their turn in between.

mod table;

use crate::codec::{Protocol, reply};
use crate::command::dispatch::{ClusterWide, Context, Flow};
use crate::command::errors::CommandError;
use crate::command::integer::parse_i64;

use table::{Match, Table};

/// Pairs of bytes that are compared before other clients get their turn.
const PAIRS_PER_TURN: usize = 1 << 17;

/// What LCS was told beyond its keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct LcsOptions {
    /// LEN: the length alone.
    length: bool,
    /// IDX: where it is in the values.
    indexes: bool,
    /// WITHMATCHLEN: with the length of each match.
    match_lengths: bool,
    /// MINMATCHLEN: without matches that are shorter.
    match_length_min: usize,
}

/// LCS key key [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN].
pub(super) fn lcs(context: &mut Context<'_>) -> Result<Flow, CommandError> {
    let request = context.request;
    let options = parse_options(request.args().skip(3))?;
    Ok(Flow::wait_for(ClusterWide::Lcs { keys: [request.bytes(1), request.bytes(2)], options }))
}

/// Reads the arguments of LCS after its keys.
fn parse_options<'a>(args: impl IntoIterator<Item = &'a [u8]>) -> Result<LcsOptions, CommandError> {
    let mut options = LcsOptions::default();
    let mut args = args.into_iter();
    while let Some(option) = args.next() {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("LEN") {
            options.length = true;
        } else if is("IDX") {
            options.indexes = true;
        } else if is("WITHMATCHLEN") {
            options.match_lengths = true;
        } else if is("MINMATCHLEN") {
            let least = parse_i64(args.next().ok_or(CommandError::Syntax)?).ok_or(CommandError::NotAnInteger)?;
            options.match_length_min = usize::try_from(least).unwrap_or(0);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if options.length && options.indexes { Err(CommandError::LcsOptions) } else { Ok(options) }
}

/// Compares two values and appends the reply.
pub(super) async fn compare(one: &[u8], other: &[u8], options: LcsOptions, protocol: Protocol, out: &mut Vec<u8>) {
    let mut table = match Table::new(one, other, !options.length) {
        Ok(table) => table,
        Err(error) => return reply::error(out, &error.to_string()),
    };
    while !table.advance(PAIRS_PER_TURN) {
        tokio::task::yield_now().await;
    }
    answer(&table, options, protocol, out);
}

fn answer(table: &Table<'_>, options: LcsOptions, protocol: Protocol, out: &mut Vec<u8>) {
    let length = i64::try_from(table.length()).unwrap_or(i64::MAX);
    if options.length {
        return reply::integer(out, length);
    }
    let matches = table.matches();
    if !options.indexes {
        return reply::bulk(out, &table.text(&matches));
    }
    let told: Vec<&Match> = matches.iter().filter(|found| found.length >= options.match_length_min).collect();
    reply::map(out, protocol, 2);
    reply::bulk(out, b"matches");
    reply::array(out, told.len());
    for found in told {
        reply::array(out, if options.match_lengths { 3 } else { 2 });
        for start in [found.one, found.other] {
            reply::array(out, 2);
            place(out, start);
            place(out, start + found.length - 1);
        }
        if options.match_lengths {
            place(out, found.length);
        }
    }
    reply::bulk(out, b"len");
    reply::integer(out, length);
}

fn place(out: &mut Vec<u8>, place: usize) {
    reply::integer(out, i64::try_from(place).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::super::ask_cluster;
    use super::super::testing::Bench;
    use super::*;

    // The answers were read off redis-server 7.0.15.

    /// What LCS answers, after it has asked for its keys.
    async fn ask(bench: &mut Bench, request: &str) -> String {
        match bench.ask_for(request) {
            (_, Flow::Await(lcs)) => {
                let mut out = Vec::new();
                ask_cluster(&bench.server, &bench.state, bench.state.quorum, *lcs, &mut out).await;
                String::from_utf8(out).unwrap()
            }
            (answer, _) => answer,
        }
    }

    const ALL: &str = "$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n\
                       *2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n";

    #[tokio::test]
    async fn the_longest_common_subsequence_is_told_in_four_ways() {
        let mut bench = Bench::single_node();
        bench.ask("MSET a ohmytext b mynewtext");
        let long = "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n$3\r\nlen\r\n:6\r\n";
        for (request, answer) in [
            ("LCS a b", "$6\r\nmytext\r\n"),
            ("LCS a b LEN", ":6\r\n"),
            ("LCS a b IDX", &format!("*4\r\n{ALL}")),
            ("LCS a b idx minmatchlen -4", &format!("*4\r\n{ALL}")),
            ("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", long),
            ("LCS a b MINMATCHLEN 3 WITHMATCHLEN", "$6\r\nmytext\r\n"),
        ] {
            assert_eq!(ask(&mut bench, request).await, answer, "{request}");
        }
        bench.ask("HELLO 3");
        assert_eq!(ask(&mut bench, "LCS a b IDX").await, format!("%2\r\n{ALL}"));
    }

    #[tokio::test]
    async fn missing_keys_are_empty_and_a_value_is_all_of_itself() {
        let mut bench = Bench::single_node();
        bench.ask("SET a abc");
        let itself = "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:2\r\n*2\r\n:0\r\n:2\r\n$3\r\nlen\r\n:3\r\n";
        for (request, answer) in [
            ("LCS none a", "$0\r\n\r\n"),
            ("LCS none a IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n"),
            ("LCS none none LEN", ":0\r\n"),
            ("LCS a a IDX", itself),
        ] {
            assert_eq!(ask(&mut bench, request).await, answer, "{request}");
        }
    }

    #[tokio::test]
    async fn options_that_make_no_sense_are_refused() {
        let mut bench = Bench::single_node();
        let both = "-ERR If you want both the length and indexes, please just use IDX.\r\n";
        let not_an_integer = "-ERR value is not an integer or out of range\r\n";
        for (request, answer) in [
            ("LCS a b LEN IDX", both),
            ("LCS a b FOO", "-ERR syntax error\r\n"),
            ("LCS a b MINMATCHLEN", "-ERR syntax error\r\n"),
            ("LCS a b MINMATCHLEN x", not_an_integer),
            ("LCS a b idx idx len x", "-ERR syntax error\r\n"),
        ] {
            assert_eq!(ask(&mut bench, request).await, answer, "{request}");
        }
    }

    #[tokio::test]
    async fn values_whose_comparison_would_take_too_much_are_refused() {
        let mut out = Vec::new();
        let value = vec![b'a'; 11_585];
        compare(&value, &value, LcsOptions::default(), Protocol::Resp2, &mut out).await;
        let answer = String::from_utf8(out).unwrap();
        assert_eq!(answer, "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
    }
}
