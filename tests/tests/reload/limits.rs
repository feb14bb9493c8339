//! What a location's limits have counted is still true after a reload that keeps its adapter.

use pontoon::Server;
use pontoon_tests::client::{Connection, Response};
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use serde_json::{Value, json};

use crate::{alone, config, reload};

/// Calls of `/held` last until their clients leave, or for an hour.
fn held(pool: &str, limits: &str) -> Server {
    config(&format!(
        "admin = '127.0.0.1:0'\n{pool}\n[[location]]\npath = '/held'\nadapter = 'sleep'\npool = 'p'\n\
         duration = '1h'\nmax = '1h'\ndeadline = '2h'\n{limits}\n"
    ))
    .configure(|config| config.shutdown_timeout = std::time::Duration::ZERO)
}

const POOL: &str = "[pool.p]\nthreads = 4\nmax_queue = 4\ncodel_target = 'off'";

fn look(fixture: &Fixture, page: &str) -> Response {
    let mut admin = Connection::open(fixture.admin());
    admin.send_request("GET", page, &[], b"");
    admin.read_response("GET")
}

fn location(fixture: &Fixture) -> Value {
    look(fixture, "/status").json()["locations"][0].clone()
}

fn hold(fixture: &Fixture, calls: u64) -> Connection {
    let mut client = fixture.connect();
    client.send_request("GET", "/held", &[], b"");
    eventually("the call is inside", || {
        location(fixture)["share"]["in_flight"] == calls
    });
    client
}

#[test]
fn calls_from_before_a_reload_count_against_the_limits_from_after_it() {
    let _alone = alone();
    let fixture = Fixture::start(held(POOL, "share = 5\nmax_per_client = 5"));
    let _clients = [hold(&fixture, 1), hold(&fixture, 2)];
    let report = reload(&fixture, held(POOL, "share = 2\nmax_per_client = 5"));
    assert_eq!((report.locations_kept, report.needs_restart), (1, vec![]));
    assert_eq!(fixture.get("/held").status, 503);
    let full = json!({ "max": 2, "in_flight": 2, "refused": 1 });
    assert_eq!(location(&fixture)["share"], full);
    reload(&fixture, held(POOL, "share = 5\nmax_per_client = 2"));
    assert_eq!(fixture.get("/held").status, 429);
    reload(&fixture, held(POOL, "share = 5\nmax_per_client = 3"));
    let _third = hold(&fixture, 3);
    assert_eq!(fixture.get("/held").status, 429);
    let clients = json!({ "max": 3, "clients": 1, "refused": 2 });
    assert_eq!(location(&fixture)["max_per_client"], clients);
}

#[test]
fn the_admin_listener_shows_what_is_served_and_moves_only_by_a_restart() {
    let _alone = alone();
    let fixture = Fixture::start(held(POOL, ""));
    assert_eq!(location(&fixture)["pool"], "p");
    let other_pool = POOL.replace("threads = 4", "threads = 3");
    let elsewhere = held(&other_pool, "").admin("127.0.0.1:1");
    let report = reload(&fixture, elsewhere);
    assert_eq!(report.needs_restart, ["admin"]);
    assert_eq!(look(&fixture, "/readyz").status, 200);
    let status = look(&fixture, "/status").json();
    assert_eq!(status["pools"]["p"]["threads"], 3);
    assert_eq!(status["connections"]["max"], 10_000);
}
