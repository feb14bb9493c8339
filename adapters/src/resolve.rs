//! `resolve`: the addresses of a host name, from the system's resolver.
//!
//! Mounted by the config name `resolve`. It asks `getaddrinfo`, and so sees what every program on the
//! machine sees: `/etc/hosts`, DNS, and whatever else `nsswitch.conf` names.
//!
//! ```toml
//! listen = "127.0.0.1:8080"
//!
//! [pool.dns]
//! threads = 16                  # a name server that is silent holds each of them for seconds
//!
//! [[location]]
//! path     = "/resolve/{name}"  # or /resolve?name=example.org, on the path /resolve
//! adapter  = "resolve"
//! pool     = "dns"
//! deadline = "2s"
//! family   = "any"
//! ```
//!
//! The answer is `{"name":"localhost","addresses":[{"family":"ipv4","address":"127.0.0.1"}]}`, in the
//! order in which a program should try them, each address once; with `canonical_name = true` also
//! `"canonical_name"`, the name behind aliases, or null. An address in place of a name is answered with itself.
//!
//! **It cannot be interrupted.** `getaddrinfo` returns when it will: with the usual `resolv.conf`, five
//! seconds for each silent server and try, and there is no way to stop it. At the deadline the loop
//! answers 504 on time; the worker goes on waiting, keeps its place in the pool, and after `stuck_after`
//! is named in the log while a spare one comes in for it. So give it a pool of its own, and bound it at the
//! source: `options timeout:1 attempts:2` in `resolv.conf`.
//!
//! | the resolver says | status |
//! | --- | --- |
//! | no such name, or no address of this family | 404 |
//! | temporary failure: no server answered, or one failed | 503 |
//! | anything else | 502 |
//!
//! A name that cannot be one (longer than 253 bytes, a label that is empty or longer than 63, characters other than
//! letters, digits, `-` and `_`) is a 400 and never gets to the resolver. International names are
//! given in their ASCII form (`xn--…`). A name without a dot may match in the machine's search domains.

use std::borrow::Cow;
use std::net::IpAddr;

use dns_lookup::{AddrFamily, AddrInfoHints, LookupError, LookupErrorKind, SockType, getaddrinfo};
use http::Method;
use nix::libc;
use serde_json::json;

use crate::mount::Mounted;
use crate::registry::{AdapterSpec, Kind};
use crate::settings::{KeySpec, Settings};
use crate::{Adapter, CallContext, Error, Request, Response, params};

static METHODS: [Method; 2] = [Method::GET, Method::HEAD];

/// Longer names cannot be asked for in DNS (RFC 1035, section 2.3.4), a dot at the end not counted.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// glibc's way to say that there are addresses, but none of this family.
const EAI_ADDRFAMILY: i32 = -9;

/// Which addresses are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// All.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// The addresses of a name.
///
/// ```
/// use pontoon_adapters::resolve::{Family, Resolve};
/// use pontoon_adapters::{Adapter, CallContext};
///
/// let adapter = Resolve::new().family(Family::Ipv4);
/// let request = http::Request::get("/resolve?name=127.0.0.1").body(Default::default()).unwrap();
/// let answer = adapter.call(&mut (), request, &CallContext::detached())?;
/// let expected = r#"{"addresses":[{"address":"127.0.0.1","family":"ipv4"}],"name":"127.0.0.1"}"#;
/// assert_eq!(answer.body(), expected);
/// # Ok::<(), pontoon_adapters::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Resolve {
    param: String,
    family: Family,
    canonical_name: bool,
}

impl Default for Resolve {
    fn default() -> Self {
        Self::new()
    }
}

impl Resolve {
    /// Resolves the name in the parameter `name`.
    pub fn new() -> Self {
        Self {
            param: "name".to_owned(),
            family: Family::Any,
            canonical_name: false,
        }
    }

