//! The bytes that a client sends: copies of a template with another key in each.

use std::sync::Arc;

use super::command::{begin, encode, push};
use super::keys::{Keys, NAME_BYTES, Random, write_name};
use super::{Arguments, Command};

/// How long WAIT waits before it answers with fewer replicas, which ends the load.
const WAIT_MS: &str = "1000";

/// A request with room for keys.
struct Template {
    bytes: Vec<u8>,
    /// Where each key begins.
    keys: Vec<usize>,
}

/// What one client asks for.
pub(crate) struct Requests {
    set: Template,
    get: Template,
    mget: Template,
    wait: Vec<u8>,
    /// Requests in a pipeline.
    pub(crate) pipeline: u64,
    command: Command,
    fill: bool,
    keys: Arc<Keys>,
    random: Random,
}

impl Requests {
    pub(crate) fn new(arguments: &Arguments, keys: Arc<Keys>, client: u64) -> Self {
        let name = [0; NAME_BYTES];
        let mget = [&b"MGET"[..]].into_iter().chain((0..arguments.mget_keys).map(|_| &name[..])).collect::<Vec<_>>();
        let mut wait = Vec::new();
        if let Some(replicas) = arguments.wait {
            encode(&[b"WAIT", replicas.to_string().as_bytes(), WAIT_MS.as_bytes()], &mut wait);
        }
        Self {
            set: Template::new(&[b"SET", &name, &vec![b'x'; arguments.value_bytes]], 1),
            get: Template::new(&[b"GET", &name], 1),
            mget: Template::new(&mget, mget.len() - 1),
            wait,
            pipeline: arguments.pipeline.into(),
            command: if arguments.fill { Command::Set } else { arguments.command },
            fill: arguments.fill,
            keys,
            random: Random::new(arguments.seed.wrapping_add(client.wrapping_mul(0x0123_4567_89ab_cdef))),
        }
    }

    /// Puts the next `count` requests into `out`, of which the first has this number, and returns how many replies they get.
    pub(crate) fn write(&mut self, count: u64, first: u64, out: &mut Vec<u8>) -> u64 {
        for number in first..first + count {
            let is_set = match self.command {
                Command::Set => true,
                Command::Mix => self.random.coin(),
                Command::Get | Command::Mget => false,
            };
            let template = match self.command {
                Command::Mget => &self.mget,
                _ if is_set => &self.set,
                _ => &self.get,
            };
            let start = out.len();
            out.extend_from_slice(&template.bytes);
            for at in &template.keys {
                let key = if self.fill { self.keys.at(number) } else { self.keys.draw(&mut self.random) };
                write_name(&mut out[start + at..start + at + NAME_BYTES], key);
            }
        }
        out.extend_from_slice(&self.wait);
        count + u64::from(!self.wait.is_empty())
    }
}

impl Template {
    /// The command `words`, of which those from the second on are `keys` keys.
    fn new(words: &[&[u8]], keys: usize) -> Self {
        let mut template = Self { bytes: Vec::new(), keys: Vec::new() };
        begin(words.len(), &mut template.bytes);
        for (number, word) in words.iter().enumerate() {
            push(word, &mut template.bytes);
            if (1..=keys).contains(&number) {
                template.keys.push(template.bytes.len() - b"\r\n".len() - word.len());
            }
        }
        template
    }
}
