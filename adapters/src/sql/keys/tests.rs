//! The keys, and what is wrong with them.

use http::StatusCode;

use super::*;

fn read(text: &str) -> Result<Common, String> {
    let read = |settings: &mut Settings<'_>| Common::read(settings, Dialect::POSTGRES);
    Settings::parse(text, &KEYS, read).map_err(|errors| errors.render(false))
}

#[test]
fn every_key_is_read() {
    let text = r#"
        query = ["UPDATE t SET a = :a", "SELECT :who"]
        queries.GET = "SELECT 1"
        params.a = { from = "body:b.c", default = 7 }
        params.who.from = "header:X-Who"
        format = "raw"
        results = "last"
        no_rows = 410
        no_changes = 409
        changes = 201
        max_response = "2KiB"
        decimals = "text"
        content_type = "image/png"
        content_type_column = "type"
    "#;
    let common = read(text).unwrap();
    let statements = |method| common.plan.of(&method).unwrap().statements.len();
    assert_eq!((statements(Method::GET), statements(Method::PUT)), (1, 2));
    assert_eq!(common.sources["a"].default, Some(DefaultValue::Integer(7)));
    assert_eq!(
        common.sources["who"].from,
        From::parse("header:x-who").unwrap()
    );
    let output = &common.output;
    assert_eq!(
        (output.format, output.results),
        (Format::Raw, Results::Last)
    );
    assert_eq!(output.no_rows, Some(StatusCode::GONE));
    assert_eq!(output.no_changes, Some(StatusCode::CONFLICT));
    assert_eq!(
        (output.changes, output.max_bytes),
        (StatusCode::CREATED, 2048)
    );
    assert!(output.decimals_are_texts);
    assert_eq!(output.content_type.as_ref().unwrap(), "image/png");
    assert_eq!(output.content_type_column.as_deref(), Some("type"));
}

#[test]
fn the_defaults_are_those_that_the_keys_name() {
    let common = read("query = 'SELECT 1'").unwrap();
    assert_eq!(common.output, Output::default());
    assert_eq!(common.sources, Sources::new());
    for (name, default) in [
        ("format", "array"),
        ("max_response", "64MiB"),
        ("changes", "200"),
    ] {
        let key = KEYS.iter().find(|key| key.name == name).unwrap();
        assert_eq!(key.default, Some(default));
    }
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    for (text, expected) in [
        ("", "missing key `query`"),
        ("query = []", "no statement"),
        ("query = 'SELECT 1; SELECT 2'", "more than one statement"),
        ("queries.GTE = 'SELECT 1'", "unknown key `GTE`"),
        ("queries.GET = \"SELECT 'a\"", "does not end"),
        ("query = 'SELECT 1'\nformat = 'ndjso'", "ndjson"),
        (
            "query = 'SELECT 1'\nformat = 'csv'\nresults = 'all'",
            "only with",
        ),
        ("query = 'SELECT 1'\ncontent_type = 'a/b'", "raw"),
        (
            "query = 'SELECT :a'\nparams.b.from = 'query'",
            "no statement has the parameter `:b`",
        ),
        (
            "query = 'SELECT :a'\nparams.a.from = 'cookie'",
            "says no place",
        ),
        (
            "query = 'SELECT :a'\nparams.a = { default = 1, optional = true }",
            "never missing",
        ),
        (
            "query = 'SELECT :a'\nparams.a.form = 'query'",
            "unknown key `form`",
        ),
        ("query = 'SELECT :a'\nparams.a.default = inf", "not inf"),
    ] {
        let errors = read(text).unwrap_err();
        assert!(errors.contains(expected), "{text}: {errors}");
    }
}
