//! Where values come from.

use super::super::ValueKind;
use super::*;
use crate::test_support::{get, post};

fn parameter(name: &str) -> Parameter {
    Parameter {
        name: name.to_owned(),
        kind: ValueKind::Any,
    }
}

fn sources(all: &[(&str, &str, Option<DefaultValue>)]) -> Sources {
    let source = |(name, from, default): &(&str, &str, Option<DefaultValue>)| {
        let from = From::parse(from).unwrap();
        let default = default.clone();
        ((*name).to_owned(), Source { from, default })
    };
    all.iter().map(source).collect()
}

fn value_of(request: &Request, sources: &Sources, name: &str) -> Result<String, String> {
    let call = CallContext::detached();
    let filler = Filler::new(request, &call, sources).unwrap();
    let value = filler.value(&parameter(name));
    value
        .map(|value| format!("{value:?}"))
        .map_err(|error| error.detail().to_owned())
}

fn shown(value: Value<'_>) -> Result<String, String> {
    Ok(format!("{value:?}"))
}

#[test]
fn a_header_is_a_source_only_where_the_configuration_says_so() {
    let mut request = get("/");
    request
        .headers_mut()
        .insert("x-user", "Ada".parse().unwrap());
    let named = sources(&[("user", "header:X-User", None)]);
    assert_eq!(
        value_of(&request, &named, "user"),
        shown(Value::Text("Ada".into()))
    );
    let refused = value_of(&request, &Sources::new(), "x-user");
    assert_eq!(refused, Err("the parameter `x-user` is missing".to_owned()));
    request
        .headers_mut()
        .append("x-user", "Eve".parse().unwrap());
    let refused = value_of(&request, &named, "user");
    assert_eq!(
        refused,
        Err("the header `x-user` is there twice".to_owned())
    );
    let refused = value_of(&get("/"), &named, "user");
    assert_eq!(refused, Err("the header `x-user` is missing".to_owned()));
}

#[test]
fn a_place_and_a_name_may_be_given() {
    let request = post(
        "/?n=query",
        "application/json",
        r#"{"n": "body", "deep": {"m": 7}}"#,
    );
    let named = sources(&[
        ("a", "body:n", None),
        ("b", "query:n", None),
        ("c", "body:deep.m", None),
        ("d", "path:n", None),
    ]);
    assert_eq!(
        value_of(&request, &named, "a"),
        shown(Value::Text("body".into()))
    );
    assert_eq!(
        value_of(&request, &named, "b"),
        shown(Value::Text("query".into()))
    );
    assert_eq!(value_of(&request, &named, "c"), shown(Value::Integer(7)));
    let refused = value_of(&request, &named, "d");
    assert_eq!(refused, Err("the parameter `n` is missing".to_owned()));
}

#[test]
fn the_whole_body_is_bytes() {
    let request = post("/", "image/png", vec![0, 159, 255]);
    let named = sources(&[("image", "whole-body", None)]);
    let expected = Value::Bytes(vec![0, 159, 255].into());
    assert_eq!(value_of(&request, &named, "image"), shown(expected));
}

#[test]
fn a_default_is_for_what_is_missing_only() {
    let named = sources(&[
        ("page", "any", Some(DefaultValue::Integer(1))),
        ("note", "any", Some(DefaultValue::Null)),
    ]);
    assert_eq!(
        value_of(&get("/"), &named, "page"),
        shown(Value::Integer(1))
    );
    assert_eq!(value_of(&get("/"), &named, "note"), shown(Value::Null));
    let given = value_of(&get("/?page=2"), &named, "page");
    assert_eq!(given, shown(Value::Text("2".into())));
}

#[test]
fn a_place_that_is_none_is_refused() {
    for wrong in [
        "",
        "cookie:x",
        "header",
        "header:",
        "header:a b",
        "whole-body:x",
    ] {
        assert!(From::parse(wrong).is_err(), "{wrong}");
    }
}
