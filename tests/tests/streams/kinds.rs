//! Streams that no worker produces: tasks of the loop, and libraries with threads of their own.

use crate::*;
use bytes::Bytes;
use futures_lite::{Stream, StreamExt, stream};
use pontoon::event_loop::sleep;
use pontoon::{CallbackAdapter, Location, ResponseCompleter, callback, handler};
use pontoon_tests::PATIENCE;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

/// So many events, each after a moment on the loop; it need not be `Send`.
fn events(count: u32) -> impl Stream<Item = Result<Bytes, Error>> + 'static {
    let sent = Rc::new(Cell::new(0));
    stream::unfold(sent, move |sent| async move {
        let number = sent.get();
        sent.set(number + 1);
        sleep(Duration::from_millis(1)).await;
        let event = Bytes::from(format!("data: {number}\n\n"));
        (number < count).then_some((Ok(event), sent))
    })
}

fn event_stream(events: impl Stream<Item = Result<Bytes, Error>> + 'static) -> Response {
    Response::from_stream("text/event-stream".parse().unwrap(), events)
}

#[test]
fn a_handler_streams_events_and_the_connection_serves_on() {
    let server = server().location(
        "/events",
        handler(|_, _| async { Ok(event_stream(events(20))) }),
    );
    let server = Fixture::start(server);
    let mut client = server.connect();
    for _ in 0..2 {
        client.send_request("GET", "/events", &[], b"");
        let response = client.read_response("GET");
        assert_eq!(response.header("content-type"), Some("text/event-stream"));
        let expected: String = (0..20)
            .map(|number| format!("data: {number}\n\n"))
            .collect();
        assert_eq!(response.text(), expected);
    }
}

/// Tells when it is dropped.
struct Told(mpsc::Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_stream_of_the_loop_ends_with_its_client_and_holds_its_place_until_then() {
    let (tells, told) = mpsc::channel();
    let tells = std::sync::Mutex::new(tells);
    let handler = handler(move |_, _| {
        let told = Told(tells.lock().unwrap().clone());
        async move {
            let endless = events(u32::MAX).map(move |event| {
                let _ = &told;
                event
            });
            Ok(event_stream(endless))
        }
    });
    let location = Location::new("/events", handler).max_running(1);
    let server = Fixture::start(server().route(location));
    let mut client = server.connect();
    client.send_request("GET", "/events", &[], b"");
    client.socket().peek(&mut [0]).expect("it begins");
    assert_eq!(server.get("/events").status, 503);
    drop(client);
    told.recv_timeout(PATIENCE).expect("the stream is dropped");
    eventually("its place is free", || {
        let mut client = server.connect();
        client.send_request("GET", "/events", &[], b"");
        let mut start = [0; 12];
        std::io::Read::read_exact(&mut client.socket(), &mut start).expect("an answer");
        &start == b"HTTP/1.1 200"
    });
}

/// A library that answers from a thread of its own, part by part.
struct Parts;

impl CallbackAdapter for Parts {
    fn submit(&self, _: Request, _: &CallContext, completer: ResponseCompleter) {
        thread::spawn(move || {
            let (mut body, response) = Response::channel("text/plain".parse().unwrap());
            completer.complete(Ok(response));
            if send_pattern(&mut body, LARGE_BYTES).is_ok() {
                body.finish().unwrap();
            }
        });
    }
}

#[test]
fn a_library_with_threads_of_its_own_streams_with_backpressure() {
    let server = Fixture::start(server().location("/parts", callback(Parts)));
    let mut client = server.connect();
    for _ in 0..2 {
        client.send_request("GET", "/parts", &[], b"");
        assert!(client.read_response("GET").body == patterned(LARGE_BYTES));
    }
}

/// Without a worker nobody can produce it: an error, not a hang.
#[test]
fn a_handler_cannot_have_a_worker_produce_its_body() {
    let handler = handler(|_, _| async {
        Ok(Response::from_reader(
            "text/plain".parse().unwrap(),
            &b"text"[..],
        ))
    });
    let server = Fixture::start(server().location("/read", handler));
    let detail = pontoon_tests::problem::problem(&server.get("/read"), 500);
    assert!(detail.contains("no worker"), "{detail}");
}
