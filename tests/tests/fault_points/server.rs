//! The whole server on loopback: it starts, or says why not and leaves nothing running; it reloads, or goes on
//! as it was; each request has an outcome that its client sees; and it stops in time.

use crate::case::Case;
use crate::client::{Client, Outcome};
use pontoon::adapters::registry::Registry;
use pontoon::config::{Config, ListenAddress};
use pontoon::{
    CallContext, CallbackAdapter, Error, Request, Response, ResponseCompleter, Running, Server,
    ServerError, Spin, blocking, callback, event_loop, handler,
};
use pontoon_bridge::Pool;
use pontoon_bridge::faults::{Faults, Lasts};
use std::net::SocketAddr;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a stop may take.
const STOP: Duration = Duration::from_secs(10);
/// While faults last for good, a connection that is never accepted waits for the stop. So long everybody
/// else has before it.
const PATIENCE_FOR_GOOD: Duration = Duration::from_millis(40);

pub fn workload(case: &Case, faults: &Faults, database: &Path) {
    let running = match start(database) {
        Ok(running) => running,
        Err(error) => return names_what_happened(&error),
    };
    let clients = clients(&running);
    let reloaded = running.reload(described(database));
    let reload_failed = reloaded.inspect_err(names_what_happened).is_err();
    if case.lasts == Lasts::ForGood {
        let until = Instant::now() + PATIENCE_FOR_GOOD;
        while Instant::now() < until && !clients.iter().all(JoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(1));
        }
    } else {
        while !clients.iter().all(JoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let begin = Instant::now();
    let report = running.stop();
    assert!(begin.elapsed() < STOP, "{report:?}");
    assert_eq!(report.loops_stuck, 0, "{report:?}");
    assert!(report.stuck.is_empty(), "{report:?}");
    let harmed: usize = clients
        .into_iter()
        .map(|client| client.join().expect("a client that has its outcomes"))
        .sum();
    if case.lasts == Lasts::Once {
        // It is met by one connection, or by the reload, and costs no more than that.
        let injected = faults.report().injected;
        assert!(
            harmed as u64 + u64::from(reload_failed) <= injected,
            "{injected} met, {harmed} harmed, reload failed: {reload_failed}"
        );
    }
}

pub fn start(database: &Path) -> Result<Running, ServerError> {
    described(database).start()
}

fn described(database: &Path) -> Server {
    let config = format!(
        "listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\n\
         [pool.db]\nthreads = 1\n\
         [[location]]\npath = '/db/{{n}}'\nadapter = 'sqlite'\npool = 'db'\n\
         database = {database:?}\nquery = 'SELECT CAST(:n AS INTEGER) + 1 AS sum'\nformat = 'object'\n"
    );
    let config = Config::parse(&config, "faults.toml", &Registry::builtin())
        .unwrap_or_else(|error| panic!("{}", error.render(false)));
    Server::from_config(config)
        .loops(2)
        .spin(Spin::Off)
        .configure(|config| config.shutdown_timeout = STOP / 2)
        .pool(Pool::named("p").threads(2).max_stuck(0).spin(Spin::Off))
        .location("/pool", blocking("p", echo))
        .location("/callback", callback(CallsBack))
        .location(
            "/loop",
            handler(|_, _| async {
                event_loop::sleep(Duration::from_millis(1)).await;
                Ok(Response::text("slept"))
            }),
        )
}

#[allow(clippy::unnecessary_wraps, reason = "what a location wants")]
fn echo(request: Request) -> Result<Response, Error> {
    Ok(Response::text(
        String::from_utf8_lossy(request.body()).into_owned(),
    ))
}

/// A library that calls back from a thread of its own.
struct CallsBack;

impl CallbackAdapter for CallsBack {
    fn submit(&self, _: Request, _: &CallContext, completer: ResponseCompleter) {
        thread::spawn(move || completer.complete(Ok(Response::text("called back"))));
    }
}

fn names_what_happened(error: &ServerError) {
    let text = error.to_string();
    let named = ["event loop ", "pool `", "cannot listen", "the old pools"];
    let is_named = named.iter().any(|part| text.contains(part));
    let is_told = text.contains("os error");
    assert!(is_named && is_told, "where and what happened: {text}");
}

/// A request, and what its answer says.
type Asked = (&'static str, &'static str, &'static str, &'static str);

const ON_THE_LOOP: Asked = ("GET", "/loop", "", "slept");
const CALLED_BACK: Asked = ("GET", "/callback", "", "called back");
const IN_THE_DATABASE: Asked = ("GET", "/db/41", "", "{\"sum\":42}");
const ALIVE: Asked = ("GET", "/livez", "", "\"live\":true");

/// Takes several reads and writes.
const LONG: &str = match std::str::from_utf8(&[b'x'; 300_000]) {
    Ok(text) => text,
    Err(_) => panic!("it is text"),
};

const fn on_a_worker(body: &'static str) -> Asked {
    ("POST", "/pool", body, body)
}

/// Clients under way; each gives how many of its connections did not get all that they asked for.
fn clients(running: &Running) -> Vec<JoinHandle<usize>> {
    let address = running.local_addr().unwrap();
    let Some(&ListenAddress::Tcp(admin)) = running.admin_address() else {
        panic!("an admin listener on a port");
    };
    vec![
        // One that keeps its connection.
        thread::spawn(move || {
            let asked = [ON_THE_LOOP, on_a_worker("one"), CALLED_BACK];
            harm(address, &[&asked[..], &[on_a_worker(LONG)]].concat())
        }),
        // One that takes a new one each time.
        thread::spawn(move || {
            let asked = [on_a_worker("a new one"), IN_THE_DATABASE, CALLED_BACK];
            asked.iter().map(|asked| harm(address, &[*asked])).sum()
        }),
        // One that leaves.
        thread::spawn(move || {
            Client::connect(address).send("POST", "/pool", "in vain");
            0
        }),
        // And one in the middle of what it sends.
        thread::spawn(move || {
            Client::connect(address).send_half("POST", "/pool", LONG);
            0
        }),
        thread::spawn(move || harm(admin, &[ALIVE])),
    ]
}

/// Asks over one connection; 1 if anything else came than what was asked for.
fn harm(address: SocketAddr, requests: &[Asked]) -> usize {
    let mut client = Client::connect(address);
    let mut is_harmed = false;
    for &(method, target, body, wanted) in requests {
        let outcome = client.ask(method, target, body);
        let is_good = match &outcome {
            Outcome::Answered { status: 200, body } => {
                assert!(body.contains(wanted), "{target}: {outcome:?}");
                true
            }
            Outcome::Answered { status, .. } => {
                // A body that could not be read, a session that could not be opened, a server that stops.
                assert!(matches!(status, 400 | 502 | 503), "{target}: {outcome:?}");
                false
            }
            Outcome::Closed => false,
        };
        is_harmed |= !is_good;
    }
    usize::from(is_harmed)
}
