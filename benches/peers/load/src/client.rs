//! An HTTP/1.1 client for one server: connections that are kept, requests that are given up in time.

use crate::tally::End;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

/// More than any answer here has.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 32;

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
    closes: bool,
}

/// One connection, with at most one request under way.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects, without Nagle's delay.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::new();
        Ok(Self { stream, buffer })
    }

    /// Sends these bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Asks for `target` and waits for the whole answer.
    pub async fn get(&mut self, target: &str) -> io::Result<Answer> {
        self.send(request(target).as_bytes()).await?;
        self.answer().await
    }

    /// The next answer, whole.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(answer) = self.take_answer()? {
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// A whole answer from what has come, if there is one.
    fn take_answer(&mut self) -> io::Result<Option<Answer>> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut head = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(head_bytes) = head.parse(&self.buffer).map_err(invalid)?
        else {
            return Ok(None);
        };
        let field = |name: &str| {
            let field = head
                .headers
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case(name));
            field.and_then(|field| std::str::from_utf8(field.value).ok())
        };
        let length = field("content-length").and_then(|length| length.parse().ok());
        let length: usize = length.ok_or_else(|| invalid("an answer without its length"))?;
        if length > ANSWER_BYTES_MAX {
            return Err(invalid("an answer that is too long"));
        }
        let end = head_bytes + length;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let status = head.code.unwrap_or_default();
        let body = self.buffer[head_bytes..end].to_vec();
        self.buffer.drain(..end);
        Ok(Some(Answer {
            status,
            body,
            closes,
        }))
    }
}

/// A request for `target`: a path, or a method and a path: `POST /rows`. It has no body.
pub fn request(target: &str) -> String {
    match target.split_once(' ') {
        Some((method, target)) => {
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        }
        None => format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Who asks a server, as often as wanted at once.
#[derive(Debug)]
pub struct Client {
    /// The server.
    pub address: SocketAddr,
    idle: RefCell<Vec<Connection>>,
}

impl Client {
    /// One that has no connection yet.
    pub fn new(address: SocketAddr) -> Self {
        let idle = RefCell::default();
        Self { address, idle }
    }

    /// Asks, and closes the connection if there is no answer by then.
    pub async fn ask(&self, target: &str, until: Instant) -> End {
        match timeout_at(until.into(), self.get(target)).await {
            Ok(Ok(answer)) => end_of(answer.status),
            Ok(Err(_)) => End::Broken,
            Err(_) => End::GaveUp,
        }
    }

    /// Asks on a connection that idles, or on a new one.
    pub async fn get(&self, target: &str) -> io::Result<Answer> {
        let idle = self.idle.borrow_mut().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let answer = connection.get(target).await?;
        if !answer.closes {
            self.idle.borrow_mut().push(connection);
        }
        Ok(answer)
    }
}

fn end_of(status: u16) -> End {
    match status {
        200 => End::Answered,
        503 => End::Refused,
        _ => End::Other,
    }
}
