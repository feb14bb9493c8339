//! Which headers pass, in either direction.

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

/// Fields that belong to one connection or one message on it (RFC 9110, section 7.6.1), and those that libcurl and
/// our server write themselves.
static OF_CONNECTION: [HeaderName; 12] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a body cannot be understood without.
static OF_BODY: [HeaderName; 4] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
];

/// The defaults for requests.
pub(super) static REQUEST: [HeaderName; 11] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// The defaults for responses.
pub(super) static RESPONSE: [HeaderName; 11] = [
    header::ACCEPT_RANGES,
    header::AGE,
    header::ALLOW,
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::RETRY_AFTER,
    header::VARY,
];

/// Who is asking: for one server, and no other.
static CREDENTIALS: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

/// A list of headers that pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<HeaderName>);

impl FromIterator<HeaderName> for Fields {
    fn from_iter<I: IntoIterator<Item = HeaderName>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl Fields {
    /// Those of `headers` that pass.
    pub(super) fn of<'h>(
        &self,
        headers: &'h HeaderMap,
    ) -> impl Iterator<Item = (&'h HeaderName, &'h HeaderValue)> {
        let named = named_by_connection(headers);
        headers.iter().filter(move |(name, _)| {
            (self.0.contains(name) || OF_BODY.contains(name))
                && !is_of_connection(name)
                && !named
                    .iter()
                    .any(|other| name.as_str().eq_ignore_ascii_case(other))
        })
    }
}

/// Whether a header never passes.
pub(super) fn is_of_connection(name: &HeaderName) -> bool {
    OF_CONNECTION.contains(name)
}

/// Whether a header describes a body, and so goes nowhere without one.
pub(super) fn is_of_body(name: &HeaderName) -> bool {
    OF_BODY.contains(name)
}

/// Whether a header must not be seen by another server than the one that it was meant for.
pub(super) fn is_credential(name: &HeaderName) -> bool {
    CREDENTIALS.contains(name)
}

/// What the sender says belongs to its connection as well.
fn named_by_connection(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::CONNECTION).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(fields: &Fields, pairs: &[(&'static str, &str)]) -> Vec<String> {
        let pairs = pairs.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        let headers: HeaderMap = pairs.collect();
        let mut names: Vec<_> = fields
            .of(&headers)
            .map(|(name, _)| name.to_string())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_listed_passes_and_what_describes_the_body() {
        let fields = Fields::from_iter([header::COOKIE]);
        let pairs = [
            ("cookie", "a"),
            ("x-secret", "b"),
            ("content-type", "c"),
            ("accept", "d"),
        ];
        assert_eq!(passed(&fields, &pairs), ["content-type", "cookie"]);
    }

    #[test]
    fn what_belongs_to_the_connection_stays_whatever_is_listed() {
        let x_hop = HeaderName::from_static("x-hop");
        let fields = OF_CONNECTION.iter().cloned().chain([x_hop, header::ACCEPT]);
        let fields: Fields = fields.collect();
        let pairs = [
            ("connection", "close, X-Hop"),
            ("x-hop", "a"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("host", "elsewhere"),
            ("upgrade", "h2c"),
            ("keep-alive", "9"),
            ("accept", "b"),
        ];
        assert_eq!(passed(&fields, &pairs), ["accept"]);
    }

    #[test]
    fn by_default_nobody_is_identified() {
        for fields in [&REQUEST[..], &RESPONSE[..]] {
            assert!(!fields.iter().any(is_credential));
            assert!(!fields.contains(&header::SET_COOKIE));
            assert!(!fields.iter().any(is_of_connection));
        }
    }
}
