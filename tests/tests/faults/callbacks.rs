//! Libraries that call back: twice, inline, late, never, not at all, from many threads at once.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use pontoon::{
    CallContext, CallbackAdapter, Error, Location, Request, Response, ResponseCompleter, callback,
};
use pontoon_bridge::CompleterStats;
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;

use crate::{LOOPS, server};

const DEADLINE: Duration = Duration::from_millis(100);

fn answer(text: &str) -> Result<Response, Error> {
    Ok(Response::text(text))
}

/// A function as a callback library.
struct Library<F>(F);

impl<F: Fn(Request, ResponseCompleter) + Send + Sync + 'static> CallbackAdapter for Library<F> {
    fn submit(&self, request: Request, _: &CallContext, completer: ResponseCompleter) {
        (self.0)(request, completer);
    }
}

fn with_library(
    loops: usize,
    deadline: Duration,
    submit: impl Fn(Request, ResponseCompleter) + Send + Sync + 'static,
) -> Fixture {
    let location = Location::new("/", callback(Library(submit)))
        .deadline(deadline)
        .max_running(2);
    Fixture::start(server(loops).route(location))
}

#[test]
fn of_two_callbacks_the_first_counts() {
    let before = CompleterStats::read().repeated;
    let server = with_library(1, Duration::from_secs(60), |_, completer| {
        assert!(completer.complete(answer("first")));
        assert!(!completer.complete(answer("second")));
    });
    let mut client = server.connect();
    for _ in 0..10 {
        client.send_request("GET", "/", &[], b"");
        assert_eq!(client.read_response("GET").text(), "first");
    }
    assert!(CompleterStats::read().repeated >= before + 10);
}

#[test]
fn a_callback_from_within_submit_or_from_another_thread_is_an_answer() {
    for loops in LOOPS {
        let server = with_library(loops, Duration::from_secs(60), |request, completer| {
            if request.uri().query() == Some("inline") {
                completer.complete(answer("inline"));
            } else {
                thread::spawn(move || completer.complete(answer("elsewhere")));
            }
        });
        let mut client = server.connect();
        for _ in 0..20 {
            client
                .send(b"GET /?inline HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n");
            assert_eq!(client.read_response("GET").text(), "inline");
            assert_eq!(client.read_response("GET").text(), "elsewhere");
        }
    }
}

type Kept = Arc<Mutex<Vec<ResponseCompleter>>>;

/// A library that keeps its callbacks, except for requests that ask for an answer.
fn keeping(loops: usize) -> (Fixture, Kept) {
    let kept = Kept::default();
    let keep = Arc::clone(&kept);
    let server = with_library(loops, DEADLINE, move |request, completer| {
        if request.uri().query() == Some("answer") {
            completer.complete(answer("right"));
        } else {
            keep.lock().expect("no panic in here").push(completer);
        }
    });
    (server, kept)
}

#[test]
fn a_late_callback_is_counted_and_touches_nothing() {
    for loops in LOOPS {
        let (server, kept) = keeping(loops);
        let before = CompleterStats::read().late;
        let mut client = server.connect();
        client.send_request("GET", "/", &[], b"");
        assert_eq!(client.read_response("GET").status, 504);

        // The next request is under way on the same connection when the library calls back.
        client.send_request("GET", "/", &[], b"");
        eventually("the library has it", || {
            kept.lock().expect("no panic").len() == 2
        });
        let late = kept.lock().expect("no panic").remove(0);
        assert!(late.is_cancelled());
        assert!(!late.complete(answer("wrong")));
        drop(late);
        assert!(CompleterStats::read().late > before);
        kept.lock().expect("no panic").clear();
        assert_eq!(
            client.read_response("GET").status,
            500,
            "that one was dropped, in time"
        );

        client.send_request("GET", "/?answer", &[], b"");
        assert_eq!(client.read_response("GET").text(), "right");
    }
}

#[test]
fn a_callback_that_never_comes_is_a_504_and_holds_its_place() {
    for loops in LOOPS {
        let (server, kept) = keeping(loops);
        for _ in 0..2 {
            assert_eq!(server.get("/").status, 504);
        }
        let refused = server.get("/?answer");
        assert_eq!(refused.status, 503, "the library still has two calls");
        assert!(refused.header("retry-after").is_some());
        drop(kept.lock().expect("no panic").pop());
        assert_eq!(server.get("/?answer").status, 200);
        assert_eq!(server.get("/").status, 504);
        assert_eq!(server.get("/?answer").status, 503);
    }
}

#[test]
fn a_client_that_leaves_cancels_what_the_library_has() {
    let (server, kept) = keeping(1);
    let mut client = server.connect();
    client.send_request("GET", "/", &[], b"");
    eventually("the library has it", || {
        kept.lock().expect("no panic").len() == 1
    });
    client.reset();
    eventually("it is cancelled", || {
        kept.lock().expect("no panic")[0].is_cancelled()
    });
}

#[test]
fn a_dropped_callback_and_a_panic_in_submit_are_a_500_at_once() {
    let server = with_library(
        1,
        Duration::from_secs(60),
        |request, completer| match request.uri().query() {
            Some("panic") => panic!("the library panics in submit, as it was told to"),
            Some("drop") => drop(completer),
            _ => drop(thread::spawn(move || drop(completer))),
        },
    );
    let mut client = server.connect();
    for target in ["/?drop", "/?panic", "/?thread", "/?drop"] {
        client.send_request("GET", target, &[], b"");
        assert_eq!(client.read_response("GET").status, 500, "{target}");
    }
}

#[test]
fn of_many_threads_that_complete_at_once_one_wins() {
    const THREADS: usize = 8;
    for loops in LOOPS {
        let server = with_library(loops, Duration::from_secs(60), |_, completer| {
            let completer = Arc::new(completer);
            let wins = Arc::new(crate::Count::default());
            for _ in 0..THREADS {
                let (completer, wins) = (Arc::clone(&completer), Arc::clone(&wins));
                thread::spawn(move || {
                    if completer.complete(answer("one of them")) {
                        assert_eq!(wins.add(), 1, "two have won");
                    }
                });
            }
        });
        let mut client = server.connect();
        for _ in 0..50 {
            client.send_request("GET", "/", &[], b"");
            let response = client.read_response("GET");
            // The threads before may still hold their places.
            assert!(matches!(response.status, 200 | 503), "{}", response.status);
        }
    }
}
