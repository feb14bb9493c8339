//! Responses whose bodies are produced while they are sent: whole, cut, slow, left behind.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod cut;
mod gone;
mod kinds;
mod log;
mod stopping;
mod stress;
mod whole;

use pontoon::{
    Adapter, BodySink, CallContext, Error, Interrupt, PoolBuilder, Request, Response, Server,
    on_pool,
};
use pontoon_bridge::{Pool, PoolStats};
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::Gate;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Far more than a stream's buffer and the sockets of both ends hold.
const LARGE_BYTES: usize = 32 << 20;

fn server() -> Server {
    Server::new()
        .loops(2)
        .configure(|config| config.shutdown_timeout = Duration::from_secs(2))
}

fn pool(threads: usize) -> PoolBuilder {
    // Streams hold their workers for as long as their clients like: others wait, and are not shed.
    Pool::named("p").threads(threads).codel(None)
}

fn stats(server: &Fixture) -> PoolStats {
    server.running().pool_stats("p").expect("a pool `p`")
}

fn wait_in_flight(server: &Fixture, calls: usize) {
    eventually("so many calls are inside", || {
        stats(server).in_flight == calls
    });
}

/// What a worker keeps: which one it is, and a gate at which its library hangs until it is interrupted.
struct Session {
    number: usize,
    hangs_at: Arc<Gate>,
}

/// A library that is whatever a test needs.
struct Library<F> {
    call: F,
    opened: AtomicUsize,
    interrupts: Arc<AtomicUsize>,
}

impl<F> Adapter for Library<F>
where
    F: Fn(&mut Session, &Request, &CallContext) -> Result<Response, Error> + Send + Sync + 'static,
{
    type Session = Session;

    fn open(&self) -> Result<Session, Error> {
        Ok(Session {
            number: self.opened.fetch_add(1, SeqCst),
            hangs_at: Arc::default(),
        })
    }

    fn call(
        &self,
        session: &mut Session,
        request: Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        (self.call)(session, &request, call)
    }

    fn interrupter(&self, session: &Session) -> Option<Box<dyn Interrupt>> {
        let (gate, interrupts) = (Arc::clone(&session.hangs_at), Arc::clone(&self.interrupts));
        Some(Box::new(Opens(gate, interrupts)))
    }
}

struct Opens(Arc<Gate>, Arc<AtomicUsize>);

impl Interrupt for Opens {
    fn interrupt(&self) {
        self.1.fetch_add(1, SeqCst);
        self.0.open();
    }
}

/// A library on the pool `p`, and how often it was interrupted.
fn library<F>(call: F) -> (pontoon::Mountable, Arc<AtomicUsize>)
where
    F: Fn(&mut Session, &Request, &CallContext) -> Result<Response, Error> + Send + Sync + 'static,
{
    let interrupts = Arc::new(AtomicUsize::new(0));
    let library = Library {
        call,
        opened: AtomicUsize::new(0),
        interrupts: Arc::clone(&interrupts),
    };
    (on_pool("p", library), interrupts)
}

/// A server whose `/stream` is answered by this library, and which session a call runs in by `/session`.
fn streaming<F>(threads: usize, call: F) -> (Fixture, Arc<AtomicUsize>)
where
    F: Fn(&mut Session, &Request, &CallContext) -> Result<Response, Error> + Send + Sync + 'static,
{
    let (library, interrupts) = library(move |session, request, context| {
        if request.uri().path() == "/session" {
            return Ok(Response::text(session.number.to_string()));
        }
        call(session, request, context)
    });
    let server = server().pool(pool(threads)).location("/{what}", library);
    (Fixture::start(server), interrupts)
}

/// Bytes that tell where they stand.
fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}

fn patterned(bytes: usize) -> Vec<u8> {
    (0..bytes).map(pattern).collect()
}

/// Sends so many of them in pieces of all sizes.
fn send_pattern(body: &mut BodySink, bytes: usize) -> Result<(), Error> {
    let piece = patterned(251 * 300);
    let mut sent = 0;
    while sent < bytes {
        let from = sent % 251;
        let size = (1 + sent * 7 % 50_000).min(bytes - sent);
        body.send(&piece[from..from + size])?;
        sent += size;
    }
    Ok(())
}

/// The head of a response of no particular kind.
fn head() -> Response {
    Response::bytes("application/octet-stream".parse().unwrap(), "")
}
