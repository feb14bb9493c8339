//! What rows look like in an answer, and how values get into a statement.

use http::StatusCode;

use super::*;

#[test]
fn rows_become_objects_in_an_array() {
    let database = Database::new();
    let adapter = database.sqlite("SELECT id, name FROM users ORDER BY id");
    let response = call(&adapter, get("/")).unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(
        response.body(),
        r#"[{"id":1,"name":"Ada"},{"id":2,"name":"Grace"}]"#
    );
}

#[test]
fn every_type_of_sqlite_has_its_json() {
    let query = "SELECT NULL AS n, 42 AS i, 2.5 AS r, 9e999 AS inf, 'a\"b' AS t, x'00ff10' AS b,
                        x'' AS e, 1.0 AS whole";
    let expected =
        r#"[{"n":null,"i":42,"r":2.5,"inf":null,"t":"a\"b","b":"AP8Q","e":"","whole":1.0}]"#;
    assert_eq!(select(query), expected);
}

#[test]
fn integers_keep_all_their_digits() {
    let query = "SELECT 9007199254740993 AS odd, 9223372036854775807 AS max,
                        -9223372036854775807 - 1 AS min";
    let expected =
        r#"[{"odd":9007199254740993,"max":9223372036854775807,"min":-9223372036854775808}]"#;
    assert_eq!(select(query), expected);
}

#[test]
fn blobs_of_every_length_are_padded_base64() {
    let query = "SELECT x'61' AS one, x'6162' AS two, x'616263' AS three";
    assert_eq!(
        select(query),
        r#"[{"one":"YQ==","two":"YWI=","three":"YWJj"}]"#
    );
}

#[test]
fn damaged_text_shows_where_it_is_damaged() {
    let answer = select("SELECT CAST(x'61ff62' AS TEXT) AS t");
    assert_eq!(answer, "[{\"t\":\"a\u{fffd}b\"}]");
}

#[test]
fn column_names_are_escaped() {
    assert_eq!(select("SELECT 1 AS \"a\"\"b\\\""), r#"[{"a\"b\\":1}]"#);
}

#[test]
fn types_of_a_json_body_survive_the_round_trip() {
    let database = Database::new();
    let adapter = database.sqlite(
        "SELECT :i AS i, typeof(:i) AS ti, :r AS r, typeof(:r) AS tr, :t AS t, typeof(:t) AS tt,
                :n AS n, :b AS b, :o ->> 'deep' AS o",
    );
    let body =
        r#"{"i":9223372036854775807,"r":0.1,"t":"ü\u0000","n":null,"b":true,"o":{"deep":[1]}}"#;
    let expected = r#"[{"i":9223372036854775807,"ti":"integer","r":0.1,"tr":"real","t":"ü\u0000","tt":"text","n":null,"b":1,"o":"[1]"}]"#;
    assert_eq!(text(call(&adapter, json(body))), expected);
}

#[test]
fn a_path_parameter_finds_a_row_by_its_number() {
    let database = Database::new();
    let adapter = database
        .sqlite("SELECT name FROM users WHERE id = :id")
        .format(Format::Object);
    let outcome = call_with(&adapter, get("/users/2"), &[("id", "2")]);
    assert_eq!(text(outcome), r#"{"name":"Grace"}"#);
}

#[test]
fn an_injection_attempt_is_only_a_value() {
    let database = Database::new();
    let adapter = database.sqlite("SELECT id FROM users WHERE name = :name");
    for attempt in ["x' OR '1'='1", "'; DROP TABLE users; --", "Ada\0' OR 1"] {
        let outcome = call_with(&adapter, get("/"), &[("name", attempt)]);
        assert_eq!(text(outcome), "[]", "{attempt}");
    }
    assert_eq!(database.number("SELECT count(*) FROM users"), 2);
}

#[test]
fn a_missing_parameter_is_a_400_that_names_it() {
    let database = Database::new();
    let adapter = database.sqlite("SELECT :name AS name");
    let error = call(&adapter, get("/?nam=Ada")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRequest);
    assert_eq!(error.detail(), "the parameter `name` is missing");
}

#[test]
fn no_value_of_one_call_is_seen_by_the_next() {
    let database = Database::new();
    let adapter = database.sqlite("SELECT :a AS a");
    let mut session = adapter.open().unwrap();
    adapter
        .call(&mut session, get("/?a=secret"), &context(&[]))
        .unwrap();
    let next = adapter.call(&mut session, get("/"), &context(&[]));
    assert_eq!(kind(next), ErrorKind::BadRequest);
}

#[test]
fn without_rows_the_answer_is_an_empty_array_or_404() {
    let database = Database::new();
    let none = "SELECT id FROM users WHERE id = 99";
    assert_eq!(text(call(&database.sqlite(none), get("/"))), "[]");
    let object = database.sqlite(none).format(Format::Object);
    assert_eq!(kind(call(&object, get("/"))), ErrorKind::NotFound);
}

#[test]
fn the_status_without_rows_can_be_chosen() {
    let database = Database::new();
    let none = || database.sqlite("SELECT id FROM users WHERE id = 99");
    let not_found = call(&none().no_rows(StatusCode::NOT_FOUND), get("/"));
    assert_eq!(kind(not_found), ErrorKind::NotFound);
    let no_content = call(&none().no_rows(StatusCode::NO_CONTENT), get("/")).unwrap();
    assert_eq!(no_content.status(), StatusCode::NO_CONTENT);
    assert!(no_content.body().is_empty());
    let null = none().format(Format::Object).no_rows(StatusCode::OK);
    assert_eq!(text(call(&null, get("/"))), "null");
}

#[test]
fn an_answer_beyond_the_limit_is_an_error_and_not_a_cut_off_body() {
    let database = Database::new();
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
                SELECT i FROM n";
    let many = database.sqlite(rows).max_response_bytes(10_000);
    let error = call(&many, get("/")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.detail().contains("10000 bytes"), "{error}");
    let huge = database
        .sqlite("SELECT zeroblob(100000) AS b")
        .max_response_bytes(100_000);
    assert!(call(&huge, get("/")).is_err());
    let fits = database.sqlite("SELECT 'abc' AS t").max_response_bytes(13);
    assert_eq!(text(call(&fits, get("/"))), r#"[{"t":"abc"}]"#);
}

#[test]
fn a_changed_schema_shows_in_the_next_answer() {
    let database = Database::new();
    let adapter = database.sqlite("SELECT * FROM users WHERE id = 1");
    let mut session = adapter.open().unwrap();
    let mut ask = || text(adapter.call(&mut session, get("/"), &context(&[])));
    assert_eq!(ask(), r#"[{"id":1,"name":"Ada","age":36}]"#);
    database.run("ALTER TABLE users ADD COLUMN city TEXT DEFAULT 'London'");
    assert_eq!(ask(), r#"[{"id":1,"name":"Ada","age":36,"city":"London"}]"#);
    database.run("ALTER TABLE users RENAME COLUMN age TO years");
    assert_eq!(
        ask(),
        r#"[{"id":1,"name":"Ada","years":36,"city":"London"}]"#
    );
}
