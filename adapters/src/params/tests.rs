//! Where parameters come from, which source wins, and what is refused.

use pontoon_bridge::CallContext as BridgeCall;
use proptest::prelude::*;

use super::*;
use crate::ErrorKind;
use crate::test_support::{get, post};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

fn call(path: &[(&str, &str)]) -> CallContext {
    CallContext::new(path.iter().copied().collect(), BridgeCall::detached(), 1)
}

fn text(value: &str) -> Value<'_> {
    Value::Text(value.into())
}

fn json_value(body: &str, name: &str) -> Result<Value<'static>, Error> {
    let request = post("/", JSON, body.to_owned());
    let call = call(&[]);
    let params = Params::collect(&request, &call)?;
    Ok(match params.value(name)? {
        Value::Null => Value::Null,
        Value::Integer(integer) => Value::Integer(integer),
        Value::Real(real) => Value::Real(real),
        Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
    })
}

fn refusal(request: &Request, name: &str) -> String {
    let call = call(&[]);
    let error = Params::collect(request, &call)
        .and_then(|params| params.value(name).map(|_| ()))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRequest);
    error.detail().to_owned()
}

#[test]
fn the_path_wins_over_the_query_and_the_query_over_the_body() {
    let request = post("/?a=query&b=query", FORM, "a=body&b=body&c=body");
    let call = call(&[("a", "path")]);
    let params = Params::collect(&request, &call).unwrap();
    assert_eq!(params.value("a").unwrap(), text("path"));
    assert_eq!(params.value("b").unwrap(), text("query"));
    assert_eq!(params.value("c").unwrap(), text("body"));
}

#[test]
fn a_missing_parameter_is_named() {
    assert_eq!(
        refusal(&get("/?other=1"), "id"),
        "the parameter `id` is missing"
    );
}

#[test]
fn query_and_form_values_are_decoded() {
    let request = post("/?q=a%20b%2Bc", FORM, "name=Z%C3%BCrich+West&empty=&bare");
    let call = call(&[]);
    let params = Params::collect(&request, &call).unwrap();
    assert_eq!(params.value("q").unwrap(), text("a b+c"));
    assert_eq!(params.value("name").unwrap(), text("Zürich West"));
    assert_eq!(params.value("empty").unwrap(), text(""));
    assert_eq!(params.value("bare").unwrap(), text(""));
}

#[test]
fn json_types_are_kept() {
    let body = r#"{"n":null,"t":true,"f":false,"i":-7,"r":2.5,"e":1e2,"s":"x\n","a":[1, 2]}"#;
    assert_eq!(json_value(body, "n").unwrap(), Value::Null);
    assert_eq!(json_value(body, "t").unwrap(), Value::Integer(1));
    assert_eq!(json_value(body, "f").unwrap(), Value::Integer(0));
    assert_eq!(json_value(body, "i").unwrap(), Value::Integer(-7));
    assert_eq!(json_value(body, "r").unwrap(), Value::Real(2.5));
    assert_eq!(json_value(body, "e").unwrap(), Value::Real(100.0));
    assert_eq!(json_value(body, "s").unwrap(), text("x\n"));
    assert_eq!(json_value(body, "a").unwrap(), text("[1, 2]"));
}

#[test]
fn integers_are_exact_up_to_64_bits_and_refused_beyond() {
    let exact = json_value(r#"{"i":9223372036854775807}"#, "i").unwrap();
    assert_eq!(exact, Value::Integer(i64::MAX));
    for beyond in ["9223372036854775808", "-99999999999999999999999"] {
        let request = post("/", JSON, format!("{{\"i\":{beyond}}}"));
        let detail = refusal(&request, "i");
        assert_eq!(
            detail,
            "the parameter `i` does not fit into a 64-bit integer"
        );
    }
    let detail = refusal(&post("/", JSON, r#"{"r":1e999}"#), "r");
    assert_eq!(detail, "the parameter `r` is beyond the range of a number");
}

#[test]
fn a_dotted_name_leads_into_objects_unless_a_member_has_that_very_name() {
    let body = r#"{"user":{"name":{"first":"Ada"}},"a.b":1,"a":{"b":2}}"#;
    assert_eq!(json_value(body, "user.name.first").unwrap(), text("Ada"));
    assert_eq!(json_value(body, "a.b").unwrap(), Value::Integer(1));
    assert_eq!(
        json_value(body, "user.name").unwrap(),
        text(r#"{"first":"Ada"}"#)
    );
    let missing = json_value(body, "user.name.first.letter").unwrap_err();
    assert!(missing.detail().contains("missing"));
}

#[test]
fn a_media_type_may_carry_parameters_and_a_json_suffix() {
    for media_type in [
        "application/json; charset=utf-8",
        "Application/Problem+JSON",
    ] {
        let request = post("/", media_type, r#"{"id":7}"#);
        let call = call(&[]);
        let params = Params::collect(&request, &call).unwrap();
        assert_eq!(params.value("id").unwrap(), Value::Integer(7));
    }
}

#[test]
fn a_body_of_another_media_type_holds_no_parameters() {
    let detail = refusal(&post("/", "text/plain", "id=7"), "id");
    assert_eq!(detail, "the parameter `id` is missing");
}

#[test]
fn malformed_input_is_refused_and_named() {
    let cut = refusal(&post("/", JSON, r#"{"id":"#), "id");
    assert!(cut.starts_with("the JSON body is malformed"), "{cut}");
    let list = refusal(&post("/", JSON, "[1]"), "id");
    assert!(
        list.starts_with("the JSON body must be an object"),
        "{list}"
    );
    let form = refusal(&post("/", FORM, "id=%zz"), "id");
    assert!(form.starts_with("the form body is malformed"), "{form}");
    let cut = refusal(&post("/", FORM, "id=%4"), "id");
    assert!(cut.contains("hexadecimal"), "{cut}");
    let query = refusal(&get("/?id=%ff"), "id");
    assert_eq!(
        query,
        "the query string is malformed: a name or a value is not UTF-8"
    );
    let surrogate = refusal(&post("/", JSON, r#"{"id":"\ud800"}"#), "id");
    assert!(surrogate.contains("`id`"), "{surrogate}");
}

#[test]
fn a_parameter_given_twice_is_refused_once_it_is_asked_for() {
    let request = get("/?id=1&id=2&other=3");
    assert_eq!(
        refusal(&request, "id"),
        "the parameter `id` is twice in the query string"
    );
    let call = call(&[]);
    let params = Params::collect(&request, &call).unwrap();
    assert_eq!(params.value("other").unwrap(), text("3"));
}

#[test]
fn an_array_nested_very_deeply_is_only_text() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let value = json_value(&deep, "a").unwrap();
    assert!(matches!(value, Value::Text(text) if text.len() == 200_000));
}

proptest! {
    #[test]
    fn any_bytes_give_parameters_or_a_400_but_never_a_panic(
        body in proptest::collection::vec(any::<u8>(), 0..64),
        json in any::<bool>(),
    ) {
        let request = post("/", if json { JSON } else { FORM }, body);
        let call = call(&[]);
        match Params::collect(&request, &call).and_then(|params| params.get("a").map(|_| ())) {
            Ok(()) => {}
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::BadRequest),
        }
    }

    #[test]
    fn any_text_survives_a_form(value in any::<String>()) {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("a", &value)
            .finish();
        let request = post("/", FORM, body);
        let call = call(&[]);
        let params = Params::collect(&request, &call).unwrap();
        prop_assert_eq!(params.value("a").unwrap(), Value::Text(value.into()));
    }
}
