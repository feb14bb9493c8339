//! The URL of the upstream, with places for parameters.

use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{CallContext, Error, Request, params};

use super::target;

/// All but what RFC 3986 calls unreserved: a value can then not end the part of the URL that it is in.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A URL with parameters: `http://127.0.0.1:9000/users/{id}?lang={lang}`, or `{url}` for a whole one.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value { name: String, place: Place },
}

/// What a value becomes a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Of one segment of the path.
    Segment,
    /// Of the path, with the `/` in it.
    Path,
    Query,
    /// It is all of the URL.
    Whole,
}

impl Template {
    /// Whether clients give the whole URL.
    pub fn is_whole_url(&self) -> bool {
        let is_whole =
            |piece: &Piece| matches!(piece, Piece::Value { place, .. } if *place == Place::Whole);
        self.pieces.iter().any(is_whole)
    }

    /// The URL for a request.
    pub(super) fn fill(&self, request: &Request, call: &CallContext) -> Result<String, Error> {
        let mut url = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => url.push_str(text),
                Piece::Value { name, place } => {
                    let value = params::path_or_query(request, call, name)?;
                    let value = value.ok_or_else(|| {
                        Error::bad_request(format!("the parameter `{name}` is missing"))
                    })?;
                    place.push(&mut url, name, &value)?;
                }
            }
        }
        if !self.is_whole_url() && climbs(&url) {
            return Err(Error::bad_request("a parameter would lead up in the path"));
        }
        Ok(url)
    }
}

impl Place {
    fn push(self, url: &mut String, name: &str, value: &str) -> Result<(), Error> {
        match self {
            Self::Whole => url.push_str(value),
            Self::Query => url.extend(utf8_percent_encode(value, VALUE)),
            // Without it the URL would be that of something else, often of a whole list.
            Self::Segment | Self::Path if value.is_empty() => {
                return Err(Error::bad_request(format!(
                    "the parameter `{name}` is empty"
                )));
            }
            Self::Segment => url.extend(utf8_percent_encode(value, VALUE)),
            Self::Path => {
                for (at, part) in value.split('/').enumerate() {
                    if at > 0 {
                        url.push('/');
                    }
                    url.extend(utf8_percent_encode(part, VALUE));
                }
            }
        }
        Ok(())
    }
}

/// Whether the path has a segment that is a step elsewhere.
fn climbs(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or("");
    let mut segments = path.split('/');
    segments.any(|segment| matches!(segment, "." | ".."))
}

impl FromStr for Template {
    type Err = String;

    /// Reads a template, and tells what is wrong with it.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        let mut in_query = false;
        while let Some(open) = rest.find('{') {
            let (before, after) = rest.split_at(open);
            let Some((name, behind)) = after[1..].split_once('}') else {
                return Err(format!("a `{{` in `{text}` is not closed"));
            };
            in_query |= before.contains('?');
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let (name, keeps_slashes) = match name.strip_prefix('*') {
                Some(name) => (name, true),
                None => (name, false),
            };
            if name.is_empty() || name.contains(['{', '/', '?', '*']) {
                return Err(format!(
                    "a parameter of `{text}` has no name: write `{{name}}`"
                ));
            }
            let place = match (in_query, keeps_slashes) {
                (true, true) => {
                    return Err(format!("`{{*{name}}}` is for the path, not for the query"));
                }
                (true, false) => Place::Query,
                (false, true) => Place::Path,
                (false, false) => Place::Segment,
            };
            let name = name.to_owned();
            pieces.push(Piece::Value { name, place });
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let mut template = Self { pieces };
        template.check(text)?;
        Ok(template)
    }
}

impl Template {
    /// What is wrong with the text around the parameters.
    fn check(&mut self, text: &str) -> Result<(), String> {
        if let [Piece::Value { place, .. }] = self.pieces.as_mut_slice() {
            *place = Place::Whole;
            return Ok(());
        }
        let mut example = String::new();
        for (at, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Text(text) if at == 0 => {
                    // The server ends where the path or the query begins.
                    let after_scheme = text.find("://").map_or(0, |scheme| scheme + 3);
                    let is_ended =
                        text[after_scheme..].contains(['/', '?']) || self.pieces.len() == 1;
                    if !is_ended {
                        return Err("a parameter cannot be part of the server's name".to_owned());
                    }
                    example.push_str(text);
                }
                Piece::Text(text) => example.push_str(text),
                Piece::Value { .. } if at == 0 => {
                    return Err(
                        "it must begin with `http://` or `https://` and a server".to_owned()
                    );
                }
                Piece::Value { .. } => example.push('x'),
            }
        }
        if example.contains('}') {
            return Err(format!("a `}}` in `{text}` was not opened"));
        }
        if example.contains('#') {
            return Err("a fragment (`#`) is not sent to servers; remove it".to_owned());
        }
        if climbs(&example) {
            return Err("a `.` or `..` in the path leads elsewhere; write where".to_owned());
        }
        target::parse(&example).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::PathParams;
    use crate::test_support::get;

    fn fill(template: &str, target: &str, path: &[(&str, &str)]) -> Result<String, Error> {
        let params: PathParams = path.iter().copied().collect();
        let call = CallContext::new(params, pontoon_bridge::CallContext::detached(), 1);
        template
            .parse::<Template>()
            .unwrap()
            .fill(&get(target), &call)
    }

    const USER: &str = "http://h:1/users/{id}?lang={lang}";

