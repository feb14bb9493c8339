//! Deadlines, clients that leave, and a server that hangs.

use std::time::{Duration, Instant};

use pontoon_adapters::ErrorKind;
use pontoon_adapters::redis::Mode;

use super::rig::{MODES, Rig, command, get, status};
use super::server::Server;
use pontoon_tests::{PATIENCE, eventually};

/// A deadline that no waiting command can meet.
const SHORT: Duration = Duration::from_millis(50);

/// Answers with its argument. A script counts as a write, so it waits while writes are paused.
const ECHO: [&str; 4] = ["EVAL", "return ARGV[1]", "0", ":text"];

#[test]
fn a_command_that_waits_ends_at_its_deadline_also_in_the_server() {
    let Some(server) = Server::start() else {
        return;
    };
    let rig = Rig::with_threads(
        Mode::Blocking,
        command(&server, &["BLPOP", ":list", "0"]),
        1,
    );
    let begin = Instant::now();
    let error = rig.call_within(SHORT, &[("list", "l")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(begin.elapsed() >= SHORT && begin.elapsed() < PATIENCE);
    eventually("nothing waits in the server", || {
        server.info("blocked_clients") == 0
    });
    // The only worker is free again, and nothing is taken by a call that nobody waits for.
    let _: () = server.ask(&["RPUSH", "l", "x"]);
    assert_eq!(rig.text(&[("list", "l")]), r#"["l","x"]"#);
}

#[test]
fn a_command_that_waits_ends_when_its_client_leaves_also_in_the_server() {
    let Some(server) = Server::start() else {
        return;
    };
    let rig = Rig::with_threads(
        Mode::Blocking,
        command(&server, &["BLPOP", ":list", "0"]),
        1,
    );
    rig.give_up(&[("list", "l")], || server.info("blocked_clients") == 1);
    eventually("nothing waits in the server", || {
        server.info("blocked_clients") == 0
    });
    eventually("the worker is free", || rig.pool().stats().in_flight == 0);
    let _: () = server.ask(&["RPUSH", "l", "x"]);
    assert_eq!(rig.text(&[("list", "l")]), r#"["l","x"]"#);
}

#[test]
fn a_server_that_hangs_holds_nobody_past_the_deadline() {
    for mode in MODES {
        let Some(server) = Server::start() else {
            return;
        };
        let rig = Rig::command(mode, &server, &["INCR", "n"]);
        assert_eq!(rig.text(&[]), "1");
        server.pause();
        for _ in 0..3 {
            let begin = Instant::now();
            let outcome = rig.call_within(SHORT, &[]);
            assert!(begin.elapsed() < PATIENCE);
            assert!([502, 503, 504].contains(&status(outcome)));
        }
        server.resume();
        eventually("it is used again", || status(rig.call(get(), &[])) == 200);
    }
}

/// More than a socket takes, so that it is the sending that hangs.
#[test]
fn a_server_that_does_not_read_holds_nobody_past_the_deadline() {
    for mode in MODES {
        let Some(server) = Server::start() else {
            return;
        };
        let rig = Rig::command(mode, &server, &["SET", "k", ":body"]);
        server.pause();
        let large = super::rig::put(vec![b'x'; 32 << 20]);
        let begin = Instant::now();
        let outcome = rig.block_on(rig.begin(large, &[], Duration::from_millis(300)));
        assert!([502, 503, 504].contains(&status(outcome)));
        assert!(begin.elapsed() < PATIENCE);
        server.resume();
        eventually("it is used again", || {
            status(rig.call(super::rig::put("x"), &[])) == 200
        });
    }
}

#[test]
fn replies_to_requests_that_were_given_up_reach_nobody_else() {
    let Some(server) = Server::start() else {
        return;
    };
    let redis = command(&server, &ECHO).connect_timeout(PATIENCE);
    let rig = Rig::new(Mode::Loop, redis);
    assert_eq!(rig.text(&[("text", "first")]), r#""first""#);
    let before = server.info("total_connections_received");
    let _: () = server.ask(&["CLIENT", "PAUSE", "600000", "WRITE"]);
    for text in ["a", "b", "c"] {
        let outcome = rig.call_within(SHORT, &[("text", text)]);
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
    }
    // Everything is held up by now, and let go while the next one waits.
    let late = rig.begin(get(), &[("text", "d")], PATIENCE);
    let outcome = rig.block_on(async {
        let mut late = std::pin::pin!(late);
        let early = pontoon_bridge::event_loop::timeout(SHORT, &mut late).await;
        assert!(early.is_err(), "{early:?}");
        let _: () = server.ask(&["CLIENT", "UNPAUSE"]);
        late.await
    });
    assert_eq!(super::rig::text(outcome), r#""d""#);
    assert_eq!(rig.text(&[("text", "e")]), r#""e""#);
    // Only the test's own: PAUSE, UNPAUSE and the INFO.
    assert_eq!(server.info("total_connections_received"), before + 3);
}

#[test]
fn a_connection_that_hangs_is_replaced() {
    let Some(server) = Server::start() else {
        return;
    };
    let redis = command(&server, &ECHO).connect_timeout(Duration::from_millis(200));
    let rig = Rig::new(Mode::Loop, redis);
    assert_eq!(rig.text(&[("text", "first")]), r#""first""#);
    let mut client = server.client();
    let before: u64 = redis::cmd("CLIENT").arg("ID").query(&mut client).unwrap();
    let _: () = redis::cmd("CLIENT")
        .arg(&["PAUSE", "600000", "WRITE"])
        .query(&mut client)
        .unwrap();
    let outcome = rig.call_within(SHORT, &[("text", "a")]);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut);
    // This one waits for longer than the connection may hang, so it learns of it.
    let error = rig.call(get(), &[("text", "b")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    let _: () = redis::cmd("CLIENT")
        .arg("UNPAUSE")
        .query(&mut client)
        .unwrap();
    eventually("it is used again", || {
        status(rig.call(get(), &[("text", "c")])) == 200
    });
    let after: u64 = redis::cmd("CLIENT")
        .arg("ID")
        .query(&mut server.client())
        .unwrap();
    assert!(after > before + 1, "there was a new connection");
}
