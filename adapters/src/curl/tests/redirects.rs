//! Where a request may go: redirects, and URLs that clients give.

use std::io::Write;
use std::net::TcpStream;

use super::*;
use crate::curl::tests::upstream::{Asked, ok};

/// Redirects all but `/end`, which says `end`, to this place.
fn redirecting(status: u16, location: &str) -> Upstream {
    let location = location.to_owned();
    Upstream::new(move |asked: &Asked, stream: &mut TcpStream| {
        let answer = if asked.line().ends_with("/end") {
            ok("end")
        } else {
            format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
        };
        stream.write_all(answer.as_bytes()).is_ok()
    })
}

fn host_of(upstream: &Upstream) -> HostRule {
    upstream
        .url("")
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn by_default_a_redirect_is_the_clients_business() {
    let upstream = redirecting(302, "/end");
    let response = fetch(&to(&upstream, "/a"), get("/")).unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "/end");
}

#[test]
fn on_the_same_server_redirects_of_a_get_are_followed_so_far() {
    for status in [301, 302, 303, 307, 308] {
        let upstream = redirecting(status, "/end");
        let adapter = to(&upstream, "/a").max_redirects(1);
        assert_eq!(text(fetch(&adapter, get("/"))), "end");
        let head = fetch(&adapter, request(Method::HEAD, "/", None, "")).unwrap();
        assert_eq!(head.status(), 200);
        let response = fetch(&adapter, post("/", "text/plain", "x")).unwrap();
        assert_eq!(response.status(), status);
    }
    let upstream = redirecting(302, "/again");
    let response = fetch(&to(&upstream, "/a").max_redirects(3), get("/")).unwrap();
    assert_eq!(response.status(), 302);
    for path in ["/a", "/again", "/again", "/again"] {
        assert_eq!(upstream.asked().line(), format!("GET {path}"));
    }
    assert!(upstream.was_asked_nothing());
}

#[test]
fn a_redirect_elsewhere_is_followed_only_if_it_may_be_and_takes_no_secrets_along() {
    let other = Upstream::saying(ok("other"));
    let upstream = redirecting(302, &other.url("/x"));
    let adapter = to(&upstream, "/a")
        .max_redirects(2)
        .request_headers([http::header::COOKIE, http::header::ACCEPT])
        .set_header(
            HeaderName::from_static("x-api-key"),
            HeaderValue::from_static("secret"),
        );
    let sent = || with_headers(get("/"), &[("cookie", "a=b"), ("accept", "c/d")]);
    let error = fetch(&adapter, sent()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadGateway);
    assert!(!error.detail().contains("127.0.0.1"), "{error}");
    assert!(other.was_asked_nothing());

    let outcome = fetch(&adapter.allow_host(host_of(&other)), sent());
    assert_eq!(text(outcome), "other");
    let asked = other.asked();
    assert_eq!(asked.header("accept"), Some("c/d"));
    assert_eq!(
        (asked.header("cookie"), asked.header("x-api-key")),
        (None, None)
    );
}

#[test]
fn a_redirect_to_another_scheme_leads_nowhere() {
    for location in [
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "ftp://127.0.0.1/",
        "http://a@127.0.0.1/",
    ] {
        let upstream = redirecting(302, location);
        let outcome = fetch(&to(&upstream, "/a").max_redirects(5), get("/"));
        assert_eq!(kind(outcome), ErrorKind::BadGateway, "{location}");
    }
}

#[test]
fn a_client_may_name_the_servers_of_the_list_and_no_others() {
    let allowed = Upstream::saying(ok("allowed"));
    let other = Upstream::saying(ok("other"));
    let adapter = Curl::new("{url}".parse().unwrap()).allow_host(host_of(&allowed));
    let fetch = |url: &str| {
        let url = percent_encoding::utf8_percent_encode(url, percent_encoding::NON_ALPHANUMERIC);
        fetch(&adapter, get(&format!("/?url={url}")))
    };
    assert_eq!(text(fetch(&allowed.url("/a/../b?c#d"))), "allowed");
    assert_eq!(allowed.asked().line(), "GET /a/../b?c");
    assert_eq!(kind(fetch(&other.url("/"))), ErrorKind::Forbidden);
    let host = allowed.url("").replace("http://", "");
    for url in [
        format!("http://{host}@{}", other.url("").replace("http://", "")),
        format!("http://x@{host}/"),
        format!("ftp://{host}/"),
        "file:///etc/passwd".to_owned(),
        "/etc/passwd".to_owned(),
        String::new(),
        format!("http://{host}/\r\nX: y"),
        format!("http://{host}\\@example.org/"),
    ] {
        let kind = kind(fetch(&url));
        assert_eq!(kind, ErrorKind::BadRequest, "{url:?}");
    }
    assert!(other.was_asked_nothing());
}
