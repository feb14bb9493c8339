use super::*;

#[test]
fn rows_become_what_the_format_says() {
    let Some(db) = Db::shared() else { return };
    let select = "SELECT id, name FROM users ORDER BY id";
    let cases = [
        (
            "array",
            r#"[{"id":1,"name":"Ada"},{"id":2,"name":"Grace"}]"#,
        ),
        ("object", r#"{"id":1,"name":"Ada"}"#),
        (
            "ndjson",
            "{\"id\":1,\"name\":\"Ada\"}\n{\"id\":2,\"name\":\"Grace\"}\n",
        ),
        ("csv", "id,name\r\n1,Ada\r\n2,Grace\r\n"),
        ("value", "1"),
        ("raw", "1"),
        ("none", ""),
    ];
    for (format, body) in cases {
        let adapter = db.adapter(&format!("query = '{select}'\nformat = '{format}'"));
        assert_eq!(text(call(&adapter, get("/")).unwrap()), body, "{format}");
    }
}

#[test]
fn parameters_are_bound_and_their_types_heeded() {
    let Some(db) = Db::shared() else { return };
    let adapter =
        db.adapter("query = 'SELECT name FROM users WHERE id = :id::int'\nformat = 'value'");
    let mut session = adapter.open().unwrap();
    for (id, name) in [("1", "Ada"), ("2", "Grace"), ("1", "Ada")] {
        let response = in_session(&adapter, &mut session, get(&format!("/?id={id}"))).unwrap();
        assert_eq!(text(response), name);
    }
    let missing = in_session(&adapter, &mut session, get("/?id=3")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    for wrong in ["/", "/?id=x", "/?id=1&id=2"] {
        let error = in_session(&adapter, &mut session, get(wrong)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest, "{wrong}");
        assert!(error.detail().contains("`id`"), "{}", error.detail());
    }
}

#[test]
fn one_parameter_may_be_used_twice() {
    let Some(db) = Db::shared() else { return };
    let answer = db
        .ask("SELECT :a AS x, :b AS y, :a AS z", get("/?a=1&b=2"))
        .unwrap();
    assert_eq!(text(answer), r#"[{"x":"1","y":"2","z":"1"}]"#);
}

#[test]
fn a_long_value_is_read_in_full_and_the_next_short_one_too() {
    let Some(db) = Db::shared() else { return };
    let sql = "SELECT REPEAT('x', n) AS t FROM (SELECT 5 AS n UNION ALL SELECT 3000000 UNION ALL SELECT 1) AS a";
    let body = db.body(sql);
    let long = "x".repeat(3_000_000);
    assert_eq!(
        body,
        format!(r#"[{{"t":"xxxxx"}},{{"t":"{long}"}},{{"t":"x"}}]"#)
    );
}

#[test]
fn an_answer_that_is_too_large_is_refused_and_its_rest_not_read() {
    let Some(db) = Db::shared() else { return };
    let many = "SELECT seq, REPEAT('x', 1000) AS t FROM seq_1_to_1000000";
    let one = "SELECT REPEAT('x', 100000) AS t";
    for query in [many, one] {
        let adapter = db.adapter(&format!("query = \"{query}\"\nmax_response = '50KiB'"));
        let mut session = adapter.open().unwrap();
        let error = in_session(&adapter, &mut session, get("/")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.detail().contains("larger than"), "{}", error.detail());
        assert!(error.breaks_session());
    }
}

#[test]
fn one_row_of_many_leaves_no_rest_to_the_next_call() {
    let Some(db) = Db::shared() else { return };
    let few = db.adapter("query = 'SELECT seq FROM seq_1_to_50'\nformat = 'object'");
    let mut session = few.open().unwrap();
    for _ in 0..3 {
        let response = in_session(&few, &mut session, get("/")).unwrap();
        assert!(!response.breaks_session());
        assert_eq!(text(response), r#"{"seq":1}"#);
    }
    let many = db.adapter("query = 'SELECT seq FROM seq_1_to_1000000'\nformat = 'object'");
    let mut session = many.open().unwrap();
    let response = in_session(&many, &mut session, get("/")).unwrap();
    assert!(
        response.breaks_session(),
        "reading the rest would take longer than a new session"
    );
    assert_eq!(text(response), r#"{"seq":1}"#);
}

#[test]
fn a_procedure_may_have_several_results() {
    let Some(db) = Db::shared() else { return };
    db.run(
        "DELIMITER //\nCREATE PROCEDURE two(n INT) BEGIN SELECT n AS a; SELECT name, n AS b FROM users ORDER BY id; END//\n
         CREATE PROCEDURE none(n INT) BEGIN UPDATE users SET age = n; END//\nDELIMITER ;",
    );
    let adapter = db.adapter("query = 'CALL two(:n::int)'\nresults = 'all'");
    let mut session = adapter.open().unwrap();
    for n in [7, 8] {
        let response = in_session(
            &adapter,
            &mut session,
            post(&format!("/?n={n}"), "text/plain", ""),
        );
        let expected =
            format!(r#"[[{{"a":{n}}}],[{{"name":"Ada","b":{n}}},{{"name":"Grace","b":{n}}}]]"#);
        assert_eq!(text(response.unwrap()), expected);
    }
    let last = db.ask("CALL two(1)", post("/", "text/plain", "")).unwrap();
    assert_eq!(
        text(last),
        r#"[{"name":"Ada","b":1},{"name":"Grace","b":1}]"#
    );
    let none = db
        .ask("CALL none(50)", post("/", "text/plain", ""))
        .unwrap();
    assert_eq!(text(none), r#"{"changes":2}"#);
}

#[test]
fn two_columns_of_one_name_are_a_mistake_of_the_statement() {
    let Some(db) = Db::shared() else { return };
    let error = db.ask("SELECT 1 AS a, 2 AS a", get("/")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(explain(&error).contains("another name with AS"));
}

#[test]
fn hostile_values_are_only_values() {
    let Some(db) = Db::shared() else { return };
    let adapter = db.adapter(
        "query = 'SELECT v, LENGTH(v) AS n FROM (SELECT :v AS v) AS a'\nformat = 'object'",
    );
    let mut session = adapter.open().unwrap();
    let long = "ä'\"\\".repeat(1_500_000);
    for value in [
        "'; DROP TABLE users; --",
        "a\0b",
        "\\",
        "\u{1F980}",
        "",
        "%s %n",
        &long,
    ] {
        let body = serde_json::json!({ "v": value }).to_string();
        let response = in_session(&adapter, &mut session, post("/", "application/json", body));
        let answer: serde_json::Value = serde_json::from_slice(response.unwrap().body()).unwrap();
        assert!(answer["v"] == value, "{value:.20}");
        assert_eq!(answer["n"], value.len());
    }
    for target in ["/?v=%ff", "/?v=%c3%28"] {
        let answer = in_session(&adapter, &mut session, get(target));
        // Not UTF-8 is a 400, never something else than what was sent.
        assert_eq!(
            answer.unwrap_err().kind(),
            ErrorKind::BadRequest,
            "{target}"
        );
    }
    assert_eq!(db.run("SELECT COUNT(*) FROM users"), "2");
}

#[test]
fn values_that_the_server_does_not_take_are_a_413_and_keep_the_session() {
    let Some(db) = Db::shared() else { return };
    let adapter = db.query("SELECT LENGTH(:v) AS n");
    let mut session = adapter.open().unwrap();
    let max: usize = db
        .run("SELECT @@global.max_allowed_packet")
        .parse()
        .unwrap();
    for (bytes, fits) in [
        (max - 20_000, true),
        (max - 10, false),
        (max + 1, false),
        (max * 2, false),
    ] {
        let body = serde_json::json!({ "v": "x".repeat(bytes) }).to_string();
        let answer = in_session(&adapter, &mut session, post("/", "application/json", body));
        match answer {
            Ok(response) => assert!(fits && text(response) == format!(r#"[{{"n":{bytes}}}]"#)),
            Err(error) => {
                assert_eq!(
                    (error.kind(), error.breaks_session()),
                    (ErrorKind::TooLarge, false)
                );
                assert!(!fits);
            }
        }
    }
}
