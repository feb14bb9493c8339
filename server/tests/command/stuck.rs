//! Calls that hang: who they are, and a process that ends because of them.

use nix::sys::signal::Signal;
use pontoon_tests::client::Connection;
use serde_json::Value;

use super::process::{Ended, Process, sleeper};

/// A stop that hardly waits.
const QUICK: &str = "shutdown_timeout = '100ms'";

/// One worker and no spare one.
fn one_worker(server: &str) -> Process {
    let location = "duration = '1h'\ndeadline = '2h'";
    let pool = "threads = 1\nmax_stuck = 0\nstuck_after = '50ms'";
    let file = sleeper(pool, location);
    let text = std::fs::read_to_string(file.path()).unwrap();
    file.replace(&format!("{server}\n{text}"));
    file.serve()
}

fn hang(server: &Process) -> Connection {
    let mut client = server.connect();
    client.send_request("GET", "/sleep", &[], b"");
    // The patrol has seen it.
    let hangs = logged("a call does not return");
    server.err_line("it hangs", |line| hangs(line).map(drop));
    client
}

/// The fields of a line in the log whose message begins so.
fn logged(message: &str) -> impl Fn(&str) -> Option<Value> {
    move |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = &line["fields"];
        let is_it = fields["message"].as_str()?.starts_with(message);
        is_it.then(|| fields.clone())
    }
}

fn line(ended: &Ended, message: &str) -> Value {
    let found = ended.err.lines().find_map(logged(message));
    found.unwrap_or_else(|| panic!("no {message:?} in\n{}", ended.err))
}

#[test]
fn a_stop_names_each_call_that_it_leaves_behind() {
    let server = one_worker(QUICK);
    let mut answered = server.connect();
    answered.send_request("GET", "/nowhere", &[], b"");
    assert_eq!(answered.read_response("GET").status, 404);
    let _client = hang(&server);
    server.signal(Signal::SIGTERM);
    let ended = server.wait();
    // However long the pool has been stuck: nobody asked for a restart.
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let left = line(&ended, "left behind: request ");
    let seen = line(&ended, "a call does not return");
    assert_eq!(
        (&left["pool"], &left["location"]),
        (&"p".into(), &"/sleep".into())
    );
    assert_eq!(
        (&seen["pool"], &seen["location"]),
        (&"p".into(), &"/sleep".into())
    );
    // The second request of the process.
    assert_eq!((&left["request"], &seen["request"]), (&2.into(), &2.into()));
    assert!(left["age_seconds"].as_f64().is_some_and(|age| age >= 0.05));
    assert!(left["thread_id"].is_i64());
    assert_eq!(left["thread_id"], seen["thread_id"]);
}

#[test]
fn a_process_whose_pool_has_no_worker_left_ends_so_that_it_is_started_again() {
    let server = one_worker(&format!("{QUICK}\nrestart_when_stuck = '100ms'"));
    let client = hang(&server);
    let ended = server.wait();
    assert_eq!(ended.code, Some(75), "{}", ended.err);
    let why = line(&ended, "no worker is left, all calls hang");
    assert_eq!(why["pool"], "p");
    line(&ended, "stopping: no more connections");
    line(&ended, "left behind: request 1 of /sleep");
    assert!(
        ended
            .err
            .contains("pontoon: stopped to be started again: for "),
        "{}",
        ended.err
    );
    drop(client);
}

#[test]
fn term_does_not_cut_short_what_drains_for_a_restart_but_a_second_one_does() {
    let server = one_worker("shutdown_timeout = '1h'\nrestart_when_stuck = '50ms'");
    let _client = hang(&server);
    let is_stopping = logged("stopping: no more connections");
    server.err_line("it stops", |line| is_stopping(line).map(drop));
    server.signal(Signal::SIGTERM);
    let waits = logged("it stops already");
    server.err_line("it goes on", |line| waits(line).map(drop));
    assert!(server.is_running());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code, Some(1));
}

#[test]
fn a_reload_turns_the_restart_on() {
    let server = one_worker(QUICK);
    let _client = hang(&server);
    let text = std::fs::read_to_string(server.config().path()).unwrap();
    let text = format!("restart_when_stuck = '50ms'\n{text}");
    server.config().replace(&text);
    server.signal(Signal::SIGHUP);
    assert_eq!(server.wait().code, Some(75));
}
