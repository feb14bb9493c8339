//! What rows become, and where values come from.

use http::Method;
use pontoon_adapters::ErrorKind;
use serde_json::json;

use crate::fixture::{Client, database, get, post, request, text};

const USERS: &str = "CREATE TABLE users (id int PRIMARY KEY, name text); \
                     INSERT INTO users VALUES (1, 'Ada'), (2, NULL)";

#[test]
fn each_format_has_its_shape() {
    let Some((server, database)) = database(USERS) else {
        return;
    };
    for (format, expected) in [
        ("array", r#"[{"id":1,"name":"Ada"},{"id":2,"name":null}]"#),
        ("object", r#"{"id":1,"name":"Ada"}"#),
        (
            "ndjson",
            "{\"id\":1,\"name\":\"Ada\"}\n{\"id\":2,\"name\":null}\n",
        ),
        ("csv", "id,name\r\n1,Ada\r\n2,\r\n"),
        ("value", "1"),
        ("raw", "1"),
        ("none", ""),
    ] {
        let keys = format!("format = '{format}'\nquery = 'SELECT * FROM users ORDER BY id'");
        let mut client = Client::new(server, &database, &keys);
        // Twice: before and after it is known what the statement gives.
        for _ in 0..2 {
            assert_eq!(client.text(get("/")), expected, "{format}");
        }
    }
}

#[test]
fn without_rows_there_is_an_empty_array_or_a_404() {
    let Some((server, database)) = database(USERS) else {
        return;
    };
    let query = "query = 'SELECT * FROM users WHERE id = :id::int'";
    let mut client = Client::new(server, &database, query);
    assert_eq!(client.text(get("/?id=9")), "[]");
    let mut client = Client::new(server, &database, &format!("format = 'object'\n{query}"));
    assert_eq!(
        client.get("/?id=9").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(client.text(get("/?id=1")), r#"{"id":1,"name":"Ada"}"#);
}

#[test]
fn statements_differ_by_method_and_say_what_they_changed() {
    let Some((server, database)) = database(USERS) else {
        return;
    };
    let keys = "
        changes = 201
        no_changes = 409
        queries.GET = 'SELECT count(*) AS n FROM users'
        queries.POST = 'INSERT INTO users VALUES (:id::int, :name) ON CONFLICT DO NOTHING'
        queries.DELETE = 'DELETE FROM users WHERE id = :id::int RETURNING name'
    ";
    let mut client = Client::new(server, &database, keys);
    let made = client.post(&json!({"id": 3, "name": "Bob"})).unwrap();
    assert_eq!(
        (made.status().as_u16(), text(&made).as_str()),
        (201, r#"{"changes":1}"#)
    );
    let error = client.post(&json!({"id": 3, "name": "Bob"})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let gone = client.text(request(Method::DELETE, "/?id=3", "", Vec::new()));
    assert_eq!(gone, r#"[{"name":"Bob"}]"#);
    assert_eq!(client.text(get("/")), r#"[{"n":2}]"#);
    let error = client
        .call(request(Method::PUT, "/", "", Vec::new()))
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::MethodNotAllowed(_)));
}

#[test]
fn values_that_are_missing_or_wrong_are_told_before_anything_runs() {
    let Some((server, database)) = database(USERS) else {
        return;
    };
    let mut client = Client::new(
        server,
        &database,
        "query = 'SELECT :id::int AS id, :x::int[] AS x'",
    );
    for (target, says) in [
        ("/", "`id` is missing"),
        ("/?id=1.5&x={}", "`id` must be an integer"),
    ] {
        let error = client.get(target).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(error.detail().contains(says), "{error}");
    }
    // What only the server can judge.
    let error = client.get("/?id=1&x=nonsense").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unprocessable);
    assert_eq!(client.text(get("/?id=1&x={}")), r#"[{"id":1,"x":[]}]"#);
}

#[test]
fn hostile_values_stay_values() {
    let Some((server, database)) = database(USERS) else {
        return;
    };
    let mut client = Client::new(
        server,
        &database,
        "format = 'object'\nquery = 'SELECT :v::text AS v'",
    );
    for value in [
        "'; DROP TABLE users; --",
        "$1",
        "\\",
        "\u{202e}",
        "\\x00",
        "{}",
        "NULL",
    ] {
        let body = client.text(post(&json!({ "v": value })));
        assert_eq!(body, json!({ "v": value }).to_string());
    }
    let large = "é\"".repeat(5 << 20);
    let body = client.text(post(&json!({ "v": large })));
    assert_eq!(body, json!({ "v": large }).to_string());
    let nul = client.post(&json!({ "v": "a\0b" })).unwrap_err();
    assert_eq!(nul.kind(), ErrorKind::Unprocessable);
    assert!(nul.detail().contains("NUL"), "{nul}");
    assert_eq!(server.run(&database, "SELECT count(*) FROM users"), "2");
}

#[test]
fn several_results_are_the_last_one_or_all() {
    let Some((server, database)) = database(USERS) else {
        return;
    };
    let query = "query = ['SELECT 1 AS a', 'UPDATE users SET name = name', 'SELECT 2 AS b']\n";
    let mut client = Client::new(server, &database, query);
    assert_eq!(client.text(post(&json!({}))), r#"[{"b":2}]"#);
    let mut client = Client::new(server, &database, &format!("{query}results = 'all'"));
    let expected = r#"[[{"a":1}],{"changes":2},[{"b":2}]]"#;
    assert_eq!(client.text(post(&json!({}))), expected);
}

#[test]
fn a_large_result_comes_row_by_row_and_one_that_is_too_large_leaves_the_session_whole() {
    let Some((server, database)) = database(USERS) else {
        return;
    };
    let query = "query = 'SELECT repeat($$x$$, 1000) AS x FROM generate_series(1, :n::int)'";
    let keys = format!("max_response = '100KiB'\n{query}");
    let mut client = Client::new(server, &database, &keys);
    for _ in 0..3 {
        let error = client.get("/?n=1000").unwrap_err();
        assert!(
            error.detail().contains("larger") && !error.breaks_session(),
            "{error}"
        );
        assert_eq!(client.get("/?n=90").unwrap().body().len(), 90 * 1008 + 91);
    }
    // Too much to be thrown away: a new session costs less.
    let error = client.get("/?n=100000").unwrap_err();
    assert!(
        error.detail().contains("larger") && error.breaks_session(),
        "{error}"
    );
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let Some((server, database)) = database(USERS) else {
        return;
    };
    let mut client = Client::new(server, &database, "query = 'SELECT 1 AS a, 2 AS a'");
    let error = client.get("/").unwrap_err();
    assert_eq!(
        error.detail(),
        "the statement gives two columns of the same name"
    );
    assert!(!error.breaks_session());
}

#[test]
fn a_procedure_and_a_statement_without_a_name_run_too() {
    let schema = "CREATE TABLE t (id int); CREATE PROCEDURE add(n int, INOUT total int) LANGUAGE plpgsql AS \
                  $$BEGIN INSERT INTO t VALUES (n); COMMIT; SELECT count(*) INTO total FROM t; END$$";
    let Some((server, database)) = database(schema) else {
        return;
    };
    for prepare in ["true", "false"] {
        let keys =
            format!("prepare = {prepare}\nformat = 'object'\nquery = 'CALL add(:n::int, 0)'");
        let mut client = Client::new(server, &database, &keys);
        let first = client.text(post(&json!({"n": 1})));
        let second = client.text(post(&json!({"n": 2})));
        assert_ne!(first, second);
    }
    let expected = r#"{"total":5}"#;
    let mut client = Client::new(
        server,
        &database,
        "format = 'object'\nquery = 'CALL add(5, 0)'",
    );
    assert_eq!(client.text(post(&json!({}))), expected);
}
