//! What every error that the server makes by itself has in common.

use crate::client::Response;

/// Holds a response to RFC 9457 with this status; gives its `detail`.
///
/// # Panics
///
/// When it is not such a problem.
pub fn problem(response: &Response, status: u16) -> String {
    let shown = || format!("{response:?} {}", response.text());
    assert_eq!(response.status, status, "{}", shown());
    let content_type = response.header("content-type");
    assert_eq!(
        content_type,
        Some("application/problem+json"),
        "{}",
        shown()
    );
    assert_eq!(response.headers_named("date"), 1, "{}", shown());
    let document = response.json();
    assert_eq!(document["status"], status, "{document}");
    assert_eq!(document["type"], "about:blank", "{document}");
    let title = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .expect("a status with a name");
    assert_eq!(document["title"], title, "{document}");
    let detail = document["detail"].as_str().unwrap_or_default();
    assert!(!detail.is_empty(), "{document}");
    detail.to_owned()
}
