//! A happy path for each kind of adapter, over a real socket; SQLite has a file of its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pontoon::{
    CallContext, CallbackAdapter, Error, LoopAdapter, Pool, Request, Response, ResponseCompleter,
    Server, blocking, blocking_with, callback, handler, on_loop,
};
use pontoon_tests::PATIENCE;
use pontoon_tests::client::Connection;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::gate;
use pontoon_tests::problem::problem;
use pontoon_tests::wait::eventually;

const POOL: &str = "[pool.p]\nthreads = 2\n";

fn location(path: &str, adapter: &str, rest: &str) -> String {
    format!("[[location]]\npath = \"{path}\"\nadapter = \"{adapter}\"\n{rest}\n")
}

#[test]
fn echo_answers_what_it_was_sent() {
    let server = Fixture::from_toml(&format!("{POOL}{}", location("/e", "echo", "pool = 'p'")));
    let response = server.request("POST", "/e", &[("Content-Type", "text/plain")], b"hello");
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert_eq!(response.header("content-type"), Some("text/plain"));
    assert_eq!(server.get("/e?a=%20b").text(), "GET /e?a=%20b\n");
}

#[test]
fn sleep_takes_its_time_and_its_cpu() {
    let text = format!(
        "{POOL}{}{}",
        location(
            "/slow",
            "sleep",
            "pool = 'p'\nduration = '20ms'\nserver_timing = true"
        ),
        location(
            "/busy",
            "sleep",
            "pool = 'p'\nburn = '20ms'\nbody = 'done'\nserver_timing = true"
        ),
    );
    let server = Fixture::from_toml(&text);
    let slow = server.get("/slow");
    assert_eq!(slow.text(), "slept 20 ms\n");
    let busy = server.get("/busy");
    assert_eq!(busy.text(), "done");
    for response in [slow, busy] {
        assert!(call_ms(response.header("server-timing").unwrap()) >= 20.0);
    }
}

/// The `call` of a `Server-Timing` with our three parts, in milliseconds.
fn call_ms(header: &str) -> f64 {
    let parts: Vec<(&str, f64)> = header
        .split(", ")
        .map(|part| part.split_once(";dur=").expect("a name and a duration"))
        .map(|(name, ms)| (name, ms.parse().expect("a number")))
        .collect();
    let names: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["queue", "call", "wake"], "{header}");
    parts[1].1
}

#[test]
fn a_request_chooses_how_long_to_sleep_up_to_the_maximum() {
    let text = format!(
        "{POOL}{}{}",
        location(
            "/s",
            "sleep",
            "pool = 'p'\nmax = '50ms'\nduration = '10day'"
        ),
        location("/fixed", "sleep", "pool = 'p'"),
    );
    let server = Fixture::from_toml(&text);
    assert_eq!(server.get("/s?ms=3").text(), "slept 3 ms\n");
    assert!(problem(&server.get("/s?ms=51"), 400).contains("50 ms at most"));
    assert!(problem(&server.get("/s?ms=soon"), 400).contains("whole number"));
    assert!(problem(&server.get("/s?ms=-1"), 400).contains("whole number"));
    assert!(problem(&server.get("/fixed?ms=1"), 400).contains("`max`"));
}

