//! From the bytes that a peer sends to its replies.
//!
//! Nearly every reply is `+OK`. It is recognised where it stands, without a frame of its own, which would count
//! references to the read buffer. What reads are answered by is read at once if it has arrived whole.

use bytes::{Buf, BytesMut};
use tokio_util::codec::Decoder;

use super::{PeerReply, ReplyError};
use crate::codec::{DecodeLimits, ProtocolError, ReplyDecoder, ReplyFrame, WholeArray};

/// The frequent reply.
const OK: &[u8] = b"+OK\r\n";
/// Free space that a read should have at least.
const READ_BYTES_MIN: usize = 16 << 10;
/// What is added when there is less.
const READ_BYTES: usize = 64 << 10;

/// Bytes that are no reply of a node. The peer's fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The framing is broken.
    #[error("protocol error: {0}")]
    Protocol(#[from] ProtocolError),
    /// The frame means nothing.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

/// The reading end of one connection.
#[derive(Debug)]
pub(super) struct ReplyReader {
    buffer: BytesMut,
    decoder: ReplyDecoder,
    limits: DecodeLimits,
    array: WholeArray,
    /// Whether the decoder has looked at the beginning of `buffer` already and remembers where it was.
    torn: bool,
}

impl ReplyReader {
    pub(super) fn new(limits: DecodeLimits) -> Self {
        let (buffer, decoder) = (BytesMut::new(), ReplyDecoder::new(limits));
        Self { buffer, decoder, limits, array: WholeArray::default(), torn: false }
    }

    /// Where the next bytes go; there is always room. A long reply has got the room that it needs.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        let (len, room) = (self.buffer.len(), self.buffer.capacity() - self.buffer.len());
        if room < READ_BYTES_MIN && (len < READ_BYTES || room == 0) {
            self.buffer.reserve(READ_BYTES);
            // It may have got back all the memory of a large reply, which is nobody else's any more.
            if len < READ_BYTES && self.buffer.capacity() > 4 * READ_BYTES {
                let mut small = BytesMut::with_capacity(2 * READ_BYTES);
                small.extend_from_slice(&self.buffer);
                self.buffer = small;
            }
        }
        &mut self.buffer
    }

    /// Whether the bytes end within a reply.
    pub(super) fn is_torn(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next reply, if it is complete.
    pub(super) fn next(&mut self) -> Result<Option<PeerReply>, ReadError> {
        if !self.torn && self.buffer.starts_with(OK) {
            self.buffer.advance(OK.len());
            return Ok(Some(PeerReply::Ok));
        }
        if !self.torn
            && let Some(reply) = self.next_answer()?
        {
            return Ok(Some(reply));
        }
        Ok(self.next_frame()?.map(PeerReply::from_frame).transpose()?)
    }

    /// The next reply if it is the answer to reads and has arrived whole.
    fn next_answer(&mut self) -> Result<Option<PeerReply>, ReplyError> {
        let end = self.array.read(&self.buffer, &self.limits);
        let Some(end) = end.filter(|_| PeerReply::is_answer(self.array.parts(&self.buffer))) else { return Ok(None) };
        let frame = self.buffer.split_to(end).freeze();
        PeerReply::from_whole(&self.array, frame).map(Some)
    }

    /// The next frame, if it is complete: the answer to an introduction is not a reply to a request.
    pub(super) fn next_frame(&mut self) -> Result<Option<ReplyFrame>, ReadError> {
        let frame = self.decoder.decode(&mut self.buffer)?;
        self.torn = frame.is_none() && !self.buffer.is_empty();
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{ListedRecord, ReadRecord, Records, Shown};
    use crate::time::UnixMs;
    use crate::version::Version;

    fn read_in_steps(bytes: &[u8], step: usize) -> Result<Vec<PeerReply>, ReadError> {
        let mut reader = ReplyReader::new(DecodeLimits::default());
        let mut replies = Vec::new();
        for part in bytes.chunks(step) {
            reader.buffer().extend_from_slice(part);
            while let Some(reply) = reader.next()? {
                replies.push(reply);
            }
        }
        assert!(!reader.is_torn());
        Ok(replies)
    }

    #[test]
    fn memory_of_a_large_reply_is_not_kept() {
        let mut reader = ReplyReader::new(DecodeLimits::default());
        let record = ReadRecord { version: Version::default(), expires_at: None, value: Some(vec![7; 2 << 20].into()) };
        let mut bytes = Vec::new();
        PeerReply::Record(record).encode(&mut bytes);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let buffer = reader.buffer();
            let room = buffer.capacity() - buffer.len();
            let (piece, behind) = rest.split_at(READ_BYTES.min(room).min(rest.len()));
            buffer.extend_from_slice(piece);
            rest = behind;
            drop(reader.next().unwrap());
        }
        assert!(reader.buffer().capacity() <= 4 * READ_BYTES);
    }

    #[test]
    fn replies_are_the_same_however_they_are_torn() {
        let listed = ListedRecord {
            key: b"+OK\r\n".as_slice().into(),
            version: Version::default(),
            is_gone: true,
            value_bytes: 0,
        };
        let record = |value| ReadRecord { version: Version::default(), expires_at: Some(UnixMs(5)), value };
        let (live, gone) = (record(Some("+OK".into())), ReadRecord { expires_at: None, ..record(None) });
        let shown = vec![Shown::Record(live.clone()), Shown::Large, Shown::Record(gone.clone()), Shown::Missing];
        let replies = [
            PeerReply::Ok,
            PeerReply::Missing,
            PeerReply::Ok,
            PeerReply::Refused("+OK".into()),
            PeerReply::Keys { records: vec![listed], next: None },
            PeerReply::Record(live),
            PeerReply::Records(Records(shown)),
            PeerReply::Record(gone),
            PeerReply::Records(Records(vec![])),
            PeerReply::Ok,
        ];
        let mut bytes = Vec::new();
        for reply in &replies {
            reply.encode(&mut bytes);
        }
        for step in 1..bytes.len() {
            assert_eq!(read_in_steps(&bytes, step).unwrap(), replies, "step {step}");
        }
    }

    #[test]
    fn rubbish_is_an_error() {
        assert!(matches!(read_in_steps(b"+OK\r\n?what\r\n", 64), Err(ReadError::Protocol(_))));
        assert!(matches!(read_in_steps(b"+PONG\r\n", 64), Err(ReadError::Reply(_))));
        let no_answer = b"*3\r\n$7\r\nRECORDS\r\n$1\r\n?\r\n$0\r\n\r\n";
        assert!(matches!(read_in_steps(no_answer, 64), Err(ReadError::Reply(_))));
        assert!(matches!(read_in_steps(no_answer, 1), Err(ReadError::Reply(_))));
    }
}
