//! What the client is told when the server refuses, or is not there.

use std::error::Error as _;
use std::time::Duration;

use pontoon_adapters::{Adapter, ErrorKind};
use pontoon_tests::backends::Postgres as Server;
use pontoon_tests::eventually;
use serde_json::json;

use crate::fixture::{Client, Pooled, adapter, as_user, database, get};

const SCHEMA: &str = "CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (1); \
    CREATE TABLE t (id int UNIQUE, parent int NOT NULL REFERENCES parents, n int CHECK (n > 0)); \
    INSERT INTO t VALUES (1, 1, 1); \
    CREATE FUNCTION refuse() RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE 'secret rule'; END$$";

#[test]
fn each_sqlstate_has_its_status_and_the_client_sees_no_sql() {
    let Some((server, database)) = database(SCHEMA) else {
        return;
    };
    server.run(&database, "CREATE TABLE secret_table (id int)");
    for (sql, kind) in [
        ("INSERT INTO t VALUES (1, 1, 1)", ErrorKind::Conflict),
        (
            "INSERT INTO t VALUES (2, NULL, 1)",
            ErrorKind::Unprocessable,
        ),
        ("INSERT INTO t VALUES (2, 2, 1)", ErrorKind::Unprocessable),
        ("INSERT INTO t VALUES (2, 1, 0)", ErrorKind::Unprocessable),
        ("SELECT 1 / (id - id) FROM t", ErrorKind::Unprocessable),
        ("SELECT (:x::text)::int", ErrorKind::Unprocessable),
        ("SELECT refuse()", ErrorKind::Unprocessable),
        ("SELECT * FROM secret_table", ErrorKind::Forbidden),
        ("SELECT * FROM no_secret_table", ErrorKind::Internal),
        ("SELEC 1", ErrorKind::Internal),
        ("COPY t TO STDOUT", ErrorKind::Internal),
    ] {
        let keys = format!("query = '''{sql}'''");
        let mut client = Client::new(server, &database, &keys);
        // Twice: the session has survived the first one, unless it says so.
        let error = client.post(&json!({"x": "secret"})).unwrap_err();
        assert_eq!(error.kind(), kind, "{sql}: {error:?}");
        assert!(!error.detail().contains("secret"), "{sql}: {error}");
        let source = error.source().unwrap().to_string();
        assert!(
            source.contains("SQLSTATE") || sql.contains("COPY"),
            "{source}"
        );
        if !error.breaks_session() {
            let error = client.post(&json!({"x": "secret"})).unwrap_err();
            assert_eq!(error.kind(), kind, "{sql}: {error:?}");
        }
    }
}

#[test]
fn a_lock_that_does_not_come_in_time_is_a_503() {
    let Some((server, database)) = database(SCHEMA) else {
        return;
    };
    let keys = "options = '-c lock_timeout=10ms'\nquery = 'UPDATE t SET n = n'";
    let mut client = Client::new(server, &database, keys);
    let holds = "query = ['LOCK TABLE t', 'SELECT pg_sleep(60)', 'SELECT n FROM t']";
    let holder = Pooled::new(adapter(server, &database, holds), 1);
    let held = holder.submit(crate::fixture::post(&json!({})), None);
    eventually("the lock is held", || server.running("%pg_sleep(60)%") > 0);
    let error = client.post(&json!({})).unwrap_err();
    assert_eq!(
        (error.kind(), error.breaks_session()),
        (ErrorKind::Unavailable, false)
    );
    drop(held);
    eventually("the table is free again", || {
        client.post(&json!({})).is_ok()
    });
}

#[test]
fn a_wrong_password_and_an_unknown_database_are_502s_without_their_names() {
    let Some((server, database)) = database(SCHEMA) else {
        return;
    };
    let url = server.url(&database);
    for wrong in [
        url.replace(Server::PASSWORD, "hunter2"),
        server.url("no_such_database"),
    ] {
        let text = format!("url = '{wrong}'\nquery = 'SELECT 1'");
        let adapter = pontoon_adapters::postgres::Postgres::from_toml(&text).unwrap();
        let error = adapter.open().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::BadGateway);
        assert_eq!(error.detail(), "the database cannot be reached");
        let source = error.source().unwrap().to_string();
        assert!(
            source.contains("FATAL") && !source.contains("hunter2"),
            "{source}"
        );
    }
}

