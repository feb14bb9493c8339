//! The access line of each outcome, as a program reads it.

use serde_json::Value;

use super::process::{ConfigFile, Process, sleeper};
use pontoon_tests::client::Connection;
use pontoon_tests::wait::eventually;

/// The fields of the first access line with this status.
fn line(server: &Process, status: u16) -> Value {
    server.err_line(&format!("an access line with {status}"), |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = &line["fields"];
        let found = line["target"] == pontoon::ACCESS_LOG && fields["status"] == status;
        found.then(|| fields.clone())
    })
}

fn micros(fields: &Value, name: &str) -> u64 {
    fields[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {fields}"))
}

#[test]
fn a_line_says_what_was_asked_how_it_ended_and_where_the_time_went() {
    let server = sleeper("threads = 1", "").serve();
    let mut client = server.connect();
    client.send_request("GET", "/sleep?ms=20", &[], b"");
    assert_eq!(client.read_response("GET").status, 200);
    let fields = line(&server, 200);
    for (name, value) in [
        ("method", "GET"),
        ("uri", "/sleep?ms=20"),
        ("location", "/sleep"),
        ("outcome", "completed"),
    ] {
        assert_eq!(fields[name], value, "{fields}");
    }
    assert_eq!(fields["bytes"], "slept 20 ms\n".len());
    assert!(
        fields["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{fields}"
    );
    assert!(fields["id"].is_u64(), "{fields}");
    assert!(micros(&fields, "call_us") >= 20_000, "{fields}");
    let parts = ["queue_us", "call_us", "wake_us"].map(|name| micros(&fields, name));
    assert!(
        micros(&fields, "total_us") >= parts.iter().sum(),
        "{fields}"
    );

    client.send_request("GET", "/none", &[], b"");
    assert_eq!(client.read_response("GET").status, 404);
    let fields = line(&server, 404);
    assert_eq!(
        (&fields["outcome"], &fields["location"]),
        (&"refused".into(), &"-".into())
    );
}

#[test]
fn a_client_that_left_is_499() {
    let server = sleeper("threads = 1", "").serve();
    let mut client = server.connect();
    let head = "POST /sleep?ms=300 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n";
    client.send(format!("{head}Expect: 100-continue\r\n\r\n").as_bytes());
    // From here on the server knows the location.
    assert_eq!(client.read_response("POST").status, 100);
    client.send(b"hi");
    drop(client);
    let fields = line(&server, 499);
    assert_eq!(
        (&fields["outcome"], &fields["bytes"]),
        (&"cancelled".into(), &0.into())
    );
    assert_eq!(fields["location"], "/sleep");
}

#[test]
fn a_full_pool_is_503_and_a_missed_deadline_504() {
    let server = sleeper("threads = 1\nmax_queue = 0", "deadline = '400ms'").serve();
    let mut slow = server.connect();
    slow.send_request("GET", "/sleep?ms=1500", &[], b"");
    let mut other = server.connect();
    eventually("the pool is full", || {
        other.send_request("GET", "/sleep?ms=0", &[], b"");
        other.read_response("GET").status == 503
    });
    let fields = line(&server, 503);
    assert_eq!(
        (&fields["outcome"], &fields["uri"]),
        (&"rejected".into(), &"/sleep?ms=0".into())
    );
    assert_eq!(slow.read_response("GET").status, 504);
    let fields = line(&server, 504);
    assert_eq!(fields["outcome"], "timed_out");
    assert!(micros(&fields, "total_us") >= 400_000, "{fields}");
}

#[test]
fn a_head_that_was_refused_has_a_line_too() {
    let server = sleeper("threads = 1", "").serve();
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.read_response("GET").status, 400);
    let fields = line(&server, 400);
    assert_eq!(fields["outcome"], "refused");
    assert_eq!(fields.get("uri"), None);
}

#[test]
fn a_probe_of_the_admin_listener_is_no_news() {
    let server = ConfigFile::new(
        "listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\n[pool.p]\nthreads = 1\n\
         [[location]]\npath = '/'\nadapter = 'echo'\npool = 'p'\n",
    );
    let server = server.serve();
    let admin = server.err_line("the admin listener's address", |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = &line["fields"];
        let is_it = fields["message"] == "the admin listener is up";
        is_it.then(|| fields["address"].as_str().unwrap().parse().unwrap())
    });
    for (bytes, status) in [
        (&b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"[..], 200),
        (b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
    ] {
        let mut client = Connection::open(admin);
        client.send(bytes);
        assert_eq!(client.read_response("GET").status, status);
    }
    // Lines come in order, so this one is the first.
    let mut client = server.connect();
    client.send_request("GET", "/", &[], b"");
    assert_eq!(client.read_response("GET").status, 200);
    let first = server.err_line("an access line", |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["target"] == pontoon::ACCESS_LOG).then(|| line["fields"].clone())
    });
    assert_eq!(first["location"], "/", "{first}");
}
