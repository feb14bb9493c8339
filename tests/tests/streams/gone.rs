//! Clients that leave in the middle, or do not read: the producer learns it wherever it is.

use crate::*;
use pontoon_tests::PATIENCE;
use pontoon_tests::client::Connection;
use pontoon_tests::gate::gate;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};

const LIMIT: Duration = Duration::from_millis(300);

/// How a producer ended.
type Ended = Receiver<Result<(), String>>;

/// A server whose `/endless` sends without end, and whose `/hangs` hangs in its library, after a first part.
fn producers(configure: impl FnOnce(Server) -> Server) -> (Fixture, Arc<AtomicUsize>, Ended) {
    let (tells, ended) = mpsc::channel();
    let tells = Mutex::new(tells);
    let (library, interrupts) = library(move |session, _, call| {
        let what = call.param("what").unwrap();
        if what == "session" {
            return Ok(Response::text(session.number.to_string()));
        }
        let result = call.stream(head(), |body| {
            if what == "endless" {
                loop {
                    body.send([0; 10_000])?;
                }
            }
            body.send("first")?;
            body.flush()?;
            session.hangs_at.pass();
            match call.is_cancelled() {
                true => Err(Error::unavailable("the library was interrupted")),
                false => Ok(()),
            }
        });
        let said = result.as_ref().map(drop).map_err(|error| error.to_string());
        tells.lock().unwrap().send(said).unwrap();
        result
    });
    let location = pontoon::Location::new("/{what}", library);
    let server = server().pool(pool(1)).configure(|config| {
        config.send_timeout = LIMIT;
        config.min_send_rate = 1;
    });
    let server = configure(server.route(location.stream_timeout(PATIENCE * 10)));
    (Fixture::start(server), interrupts, ended)
}

fn same(server: Server) -> Server {
    server
}

/// Asks, and reads the beginning of the answer.
fn begin(server: &Fixture, target: &str) -> Connection {
    use std::io::Read;
    let mut client = server.connect();
    client.send_request("GET", target, &[], b"");
    let mut socket = client.socket();
    let mut head = [0; 12];
    socket.read_exact(&mut head).expect("a head");
    assert_eq!(&head, b"HTTP/1.1 200");
    client
}

#[test]
fn a_producer_that_waits_for_its_client_learns_that_it_left() {
    let (server, _, ended) = producers(same);
    for round in 0..3 {
        let client = begin(&server, "/endless");
        assert_eq!(stats(&server).in_flight, 1);
        drop(client);
        let said = ended.recv_timeout(PATIENCE).expect("it ends");
        assert!(said.unwrap_err().contains("nobody reads"), "round {round}");
        wait_in_flight(&server, 0);
        let session = server.get("/session").text();
        assert_eq!(session, (round + 1).to_string(), "a new one, each time");
    }
}

#[test]
fn a_producer_that_hangs_in_its_library_is_interrupted() {
    let (server, interrupts, ended) = producers(same);
    for round in 1..=3 {
        let client = begin(&server, "/hangs");
        assert_eq!(interrupts.load(SeqCst), round - 1);
        client.reset();
        let said = ended.recv_timeout(PATIENCE).expect("it ends");
        assert!(said.unwrap_err().contains("interrupted"));
        wait_in_flight(&server, 0);
        assert_eq!(interrupts.load(SeqCst), round);
        assert_eq!(server.get("/session").text(), round.to_string());
    }
}

#[test]
fn a_client_that_does_not_read_loses_its_stream_and_the_worker_is_free() {
    let (server, interrupts, ended) = producers(same);
    let client = begin(&server, "/endless");
    let said = ended.recv_timeout(PATIENCE).expect("it ends");
    assert!(said.unwrap_err().contains("nobody reads"));
    assert!(interrupts.load(SeqCst) <= 1);
    assert_eq!(server.get("/session").status, 200);
    drop(client);
}

/// A client may be silent for as long as its producer is.
#[test]
fn a_producer_that_pauses_is_not_taken_for_a_slow_client() {
    let (server, _, ended) = producers(same);
    let client = begin(&server, "/hangs");
    assert!(ended.recv_timeout(LIMIT * 3).is_err(), "it was cut");
    assert_eq!(stats(&server).in_flight, 1);
    drop(client);
    ended.recv_timeout(PATIENCE).expect("it ends").unwrap_err();
}

#[test]
fn a_stream_that_takes_too_long_is_cut_and_its_library_interrupted() {
    let (tells, ended) = mpsc::channel();
    let tells = Mutex::new(tells);
    let (library, interrupts) = library(move |session, _, call| {
        let result = call.stream(head(), |body| {
            body.send("first")?;
            body.flush()?;
            session.hangs_at.pass();
            body.send("too late")?;
            body.flush()
        });
        tells.lock().unwrap().send(result.is_err()).unwrap();
        result
    });
    let location = pontoon::Location::new("/stream", library);
    let location = location.deadline(PATIENCE).stream_timeout(LIMIT);
    let server = Fixture::start(server().pool(pool(1)).route(location));
    let mut client = server.connect();
    client.send_request("GET", "/stream", &[], b"");
    let all = String::from_utf8(client.read_to_end()).unwrap();
    assert!(all.ends_with("5\r\nfirst\r\n"), "{all:?}");
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(true));
    assert_eq!(interrupts.load(SeqCst), 1);
    wait_in_flight(&server, 0);
}

/// The deadline is for the head: what follows has a limit of its own.
#[test]
fn a_stream_may_go_on_after_the_deadline_of_its_head() {
    let (opens, hangs) = gate();
    let at_gate = Arc::clone(&hangs);
    let (library, _) = library(move |_, _, call| {
        call.stream(head(), |body| {
            at_gate.pass();
            assert!(!call.is_cancelled());
            body.send("late, and welcome")
        })
    });
    let location = pontoon::Location::new("/stream", library).deadline(LIMIT);
    let server = Fixture::start(server().pool(pool(1)).route(location));
    let mut client = server.connect();
    client.send_request("GET", "/stream", &[], b"");
    hangs.wait_for(1);
    std::thread::sleep(LIMIT * 2);
    opens.open();
    assert_eq!(client.read_response("GET").text(), "late, and welcome");
}

#[test]
fn a_place_of_the_location_is_taken_for_as_long_as_the_producer_runs() {
    let (library, _) = library(|session, _, call| {
        call.stream(head(), |body| {
            body.send("first")?;
            body.flush()?;
            session.hangs_at.pass();
            Ok(())
        })
    });
    let location = pontoon::Location::new("/stream", library).share(pontoon::Share::Calls(1));
    let server = Fixture::start(server().pool(pool(2)).route(location));
    let client = begin(&server, "/stream");
    assert_eq!(server.get("/stream").status, 503);
    drop(client);
    wait_in_flight(&server, 0);
    drop(begin(&server, "/stream"));
}