    /// Which parameter has the name: one of the path, or else of the query string.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = param.into();
        self
    }

    /// Which addresses are wanted.
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// Tells the name that is behind aliases as well.
    #[must_use]
    pub fn canonical_name(mut self, tell: bool) -> Self {
        self.canonical_name = tell;
        self
    }

    fn from_settings(settings: &mut Settings<'_>) -> Option<Self> {
        let family = settings.choice("family", &["any", "ipv4", "ipv6"]);
        let canonical_name = settings.boolean_or_default("canonical_name");
        let mut adapter = Self::new().canonical_name(canonical_name?);
        if settings.contains("param") {
            adapter = adapter.param(settings.required_string("param")?);
        }
        if settings.contains("family") {
            adapter = adapter.family(match family? {
                "ipv4" => Family::Ipv4,
                "ipv6" => Family::Ipv6,
                _ => Family::Any,
            });
        }
        Some(adapter)
    }

    fn name<'a>(&self, request: &'a Request, call: &'a CallContext) -> Result<Cow<'a, str>, Error> {
        let name = params::path_or_query(request, call, &self.param)?;
        let missing = || Error::bad_request(format!("the parameter `{}` is missing", self.param));
        name.ok_or_else(missing)
    }

    /// The addresses and, if it is wanted and known, the canonical name.
    fn look_up(&self, name: &str) -> Result<Found, Error> {
        if let Ok(address) = name.parse::<IpAddr>() {
            let addresses = vec![address];
            return self.found(addresses, Some(name.to_owned()));
        }
        check(name)?;
        let hints = AddrInfoHints {
            flags: if self.canonical_name {
                libc::AI_CANONNAME
            } else {
                0
            },
            address: match self.family {
                Family::Any => 0,
                Family::Ipv4 => AddrFamily::Inet.into(),
                Family::Ipv6 => AddrFamily::Inet6.into(),
            },
            // Or each address would come three times.
            socktype: SockType::Stream.into(),
            ..AddrInfoHints::default()
        };
        let entries = getaddrinfo(Some(name), None, Some(hints)).map_err(refusal)?;
        let (mut addresses, mut canonical) = (Vec::new(), None);
        // An entry that is no Internet address is of no interest.
        for entry in entries.flatten() {
            canonical = canonical.or(entry.canonname);
            let address = entry.sockaddr.ip();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        self.found(addresses, canonical)
    }

    fn found(&self, mut addresses: Vec<IpAddr>, canonical: Option<String>) -> Result<Found, Error> {
        addresses.retain(|address| match self.family {
            Family::Any => true,
            Family::Ipv4 => address.is_ipv4(),
            Family::Ipv6 => address.is_ipv6(),
        });
        if addresses.is_empty() {
            return Err(no_such_name());
        }
        Ok(Found {
            addresses,
            canonical,
        })
    }
}

#[derive(Debug)]
struct Found {
    addresses: Vec<IpAddr>,
    canonical: Option<String>,
}

impl Adapter for Resolve {
    type Session = ();

    fn open(&self) -> Result<(), Error> {
        Ok(())
    }

    fn call(&self, (): &mut (), request: Request, call: &CallContext) -> Result<Response, Error> {
        if !METHODS.contains(request.method()) {
            return Err(Error::method_not_allowed(&METHODS));
        }
        let name = self.name(&request, call)?;
        let found = self.look_up(&name)?;
        let addresses: Vec<_> = found
            .addresses
            .iter()
            .map(|address| {
                let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
                json!({ "family": family, "address": address.to_string() })
            })
            .collect();
        let mut answer = json!({ "name": name, "addresses": addresses });
        if self.canonical_name {
            answer["canonical_name"] = json!(found.canonical);
        }
        Ok(Response::json(&answer))
    }
}

/// Refuses what can be no host name before the resolver sees it.
fn check(name: &str) -> Result<(), Error> {
    let wrong = |what: &str| Err(Error::bad_request(format!("this is no host name: {what}")));
    let relative = name.strip_suffix('.').unwrap_or(name);
    if relative.len() > NAME_BYTES_MAX {
        return wrong("it is longer than 253 bytes");
    }
    for label in relative.split('.') {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if label.is_empty() {
            return wrong("a part of it is empty");
        }
        if label.len() > LABEL_BYTES_MAX {
            return wrong("a part of it is longer than 63 bytes");
        }
        if !label.bytes().all(is_plain) {
            return wrong(
                "it has other characters than letters, digits, `-` and `_`; an international name is \
                 given in its ASCII form, `xn--…`",
            );
        }
        if label.starts_with('-') {
            return wrong("a part of it begins with `-`");
        }
    }
    Ok(())
}

fn no_such_name() -> Error {
    Error::not_found("there is no address of this name")
}

/// What a client is told when the resolver has no answer.
fn refusal(error: LookupError) -> Error {
    let refused = match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData => no_such_name(),
        LookupErrorKind::Again => {
            Error::unavailable("the name cannot be resolved just now; try again")
        }
        LookupErrorKind::Memory => Error::unavailable("there is no memory to resolve the name"),
        _ if error.error_num() == EAI_ADDRFAMILY => no_such_name(),
        _ => Error::bad_gateway("the resolver failed"),
    };
    refused.with_source(error)
}

const KEYS: &[KeySpec] = &[
    KeySpec::with_default(
        "param",
        "text",
        "name",
        "the parameter with the name, of the path (`/resolve/{name}`) or of the query string",
    ),
    KeySpec::with_default(
        "family",
        "any, ipv4 or ipv6",
        "any",
        "which addresses are wanted",
    ),
    KeySpec::with_default(
        "canonical_name",
        "boolean",
        "false",
        "whether the answer tells the name that is behind aliases",
    ),
];

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "resolve",
        kind: Kind::Blocking,
        modes: &[],
        summary: "looks up the addresses of a host name with the system's resolver",
        keys: KEYS,
        build: |settings| Resolve::from_settings(settings).map(Mounted::blocking),
    }
}

#[cfg(test)]
mod tests;
