//! The keys of a location with `adapter = "curl"`.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::mount::Mounted;
use crate::registry::{AdapterSpec, Kind};
use crate::settings::{KeySpec, Settings};

use super::fields::{self, Fields};
use super::target::HostRule;
use super::{Curl, METHODS, Template};

const MAX_REDIRECTS: std::ops::RangeInclusive<i64> = 0..=20;

const KEYS: &[KeySpec] = &[
    KeySpec::required(
        "url",
        "URL",
        "where to fetch from; `{name}` comes from path or query string, `{*name}` with its slashes",
    ),
    KeySpec::optional(
        "method",
        "text",
        "the method to ask with; without the key it is the client's",
    ),
    KeySpec::with_default(
        "pass_query",
        "boolean",
        "false",
        "whether the client's query string is appended to the URL",
    ),
    KeySpec::optional(
        "request_headers",
        "texts",
        "the client's headers that pass; if absent accept*, if-*, range, traceparent and tracestate",
    ),
    KeySpec::optional(
        "response_headers",
        "texts",
        "the upstream's headers that pass; if absent those for caches, ranges and redirects",
    ),
    KeySpec::optional(
        "set_headers",
        "texts",
        "headers to send, such as [\"x-api-key: 12345\"], in place of the client's",
    ),
    KeySpec::optional(
        "allow_hosts",
        "texts",
        "servers that redirects and `url = \"{url}\"` may lead to: [\"api.example.org:8443\", \"*.example.org\"]",
    ),
    KeySpec::with_default(
        "max_redirects",
        "integer",
        "0",
        "how many redirects of a GET or HEAD are followed, on the same server or to allow_hosts",
    ),
    KeySpec::with_default(
        "connect_timeout",
        "duration",
        "5s",
        "how long connecting may take, but never past the deadline",
    ),
    KeySpec::with_default(
        "max_response",
        "size",
        "64MiB",
        "the largest response body; a larger answer is a 500",
    ),
    KeySpec::optional(
        "ca_file",
        "path",
        "PEM file with the certificates to verify HTTPS with, in place of the system's file",
    ),
];

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "curl",
        kind: Kind::Blocking,
        modes: &[],
        summary: "fetches an upstream URL with libcurl and answers with what comes back",
        keys: KEYS,
        build: |settings| Curl::from_settings(settings).map(Mounted::blocking),
    }
}

impl Curl {
    fn from_settings(settings: &mut Settings<'_>) -> Option<Self> {
        let errors_before = settings.error_count();
        // All are read before any may end this, so that all that is wrong shows at once.
        let template = template(settings);
        let method = method(settings);
        let pass_query = settings.boolean_or_default("pass_query");
        let request_fields = field_names(settings, "request_headers");
        let response_fields = field_names(settings, "response_headers");
        let set_headers = set_headers(settings);
        let allow_hosts = settings.strings_as("allow_hosts", str::parse::<HostRule>);
        let max_redirects = settings.integer_or_default("max_redirects", MAX_REDIRECTS);
        let connect_timeout = connect_timeout(settings);
        let max_response = settings.size_bytes_or_default("max_response");
        let ca_file = ca_file(settings);
        let mut adapter = Self::new(template?)
            .pass_query(pass_query?)
            .max_redirects(u32::try_from(max_redirects?).unwrap_or(0))
            .connect_timeout(connect_timeout?)
            .max_response_bytes(usize::try_from(max_response?).unwrap_or(usize::MAX));
        adapter.method = method;
        adapter.request_fields = request_fields.unwrap_or(adapter.request_fields);
        adapter.response_fields = response_fields.unwrap_or(adapter.response_fields);
        adapter.set_headers = set_headers;
        adapter.allow_hosts = allow_hosts.unwrap_or_default();
        adapter.ca_file = ca_file;
        check_hosts(settings, &adapter);
        (settings.error_count() == errors_before).then_some(adapter)
    }
}

fn template(settings: &mut Settings<'_>) -> Option<Template> {
    let text = settings.required_string("url")?;
    text.parse()
        .map_err(|why| settings.invalid("url", format!("`url` cannot be used: {why}")))
        .ok()
}

/// The list must be there where it is needed, and nowhere else, where it would look like a limit.
fn check_hosts(settings: &mut Settings<'_>, adapter: &Curl) {
    let is_needed = adapter.template.is_whole_url();
    let has_use = is_needed || adapter.max_redirects > 0;
    if is_needed && adapter.allow_hosts.is_empty() {
        let message =
            "clients may give any URL here: name the servers that they may reach in `allow_hosts`";
        settings.invalid("url", message);
    }
    if !has_use && !adapter.allow_hosts.is_empty() {
        let message = "`allow_hosts` has no use here: the URL names its server, and redirects are not followed";
        settings.invalid("allow_hosts", message);
    }
}

fn method(settings: &mut Settings<'_>) -> Option<Method> {
    let text = settings.string("method")?;
    let method = METHODS.iter().find(|method| method.as_str() == text);
    if method.is_none() {
        let names: Vec<_> = METHODS.iter().map(Method::as_str).collect();
        let message = format!("`method` must be one of {}, not `{text}`", names.join(", "));
        settings.invalid("method", message);
    }
    method.cloned()
}

