//! Names of DNS, from a name server of the test's own.
//!
//! The system's resolver asks whom `/etc/resolv.conf` names. So these tests run once more in namespaces of their
//! own, where that file is another one and port 53 is free. Where namespaces cannot be had they say that they
//! are skipped.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use pontoon_tests::fixture::Fixture;
use pontoon_tests::problem::problem;
use pontoon_tests::{PATIENCE, eventually};
use serde_json::json;

/// Set for the run in the namespaces.
const INSIDE: &str = "PONTOON_TEST_IN_NAMESPACES";

/// As root of the namespaces: our files in place of the machine's, and a loopback interface that is up.
const ENTER: &str = "mount --bind \"$1/resolv.conf\" /etc/resolv.conf && \
    mount --bind \"$1/nsswitch.conf\" /etc/nsswitch.conf && ip link set lo up && exec \"$2\" --exact \"$3\"";

/// Runs the test of this name in namespaces; `true` if this is that run.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let can = Command::new("unshare")
        .args(["-rmn", "ip", "link", "set", "lo", "up"])
        .output();
    if !can.as_ref().is_ok_and(|output| output.status.success()) {
        // Past the harness, which would keep it to itself.
        let _ = writeln!(
            std::io::stderr(),
            "{test} is skipped: no namespaces: {can:?}"
        );
        return false;
    }
    let folder = tempfile::tempdir().unwrap();
    let resolv = "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n";
    for (name, text) in [
        ("resolv.conf", resolv),
        ("nsswitch.conf", "hosts: files dns\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let status = Command::new("unshare")
        .args(["-rmn", "sh", "-c", ENTER, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(INSIDE, "1")
        .status();
    assert!(status.unwrap().success(), "{test} failed in its namespaces");
    false
}

/// A name server for `example.test`.
struct NameServer {
    /// Who asks for `slow.example.test` is answered when the test says so.
    slow: Receiver<()>,
    release: Sender<()>,
}

const A: u8 = 1;
const CNAME: u8 = 5;
const AAAA: u8 = 28;
const SERVER_FAILED: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

impl NameServer {
    fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:53").unwrap());
        let (asked, slow) = channel();
        let (release, released) = channel::<()>();
        let late = Arc::clone(&socket);
        let (delay, delayed) = channel::<(Vec<u8>, SocketAddr)>();
        thread::spawn(move || {
            while released.recv().is_ok() {
                for (answer, client) in delayed.try_iter() {
                    late.send_to(&answer, client).unwrap();
                }
            }
        });
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut query) {
                let (name, answer) = answer(&query[..length]);
                if name == "slow.example.test" {
                    delay.send((answer, client)).unwrap();
                    asked.send(()).unwrap();
                } else {
                    socket.send_to(&answer, client).unwrap();
                }
            }
        });
        Self { slow, release }
    }
}

/// What was asked, and the whole answer to it (RFC 1035, section 4).
fn answer(query: &[u8]) -> (String, Vec<u8>) {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] > 0 {
        let length = usize::from(query[at]);
        labels.push(str::from_utf8(&query[at + 1..=at + length]).unwrap());
        at += 1 + length;
    }
    let (name, kind) = (labels.join("."), query[at + 2]);
    let question = &query[12..at + 5];
    // Records of this name: a pointer to the question's.
    let own = &[0xc0, 12][..];
    let real = encoded("real.example.test");
    let alias = [record(own, CNAME, &real), record(&real, A, &[192, 0, 2, 9])];
    let (code, records) = match (name.as_str(), kind) {
        ("both.example.test", A) => {
            let (one, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
            (0, vec![record(own, A, &one), record(own, A, &other)])
        }
        ("both.example.test", AAAA) => {
            let address = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap();
            (0, vec![record(own, AAAA, &address.octets())])
        }
        ("slow.example.test", A) => (0, vec![record(own, A, &[192, 0, 2, 7])]),
        ("alias.example.test", A) => (0, alias.to_vec()),
        ("alias.example.test", _) => (0, vec![record(own, CNAME, &real)]),
        ("slow.example.test" | "empty.example.test", _) => (0, Vec::new()),
        ("broken.example.test", _) => (SERVER_FAILED, Vec::new()),
        _ => (NO_SUCH_NAME, Vec::new()),
    };
    let count = u8::try_from(records.len()).unwrap();
    let head = [
        query[0],
        query[1],
        0x81,
        0x80 | code,
        0,
        1,
        0,
        count,
        0,
        0,
        0,
        0,
    ];
    (name, [&head[..], question, &records.concat()].concat())
}

