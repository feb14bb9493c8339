//! One request to one server.

use std::time::Duration;

use ::curl::Error as CurlError;
use ::curl::easy::{Easy2, List};
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{HeaderName, Method, StatusCode, Uri};

use crate::{CallContext, Error, Request, Response};

use super::exchange::Exchange;
use super::failure::{broke_off, from_curl, of_option, took_too_long};
use super::{Curl, fields, target};

/// What libcurl would add to a request by itself, unless it is told not to.
const UNWANTED: [&str; 3] = ["accept", "content-type", "expect"];

/// What is to be transferred.
pub(super) struct Transfer<'a> {
    pub(super) config: &'a Curl,
    pub(super) target: &'a Uri,
    /// It is not another server to which the first one has redirected.
    pub(super) is_first_server: bool,
    pub(super) method: &'a Method,
    pub(super) request: &'a Request,
}

impl Transfer<'_> {
    /// Transfers it; with the answer comes where it redirects to, if it does.
    pub(super) fn run(
        &self,
        easy: &mut Easy2<Exchange>,
        call: &CallContext,
    ) -> Result<(Response, Option<String>), Error> {
        let left = call.remaining();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(took_too_long());
        }
        // Connections, addresses and TLS sessions are kept; what the last call has set is not.
        easy.reset();
        let body = if self.has_body() {
            self.request.body().clone()
        } else {
            bytes::Bytes::new()
        };
        let max_bytes = self.config.max_response_bytes;
        *easy.get_mut() = Exchange::new(body, max_bytes, call.clone());
        self.configure(easy, left).map_err(of_option)?;
        let outcome = easy.perform();
        // The context goes too: nothing of a call stays behind in the session.
        let exchange = std::mem::take(easy.get_mut());
        outcome.map_err(|error| from_curl(error, exchange.stopped()))?;
        if !exchange.has_whole_head() {
            return Err(broke_off());
        }
        let status = status(easy)?;
        let redirect = easy.redirect_url().ok().flatten().map(str::to_owned);
        Ok((self.response(status, exchange), redirect))
    }

    /// GET and HEAD have none, whatever the client sent.
    fn has_body(&self) -> bool {
        !matches!(*self.method, Method::GET | Method::HEAD) && !self.request.body().is_empty()
    }

    fn configure(
        &self,
        easy: &mut Easy2<Exchange>,
        left: Option<Duration>,
    ) -> Result<(), CurlError> {
        easy.url(&target::url(self.target))?;
        // As it was checked: no `..` is resolved behind the check's back.
        easy.path_as_is(true)?;
        // Not even the one in the environment.
        easy.proxy("")?;
        easy.progress(true)?;
        let connect = self.config.connect_timeout;
        easy.connect_timeout(at_least_1_ms(
            left.map_or(connect, |left| left.min(connect)),
        ))?;
        if let Some(left) = left {
            easy.timeout(at_least_1_ms(left))?;
        }
        if let Some(ca_file) = &self.config.ca_file {
            easy.cainfo(ca_file)?;
        }
        match *self.method {
            Method::GET => easy.get(true)?,
            Method::HEAD => easy.nobody(true)?,
            _ => {
                // A POST without a body has a length all the same: zero.
                if self.has_body()
                    || matches!(*self.method, Method::POST | Method::PUT | Method::PATCH)
                {
                    easy.post(true)?;
                    easy.post_field_size(easy.get_ref().upload_bytes())?;
                }
                easy.custom_request(self.method.as_str())?;
            }
        }
        easy.http_headers(self.headers()?)
    }

    fn headers(&self) -> Result<List, CurlError> {
        let mut list = List::new();
        let mut given: Vec<&HeaderName> = Vec::new();
        for (name, value) in self.sent_headers() {
            // In libcurl's lists a name without a value is written with a semicolon.
            match value {
                "" => list.append(&format!("{name};"))?,
                value => list.append(&format!("{name}: {value}"))?,
            }
            given.push(name);
        }
        for name in UNWANTED {
            if !given.iter().any(|given| *given == name) {
                list.append(&format!("{name}:"))?;
            }
        }
        Ok(list)
    }

    /// The client's that pass, and ours in place of those of the same name. A value that is not UTF-8
    /// cannot be handed to libcurl and stays behind.
    fn sent_headers(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        let ours = &self.config.set_headers;
        let passed = self.config.request_fields.of(self.request.headers());
        let passed = passed.filter(move |(name, _)| {
            (self.has_body() || !fields::is_of_body(name))
                && (self.is_first_server || !fields::is_credential(name))
                && !ours.contains_key(*name)
        });
        let ours = ours.iter().filter(|_| self.is_first_server);
        passed
            .chain(ours)
            .filter_map(|(name, value)| Some((name, str::from_utf8(value.as_bytes()).ok()?)))
    }

    fn response(&self, status: StatusCode, exchange: Exchange) -> Response {
        let (theirs, body) = exchange.into_answer();
        let mut headers = HeaderMap::new();
        for (name, value) in self.config.response_fields.of(&theirs) {
            headers.append(name.clone(), value.clone());
        }
        // The body that GET would have: our server lets it pass with HEAD only.
        if *self.method == Method::HEAD
            && let Some(length) = theirs.get(CONTENT_LENGTH)
        {
            headers.insert(CONTENT_LENGTH, length.clone());
        }
        let mut response = Response::from(http::Response::new(body)).with_status(status);
        *response.headers_mut() = headers;
        response
    }
}

/// Zero would mean no limit to libcurl.
fn at_least_1_ms(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}

fn status(easy: &Easy2<Exchange>) -> Result<StatusCode, Error> {
    let code = easy.response_code().map_err(of_option)?;
    u16::try_from(code)
        .ok()
        .filter(|code| (200..=599).contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| Error::bad_gateway("the upstream's answer has no final status"))
}
