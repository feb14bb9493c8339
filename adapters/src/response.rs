//! What an adapter answers with.
//!
//! Adapters and plain functions make one; the server writes it to the client. The body is owned
//! and complete, so a worker is free again as soon as it has answered.

use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response as HttpResponse, StatusCode};

/// Marks a response after which the session is closed. An extension, because hardly any response has it.
#[derive(Clone, Copy, Debug)]
struct BreaksSession;

/// A response with its whole body.
///
/// It dereferences to [`http::Response`], so that headers and status are set in the usual way. `Content-Length` is
/// the server's to say, but for the answer to a HEAD: with an empty body, this is how long GET's would be.
///
/// ```
/// use pontoon_adapters::Response;
///
/// let mut response = Response::text("hello\n");
/// response.headers_mut().insert("cache-control", "no-store".parse().unwrap());
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.body(), "hello\n");
/// ```
#[derive(Debug, Default)]
pub struct Response(HttpResponse<Bytes>);

impl Response {
    /// 200 with a plain UTF-8 text.
    pub fn text(text: impl Into<String>) -> Self {
        let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
        Self::bytes(content_type, text.into())
    }

    /// 200 with a JSON document.
    ///
    /// ```
    /// use pontoon_adapters::Response;
    ///
    /// let response = Response::json(&serde_json::json!({ "id": 7 }));
    /// assert_eq!(response.body(), r#"{"id":7}"#);
    /// ```
    pub fn json(document: &serde_json::Value) -> Self {
        Self::json_text(document.to_string())
    }

    /// 200 with a body that is JSON text already.
    pub fn json_text(text: impl Into<Bytes>) -> Self {
        Self::bytes(HeaderValue::from_static("application/json"), text)
    }

    /// 200 with these bytes, which are of this media type.
    pub fn bytes(content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        let mut response = HttpResponse::new(body.into());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        Self(response)
    }

    /// This status and no body.
    pub fn status(status: StatusCode) -> Self {
        Self::default().with_status(status)
    }

    /// The same response with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        *self.0.status_mut() = status;
        self
    }

    /// Says that the session in which it was made must not be used again, although the call went well: the
    /// worker closes it and opens another. For a call that leaves its session in a state that the next one
    /// must not find.
    #[must_use]
    pub fn breaking_session(mut self) -> Self {
        self.0.extensions_mut().insert(BreaksSession);
        self
    }

    /// Whether the session must be closed.
    pub fn breaks_session(&self) -> bool {
        self.0.extensions().get::<BreaksSession>().is_some()
    }

    /// The `http` crate's response.
    pub fn into_inner(self) -> HttpResponse<Bytes> {
        self.0
    }
}

impl Deref for Response {
    type Target = HttpResponse<Bytes>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Response {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<HttpResponse<Bytes>> for Response {
    fn from(response: HttpResponse<Bytes>) -> Self {
        Self(response)
    }
}

impl From<Response> for HttpResponse<Bytes> {
    fn from(response: Response) -> Self {
        response.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_that_it_is_utf_8() {
        let response = Response::text("grüezi\n");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
        assert_eq!(response.body(), "grüezi\n");
    }

    #[test]
    fn json_is_labelled_as_json() {
        let response = Response::json(&serde_json::json!([1, null, "x"]));
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(response.body(), r#"[1,null,"x"]"#);
    }

    #[test]
    fn a_bare_status_has_neither_body_nor_media_type() {
        let response = Response::status(StatusCode::NO_CONTENT);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert!(response.body().is_empty());
        assert!(response.headers().is_empty());
    }

    #[test]
    fn it_converts_both_ways_unchanged() {
        let plain = HttpResponse::builder()
            .status(StatusCode::CREATED)
            .header("location", "/users/7")
            .body(Bytes::from_static(b"made"))
            .unwrap();
        let back: HttpResponse<Bytes> = Response::from(plain).into();
        assert_eq!(back.status(), StatusCode::CREATED);
        assert_eq!(back.headers()["location"], "/users/7");
        assert_eq!(back.body(), "made");
    }

    #[test]
    fn a_response_keeps_its_session_unless_it_says_otherwise() {
        assert!(!Response::text("").breaks_session());
        assert!(Response::text("").breaking_session().breaks_session());
    }

    #[test]
    fn with_status_keeps_body_and_headers() {
        let response = Response::text("made\n").with_status(StatusCode::CREATED);
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.body(), "made\n");
        assert!(response.headers().contains_key(CONTENT_TYPE));
    }
}
