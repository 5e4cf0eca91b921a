//! What tests of peers share.

use bytes::BytesMut;
use proptest::prelude::*;
use tokio_util::codec::Decoder;

use super::{CatchUp, Introduction, PROTOCOL_VERSION};
use crate::codec::{DecodeLimits, ReplyDecoder, ReplyFrame, RequestDecoder, Requests};
use crate::flush::FlushMarks;
use crate::ring::{NodeId, NodeIndex};
use crate::version::{Hlc, StartNumber, Version};

/// Any version, the edges of its parts among them.
pub(super) fn versions() -> impl Strategy<Value = Version> {
    let hlc = prop_oneof![any::<u64>(), 0_u64..20];
    let start = prop_oneof![any::<u64>(), 0_u64..20];
    (hlc, any::<u16>(), start)
        .prop_map(|(hlc, node, start)| Version::new(Hlc(hlc), NodeIndex(node), StartNumber::new(start)))
}

/// The requests in `bytes`, which must be whole ones.
pub(super) fn decode_requests(bytes: &[u8]) -> Requests {
    let (mut buffer, mut requests) = (BytesMut::from(bytes), Requests::default());
    RequestDecoder::new(DecodeLimits::default()).decode_up_to(usize::MAX, &mut buffer, &mut requests).unwrap();
    assert!(buffer.is_empty(), "{} bytes are left", buffer.len());
    requests
}

/// The replies in `bytes`, which must be whole ones.
pub(super) fn decode_replies(bytes: &[u8]) -> Vec<ReplyFrame> {
    let (mut buffer, mut decoder) = (BytesMut::from(bytes), ReplyDecoder::new(DecodeLimits::default()));
    let replies = std::iter::from_fn(|| decoder.decode(&mut buffer).unwrap()).collect();
    assert!(buffer.is_empty(), "{} bytes are left", buffer.len());
    replies
}

/// The introduction of `node` in the cluster that all tests use.
pub(super) fn introduction(node: &str) -> Introduction {
    Introduction {
        cluster: "test".into(),
        node: NodeId::from(node),
        protocol_version: PROTOCOL_VERSION,
        fingerprint: 0xf1,
        settings: vec![("replicas".into(), "3".into()), ("virtual_nodes".into(), "256".into())],
        start: StartNumber::new(1),
        catch_up: CatchUp::Complete,
        flush_marks: FlushMarks::default(),
        secret: Some(b"swordfish".to_vec()),
    }
}
