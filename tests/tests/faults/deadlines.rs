//! Time counts from arrival: 504 on time, also when the worker never returns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pontoon::{Location, blocking};
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::{Gate, OpensAtLast};

use crate::{LOOPS, at_gate, pool, server, stats, wait_in_flight};

const DEADLINE: Duration = Duration::from_millis(150);
/// How much later a 504 may be on a busy machine.
const GRACE: Duration = Duration::from_secs(3);

fn with_deadline(loops: usize, threads: usize) -> (Fixture, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let location = Location::new("/gate", blocking("p", at_gate(&gate))).deadline(DEADLINE);
    let server = server(loops).pool(pool(threads, 8)).route(location);
    (Fixture::start(server), gate)
}

fn get_504(server: &Fixture) -> String {
    let began = Instant::now();
    let response = server.get("/gate");
    let took = began.elapsed();
    assert_eq!(response.status, 504);
    assert!(took >= DEADLINE, "{took:?} is too early");
    assert!(took < DEADLINE + GRACE, "{took:?} is too late");
    response.text()
}

#[test]
fn a_running_call_is_answered_504_on_time_and_keeps_its_worker_until_it_returns() {
    for loops in LOOPS {
        let (server, gate) = with_deadline(loops, 1);
        let _opens = OpensAtLast(Arc::clone(&gate));
        let running = get_504(&server);
        assert!(running.contains("running"), "{running}");
        let now = stats(&server, "p");
        assert_eq!((now.in_flight, now.idle, now.expired), (1, 0, 1));

        let queued = get_504(&server);
        assert!(!queued.contains("while"), "it never ran: {queued}");
        let now = stats(&server, "p");
        assert_eq!(
            (now.in_flight, now.expired),
            (1, 2),
            "its place is free again"
        );

        gate.open();
        wait_in_flight(&server, 0);
        assert_eq!(server.get("/gate").status, 200, "the worker serves again");
        let now = stats(&server, "p");
        assert_eq!((now.completed, now.late), (2, 1));
        assert_eq!(gate.came(), 2);
    }
}

#[test]
fn many_deadlines_that_pass_together_are_all_on_time() {
    let (server, gate) = with_deadline(1, 2);
    let _opens = OpensAtLast(Arc::clone(&gate));
    std::thread::scope(|scope| {
        (0..10).for_each(|_| drop(scope.spawn(|| get_504(&server))));
    });
    let now = stats(&server, "p");
    assert_eq!((now.in_flight, now.expired, now.refused), (2, 10, 0));
}

#[test]
fn a_504_keeps_the_connection_and_the_late_outcome_touches_nothing() {
    let (server, gate) = with_deadline(1, 2);
    let _opens = OpensAtLast(Arc::clone(&gate));
    let mut client = server.connect();
    client.send_request("GET", "/gate", &[], b"");
    assert_eq!(client.read_response("GET").status, 504);
    gate.open();
    wait_in_flight(&server, 0);
    for _ in 0..3 {
        client.send_request("GET", "/gate", &[], b"");
        let response = client.read_response("GET");
        assert_eq!((response.status, response.text().as_str()), (200, "done"));
    }
}