#[test]
fn a_callback_library_answers_whether_it_calls_once_twice_or_inline() {
    let behave = |name| {
        let rest = format!("misbehave = '{name}'\ndelay = '1ms'");
        location(&format!("/{name}"), "callback", &rest)
    };
    let text = ["none", "twice", "inline"].map(behave).concat();
    let server = Fixture::from_toml(&text);
    for path in ["/none", "/twice", "/inline"] {
        assert_eq!(server.get(path).text(), "called back\n", "{path}");
        let json = [("Content-Type", "application/json")];
        let response = server.request("POST", path, &json, b"{}");
        assert_eq!((response.status, response.text().as_str()), (200, "{}"));
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
}

#[test]
fn a_blocking_function_gets_the_whole_request() {
    let server = Server::new()
        .pool(Pool::named("p").threads(1))
        .location(
            "/upper",
            blocking("p", |request: Request| {
                let text = String::from_utf8_lossy(request.body()).to_uppercase();
                Ok(Response::text(format!("{} {text}", request.uri())))
            }),
        )
        .location(
            "/hello/{name}",
            blocking_with("p", |_: Request, call: &CallContext| {
                let left = call.remaining().is_some_and(|left| left < PATIENCE);
                let name = call.param("name").unwrap_or("nobody");
                Ok(Response::text(format!("{name} {left}")))
            }),
        );
    let server = Fixture::start(server);
    let response = server.request("POST", "/upper?x", &[], b"quiet");
    assert_eq!(response.text(), "/upper?x QUIET");
    assert_eq!(server.get("/hello/A%20da").text(), "A da true");
}

/// Calls back from a thread of its own with the text in upper case.
struct Upper;

impl CallbackAdapter for Upper {
    fn submit(&self, request: Request, _: &CallContext, completer: ResponseCompleter) {
        thread::spawn(move || {
            let text = String::from_utf8_lossy(request.body()).to_uppercase();
            completer.complete(Ok(Response::text(text)));
        });
    }
}

/// Counts the requests of its loop.
#[derive(Default)]
struct Count(std::cell::Cell<u32>);

impl LoopAdapter for Count {
    async fn call(&self, _: Request, _: &CallContext) -> Result<Response, Error> {
        self.0.set(self.0.get() + 1);
        pontoon::event_loop::sleep(Duration::from_millis(1)).await;
        Ok(Response::text(self.0.get().to_string()))
    }
}

#[test]
fn adapters_of_the_programs_own_are_mounted_like_any_other() {
    let server = Server::new()
        .loops(1)
        .location("/upper", callback(Upper))
        .location("/count", on_loop(Count::default));
    let server = Fixture::start(server);
    assert_eq!(server.request("POST", "/upper", &[], b"x").text(), "X");
    let counts = [server.get("/count").text(), server.get("/count").text()];
    assert_eq!(counts, ["1", "2"]);
}

/// A library that calls back with a number.
fn ask_library(number: u64) -> pontoon::bridge::Call<u64> {
    let (call, completer) = pontoon::bridge::call();
    thread::spawn(move || completer.complete(number));
    call
}

fn failed(error: pontoon::bridge::CallError) -> Error {
    Error::internal("a call failed").with_source(error)
}

#[test]
fn a_handler_makes_calls_of_two_pools_and_a_callback_library_in_a_row() {
    let one = Pool::named("one").threads(1).build().unwrap();
    let two = Pool::named("two").threads(1).build().unwrap();
    let sum = handler(move |_, call: CallContext| {
        let (one, two) = (one.clone(), two.clone());
        async move {
            let deadline = call.deadline().expect("every location has a deadline");
            let first = one.call(|()| 1_u64).deadline_at(deadline).await;
            let first = first.map_err(failed)?;
            let second = two.call(move |()| first + 10).deadline_at(deadline).await;
            let second = second.map_err(failed)?;
            let third = ask_library(second + 100).await.map_err(failed)?;
            Ok(Response::text(third.to_string()))
        }
    });
    let server = Fixture::start(Server::new().location("/sum", sum));
    assert_eq!(server.get("/sum").text(), "111");
}

/// Neither call could end if the other were not under way as well.
#[test]
fn a_handler_makes_calls_of_two_pools_at_once() {
    let one = Pool::named("one").threads(1).build().unwrap();
    let two = Pool::named("two").threads(1).build().unwrap();
    let meet = handler(move |_, _: CallContext| {
        let (one, two) = (one.clone(), two.clone());
        async move {
            let barrier = Arc::new(std::sync::Barrier::new(2));
            let other = Arc::clone(&barrier);
            let first = one.call(move |()| barrier.wait().is_leader()).submit();
            let second = two.call(move |()| other.wait().is_leader()).submit();
            let third = ask_library(7);
            let first = first.await.map_err(failed)?;
            let second = second.await.map_err(failed)?;
            let third = third.await.map_err(failed)?;
            Ok(Response::text(format!("{} {third}", first ^ second)))
        }
    });
    let server = Fixture::start(Server::new().location("/meet", meet));
    assert_eq!(server.get("/meet").text(), "true 7");
}

#[test]
fn a_handlers_queued_call_never_runs_once_the_client_left() {
    let pool = Pool::named("p").threads(1).build().unwrap();
    let (gate, door) = gate();
    let ran = Arc::new(AtomicU64::new(0));
    let (calls, counter) = (pool.clone(), Arc::clone(&ran));
    let count = handler(move |_, _: CallContext| {
        let (pool, counter) = (calls.clone(), Arc::clone(&counter));
        async move {
            // Relaxed: the test reads it after the pool has ended.
            let call = pool.call(move |()| counter.fetch_add(1, Ordering::Relaxed));
            call.await.map_err(failed)?;
            Ok(Response::text(""))
        }
    });
    let server = Fixture::start(Server::new().location("/count", count));
    let held = pool.call(move |()| door.pass()).submit();
    gate.wait_for(1);
    let mut client = server.connect();
    client.send_request("GET", "/count", &[], b"");
    eventually("the call is queued", || pool.stats().in_flight == 2);
    drop(client);
    eventually("the call is gone", || pool.stats().cancelled == 1);
    gate.open();
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
    drop(held);
    // Relaxed: the pool has ended.
    assert_eq!(ran.load(Ordering::Relaxed), 0);
}

#[test]
fn a_unix_socket_is_served_like_a_port() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pontoon.sock");
    let server = Server::new()
        .pool(Pool::named("p").threads(1))
        .location("/", blocking("p", |_| Ok(Response::text("hello"))))
        .listen(format!("unix:{}", path.display()))
        .start()
        .unwrap();
    assert_eq!(
        server.address().to_string(),
        format!("unix:{}", path.display())
    );
    let stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connection = Connection::over(stream);
    for _ in 0..2 {
        connection.send_request("GET", "/", &[], b"");
        assert_eq!(connection.read_response("GET").text(), "hello");
    }
    let begin = Instant::now();
    assert_eq!(server.stop().connections_cut, 0);
    assert!(begin.elapsed() < PATIENCE);
    assert!(!path.exists(), "the socket's file is removed");
}

#[test]
fn the_socket_file_of_a_server_that_died_is_taken_over_and_that_of_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pontoon.sock");
    let start = || {
        let location = handler(|_, _| async { Ok(Response::text("")) });
        let address = format!("unix:{}", path.display());
        Server::new()
            .location("/", location)
            .listen(address)
            .start()
    };
    // Dropping a listener leaves its file behind, as a crash does.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = start().unwrap();
    let error = start().unwrap_err().to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert!(error.contains("another program listens there"), "{error}");
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let _ = server.stop();
}
