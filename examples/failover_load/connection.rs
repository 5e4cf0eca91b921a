//! A connection that sends whole batches and reads flat replies of RESP2, as few instructions as it can take: what is
//! measured is the servers.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a client waits for a connection or a reply before it takes the node for dead.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A reply without parts.
#[derive(Debug)]
pub(crate) enum Reply {
    Ok,
    Error(String),
    Bulk(String),
    Null,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), WAIT_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        stream.set_write_timeout(Some(WAIT_MAX))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    pub(crate) fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.stream.write_all(requests)
    }

    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let Some(line) = line.strip_suffix("\r\n") else { return Err(ErrorKind::UnexpectedEof.into()) };
        match line.split_at_checked(1) {
            Some(("+", _)) => Ok(Reply::Ok),
            Some(("-", text)) => Ok(Reply::Error(text.to_owned())),
            Some(("$", "-1")) => Ok(Reply::Null),
            Some(("$", length)) => self.bulk(length.parse().map_err(|_| malformed(line))?),
            _ => Err(malformed(line)),
        }
    }

    fn bulk(&mut self, length: usize) -> io::Result<Reply> {
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes)?;
        bytes.truncate(length);
        String::from_utf8(bytes).map(Reply::Bulk).map_err(|_| malformed("a value that is no text"))
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("unexpected reply: {what}"))
}
