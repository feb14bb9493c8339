//! The adapter against the machine's own resolver, as far as every machine knows the answer; the
//! names of DNS are for the tests that bring their own name server.

use super::*;
use crate::test_support::{get, request};
use crate::{ErrorKind, PathParams};

fn resolve(adapter: &Resolve, name: &str) -> Result<serde_json::Value, Error> {
    let params: PathParams = [("name", name)].into_iter().collect();
    let call = CallContext::new(params, pontoon_bridge::CallContext::detached(), 1);
    let response = adapter.call(&mut (), get("/"), &call)?;
    Ok(serde_json::from_slice(response.body()).unwrap())
}

fn of(family: Family) -> Resolve {
    Resolve::new().family(family)
}

#[test]
fn localhost_is_this_machine() {
    let answer = resolve(&of(Family::Ipv4), "localhost").unwrap();
    let expected =
        json!({"name": "localhost", "addresses": [{"family": "ipv4", "address": "127.0.0.1"}]});
    assert_eq!(answer, expected);
    let answer = resolve(&of(Family::Any), "localhost").unwrap();
    let addresses = answer["addresses"].as_array().unwrap();
    assert!(addresses.contains(&json!({"family": "ipv4", "address": "127.0.0.1"})));
}

#[test]
fn the_canonical_name_is_told_where_that_is_wanted() {
    let adapter = Resolve::new().canonical_name(true);
    let answer = resolve(&adapter, "localhost").unwrap();
    assert!(answer["canonical_name"].is_string(), "{answer}");
    let answer = resolve(&Resolve::new(), "localhost").unwrap();
    assert_eq!(answer.get("canonical_name"), None);
}

#[test]
fn an_address_is_its_own_answer_if_it_is_of_the_family() {
    for (name, family) in [
        ("192.0.2.7", "ipv4"),
        ("2001:db8::7", "ipv6"),
        ("::", "ipv6"),
    ] {
        let answer = resolve(&of(Family::Any), name).unwrap();
        let expected = json!([{"family": family, "address": name}]);
        assert_eq!(answer["addresses"], expected);
        let other = if family == "ipv4" {
            Family::Ipv6
        } else {
            Family::Ipv4
        };
        let error = resolve(&of(other), name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn what_can_be_no_name_never_gets_to_the_resolver() {
    let label = "x".repeat(64);
    let long = "a.".repeat(127) + "aa";
    let huge = "x".repeat(1 << 20);
    let names = [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a b",
        "a\0b",
        "localhost\0.example.org",
        "a/b",
        "a%b",
        "-rf",
        "a.-b",
        "bücher.example",
        "a\nb",
        "fe80::1%lo",
        "[::1]",
        "1:2",
        "\u{202e}a",
        &label,
        &long,
        &huge,
    ];
    for name in names {
        let error = resolve(&Resolve::new(), name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest, "{name:.20}");
        assert!(error.detail().len() < 200, "{error}");
    }
}

#[test]
fn names_of_every_lawful_shape_get_to_it() {
    let label = "x".repeat(63);
    let long = "a.".repeat(126) + "a";
    for name in [
        "a",
        "a.",
        "_dmarc.example.org",
        "xn--bcher-kva.example",
        "3com.example",
        &label,
        &long,
    ] {
        assert!(check(name).is_ok(), "{name}");
        assert!(
            check(&format!("{name}.")).is_ok() || name.ends_with('.'),
            "{name}"
        );
    }
}

#[test]
fn each_error_of_the_resolver_has_its_kind() {
    let cases = [
        (libc::EAI_NONAME, ErrorKind::NotFound),
        (libc::EAI_NODATA, ErrorKind::NotFound),
        (EAI_ADDRFAMILY, ErrorKind::NotFound),
        (libc::EAI_AGAIN, ErrorKind::Unavailable),
        (libc::EAI_MEMORY, ErrorKind::Unavailable),
        (libc::EAI_FAIL, ErrorKind::BadGateway),
        (libc::EAI_SYSTEM, ErrorKind::BadGateway),
    ];
    for (code, kind) in cases {
        let error = refusal(LookupError::new(code));
        assert_eq!(error.kind(), kind, "{code}");
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[test]
fn other_methods_are_refused_and_a_missing_name_is_told() {
    let call = CallContext::detached();
    let post = request(Method::POST, "/?name=localhost", None, "");
    let refused = Resolve::new().call(&mut (), post, &call).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::MethodNotAllowed(_)));
    let missing = Resolve::new().call(&mut (), get("/"), &call).unwrap_err();
    assert_eq!(missing.detail(), "the parameter `name` is missing");
    let adapter = Resolve::new().param("host").family(Family::Ipv4);
    let answer = adapter.call(&mut (), get("/?host=localhost"), &call);
    assert!(answer.is_ok());
}

#[test]
fn every_key_is_read() {
    let text = "param = 'host'\nfamily = 'ipv6'\ncanonical_name = true";
    let adapter = Settings::parse(text, KEYS, Resolve::from_settings).unwrap();
    assert_eq!(adapter.param, "host");
    assert_eq!(adapter.family, Family::Ipv6);
    assert!(adapter.canonical_name);
    let adapter = Settings::parse("", KEYS, Resolve::from_settings).unwrap();
    assert_eq!(
        (adapter.param.as_str(), adapter.family),
        ("name", Family::Any)
    );
    let errors = Settings::parse("family = 'ipv5'", KEYS, Resolve::from_settings).unwrap_err();
    assert!(errors.render(false).contains("ipv5"));
}

#[test]
fn many_calls_leave_no_descriptor_open() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let adapter = of(Family::Any);
    let rounds = |count: usize| {
        for _ in 0..count {
            resolve(&adapter, "localhost").unwrap();
        }
    };
    rounds(10);
    // Other tests of this process open and close files meanwhile: a leak would be of thousands.
    let before = open();
    rounds(2000);
    let after = open();
    assert!(after < before + 500, "{before} descriptors, then {after}");
}
