//! Plays cases against redis-server and ringkv, and says where the replies differ.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::case::{Case, Match, Step};
use super::frame::{Answer, Frame, Wire};
use super::twin::Twin;
use crate::harness::{Cluster, Layout, command, poll};

/// How long all nodes may take to count alike, and a key to expire.
const EVENTUALLY: Duration = Duration::from_secs(5);
/// The end of what is sent raw: a command whose answer cannot be mistaken.
const END: &[u8] = b"*2\r\n$4\r\nECHO\r\n$14\r\nthe-end-of-raw\r\n";
const END_ANSWER: &[u8] = b"$14\r\nthe-end-of-raw\r\n";
/// Commands about the connection or the node that they are sent to: all of such a case goes to one.
const OF_ONE_NODE: &[&str] = &[
    "AUTH",
    "CLIENT",
    "CLUSTER",
    "CONFIG",
    "HELLO",
    "INFO",
    "LATENCY",
    "MONITOR",
    "QUIT",
    "QUORUM",
    "READONLY",
    "READWRITE",
    "RESET",
    "SELECT",
    "SLOWLOG",
    "WAIT",
];
/// Commands that ask all nodes, each for what it holds at the moment: with W < N one may be late.
const OF_ALL_NODES: &[&str] = &["DBSIZE", "KEYS", "RANDOMKEY", "SCAN"];

/// A server, or the nodes of a cluster, and connections to each.
pub(crate) struct Side {
    ports: Vec<u16>,
    protocol: u8,
    wires: Vec<Wire>,
    /// A key that comes twice in one iteration is a flaw.
    is_strict: bool,
}

impl Side {
    fn connect(ports: &[u16], protocol: u8, is_strict: bool) -> Self {
        let mut side = Self { ports: ports.to_vec(), protocol, wires: Vec::new(), is_strict };
        side.reconnect();
        side
    }

    fn reconnect(&mut self) {
        let connect = |&port: &u16| Wire::connect(port, self.protocol).expect("it accepts connections");
        self.wires = self.ports.iter().map(connect).collect();
    }

    fn wire(&mut self, turn: usize) -> &mut Wire {
        let index = turn % self.wires.len();
        &mut self.wires[index]
    }

    /// The reply of the node whose turn it is.
    pub(crate) fn ask(&mut self, turn: usize, words: &[Vec<u8>]) -> io::Result<Answer> {
        self.wire(turn).ask(words)
    }

    /// Forgets all keys.
    pub(crate) fn flush(&mut self, turn: usize) {
        let answer = self.wire(turn).ask(&["FLUSHALL"]).expect("an answer to FLUSHALL");
        assert_eq!(answer.bytes, b"+OK\r\n", "FLUSHALL failed: {}", shown(&answer.bytes));
    }

    /// The keys of all pages from this cursor on, or the error of one of them. Each page comes from another node.
    fn scan(&mut self, turn: usize, words: &[Vec<u8>]) -> io::Result<Answer> {
        let (mut words, mut keys) = (words.to_vec(), Vec::new());
        for page in turn.. {
            let mut answer = self.ask(page, &words)?;
            if answer.frame.kind != b'*' || answer.frame.children.len() != 2 {
                return Ok(answer);
            }
            keys.append(&mut answer.frame.children[1].children);
            words[1].clone_from(&answer.frame.children[0].content);
            if words[1] == b"0" {
                break;
            }
        }
        keys.sort();
        if !self.is_strict {
            keys.dedup();
        }
        let content = keys.len().to_string().into_bytes();
        let bytes = keys.iter().flat_map(|key| [&key.content[..], b" "].concat()).collect();
        Ok(Answer { bytes, frame: Frame { kind: b'*', content, children: keys } })
    }

    fn raw(&mut self, turn: usize, bytes: &[u8]) -> io::Result<Answer> {
        let wire = self.wire(turn);
        // The server may close before it has taken everything.
        let _ = wire.send(&[bytes, END].concat());
        let bytes = wire.bytes_until(END_ANSWER)?;
        Ok(Answer { bytes, frame: Frame { kind: b'$', content: Vec::new(), children: Vec::new() } })
    }

    fn wait_until_gone(&mut self, turn: usize, key: &[u8]) {
        let words = [b"EXISTS".to_vec(), key.to_vec()];
        poll("the key is gone", EVENTUALLY, || {
            (self.ask(turn, &words).expect("an answer").bytes == b":0\r\n").then_some(())
        });
    }

