//! What the OS does not give: descriptors, threads, room for the log.

use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pontoon_tests::client::Connection;
use pontoon_tests::eventually;
use pontoon_tests::wait::eventually_some;

use super::process::{ConfigFile, Process, sleeper};

/// How long something that should not spin is watched.
const WATCHED: Duration = Duration::from_secs(1);

fn lines_with(server: &Process, text: &str) -> usize {
    server
        .err()
        .lines()
        .filter(|line| line.contains(text))
        .count()
}

fn ask(client: &mut Connection) -> u16 {
    client.send_request("GET", "/sleep?ms=0", &[], b"");
    client.read_response("GET").status
}

#[test]
fn the_soft_limit_on_descriptors_is_raised_to_the_hard_one() {
    let file = sleeper("", "");
    let mut arguments = file.arguments().to_vec();
    arguments.extend(["--log", "debug"].map(str::to_owned));
    let server = Process::start_below("ulimit -Sn 100; ulimit -Hn 300", arguments);
    server.listens_on();
    let line: serde_json::Value = server.err_line("the limit is told", |line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        (line["fields"]["message"] == "the limit on file descriptors").then_some(line)
    });
    assert_eq!(line["level"], "DEBUG");
    for (what, limit) in [("before", 100), ("now", 300), ("hard", 300)] {
        assert_eq!(line["fields"][what], limit, "{what}: {line}");
    }
}

#[test]
fn a_hard_limit_below_what_max_connections_needs_is_told_with_both_figures() {
    let text = std::fs::read_to_string(sleeper("threads = 4", "").path()).unwrap();
    let file = |max| ConfigFile::new(&format!("max_connections = {max}\n{text}"));
    let server = file(5000).serve_below("ulimit -n 400");
    server.listens_on();
    let warning = server.err_line("a warning", |line| {
        line.contains("`max_connections` is 5000")
            .then(|| line.to_owned())
    });
    assert!(warning.contains("hard limit is 400"), "{warning}");
    assert!(warning.contains("WARN"), "{warning}");

    let server = file(200).serve_below("ulimit -n 400");
    server.listens_on();
    assert_eq!(
        lines_with(&server, "max_connections"),
        0,
        "{}",
        server.err()
    );
}

#[test]
fn accepting_pauses_without_descriptors_and_goes_on_with_them() {
    let server = sleeper("threads = 2", "").serve_below("ulimit -n 40");
    let address = server.listens_on();
    let mut clients: Vec<_> = (0..100).map(|_| Connection::open(address)).collect();
    server.err_line("it has no more", |line| {
        line.contains("could not be accepted").then_some(())
    });
    assert_eq!(ask(&mut clients[0]), 200, "who is in is served");
    let (cpu, warnings) = (
        server.cpu_time(),
        lines_with(&server, "could not be accepted"),
    );
    thread::sleep(WATCHED);
    let (cpu, warnings) = (
        server.cpu_time().saturating_sub(cpu),
        lines_with(&server, "could not be accepted") - warnings,
    );
    assert!(warnings <= 20, "{warnings} tries in {WATCHED:?}");
    assert!(cpu < WATCHED / 2, "{cpu:?} of CPU time in {WATCHED:?}");
    // All are served in the end, as those before them leave.
    for mut client in clients {
        assert_eq!(ask(&mut client), 200);
    }
    assert_eq!(ask(&mut server.connect()), 200);
}

#[test]
fn whatever_descriptor_is_the_first_that_cannot_be_had_the_start_ends_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut failures = 0;
    for limit in 4.. {
        assert!(limit < 100, "it starts at last");
        let text = std::fs::read_to_string(sleeper("threads = 1", "").path()).unwrap();
        let file = ConfigFile::new(&format!("loops = 4\n{text}"));
        let socket = folder.path().join(format!("s{limit}"));
        let mut arguments = file.arguments().to_vec();
        arguments.extend(["--listen".to_owned(), format!("unix:{}", socket.display())]);
        let began = Instant::now();
        let server = Process::start_below(&format!("ulimit -n {limit}"), arguments);
        let starts = eventually_some("it starts, or ends", || {
            if server.err().contains("\"listening\"") {
                return Some(true);
            }
            (!server.is_running()).then_some(false)
        });
        if starts {
            server.signal(Signal::SIGTERM);
            let ended = server.wait();
            // The signals may be what the last descriptors are missing for.
            if ended.code == Some(0) {
                break;
            }
            assert_eq!(ended.code, Some(1), "{limit}: {}", ended.err);
            continue;
        }
        failures += 1;
        let ended = server.wait();
        assert_eq!(ended.code, Some(1), "{limit}: {}", ended.err);
        assert!(ended.err.contains("pontoon: "), "{limit}: {}", ended.err);
        assert!(!ended.err.contains("panicked"), "{limit}: {}", ended.err);
        assert!(began.elapsed() < Duration::from_secs(20), "{limit}");
    }
    assert!(failures >= 8, "each loop needs two: {failures}");
}

#[test]
fn threads_that_cannot_be_had_at_start_are_an_error_that_names_the_pool() {
    for (shell, pool) in [
        // The limit on processes has either name, by the shell.
        ("ulimit -u 50 || ulimit -p 50", "threads = 200"),
        ("ulimit -v 4000000", "threads = 64\nstack_size = '1GiB'"),
    ] {
        let file = sleeper(pool, "");
        let ended = Process::start_below(shell, file.arguments()).wait();
        assert_eq!(ended.code, Some(1), "{shell}: {}", ended.err);
        let named = "pontoon: pool `p` needs ";
        assert!(ended.err.contains(named), "{shell}: {}", ended.err);
    }
}

#[test]
fn a_log_that_takes_nothing_costs_no_request_and_no_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let file = sleeper("threads = 2", "");
    let mut arguments = file.arguments().to_vec();
    arguments.extend(["--listen".to_owned(), format!("unix:{}", socket.display())]);
    for stderr in ["exec 2>/dev/full", "exec 2>&-"] {
        let server = Process::start_below(stderr, &arguments);
        eventually("it listens", || UnixStream::connect(&socket).is_ok());
        let mut client = Connection::over(UnixStream::connect(&socket).unwrap());
        for _ in 0..1000 {
            client.send_request("GET", "/sleep?ms=0", &[], b"");
            assert_eq!(client.read_response("GET").status, 200);
        }
        let cpu = server.cpu_time();
        thread::sleep(WATCHED);
        let cpu = server.cpu_time().saturating_sub(cpu);
        assert!(cpu < WATCHED / 2, "{stderr}: {cpu:?} in {WATCHED:?}");
        client.send_request("GET", "/sleep?ms=0", &[], b"");
        assert_eq!(client.read_response("GET").status, 200);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait().code, Some(0), "{stderr}");
    }
}
