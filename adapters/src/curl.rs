//! `curl`: fetches an upstream URL with libcurl and answers with what comes back.
//!
//! Mounted by the config name `curl`, in builds with the feature `curl` (libcurl with its headers must be
//! installed; `curl-static` builds one in). Each worker has a handle, which keeps connections, TLS sessions and
//! addresses between calls.
//!
//! ```toml
//! listen = "127.0.0.1:8080"
//!
//! [pool.api]
//! threads = 32
//!
//! [[location]]
//! path     = "/users/{id}"
//! adapter  = "curl"
//! pool     = "api"
//! deadline = "2s"
//! url      = "https://api.internal:8443/v2/users/{id}"
//! ca_file  = "internal-ca.pem"
//! set_headers = ["x-api-key: 12345"]
//! ```
//!
//! What it promises:
//!
//! - **The operator says where requests go.** A `{name}` of the template is filled from the path, or else from the
//!   query string, percent-encoded, so that a value stays one part of the path or one value of the query;
//!   `{*name}` keeps the `/` in a value. What would climb up in the path (`..`) is a 400. `url = "{url}"` lets clients
//!   give the whole URL, and then needs `allow_hosts`.
//! - **Redirects are not followed**, but handed to the client, unless `max_redirects` says so; then for GET and
//!   HEAD only, and only to the same server or to `allow_hosts`.
//! - **Headers pass only if they are listed**, in both directions; those that belong to a connection never do.
//!   What describes a body (`Content-Type`, `Content-Encoding`, `Content-Language`, `Content-Range`) goes
//!   with it. Bodies pass as they are.
//! - **The deadline is the upstream's too**, and when the client leaves, the transfer stops, within a second where
//!   nothing moves. One thing libcurl waits for all the same: a name server that is silent, in the common
//!   builds that ask `getaddrinfo`. The loop answers on time; the worker counts as stuck until the resolver gives
//!   up ([`resolve`](crate::resolve) says how to bound that).
//! - **Bounded**: `max_response` for the body, and 256 KiB of headers.
//! - **TLS is verified**, always: give the CA of a private upstream in `ca_file`. Only HTTP and HTTPS are spoken, and
//!   proxies in the environment are not used.
//!
//! A kept connection may have been closed by the upstream just now. Where not a byte has come back, libcurl
//! sends the request again on a new one, whatever its method is, as browsers do.
//!
//! | what happens | status |
//! | --- | --- |
//! | the upstream answers | its own |
//! | it cannot be reached, breaks off, does not speak HTTP, has a bad certificate | 502 |
//! | it redirects to where the location may not go | 502 |
//! | it takes too long | 504 |
//! | its answer is larger than `max_response` | 500 |
//! | the client leaves | 503, which nobody sees |

mod exchange;
mod failure;
mod fields;
mod keys;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod transfer;

use std::path::PathBuf;
use std::time::Duration;

use ::curl::easy::Easy2;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

pub use keys::spec;
pub use target::HostRule;
pub use template::Template;

use crate::{Adapter, CallContext, Error, Request, Response};
use exchange::Exchange;
use fields::Fields;
use transfer::Transfer;

/// The largest response body, unless configured otherwise.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// How long a connection may take, unless configured otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

static METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// One upstream URL, or a family of them.
///
/// ```
/// use std::time::Duration;
///
/// use pontoon_adapters::curl::{Curl, Template};
///
/// let template: Template = "http://127.0.0.1:9000/users/{id}".parse().unwrap();
/// let users = Curl::new(template).connect_timeout(Duration::from_millis(500));
/// ```
#[derive(Clone, Debug)]
pub struct Curl {
    template: Template,
    method: Option<Method>,
    pass_query: bool,
    request_fields: Fields,
    response_fields: Fields,
    set_headers: HeaderMap,
    allow_hosts: Vec<HostRule>,
    max_redirects: u32,
    connect_timeout: Duration,
    max_response_bytes: usize,
    ca_file: Option<PathBuf>,
}

impl Curl {
    /// Fetches what this template makes of each request.
    pub fn new(template: Template) -> Self {
        Self {
            template,
            method: None,
            pass_query: false,
            request_fields: fields::REQUEST.iter().cloned().collect(),
            response_fields: fields::RESPONSE.iter().cloned().collect(),
            set_headers: HeaderMap::new(),
            allow_hosts: Vec::new(),
            max_redirects: 0,
            connect_timeout: CONNECT_TIMEOUT,
            max_response_bytes: MAX_RESPONSE_BYTES,
            ca_file: None,
        }
    }

