//! Random sequences of commands over few keys, whose arguments collide: whatever state they lead to, ringkv has to answer as
//! redis-server does.
//!
//! A sequence comes from a seed and is played as a case, and once more as one pipeline. One that fails is tried again without each of its commands, until
//! none can be left out; what remains can be put into a file of cases as it is. `RINGKV_CONFORMANCE_SEED=n` plays seed
//! n alone.

use super::case::{self, Case};
use super::chance::Chance;
use super::runner::Bench;

/// Sequences that are played where no seed is named.
const SEEDS: u64 = 300;
/// Commands of a sequence at most.
const LENGTH_MAX: u64 = 14;

/// What a command may look like; letters in capitals that stand alone are drawn.
///
/// `K` is a key, `T` one of some keys in one slot, `V` a value, `I` an integer, `F` a number with a fraction, `O` an offset, `B` a bit,
/// `Y` the type of a bit field, `S` seconds from now on, `D` a time from now on in either unit, `A` a point in time in seconds, `M` one
/// in milliseconds.
///
/// Conditions on times to live are asked of points in time alone: of times from now on, the clock decides which is later. Nor does
/// anything expire while a sequence is played, for the clock would decide which server is asked before and which after that.
const COMMANDS: &[&str] = &[
    "SET K V",
    "SET K V NX",
    "SET K V XX",
    "SET K V GET",
    "SET K V NX GET",
    "SET K V XX GET",
    "SET K V KEEPTTL",
    "SET K V EX S",
    "SET K V EXAT A",
    "SET K V PXAT M NX",
    "SET K V XX KEEPTTL GET",
    "SET K V EX D",
    "SET K I",
    "SET K F",
    "SETNX K V",
    "SETEX K S V",
    "PSETEX K D V",
    "GETSET K V",
    "GETDEL K",
    "GETEX K",
    "GETEX K PERSIST",
    "GETEX K EX S",
    "GETEX K PXAT M",
    "GETEX K EX D",
    "GET K",
    "GET K",
    "MGET K K T",
    "MSET K V T V",
    "MSETNX T V T V",
    "APPEND K V",
    "STRLEN K",
    "GETRANGE K I I",
    "GETRANGE K O O",
    "SUBSTR K O I",
    "SETRANGE K O V",
    "SETRANGE K I \"\"",
    "INCR K",
    "DECR K",
    "INCRBY K I",
    "DECRBY K I",
    "INCRBYFLOAT K F",
    "INCRBYFLOAT K I",
    "LCS T T",
    "LCS T T LEN",
    "LCS T T IDX WITHMATCHLEN",
    "SETBIT K O B",
    "SETBIT K I B",
    "GETBIT K O",
    "GETBIT K I",
    "BITCOUNT K",
    "BITCOUNT K I I",
    "BITCOUNT K O I BIT",
    "BITPOS K B",
    "BITPOS K B I",
    "BITPOS K B I I",
    "BITPOS K B O I BIT",
    "BITOP AND T T T",
    "BITOP OR T T T",
    "BITOP XOR T T",
    "BITOP NOT T T",
    "BITFIELD K GET Y O",
    "BITFIELD K SET Y O I GET Y O",
    "BITFIELD K INCRBY Y O I OVERFLOW SAT INCRBY Y O I OVERFLOW FAIL INCRBY Y O I",
    "BITFIELD K OVERFLOW WRAP SET Y #1 I OVERFLOW FAIL SET Y O I",
    "BITFIELD_RO K GET Y O GET Y #2",
    "DEL K",
    "DEL K T K",
    "UNLINK K T",
    "EXISTS K T K",
    "TYPE K",
    "TOUCH K T",
    "~TTL K",
    "~PTTL K",
    "~EXPIRETIME K",
    "~PEXPIRETIME K",
    "EXPIRE K S",
    "EXPIRE K S NX",
    "EXPIRE K S XX",
    "EXPIRE K D",
    "EXPIREAT K A",
    "EXPIREAT K A GT",
    "EXPIREAT K A LT",
    "PEXPIREAT K M XX",
    "PEXPIREAT K M GT",
    "PEXPIREAT K I LT",
    "PERSIST K",
    "RENAME K K",
    "RENAME K T",
    "RENAME T T",
    "RENAMENX K K",
    "RENAMENX T T",
    "COPY K K",
    "COPY T K REPLACE",
    "COPY T T REPLACE",
    "?DUMP K",
    "%KEYS *",
    "%KEYS {t}*",
    "%SCAN 0 COUNT 1",
    "%SCAN 0 MATCH {t}* TYPE string",
];

