//! Upstreams that are not there, or not what they should be. None harms the call after it.

use std::net::{TcpListener, TcpStream};

use super::*;
use crate::curl::tests::upstream::{Asked, ok};

/// The adapter, and a call of it that fails on a session which then serves a good upstream.
fn fails(upstream: &Upstream, adapter: impl Fn(Curl) -> Curl) -> Error {
    let good = Upstream::saying(ok("good"));
    let mut session = to(&good, "/").open().unwrap();
    let call = CallContext::detached();
    let adapter = adapter(to(upstream, "/"));
    let error = adapter.call(&mut session, get("/"), &call).unwrap_err();
    let next = to(&good, "/").call(&mut session, get("/"), &call);
    assert_eq!(text(next), "good");
    error
}

#[test]
fn an_upstream_that_is_not_there_is_a_502_and_its_address_is_forgotten() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let adapter = Curl::new(format!("http://{address}/").parse().unwrap());
    let error = fetch(&adapter, get("/")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadGateway);
    assert!(error.breaks_session());
    assert!(!error.detail().contains("127.0.0.1"), "{error}");
}

#[test]
fn an_upstream_that_breaks_off_is_a_502() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nContent-",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let error = fails(&Upstream::breaking_off_after(answer), |adapter| adapter);
        assert_eq!(error.kind(), ErrorKind::BadGateway, "{answer:?}: {error}");
    }
}

#[test]
fn an_upstream_that_resets_the_connection_is_a_502() {
    let reset = |_: &Asked, stream: &mut TcpStream| {
        let linger = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
        false
    };
    let error = fails(&Upstream::new(reset), |adapter| adapter);
    assert_eq!(error.kind(), ErrorKind::BadGateway);
}

#[test]
fn what_is_no_http_is_a_502() {
    let endless_head = "X: y\r\n".repeat(100_000);
    for answer in [
        "SSH-2.0-OpenSSH_9\r\n".to_owned(),
        "<html>a document of HTTP/0.9".to_owned(),
        "HTTP/1.1 banana\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "HTTP/1.1 199 X\r\n\r\nHTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{endless_head}\r\n"),
    ] {
        let error = fails(&Upstream::breaking_off_after(answer.as_str()), |adapter| {
            adapter
        });
        let shown: String = answer.chars().take(60).collect();
        assert_eq!(error.kind(), ErrorKind::BadGateway, "{shown:?}: {error}");
    }
}

#[test]
fn an_answer_that_is_too_large_is_not_collected() {
    // Without an end: who collected all of it would never come back.
    let endless = |_: &Asked, stream: &mut TcpStream| {
        let block = [b'x'; 64 << 10];
        let _ = std::io::Write::write_all(stream, b"HTTP/1.1 200 OK\r\n\r\n");
        while std::io::Write::write_all(stream, &block).is_ok() {}
        false
    };
    let upstream = Upstream::new(endless);
    let error = fails(&upstream, |adapter| adapter.max_response_bytes(1 << 20));
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.detail().contains("larger"), "{error}");
    upstream.wait_for_an_end();
    let exact = Upstream::saying(ok("0123456789"));
    let fits = fetch(&to(&exact, "/").max_response_bytes(10), get("/"));
    assert_eq!(text(fits), "0123456789");
    let error = fails(&exact, |adapter| adapter.max_response_bytes(9));
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[test]
fn an_upstream_that_comes_back_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let adapter = Curl::new(format!("http://{address}/").parse().unwrap());
    let mut session = adapter.open().unwrap();
    let call = CallContext::detached();
    let down = adapter.call(&mut session, get("/"), &call);
    assert_eq!(kind(down), ErrorKind::BadGateway);
    let listener = TcpListener::bind(address).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            std::io::Read::read(&mut stream, &mut [0; 1024]).unwrap();
            std::io::Write::write_all(&mut stream, ok("back").as_bytes()).unwrap();
        });
        assert_eq!(text(adapter.call(&mut session, get("/"), &call)), "back");
    });
}

#[test]
fn many_calls_and_many_handles_leave_no_descriptor_open() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let good = Upstream::saying(ok("x"));
    let bad = Upstream::breaking_off_after("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx");
    let (good, bad) = (to(&good, "/"), to(&bad, "/"));
    let call = CallContext::detached();
    let rounds = |count: usize| {
        for _ in 0..count {
            let mut session = good.open().unwrap();
            for adapter in [&good, &bad, &good] {
                drop(adapter.call(&mut session, get("/"), &call));
            }
        }
    };
    rounds(10);
    // Other tests of this process open and close files meanwhile: a leak would be of thousands.
    let before = open();
    rounds(1000);
    let after = open();
    assert!(after < before + 500, "{before} descriptors, then {after}");
}
