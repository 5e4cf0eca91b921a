//! One update: its words, its keys, and the rule by which it changes them.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::codec::Protocol;
use crate::ring::Slot;
use crate::time::UnixMs;

/// What a key holds, as an update sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held<'a> {
    /// The value.
    pub value: &'a [u8],
    /// When it expires, if ever.
    pub expires_at: Option<UnixMs>,
}

/// What becomes of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// It holds this from now on.
    Put {
        /// The value.
        value: Bytes,
        /// When it expires, if ever; a time that has passed is as good as a delete.
        expires_at: Option<UnixMs>,
    },
    /// It holds nothing any more.
    Delete,
}

/// Which of an update's keys change, by their positions, and into what. Keys that are not named stay as they are.
pub type Changes = SmallVec<[(usize, Change); 1]>;

/// What an update does: reads [`Work::args`] and [`Work::held`], fills [`Work::changes`] and appends one reply to [`Work::out`]. It
/// may be called several times, each time with what the keys hold by then, and only the last call counts.
pub type Rule = fn(&mut Work<'_>);

/// An update in the hands of its rule.
pub struct Work<'a> {
    /// The command's words, its name first.
    pub args: &'a [&'a [u8]],
    /// What each key holds, in the order of the keys; `None` where there is nothing.
    pub held: &'a [Option<Held<'a>>],
    /// The moment that the command takes effect.
    pub now: UnixMs,
    /// The version of RESP that the reply is made for.
    pub protocol: Protocol,
    /// What becomes of the keys. Empty to begin with.
    pub changes: Changes,
    /// Where the reply goes.
    pub out: &'a mut Vec<u8>,
}

/// An update as its client's request has it.
#[derive(Clone, Copy, Debug)]
pub struct UpdateWords<'a> {
    /// The slot of all its keys.
    pub slot: Slot,
    /// The keys, in the order in which [`Work::held`] has them. One may stand there twice.
    pub keys: &'a [&'a [u8]],
    /// The command's words, its name first.
    pub args: &'a [&'a [u8]],
    /// The version of RESP that its client is answered in.
    pub protocol: Protocol,
    /// What it does.
    pub rule: Rule,
}

/// An update that may be carried to another node. All its keys share one slot.
#[derive(Clone, Debug)]
pub struct UpdateOrder {
    /// The slot of all its keys.
    pub slot: Slot,
    /// The keys, in the order in which [`Work::held`] has them. One may stand there twice.
    pub keys: SmallVec<[Bytes; 1]>,
    /// The command's words, its name first.
    pub args: Vec<Bytes>,
    /// The version of RESP that its client is answered in.
    pub protocol: Protocol,
    /// What it does.
    pub rule: Rule,
}
