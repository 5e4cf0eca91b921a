//! Short names for the reply frames that describe commands. All are RESP3; the codec turns them into RESP2 if asked.

use bytes::Bytes;
use redis_protocol::resp3::types::BytesFrame;

/// A string of any bytes.
pub(super) fn bulk(text: &'static str) -> BytesFrame {
    BytesFrame::BlobString { data: Bytes::from_static(text.as_bytes()), attributes: None }
}

/// A string with a copy of `bytes`, which may be a client's.
pub(super) fn copied(bytes: &[u8]) -> BytesFrame {
    BytesFrame::BlobString { data: Bytes::copy_from_slice(bytes), attributes: None }
}

/// A string without line ends.
pub(super) fn simple(text: impl Into<Bytes>) -> BytesFrame {
    BytesFrame::SimpleString { data: text.into(), attributes: None }
}

/// An integer.
pub(super) fn integer(number: impl Into<i64>) -> BytesFrame {
    BytesFrame::Number { data: number.into(), attributes: None }
}

/// A list.
pub(super) fn array(items: impl IntoIterator<Item = BytesFrame>) -> BytesFrame {
    BytesFrame::Array { data: items.into_iter().collect(), attributes: None }
}

/// A map from names.
pub(super) fn map(pairs: impl IntoIterator<Item = (&'static str, BytesFrame)>) -> BytesFrame {
    let data = pairs.into_iter().map(|(name, value)| (bulk(name), value)).collect();
    BytesFrame::Map { data, attributes: None }
}

/// A set of strings or numbers; the frame type cannot hash anything nested.
pub(super) fn set(items: impl IntoIterator<Item = BytesFrame>) -> BytesFrame {
    BytesFrame::Set { data: items.into_iter().collect(), attributes: None }
}