const KEYS: &[&str] = &["a", "b", "{t}a"];
const TAGGED: &[&str] = &["{t}a", "{t}b", "{t}c"];
const VALUES: &[&str] = &[
    "\"\"",
    "0",
    "1",
    "-1",
    "9",
    "abc",
    "ohmytext",
    "\"\\x00\\xff\"",
    "\" 1\"",
    "1.5",
    "9223372036854775807",
    "<20*x>",
];
const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-3",
    "7",
    "100",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "x",
    "1.0",
];
const NUMBERS: &[&str] = &["0", "1.5", "-1.5", "0.1", "3.0e3", "-0.25", "100", "1e3", "x"];
const OFFSETS: &[&str] = &["0", "1", "3", "7", "8", "13", "40", "-1"];
const BITS: &[&str] = &["0", "1", "0", "1", "0", "1", "2"];
const TYPES: &[&str] = &["u1", "u4", "i5", "u8", "i8", "u16", "i16", "u63", "i64", "u64"];
const SECONDS: &[&str] = &["100", "1000", "10000", "0", "-1"];
const DURATIONS: &[&str] = &[
    "0",
    "-1",
    "100000",
    "1000000",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "x",
    "1.0",
];
const POINTS: &[&str] = &["9999999990", "9999999995", "9999999999", "1"];
const POINTS_MS: &[&str] = &["9999999990000", "9999999995500", "9999999999999", "1"];

/// Plays sequences until one fails.
pub(crate) fn assert_sequences_answered_as_redis(nodes: usize) {
    let named = std::env::var("RINGKV_CONFORMANCE_SEED").ok();
    let seeds = match named.map(|seed| seed.parse().expect("a seed is a number")) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    let mut benches = [Bench::start(nodes, 2), Bench::start(nodes, 3)];
    for seed in seeds {
        let mut chance = Chance::new(seed);
        let bench = &mut benches[chance.index(2)];
        let commands: Vec<String> = (0..chance.within(2..LENGTH_MAX)).map(|_| command(&mut chance)).collect();
        if let Some(failure) = failure(bench, &commands) {
            let (commands, failure) = shrunk(bench, commands, failure);
            panic!("seed {seed}, {nodes} node(s), left of it: {}\n    {failure}", commands.join(" | "));
        }
    }
}

fn command(chance: &mut Chance) -> String {
    let template = chance.pick(COMMANDS);
    let mut words: Vec<&str> = template.split(' ').map(|word| drawn(word, chance)).collect();
    // Now and then a word is missing or too much. It may pass for a key, so it is one that shares a slot with the others.
    match chance.within(0..40) {
        0 if words.len() > 1 => drop(words.pop()),
        1 => words.push(chance.pick(TAGGED)),
        _ => {}
    }
    words.join(" ")
}

fn drawn<'a>(word: &'a str, chance: &mut Chance) -> &'a str {
    match word {
        "K" => chance.pick(KEYS),
        "T" => chance.pick(TAGGED),
        "V" => chance.pick(VALUES),
        "I" => chance.pick(INTEGERS),
        "F" => chance.pick(NUMBERS),
        "O" => chance.pick(OFFSETS),
        "B" => chance.pick(BITS),
        "Y" => chance.pick(TYPES),
        "S" => chance.pick(SECONDS),
        "D" => chance.pick(DURATIONS),
        "A" => chance.pick(POINTS),
        "M" => chance.pick(POINTS_MS),
        other => other,
    }
}

/// How the replies differ, if they do: one by one, or as a pipeline at one node.
fn failure(bench: &mut Bench, commands: &[String]) -> Option<String> {
    let cases: Vec<Case> = case::parse("random", &commands.join(" | ")).expect("commands of ours");
    let together = |bench: &mut Bench| cases.iter().find_map(|case| bench.play_together(commands.len(), case).err());
    bench.play(&cases).failures.pop().or_else(|| together(bench))
}

/// As few of the commands as still fail.
fn shrunk(bench: &mut Bench, mut commands: Vec<String>, mut failure: String) -> (Vec<String>, String) {
    let mut at = 0;
    while at < commands.len() && commands.len() > 1 {
        let mut fewer = commands.clone();
        fewer.remove(at);
        match self::failure(bench, &fewer) {
            Some(other) => (commands, failure, at) = (fewer, other, 0),
            None => at += 1,
        }
    }
    (commands, failure)
}
