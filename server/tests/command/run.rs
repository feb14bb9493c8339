//! `pontoon run`: what keeps it from starting, and how it stops.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::process::{ConfigFile, Process, sleeper};

#[test]
fn a_wrong_key_is_shown_where_it_is_with_the_right_one() {
    let file = ConfigFile::new("listen = '127.0.0.1:0'\nmax_connection = 5\n");
    let ended = Process::run(["run", &file.path()]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    for part in [
        "unknown key `max_connection`",
        "did you mean `max_connections`?",
        &format!("{}:2:1", file.path()),
    ] {
        assert!(ended.err.contains(part), "{part}: {}", ended.err);
    }
}

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = sleeper("", "");
    let ended = Process::run(["run", &file.path(), "--listen", &address]);
    assert_eq!(ended.code, Some(1));
    let message = format!("pontoon: cannot listen on {address}: ");
    assert!(ended.err.contains(&message), "{}", ended.err);
    assert!(
        ended.err.contains("stop it or choose another"),
        "{}",
        ended.err
    );
}

#[test]
fn a_missing_file_is_named_with_what_to_try() {
    let ended = Process::run(["run", "no/such.toml"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("`no/such.toml`"), "{}", ended.err);
    assert!(ended.err.contains("pontoon demo"), "{}", ended.err);
}

#[test]
fn term_under_load_answers_everybody_who_had_asked() {
    let file = sleeper("threads = 4", "");
    let server = file.serve();
    let address = server.listens_on();
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send_request("GET", "/sleep?ms=150", &[], b"");
    }
    server.signal(Signal::SIGTERM);
    for client in &mut clients {
        let response = client.read_response("GET");
        assert_eq!(response.text(), "slept 150 ms\n");
    }
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("stopped"), "{}", ended.err);
    assert!(
        std::net::TcpStream::connect(address).is_err(),
        "nobody listens"
    );
}

#[test]
fn a_second_signal_stops_at_once() {
    let file = sleeper("threads = 1", "deadline = '1h'");
    let server = file.serve();
    let mut client = server.connect();
    client.send_request("GET", "/sleep?ms=600000", &[], b"");
    server.signal(Signal::SIGTERM);
    server.err_line("it drains", |line| line.contains("stopping").then_some(()));
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    let ended = server.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(
        ended.err.contains("stopped at once by a second signal"),
        "{}",
        ended.err
    );
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_drain_ends_at_its_limit_and_names_what_is_stuck() {
    let file = sleeper("threads = 1", "deadline = '1h'");
    let text = std::fs::read_to_string(file.path()).unwrap();
    let file = ConfigFile::new(&format!("shutdown_timeout = '200ms'\n{text}"));
    let server = file.serve();
    let mut client = server.connect();
    client.send_request("GET", "/sleep?ms=600000", &[], b"");
    server.signal(Signal::SIGTERM);
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.err.contains("calls that did not return"),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("connections were cut"), "{}", ended.err);
}
