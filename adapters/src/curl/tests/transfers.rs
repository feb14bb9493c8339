//! Requests go out and answers come back as they were, but for what must not pass.

use std::io::Write;

use http::header::CONTENT_LENGTH;

use super::*;
use crate::curl::tests::upstream::ok;

#[test]
fn a_get_has_the_url_of_the_template_and_nothing_that_nobody_sent() {
    let upstream = Upstream::saying(ok("hello"));
    let adapter = to(&upstream, "/users/{id}?lang={lang}");
    let mut session = adapter.open().unwrap();
    let call = context(&[("id", "a/b ü")]);
    let outcome = adapter.call(&mut session, get("/?lang=x%26y"), &call);
    assert_eq!(text(outcome), "hello");
    let asked = upstream.asked();
    assert_eq!(asked.line(), "GET /users/a%2Fb%20%C3%BC?lang=x%26y");
    let host = asked.header("host").unwrap();
    assert!(upstream.url("").ends_with(host), "{host}");
    assert_eq!(asked.head.lines().count(), 2, "{}", asked.head);
}

#[test]
fn each_method_passes_with_its_body() {
    let upstream = Upstream::saying(ok(""));
    let adapter = to(&upstream, "/x");
    for method in [
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ] {
        let sent = request(method.clone(), "/", Some("text/x-test"), "a\0b\r\n\r\nc");
        fetch(&adapter, sent).unwrap();
        let asked = upstream.asked();
        assert_eq!(asked.line(), format!("{method} /x"));
        assert_eq!(asked.body, b"a\0b\r\n\r\nc", "{method}");
        assert_eq!(asked.header("content-type"), Some("text/x-test"));
        assert_eq!(asked.header("expect"), None);
        assert_eq!(asked.header("transfer-encoding"), None);
    }
    for (method, length) in [(Method::POST, Some("0")), (Method::DELETE, None)] {
        fetch(&adapter, request(method.clone(), "/", None, "")).unwrap();
        let asked = upstream.asked();
        assert_eq!(asked.line(), format!("{method} /x"));
        assert_eq!(asked.header("content-length"), length, "{method}");
        assert_eq!(asked.header("content-type"), None);
    }
    for method in [Method::CONNECT, Method::TRACE] {
        let refused = fetch(&adapter, request(method, "/", None, ""));
        assert!(matches!(kind(refused), ErrorKind::MethodNotAllowed(_)));
    }
}

#[test]
fn a_fixed_method_is_asked_with_whatever_the_client_uses() {
    let upstream = Upstream::saying(ok(""));
    let adapter = to(&upstream, "/x").method(Method::GET);
    fetch(&adapter, post("/", "text/plain", "dropped")).unwrap();
    let asked = upstream.asked();
    assert_eq!((asked.line(), asked.body.len()), ("GET /x", 0));
    assert_eq!(asked.header("content-type"), None);
}

#[test]
fn head_brings_the_length_of_what_it_does_not_bring() {
    let upstream = Upstream::saying("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    let outcome = fetch(&to(&upstream, "/x"), request(Method::HEAD, "/", None, ""));
    let response = outcome.unwrap();
    assert_eq!(upstream.asked().line(), "HEAD /x");
    assert_eq!(response.headers()[CONTENT_LENGTH], "1234");
    assert!(response.body().is_empty());
}

#[test]
fn headers_pass_if_they_are_listed() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Encoding: gzip\r\nETag: \"1\"\r\n\
                  Set-Cookie: a=b\r\nX-Internal: secret\r\nConnection: x-hop\r\nX-Hop: y\r\n\
                  Vary: a\r\nVary: b\r\nContent-Length: 2\r\n\r\n\x1f\x7f";
    let upstream = Upstream::saying(answer);
    let sent = [
        ("accept", "a/b"),
        ("cookie", "c=d"),
        ("authorization", "Basic x"),
        ("x-other", "e"),
        ("x-api-key", "theirs"),
        ("if-none-match", "\"0\""),
        ("connection", "close, accept"),
        ("transfer-encoding", "chunked"),
    ];
    let key = HeaderName::from_static("x-api-key");
    let adapter = to(&upstream, "/x").set_header(key, HeaderValue::from_static("ours"));
    let response = fetch(&adapter, with_headers(get("/"), &sent)).unwrap();
    let asked = upstream.asked();
    assert_eq!(asked.header("x-api-key"), Some("ours"));
    assert_eq!(asked.header("if-none-match"), Some("\"0\""));
    for name in [
        "accept",
        "cookie",
        "authorization",
        "x-other",
        "connection",
        "transfer-encoding",
    ] {
        assert_eq!(asked.header(name), None, "{name}");
    }
    let names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers().get_all("vary").iter().count(), 2);
    assert_eq!(response.body(), "\x1f\x7f");

    let adapter = adapter
        .request_headers([http::header::COOKIE])
        .response_headers([http::header::SET_COOKIE]);
    let response = fetch(&adapter, with_headers(get("/"), &sent)).unwrap();
    let asked = upstream.asked();
    assert_eq!(asked.header("cookie"), Some("c=d"));
    assert_eq!(asked.header("if-none-match"), None);
    assert_eq!(response.headers()["set-cookie"], "a=b");
    assert!(response.headers().get("etag").is_none());
}

