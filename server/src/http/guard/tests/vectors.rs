//! The table of requests in `tests/vectors/http1.txt`, whole and split in every way.

use super::*;
use pontoon_tests::vectors::{Vector, vectors};

fn check(vector: &Vector, outcome: &Outcome, how: &str) {
    let (name, found) = (vector.name, &outcome.violation);
    let status = found.as_ref().map(|violation| violation.status.as_u16());
    assert_eq!(status, vector.status, "{name}, {how}: {found:?}");
    match found {
        Some(violation) => {
            assert_eq!(
                violation.section, vector.section,
                "{name}, {how}: {violation}"
            );
            assert_eq!(outcome.phase, Phase::Refused, "{name}, {how}");
        }
        None => assert_eq!(outcome.phase, Phase::Idle, "{name}, {how}: not complete"),
    }
}

/// Every split point of a short vector; of a long one the first, the last, and some between.
fn split_points(length: usize) -> impl Iterator<Item = usize> {
    let step = move |at: usize| if at < 300 || at + 300 > length { 1 } else { 61 };
    std::iter::successors(Some(0), move |at| Some(at + step(*at)))
        .take_while(move |at| *at <= length)
}

#[test]
fn every_vector_has_its_verdict() {
    for vector in vectors() {
        check(&vector, &serve([&vector.bytes[..]], usize::MAX), "whole");
    }
}

#[test]
fn a_verdict_does_not_depend_on_how_the_bytes_arrive() {
    for vector in vectors() {
        let bytes = &vector.bytes[..];
        let whole = serve([bytes], usize::MAX);
        assert_eq!(
            serve(bytes.chunks(1), usize::MAX),
            whole,
            "{}: by single bytes",
            vector.name
        );
        assert_eq!(
            serve([bytes], 1),
            whole,
            "{}: taken by single bytes",
            vector.name
        );
        for at in split_points(bytes.len()) {
            let (first, second) = bytes.split_at(at);
            let outcome = serve([first, second], usize::MAX);
            assert_eq!(outcome, whole, "{}: split at {at}", vector.name);
        }
    }
}

#[test]
fn a_good_message_is_passed_on_byte_for_byte() {
    for vector in vectors().iter().filter(|vector| vector.status.is_none()) {
        let forwarded = serve([&vector.bytes[..]], usize::MAX).forwarded;
        if vector.name.contains("empty line before") {
            assert!(
                forwarded.starts_with(b"GET"),
                "{}: the empty line is dropped",
                vector.name
            );
        } else {
            assert_eq!(forwarded, vector.bytes, "{}", vector.name);
        }
    }
}

#[test]
fn every_refusal_says_what_to_read() {
    for vector in vectors() {
        let outcome = serve([&vector.bytes[..]], usize::MAX);
        if let Some(violation) = outcome.violation {
            assert!(
                violation
                    .detail
                    .ends_with(|end: char| end == '.' || end.is_alphanumeric())
            );
            assert!(
                violation.section.starts_with("RFC "),
                "{}",
                violation.section
            );
        }
    }
}

/// hyper answers what it cannot parse with no words: it must be able to parse what passes.
#[test]
fn what_passes_is_good_to_hypers_own_types() {
    for vector in vectors().iter().filter(|vector| vector.status.is_none()) {
        let bytes = vector.bytes.strip_prefix(b"\r\n").unwrap_or(&vector.bytes);
        let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        assert!(
            request.parse(bytes).unwrap().is_complete(),
            "{}",
            vector.name
        );
        let target = request.path.unwrap();
        target
            .parse::<http::Uri>()
            .unwrap_or_else(|error| panic!("{target}: {error}"));
        http::Method::from_bytes(request.method.unwrap().as_bytes()).unwrap();
        for header in request.headers {
            http::HeaderName::from_bytes(header.name.as_bytes()).unwrap();
            http::HeaderValue::from_bytes(header.value).unwrap();
        }
    }
}
