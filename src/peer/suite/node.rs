//! A node that is nothing but its end of a link: it logs what happens to it, and misbehaves on demand.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::flush::FlushMarks;
use crate::peer::testing::introduction;
use crate::peer::{
    Answers, CatchUp, Introduction, IntroductionError, LinkState, LocalNode, Mark, PeerReply, PeerRequest, ReadRecord,
    Welcome, check,
};
use crate::ring::{NodeId, NodeIndex};
use crate::time::UnixMs;
use crate::version::{Hlc, StartNumber, Version};

/// The node that dials.
pub(super) const A: NodeIndex = NodeIndex(0);
/// The node that is dialled.
pub(super) const B: NodeIndex = NodeIndex(1);
/// Asked for this key, a node sends what no node sends.
pub(super) const RUBBISH: &[u8] = b"rubbish";
/// Asked for this key, a node breaks off within the reply.
pub(super) const TORN: &[u8] = b"torn";
/// What every node's wall clock shows: an hour after that of the links' options.
const WALL: UnixMs = UnixMs(4_600_000);

/// A node that logs.
pub(super) struct TestNode {
    introduction: Introduction,
    mark: AtomicU64,
    log: Mutex<Vec<String>>,
    clocks_measured: AtomicU64,
}

impl TestNode {
    /// The process `start` of node `name`.
    pub(super) fn new(name: &str, start: u64) -> std::sync::Arc<Self> {
        Self::new_in_cluster("test", name, start)
    }

    /// The process `start` of node `name` of a cluster.
    pub(super) fn new_in_cluster(cluster: &str, name: &str, start: u64) -> std::sync::Arc<Self> {
        let start = StartNumber::new(start);
        let introduction = Introduction { cluster: cluster.into(), start, ..introduction(name) };
        std::sync::Arc::new(Self {
            introduction,
            mark: AtomicU64::new(1),
            log: Mutex::default(),
            clocks_measured: AtomicU64::new(0),
        })
    }

    pub(super) fn set_mark(&self, lowest_open: u64) {
        self.mark.store(lowest_open, Ordering::Relaxed);
    }

    /// How often the peer's clock was measured.
    pub(super) fn clocks_measured(&self) -> u64 {
        self.clocks_measured.load(Ordering::Relaxed)
    }

    /// What happened, in order.
    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    /// The keys written here, in order.
    pub(super) fn written(&self) -> Vec<String> {
        self.log.lock().iter().filter_map(|entry| entry.strip_prefix("write ").map(str::to_owned)).collect()
    }

    fn note(&self, entry: String) {
        self.log.lock().push(entry);
    }
}

impl LocalNode for TestNode {
    fn introduction(&self) -> Introduction {
        self.introduction.clone()
    }

    fn introduce(&self, theirs: &Introduction) -> Result<(NodeIndex, Welcome), IntroductionError> {
        check(&self.introduction, theirs)?;
        let welcome = Welcome {
            node: self.introduction.node.clone(),
            start: self.introduction.start,
            remembered: StartNumber::default(),
            clock: Hlc(5),
            wall: WALL,
            catch_up: CatchUp::Complete,
            flush_marks: FlushMarks::default(),
        };
        Ok((index_of(&theirs.node)?, welcome))
    }

    fn welcomed(&self, peer: NodeIndex, welcome: &Welcome) -> Result<(), IntroductionError> {
        assert_eq!(index_of(&welcome.node), Ok(peer));
        self.note(format!("welcomed by {}", welcome.node));
        Ok(())
    }

    fn mark(&self) -> Mark {
        Mark {
            start: self.introduction.start,
            lowest_open: Hlc(self.mark.load(Ordering::Relaxed)),
            catch_up: CatchUp::Complete,
        }
    }

    fn handle(&self, from: NodeIndex, request: PeerRequest<'_>, out: &mut Vec<u8>) {
        assert_eq!(from, A);
        match request {
            PeerRequest::Read { key: RUBBISH } => out.extend_from_slice(b"?what\r\n"),
            PeerRequest::Read { key: TORN } => out.extend_from_slice(b"*1\r\n$1000\r\nhalf"),
            PeerRequest::Read { key } => PeerReply::Record(record(key)).encode(out),
            PeerRequest::Write { key, .. } => {
                self.note(format!("write {}", String::from_utf8_lossy(key)));
                PeerReply::Ok.encode(out);
            }
            PeerRequest::Beat => PeerReply::Integer(WALL.0).encode(out),
            PeerRequest::Mark(Mark { lowest_open, .. }) => {
                self.note(format!("mark {}", lowest_open.0));
                PeerReply::Ok.encode(out);
            }
            _ => PeerReply::Refused("ERR not tested".into()).encode(out),
        }
    }

    fn missed(&self, peer: NodeIndex, answers: Answers) {
        assert_eq!(peer, B);
        let bytes = answers.missed.map_or(0, |missed| missed.len());
        self.note(format!("missed {bytes} bytes after {} replies", answers.replies.len()));
    }

    fn link_changed(&self, peer: NodeIndex, state: LinkState) {
        assert_eq!(peer, B);
        self.note(format!("{state:?}"));
    }

    fn clock_measured(&self, peer: NodeIndex, _: i64) {
        assert_eq!(peer, B);
        self.clocks_measured.fetch_add(1, Ordering::Relaxed);
    }

    fn name_of(&self, _: NodeIndex) -> NodeId {
        NodeId::from("b")
    }
}

fn index_of(node: &NodeId) -> Result<NodeIndex, IntroductionError> {
    match node.as_str() {
        "a" => Ok(A),
        "b" => Ok(B),
        _ => Err(IntroductionError::UnknownNode(node.clone())),
    }
}

/// A request whose answer holds `key` as its value.
pub(super) fn echo(key: &[u8]) -> PeerRequest<'_> {
    PeerRequest::Read { key }
}

/// The answers to [`echo`] of each key.
pub(super) fn echoes(keys: &[Vec<u8>]) -> Vec<PeerReply> {
    keys.iter().map(|key| PeerReply::Record(record(key))).collect()
}

fn record(key: &[u8]) -> ReadRecord {
    ReadRecord { version: Version::default(), expires_at: None, value: Some(Bytes::copy_from_slice(key)) }
}

/// A write, which the node logs.
pub(super) fn write<'a>(key: &'a [u8], value: &'a [u8]) -> PeerRequest<'a> {
    PeerRequest::Write { key, value: Some(value), version: Version::default(), expires_at: None }
}
