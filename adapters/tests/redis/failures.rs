//! What goes wrong on the way, and that it passes.

use std::time::Duration;

use pontoon_adapters::ErrorKind;
use pontoon_adapters::redis::{Redis, Work};

use super::rig::{MODES, Rig, command, get, put, status, text};
use super::server::Server;
use pontoon_tests::{PATIENCE, eventually};

#[test]
fn what_redis_refuses_is_told_without_its_own_words() {
    let Some(server) = Server::start() else {
        return;
    };
    let _: () = server.ask(&["SET", "text", "abc"]);
    for mode in MODES {
        for (words, expected) in [
            (&["LLEN", "text"][..], 422),
            (&["INCR", "text"], 422),
            (&["SETEX", "k", "0", "x"], 422),
            (&["NOSUCHCOMMAND", "text"], 500),
            (&["GET"], 500),
        ] {
            let rig = Rig::command(mode, &server, words);
            let error = rig.call(get(), &[]).unwrap_err();
            assert_eq!(error.kind().status().as_u16(), expected, "{words:?}");
            let shown = error.detail();
            assert!(
                !shown.contains("ERR") && !shown.contains(words[0]),
                "{shown}"
            );
            // The connection is as good as before.
            assert_eq!(status(rig.call(get(), &[])), expected);
            eventually("no connection is left over", || {
                server.info("connected_clients") <= 3
            });
        }
        let missing = Rig::command(mode, &server, &["GET", ":key"]);
        let error = missing.call(get(), &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert_eq!(text(missing.call(get(), &[("key", "text")])), r#""abc""#);
    }
}

#[test]
fn memory_that_is_full_is_a_503() {
    let Some(server) = Server::with(&["--maxmemory", "1mb", "--maxmemory-policy", "noeviction"])
    else {
        return;
    };
    for mode in MODES {
        let rig = Rig::command(mode, &server, &["SET", ":key", ":body"]);
        let outcome = rig.call(put(vec![0; 4 << 20]), &[("key", "k")]);
        assert_eq!(status(outcome), 503);
    }
}

#[test]
fn a_server_that_is_down_at_start_is_found_once_it_is_up() {
    for mode in MODES {
        let Some(server) = Server::start() else {
            return;
        };
        server.kill();
        let rig = Rig::command(mode, &server, &["PING"]);
        let error = rig.call(get(), &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadGateway, "{error:?}");
        assert!(!error.detail().contains("127"), "{error}");
        // Nobody tries at once again.
        let again = rig.call(get(), &[]);
        assert!([502, 503].contains(&status(again)));
        server.restart();
        eventually("it is found", || status(rig.call(get(), &[])) == 200);
    }
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_call_is_used_again_once_it_is_back() {
    for mode in MODES {
        let Some(server) = Server::start() else {
            return;
        };
        let incr = Rig::with_threads(mode, command(&server, &["INCR", "n"]), 1);
        assert_eq!(incr.text(&[]), "1");
        // It does nothing, so the call is on its way when it dies.
        server.pause();
        let call = incr.begin(get(), &[], PATIENCE);
        let outcome = incr.block_on(async {
            let mut call = std::pin::pin!(call);
            // The command is sent by then, or fails as one that could not be.
            let limit = Duration::from_millis(50);
            let early = pontoon_bridge::event_loop::timeout(limit, &mut call).await;
            assert!(early.is_err(), "{early:?}");
            server.kill();
            call.await
        });
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadGateway, "{error:?}");
        assert!(error.detail().contains("not known"), "{error}");
        assert!([502, 503].contains(&status(incr.call(get(), &[]))));
        server.restart();
        eventually("it is used again", || status(incr.call(get(), &[])) == 200);
    }
}

#[test]
fn a_connection_that_the_server_closed_in_between_is_replaced() {
    let Some(server) = Server::start() else {
        return;
    };
    for mode in MODES {
        let rig = Rig::command(mode, &server, &["PING"]);
        for _ in 0..20 {
            assert_eq!(rig.text(&[]), r#""PONG""#);
            server.kill_clients();
            rig.turn();
        }
    }
    let redis = command(&server, &["PING"]);
    let mut session = pontoon_adapters::Adapter::open(&redis).unwrap();
    pontoon_adapters::Adapter::check(&redis, &mut session).unwrap();
    server.kill_clients();
    let error = pontoon_adapters::Adapter::check(&redis, &mut session).unwrap_err();
    assert!(error.breaks_session());
}

#[test]
fn an_answer_beyond_the_limit_is_an_error_and_the_next_call_is_unharmed() {
    let Some(server) = Server::start() else {
        return;
    };
    let _: () = server.ask(&["SET", "small", "abc"]);
    let _: () = server.ask(&["SETRANGE", "large", "1048576", "x"]);
    for mode in MODES {
        let redis = command(&server, &["GET", ":key"]).max_response_bytes(1000);
        let rig = Rig::new(mode, redis);
        for _ in 0..3 {
            let error = rig.call(get(), &[("key", "large")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert!(error.detail().contains("1000 bytes"), "{error}");
            assert_eq!(rig.text(&[("key", "small")]), r#""abc""#);
        }
    }
}

#[test]
fn a_master_that_became_a_replica_is_connected_to_anew() {
    let Some(server) = Server::start() else {
        return;
    };
    let _: () = server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    for mode in MODES {
        let rig = Rig::command(mode, &server, &["SET", "k", "v"]);
        let before = server.info("total_connections_received");
        for _ in 0..3 {
            assert_eq!(status(rig.call(get(), &[])), 503);
        }
        // Two more are the tests' own.
        assert!(server.info("total_connections_received") > before + 3);
    }
}

#[test]
fn a_port_that_speaks_something_else_is_a_502() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH\r\n");
        }
    });
    for mode in MODES {
        let work = Work::command(["PING"]).unwrap();
        let redis = Redis::new(&format!("redis://127.0.0.1:{port}"), work).unwrap();
        let error = Rig::new(mode, redis).call(get(), &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadGateway, "{error:?}");
        assert_eq!(error.detail(), "Redis cannot be reached");
    }
}
