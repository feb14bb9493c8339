//! Signals that the process sends to itself: one test, because they are for the whole process.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use nix::sys::signal::{Signal, raise};
use pontoon::{Pool, Response, Server, blocking};
use pontoon_tests::eventually;
use pontoon_tests::gate::gate;

fn server() -> Server {
    let pool = Pool::named("p").threads(1);
    let location = blocking("p", |_| Ok(Response::text("here")));
    Server::new()
        .listen("127.0.0.1:0")
        .pool(pool)
        .location("/", location)
}

fn has_thread(name: &str) -> bool {
    let tasks = fs::read_dir("/proc/self/task").expect("this process has threads");
    tasks
        .filter_map(Result::ok)
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .any(|comm| comm.trim_end() == name)
}

#[test]
fn hups_during_a_reload_make_one_more_and_a_load_that_hangs_holds_up_no_stop() {
    let (opens, gate) = gate();
    let loads = Arc::new(AtomicUsize::new(0));
    let load = {
        let loads = Arc::clone(&loads);
        move || {
            // SeqCst: a test's own count, here and below.
            loads.fetch_add(1, SeqCst);
            gate.pass();
            Ok(server())
        }
    };
    let running = server().start().expect("it starts");
    let address = running.local_addr().expect("a port");
    let run = thread::spawn(move || running.run_and_reload(load));
    // Made once the signals are watched.
    eventually("signals are watched", || has_thread("pontoon-stop"));

    raise(Signal::SIGHUP).expect("a signal that exists");
    opens.wait_for(1);
    for _ in 0..5 {
        raise(Signal::SIGHUP).expect("a signal that exists");
        thread::yield_now();
    }
    // Those that came before it are seen before it.
    raise(Signal::SIGTERM).expect("a signal that exists");
    let outcome = run.join().expect("no panic");
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(loads.load(SeqCst), 1, "the first one still hangs");

    opens.open();
    eventually("the reloads end", || !has_thread("pontoon-reload"));
    assert_eq!(loads.load(SeqCst), 2);
}
