//! Records as they will be copied to a peer that missed them, made where the write is still at hand or read back from
//! the requests that were not answered.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

use crate::codec::{DecodeLimits, Request, RequestDecoder};
use crate::peer::{PeerRequest, UpdateRequest};
use crate::time::UnixMs;
use crate::version::Version;

/// `RCOPY` requests, back to back.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    bytes: Vec<u8>,
    /// The version of each, and where its request ends.
    ends: Vec<(Version, usize)>,
}

impl Copies {
    /// Adds the copy of a write.
    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>, version: Version, expires_at: Option<UnixMs>) {
        PeerRequest::Copy { key, value, version, expires_at }.encode(&mut self.bytes);
        self.ends.push((version, self.bytes.len()));
    }

    /// The writes among `requests`, a batch of this node's own, without the first `answered` requests.
    pub(crate) fn of_unanswered(requests: Bytes, answered: usize) -> Self {
        let mut copies = Self::default();
        let mut decoder = RequestDecoder::new(DecodeLimits::between_nodes());
        let mut buffer = BytesMut::from(requests);
        let mut position = 0;
        while let Ok(Some(request)) = decoder.decode(&mut buffer) {
            position += 1;
            if position > answered {
                copies.push_written(&request.first());
            }
        }
        debug_assert!(buffer.is_empty(), "a batch holds whole requests");
        copies
    }

    /// Adds what a request writes, if it is a fresh write.
    fn push_written(&mut self, request: &Request<'_>) {
        match PeerRequest::parse(request) {
            Ok(PeerRequest::Write { key, value, version, expires_at }) => self.push(key, value, version, expires_at),
            Ok(PeerRequest::WriteAgain { key, value, version, expires_at }) => {
                self.push(key, Some(value), version, expires_at);
            }
            Ok(PeerRequest::WriteMany(writes)) => {
                for write in writes {
                    self.push(write.key, Some(write.value), write.version, None);
                }
            }
            Ok(PeerRequest::Update(UpdateRequest::Accept { key, value, ballot, expires_at, .. })) => {
                self.push(key, value, ballot, expires_at);
            }
            _ => {}
        }
    }

    /// Each version with its request.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Version, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(_, end)| end));
        starts.zip(&self.ends).map(|(start, &(version, end))| (version, &self.bytes[start..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{FreshWrite, RequestBatch};
    use crate::ring::NodeIndex;
    use crate::version::{Hlc, StartNumber};

    fn version(at_ms: u64) -> Version {
        Version::new(Hlc::first_of(UnixMs(at_ms)), NodeIndex(0), StartNumber::FIRST)
    }

    #[test]
    fn unanswered_writes_become_copies_of_their_records() {
        let written = [(None, None), (Some(b"v".as_slice()), None), (Some(b"w".as_slice()), Some(UnixMs(9)))];
        let (mut batch, mut expected) = (RequestBatch::new(), Vec::new());
        for (at_ms, (value, expires_at)) in (0..).zip(written) {
            let (key, version) = (b"k".as_slice(), version(at_ms));
            batch.push(&PeerRequest::Write { key, value, version, expires_at });
            batch.push(&PeerRequest::Read { key });
            let mut copy = Vec::new();
            PeerRequest::Copy { key, value, version, expires_at }.encode(&mut copy);
            expected.push((version, copy));
        }
        for answered in 0..=batch.len() {
            let copies = Copies::of_unanswered(Bytes::copy_from_slice(batch.bytes()), answered);
            let copies: Vec<_> = copies.iter().map(|(version, copy)| (version, copy.to_vec())).collect();
            assert_eq!(copies, expected[answered.div_ceil(2)..], "{answered} answered");
        }
    }

    #[test]
    fn writes_of_one_request_are_missed_together() {
        let write = |at_ms| FreshWrite { key: b"k", value: b"v", version: version(at_ms) };
        let mut batch = RequestBatch::new();
        batch.push(&PeerRequest::WriteMany(vec![write(1), write(2)]));
        batch.push(&PeerRequest::WriteMany(vec![write(3), write(4)]));
        for (answered, missed) in [(0, vec![1, 2, 3, 4]), (1, vec![3, 4]), (2, vec![])] {
            let copies = Copies::of_unanswered(Bytes::copy_from_slice(batch.bytes()), answered);
            let versions: Vec<Version> = copies.iter().map(|(version, _)| version).collect();
            assert_eq!(versions, missed.into_iter().map(version).collect::<Vec<_>>());
        }
    }
}
