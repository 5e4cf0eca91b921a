//! The answer to an introduction: what the caller must know before any data passes.
//!
//! A node that lost its memory must not stamp two writes alike, so it is told the highest start number ever seen of
//! it. A node that was away must not bring back what was flushed, so it is told the newest mark.

use bytes::Bytes;

use super::admission::REFUSAL_CODE;
use super::introduction::malformed;
use super::words::{bulk_number, bulk_version, parse_number, parse_start};
use super::{CatchUp, IntroductionError};
use crate::codec::{ReplyFrame, reply};
use crate::flush::FlushMarks;
use crate::ring::NodeId;
use crate::time::UnixMs;
use crate::version::{Hlc, StartNumber, Version};

/// Opens the reply.
const WELCOME: &[u8] = b"WELCOME";

/// The answer to an introduction that was accepted: an array of bulk strings, `WELCOME` and the fields in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// The node that answers. The caller checks that it is the one that it meant to dial.
    pub node: NodeId,
    /// The run of the process that answers.
    pub start: StartNumber,
    /// The highest start number that this node ever saw of the caller; 0 if none. A caller whose own is not above it
    /// from an earlier run may have used its versions before.
    pub remembered: StartNumber,
    /// The answering node's hybrid clock.
    pub clock: Hlc,
    /// The answering node's wall clock.
    pub wall: UnixMs,
    /// How far the answering node has come in catching up.
    pub catch_up: CatchUp,
    /// The flushes that the answering node knows of.
    pub flush_marks: FlushMarks,
}

impl Welcome {
    /// Appends the reply's frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        reply::array(out, 9);
        reply::bulk(out, WELCOME);
        reply::bulk(out, self.node.as_str().as_bytes());
        bulk_number(self.start.get(), out);
        bulk_number(self.remembered.get(), out);
        bulk_number(self.clock.0, out);
        bulk_number(self.wall.0, out);
        reply::bulk(out, self.catch_up.word().as_bytes());
        bulk_version(self.flush_marks.begun, out);
        bulk_version(self.flush_marks.decided, out);
    }

    /// Reads the reply to an introduction from its frame.
    ///
    /// # Errors
    ///
    /// [`IntroductionError::Refused`] with the peer's words, or [`IntroductionError::Malformed`].
    pub fn from_frame(frame: ReplyFrame) -> Result<Self, IntroductionError> {
        match frame {
            ReplyFrame::Array(parts) => Self::from_parts(&parts).ok_or_else(|| malformed("not a welcome")),
            ReplyFrame::Error(words) => Err(refused(&words)),
            ReplyFrame::Simple(_) | ReplyFrame::Integer(_) | ReplyFrame::Bulk(_) | ReplyFrame::Null => {
                Err(malformed("not a welcome"))
            }
        }
    }

    fn from_parts(parts: &[Bytes]) -> Option<Self> {
        let [head, node, start, remembered, clock, wall, catch_up, begun, decided] = parts else { return None };
        if head != WELCOME {
            return None;
        }
        Some(Self {
            node: NodeId::from(std::str::from_utf8(node).ok()?),
            start: parse_start(start)?,
            remembered: parse_start(remembered)?,
            clock: Hlc(parse_number(clock)?),
            wall: UnixMs(parse_number(wall)?),
            catch_up: CatchUp::parse(catch_up)?,
            flush_marks: FlushMarks { begun: Version::parse(begun)?, decided: Version::parse(decided)? },
        })
    }
}

/// The peer's words without the error code that every refusal has.
fn refused(words: &[u8]) -> IntroductionError {
    let words = String::from_utf8_lossy(words);
    let reason = words.strip_prefix(REFUSAL_CODE).map_or(&*words, str::trim_start);
    IntroductionError::Refused(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::peer::testing::{decode_replies, versions};

    proptest! {
        #[test]
        fn a_welcome_survives_a_round_trip(
            node in ".*",
            numbers in any::<[u64; 4]>(),
            catch_up in 0_usize..3,
            marks in [versions(), versions()],
        ) {
            let sent = Welcome {
                node: NodeId::from(node.as_str()),
                start: StartNumber::new(numbers[0]),
                remembered: StartNumber::new(numbers[1]),
                clock: Hlc(numbers[2]),
                wall: UnixMs(numbers[3]),
                catch_up: [CatchUp::Blank, CatchUp::Partial, CatchUp::Complete][catch_up],
                flush_marks: FlushMarks { begun: marks[0], decided: marks[1] },
            };
            let mut bytes = Vec::new();
            sent.encode(&mut bytes);
            prop_assert_eq!(decode_replies(&bytes).into_iter().map(Welcome::from_frame).collect::<Vec<_>>(), vec![Ok(sent)]);
        }
    }

    #[test]
    fn broken_welcomes_are_malformed_and_refusals_keep_their_words() {
        let from = |text: &'static str| Welcome::from_frame(ReplyFrame::Error(Bytes::from_static(text.as_bytes())));
        assert_eq!(from("NOPERM no"), Err(IntroductionError::Refused("no".into())));
        assert_eq!(from("ERR unknown command"), Err(IntroductionError::Refused("ERR unknown command".into())));
        for frame in [ReplyFrame::Null, ReplyFrame::Array(vec![]), ReplyFrame::Simple(Bytes::from_static(b"OK"))] {
            assert!(matches!(Welcome::from_frame(frame), Err(IntroductionError::Malformed(_))));
        }
    }
}
