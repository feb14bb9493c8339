//! A client that takes a closed connection for an answer, but not silence.

use pontoon_tests::PATIENCE;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered {
        status: u16,
        body: String,
    },
    /// Refused, closed or reset before the whole of an answer had come.
    Closed,
}

/// A connection, until it is closed.
pub struct Client(Option<TcpStream>);

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let connected = TcpStream::connect_timeout(&address, PATIENCE).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        Self(closed_or(connected, "to connect"))
    }

    /// Sends a request and waits for its outcome.
    pub fn ask(&mut self, method: &str, target: &str, body: &str) -> Outcome {
        self.send(method, target, body);
        let answer = self.0.as_mut().map(read_answer);
        let answer = answer.and_then(|answer| closed_or(answer, target));
        match answer {
            Some(answer) => answer,
            None => {
                self.0 = None;
                Outcome::Closed
            }
        }
    }

    /// Sends a request. Whoever leaves does not wait for its outcome.
    pub fn send(&mut self, method: &str, target: &str, body: &str) {
        self.send_bytes(request(method, target, body).as_bytes());
    }

    /// As [`send`](Self::send), but the second half of it never comes.
    pub fn send_half(&mut self, method: &str, target: &str, body: &str) {
        let request = request(method, target, body);
        self.send_bytes(&request.as_bytes()[..request.len() / 2]);
    }

    fn send_bytes(&mut self, bytes: &[u8]) {
        let Some(stream) = &mut self.0 else { return };
        if closed_or(stream.write_all(bytes), "what was sent").is_none() {
            self.0 = None;
        }
    }
}

fn request(method: &str, target: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Nothing if the connection is closed; a hang fails the test.
fn closed_or<T>(result: io::Result<T>, what: &str) -> Option<T> {
    result
        .map_err(|error| {
            let is_hang = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!is_hang, "neither an answer nor an end of {what}: {error}");
        })
        .ok()
}

fn read_answer(stream: &mut TcpStream) -> io::Result<Outcome> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(answer) = whole(&bytes) {
            return Ok(answer);
        }
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

fn whole(bytes: &[u8]) -> Option<Outcome> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).expect("a well-formed head");
    let httparse::Status::Complete(head) = parsed else {
        return None;
    };
    let is_length =
        |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case("content-length");
    let length = response.headers.iter().find(is_length);
    let length = std::str::from_utf8(length.expect("a framed body").value).unwrap();
    let body = bytes[head..].get(..length.parse().unwrap())?;
    Some(Outcome::Answered {
        status: response.code?,
        body: String::from_utf8_lossy(body).into_owned(),
    })
}
