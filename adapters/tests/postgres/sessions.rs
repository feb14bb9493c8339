//! What a session keeps from one call to the next, and what it must not.

use std::fs;

use pontoon_adapters::{Adapter, CallContext, ErrorKind};
use serde_json::json;

use crate::fixture::{Client, adapter, database, get, post};

#[test]
fn statements_are_prepared_once() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let keys = "format = 'value'\nqueries.GET = 'SELECT count(*) FROM pg_prepared_statements'\n\
                queries.POST = ['SELECT 1', 'SELECT 2']";
    let mut client = Client::new(server, &database, keys);
    for _ in 0..3 {
        client.post(&json!({})).unwrap();
        client.get("/").unwrap();
    }
    assert_eq!(client.text(get("/")), "3");
    let mut client = Client::new(server, &database, &format!("prepare = false\n{keys}"));
    assert_eq!(client.text(get("/")), "0");
}

#[test]
fn what_a_statement_leaves_in_its_session_goes_where_that_is_asked_for() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let keys = "format = 'value'\nqueries.GET = \"SELECT current_setting('work_mem')\"\n\
                queries.POST = \"SET work_mem = '1MB'\"";
    for (reset, expected) in [("false", "1MB"), ("true", "4MB")] {
        let mut client = Client::new(server, &database, &format!("reset = {reset}\n{keys}"));
        for _ in 0..2 {
            client.post(&json!({})).unwrap();
            assert_eq!(client.text(get("/")), expected);
        }
    }
}

#[test]
fn a_session_that_is_left_in_a_transaction_is_closed() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    for query in ["'BEGIN'", "['SELECT 1', 'COMMIT', 'BEGIN']"] {
        let mut client = Client::new(server, &database, &format!("query = {query}"));
        match client.post(&json!({})) {
            Ok(response) => assert!(
                response.breaks_session() || query.contains("COMMIT"),
                "{query}"
            ),
            Err(error) => assert!(error.breaks_session(), "{query}: {error:?}"),
        }
    }
}

#[test]
fn somebody_who_deallocates_is_noticed() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let keys = "format = 'value'\nqueries.GET = 'SELECT 7'\nqueries.POST = 'DEALLOCATE ALL'";
    let mut client = Client::new(server, &database, keys);
    for _ in 0..3 {
        assert_eq!(client.text(get("/")), "7");
        client.post(&json!({})).unwrap();
    }
}

#[test]
fn a_check_finds_out_whether_the_session_works() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let keys = "format = 'value'\nquery = 'SELECT pg_backend_pid()'";
    let mut client = Client::new(server, &database, keys);
    client.adapter.check(&mut client.session).unwrap();
    let pid = client.text(get("/"));
    client.adapter.check(&mut client.session).unwrap();
    server.run(
        "postgres",
        &format!("SELECT pg_terminate_backend({pid}, 20000)"),
    );
    let error = client.adapter.check(&mut client.session).unwrap_err();
    assert!(error.breaks_session(), "{error:?}");
    let error = client.get("/").unwrap_err();
    assert_eq!(
        (error.kind(), error.breaks_session()),
        (ErrorKind::BadGateway, true)
    );
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// In a process of its own: other tests open and close things, too.
#[test]
#[ignore = "the test below runs it in a process of its own"]
fn calls_in_a_process_of_their_own() {
    let Some((server, database)) = database("CREATE TABLE t (id int)") else {
        return;
    };
    let keys = "queries.POST = ['INSERT INTO t VALUES (:id::int)', 'DELETE FROM t']\n\
                queries.GET = 'SELECT n, $$a text$$ AS x, ARRAY[n] AS y FROM generate_series(1, 20) n'\n\
                queries.PUT = 'SELECT 1 / 0'";
    let adapter = adapter(server, &database, keys);
    let call = CallContext::detached();
    let calls = |count: u32| {
        let mut session = adapter.open().unwrap();
        for number in 0..count {
            let request = match number % 3 {
                0 => post(&json!({ "id": number })),
                1 => get("/"),
                _ => crate::fixture::request(http::Method::PUT, "/", "", Vec::new()),
            };
            let outcome = adapter.call(&mut session, request, &call);
            assert_eq!(outcome.is_err(), number % 3 == 2);
        }
    };
    calls(1000);
    (0..10).for_each(|_| calls(3));
    let before = (descriptors(), memory_kib());
    calls(10_000);
    (0..100).for_each(|_| calls(3));
    let after = (descriptors(), memory_kib());
    assert_eq!(before.0, after.0);
    assert!(after.1 < before.1 + 2048, "{before:?} {after:?}");
}

#[test]
fn nothing_leaks_in_ten_thousand_calls_and_a_hundred_sessions() {
    let program = std::env::current_exe().unwrap();
    let name = "sessions::calls_in_a_process_of_their_own";
    let output = std::process::Command::new(program)
        .args(["--ignored", "--exact", name])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
