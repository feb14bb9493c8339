//! An HTTP/1.1 client that sends exactly what a test says and reads responses strictly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::PATIENCE;

/// A response as it came.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Field names in lower case with their values, in order.
    pub headers: Vec<(String, String)>,
    /// The body, as framed by `Content-Length` or chunks.
    pub body: Vec<u8>,
}

impl Response {
    /// The first field with this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// How many fields have this (lower-case) name.
    pub fn headers_named(&self, name: &str) -> usize {
        let named = |(field, _): &&(String, String)| field == name;
        self.headers.iter().filter(named).count()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON: {error}: {:?}", self.text()))
    }

    /// Whether the server says that it closes the connection.
    pub fn closes(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A connection to a server under test.
#[derive(Debug)]
pub struct Connection<S: Read + Write = TcpStream> {
    stream: BufReader<S>,
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    ///
    /// When the server does not take the connection.
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout above zero");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a timeout above zero");
        stream.set_nodelay(true).expect("an open socket");
        Self::over(stream)
    }

    /// The socket itself.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Ends our side; the server's can still be read.
    pub fn end_sending(&self) {
        let _ = self.socket().shutdown(Shutdown::Write);
    }
}

impl<S: Read + Write> Connection<S> {
    /// Takes a stream whose reads and writes end in time.
    pub fn over(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends bytes as they are. An error is not one here: the server may have closed already.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }

    /// Sends a well-formed request.
    pub fn send_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes);
    }

    /// Reads the response to a request with this method.
    ///
    /// # Panics
    ///
    /// When none comes in time, or not a whole and well-formed one.
    pub fn read_response(&mut self, method: &str) -> Response {
        self.try_read_response(method)
            .unwrap_or_else(|| panic!("the connection was closed"))
    }

    /// As [`read_response`](Self::read_response); `None` when the server has closed cleanly before
    /// the first byte.
    ///
    /// # Panics
    ///
    /// When a response is cut short or malformed, or none comes in time.
    pub fn try_read_response(&mut self, method: &str) -> Option<Response> {
        let status = self.status_line()?;
        let headers = self.headers();
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        let no_body = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        if !no_body {
            response.body = self.body(&response);
        }
        Some(response)
    }

    /// Reads until the server closes; an error after that counts as the end.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(
                line.strip_suffix("\r\n")
                    .expect("a line ends in CRLF")
                    .to_owned(),
            ),
            Err(error) => panic!("reading a line: {error}"),
        }
    }

    fn status_line(&mut self) -> Option<u16> {
        let line = self.line()?;
        let rest = line
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| line.strip_prefix("HTTP/1.0 "))
            .unwrap_or_else(|| panic!("not HTTP: {line:?}"));
        Some(rest[..3].parse().expect("three digits"))
    }

    fn headers(&mut self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        loop {
            let line = self.line().expect("a head that was cut short");
            if line.is_empty() {
                return headers;
            }
            let (name, value) = line.split_once(": ").expect("a field has a colon");
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    fn body(&mut self, response: &Response) -> Vec<u8> {
        if response.header("transfer-encoding").is_some() {
            return self.chunks();
        }
        let length = response.header("content-length").expect("a framed body");
        let mut body = vec![0; length.parse().expect("a length in digits")];
        self.stream.read_exact(&mut body).expect("a whole body");
        body
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = self.line().expect("a chunk's size");
            let size = usize::from_str_radix(&size, 16).expect("hex digits");
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).expect("a whole chunk");
            if size == 0 {
                return body;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
}
