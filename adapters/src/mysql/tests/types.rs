use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::*;

#[test]
fn each_type_becomes_what_json_has_for_it() {
    let Some(db) = Db::shared() else { return };
    let cases = [
        ("TINYINT", "-128", "-128"),
        ("TINYINT UNSIGNED", "255", "255"),
        ("BOOLEAN", "TRUE", "true"),
        ("BOOLEAN", "FALSE", "false"),
        ("TINYINT(1)", "7", "7"),
        ("SMALLINT", "-32768", "-32768"),
        ("MEDIUMINT", "8388607", "8388607"),
        ("INT", "-2147483648", "-2147483648"),
        ("INT UNSIGNED", "4294967295", "4294967295"),
        ("BIGINT", "-9223372036854775808", "-9223372036854775808"),
        (
            "BIGINT UNSIGNED",
            "18446744073709551615",
            "18446744073709551615",
        ),
        ("YEAR", "2024", "2024"),
        (
            "DECIMAL(30,10)",
            "12345678901234567890.0123456789",
            "12345678901234567890.0123456789",
        ),
        ("DECIMAL(5,2)", "-0.10", "-0.10"),
        ("FLOAT", "0.1", "0.1"),
        ("DOUBLE", "0.1", "0.1"),
        ("DOUBLE", "-1.5e300", "-1.5e+300"),
        ("BIT(1)", "b'1'", "true"),
        ("BIT(12)", "b'101000000001'", "2561"),
        (
            "BIT(64)",
            "b'1111111111111111111111111111111111111111111111111111111111111111'",
            "18446744073709551615",
        ),
        ("DATE", "'2024-02-29'", r#""2024-02-29""#),
        (
            "DATETIME",
            "'2024-02-29 12:30:00'",
            r#""2024-02-29T12:30:00""#,
        ),
        (
            "DATETIME(3)",
            "'2024-02-29 12:30:00.25'",
            r#""2024-02-29T12:30:00.250""#,
        ),
        (
            "DATETIME(6)",
            "'0001-01-01 00:00:00.000001'",
            r#""0001-01-01T00:00:00.000001""#,
        ),
        (
            "TIMESTAMP",
            "FROM_UNIXTIME(1709209800)",
            r#""2024-02-29T12:30:00Z""#,
        ),
        (
            "TIMESTAMP(2)",
            "FROM_UNIXTIME(1709209800.5)",
            r#""2024-02-29T12:30:00.50Z""#,
        ),
        ("TIME", "'-12:30:01'", r#""-12:30:01""#),
        ("TIME(1)", "'838:59:59.0'", r#""838:59:59.0""#),
        ("CHAR(3)", "'ä'", r#""ä""#),
        ("VARCHAR(9)", "'a\"b'", r#""a\"b""#),
        ("TEXT", "'\u{1F980}'", "\"\u{1F980}\""),
        ("TEXT CHARACTER SET latin1", "'ä'", r#""ä""#),
        ("ENUM('x','y')", "'y'", r#""y""#),
        ("SET('x','y')", "'x,y'", r#""x,y""#),
        ("BINARY(4)", "x'00ff'", r#""AP8AAA==""#),
        ("VARBINARY(9)", "x'00ff'", r#""AP8=""#),
        ("BLOB", "x''", r#""""#),
        ("JSON", r#"'{"a": [1, null]}'"#, r#"{"a": [1, null]}"#),
        (
            "UUID",
            "'123e4567-e89b-12d3-a456-426655440000'",
            r#""123e4567-e89b-12d3-a456-426655440000""#,
        ),
        ("INET6", "'::1'", r#""::1""#),
        ("INT", "NULL", "null"),
        ("TEXT", "NULL", "null"),
        ("DATETIME", "NULL", "null"),
    ];
    for (kind, sql, json) in cases {
        db.run(&format!(
            "SET NAMES utf8mb4; SET time_zone = '+00:00'; CREATE OR REPLACE TABLE t (v {kind} NULL) CHARACTER SET utf8mb4;
             INSERT INTO t VALUES ({sql})"
        ));
        assert_eq!(
            db.body("SELECT v FROM t"),
            format!(r#"[{{"v":{json}}}]"#),
            "{kind} {sql}"
        );
    }
}

#[test]
fn what_is_no_date_is_null() {
    let Some(db) = Db::shared() else { return };
    db.run(
        "SET sql_mode = ''; CREATE TABLE t (a DATE, b DATETIME, c DATE);
         INSERT INTO t VALUES ('0000-00-00', '0000-00-00 00:00:00', '2024-00-00')",
    );
    assert_eq!(
        db.body("SELECT a, b, c FROM t"),
        r#"[{"a":null,"b":null,"c":null}]"#
    );
}

#[test]
fn expressions_have_types_too() {
    let Some(db) = Db::shared() else { return };
    let sql = "SELECT 1 AS i, 1.50 AS d, 1e0 AS r, NULL AS n, 'x' AS t, x'ff' AS b, 1 = 1 AS q, NOW() < '2000-01-01' AS f, \
               CAST('2024-01-02' AS DATE) AS day, JSON_OBJECT('a', 1) AS j, COUNT(*) AS c, SUM(id) AS s FROM users";
    assert_eq!(
        db.body(sql),
        r#"[{"i":1,"d":1.50,"r":1.0,"n":null,"t":"x","b":"/w==","q":1,"f":0,"day":"2024-01-02","j":{"a": 1},"c":2,"s":3}]"#
    );
}

fn json(value: serde_json::Value) -> serde_json::Value {
    value
}

/// A column's type, the type of the parameter, and the values.
fn values() -> impl Strategy<Value = (&'static str, &'static str, serde_json::Value)> {
    let of =
        |column: &'static str, kind: &'static str, values: BoxedStrategy<serde_json::Value>| {
            values.prop_map(move |value| (column, kind, value))
        };
    let text = "[\\x00-\\x7f\u{e4}\u{20ac}\u{1F980}]{0,300}";
    let decimal = (any::<i64>(), 0_u32..1_000_000)
        .prop_map(|(whole, fraction)| format!("{whole}.{fraction:06}"));
    prop_oneof![
        of(
            "BIGINT",
            "int8",
            any::<i64>().prop_map(|n| json(n.into())).boxed()
        ),
        of(
            "INT",
            "int",
            any::<i32>().prop_map(|n| json(n.into())).boxed()
        ),
        of(
            "DOUBLE",
            "float8",
            proptest::num::f64::NORMAL
                .prop_map(|n| json(n.into()))
                .boxed()
        ),
        of(
            "DECIMAL(30,6)",
            "text",
            decimal.prop_map(|n| json(n.into())).boxed()
        ),
        of(
            "LONGTEXT",
            "text",
            text.prop_map(|t| json(t.into())).boxed()
        ),
        of(
            "BOOLEAN",
            "bool",
            any::<bool>().prop_map(|b| json(b.into())).boxed()
        ),
        of(
            "LONGBLOB",
            "bytes",
            proptest::collection::vec(any::<u8>(), 0..3000)
                .prop_map(|bytes| {
                    use base64::Engine;
                    json(
                        base64::engine::general_purpose::STANDARD
                            .encode(bytes)
                            .into(),
                    )
                })
                .boxed()
        ),
        of(
            "JSON",
            "json",
            (any::<i32>(), "[a-z\u{e4}\"]{0,9}")
                .prop_map(|(n, t)| serde_json::json!({ "n": [n, null, true], "t": t }))
                .boxed()
        ),
        of(
            "DATE",
            "date",
            (1..10_000, 1..13, 1..29)
                .prop_map(|(y, m, d)| json(format!("{y:04}-{m:02}-{d:02}").into()))
                .boxed()
        ),
        of(
            "DATETIME(6)",
            "datetime",
            (1..10_000, 1..13, 1..29, 0..24, 0..60, 0..1_000_000)
                .prop_map(|(y, m, d, h, s, f)| json(
                    format!("{y:04}-{m:02}-{d:02}T{h:02}:30:{s:02}.{f:06}").into()
                ))
                .boxed()
        ),
        of(
            "TIME(6)",
            "time",
            (-838..839, 0..60, 0..1_000_000)
                .prop_map(|(h, m, f)| {
                    let sign = if h < 0 { "-" } else { "" };
                    json(format!("{sign}{:02}:{m:02}:07.{f:06}", i32::abs(h)).into())
                })
                .boxed()
        ),
        of("TEXT", "text", Just(serde_json::Value::Null).boxed()),
        of("BIGINT", "int8", Just(serde_json::Value::Null).boxed()),
    ]
}

#[test]
fn a_value_bound_and_read_back_is_the_same() {
    let Some(db) = Db::shared() else { return };
    let columns = [
        "BIGINT",
        "INT",
        "DOUBLE",
        "DECIMAL(30,6)",
        "LONGTEXT",
        "BOOLEAN",
        "LONGBLOB",
        "JSON",
        "DATE",
        "DATETIME(6)",
        "TIME(6)",
        "TEXT",
    ];
    let columns: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, kind)| {
            db.run(&format!(
                "CREATE TABLE t{index} (v {kind}) CHARACTER SET utf8mb4"
            ));
            *kind
        })
        .collect();
    let mut runner = TestRunner::new(Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    });
    let sessions = std::cell::RefCell::new(std::collections::BTreeMap::new());
    let outcome = runner.run(&values(), |(column, kind, value)| {
        let index = columns.iter().position(|one| *one == column).unwrap();
        let mut sessions = sessions.borrow_mut();
        let (adapter, session) = sessions.entry((index, kind)).or_insert_with(|| {
            let adapter = db.adapter(&format!(
                "query = ['DELETE FROM t{index}', 'INSERT INTO t{index} VALUES (:v::{kind})', 'SELECT v FROM t{index}']\n\
                 format = 'object'\ndecimals = 'text'"
            ));
            let session = adapter.open().unwrap();
            (adapter, session)
        });
        let body = serde_json::json!({ "v": value }).to_string();
        let answer = in_session(adapter, session, post("/", "application/json", body));
        let answer = answer.map_err(|error| TestCaseError::fail(explain(&error)))?;
        let body = text(answer);
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        if column == "DOUBLE" {
            // Read with all its digits, which `serde_json` does only roughly.
            let digits = body.trim_start_matches("{\"v\":").trim_end_matches('}');
            prop_assert_eq!(digits.parse::<f64>().ok(), value.as_f64(), "{}", digits);
            return Ok(());
        }
        prop_assert_eq!(&answer["v"], &value, "{}", column);
        Ok(())
    });
    outcome.unwrap();
}
