//! An HTTP server in a few lines that does with each request what its test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::test_support::PATIENCE;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The request line and the headers, each on a line, names in lower case.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    /// Which connection it came on, counted from 1.
    pub(super) connection: usize,
}

impl Asked {
    /// The method and the target.
    pub(super) fn line(&self) -> &str {
        let line = self.head.lines().next().unwrap();
        line.strip_suffix(" HTTP/1.1").unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The listener and what it has seen.
pub(super) struct Upstream {
    address: SocketAddr,
    asked: Mutex<Receiver<Asked>>,
    ended: Mutex<Receiver<usize>>,
}

impl Upstream {
    /// Answers each request so; the connection is closed when that says `false`, or the client closes.
    pub(super) fn new(
        answer: impl Fn(&Asked, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell_asked, asked) = channel();
        let (tell_ended, ended) = channel();
        let answer = Arc::new(answer);
        // It ends with the process: who waits in `accept` cannot be told to stop.
        thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let (tell_asked, tell_ended) = (tell_asked.clone(), tell_ended.clone());
                let answer = Arc::clone(&answer);
                thread::spawn(move || {
                    serve(stream, number + 1, &tell_asked, &*answer);
                    let _ = tell_ended.send(number + 1);
                });
            }
        });
        Self {
            address,
            asked: Mutex::new(asked),
            ended: Mutex::new(ended),
        }
    }

    /// Answers each request with the same bytes and keeps the connection.
    pub(super) fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |_, stream| stream.write_all(&answer).is_ok())
    }

    /// Sends these bytes, and nothing more, and closes the connection.
    pub(super) fn breaking_off_after(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |_, stream| {
            let _ = stream.write_all(&answer);
            false
        })
    }

    /// Sends these bytes, and then nothing until the client leaves.
    pub(super) fn hanging_after(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |_, stream| {
            let _ = stream.write_all(&answer);
            let _ = stream.read(&mut [0]);
            false
        })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request that came.
    pub(super) fn asked(&self) -> Asked {
        self.asked
            .lock()
            .unwrap()
            .recv_timeout(PATIENCE)
            .expect("a request")
    }

    /// Waits until a connection has ended.
    pub(super) fn wait_for_an_end(&self) {
        self.ended
            .lock()
            .unwrap()
            .recv_timeout(PATIENCE)
            .expect("the end of a connection");
    }

    pub(super) fn was_asked_nothing(&self) -> bool {
        self.asked.lock().unwrap().try_recv().is_err()
    }
}

/// A whole answer with this body.
pub(super) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn serve(
    stream: TcpStream,
    connection: usize,
    tell: &Sender<Asked>,
    answer: &dyn Fn(&Asked, &mut TcpStream) -> bool,
) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader, connection) {
        let _ = tell.send(asked.clone());
        if !answer(&asked, &mut writer) {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<Asked> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.strip_suffix("\r\n").expect("a line ends in CRLF");
        match line.split_once(':') {
            _ if line.is_empty() => break,
            Some((name, value)) if !head.is_empty() => {
                head += &format!("{}:{value}\n", name.to_ascii_lowercase());
            }
            _ => head += &format!("{line}\n"),
        }
    }
    let mut asked = Asked {
        head,
        body: Vec::new(),
        connection,
    };
    let length = asked
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body).ok()?;
    Some(asked)
}
