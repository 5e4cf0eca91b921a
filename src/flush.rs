//! FLUSHALL's marks: versions up to which everything is gone.
//!
//! A flush is one write of all keys at once: it stamps a mark above the clocks of so many nodes that every acknowledged write
//! is below, and whoever takes the mark drops what is older and refuses it later. Like any write it must not pass over an update
//! that has seen what it drops (see `store/promise.rs`), so a slot in which a larger ballot was promised does not take it. And it must
//! take effect once, so it cannot be stamped anew once somebody may have seen it. Therefore a node that lets a flush read its
//! clock promises nothing to updates until the mark has come; only if that takes too long does it meet such a slot.
//!
//! Once so many nodes have taken a mark in all their slots that every update meets one of them, it is *decided*: updates with
//! larger ballots have all seen it, so it may be taken everywhere, whatever was promised. One whose node failed before it was
//! decided has *begun*: it is passed on as well, to slots that may take it; in the others each older key is written anew as a
//! quorum shows it.

use crate::version::Version;

/// How far this or another node knows the flushes to have come. The default versions stand for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlushMarks {
    /// The newest mark of a flush that has begun, decided or not.
    pub begun: Version,
    /// The newest mark that is decided.
    pub decided: Version,
}

impl FlushMarks {
    /// Takes note of a mark.
    pub fn note(&mut self, mark: Version, is_decided: bool) {
        self.begun = self.begun.max(mark);
        if is_decided {
            self.decided = self.decided.max(mark);
        }
    }
}
