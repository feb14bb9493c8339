//! The admin listener: it tells the truth, and tells it whatever the rest of the server does.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use pontoon::{
    CallContext, CallbackAdapter, Location, Pool, Request, Response, ResponseCompleter, Server,
    Share, blocking, callback,
};
use pontoon_tests::client::{Connection, Response as Answer};
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::{Gate, OpensAtLast, gate};
use pontoon_tests::problem::problem;
use pontoon_tests::wait::eventually;
use serde_json::{Value, json};

fn look(admin: SocketAddr, page: &str) -> Answer {
    let mut client = Connection::open(admin);
    client.send_request("GET", page, &[], b"");
    client.read_response("GET")
}

/// The document, which no cache may keep.
fn document(admin: SocketAddr, page: &str, status: u16) -> Value {
    let answer = look(admin, page);
    assert_eq!(answer.status, status, "{page}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

/// The codes of the reasons on a page that is 503.
fn reasons(admin: SocketAddr, page: &str) -> Vec<String> {
    let document = document(admin, page, 503);
    let reasons = document["reasons"].as_array().expect("a list");
    let code = |reason: &Value| {
        assert!(
            reason["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty())
        );
        reason["code"].as_str().expect("a code").to_owned()
    };
    reasons.iter().map(code).collect()
}

/// A server whose `/held` waits at a gate, on a pool with 2 + 2 places of which it may have all.
fn held(loops: usize) -> (Server, OpensAtLast) {
    let (gate, door) = gate();
    let held = blocking("p", move |_: Request| {
        door.pass();
        Ok(Response::text("through"))
    });
    let held = Location::new("/held", held).share(Share::Percent(100));
    let server = Server::new()
        .loops(loops)
        .configure(|config| config.shutdown_timeout = Duration::from_secs(20))
        .pool(Pool::named("p").threads(2).max_queue(2).codel(None))
        .route(held.max_per_client(9))
        .admin("127.0.0.1:0");
    (server, gate)
}

#[test]
fn a_server_that_is_well_says_so() {
    let (server, _gate) = held(2);
    let server = Fixture::start(server);
    let admin = server.admin();
    let live = document(admin, "/livez", 200);
    assert_eq!(live, json!({ "live": true, "loops": 2 }));
    assert_eq!(document(admin, "/readyz", 200), json!({ "ready": true }));
    let status = document(admin, "/status", 200);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&status["state"], &status["loops"]),
        (&json!("serving"), &json!(2))
    );
    assert!(
        status["uptime_seconds"]
            .as_f64()
            .is_some_and(|up| up >= 0.0)
    );
    assert_eq!(status["connections"], json!({ "open": 0, "max": 10_000 }));
    let location = json!({
        "path": "/held",
        "methods": null,
        "pool": "p",
        "share": { "max": 4, "in_flight": 0, "refused": 0 },
        "max_per_client": { "max": 9, "clients": 0, "refused": 0 },
    });
    assert_eq!(status["locations"], json!([location]));
    for field in [
        "threads",
        "capacity",
        "idle",
        "in_flight",
        "submitted",
        "refused",
        "shed",
        "completed",
        "panicked",
        "expired",
        "cancelled",
        "late",
        "sessions",
        "sessions_opened",
        "sessions_failed",
        "backend_failed",
        "breaker_opened",
    ] {
        assert!(status["pools"]["p"][field].is_u64(), "{field}: {status}");
    }
    assert_eq!(status["pools"]["p"]["capacity"], 4);
    assert_eq!(status["pools"]["p"]["overloaded"], false);
    assert_eq!(status["pools"]["p"]["breaker"], "closed");
    problem(&look(admin, "/held"), 404);
    problem(&look(admin, "/"), 404);
}

#[test]
fn its_pages_are_not_on_the_public_listener_and_off_by_default() {
    let (server, _gate) = held(1);
    let server = Fixture::start(server);
    for page in ["/livez", "/readyz", "/status"] {
        problem(&server.get(page), 404);
        let mut client = Connection::open(server.admin());
        client.send_request("POST", page, &[], b"");
        let refused = client.read_response("POST");
        assert_eq!(refused.header("allow"), Some("GET, HEAD"));
        problem(&refused, 405);
    }
    let server = Fixture::start(Server::new().pool(Pool::named("p").threads(1)));
    assert_eq!(server.running().admin_address(), None);
}

#[test]
fn it_answers_while_every_pool_hangs_and_all_connections_are_taken() {
    let (server, gate) = held(1);
    let server = Fixture::start(server.configure(|config| config.max_connections = 8));
    let admin = server.admin();
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients[..4] {
        client.send_request("GET", "/held", &[], b"");
    }
    gate.wait_for(2);
    eventually("all places and connections are taken", || {
        let in_flight = server
            .running()
            .pool_stats("p")
            .map(|stats| stats.in_flight);
        (in_flight, server.running().connections()) == (Some(4), 8)
    });
    problem(&server.get("/held"), 503);
    for _ in 0..3 {
        assert_eq!(document(admin, "/livez", 200)["live"], true);
        // Full is not broken: it would be no less full if nobody came here.
        document(admin, "/readyz", 200);
    }
    let status = document(admin, "/status", 200);
    assert_eq!(status["connections"], json!({ "open": 8, "max": 8 }));
    let pool = &status["pools"]["p"];
    assert_eq!((&pool["in_flight"], &pool["idle"]), (&json!(4), &json!(0)));
    assert_eq!(status["locations"][0]["share"]["in_flight"], 4);
    assert_eq!(status["locations"][0]["max_per_client"]["clients"], 1);
    gate.open();
    for client in &mut clients[..4] {
        assert_eq!(client.read_response("GET").status, 200);
    }
}

/// Blocks the loop at the gate: what no adapter may do.
struct Blocks(Arc<Gate>);

impl CallbackAdapter for Blocks {
    fn submit(&self, _: Request, _: &CallContext, completer: ResponseCompleter) {
        self.0.pass();
        completer.complete(Ok(Response::text("at last")));
    }
}

#[test]
fn a_loop_that_does_not_turn_is_named_and_forgiven_when_it_turns_again() {
    let (gate, door) = gate();
    let server = Server::new()
        .loops(1)
        .location("/blocks", callback(Blocks(door)))
        .admin("127.0.0.1:0");
    let server = Fixture::start(server);
    let admin = server.admin();
    let mut client = server.connect();
    client.send_request("GET", "/blocks", &[], b"");
    gate.wait_for(1);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(reasons(admin, "/livez"), ["loop_hangs"]));
        }
    });
    let dead = document(admin, "/livez", 503);
    assert_eq!((&dead["live"], &dead["loops"]), (&json!(false), &json!(1)));
    assert_eq!(dead["reasons"][0]["loop"], 0);
    let detail = dead["reasons"][0]["detail"].as_str().expect("text");
    assert!(detail.contains("pontoon-loop-0"), "{detail}");
    document(admin, "/status", 200);
    gate.open();
    assert_eq!(client.read_response("GET").text(), "at last");
    // The same loop, with nothing left of the questions that it did not answer.
    eventually("it lives", || look(admin, "/livez").status == 200);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| eventually("it lives", || look(admin, "/livez").status == 200));
        }
    });
}

