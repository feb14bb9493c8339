//! HUP: the file is read again, and nobody notices but for what has changed in it.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pontoon_tests::client::Connection;
use pontoon_tests::eventually;

use super::process::{ConfigFile, Process};

/// How long the server is reloaded, and how often.
const TIME: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(100);

fn version(threads: usize, path: &str) -> String {
    format!(
        "listen = '127.0.0.1:0'\nloops = 2\n[pool.p]\nthreads = {threads}\n\
         [[location]]\npath = '/always'\nadapter = 'sleep'\npool = 'p'\nduration = '{threads}ms'\n\
         [[location]]\npath = '{path}'\nadapter = 'sleep'\npool = 'p'\n"
    )
}

fn lines_with(server: &Process, text: &str) -> usize {
    server
        .err()
        .lines()
        .filter(|line| line.contains(text))
        .count()
}

/// Sends HUP and waits until the log has one more line with this.
fn reload(server: &Process, text: &str) {
    let before = lines_with(server, text);
    server.signal(Signal::SIGHUP);
    eventually(text, || lines_with(server, text) > before);
}

const DONE: &str = "reloaded: ";
const FAILED: &str = "not reloaded, nothing has changed";

fn status(client: &mut Connection, path: &str) -> u16 {
    client.send_request("GET", path, &[], b"");
    client.read_response("GET").status
}

#[test]
fn no_request_fails_while_hups_come_ten_times_a_second() {
    let server = ConfigFile::new(&version(2, "/a")).serve();
    let address = server.listens_on();
    let mut first = server.connect();
    assert_eq!(status(&mut first, "/always"), 200);
    drop(first);
    // One reload, so that what a first one starts is there already.
    reload(&server, DONE);
    let before = settled(&server);
    let is_over = AtomicBool::new(false);
    let answered: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|number| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut client = Connection::open(address);
                    let mut answered = 0;
                    // SeqCst: a test's own flag.
                    while !is_over.load(SeqCst) {
                        // Half of them stay, half come anew.
                        if number % 2 == 0 {
                            client = Connection::open(address);
                        }
                        assert_eq!(status(&mut client, "/always"), 200);
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        let until = Instant::now() + TIME;
        let mut number = 0;
        while Instant::now() < until {
            number += 1;
            let text = match number % 4 {
                1 => version(3, "/b"),
                2 => version(3, "/b").replace("threads", "treads"),
                3 => version(2, "/a"),
                _ => "not even TOML".to_owned(),
            };
            server.config().replace(&text);
            server.signal(Signal::SIGHUP);
            // The pace of what is tested.
            thread::sleep(PAUSE);
        }
        is_over.store(true, SeqCst);
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    assert!(answered > 100, "{answered}");
    server.config().replace(&version(2, "/a"));
    reload(&server, DONE);
    assert!(lines_with(&server, DONE) >= 4, "{}", server.err());
    assert!(lines_with(&server, FAILED) >= 4, "{}", server.err());
    eventually("threads and descriptors are as before", || {
        let (threads, descriptors) = server.usage();
        threads <= before.0 && descriptors <= before.1
    });
    server.signal(Signal::SIGTERM);
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

/// Threads and descriptors once they have stayed the same for a while.
fn settled(server: &Process) -> (usize, usize) {
    let mut last = server.usage();
    let mut same = 0;
    eventually("threads and descriptors settle", || {
        let now = server.usage();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same > 50
    });
    last
}

#[test]
fn a_bad_file_changes_nothing_and_the_log_shows_what_is_wrong_with_it() {
    let server = ConfigFile::new(&version(2, "/a")).serve();
    let mut client = server.connect();
    let bad = version(2, "/b").replace("threads", "treads");
    server.config().replace(&bad);
    reload(&server, FAILED);
    let line = server.err_line("why", |line| line.contains(FAILED).then(|| line.to_owned()));
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "ERROR");
    let message = line["fields"]["message"].as_str().unwrap();
    for part in [
        "unknown key `treads`",
        "did you mean `threads`?",
        &format!("{}:4:1", server.config().path()),
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(status(&mut client, "/a"), 200);
    assert_eq!(status(&mut client, "/b"), 404);

    std::fs::remove_file(server.config().path()).unwrap();
    reload(&server, FAILED);
    assert_eq!(status(&mut client, "/a"), 200);

    server.config().replace(&version(2, "/b"));
    reload(&server, DONE);
    assert_eq!(status(&mut client, "/a"), 404);
    assert_eq!(status(&mut client, "/b"), 200);
}

#[test]
fn a_pool_whose_threads_cannot_be_had_changes_nothing() {
    // Address space for the first pool, and not for the second.
    let server = ConfigFile::new(&version(2, "/a")).serve_below("ulimit -v 4000000");
    let mut client = server.connect();
    assert_eq!(status(&mut client, "/a"), 200);
    let before = server.usage();
    let huge = version(2, "/b").replace("threads = 2", "threads = 64\nstack_size = '1GiB'");
    server.config().replace(&huge);
    reload(&server, FAILED);
    server.err_line("why", |line| {
        line.contains("pool `p` needs 64 threads").then_some(())
    });
    assert_eq!(status(&mut client, "/a"), 200);
    assert_eq!(status(&mut client, "/b"), 404);
    eventually("no thread is left of it", || server.usage() <= before);
}

#[test]
fn what_only_a_restart_changes_is_named() {
    let server = ConfigFile::new(&version(2, "/a")).serve();
    let mut client = server.connect();
    let other = version(2, "/b").replace("loops = 2", "loops = 3\nspin = 'off'");
    server.config().replace(&other);
    reload(&server, DONE);
    for key in ["loops", "spin"] {
        let named = format!("`{key}` takes a restart");
        server.err_line(&named, |line| line.contains(&named).then_some(()));
    }
    assert_eq!(status(&mut client, "/b"), 200);
}

#[test]
fn another_address_in_the_file_is_listened_on() {
    let server = ConfigFile::new(&version(2, "/a")).serve();
    let mut client = server.connect();
    assert_eq!(status(&mut client, "/a"), 200);
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let moved = version(2, "/a").replace("127.0.0.1:0", &format!("unix:{}", socket.display()));
    server.config().replace(&moved);
    reload(&server, DONE);
    let stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let mut other = Connection::over(stream);
    other.send_request("GET", "/a", &[], b"");
    assert_eq!(other.read_response("GET").status, 200);
    assert_eq!(status(&mut client, "/a"), 200);
}

#[test]
fn the_demo_has_no_file_to_reload_and_says_so() {
    let demo = Process::start(["demo", "--listen", "127.0.0.1:0"]);
    demo.out_line("it runs", |line| line.contains("http://").then_some(()));
    // It says so before it watches signals.
    eventually("it watches signals", || demo.has_thread("pontoon-stop"));
    demo.signal(Signal::SIGHUP);
    demo.err_line("a warning", |line| {
        line.contains("nothing to reload").then_some(())
    });
    demo.signal(Signal::SIGTERM);
    assert_eq!(demo.wait().code, Some(0));
}