    /// What came of a step; nothing if there is nothing to compare.
    fn play(&mut self, turn: usize, step: &Step) -> io::Result<Option<Answer>> {
        match step {
            Step::Command { words, matching: Match::AnyOrder } if words[0] == b"SCAN" => {
                self.scan(turn, words).map(Some)
            }
            Step::Command { words, .. } => self.ask(turn, words).map(Some),
            Step::Raw(bytes) => self.raw(turn, bytes).map(Some),
            Step::Gone(key) => {
                self.wait_until_gone(turn, key);
                Ok(None)
            }
        }
    }
}

/// What was compared.
#[derive(Default, Debug)]
pub(crate) struct Score {
    pub(crate) cases: usize,
    pub(crate) replies: usize,
    pub(crate) differences: usize,
    /// Cases with commands that ringkv does not have.
    pub(crate) skipped: Vec<String>,
    pub(crate) failures: Vec<String>,
}

/// redis-server and ringkv side by side, in one version of the protocol.
pub(crate) struct Bench {
    pub(crate) redis: Side,
    pub(crate) ringkv: Side,
    circumstances: [&'static str; 2],
    /// Commands that redis-server has and ringkv has not, in upper case.
    missing: BTreeSet<String>,
    _twin: Twin,
    _cluster: Cluster,
}

impl Bench {
    /// Starts both. Reads of the cluster show what was written last at whatever node: R + W > N.
    pub(crate) fn start(nodes: usize, protocol: u8) -> Self {
        let twin = Twin::start();
        let cluster =
            Cluster::start(&Layout { read_quorum: nodes.div_ceil(2), request_timeout_ms: 5000, ..Layout::of(nodes) });
        let mut redis = Side::connect(&[twin.port], protocol, false);
        let mut ringkv = Side::connect(&cluster.ports, protocol, true);
        let missing = &commands(&mut redis) - &commands(&mut ringkv);
        let circumstances =
            [if protocol == 3 { "resp3" } else { "resp2" }, if nodes == 1 { "alone" } else { "cluster" }];
        Self { redis, ringkv, circumstances, missing, _twin: twin, _cluster: cluster }
    }

    /// Plays all cases, each with no key to begin with.
    pub(crate) fn play(&mut self, cases: &[Case]) -> Score {
        let mut score = Score::default();
        for (number, case) in cases.iter().enumerate() {
            if self.lacks(case) {
                score.skipped.push(case.to_string());
                continue;
            }
            score.cases += 1;
            if let Err(failure) = self.play_case(number, case, &mut score) {
                score.failures.push(format!("{case}\n    {failure}"));
                self.redis.reconnect();
                self.ringkv.reconnect();
            }
        }
        score
    }

    /// Whether redis-server has a command of the case that ringkv has not, and the case says nothing about it.
    fn lacks(&self, case: &Case) -> bool {
        let missing = |(at, step): (usize, &Step)| {
            let Step::Command { words, .. } = step else { return false };
            let name = |count: usize| {
                let words: Vec<_> = words.iter().take(count).map(|word| String::from_utf8_lossy(word)).collect();
                words.join("|").to_ascii_uppercase()
            };
            let is_missing = self.missing.contains(&name(1)) || self.missing.contains(&name(2));
            let refusal = case.difference(at, &self.circumstances);
            is_missing && refusal.is_none_or(|refusal| !refusal.reply.starts_with(b"-ERR unknown "))
        };
        case.steps.iter().enumerate().any(missing)
    }

    fn play_case(&mut self, number: usize, case: &Case, score: &mut Score) -> Result<(), String> {
        // What ringkv refuses may put redis-server's connection into another mode.
        let is_bound = case.has_differences() || case.steps.iter().any(is_of_one_node);
        if is_bound {
            self.redis.reconnect();
            self.ringkv.reconnect();
        }
        self.redis.flush(0);
        self.ringkv.flush(number);
        for (at, step) in case.steps.iter().enumerate() {
            let turn = if is_bound { number } else { number + at };
            self.play_step(turn, at, case, score).map_err(|what| format!("command {}, {what}", at + 1))?;
            score.replies += usize::from(!matches!(step, Step::Gone(_)));
        }
        if is_bound {
            self.redis.reconnect();
            self.ringkv.reconnect();
        }
        Ok(())
    }

