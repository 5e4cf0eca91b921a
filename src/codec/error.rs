//! Why a connection's bytes cannot be understood: each of these ends the connection.

use std::io;

/// Broken framing, always the sender's fault. Nothing of the broken frame has taken effect.
///
/// The text is what Redis 7 says after `-ERR Protocol error: `, where Redis knows the fault.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The number of arguments is no number, or above the limit.
    #[error("invalid multibulk length")]
    ArrayLength,
    /// The length of an argument is no number, negative, above the limit, or not where the argument ends.
    #[error("invalid bulk length")]
    BulkLength,
    /// Something other than a bulk string inside an array: its first byte.
    #[error("expected '$', got '{}'", printable(*.0))]
    NotBulk(u8),
    /// The line with the number of arguments does not end.
    #[error("too big mbulk count string")]
    ArrayHeaderTooLong,
    /// The line with the length of an argument does not end.
    #[error("too big bulk count string")]
    BulkHeaderTooLong,
    /// An inline request is longer than the limit.
    #[error("too big inline request")]
    InlineTooLong,
    /// A quote in an inline request is not closed, or is closed within a word.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    /// All arguments together are larger than the limit for a frame.
    #[error("too big request")]
    FrameTooLong,
    /// A peer's answer begins with this byte, which no answer does.
    #[error("unexpected reply type '{}'", printable(*.0))]
    ReplyType(u8),
    /// A peer's answer is a line that does not end, or one that its type does not allow.
    #[error("invalid reply line")]
    ReplyLine,
    /// The socket failed; the bytes are not to blame.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The byte as a character that cannot break the line of an error reply.
fn printable(byte: u8) -> char {
    let character = char::from(byte);
    if character.is_control() { ' ' } else { character }
}
