//! A stop, or a reload, while streams are under way.

use crate::*;
use pontoon_tests::client::Connection;
use pontoon_tests::gate::gate;
use std::thread;
use std::time::Instant;

fn begin(server: &Fixture) -> Connection {
    let mut client = server.connect();
    client.send_request("GET", "/stream", &[], b"");
    client
}

#[test]
fn a_stop_waits_for_a_stream_that_ends() {
    let (opens, hangs) = gate();
    let at_gate = Arc::clone(&hangs);
    let (server, _) = streaming(1, move |_, _, call| {
        call.stream(head(), |body| {
            body.send("before ")?;
            body.flush()?;
            at_gate.pass();
            send_pattern(body, LARGE_BYTES)
        })
    });
    let mut client = begin(&server);
    hangs.wait_for(1);
    let stop = thread::spawn(move || server.stop());
    opens.open();
    let body = client.read_response("GET").body;
    assert_eq!(body.len(), "before ".len() + LARGE_BYTES);
    let report = stop.join().unwrap();
    assert_eq!((report.connections_cut, report.stuck.len()), (0, 0));
}

/// One producer waits for a client that does not read, one hangs in its library.
#[test]
fn a_stop_cuts_what_does_not_end_and_no_worker_stays_behind() {
    let (server, interrupts) = streaming(2, |session, _, call| {
        call.stream(head(), |body| match session.number {
            0 => loop {
                body.send([0; 10_000])?;
            },
            _ => {
                session.hangs_at.pass();
                Ok(())
            }
        })
    });
    let clients = [begin(&server), begin(&server)];
    wait_in_flight(&server, 2);
    let began = Instant::now();
    let report = server.stop();
    assert!(
        began.elapsed() < Duration::from_secs(2 + 3),
        "it waits for ever"
    );
    assert_eq!(report.connections_cut, 2);
    assert_eq!(report.stuck, []);
    assert_eq!(report.loops_stuck, 0);
    assert!(interrupts.load(SeqCst) >= 1);
    for mut client in clients {
        assert!(
            !client.read_to_end().ends_with(b"0\r\n\r\n"),
            "it looks whole"
        );
    }
}

#[test]
fn a_reload_cuts_no_stream() {
    let (opens, hangs) = gate();
    let at_gate = Arc::clone(&hangs);
    let (old, _) = library(move |_, _, call| {
        call.stream(head(), |body| {
            body.send("old ")?;
            body.flush()?;
            at_gate.pass();
            send_pattern(body, LARGE_BYTES)
        })
    });
    let (new, _) = library(|_, _, _| Ok(Response::text("new")));
    let location = pontoon::Location::new("/stream", old).deadline(Duration::from_secs(1));
    let server = Fixture::start(server().pool(pool(1)).route(location));
    let mut client = begin(&server);
    hangs.wait_for(1);
    let next = self::server()
        .pool(pool(1))
        .location("/stream", new)
        .listen("127.0.0.1:0");
    server.running().reload(next).unwrap();
    // Longer than the old one's deadline and the server's shutdown_timeout.
    thread::sleep(Duration::from_millis(3500));
    opens.open();
    assert_eq!(
        client.read_response("GET").body.len(),
        "old ".len() + LARGE_BYTES
    );
    drop(server);
}