fn field_names(settings: &mut Settings<'_>, key: &'static str) -> Option<Fields> {
    let names = settings.strings_as(key, field_name)?;
    Some(names.into_iter().collect())
}

fn field_name(text: &str) -> Result<HeaderName, String> {
    let name: HeaderName = text
        .parse()
        .map_err(|_| format!("`{text}` is no name of a header"))?;
    if fields::is_of_connection(&name) {
        return Err(format!(
            "`{name}` belongs to a connection, or is written anew: it cannot pass"
        ));
    }
    Ok(name)
}

fn set_headers(settings: &mut Settings<'_>) -> HeaderMap {
    let read = |text: &str| {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| "write `name: value`".to_owned())?;
        // The text may be a secret: it is not shown.
        let value = HeaderValue::from_str(value.trim())
            .map_err(|_| format!("the value of `{name}` has characters that no header can hold"))?;
        Ok((field_name(name.trim())?, value))
    };
    let headers = settings.strings_as("set_headers", read);
    headers.into_iter().flatten().collect()
}

fn connect_timeout(settings: &mut Settings<'_>) -> Option<Duration> {
    let timeout = settings.duration_or_default("connect_timeout")?;
    if timeout < Duration::from_millis(1) {
        settings.invalid("connect_timeout", "`connect_timeout` must be 1ms at least");
        return None;
    }
    Some(timeout)
}

/// A file that cannot be read would otherwise show with the first request.
fn ca_file(settings: &mut Settings<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(settings.string("ca_file")?);
    match File::open(&path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Some(path),
        Ok(_) => {
            let message = format!("`{}` is no file; give a PEM file", path.display());
            settings.invalid("ca_file", message);
            None
        }
        Err(error) => {
            let message = format!("the file `{}` cannot be read: {error}", path.display());
            settings.invalid("ca_file", message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Curl, String> {
        Settings::parse(text, KEYS, Curl::from_settings).map_err(|errors| errors.render(false))
    }

    #[test]
    fn every_key_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            r#"
            url = "https://h/{{id}}"
            method = "POST"
            pass_query = true
            request_headers = ["Cookie"]
            response_headers = ["set-cookie", "etag"]
            set_headers = ["X-Api-Key: a:b"]
            allow_hosts = ["*.example.org", "h:81"]
            max_redirects = 3
            connect_timeout = "70ms"
            max_response = "2KiB"
            ca_file = {:?}
        "#,
            file.path()
        );
        let curl = read(&text).unwrap();
        assert_eq!(curl.method, Some(Method::POST));
        assert!(curl.pass_query);
        assert_eq!(
            curl.request_fields,
            Fields::from_iter([http::header::COOKIE])
        );
        assert_ne!(
            curl.response_fields,
            Curl::new("{u}".parse().unwrap()).response_fields
        );
        assert_eq!(curl.set_headers["x-api-key"], "a:b");
        assert_eq!((curl.allow_hosts.len(), curl.max_redirects), (2, 3));
        assert_eq!(curl.connect_timeout, Duration::from_millis(70));
        assert_eq!(curl.max_response_bytes, 2048);
        assert_eq!(curl.ca_file.as_deref(), Some(file.path()));
    }

    #[test]
    fn the_defaults_are_those_of_the_builder() {
        let read = read("url = 'http://h/'").unwrap();
        let built = Curl::new("http://h/".parse().unwrap());
        assert_eq!(read.request_fields, built.request_fields);
        assert_eq!(read.response_fields, built.response_fields);
        assert_eq!(read.connect_timeout, built.connect_timeout);
        assert_eq!(read.max_response_bytes, built.max_response_bytes);
        assert_eq!(
            (read.max_redirects, read.method, read.pass_query),
            (0, None, false)
        );
    }

    #[test]
    fn each_mistake_shows_and_all_at_once() {
        let text = r#"
            url = "ftp://h/"
            method = "FETCH"
            request_headers = ["a b", "transfer-encoding"]
            set_headers = ["secret", "host: h"]
            allow_hosts = ["http://h"]
            max_redirects = 99
            connect_timeout = "0s"
            ca_file = "/no/such.pem"
        "#;
        let errors = read(text).unwrap_err();
        for part in [
            "http://",
            "FETCH",
            "`a b`",
            "`transfer-encoding`",
            "`name: value`",
            "`host`",
            "`http://h`",
            "max_redirects",
            "1ms at least",
            "/no/such.pem",
        ] {
            assert!(errors.contains(part), "{part}: {errors}");
        }
    }

    #[test]
    fn a_whole_url_needs_a_list_of_servers_and_nothing_else_has_one() {
        let errors = read("url = '{url}'").unwrap_err();
        assert!(errors.contains("allow_hosts"), "{errors}");
        assert!(read("url = '{url}'\nallow_hosts = 'h'").is_ok());
        let errors = read("url = 'http://h/'\nallow_hosts = 'h'").unwrap_err();
        assert!(errors.contains("no use here"), "{errors}");
        assert!(read("url = 'http://h/'\nallow_hosts = 'h'\nmax_redirects = 1").is_ok());
    }
}
