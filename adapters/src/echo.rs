//! `echo`: answers with what it was asked.
//!
//! It does next to nothing, and does it on a worker: a location with it shows what the whole path
//! through a pool costs, and that routing, bodies and headers arrive as they were sent. Mounted by
//! the config name `echo`; it takes no keys.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use crate::mount::Mounted;
use crate::registry::{AdapterSpec, Kind};
use crate::{Adapter, CallContext, Error, Request, Response};

const NOSNIFF: (HeaderName, HeaderValue) = (
    http::header::X_CONTENT_TYPE_OPTIONS,
    HeaderValue::from_static("nosniff"),
);

/// Answers a request that has a body with that body, and with its media type. Answers any other
/// with one line of text: the method and the target.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Adapter for Echo {
    type Session = ();

    fn open(&self) -> Result<(), Error> {
        Ok(())
    }

    fn call(&self, (): &mut (), request: Request, _call: &CallContext) -> Result<Response, Error> {
        Ok(answer(request))
    }
}

fn answer(request: Request) -> Response {
    let (head, body) = request.into_parts();
    if body.is_empty() {
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        return Response::text(format!("{} {target}\n", head.method));
    }
    let content_type = head.headers.get(CONTENT_TYPE).cloned();
    let content_type =
        content_type.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"));
    let mut response = Response::bytes(content_type, body);
    // The body is the client's own: no browser may take it for anything but what it is labelled.
    response.headers_mut().insert(NOSNIFF.0, NOSNIFF.1);
    response
}

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "echo",
        kind: Kind::Blocking,
        modes: &[],
        summary: "answers with the request: its body, or its method and target",
        keys: &[],
        build: |_settings| Some(Mounted::blocking(Echo)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{get, post, request};

    fn call(request: Request) -> Response {
        Echo.call(&mut (), request, &CallContext::detached())
            .unwrap()
    }

    #[test]
    fn a_body_comes_back_byte_by_byte_with_its_media_type() {
        let body: Vec<u8> = (0..=255).collect();
        let response = call(post("/any", "image/x-test", body.clone()));
        assert_eq!(response.body()[..], body[..]);
        assert_eq!(response.headers()[CONTENT_TYPE], "image/x-test");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    }

    #[test]
    fn a_body_without_a_media_type_is_just_bytes() {
        let response = call(request(http::Method::PUT, "/any", None, "x"));
        assert_eq!(response.headers()[CONTENT_TYPE], "application/octet-stream");
    }

    #[test]
    fn without_a_body_it_names_the_method_and_the_target_as_it_was_sent() {
        let response = call(get("/a%20b?c=d&e=%2F"));
        assert_eq!(response.body(), "GET /a%20b?c=d&e=%2F\n");
        let response = call(request(http::Method::DELETE, "/x", None, ""));
        assert_eq!(response.body(), "DELETE /x\n");
    }
}
