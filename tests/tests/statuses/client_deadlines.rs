//! Deadlines that clients ask for: earlier than the location's, or none at all.

use std::time::Duration;

use pontoon::{
    CallContext, Location, Pool, Request, Response, Server, blocking, blocking_with, handler,
};
use pontoon_tests::client::Response as Answer;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::{OpensAtLast, gate};
use pontoon_tests::problem::problem;

/// Longer than the whole test.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(100);

/// `/long` and `/short` hang at a gate, with a long and a short deadline of their own; `/quick` does
/// not, `/deaf` neither and heeds no client, `/waits` hangs on the loop.
fn serve() -> (Fixture, OpensAtLast) {
    let (gate, door) = gate();
    let held = || {
        let door = door.clone();
        blocking("held", move |_: Request| {
            door.pass();
            Ok(Response::text("through"))
        })
    };
    let left = || {
        blocking_with("quick", |_: Request, call: &CallContext| {
            let left = call.remaining().map_or(0, |left| left.as_secs());
            Ok(Response::text(left.to_string()))
        })
    };
    let waits = handler(|_, _| async {
        pontoon::event_loop::sleep(LONG).await;
        Ok(Response::text("at last"))
    });
    let server = Server::new()
        .configure(|config| config.shutdown_timeout = Duration::from_secs(2))
        .pool(Pool::named("held").threads(8))
        .pool(Pool::named("quick").threads(1))
        .route(Location::new("/long", held()).deadline(LONG))
        .route(Location::new("/short", held()).deadline(SHORT))
        .route(Location::new("/quick", left()).deadline(LONG))
        .route(
            Location::new("/deaf", left())
                .deadline(LONG)
                .client_deadline(false),
        )
        .route(Location::new("/waits", waits).deadline(LONG));
    (Fixture::start(server), gate)
}

fn ask(server: &Fixture, target: &str, headers: &[(&str, &str)]) -> Answer {
    server.request("GET", target, headers, b"")
}

#[test]
fn the_earlier_deadline_holds_and_the_504_says_whose_it_was() {
    let (server, _opens) = serve();
    for (target, headers, whose) in [
        (
            "/long",
            &[("X-Request-Timeout", "0.1")][..],
            "X-Request-Timeout",
        ),
        ("/long", &[("grpc-timeout", "100m")], "grpc-timeout"),
        (
            "/waits",
            &[("x-request-timeout", "0.05")],
            "X-Request-Timeout",
        ),
        (
            "/short",
            &[("X-Request-Timeout", "500")],
            "of this location",
        ),
        (
            "/short",
            &[("grpc-timeout", "99999999H")],
            "of this location",
        ),
        (
            "/long",
            &[("X-Request-Timeout", "500"), ("grpc-timeout", "50000u")],
            "grpc-timeout",
        ),
        (
            "/long",
            &[("X-Request-Timeout", "1"), ("grpc-timeout", "1n")],
            "grpc-timeout",
        ),
    ] {
        let detail = problem(&ask(&server, target, headers), 504);
        assert!(detail.contains(whose), "{target} {headers:?}: {detail}");
    }
}

#[test]
fn a_client_never_gets_more_than_the_location_gives() {
    let (server, _opens) = serve();
    let left = |headers: &[(&str, &str)]| {
        let answer = ask(&server, "/quick", headers);
        assert_eq!(answer.status, 200);
        answer.text().parse::<u64>().expect("seconds")
    };
    // The library sees what is left: less than what was asked for, and not much less.
    assert!((300..600).contains(&left(&[])));
    assert!((300..600).contains(&left(&[("X-Request-Timeout", "86400")])));
    assert!((150..=300).contains(&left(&[("X-Request-Timeout", "300.5")])));
    assert!((150..300).contains(&left(&[("grpc-timeout", "5M")])));
}

#[test]
fn a_deadline_that_cannot_be_read_is_400_and_nothing_is_called() {
    let (server, _opens) = serve();
    for (headers, name) in [
        (&[("X-Request-Timeout", "soon")][..], "X-Request-Timeout"),
        (&[("X-Request-Timeout", "-1")], "X-Request-Timeout"),
        (&[("X-Request-Timeout", "")], "X-Request-Timeout"),
        (&[("grpc-timeout", "100")], "grpc-timeout"),
        (
            &[("grpc-timeout", "1S"), ("grpc-timeout", "2S")],
            "grpc-timeout",
        ),
        (
            &[("X-Request-Timeout", "1"), ("grpc-timeout", "x")],
            "grpc-timeout",
        ),
    ] {
        let detail = problem(&ask(&server, "/quick", headers), 400);
        assert!(detail.contains(name), "{headers:?}: {detail}");
    }
    let stats = server.running().pool_stats("quick").expect("a pool");
    assert_eq!(stats.submitted, 0);
}

#[test]
fn a_location_may_heed_no_client() {
    let (server, _opens) = serve();
    for value in ["0", "soon"] {
        let answer = ask(
            &server,
            "/deaf",
            &[("X-Request-Timeout", value), ("grpc-timeout", value)],
        );
        assert_eq!(answer.status, 200);
        assert!(answer.text().parse::<u64>().expect("seconds") >= 300);
    }
}

#[test]
fn no_time_at_all_is_504_before_the_call_is_run() {
    let (server, _opens) = serve();
    let detail = problem(&ask(&server, "/quick", &[("X-Request-Timeout", "0")]), 504);
    assert!(detail.contains("X-Request-Timeout"), "{detail}");
    assert!(detail.contains("nothing was done"), "{detail}");
    let stats = server.running().pool_stats("quick").expect("a pool");
    assert_eq!(stats.submitted, 0);
}

#[test]
fn a_body_that_misses_the_clients_deadline_is_408() {
    let (server, _opens) = serve();
    let mut client = server.connect();
    client.send(b"POST /quick HTTP/1.1\r\nHost: a\r\nX-Request-Timeout: 0.1\r\nContent-Length: 9\r\n\r\nabc");
    let response = client.read_response("POST");
    let detail = problem(&response, 408);
    assert!(detail.contains("X-Request-Timeout"), "{detail}");
    assert!(response.closes());
}