#[test]
fn a_server_that_drains_is_alive_and_not_ready_until_it_has_ended() {
    let (server, gate) = held(2);
    let server = Fixture::start(server);
    let admin = server.admin();
    let mut client = server.connect();
    client.send_request("GET", "/held", &[], b"");
    gate.wait_for(1);
    document(admin, "/readyz", 200);
    let stopping = thread::spawn(move || server.stop());
    eventually("it drains", || look(admin, "/readyz").status == 503);
    // The other loop has nothing to drain and ends at once, which is no fault.
    for _ in 0..5 {
        assert_eq!(reasons(admin, "/readyz"), ["draining"]);
        document(admin, "/livez", 200);
    }
    assert_eq!(document(admin, "/status", 200)["state"], "draining");
    gate.open();
    assert_eq!(client.read_response("GET").text(), "through");
    let report = stopping.join().expect("no panic");
    assert_eq!((report.connections_cut, report.loops_stuck), (0, 0));
    assert!(TcpStream::connect(admin).is_err(), "it is the last to go");
}

#[test]
fn a_pool_that_was_shut_down_makes_the_server_unready() {
    let pool = Pool::named("mine").threads(1).build().expect("a pool");
    let server = Server::new().pool(&pool).admin("127.0.0.1:0");
    let server = Fixture::start(server);
    document(server.admin(), "/readyz", 200);
    pool.begin_shutdown();
    assert_eq!(reasons(server.admin(), "/readyz"), ["pool_stopped"]);
    let stopped = document(server.admin(), "/readyz", 503);
    assert_eq!(stopped["reasons"][0]["pool"], "mine");
    document(server.admin(), "/livez", 200);
}

#[test]
fn a_client_that_holds_all_its_connections_does_not_for_long() {
    let (server, _gate) = held(1);
    let server = Fixture::start(server);
    let mut silent: Vec<_> = (0..64).map(|_| Connection::open(server.admin())).collect();
    // Half of them begin a request and never end it.
    for client in &mut silent[..32] {
        client.send(b"GET /livez HTTP/1.1\r\n");
    }
    eventually("there is room again", || {
        let mut client = Connection::open(server.admin());
        client.send_request("GET", "/readyz", &[], b"");
        client
            .try_read_response("GET")
            .is_some_and(|answer| answer.status == 200)
    });
    assert_eq!(
        server.get("/nowhere").status,
        404,
        "the public never noticed"
    );
    for client in &mut silent {
        client.read_to_end();
    }
}

#[test]
fn bodies_are_not_taken() {
    let (server, _gate) = held(1);
    let server = Fixture::start(server);
    let mut client = Connection::open(server.admin());
    client.send(b"GET /readyz HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let refused = client.read_response("GET");
    problem(&refused, 413);
    assert!(refused.closes());
}

#[test]
fn it_may_be_a_unix_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("admin.sock");
    let server = Server::new().admin(format!("unix:{}", path.display()));
    let server = Fixture::start(server);
    let stream = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    let mut client = Connection::over(stream);
    client.send_request("GET", "/readyz", &[], b"");
    assert_eq!(client.read_response("GET").status, 200);
    let _ = server.stop();
    assert!(!path.exists());
}

#[test]
fn a_server_that_cannot_start_leaves_no_admin_listener_behind() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let public = taken.local_addr().expect("an address").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("admin.sock");
    let admin = format!("unix:{}", path.display());
    for _ in 0..2 {
        let started = Server::new().listen(&public).admin(&admin).start();
        let error = started.expect_err("the port is taken").to_string();
        assert!(error.contains(&public), "{error}");
        assert!(!path.exists());
    }
    let wrong = Server::new().admin("localhost:1").start();
    let error = wrong.expect_err("no name").to_string();
    assert!(error.contains("names are not looked up"), "{error}");
}
