//! A call that nobody waits for any more ends, and so does its transfer.

use std::thread;
use std::time::Instant;

use super::*;
use crate::curl::tests::upstream::ok;
use crate::test_support::{PATIENCE, Stoppable};

const ANSWERS: [&str; 3] = [
    "",
    "HTTP/1.1 200 OK\r\nContent-",
    "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
];

#[test]
fn an_upstream_that_hangs_is_left_at_the_deadline() {
    for answer in ANSWERS {
        let upstream = Upstream::hanging_after(answer);
        let adapter = to(&upstream, "/");
        let mut session = adapter.open().unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        let call = Stoppable::new(Some(deadline)).call(PathParams::default());
        let error = adapter.call(&mut session, get("/"), &call).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(Instant::now() < deadline + PATIENCE);
        upstream.wait_for_an_end();
        assert!(!error.breaks_session());
        let good = Upstream::saying(ok("good"));
        let next = to(&good, "/").call(&mut session, get("/"), &CallContext::detached());
        assert_eq!(text(next), "good");
    }
}

#[test]
fn a_client_that_leaves_ends_the_transfer() {
    for answer in ANSWERS {
        let upstream = Upstream::hanging_after(answer);
        let adapter = to(&upstream, "/");
        let mut session = adapter.open().unwrap();
        let stoppable = Stoppable::new(None);
        let call = stoppable.call(PathParams::default());
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                upstream.asked();
                stoppable.stop();
            });
            let error = adapter.call(&mut session, get("/"), &call).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        });
        assert!(start.elapsed() < PATIENCE);
        upstream.wait_for_an_end();
        let good = Upstream::saying(ok("good"));
        let next = to(&good, "/").call(&mut session, get("/"), &CallContext::detached());
        assert_eq!(text(next), "good");
    }
}

#[test]
fn a_deadline_that_has_passed_asks_nobody() {
    let upstream = Upstream::saying(ok(""));
    let adapter = to(&upstream, "/");
    let call = Stoppable::new(Some(Instant::now())).call(PathParams::default());
    let outcome = adapter.call(&mut adapter.open().unwrap(), get("/"), &call);
    assert_eq!(kind(outcome), ErrorKind::TimedOut);
    assert!(upstream.was_asked_nothing());
}

#[test]
fn a_server_that_takes_no_connection_is_left_after_the_connect_timeout() {
    // Its backlog is full: further connections get no answer.
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    );
    let socket = socket.unwrap();
    let any = nix::sys::socket::SockaddrIn::new(127, 0, 0, 1, 0);
    let number = std::os::fd::AsRawFd::as_raw_fd(&socket);
    nix::sys::socket::bind(number, &any).unwrap();
    let backlog = nix::sys::socket::Backlog::new(0).unwrap();
    nix::sys::socket::listen(&socket, backlog).unwrap();
    let address: nix::sys::socket::SockaddrIn = nix::sys::socket::getsockname(number).unwrap();
    let mut waiting = Vec::new();
    let address = std::net::SocketAddr::from((address.ip(), address.port()));
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))
    {
        waiting.push(stream);
    }
    let template = format!("http://{address}/").parse().unwrap();
    let adapter = Curl::new(template).connect_timeout(Duration::from_millis(50));
    let start = Instant::now();
    assert_eq!(kind(fetch(&adapter, get("/"))), ErrorKind::TimedOut);
    assert!(start.elapsed() < PATIENCE);
}
