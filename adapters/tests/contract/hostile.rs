//! Input that is malformed, or made to do harm.

use pontoon_tests::client::Response;
use serde_json::json;

use crate::rig::{JSON, Rig};
use crate::subject::Subject;

/// Levels of nested JSON: enough to overrun the stack of whoever descends into it by calling itself.
const DEPTH: usize = 100_000;

const FORM: &[(&str, &str)] = &[("Content-Type", "application/x-www-form-urlencoded")];

pub(crate) fn every_text_is_stored_exactly<S: Subject>() {
    let Some(rig) = Rig::<S>::new() else { return };
    let many_quotes = "'\"`\\".repeat(16 * 1024);
    let texts = [
        "",
        " ",
        "'",
        "''",
        "\"",
        "`",
        "\\",
        "\\'",
        "'; DROP TABLE stored; --",
        "\\'; DROP TABLE stored; -- ",
        "' OR '1'='1",
        "$1 :value ?1 @value %s %n {value}",
        "${jndi:ldap://localhost/}",
        "\r\n\r\nSET x 1\r\n",
        "*1\r\n$8\r\nFLUSHALL\r\n",
        "\u{1}\u{8}\u{1b}[2J\u{7f}",
        "\u{feff}\u{202e}\u{fffd}\u{10ffff}",
        "e\u{301} is not é",
        "🦀 Straße ﷽",
        "null",
        "007",
        "1e999",
        "[\"value\"]",
        &many_quotes,
    ];
    for text in texts {
        let answer = rig.post("/store", text);
        assert_eq!(answer.status, 200, "{text:?}: {}", answer.text());
        assert_eq!(rig.subject.value_of(&answer), text);
    }
    rig.echoes("and all is well");
    rig.did_not_panic();
}

pub(crate) fn what_a_backend_may_refuse_is_refused_or_stored_exactly<S: Subject>() {
    let Some(rig) = Rig::<S>::new() else { return };
    let large = "0123456789abcdef".repeat(10 * 1024 * 1024 / 16);
    for text in ["\0", "a\0b", &large] {
        let answer = rig.post("/store", text);
        refused_or_exact(&rig, &answer, text);
    }
    // Numbers are their digits where a text is expected; arrays and objects are their JSON text.
    let deep_array = "[".repeat(DEPTH) + &"]".repeat(DEPTH);
    let deep_object = "{\"a\":".repeat(DEPTH) + "1" + &"}".repeat(DEPTH);
    for text in ["99999999999999999999", "1e999", &deep_array, &deep_object] {
        let body = format!("{{\"value\":{text}}}");
        let answer = rig.server.request("POST", "/store", JSON, body.as_bytes());
        refused_or_exact(&rig, &answer, text);
    }
    rig.echoes("and all is well");
    rig.did_not_panic();
}

pub(crate) fn what_is_malformed_is_refused<S: Subject>() {
    let Some(rig) = Rig::<S>::new() else { return };
    let refused = |target: &str, headers: &[(&str, &str)], body: &[u8]| {
        let answer = rig.server.request("POST", target, headers, body);
        let shown = String::from_utf8_lossy(body);
        assert_refused(&answer, &format!("{target} {shown}"));
    };
    let unclosed = "[".repeat(DEPTH);
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"{\"value\":\"\xff\xfe\"}",
        b"{\"value\":\"\\ud800\"}",
        b"{\"value\":\"\0\"}",
        unclosed.as_bytes(),
    ];
    for body in bodies {
        refused("/store", JSON, body);
    }
    let forms: [&[u8]; 4] = [
        b"value=%zz",
        b"value=%ff",
        b"value=\xff",
        b"value=1&value=2",
    ];
    for form in forms {
        refused("/store", FORM, form);
    }
    for query in ["value=%zz", "value=%ff", "value=1&value=2"] {
        refused(&format!("/store?{query}"), &[], b"");
    }
    refused(
        "/store",
        &[],
        json!({ "value": "untyped" }).to_string().as_bytes(),
    );
    rig.echoes("and all is well");
    rig.did_not_panic();
}

fn refused_or_exact<S: Subject>(rig: &Rig<S>, answer: &Response, text: &str) {
    let start: String = text.chars().take(40).collect();
    if answer.status != 200 {
        return assert_refused(answer, &start);
    }
    let is_exact = rig.subject.value_of(answer) == text;
    assert!(is_exact, "{start:?} of {} bytes was changed", text.len());
}

/// It is the client's mistake, and told as that.
fn assert_refused(answer: &Response, sent: &str) {
    let sent: String = sent.chars().take(80).collect();
    let is_refused = (400..500).contains(&answer.status);
    assert!(is_refused, "{sent:?}: {} {}", answer.status, answer.text());
    pontoon_tests::problem::problem(answer, answer.status);
}