fn record(name: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len()).unwrap();
    let fixed = [0, kind, 0, 1, 0, 0, 0, 60, 0, length];
    [name, &fixed, data].concat()
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.write_all(label.as_bytes()).unwrap();
    }
    bytes.push(0);
    bytes
}

fn server() -> Fixture {
    let location = |path: &str, rest: &str| {
        format!(
            "[[location]]\npath = \"/{path}/{{name}}\"\nadapter = 'resolve'\npool = 'dns'\n{rest}\n"
        )
    };
    Fixture::from_toml(&format!(
        "[pool.dns]\nthreads = 2\n{}{}{}{}",
        location("any", "canonical_name = true"),
        location("v4", "family = 'ipv4'"),
        location("v6", "family = 'ipv6'"),
        location("hasty", "deadline = '1s'"),
    ))
}

#[test]
fn names_have_the_addresses_that_the_name_server_says() {
    if !is_inside("names_have_the_addresses_that_the_name_server_says") {
        return;
    }
    let _names = NameServer::start();
    let server = server();
    let v4 = |last: u8| json!({"family": "ipv4", "address": format!("192.0.2.{last}")});
    let v6 = json!({"family": "ipv6", "address": "2001:db8::1"});
    let both = server.get("/any/both.example.test").json();
    let mut addresses = both["addresses"].as_array().unwrap().clone();
    addresses.sort_by_key(ToString::to_string);
    // The order is the system's choice.
    assert_eq!(addresses, [v4(1), v4(2), v6.clone()]);
    assert_eq!(both["canonical_name"], "both.example.test");
    let answer = server.get("/v6/both.example.test").json();
    assert_eq!(
        answer,
        json!({"name": "both.example.test", "addresses": [v6]})
    );
    let alias = server.get("/any/alias.example.test").json();
    let expected = json!({
        "name": "alias.example.test", "addresses": [v4(9)], "canonical_name": "real.example.test"
    });
    assert_eq!(alias, expected);
}

#[test]
fn each_way_to_have_no_answer_has_its_status() {
    if !is_inside("each_way_to_have_no_answer_has_its_status") {
        return;
    }
    let _names = NameServer::start();
    let server = server();
    problem(&server.get("/any/none.example.test"), 404);
    problem(&server.get("/any/empty.example.test"), 404);
    problem(&server.get("/v6/alias.example.test"), 404);
    let failed = server.get("/any/broken.example.test");
    problem(&failed, 503);
    assert!(failed.header("retry-after").is_some());
}

#[test]
fn a_name_server_that_is_silent_holds_a_worker_and_nobody_else() {
    if !is_inside("a_name_server_that_is_silent_holds_a_worker_and_nobody_else") {
        return;
    }
    let names = NameServer::start();
    let server = server();
    problem(&server.get("/hasty/slow.example.test"), 504);
    names.slow.recv_timeout(PATIENCE).unwrap();
    // The worker still waits: its place is taken, and the other one works.
    let in_flight = || server.running().pool_stats("dns").unwrap().in_flight;
    assert_eq!(in_flight(), 1);
    assert_eq!(server.get("/v4/both.example.test").status, 200);
    eventually("the worker comes back", || {
        names.release.send(()).unwrap();
        in_flight() == 0
    });
}

#[cfg(feature = "curl")]
#[test]
fn an_upstream_whose_name_server_is_silent_is_a_504_on_time() {
    if !is_inside("an_upstream_whose_name_server_is_silent_is_a_504_on_time") {
        return;
    }
    let names = NameServer::start();
    let server = Fixture::from_toml(
        "[pool.c]\nthreads = 2\n[[location]]\npath = '/x'\nadapter = 'curl'\npool = 'c'\n\
         url = 'http://slow.example.test/'\ndeadline = '1s'\n",
    );
    problem(&server.get("/x"), 504);
    names.slow.recv_timeout(PATIENCE).unwrap();
    eventually("the worker comes back", || {
        names.release.send(()).unwrap();
        server.running().pool_stats("c").unwrap().in_flight == 0
    });
}
