//! What the links ask of the node that they serve: who it is, whom it lets in, and what it makes of what it hears.

use std::sync::atomic::Ordering;

use super::{Copies, Replica, drift_alarm};
use crate::peer::{
    Answers, Introduction, IntroductionError, LinkState, LocalNode, Mark, PROTOCOL_VERSION, PeerRequest, Welcome,
};
use crate::ring::{NodeId, NodeIndex};
use crate::version::{Hlc, StartNumber};

/// How far ahead of the wall clock a peer's start number may lie: ten years, more than any clock is wrong. The highest
/// one is remembered, and the peer has to exceed it when it comes again, so the largest of all would lock it out.
const START_AHEAD_MS_MAX: u64 = 10 * 366 * 24 * 3600 * 1000;

impl LocalNode for Replica {
    fn introduction(&self) -> Introduction {
        let settings = self.config.peer_settings();
        Introduction {
            cluster: self.config.name.clone(),
            node: self.config.nodes[self.index.as_usize()].id.clone(),
            protocol_version: PROTOCOL_VERSION,
            fingerprint: self.ring.fingerprint().0,
            settings: settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            start: self.start(),
            catch_up: self.syncing.state(),
            flush_marks: self.store.flush_marks(),
            secret: self.config.secret.as_ref().map(|secret| secret.reveal().as_bytes().to_vec()),
        }
    }

    fn introduce(&self, theirs: &Introduction) -> Result<(NodeIndex, Welcome), IntroductionError> {
        crate::peer::check(&self.introduction(), theirs)?;
        let peer = self
            .config
            .nodes
            .iter()
            .position(|node| node.id == theirs.node)
            .and_then(|position| u16::try_from(position).ok())
            .map(NodeIndex)
            .ok_or_else(|| IntroductionError::UnknownNode(theirs.node.clone()))?;
        let now = self.wall.now();
        if theirs.start.get() > now.0.saturating_add(START_AHEAD_MS_MAX) {
            return Err(IntroductionError::StartTooLate(theirs.node.clone()));
        }
        let remembered = self.peers[peer.as_usize()].start.fetch_max(theirs.start.get(), Ordering::AcqRel);
        self.learn_flushes(theirs.flush_marks, now);
        if theirs.start.get() >= remembered {
            self.note_catch_up(peer, theirs.catch_up);
        }
        let start = self.start();
        self.peers[peer.as_usize()].known_as.store(start.get(), Ordering::Release);
        let welcome = Welcome {
            node: self.config.nodes[self.index.as_usize()].id.clone(),
            start,
            remembered: StartNumber::new(remembered),
            clock: self.clock.last(),
            wall: now,
            catch_up: self.syncing.state(),
            flush_marks: self.store.flush_marks(),
        };
        Ok((peer, welcome))
    }

    fn welcomed(&self, peer: NodeIndex, welcome: &Welcome) -> Result<(), IntroductionError> {
        let expected = &self.config.nodes[peer.as_usize()].id;
        if welcome.node != *expected {
            return Err(IntroductionError::OtherNode { expected: expected.clone(), found: welcome.node.clone() });
        }
        let ours = self.start();
        let memory = &self.peers[peer.as_usize()];
        let is_known_as = memory.known_as.load(Ordering::Acquire) == ours.get();
        if welcome.remembered > ours || welcome.remembered == ours && !is_known_as {
            // That was an earlier run, perhaps started at the same reading of a clock that was set back. The next
            // introduction bears a start number above all that this peer ever saw of this node.
            let raised = welcome.remembered.next();
            self.start.fetch_max(raised.get(), Ordering::AcqRel);
            return Err(IntroductionError::StartTooOld {
                node: self.config.nodes[self.index.as_usize()].id.clone(),
                theirs: ours.get(),
                remembered: welcome.remembered.get(),
            });
        }
        let now = self.wall.now();
        memory.known_as.store(ours.get(), Ordering::Release);
        memory.start.fetch_max(welcome.start.get(), Ordering::AcqRel);
        if let Err(drift) = self.clock.observe(welcome.clock, now) {
            tracing::warn!(peer = %welcome.node, %drift, "the peer's clock is too far ahead; its writes are refused");
        }
        self.learn_flushes(welcome.flush_marks, now);
        self.note_catch_up(peer, welcome.catch_up);
        Ok(())
    }

    fn mark(&self) -> Mark {
        Mark {
            start: self.start(),
            lowest_open: Hlc(self.lowest_open.load(Ordering::Acquire)),
            catch_up: self.syncing.state(),
        }
    }

    fn handle(&self, from: NodeIndex, request: PeerRequest<'_>, out: &mut Vec<u8>) {
        self.serve(from, request, None, self.wall.now(), out);
    }

    fn missed(&self, peer: NodeIndex, answers: Answers) {
        let requests = answers.missed.map_or_else(Default::default, |requests| *requests);
        self.owe(peer, &Copies::of_unanswered(requests, answers.replies.len()), |_| true);
    }

    fn link_changed(&self, _peer: NodeIndex, _state: LinkState) {
        self.changed.notify_waiters();
    }

    fn clock_measured(&self, peer: NodeIndex, offset_ms: i64) {
        let memory = &self.peers[peer.as_usize()];
        memory.clock_offset_ms.store(offset_ms, Ordering::Release);
        let limit_ms = self.config.max_clock_drift_ms;
        let stood = memory.clock_warned.load(Ordering::Acquire);
        let stands = drift_alarm::stands(stood, offset_ms, limit_ms);
        memory.clock_warned.store(stands, Ordering::Release);
        let peer = self.name_of(peer);
        match (stood, stands) {
            (false, true) => tracing::warn!(
                %peer,
                offset_ms,
                limit_ms,
                "the peer's clock is off by more than half of max_clock_drift_ms; set the clocks right before writes are refused"
            ),
            (true, false) => tracing::warn!(%peer, offset_ms, limit_ms, "the peer's clock is right again"),
            (false, false) | (true, true) => {}
        }
    }

    fn name_of(&self, peer: NodeIndex) -> NodeId {
        self.config.nodes[peer.as_usize()].id.clone()
    }
}
