//! What the log says of streams.

use crate::*;
use pontoon_tests::PATIENCE;
use std::io;
use std::sync::{Mutex, OnceLock};
use std::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

/// The lines of this test program's log, each a JSON object.
#[derive(Clone, Copy)]
struct Lines;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

fn listen() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| tracing_subscriber::fmt().json().with_writer(Lines).init());
}

/// The first line that is wanted, once it is there.
fn line(wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = String::from_utf8(LINES.lock().unwrap().clone()).unwrap();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        if let Some(line) = lines
            .map(|line: serde_json::Value| line["fields"].clone())
            .find(&wanted)
        {
            return line;
        }
        assert!(Instant::now() < until, "no such line in\n{text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn access(uri: &str) -> serde_json::Value {
    line(|fields| fields["uri"] == uri && fields["outcome"].is_string())
}

#[test]
fn the_access_log_has_the_bytes_that_went_and_how_the_stream_ended() {
    listen();
    let (library, _) = library(|session, _, call| {
        let what = call.param("what").unwrap();
        call.stream(head(), |body| {
            send_pattern(body, 100_000)?;
            body.flush()?;
            match what {
                "log-whole" => Ok(()),
                "log-fails" => {
                    let source = io::Error::other("the tape is torn");
                    Err(Error::internal("cannot read on").with_source(source))
                }
                "log-panics" => panic!("half-way"),
                _ => {
                    session.hangs_at.pass();
                    Ok(())
                }
            }
        })
    });
    let location = pontoon::Location::new("/{what}", library);
    let location = location.stream_timeout(Duration::from_millis(300));
    let server = Fixture::start(server().pool(pool(1)).route(location));
    for (what, outcome) in [
        ("log-whole", "completed"),
        ("log-fails", "failed"),
        ("log-panics", "failed"),
        ("log-hangs", "timed_out"),
    ] {
        let mut client = server.connect();
        client.send_request("GET", &format!("/{what}"), &[("Connection", "close")], b"");
        client.read_to_end();
        let fields = access(&format!("/{what}"));
        assert_eq!(fields["outcome"], outcome, "{fields}");
        assert_eq!(fields["bytes"], 100_000, "{fields}");
        assert_eq!(fields["status"], 200, "{fields}");
        assert_eq!(fields["location"], "/{what}", "{fields}");
        if outcome == "failed" {
            let id = fields["id"].as_u64();
            let warned = line(|fields| id.is_some() && fields["request"].as_u64() == id);
            let message = warned["message"].as_str().unwrap();
            assert!(message.contains("cut short"), "{warned}");
            let says = "cannot read on: the tape is torn";
            assert_eq!(message.contains(says), what == "log-fails", "{warned}");
        }
    }
    let mut leaves = server.connect();
    leaves.send_request("GET", "/log-leaves", &[], b"");
    leaves.socket().peek(&mut [0]).expect("it begins");
    drop(leaves);
    assert_eq!(access("/log-leaves")["outcome"], "cancelled");
}
