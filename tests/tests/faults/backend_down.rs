//! A backend dies and comes back: clients are told at once, it is not hammered, and nobody has to do anything.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pontoon::bridge::BreakerState;
use pontoon::{Adapter, CallContext, Error, Location, Request, Response, blocking, on_pool};
use pontoon_tests::client::Response as Answer;
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::{Gate, OpensAtLast};
use pontoon_tests::problem::problem;

use crate::{Count, pool, server, stats};

/// A server that answers each line with itself. It can be killed, and started again on the same port.
struct Backend {
    address: SocketAddr,
    running: Option<RunningBackend>,
}

struct RunningBackend {
    ends: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    acceptor: JoinHandle<()>,
}

impl Backend {
    /// On an address of its own: while it is down, no other socket of the system gets its port.
    fn start(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let running = Some(RunningBackend::start(listener));
        Self { address, running }
    }

    /// Its connections break, and there is nobody at its port any more.
    fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            // SeqCst: a test's own flag.
            running.ends.store(true, SeqCst);
            // Ends the acceptor's wait.
            let _ = TcpStream::connect(self.address);
            running.acceptor.join().expect("it does not panic");
            let mut connections = running.connections.lock().expect("nobody panicked");
            for connection in connections.drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }

    fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).expect("its own port");
        self.running = Some(RunningBackend::start(listener));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

impl RunningBackend {
    fn start(listener: TcpListener) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (stop, all) = (Arc::clone(&ends), Arc::clone(&connections));
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming() {
                // SeqCst: as in `kill`.
                if stop.load(SeqCst) {
                    return;
                }
                let stream = stream.expect("a connection");
                let kept = stream.try_clone().expect("a descriptor");
                all.lock().expect("nobody panicked").push(kept);
                thread::spawn(move || answer(stream));
            }
        });
        Self {
            ends,
            connections,
            acceptor,
        }
    }
}

fn answer(stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
        if reader.get_mut().write_all(line.as_bytes()).is_err() {
            return;
        }
        line.clear();
    }
}

/// Asks the backend, and counts who tries to reach it.
struct Lines {
    address: SocketAddr,
    tries: Arc<Count>,
}

impl Adapter for Lines {
    type Session = BufReader<TcpStream>;

    fn open(&self) -> Result<Self::Session, Error> {
        self.tries.add();
        let connected = TcpStream::connect(self.address);
        connected.map(BufReader::new).map_err(unreachable)
    }

