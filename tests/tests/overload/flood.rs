//! More clients than can be served before they give up.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pontoon::{CallContext, Error, Location, Pool, Request, Response, Server, blocking_with};
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;

use crate::Count;

const THREADS: usize = 4;
const SERVICE: Duration = Duration::from_millis(5);
/// All of them at once would wait for twice the patience of each.
const CLIENTS: usize = 160;
const PATIENCE: Duration = Duration::from_millis(100);
const TIME: Duration = Duration::from_secs(2);

/// What the library saw, and what the clients did.
#[derive(Debug, Default)]
struct Counts {
    run: Count,
    began_too_late: Count,
    answered: Count,
    refused: Count,
    timed_out: Count,
    gave_up: Count,
}

fn server(counts: &Arc<Counts>) -> Fixture {
    let counts = Arc::clone(counts);
    let work = move |_: Request, call: &CallContext| {
        counts.run.add();
        if call.remaining().is_some_and(|left| left.is_zero()) {
            counts.began_too_late.add();
        }
        thread::sleep(SERVICE);
        Ok::<_, Error>(Response::text("done"))
    };
    let pool = Pool::named("p").threads(THREADS).max_queue(1_000);
    let location = Location::new("/work", blocking_with("p", work)).deadline(PATIENCE);
    Fixture::start(Server::new().pool(pool).route(location))
}

/// Asks, each after the other, until `end`; closes its connection when an answer takes too long.
fn ask_until(end: Instant, server: &Fixture, counts: &Counts) {
    let connect = || {
        let client = server.connect();
        let patience = client.socket().set_read_timeout(Some(PATIENCE));
        patience.expect("above zero");
        client
    };
    let mut client = connect();
    while Instant::now() < end {
        client.send_request("GET", "/work", &[], b"");
        // Whether anything comes in time; the rest of it is there then.
        let came = client.socket().peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
        if !came {
            counts.gave_up.add();
            client = connect();
            continue;
        }
        match client.read_response("GET").status {
            200 => counts.answered.add(),
            503 => {
                counts.refused.add();
                // Who is refused comes again a little later, and not at once.
                thread::sleep(2 * SERVICE);
            }
            504 => counts.timed_out.add(),
            other => panic!("status {other}"),
        }
    }
}

#[test]
fn with_more_clients_than_can_be_served_in_time_the_capacity_goes_to_those_that_are() {
    let counts = Arc::new(Counts::default());
    let server = server(&counts);
    // What the machine can do, by as many clients as there are threads.
    let capacity = Counts::default();
    let ask = |clients: usize, time: Duration, counts: &Counts| {
        let end = Instant::now() + time;
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| ask_until(end, &server, counts));
            }
        });
    };
    ask(2 * THREADS, TIME / 4, &capacity);
    let before = counts.run.get();
    ask(CLIENTS, TIME, &counts);
    let run = counts.run.get() - before;
    let shown = || format!("{counts:?}, alone {capacity:?}, run {run}");
    assert!(counts.refused.get() > 0, "{}", shown());
    // Four times the time: as many would be all of the capacity.
    assert!(
        2 * counts.answered.get() > 4 * capacity.answered.get(),
        "{}",
        shown()
    );
    // A worker that is held up between its look at the clock and the library can begin late.
    assert!(100 * counts.began_too_late.get() <= run, "{}", shown());
    // What was run was for those who got it; those who left while theirs ran are few.
    assert!(
        10 * run <= 11 * counts.answered.get() + 10 * CLIENTS,
        "{}",
        shown()
    );
    eventually("nothing is left inside", || {
        let stats = server.running().pool_stats("p");
        stats.is_some_and(|stats| stats.in_flight == 0)
    });
    assert_eq!(server.get("/work").status, 200, "at once, afterwards");
}
