//! A client that sends whatever bytes a test wants, and reads replies of RESP2.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Reply>),
}

impl Reply {
    /// `OK`.
    pub(crate) fn ok() -> Self {
        Self::Simple("OK".to_owned())
    }

    /// A bulk string of this text.
    pub(crate) fn bulk(text: &str) -> Self {
        Self::Bulk(text.as_bytes().to_vec())
    }

    /// The text of an error, a simple or a bulk string.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Simple(text) | Self::Error(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// Whether it is an error that begins with `code`.
    pub(crate) fn is_error(&self, code: &str) -> bool {
        matches!(self, Self::Error(text) if text.starts_with(code))
    }
}

/// A command as an array of bulk strings.
pub(crate) fn command<T: AsRef<[u8]>>(words: &[T]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// One connection.
pub(crate) struct RawClient {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl RawClient {
    /// Connects to a port of this machine.
    pub(crate) fn connect(port: u16) -> Self {
        Self::try_connect(port).expect("the node accepts connections")
    }

    /// Connects, if something listens there.
    pub(crate) fn try_connect(port: u16) -> io::Result<Self> {
        Self::from_stream(TcpStream::connect(("127.0.0.1", port))?)
    }

    /// A connection that was made by either side.
    pub(crate) fn from_stream(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    /// The socket, for what only a socket can do.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends these bytes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).expect("the node takes what is sent");
    }

    /// Sends these bytes, unless the node has closed the connection.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// The reply to a command.
    pub(crate) fn ask<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Reply {
        self.send(command(words));
        self.reply()
    }

    /// The reply to a command, and how long it took.
    pub(crate) fn time<T: AsRef<[u8]>>(&mut self, words: &[T]) -> (Reply, Duration) {
        let began = Instant::now();
        let reply = self.ask(words);
        (reply, began.elapsed())
    }

    /// The next reply.
    pub(crate) fn reply(&mut self) -> Reply {
        self.try_reply().expect("a reply")
    }

    /// The next reply, unless the connection ends or times out first.
    pub(crate) fn try_reply(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let number = || line[1..].parse::<i64>().map_err(|_| malformed(&line));
        match line.as_bytes().first() {
            Some(b'+') => Ok(Reply::Simple(line[1..].to_owned())),
            Some(b'-') => Ok(Reply::Error(line[1..].to_owned())),
            Some(b':') => number().map(Reply::Integer),
            Some(b'$' | b'*') if line[1..].starts_with('-') => Ok(Reply::Null),
            Some(b'$') => self.bulk(usize::try_from(number()?).map_err(|_| malformed(&line))?),
            Some(b'*') => (0..number()?).map(|_| self.try_reply()).collect::<io::Result<_>>().map(Reply::Array),
            _ => Err(malformed(&line)),
        }
    }

    /// All replies until the node closes the connection; an error if it closes within a reply or resets.
    pub(crate) fn replies_until_end(&mut self) -> io::Result<Vec<Reply>> {
        let mut replies = Vec::new();
        while !self.reader.fill_buf()?.is_empty() {
            replies.push(self.try_reply()?);
        }
        Ok(replies)
    }

    /// Whether the node closes the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.reader.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\r\n") {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("ended after {line:?}")));
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).map_err(|error| malformed(&error.to_string()))
    }

    fn bulk(&mut self, length: usize) -> io::Result<Reply> {
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(Reply::Bulk(bytes))
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("no reply of RESP2: {what}"))
}