    fn call(
        &self,
        session: &mut Self::Session,
        _: Request,
        _: &CallContext,
    ) -> Result<Response, Error> {
        let asked = session.get_mut().write_all(b"line\n");
        asked.map_err(unreachable)?;
        let mut line = String::new();
        match session.read_line(&mut line) {
            Ok(0) => Err(unreachable(ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(Response::text(line)),
            Err(error) => Err(unreachable(error)),
        }
    }
}

fn unreachable(error: std::io::Error) -> Error {
    Error::bad_gateway("the line server cannot be reached")
        .with_source(error)
        .breaking_session()
}

fn mounted(backend: &Backend, sessions_min: usize) -> (Fixture, Arc<Count>) {
    let tries = Arc::new(Count::default());
    let adapter = Lines {
        address: backend.address,
        tries: Arc::clone(&tries),
    };
    let server = server(1)
        .pool(pool(4, 64).sessions_min(sessions_min))
        .location("/line", on_pool("p", adapter));
    (Fixture::start(server), tries)
}

/// What a client gets while the backend is down: the one that was tried for a 502, the others a 503 that
/// says when to come again.
fn assert_down(answer: &Answer) {
    let detail = match answer.status {
        502 => problem(answer, 502),
        _ => {
            let wait = answer.header("retry-after").map(str::parse::<u64>);
            assert!(matches!(wait, Some(Ok(1..=30))), "{answer:?}");
            problem(answer, 503)
        }
    };
    assert!(
        !detail.contains("refused"),
        "the client learns no internals"
    );
}

#[test]
fn while_it_is_down_answers_come_at_once_and_when_it_is_back_it_is_found() {
    let mut backend = Backend::start("127.0.77.1");
    let (server, tries) = mounted(&backend, 0);
    for _ in 0..20 {
        assert_eq!(server.get("/line").text(), "line\n");
    }
    backend.kill();
    let before = tries.get();
    // All that was open breaks, and what is to be opened fails.
    eventually("the breaker opens", || {
        assert_down(&server.get("/line"));
        stats(&server, "p").breaker == BreakerState::Open
    });
    // Five in a row; a session more may have been there and broken in between.
    let opening = tries.get() - before;
    assert!((5..=8).contains(&opening), "{opening} tries");
    for _ in 0..300 {
        assert_down(&server.get("/line"));
    }
    // The breaker lets one try after one second at least, then after two, four and so on.
    let more = tries.get() - before - opening;
    assert!(more <= 5, "{more} more tries");
    backend.come_back();
    eventually("it is found", || server.get("/line").status == 200);
    eventually("the breaker closes", || {
        let _ = server.get("/line");
        stats(&server, "p").breaker == BreakerState::Closed
    });
    for _ in 0..20 {
        assert_eq!(server.get("/line").text(), "line\n");
    }
}

#[test]
fn a_server_starts_without_its_backend_and_is_warm_once_that_is_there() {
    let mut backend = Backend::start("127.0.77.2");
    backend.kill();
    let (server, tries) = mounted(&backend, 2);
    eventually("it is tried", || tries.get() >= 3);
    assert_down(&server.get("/line"));
    backend.come_back();
    eventually("two sessions are open, though nobody asked", || {
        stats(&server, "p").sessions == 2
    });
    eventually("clients are served", || server.get("/line").status == 200);
}

#[test]
fn a_call_that_was_stopped_because_its_client_left_says_nothing_of_the_backend() {
    let gate = Arc::new(Gate::default());
    let _opens = OpensAtLast(Arc::clone(&gate));
    let at_gate = Arc::clone(&gate);
    let fails = blocking("p", move |_| {
        at_gate.pass();
        Err(Error::bad_gateway("the connection was cut"))
    });
    let server = server(1).pool(pool(1, 8)).location("/", fails);
    let server = Fixture::start(server);
    let mut client = server.connect();
    client.send_request("GET", "/", &[], b"");
    gate.wait_for(1);
    drop(client);
    eventually("its client has left", || stats(&server, "p").cancelled == 1);
    gate.open();
    eventually("it ends", || stats(&server, "p").completed == 1);
    assert_eq!(stats(&server, "p").backend_failed, 0);
    assert_eq!(server.get("/").status, 502);
    assert_eq!(stats(&server, "p").backend_failed, 1);
}

#[test]
fn a_call_that_fails_after_its_deadline_was_failed_by_the_backend() {
    let gate = Arc::new(Gate::default());
    let _opens = OpensAtLast(Arc::clone(&gate));
    let at_gate = Arc::clone(&gate);
    let slow = blocking("p", move |_| {
        at_gate.pass();
        Err(Error::timed_out("the backend did not answer in time"))
    });
    let location = Location::new("/", slow).deadline(Duration::from_millis(50));
    let server = Fixture::start(server(1).pool(pool(1, 8)).route(location));
    assert_eq!(server.get("/").status, 504);
    gate.open();
    eventually("it ends", || stats(&server, "p").completed == 1);
    assert_eq!(stats(&server, "p").backend_failed, 1);
}

#[test]
fn a_call_that_fails_after_a_deadline_of_its_client_says_nothing_of_the_backend() {
    let gate = Arc::new(Gate::default());
    let _opens = OpensAtLast(Arc::clone(&gate));
    let at_gate = Arc::clone(&gate);
    let slow = blocking("p", move |_| {
        at_gate.pass();
        Err(Error::timed_out("the backend did not answer in time"))
    });
    let server = Fixture::start(server(1).pool(pool(1, 8)).location("/", slow));
    let mut client = server.connect();
    client.send_request("GET", "/", &[("X-Request-Timeout", "1")], b"");
    gate.wait_for(1);
    eventually("it is too late", || stats(&server, "p").expired == 1);
    gate.open();
    eventually("it ends", || stats(&server, "p").completed == 1);
    assert_eq!(stats(&server, "p").backend_failed, 0);
}
