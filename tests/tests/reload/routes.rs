//! What the next request sees after a reload.

use std::fs;
use std::time::Duration;

use pontoon::blocking;
use pontoon_tests::client::Connection;
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::gate;

use crate::{alone, at_gate, config, pool, reload, server, text};

fn status_and_text(client: &mut Connection, path: &str) -> (u16, String) {
    client.send_request("GET", path, &[], b"");
    let response = client.read_response("GET");
    (response.status, response.text())
}

#[test]
fn a_connection_that_stays_open_sees_the_new_locations() {
    let _alone = alone();
    let first = server()
        .pool(pool("p"))
        .location("/changed", blocking("p", text("old")))
        .location("/removed", blocking("p", text("old")));
    let fixture = Fixture::start(first);
    // On both loops.
    let mut clients: Vec<_> = (0..4).map(|_| fixture.connect()).collect();
    for client in &mut clients {
        assert_eq!(status_and_text(client, "/removed").0, 200);
        assert_eq!(status_and_text(client, "/added").0, 404);
    }
    let second = server()
        .pool(pool("p"))
        .location("/changed", blocking("p", text("new")))
        .location("/added", blocking("p", text("new")));
    let report = reload(&fixture, second);
    assert_eq!((report.locations_kept, report.locations_new), (0, 2));
    for client in &mut clients {
        assert_eq!(status_and_text(client, "/changed"), (200, "new".to_owned()));
        assert_eq!(status_and_text(client, "/added"), (200, "new".to_owned()));
        assert_eq!(status_and_text(client, "/removed").0, 404);
    }
}

#[test]
fn a_request_under_way_finishes_on_what_it_began_with() {
    let _alone = alone();
    let (opens, gate) = gate();
    let first = server()
        .pool(pool("old"))
        .location("/gate", blocking("old", at_gate(&gate)));
    let fixture = Fixture::start(first);
    let mut running = fixture.connect();
    running.send_request("GET", "/gate", &[], b"");
    gate.wait_for(1);
    // This one has sent half of its body.
    let mut sending = fixture.connect();
    sending.send(
        b"POST /gate HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(sending.read_response("POST").status, 100);

    let second = server()
        .pool(pool("new"))
        .location("/other", blocking("new", text("new")));
    let report = reload(&fixture, second);
    assert_eq!(report.pools_draining, ["old"]);
    sending.send(b"body");
    gate.wait_for(2);
    opens.open();
    for client in [&mut running, &mut sending] {
        let response = client.read_response("GET");
        assert_eq!((response.status, response.text().as_str()), (200, "done"));
        assert_eq!(status_and_text(client, "/gate").0, 404);
        assert_eq!(status_and_text(client, "/other").0, 200);
    }
}

#[test]
fn a_changed_query_takes_effect() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("t.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection
        .execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        .unwrap();
    let version = |query: &str| {
        config(&format!(
            "[pool.p]\nthreads = 2\n[[location]]\npath = '/t'\nadapter = 'sqlite'\npool = 'p'\n\
             database = '{}'\nquery = '{query}'\n",
            database.display()
        ))
    };
    let fixture = Fixture::start(version("SELECT a FROM t"));
    let mut client = fixture.connect();
    assert_eq!(status_and_text(&mut client, "/t").1.trim(), r#"[{"a":1}]"#);
    let report = reload(&fixture, version("SELECT a + 1 AS b FROM t"));
    assert!(report.pools_started.is_empty(), "the pool stays");
    assert_eq!(status_and_text(&mut client, "/t").1.trim(), r#"[{"b":2}]"#);
}

#[test]
fn another_address_is_listened_on_and_open_connections_stay() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let version = |address: &str| {
        server()
            .pool(pool("p"))
            .location("/", blocking("p", text("here")))
            .listen(address)
    };
    let fixture = Fixture::start(version("127.0.0.1:0"));
    let mut client = fixture.connect();
    assert_eq!(status_and_text(&mut client, "/").0, 200);

    let report = reload(&fixture, version(&format!("unix:{}", path.display())));
    let address = fixture.running().address();
    assert_eq!(report.moved_to.as_ref(), Some(&address));
    assert_eq!(address.to_string(), format!("unix:{}", path.display()));
    let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let mut other = Connection::over(stream);
    other.send_request("GET", "/", &[], b"");
    assert_eq!(other.read_response("GET").status, 200);
    assert_eq!(status_and_text(&mut client, "/").0, 200);
    eventually("nobody listens on the old one", || {
        std::net::TcpStream::connect(fixture.address()).is_err()
    });

    reload(&fixture, version("127.0.0.1:0"));
    let address = fixture.running().local_addr().unwrap();
    assert_eq!(status_and_text(&mut Connection::open(address), "/").0, 200);
    eventually("the socket's file is gone", || {
        fs::symlink_metadata(&path).is_err()
    });
    assert_eq!(fixture.stop().connections_cut, 0);
}

#[test]
fn limits_follow() {
    let _alone = alone();
    let version = |max_connections, max_body_bytes| {
        server()
            .pool(pool("p"))
            .location("/", blocking("p", text("here")))
            .configure(move |config| {
                config.max_connections = max_connections;
                config.max_body_bytes = max_body_bytes;
            })
    };
    let fixture = Fixture::start(version(1, 10));
    let mut client = fixture.connect();
    client.send_request("POST", "/", &[], b"more than ten bytes");
    assert_eq!(client.read_response("POST").status, 413);
    drop(client);
    eventually("its place is free", || fixture.running().connections() == 0);
    let mut client = fixture.connect();
    assert_eq!(status_and_text(&mut client, "/").0, 200);
    assert_eq!(fixture.connect().read_response("GET").status, 503);
    reload(&fixture, version(2, 100));
    client.send_request("POST", "/", &[], b"more than ten bytes");
    assert_eq!(client.read_response("POST").status, 200);
    assert_eq!(status_and_text(&mut fixture.connect(), "/").0, 200);
}

#[test]
fn a_connection_that_is_open_follows_a_new_keep_alive_from_its_next_request_on() {
    let _alone = alone();
    let version = |keep_alive| {
        server()
            .pool(pool("p"))
            .location("/", blocking("p", text("here")))
            .configure(move |config| config.keep_alive = keep_alive)
    };
    let fixture = Fixture::start(version(Duration::from_secs(3600)));
    let mut client = fixture.connect();
    assert_eq!(status_and_text(&mut client, "/").0, 200);
    reload(&fixture, version(Duration::from_millis(50)));
    assert_eq!(status_and_text(&mut client, "/").0, 200);
    assert_eq!(client.read_to_end(), b"", "closed once it idles");
}
