//! A value that is bound and read back is the same, for every type.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::fixture::{Client, database, get, post, request, text};

/// A client whose answer is its parameter `v`, as this type.
fn echo(kind: &str) -> Option<Client> {
    let (server, database) = database("SELECT 1")?;
    let keys = format!("format = 'object'\nquery = 'SELECT :v::{kind} AS v'");
    Some(Client::new(server, &database, &keys))
}

/// Sends a value as JSON, and gives the one that comes back, digit by digit.
fn back(client: &mut Client, value: &Value) -> String {
    let body = client.text(post(&json!({ "v": value })));
    let value = body
        .strip_prefix("{\"v\":")
        .and_then(|rest| rest.strip_suffix('}'));
    value.unwrap_or_else(|| panic!("{body}")).to_owned()
}

/// Values of a type as JSON, and what they are when they come back.
fn come_back(kind: &str, cases: &[(Value, &str)]) {
    let Some(mut client) = echo(kind) else { return };
    for (value, expected) in cases {
        assert_eq!(back(&mut client, value), *expected, "{kind} {value}");
    }
    assert_eq!(back(&mut client, &Value::Null), "null", "{kind}");
}

fn raw(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn numbers_keep_all_their_digits() {
    let same = |texts: &[&'static str]| -> Vec<(Value, &'static str)> {
        texts.iter().map(|text| (raw(text), *text)).collect()
    };
    come_back("int2", &same(&["0", "-32768", "32767"]));
    come_back("int4", &same(&["0", "-2147483648", "2147483647"]));
    come_back(
        "int8",
        &same(&["0", "-9223372036854775808", "9223372036854775807"]),
    );
    come_back(
        "float8",
        &same(&["0.1", "-1.7976931348623157e+308", "5e-324"]),
    );
    come_back(
        "float4",
        &[(json!(0.1), "0.1"), (json!(16_777_216), "16777216.0")],
    );
    come_back("oid", &[(json!(4_294_967_295_u32), "4294967295")]);
    come_back("bool", &same(&["true", "false"]));
    let long = "123456789012345678901234567890.123456789012345678901234567890";
    let decimals = [
        (json!(long), long),
        (json!("-0.10"), "-0.10"),
        (json!("1e3"), "1000"),
    ];
    come_back("numeric", &decimals);
    // What JSON has no number for.
    let Some(mut client) = echo("text") else {
        return;
    };
    client = match client.get("/?v=x") {
        Ok(_) => client,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(back(&mut client, &json!("NaN")), "\"NaN\"");
}

#[test]
fn infinities_are_null_in_json() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let keys = "query = '''SELECT 'NaN'::float8 AS a, '-Infinity'::float4 AS b, 'NaN'::numeric AS c, \
                'Infinity'::numeric AS d, ARRAY['NaN']::numeric[] AS e'''";
    let mut client = Client::new(server, &database, keys);
    let expected = r#"[{"a":null,"b":null,"c":null,"d":null,"e":[null]}]"#;
    assert_eq!(client.text(get("/")), expected);
}

#[test]
fn times_are_those_of_rfc_3339() {
    come_back(
        "timestamptz",
        &[
            (
                json!("2024-02-29T23:59:59.999999+02:00"),
                "\"2024-02-29T21:59:59.999999Z\"",
            ),
            (json!("1970-01-01T00:00:00Z"), "\"1970-01-01T00:00:00Z\""),
            (
                json!("294276-12-31 23:59:59.999999+00"),
                "\"294276-12-31T23:59:59.999999Z\"",
            ),
            (json!("infinity"), "\"infinity\""),
            (
                json!("4713-01-01 00:00:00+00 BC"),
                "\"4713-01-01 00:00:00+00 BC\"",
            ),
        ],
    );
    come_back(
        "timestamp",
        &[(json!("2024-02-29T23:59:59.5"), "\"2024-02-29T23:59:59.5\"")],
    );
    come_back("date", &[(json!("0001-01-01"), "\"0001-01-01\"")]);
    come_back("time", &[(json!("23:59:59.123"), "\"23:59:59.123\"")]);
    come_back("timetz", &[(json!("01:02:03+05:30"), "\"01:02:03+05:30\"")]);
    come_back(
        "interval",
        &[(json!("1 year 2 days 03:00"), "\"P1Y2DT3H\"")],
    );
}

#[test]
fn documents_and_other_texts_come_back() {
    come_back(
        "jsonb",
        &[(
            json!({"a": [1, null, {"b": "ü"}]}),
            r#"{"a": [1, null, {"b": "ü"}]}"#,
        )],
    );
    come_back(
        "json",
        &[(json!([1.5, "x"]), r#"[1.5,"x"]"#), (json!("t"), r#""t""#)],
    );
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    come_back(
        "uuid",
        &[(json!(uuid), "\"550e8400-e29b-41d4-a716-446655440000\"")],
    );
    come_back("inet", &[(json!("10.0.0.1/8"), "\"10.0.0.1/8\"")]);
    come_back(
        "bytea",
        &[(json!("AAECAP8="), "\"AAECAP8=\""), (json!(""), "\"\"")],
    );
}

#[test]
fn arrays_are_json_arrays_both_ways() {
    come_back(
        "int8[]",
        &[
            (json!([]), "[]"),
            (json!([1, null, i64::MIN]), "[1,null,-9223372036854775808]"),
            (json!([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
            (json!("[0:1]={7,8}"), "[7,8]"),
        ],
    );
    let hard = json!(["", "NULL", "a,b", "{}", "\"", "\\", " x ", "ü\n", null]);
    come_back("text[]", &[(hard.clone(), &hard.to_string())]);
    come_back("numeric[]", &[(json!([1.50, "2.50"]), "[1.5,2.50]")]);
    come_back("bool[]", &[(json!([true, false]), "[true,false]")]);
    come_back("bytea[]", &[(json!(["AAE=", ""]), "[\"AAE=\",\"\"]")]);
    come_back(
        "jsonb[]",
        &[(
            json!([{"a": 1}, [2], "x", null]),
            r#"[{"a": 1},[2],"x",null]"#,
        )],
    );
    come_back(
        "timestamptz[]",
        &[(
            json!(["2024-01-02T03:04:05Z"]),
            "[\"2024-01-02T03:04:05Z\"]",
        )],
    );
    come_back("uuid[]", &[(json!([]), "[]")]);
}

#[test]
fn types_of_a_databases_own_are_texts_and_their_arrays_are_arrays() {
    let schema = "CREATE TYPE mood AS ENUM ('sad', 'so, so'); CREATE DOMAIN year AS int4";
    let Some((server, database)) = database(schema) else {
        return;
    };
    let keys = "format = 'object'\nquery = 'SELECT :m::mood AS m, :all::mood[] AS a, :y::year AS y, :ys::year[] AS ys'";
    let mut client = Client::new(server, &database, keys);
    let sent = json!({"m": "sad", "all": ["so, so", null], "y": 1999, "ys": [1, 2]});
    let expected = r#"{"m":"sad","a":["so, so",null],"y":1999,"ys":[1,2]}"#;
    assert_eq!(client.text(post(&sent)), expected);
}

#[test]
fn an_array_may_be_what_a_column_is_compared_with() {
    let schema = "CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 9)";
    let Some((server, database)) = database(schema) else {
        return;
    };
    for query in ["= ANY(:ids::int[])", "= ANY(:ids)"] {
        let keys = format!("query = 'SELECT id FROM t WHERE id {query} ORDER BY id'");
        let mut client = Client::new(server, &database, &keys);
        let sent = json!({"ids": [3, 7, 30]});
        assert_eq!(client.text(post(&sent)), r#"[{"id":3},{"id":7}]"#);
    }
}

#[test]
fn decimals_may_be_texts() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let keys = "decimals = 'text'\nquery = 'SELECT 1.10 AS a, ARRAY[2.20] AS b, 3 AS c'";
    let mut client = Client::new(server, &database, keys);
    assert_eq!(
        client.text(get("/")),
        r#"[{"a":"1.10","b":["2.20"],"c":3}]"#
    );
}

#[test]
fn a_whole_body_is_bound_as_it_is() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let keys = "params.doc.from = 'whole-body'\nformat = 'raw'\nquery = 'SELECT :doc::bytea'";
    let mut client = Client::new(server, &database, keys);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let octets = "application/octet-stream";
    let sent = request(http::Method::POST, "/", octets, bytes.clone());
    assert_eq!(client.call(sent).unwrap().body(), &bytes);
    let keys = "params.doc.from = 'whole-body'\nformat = 'value'\nquery = 'SELECT :doc::jsonb'";
    let mut client = Client::new(server, &database, keys);
    let sent = request(http::Method::POST, "/", octets, b"{\"a\":1}".to_vec());
    assert_eq!(client.text(sent), "{\"a\": 1}");
}

fn property<S: Strategy<Value = Value>>(kind: &str, values: S, expected: impl Fn(&Value) -> Value) {
    let Some(client) = echo(kind) else { return };
    let client = std::cell::RefCell::new(client);
    let same = |value: Value| {
        let response = client.borrow_mut().post(&json!({ "v": &value }));
        let body: Value = serde_json::from_str(&text(&response.unwrap())).unwrap();
        prop_assert_eq!(&body["v"], &expected(&value), "{}", kind);
        Ok(())
    };
    runner().run(&values, same).unwrap();
}

fn same(value: &Value) -> Value {
    value.clone()
}

/// Nothing of it is kept: a failure shows its values.
fn runner() -> TestRunner {
    TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    })
}

/// Any text that PostgreSQL can store: all of Unicode but NUL.
fn any_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![any::<char>(), proptest::char::range('\u{1}', '\u{7f}')],
        0..40,
    )
    .prop_map(|characters| characters.into_iter().filter(|one| *one != '\0').collect())
}

#[test]
fn any_text_comes_back() {
    property("text", any_text().prop_map(Value::from), same);
}

#[test]
fn any_array_of_texts_comes_back() {
    let item = prop_oneof![any_text().prop_map(Value::from), Just(Value::Null)];
    property(
        "text[]",
        proptest::collection::vec(item, 0..8).prop_map(Value::from),
        same,
    );
}

#[test]
fn any_bytes_come_back() {
    use base64::Engine;
    let base64 = |bytes: Vec<u8>| base64::engine::general_purpose::STANDARD.encode(bytes);
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    property("bytea", bytes.prop_map(base64).prop_map(Value::from), same);
}

#[test]
fn any_integer_and_any_real_come_back() {
    property("int8", any::<i64>().prop_map(Value::from), same);
    let Some(client) = echo("float8") else {
        return;
    };
    let client = std::cell::RefCell::new(client);
    let real = any::<f64>().prop_filter("JSON has no others", |real| real.is_finite());
    let same = |real: f64| {
        // As a text: the parser of this test may round.
        let body = back(&mut client.borrow_mut(), &json!(real));
        prop_assert_eq!(body.parse::<f64>().unwrap(), real);
        Ok(())
    };
    runner().run(&real, same).unwrap();
}

#[test]
fn any_decimal_comes_back_with_all_its_digits() {
    let Some(mut client) = echo("numeric") else {
        return;
    };
    let digits = "-?[1-9][0-9]{0,60}(\\.[0-9]{1,40})?";
    let decimal = proptest::string::string_regex(digits).unwrap();
    let same = |digits: String| {
        let body = back(&mut client, &json!(digits.clone()));
        prop_assert_eq!(body, digits);
        Ok(())
    };
    let client_of_each = std::cell::RefCell::new(same);
    let outcome = runner().run(&decimal, |digits| (client_of_each.borrow_mut())(digits));
    outcome.unwrap();
}

#[test]
fn any_time_comes_back() {
    // Microseconds from the year 1 to the year 9999.
    let micros = -62_135_596_800_000_000_i64..253_402_300_800_000_000;
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let keys = "format = 'object'\nquery = '''SELECT :again::timestamptz AS again, \
                (extract(epoch FROM :again::timestamptz) * 1000000)::int8 AS micros, \
                'epoch'::timestamptz + :micros::int8 / 1000000 * interval '1 second' \
                + :micros::int8 % 1000000 * interval '1 microsecond' AS time'''";
    let client = std::cell::RefCell::new(Client::new(server, &database, keys));
    let ask = |micros: i64, again: &str| {
        let sent = json!({"micros": micros, "again": again});
        let body = client.borrow_mut().text(post(&sent));
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let same = |micros: i64| {
        let made = ask(micros, "1970-01-01T00:00:00Z");
        let time = made["time"].as_str().unwrap().to_owned();
        prop_assert!(time.ends_with('Z') && time.contains('T'));
        let again = ask(0, &time);
        prop_assert_eq!(again["again"].as_str().unwrap(), time);
        prop_assert_eq!(again["micros"].as_i64().unwrap(), micros);
        Ok(())
    };
    runner().run(&micros, same).unwrap();
}
