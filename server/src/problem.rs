//! Errors that the server answers by itself, as `application/problem+json` (RFC 9457).

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use pontoon_adapters::{Error, ErrorKind, Response};
use std::time::Duration;

/// An error response in the making.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    allow: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            allow: None,
            retry_after: None,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// 405, with the methods that would do.
    pub(crate) fn method_not_allowed<'m>(
        method: &Method,
        allowed: impl Iterator<Item = &'m Method>,
    ) -> Self {
        let allowed: Vec<_> = allowed.map(Method::as_str).collect();
        let allowed = allowed.join(", ");
        let detail = format!("{method} is not answered here; use {allowed}");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, detail);
        Self {
            allow: Some(allowed),
            ..problem
        }
    }

    /// 503, with the time after which to come again.
    pub(crate) fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        Self {
            retry_after: Some(retry_after),
            ..problem
        }
    }

    /// 429, with the time after which to come again (RFC 6585).
    pub(crate) fn too_many_requests(detail: impl Into<String>, retry_after: Duration) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, detail);
        Self {
            retry_after: Some(retry_after),
            ..problem
        }
    }

    pub(crate) fn with_allow(self, allow: &str) -> Self {
        Self {
            allow: Some(allow.to_owned()),
            ..self
        }
    }

    /// What an error becomes. Its source is for the log, not for the client.
    pub(crate) fn of_error(error: &Error) -> Self {
        let problem = Self::new(error.kind().status(), error.detail());
        match error.kind() {
            ErrorKind::MethodNotAllowed(methods) => {
                let allow: Vec<_> = methods.iter().map(Method::as_str).collect();
                problem.with_allow(&allow.join(", "))
            }
            ErrorKind::Unavailable => Self {
                retry_after: error.retry_after().or(Some(Duration::from_secs(1))),
                ..problem
            },
            _ => problem,
        }
    }

    fn body(&self) -> serde_json::Value {
        serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        })
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::json(&self.body()).with_status(self.status);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(allow) = self
            .allow
            .and_then(|allow| HeaderValue::from_str(&allow).ok())
        {
            headers.insert(ALLOW, allow);
        }
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }

    /// The whole response as bytes, for connections on which hyper speaks no more.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let response = self.into_response();
        let status = response.status();
        let reason = status.canonical_reason().unwrap_or("Error");
        let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
        for (name, value) in response.headers() {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        let date = httpdate::fmt_http_date(std::time::SystemTime::now());
        let length = response.body().len();
        let rest = format!("content-length: {length}\r\nconnection: close\r\ndate: {date}\r\n\r\n");
        bytes.extend_from_slice(rest.as_bytes());
        bytes.extend_from_slice(response.body());
        bytes
    }
}