    /// Plays the commands of a case as one pipeline, but for those whose answer the nodes agree on a moment later.
    pub(crate) fn play_together(&mut self, number: usize, case: &Case) -> Result<(), String> {
        self.redis.flush(0);
        self.ringkv.flush(number);
        let commands = case.steps.iter().filter(|step| !is_of_all_nodes(step)).filter_map(|step| match step {
            Step::Command { words, .. } => Some((step, command(words))),
            Step::Raw(_) | Step::Gone(_) => None,
        });
        let (steps, commands): (Vec<&Step>, Vec<Vec<u8>>) = commands.unzip();
        let pipeline = commands.concat();
        let (redis, ringkv) = (self.redis.wire(0), self.ringkv.wire(number));
        let sent = redis.send(&pipeline).and_then(|()| ringkv.send(&pipeline));
        let compare = |(at, step): (usize, &Step)| {
            let place = |what: String| format!("command {} of a pipeline, {what}", at + 1);
            let expected = redis.answer().map_err(|error| place(format!("redis-server: {error}")))?;
            let got = ringkv.answer().map_err(|error| place(format!("ringkv: {error}")))?;
            judge(step, &expected, &got).map_err(place)
        };
        let judged = sent.map_err(|error| error.to_string());
        let judged = judged.and_then(|()| steps.into_iter().enumerate().try_for_each(compare));
        if judged.is_err() {
            self.redis.reconnect();
            self.ringkv.reconnect();
        }
        judged
    }

    fn play_step(&mut self, turn: usize, at: usize, case: &Case, score: &mut Score) -> Result<(), String> {
        let step = &case.steps[at];
        let expected = self.redis.play(0, step).map_err(|error| format!("redis-server: {error}"))?;
        let difference = case.difference(at, &self.circumstances);
        score.differences += usize::from(difference.is_some());
        let judge = |got: Option<Answer>| match (&expected, got) {
            (Some(expected), Some(got)) => match difference {
                Some(difference) => judge_difference(step, expected, &difference.reply, &got),
                None => judge(step, expected, &got),
            },
            _ => Ok(()),
        };
        let mut ask = || self.ringkv.play(turn, step).map_err(|error| format!("ringkv: {error}")).and_then(judge);
        let first = ask();
        if first.is_ok() || !is_of_all_nodes(step) {
            return first;
        }
        crate::harness::poll_for(EVENTUALLY, || ask().ok()).map_or(first, Ok)
    }
}

fn judge(step: &Step, expected: &Answer, got: &Answer) -> Result<(), String> {
    let alike = match step {
        Step::Command { matching: Match::Near, .. } => got.frame.is_near(&expected.frame),
        Step::Command { matching: Match::Kind, .. } => got.frame.kind == expected.frame.kind,
        Step::Command { matching: Match::AnyOrder, .. } => got.frame.sorted() == expected.frame.sorted(),
        _ => got.bytes == expected.bytes,
    };
    let (expected, got) = (shown(&expected.bytes), shown(&got.bytes));
    if alike { Ok(()) } else { Err(format!("redis-server: {expected}\n    ringkv:       {got}")) }
}

fn judge_difference(step: &Step, redis: &Answer, expected: &[u8], got: &Answer) -> Result<(), String> {
    let by_kind = matches!(step, Step::Command { matching: Match::Kind, .. });
    let alike = if by_kind { got.bytes.first() == expected.first() } else { got.bytes == expected };
    let (redis, expected, got) = (shown(&redis.bytes), shown(expected), shown(&got.bytes));
    match alike {
        _ if !by_kind && redis == expected => Err(format!("this is what redis-server says, too: {redis}")),
        false => Err(format!("expected to differ: {expected}\n    redis-server: {redis}\n    ringkv:       {got}")),
        true => Ok(()),
    }
}

fn first_word(step: &Step) -> Option<String> {
    let Step::Command { words, .. } = step else { return None };
    Some(String::from_utf8_lossy(&words[0]).to_ascii_uppercase())
}

fn is_of_one_node(step: &Step) -> bool {
    matches!(step, Step::Raw(_)) || first_word(step).is_some_and(|word| OF_ONE_NODE.contains(&word.as_str()))
}

fn is_of_all_nodes(step: &Step) -> bool {
    first_word(step).is_some_and(|word| OF_ALL_NODES.contains(&word.as_str()))
}

/// The names of all commands and subcommands, in upper case.
fn commands(side: &mut Side) -> BTreeSet<String> {
    let answer = side.wire(0).ask(&["COMMAND", "LIST"]).expect("an answer");
    let names = answer.frame.children.iter().map(|name| String::from_utf8_lossy(&name.content).to_ascii_uppercase());
    names.collect()
}

/// Bytes as a line of text, shortened.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 1000;
    let start = &bytes[..bytes.len().min(SHOWN_MAX)];
    let rest = if bytes.len() > SHOWN_MAX { format!("... ({} bytes)", bytes.len()) } else { String::new() };
    format!("\"{}\"{rest}", start.escape_ascii())
}