#[test]
fn nothing_of_one_call_is_left_for_the_next() {
    let upstream = Upstream::saying(ok("x"));
    let adapter = to(&upstream, "/x");
    let mut session = adapter.open().unwrap();
    let call = CallContext::detached();
    let first = with_headers(post("/", "text/plain", "secret"), &[("accept", "a/b")]);
    adapter.call(&mut session, first, &call).unwrap();
    adapter.call(&mut session, get("/"), &call).unwrap();
    upstream.asked();
    let second = upstream.asked();
    assert_eq!((second.line(), second.body.len()), ("GET /x", 0));
    assert_eq!(second.head.lines().count(), 2, "{}", second.head);
}

#[test]
fn the_connection_is_kept_and_replaced_when_the_upstream_has_closed_it() {
    let upstream = Upstream::new(|asked, stream| {
        stream.write_all(ok("x").as_bytes()).unwrap();
        // Closed without a word, as a server does after its keep-alive time.
        !asked.line().ends_with("last")
    });
    let adapter = to(&upstream, "/{name}");
    let mut session = adapter.open().unwrap();
    for (name, connection) in [("a", 1), ("b", 1), ("last", 1), ("c", 2), ("d", 2)] {
        let outcome = adapter.call(&mut session, get("/"), &context(&[("name", name)]));
        assert_eq!(text(outcome), "x", "{name}");
        assert_eq!(upstream.asked().connection, connection, "{name}");
        if name == "last" {
            upstream.wait_for_an_end();
        }
    }
}

#[test]
fn the_status_is_the_upstreams() {
    for status in [201, 204, 304, 400, 404, 418, 429, 500, 503, 599] {
        let upstream =
            Upstream::saying(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        let response = fetch(&to(&upstream, "/"), get("/")).unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
}

#[test]
fn interim_answers_chunks_and_trailers_are_understood() {
    let answer = "HTTP/1.1 103 Early Hints\r\nETag: early\r\n\r\nHTTP/1.1 200 OK\r\n\
                  Transfer-Encoding: chunked\r\nTrailer: ETag\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n\
                  0\r\nETag: late\r\n\r\n";
    let upstream = Upstream::saying(answer);
    let response = fetch(&to(&upstream, "/"), get("/")).unwrap();
    assert_eq!(response.body(), "hello!");
    assert!(response.headers().is_empty(), "{:?}", response.headers());
}

#[test]
fn ten_mebibytes_pass_in_both_directions() {
    let bytes: Vec<u8> = (0..10_u32 << 20)
        .map(|at| (at.wrapping_mul(31) >> 7) as u8)
        .collect();
    let upstream = Upstream::new(|asked, stream| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            asked.body.len()
        );
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(&asked.body).is_ok()
    });
    let sent = post("/", "application/octet-stream", bytes.clone());
    let response = fetch(&to(&upstream, "/"), sent).unwrap();
    assert!(response.body()[..] == bytes[..]);
    assert_eq!(upstream.asked().header("expect"), None);
}

#[test]
fn the_query_passes_where_that_is_wanted() {
    let upstream = Upstream::saying(ok(""));
    for (path, target, line) in [
        ("/x", "/?a=%20b&c", "GET /x?a=%20b&c"),
        ("/x?k=v", "/?a=b", "GET /x?k=v&a=b"),
        ("/x", "/", "GET /x"),
    ] {
        fetch(&to(&upstream, path).pass_query(true), get(target)).unwrap();
        assert_eq!(upstream.asked().line(), line);
    }
    fetch(&to(&upstream, "/x"), get("/?a=b")).unwrap();
    assert_eq!(upstream.asked().line(), "GET /x");
}

#[test]
fn a_proxy_in_the_environment_is_not_used() {
    // Changing one's own environment is not safe among threads: another process has it from the start.
    let nobody = "http://127.0.0.1:1";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "curl::tests::transfers::the_query_passes_where_that_is_wanted",
        ])
        .envs([
            ("http_proxy", nobody),
            ("all_proxy", nobody),
            ("ALL_PROXY", nobody),
        ])
        .env_remove("no_proxy")
        .output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}");
}