    /// Asks the upstream with this method, whichever the client's is. HEAD of a client stays HEAD where
    /// this is GET.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Appends the client's query string to the URL.
    #[must_use]
    pub fn pass_query(mut self, pass: bool) -> Self {
        self.pass_query = pass;
        self
    }

    /// Passes these headers of a request on, and no others but those that describe its body. Those that
    /// belong to a connection stay behind, although they are named here.
    #[must_use]
    pub fn request_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.request_fields = names.into_iter().collect();
        self
    }

    /// Passes these headers of a response back, likewise.
    #[must_use]
    pub fn response_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.response_fields = names.into_iter().collect();
        self
    }

    /// Sends this header to the upstream, in place of the client's. It goes to no other server, wherever a
    /// redirect leads.
    #[must_use]
    pub fn set_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.set_headers.append(name, value);
        self
    }

    /// Lets requests go to these servers too: for redirects, and for a template that is a whole URL.
    #[must_use]
    pub fn allow_host(mut self, rule: HostRule) -> Self {
        self.allow_hosts.push(rule);
        self
    }

    /// Follows so many redirects of a GET or HEAD.
    #[must_use]
    pub fn max_redirects(mut self, max: u32) -> Self {
        self.max_redirects = max;
        self
    }

    /// How long a connection may take, name and TLS included. It never takes longer than the deadline.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The largest response body, in bytes. A larger answer is an error.
    #[must_use]
    pub fn max_response_bytes(mut self, max: usize) -> Self {
        self.max_response_bytes = max;
        self
    }

    /// The certificates, as PEM, that HTTPS upstreams are verified with, in place of the system's file. A folder of
    /// certificates that libcurl was built to look at counts as well.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    fn method_for(&self, request: &Request) -> Result<Method, Error> {
        let asked = request.method();
        if !METHODS.contains(asked) {
            return Err(Error::method_not_allowed(&METHODS));
        }
        match &self.method {
            Some(Method::GET) if asked == Method::HEAD => Ok(Method::HEAD),
            Some(fixed) => Ok(fixed.clone()),
            None => Ok(asked.clone()),
        }
    }

    /// Where the request goes first.
    fn target(&self, request: &Request, call: &CallContext) -> Result<Uri, Error> {
        let mut url = self.template.fill(request, call)?;
        if self.pass_query
            && let Some(query) = request.uri().query()
        {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(query);
        }
        let target = target::parse(&url)
            .map_err(|why| Error::bad_request(format!("the URL cannot be fetched: {why}")))?;
        if self.template.is_whole_url() && !target::is_allowed(&target, &self.allow_hosts) {
            return Err(Error::forbidden("this location does not fetch from there"));
        }
        Ok(target)
    }

    /// Where a redirect leads, if this follows it.
    fn next(
        &self,
        from: &Uri,
        method: &Method,
        redirect: Option<String>,
    ) -> Result<Option<Uri>, Error> {
        let Some(redirect) = redirect.filter(|_| matches!(*method, Method::GET | Method::HEAD))
        else {
            return Ok(None);
        };
        let refused =
            || Error::bad_gateway("the upstream redirects to where this location may not go");
        let next = target::parse(&redirect).map_err(|why| refused().with_source(why))?;
        if target::is_same_server(from, &next) || target::is_allowed(&next, &self.allow_hosts) {
            return Ok(Some(next));
        }
        Err(refused().with_source(format!("redirect from {from} to {next}")))
    }
}

/// A handle of libcurl, with what it keeps between calls: connections, addresses, TLS sessions.
#[derive(Debug)]
pub struct Session(Easy2<Exchange>);

impl Adapter for Curl {
    type Session = Session;

    fn open(&self) -> Result<Session, Error> {
        Ok(Session(Easy2::new(Exchange::default())))
    }

    fn call(
        &self,
        session: &mut Session,
        request: Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        let method = self.method_for(&request)?;
        let first = self.target(&request, call)?;
        let mut target = first.clone();
        let mut redirects_left = self.max_redirects;
        loop {
            let transfer = Transfer {
                config: self,
                target: &target,
                is_first_server: target::is_same_server(&first, &target),
                method: &method,
                request: &request,
            };
            let (response, redirect) = transfer.run(&mut session.0, call)?;
            if redirects_left == 0 {
                return Ok(response);
            }
            redirects_left -= 1;
            match self.next(&target, &method, redirect)? {
                Some(next) => target = next,
                None => return Ok(response),
            }
        }
    }
}
