//! What is known of one link, for those who ask: is it up, to which process, and if not, why.
//!
//! A coordinator asks before every write, so the answer is one atomic word. The reasons of failure go to the log once
//! each, not with every attempt: a node that is down for a day is dialled a hundred thousand times.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{LinkState, LinkStatus, LocalNode, Welcome};
use crate::ring::NodeIndex;
use crate::time::UnixMs;
use crate::version::StartNumber;

/// Set in the word of a link that is up; a start number has 48 bits.
const UP: u64 = 1 << 63;

/// The standing of the link to one peer.
pub(super) struct Standing {
    peer: NodeIndex,
    address: String,
    node: Arc<dyn LocalNode>,
    /// 0 when down, otherwise the process' start number with [`UP`]. Changed by the link's one task.
    word: AtomicU64,
    /// Locked for a few assignments, never while anything waits.
    story: Mutex<Story>,
}

struct Story {
    since: Instant,
    last_error: String,
    clock_offset_ms: i64,
}

impl Standing {
    /// The standing of a link that was never up.
    pub(super) fn new(peer: NodeIndex, address: String, node: Arc<dyn LocalNode>) -> Self {
        let story = Story { since: Instant::now(), last_error: String::new(), clock_offset_ms: 0 };
        Self { peer, address, node, word: AtomicU64::new(0), story: Mutex::new(story) }
    }

    pub(super) fn peer(&self) -> NodeIndex {
        self.peer
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn node(&self) -> &dyn LocalNode {
        &*self.node
    }

    pub(super) fn state(&self) -> LinkState {
        if self.word.load(Ordering::Acquire) == 0 { LinkState::Down } else { LinkState::Up }
    }

    pub(super) fn process(&self) -> StartNumber {
        StartNumber::new(self.word.load(Ordering::Acquire) & !UP)
    }

    /// The peer welcomed us, and the node agreed.
    pub(super) fn rise(&self, welcome: &Welcome, clock_offset_ms: i64) {
        {
            let mut story = self.story.lock();
            story.since = Instant::now();
            story.clock_offset_ms = clock_offset_ms;
        }
        let previous = self.word.swap(welcome.start.get() | UP, Ordering::AcqRel);
        debug_assert_eq!(previous, 0, "a link rises once");
        let (node, start, catch_up) = (&welcome.node, welcome.start.get(), welcome.catch_up);
        info!(peer = %node, address = %self.address, start, clock_offset_ms, ?catch_up, "link is up");
        self.node.link_changed(self.peer, LinkState::Up);
    }

    /// The link broke.
    pub(super) fn fall(&self, reason: &impl Display) {
        let previous = self.word.swap(0, Ordering::AcqRel);
        debug_assert_ne!(previous, 0, "only a link that is up can fall");
        {
            let mut story = self.story.lock();
            story.since = Instant::now();
            story.last_error = reason.to_string();
        }
        warn!(peer = self.peer.0, address = %self.address, %reason, "link is down");
        self.node.link_changed(self.peer, LinkState::Down);
    }

    /// An attempt to make the link failed.
    pub(super) fn failed(&self, reason: &impl Display) {
        let reason = reason.to_string();
        let mut story = self.story.lock();
        if story.last_error == reason {
            drop(story);
            debug!(peer = self.peer.0, address = %self.address, %reason, "no link yet");
            return;
        }
        story.last_error.clone_from(&reason);
        drop(story);
        warn!(peer = self.peer.0, address = %self.address, %reason, "no link");
    }

    pub(super) fn status(&self, requests_in_flight: usize) -> LinkStatus {
        let state = self.state();
        let story = self.story.lock();
        LinkStatus {
            state,
            age: story.since.elapsed(),
            address: self.address.clone(),
            last_error: story.last_error.clone(),
            requests_in_flight,
            clock_offset_ms: story.clock_offset_ms,
        }
    }
}

/// How far the clock that showed `theirs` is ahead of ours, which showed `sent` when the question left and `received`
/// when the answer was there. The answer is taken to be from the middle.
pub(super) fn clock_offset_ms(theirs: UnixMs, sent: UnixMs, received: UnixMs) -> i64 {
    let ours = sent.0 / 2 + received.0 / 2 + (sent.0 & received.0 & 1);
    theirs.0.wrapping_sub(ours).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_offset_is_signed_and_taken_from_the_middle() {
        assert_eq!(clock_offset_ms(UnixMs(1050), UnixMs(1000), UnixMs(1100)), 0);
        assert_eq!(clock_offset_ms(UnixMs(2050), UnixMs(1000), UnixMs(1100)), 1000);
        assert_eq!(clock_offset_ms(UnixMs(50), UnixMs(1001), UnixMs(1101)), -1001);
    }
}
