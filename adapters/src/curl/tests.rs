//! The adapter against real upstreams on real sockets: good ones, and those that misbehave on purpose.

mod failures;
mod redirects;
mod stopping;
mod tls;
mod transfers;
mod upstream;

use super::*;
use crate::test_support::{get, post, request};
use crate::{ErrorKind, PathParams};
use upstream::Upstream;

/// The adapter for a path of the upstream.
fn to(upstream: &Upstream, path: &str) -> Curl {
    Curl::new(upstream.url(path).parse().unwrap())
}

/// One call on a handle of its own.
fn fetch(adapter: &Curl, request: Request) -> Result<Response, Error> {
    let mut session = adapter.open()?;
    adapter.call(&mut session, request, &CallContext::detached())
}

fn context(path: &[(&str, &str)]) -> CallContext {
    let params: PathParams = path.iter().copied().collect();
    CallContext::new(params, pontoon_bridge::CallContext::detached(), 1)
}

fn with_headers(mut request: Request, headers: &[(&'static str, &str)]) -> Request {
    for (name, value) in headers {
        let name = HeaderName::from_static(name);
        request
            .headers_mut()
            .append(name, HeaderValue::from_str(value).unwrap());
    }
    request
}

fn text(outcome: Result<Response, Error>) -> String {
    String::from_utf8(outcome.unwrap().body().to_vec()).unwrap()
}

fn kind(outcome: Result<Response, Error>) -> ErrorKind {
    outcome.unwrap_err().kind()
}
