//! `pontoon demo`, as somebody tries it first.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pontoon_tests::client::{Connection, Response};

use super::process::Process;

fn start(listen: &str) -> Process {
    let demo = Process::start(["demo", "--listen", listen]);
    demo.out_line("the introduction", |line| {
        line.starts_with("Ctrl-C").then_some(())
    });
    demo
}

fn address(demo: &Process) -> SocketAddr {
    demo.out_line("the address", |line| {
        let rest = line.strip_prefix("Pontoon's demo listens on ")?;
        rest.split("; ").next()?.parse().ok()
    })
}

fn database(demo: &Process) -> PathBuf {
    demo.out_line("the database", |line| {
        let rest = line.strip_prefix("Its database is ")?;
        rest.strip_suffix('.').map(PathBuf::from)
    })
}

fn curl_lines(demo: &Process) -> Vec<String> {
    let out = demo.out();
    let lines = out.lines().filter_map(|line| line.strip_prefix("  curl "));
    lines.map(str::to_owned).collect()
}

/// Does what a printed `curl` line says.
fn run(line: &str) -> Response {
    let (line, form) = match line.split_once(" -d '") {
        Some((line, form)) => (line, form.strip_suffix('\'').unwrap()),
        None => (line, ""),
    };
    let url = line.strip_prefix("-si ").unwrap().trim_matches('\'');
    let rest = url.strip_prefix("http://").unwrap();
    let (host, target) = rest.split_at(rest.find('/').unwrap());
    let mut connection = Connection::open(host.parse().unwrap());
    let method = if form.is_empty() { "GET" } else { "POST" };
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    connection.send_request(method, target, &headers, form.as_bytes());
    connection.read_response(method)
}

#[test]
fn every_line_that_it_prints_does_what_it_says() {
    let demo = start("127.0.0.1:0");
    let lines = curl_lines(&demo);
    let find = |part: &str| {
        let line = lines.iter().find(|line| line.contains(part));
        line.unwrap_or_else(|| panic!("no line with {part} in {lines:?}"))
    };
    let user = run(find("/users/1"));
    assert_eq!((user.status, &user.json()["name"]), (200, &"Ada".into()));
    assert!(user.header("server-timing").is_some());
    let insert = find("/users -d");
    assert_eq!(run(insert).status, 200);
    assert_eq!(run(insert).status, 409, "the same again");
    assert_eq!(run(find("/echo")).text(), "hello");
    assert_eq!(run(find("ms=1000")).text(), "slept 1000 ms\n");
    let begin = Instant::now();
    assert_eq!(run(find("ms=5000")).status, 504);
    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert_eq!(run(find("/callback")).text(), "called back\n");
    let index = run(lines.last().unwrap());
    for line in &lines {
        assert!(index.text().contains(line), "{line}");
    }
    assert_eq!(lines.len(), 7, "all of them were tried: {lines:?}");
}

#[test]
fn the_lines_work_in_a_shell() {
    if Command::new("curl").arg("--version").output().is_err() {
        return; // The test above does the same with our own client.
    }
    let demo = start("127.0.0.1:0");
    for line in curl_lines(&demo)
        .iter()
        .filter(|line| !line.contains("ms="))
    {
        let shell = Command::new("sh")
            .args(["-c", &format!("curl {line}")])
            .output();
        let text = String::from_utf8(shell.unwrap().stdout).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{line}: {text}");
    }
}

#[test]
fn a_taken_port_leads_to_the_next_free_one_and_it_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let wanted = taken.local_addr().unwrap();
    let demo = start(&wanted.to_string());
    let got = address(&demo);
    assert!(got.port() > wanted.port(), "{got}");
    let out = demo.out();
    let notice = format!("{wanted} is taken, so this is the next free port.\n");
    assert!(out.starts_with(&notice), "{out}");
    let lines = curl_lines(&demo);
    assert!(
        lines.iter().all(|line| line.contains(&got.to_string())),
        "{lines:?}"
    );
    assert_eq!(run(&lines[0]).status, 200);
}

#[test]
fn ctrl_c_ends_it_soon_and_leaves_nothing_behind() {
    let demo = start("127.0.0.1:0");
    let folder = database(&demo).parent().unwrap().to_owned();
    assert!(folder.exists());
    // A connection that idles holds nobody up.
    let mut idle = Connection::open(address(&demo));
    idle.send_request("GET", "/users/2", &[], b"");
    assert_eq!(idle.read_response("GET").status, 200);
    let begin = Instant::now();
    demo.signal(Signal::SIGINT);
    let ended = demo.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    assert!(!folder.exists(), "{} is still there", folder.display());
}
