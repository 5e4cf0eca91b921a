//! What is known of one link, for those who ask: is it up, to which process, and if not, why.
//!
//! A coordinator asks before every write, so the answer is one atomic word. The reasons of failure go to the log once
//! each, not with every attempt: a node that is down for a day is dialled a hundred thousand times.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::clock_probe::{ClockFilter, ClockSample};
use super::health::Pulse;
use super::{Health, LinkState, LinkStatus, LocalNode, Welcome};
use crate::ring::NodeIndex;
use crate::version::StartNumber;

/// Set in the word of a link that is up; a start number has 48 bits.
const UP: u64 = 1 << 63;
/// Set besides while the peer is suspect.
const SUSPECT: u64 = 1 << 62;

/// The standing of the link to one peer.
pub struct Standing {
    peer: NodeIndex,
    address: String,
    node: Arc<dyn LocalNode>,
    /// 0 when down, otherwise the process' start number with [`UP`], and [`SUSPECT`] perhaps. Changed by the link's one task.
    word: AtomicU64,
    /// Locked for a few assignments, never while anything waits.
    story: Mutex<Story>,
}

struct Story {
    since: Instant,
    last_error: String,
    /// When the peer of the connection before this one was last heard.
    heard_at: Option<Instant>,
    clock: ClockFilter,
}

impl Standing {
    /// The standing of a link that was never up.
    pub(super) fn new(peer: NodeIndex, address: String, node: Arc<dyn LocalNode>) -> Self {
        let story =
            Story { since: Instant::now(), last_error: String::new(), heard_at: None, clock: ClockFilter::default() };
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

    pub(super) fn health(&self) -> Health {
        match self.word.load(Ordering::Acquire) {
            0 => Health::Down,
            word if word & SUSPECT != 0 => Health::Suspect,
            _ => Health::Alive,
        }
    }

    pub(super) fn process(&self) -> StartNumber {
        StartNumber::new(self.word.load(Ordering::Acquire) & !(UP | SUSPECT))
    }

    /// The peer welcomed us, and the node agreed.
    pub(super) fn rise(&self, welcome: &Welcome, clock: ClockSample) {
        let clock_offset_ms = {
            let mut story = self.story.lock();
            story.since = Instant::now();
            story.clock = ClockFilter::new(clock);
            story.clock.offset_ms()
        };
        let previous = self.word.swap(welcome.start.get() | UP, Ordering::AcqRel);
        debug_assert_eq!(previous, 0, "a link rises once");
        let (node, start, catch_up) = (&welcome.node, welcome.start.get(), welcome.catch_up);
        info!(peer = %node, address = %self.address, start, clock_offset_ms, ?catch_up, "link is up");
        self.node.link_changed(self.peer, LinkState::Up);
        self.node.clock_measured(self.peer, clock_offset_ms);
    }

    /// What the last tick of a link that is up has found.
    pub(super) fn judged(&self, health: Health) {
        debug_assert_eq!(self.state(), LinkState::Up, "a link that is down is not judged");
        match health {
            Health::Suspect => drop(self.word.fetch_or(SUSPECT, Ordering::AcqRel)),
            Health::Alive | Health::Down => drop(self.word.fetch_and(!SUSPECT, Ordering::AcqRel)),
        }
    }

    /// The peer's clock was measured once more.
    pub(super) fn measured(&self, sample: ClockSample) {
        let offset_ms = {
            let mut story = self.story.lock();
            story.clock.add(sample);
            story.clock.offset_ms()
        };
        self.node.clock_measured(self.peer, offset_ms);
    }

    /// The link broke, and the peer was last heard so long ago.
    pub(super) fn fall(&self, reason: &impl Display, heard_ago: Duration) {
        let previous = self.word.swap(0, Ordering::AcqRel);
        debug_assert_ne!(previous, 0, "only a link that is up can fall");
        {
            let mut story = self.story.lock();
            story.since = Instant::now();
            story.heard_at = story.since.checked_sub(heard_ago);
            story.last_error = reason.to_string();
        }
        warn!(peer = %self.node.name_of(self.peer), address = %self.address, %reason, "link is down");
        self.node.link_changed(self.peer, LinkState::Down);
    }

    /// An attempt to make the link failed.
    pub(super) fn failed(&self, reason: &impl Display) {
        let reason = reason.to_string();
        let mut story = self.story.lock();
        if story.last_error == reason {
            drop(story);
            debug!(peer = %self.node.name_of(self.peer), address = %self.address, %reason, "no link yet");
            return;
        }
        story.last_error.clone_from(&reason);
        drop(story);
        warn!(peer = %self.node.name_of(self.peer), address = %self.address, %reason, "no link");
    }

    /// The standing for INFO, with what the queues tell if there is a connection, counted in ticks of this length.
    pub(super) fn status(&self, pulse: Option<Pulse>, tick: Duration) -> LinkStatus {
        let (state, health) = (self.state(), self.health());
        let lasting = |ticks: u64| tick * u32::try_from(ticks).unwrap_or(u32::MAX);
        let story = self.story.lock();
        let before = story.heard_at.map(|heard_at| heard_at.elapsed());
        LinkStatus {
            state,
            health,
            age: story.since.elapsed(),
            address: self.address.clone(),
            last_error: story.last_error.clone(),
            requests_in_flight: pulse.map_or(0, |pulse| pulse.requests),
            asked_ago: pulse.and_then(|pulse| pulse.asked).map(lasting),
            heard_ago: pulse.map_or(before, |pulse| Some(lasting(pulse.heard))),
            clock_offset_ms: story.clock.offset_ms(),
        }
    }
}
