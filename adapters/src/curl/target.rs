//! Where a request may go.
//!
//! What is checked here is what is fetched: a URL is taken apart once, and libcurl gets the one that is put
//! together again from the parts. Two parsers that read one URL differently are how an allow-list is
//! passed by.

use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;

/// Takes a URL apart, if it is one to fetch; tells why not.
pub(super) fn parse(url: &str) -> Result<Uri, String> {
    // The parser would take a fragment off without a word.
    let url = url.split('#').next().unwrap_or("");
    let begins_with = |scheme: &str| {
        let start = url.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if !begins_with("http://") && !begins_with("https://") {
        return Err("it does not begin with http:// or https://".to_owned());
    }
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("it is no URL: {error}"))?;
    let authority = uri.authority().ok_or("it names no server")?;
    if authority.as_str().contains('@') {
        return Err("it has a user's name in it; give `Authorization` as a header".to_owned());
    }
    let host = authority.host();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    if host.is_empty() || !(host.bytes().all(is_plain) || is_ipv6) {
        return Err("its server has no plain name".to_owned());
    }
    let has_port = authority.as_str().len() > host.len();
    if has_port && uri.port_u16().is_none_or(|port| port == 0) {
        return Err("its port is none".to_owned());
    }
    Ok(uri)
}

/// The URL, for libcurl.
pub(super) fn url(target: &Uri) -> String {
    // libcurl speaks many more protocols; none of them gets into a URL here.
    let scheme = if is_https(target) { "https" } else { "http" };
    let host = target.host().unwrap_or("");
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = percent_encoding::utf8_percent_encode(path, UNSAFE);
    format!("{scheme}://{host}:{}{slash}{path}", port(target))
}

/// What the parser lets pass and no URL may have.
const UNSAFE: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

fn is_https(target: &Uri) -> bool {
    target.scheme() == Some(&Scheme::HTTPS)
}

fn port(target: &Uri) -> u16 {
    target.port_u16().unwrap_or_else(|| default_port(target))
}

fn default_port(target: &Uri) -> u16 {
    if is_https(target) { 443 } else { 80 }
}

/// Whether both are on one server, reached in one way.
pub(super) fn is_same_server(one: &Uri, other: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    one.scheme() == other.scheme() && host(one) == host(other) && port(one) == port(other)
}

/// Whether one of the rules lets a request go there.
pub(super) fn is_allowed(target: &Uri, rules: &[HostRule]) -> bool {
    rules.iter().any(|rule| rule.allows(target))
}

/// A server, or the servers of a domain, that requests may go to.
///
/// `api.example.org` is the server of that name on the usual port of HTTP or HTTPS,
/// `api.example.org:8443` on that port; `*.example.org` are all names below that one, without it. A name
/// is trusted with whatever address it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    /// In lower case; begins with a dot where all names below are meant.
    host: String,
    port: Option<u16>,
}

impl HostRule {
    fn allows(&self, target: &Uri) -> bool {
        let host = target.host().unwrap_or("").to_ascii_lowercase();
        let is_host = if self.host.starts_with('.') {
            host.len() > self.host.len() && host.ends_with(&self.host)
        } else {
            host == self.host
        };
        is_host && port(target) == self.port.unwrap_or_else(|| default_port(target))
    }
}

impl FromStr for HostRule {
    type Err = String;

    /// Reads a rule, and tells what is wrong with it.
    fn from_str(text: &str) -> Result<Self, String> {
        let below = text.strip_prefix("*.");
        let server = parse(&format!("http://{}/", below.unwrap_or(text)));
        let server = server
            .ok()
            .filter(|server| server.path() == "/" && server.query().is_none());
        let Some(server) = server else {
            let help = "write a server, as in `api.example.org`, `api.example.org:8443` or `*.example.org`";
            return Err(format!("`{text}` is no server: {help}"));
        };
        let host = server.host().unwrap_or("").to_ascii_lowercase();
        Ok(Self {
            host: match below {
                Some(_) => format!(".{host}"),
                None => host,
            },
            port: server.port_u16(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, url: &str) -> bool {
        let rule: HostRule = rule.parse().unwrap();
        parse(url).is_ok_and(|target| rule.allows(&target))
    }

    #[test]
    fn a_rule_is_a_server_or_a_domain() {
        assert!(allows("api.example.org", "http://api.example.org/x"));
        assert!(allows("api.example.org", "https://API.example.ORG:443/x"));
        assert!(allows(
            "api.example.org:8443",
            "https://api.example.org:8443/"
        ));
        assert!(allows("*.example.org", "http://a.b.example.org/"));
        assert!(allows("[::1]:80", "http://[::1]/"));
        for (rule, url) in [
            ("api.example.org", "http://api.example.org:8080/"),
            ("api.example.org", "https://api.example.org:80/"),
            ("api.example.org:8443", "https://api.example.org/"),
            ("api.example.org", "http://example.org/"),
            ("api.example.org", "http://evil.api.example.org/"),
            ("api.example.org", "http://api.example.org.evil/"),
            ("*.example.org", "http://example.org/"),
            ("*.example.org", "http://evilexample.org/"),
            ("*.example.org", "http://.example.org/"),
            ("127.0.0.1", "http://2130706433/"),
            ("127.0.0.1", "http://127.1/"),
        ] {
            assert!(!allows(rule, url), "{rule} {url}");
        }
    }

    #[test]
    fn a_url_that_two_parsers_could_read_differently_is_none() {
        for url in [
            "http://good.example@evil.example/",
            "http://evil.example\\@good.example/",
            "http://good.example:80@evil.example/",
            "http://good.example%2eevil.example/",
            "http:///good.example/",
            "http:good.example/",
            "//good.example/",
            "/good.example",
            "good.example",
            "http://good.example:/",
            "http://good.example:99999/",
            "http://good.example:0/",
            "http://[::1%25lo]/",
            "http://[good.example]/",
            "http://good.example\t/",
            "http://good.example /",
            "http://göod.example/",
            "http://good.example/\r\nHost: evil",
            "gopher://good.example/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "",
        ] {
            assert!(parse(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn the_url_is_put_together_from_what_was_checked() {
        for (given, expected) in [
            ("http://h", "http://h:80/"),
            ("https://h/a?b=c", "https://h:443/a?b=c"),
            ("http://h:81/a#b", "http://h:81/a"),
            ("http://h?a", "http://h:80/?a"),
            ("http://h/a%20b", "http://h:80/a%20b"),
            ("http://h/\"{|}", "http://h:80/%22%7B%7C%7D"),
        ] {
            assert_eq!(url(&parse(given).unwrap()), expected);
        }
    }

    #[test]
    fn what_is_no_rule_is_told() {
        for text in [
            "", "*", "*.", "http://h", "h/path", "h:port", "u@h", "a b", "*.*.org",
        ] {
            assert!(text.parse::<HostRule>().is_err(), "{text:?}");
        }
    }
}
