//! What values are taken for what they must be.

use super::*;
use crate::ErrorKind;

fn value<'p>(kind: &str, found: Found<'p>) -> Result<Value<'p>, Error> {
    let kind = if kind.is_empty() {
        ValueKind::Any
    } else {
        ValueKind::named(kind).expect("a known type")
    };
    kind.value(found, "p")
}

fn number(text: &str) -> Value<'_> {
    Value::Number(text.into())
}

fn text(text: &str) -> Value<'_> {
    Value::Text(text.into())
}

#[test]
fn without_a_type_a_value_is_what_it_is() {
    assert_eq!(value("", Found::Text("7")).unwrap(), text("7"));
    for (json, expected) in [
        ("null", Value::Null),
        ("true", Value::Bool(true)),
        ("-7", Value::Integer(-7)),
        ("1.10", number("1.10")),
        ("1e3", number("1e3")),
        (r#""x\n""#, text("x\n")),
        ("[1, 2]", Value::Json("[1, 2]".into())),
    ] {
        assert_eq!(value("", Found::Json(json)).unwrap(), expected, "{json}");
    }
    let error = value("", Found::Json("9223372036854775808")).unwrap_err();
    assert!(error.detail().contains("64-bit"), "{error}");
    let error = value("", Found::Json("1e999")).unwrap_err();
    assert!(error.detail().contains("beyond the range"), "{error}");
}

#[test]
fn a_type_takes_what_is_of_it_from_texts_and_json() {
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    for (kind, sent, expected) in [
        ("int", "-7", Value::Integer(-7)),
        ("int2", "32767", Value::Integer(32767)),
        (
            "numeric",
            "12345678901234567890.10",
            number("12345678901234567890.10"),
        ),
        ("float8", "-2.5e-3", number("-2.5e-3")),
        ("bool", "true", Value::Bool(true)),
        ("bool", "0", Value::Bool(false)),
        ("text", "grüezi", text("grüezi")),
        (
            "timestamptz",
            "2026-11-25T12:00:00Z",
            text("2026-11-25T12:00:00Z"),
        ),
        ("json", "{\"a\": 1}", Value::Json("{\"a\": 1}".into())),
        ("bytea", "AP8=", Value::Bytes(vec![0, 255].into())),
        ("uuid", uuid, text(uuid)),
    ] {
        assert_eq!(value(kind, Found::Text(sent)).unwrap(), expected, "{kind}");
        if kind != "json" {
            let json = serde_json::to_string(sent).unwrap();
            let from_json = kind_value(kind, &json);
            assert_eq!(from_json.as_ref(), Ok(&format!("{expected:?}")), "{kind}");
        }
    }
    assert_eq!(value("int8", Found::Json("7")).unwrap(), Value::Integer(7));
    assert_eq!(value("text", Found::Json("7")).unwrap(), text("7"));
    assert_eq!(
        value("text", Found::Json("[]")).unwrap(),
        Value::Json("[]".into())
    );
    assert_eq!(
        value("json", Found::Json("\"a\"")).unwrap(),
        Value::Json("\"a\"".into())
    );
}

fn kind_value(kind: &str, json: &str) -> Result<String, String> {
    let value = value(kind, Found::Json(json));
    value
        .map(|value| format!("{value:?}"))
        .map_err(|error| error.to_string())
}

#[test]
fn null_is_of_every_type() {
    for kind in [
        "", "int", "text", "json", "bytea", "bool", "numeric", "uuid",
    ] {
        assert_eq!(
            value(kind, Found::Json("null")).unwrap(),
            Value::Null,
            "{kind}"
        );
    }
}

#[test]
fn what_is_not_of_its_type_is_named() {
    for (kind, sent) in [
        ("int", "7.0"),
        ("int", "2147483648"),
        ("int2", "40000"),
        ("int8", ""),
        ("int8", " 7"),
        ("numeric", "1,5"),
        ("numeric", "nan"),
        ("numeric", "inf"),
        ("bool", "yes"),
        ("json", "{"),
        ("bytea", "%%%"),
        ("uuid", "550e8400"),
    ] {
        let error = value(kind, Found::Text(sent)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest, "{kind} {sent}");
        assert!(error.detail().contains("`p` must be"), "{error}");
    }
    for (kind, json) in [
        ("int", "true"),
        ("int", "[1]"),
        ("bool", "1"),
        ("int", "1.5"),
        ("bytea", "{}"),
    ] {
        assert!(value(kind, Found::Json(json)).is_err(), "{kind} {json}");
    }
}

#[test]
fn integers_have_the_ranges_of_their_widths() {
    for (kind, bits) in [("smallint", 16), ("integer", 32), ("bigint", 64)] {
        let (min, max) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
        assert_eq!(
            ValueKind::named(kind),
            Some(ValueKind::Integer { min, max })
        );
    }
}

#[test]
fn an_array_is_one_of_json_or_a_text_that_the_database_judges() {
    let of = |found| ValueKind::Array.value(found, "p");
    assert_eq!(of(Found::Json("[1]")).unwrap(), Value::Json("[1]".into()));
    assert_eq!(of(Found::Json("null")).unwrap(), Value::Null);
    assert_eq!(of(Found::Text("{1}")).unwrap(), text("{1}"));
    for json in ["{}", "1", "true"] {
        let error = of(Found::Json(json)).unwrap_err();
        assert_eq!(error.detail(), "the parameter `p` must be an array");
    }
}
