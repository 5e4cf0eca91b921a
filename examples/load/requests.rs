//! The bytes that a client sends: copies of a template with another key in each.

use std::sync::Arc;

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
    /// How many replicas a reply of WAIT has to count.
    pub(crate) replicas: u32,
    command: Command,
    fill: bool,
    keys: Arc<Keys>,
    random: Random,
}

impl Requests {
    pub(crate) fn new(arguments: &Arguments, keys: Arc<Keys>, client: u64) -> Self {
        let name = [0; NAME_BYTES];
        let mget = [&b"MGET"[..]].into_iter().chain((0..arguments.mget_keys).map(|_| &name[..])).collect::<Vec<_>>();
        let wait =
            arguments.wait.map(|replicas| encode(&[b"WAIT", replicas.to_string().as_bytes(), WAIT_MS.as_bytes()]));
        Self {
            set: Template::new(&[b"SET", &name, &vec![b'x'; arguments.value_bytes]], 1),
            get: Template::new(&[b"GET", &name], 1),
            mget: Template::new(&mget, mget.len() - 1),
            wait: wait.unwrap_or_default(),
            pipeline: arguments.pipeline.into(),
            replicas: arguments.wait.unwrap_or_default(),
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
        let (name, each) = (encoded(&words[..1]).len(), encoded(&[&[0; NAME_BYTES]]).len());
        let head = encode(words).len() - encoded(words).len();
        let first = head + name + each - NAME_BYTES - b"\r\n".len();
        Self { bytes: encode(words), keys: (0..keys).map(|key| first + key * each).collect() }
    }
}

/// A command as it is sent.
fn encode(words: &[&[u8]]) -> Vec<u8> {
    [format!("*{}\r\n", words.len()).into_bytes(), encoded(words)].concat()
}

/// The same without its head.
fn encoded(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}
