//! One connection: a pipeline is sent, and its replies are read.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;

use crate::replies::Replies;

const READ_BYTES: usize = 64 * 1024;
/// A pipeline longer than this is read from while it is sent: a server may stop taking requests until its replies are read.
const SENT_BLINDLY_MAX: usize = 64 * 1024;

/// A connection, and what is known of the replies that came on it.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    pub(crate) replies: Replies,
}

impl Connection {
    /// To the server at this port of this machine.
    pub(crate) async fn open(port: u16, replies: Replies) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; READ_BYTES], replies })
    }

    /// Sends `requests`, and returns once all replies to them are there, which are so many.
    pub(crate) async fn exchange(&mut self, requests: &[u8], replies: u64) -> io::Result<()> {
        self.replies.expect(replies);
        let (mut reader, mut writer) = self.stream.split();
        let (replies, buffer) = (&mut self.replies, &mut self.buffer);
        if requests.len() <= SENT_BLINDLY_MAX {
            writer.write_all(requests).await?;
            return read(&mut reader, replies, buffer).await;
        }
        tokio::try_join!(writer.write_all(requests), read(&mut reader, replies, buffer)).map(|_| ())
    }
}

async fn read(reader: &mut ReadHalf<'_>, replies: &mut Replies, buffer: &mut [u8]) -> io::Result<()> {
    while !replies.are_complete() {
        let length = reader.read(buffer).await?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        replies.take(&buffer[..length])?;
    }
    Ok(())
}