#[test]
fn a_password_file_is_read_for_each_connection() {
    let Some((server, database)) = database(SCHEMA) else {
        return;
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "wrong\n").unwrap();
    let address = server.address();
    let text = format!(
        "server = '{address}'\ndatabase = '{database}'\nuser = '{}'\npassword_file = '{}'\nquery = 'SELECT 1 AS one'",
        Server::USER,
        file.path().display()
    );
    let adapter = pontoon_adapters::postgres::Postgres::from_toml(&text).unwrap();
    assert!(adapter.open().is_err());
    std::fs::write(file.path(), format!("{}\n", Server::PASSWORD)).unwrap();
    let session = adapter.open().unwrap();
    let mut client = Client { adapter, session };
    assert_eq!(client.text(get("/")), r#"[{"one":1}]"#);
    // The socket's folder is a server too, and of several the first that answers is taken.
    let text = format!(
        "server = ['127.0.0.1:1', '{}:{}']\ndatabase = '{database}'\nuser = '{}'\nquery = 'SELECT 1 AS one'",
        server.socket_folder().display(),
        address.port(),
        Server::USER
    );
    let adapter = pontoon_adapters::postgres::Postgres::from_toml(&text).unwrap();
    let session = adapter.open().unwrap();
    let mut client = Client { adapter, session };
    assert_eq!(client.text(get("/")), r#"[{"one":1}]"#);
}

#[test]
fn a_server_that_is_down_is_a_502_and_one_that_is_back_is_used_without_a_restart() {
    let Some(server) = Server::start() else {
        return;
    };
    let database = server.database();
    as_user(
        &server,
        &database,
        "CREATE TABLE t (id int); INSERT INTO t VALUES (7)",
    );
    server.kill();
    let keys = "query = 'SELECT id FROM t'";
    let pooled = Pooled::new(adapter(&server, &database, keys), 2);
    let error = pooled.ask(get("/"), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadGateway);
    assert_eq!(error.detail(), "the database cannot be reached");
    let comes_back = || {
        server.restart();
        eventually("the pool recovers", || {
            pooled
                .ask(get("/"), None)
                .is_ok_and(|response| response.body() == r#"[{"id":7}]"#)
        });
    };
    comes_back();
    // Killed between two calls, and in the middle of one.
    server.kill();
    let error = pooled.ask(get("/"), None).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BadGateway | ErrorKind::Unavailable),
        "{error:?}"
    );
    comes_back();
    let slow = Pooled::new(
        adapter(&server, &database, "query = 'SELECT pg_sleep(600)'"),
        1,
    );
    let call = slow.submit(get("/"), None);
    eventually("it runs", || server.running("%pg_sleep(600)%") == 1);
    server.kill();
    let error = crate::fixture::outcome(call).unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BadGateway | ErrorKind::Unavailable),
        "{error:?}"
    );
    assert!(error.breaks_session());
    comes_back();
}

#[test]
fn too_many_connections_are_an_error_and_pass() {
    let settings = [
        ("max_connections", "6"),
        ("superuser_reserved_connections", "3"),
    ];
    let Some(server) = Server::start_with(&settings) else {
        return;
    };
    let database = server.database();
    let pooled = Pooled::new(
        adapter(
            &server,
            &database,
            "query = 'SELECT pg_sleep(0.01)::text AS x'",
        ),
        12,
    );
    let calls: Vec<_> = (0..100)
        .map(|_| pooled.submit(get("/"), Some(Duration::from_secs(20))))
        .collect();
    let mut answered = 0;
    for call in calls {
        match crate::fixture::outcome(call).unwrap_or_else(|error| Err(error.into())) {
            Ok(_) => answered += 1,
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::BadGateway | ErrorKind::Unavailable),
                "{error:?}"
            ),
        }
    }
    assert!(answered > 0);
}
