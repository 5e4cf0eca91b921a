//! The wire: requests and peers' answers as bytes arrive, replies as bytes to send.
//!
//! A general RESP parser is recursive, allocates what a header announces, and starts over whenever a frame is torn.
//! Each of these lets a stranger stop a server: with ten thousand nested arrays, with one long number, or with a large
//! request in small pieces. But what a server reads is flat: a request is an array of bulk strings or a plain line
//! (*inline*), and a peer's answer is one line, one bulk string, or an array of bulk strings. So here
//!
//! * [`RequestDecoder`] and [`ReplyDecoder`] share one flat reader of bulk arrays, which remembers how far it came:
//!   reading takes time linear in the bytes received, however they are torn;
//! * memory grows with the bytes received, never with the numbers announced, up to the bounds in [`DecodeLimits`];
//! * a frame keeps its read buffer alive, so whoever stores an argument copies it, unless it is so large that it got a buffer
//!   of its own;
//! * [`mod@reply`] writes replies for either [`Protocol`] version.
//!
//! Only replies may nest, and those are our own.

mod bulk_array;
mod error;
mod inline;
mod integer;
pub mod reply;
mod reply_decoder;
mod request;
mod requests;
#[cfg(test)]
mod tests;
mod whole_frame;

pub use bulk_array::LARGE_BULK_BYTES;
pub use error::ProtocolError;
pub use reply_decoder::{ReplyDecoder, ReplyFrame};
pub use request::RequestDecoder;
pub use requests::{Request, Requests};
pub use whole_frame::WholeArray;

/// Which version of RESP a connection speaks. It starts with version 2; `HELLO 3` changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// RESP2: what lacks a type of its own there is sent as the nearest older one.
    #[default]
    Resp2,
    /// RESP3: nulls, maps, sets, pushes, doubles and booleans have types of their own.
    Resp3,
}

/// What a message between nodes takes beside the bytes that a client has sent: its longer word, a version, an expiry.
const MESSAGE_BYTES_MAX: usize = 1 << 10;

/// How large a frame may get before its connection is given up. The defaults are Redis' own where it has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeLimits {
    /// Bytes of one argument or value (Redis: `proto-max-bulk-len`).
    pub bulk_bytes_max: usize,
    /// Arguments of one request, or elements of one reply.
    pub arguments_max: usize,
    /// Bytes of one line: an inline request, or a header whose end does not come.
    pub inline_bytes_max: usize,
    /// Bytes of one whole frame (Redis: `client-query-buffer-limit`). More than 4 GiB - 1 count as that.
    pub frame_bytes_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            bulk_bytes_max: 512 << 20,
            arguments_max: 1024 * 1024,
            inline_bytes_max: 64 << 10,
            frame_bytes_max: 1 << 30,
        }
    }
}

/// What may stand around a value in a reply.
const REPLY_FRAMING_BYTES_MAX: usize = 64;

impl DecodeLimits {
    /// What nodes of one cluster may send each other: whatever one of them has taken from a client, though this node's
    /// own clients may send less, and the keys of a whole slot, however many.
    #[must_use]
    pub fn between_nodes() -> Self {
        let clients = Self::default();
        let frame_bytes_max = clients.frame_bytes_max + MESSAGE_BYTES_MAX;
        // A client's reply travels whole, as one string: a value and what frames it.
        let bulk_bytes_max = clients.bulk_bytes_max + REPLY_FRAMING_BYTES_MAX;
        Self { arguments_max: frame_bytes_max, frame_bytes_max, bulk_bytes_max, ..clients }
    }
}