    #[test]
    fn values_come_from_the_path_and_then_from_the_query() {
        let url = fill(USER, "/?lang=de&id=9", &[("id", "7")]).unwrap();
        assert_eq!(url, "http://h:1/users/7?lang=de");
        let missing = fill(USER, "/", &[("id", "7")]).unwrap_err();
        assert_eq!(missing.detail(), "the parameter `lang` is missing");
    }

    #[test]
    fn a_value_stays_where_it_is_put() {
        let hostile = "a/b?c#d&e=f%2e%00\r\nHost: x @ü";
        let url = fill(USER, "/?lang=x%26y%3Dz%23", &[("id", hostile)]).unwrap();
        let expected = "http://h:1/users/a%2Fb%3Fc%23d%26e%3Df%252e%2500%0D%0AHost%3A%20x%20%40%C3%BC\
                        ?lang=x%26y%3Dz%23";
        assert_eq!(url, expected);
        let url = fill("http://h/f/{*p}", "/", &[("p", "a b/c?d/ü")]).unwrap();
        assert_eq!(url, "http://h/f/a%20b/c%3Fd/%C3%BC");
    }

    proptest! {
        #[test]
        fn any_value_is_one_part_of_the_path_or_of_the_query(value in any::<String>(), other in any::<String>()) {
            let template: Template = "http://h:1/a/{v}/b?c={o}&d".parse().unwrap();
            let params: PathParams = [("v", value.as_str()), ("o", &other)].into_iter().collect();
            let call = CallContext::new(params, pontoon_bridge::CallContext::detached(), 1);
            let Ok(url) = template.fill(&get("/"), &call) else {
                prop_assert!(matches!(value.as_str(), "" | "." | ".."));
                return Ok(());
            };
            let sent = target::url(&target::parse(&url).unwrap());
            let rest = sent.strip_prefix("http://h:1/a/").unwrap();
            let (path, query) = rest.split_once('?').unwrap();
            let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
            let segment = path.strip_suffix("/b").unwrap();
            prop_assert!(!segment.contains('/'));
            prop_assert_eq!(decoded(segment), value.as_bytes());
            let of_query = query.strip_prefix("c=").unwrap().strip_suffix("&d").unwrap();
            prop_assert!(!of_query.contains(['&', '#', '=']));
            prop_assert_eq!(decoded(of_query), other.as_bytes());
        }
    }

    #[test]
    fn no_value_leads_up_in_the_path() {
        for value in ["..", "."] {
            assert!(
                fill("http://h/a/{id}", "/", &[("id", value)]).is_err(),
                "{value}"
            );
            assert!(
                fill("http://h/a/{id}/x", "/", &[("id", value)]).is_err(),
                "{value}"
            );
        }
        assert!(fill("http://h/a/.{id}", "/", &[("id", ".")]).is_err());
        assert!(fill("http://h/a/{x}{y}", "/", &[("x", "."), ("y", ".")]).is_err());
        for value in ["../x", "a/../b", "a/..", "./a", "a/./b"] {
            assert!(
                fill("http://h/a/{*p}", "/", &[("p", value)]).is_err(),
                "{value}"
            );
        }
        // No step is in these.
        for value in ["...", "..a", "%2e%2e", "a..b"] {
            assert!(
                fill("http://h/a/{id}", "/", &[("id", value)]).is_ok(),
                "{value}"
            );
        }
        assert!(fill("http://h/a?x={id}", "/", &[("id", "..")]).is_ok());
    }

    #[test]
    fn an_empty_value_is_not_the_list_above() {
        assert!(fill("http://h/users/{id}", "/?id=", &[]).is_err());
        assert!(fill("http://h/users/{*id}", "/?id=", &[]).is_err());
        assert_eq!(
            fill("http://h/users?id={id}", "/?id=", &[]).unwrap(),
            "http://h/users?id="
        );
    }

    #[test]
    fn only_a_template_that_is_one_parameter_is_a_whole_url() {
        assert!("{url}".parse::<Template>().unwrap().is_whole_url());
        assert!(!USER.parse::<Template>().unwrap().is_whole_url());
        let url = fill("{url}", "/?url=http%3A%2F%2Fh%2F..%2Fx", &[]).unwrap();
        assert_eq!(url, "http://h/../x");
    }

    #[test]
    fn what_is_no_template_is_told() {
        for (text, why) in [
            ("users/{id}", "http"),
            ("ftp://h/{id}", "http"),
            ("file:///etc/passwd", "http"),
            ("http://{host}/x", "server's name"),
            ("http://h{port}/x", "server's name"),
            ("http://h:{port}", "server's name"),
            ("{scheme}://h/", "begin with"),
            ("http://user:secret@h/{id}", "user"),
            ("http://h/{id", "not closed"),
            ("http://h/id}", "not opened"),
            ("http://h/{}", "no name"),
            ("http://h/{*}", "no name"),
            ("http://h/?x={*id}", "for the path"),
            ("http://h/{id}#top", "fragment"),
            ("http://h/../{id}", "leads elsewhere"),
            ("http://h/a b/{id}", "URL"),
        ] {
            let error = text.parse::<Template>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        for text in [
            "http://h",
            "https://h:8443/{a}/{b}?{c}={d}",
            "HTTP://[::1]:8080/{*x}",
            "http://h?{q}",
        ] {
            assert!(text.parse::<Template>().is_ok(), "{text}");
        }
    }
}
