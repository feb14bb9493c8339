//! The `methods` of a location.

use std::collections::HashSet;

use http::Method;
use pontoon_adapters::settings::Settings;

const STANDARD: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// The methods, each once; `Some(None)` where the key is absent, `None` after an error.
pub(super) fn read(settings: &mut Settings<'_>) -> Option<Option<Vec<Method>>> {
    if !settings.contains("methods") {
        return Some(None);
    }
    let mut methods = settings.strings_as("methods", parse)?;
    if methods.is_empty() {
        settings.invalid("methods", "`methods` is empty: no request could ever match");
        return None;
    }
    let mut seen = HashSet::new();
    methods.retain(|method| seen.insert(method.clone()));
    Some(Some(methods))
}

/// Any method is allowed, for there are more than the standard ones; but method names are
/// case-sensitive, and one that is a slip away from a standard one would just never match.
fn parse(name: &str) -> Result<Method, String> {
    let upper = name.to_ascii_uppercase();
    if name != upper {
        return Err(format!(
            "`{name}` is not an HTTP method: they are upper case, write `{upper}`"
        ));
    }
    let slip = |standard: &&&str| is_one_slip_from(name, standard);
    if let Some(standard) = STANDARD.iter().find(slip) {
        return Err(format!(
            "`{name}` is not an HTTP method: did you mean `{standard}`?"
        ));
    }
    let invalid = |_| format!("`{name}` is not an HTTP method: it has characters they cannot have");
    Method::from_bytes(name.as_bytes()).map_err(invalid)
}

/// One letter too many, missing, or wrong; or two neighbours swapped.
fn is_one_slip_from(name: &str, standard: &str) -> bool {
    let (a, b) = (name.as_bytes(), standard.as_bytes());
    let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[start..], &b[start..]);
    let end = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    match (&a[..a.len() - end], &b[..b.len() - end]) {
        ([], []) => false,
        ([_], []) | ([], [_]) | ([_], [_]) => true,
        ([first, second], [other_first, other_second]) => {
            first == other_second && second == other_first
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_and_extension_methods_are_taken() {
        for name in STANDARD
            .iter()
            .chain(&["PROPFIND", "PURGE", "QUERY", "COPY", "LOCK"])
        {
            assert!(parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_method_that_would_never_match_is_refused() {
        for name in [
            "get", "Post", "GTE", "PATHC", "DELTE", "POSTT", "PUR", "", "GET POST",
        ] {
            assert!(parse(name).is_err(), "{name}");
        }
    }
}
