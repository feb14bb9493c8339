//! The `path` of a location, and whether it gets on with those of the other locations.

use std::collections::HashMap;
use std::ops::Range;

use matchit::InsertError;
use pontoon_adapters::settings::{Diagnostic, Settings};

/// The paths so far. The router is the one that requests will be routed with, so what it takes
/// here it takes then.
#[derive(Default)]
pub(super) struct Paths {
    router: matchit::Router<()>,
    spans: HashMap<String, Range<usize>>,
}

impl Paths {
    /// Reads the path and adds it to those so far.
    pub(super) fn read(&mut self, settings: &mut Settings<'_>) -> Option<String> {
        let path = settings.required_string("path")?;
        let verdict = check(&path).and_then(|()| self.insert(&path));
        if let Err(diagnostic) = verdict {
            settings.report("path", diagnostic);
            return None;
        }
        if let Some(span) = settings.span_of("path") {
            self.spans.insert(path.clone(), span);
        }
        Some(path)
    }

    fn insert(&mut self, path: &str) -> Result<(), Diagnostic> {
        // The router names what conflicts without the doubled braces that the file has.
        if self.spans.contains_key(path) {
            return Err(self.conflict(path, path));
        }
        self.router
            .insert(path, ())
            .map_err(|error| self.explain(path, &error))
    }

    fn explain(&self, path: &str, error: &InsertError) -> Diagnostic {
        match error {
            InsertError::Conflict { with } => self.conflict(path, with),
            InsertError::InvalidParamSegment => {
                Diagnostic::error(format!("`{path}` has two parameters in one segment"))
                    .help("put a `/` between them")
            }
            InsertError::InvalidCatchAll => {
                Diagnostic::error(format!("`{path}` goes on behind its `{{*rest}}`"))
                    .help("a parameter with `*` takes the rest of the path: it must come last")
            }
            _ => Diagnostic::error(format!("`{path}` has a parameter that is not well formed"))
                .help("write `{name}`, or `{*name}` for the rest; `{{` and `}}` are plain braces"),
        }
    }

    fn conflict(&self, path: &str, with: &str) -> Diagnostic {
        let diagnostic = if path == with {
            Diagnostic::error(format!("two locations have the path `{path}`"))
                .help("a path has one location")
        } else {
            Diagnostic::error(format!("the path `{path}` conflicts with `{with}`"))
                .help("the same requests would match both, and neither is more specific")
        };
        match self.spans.get(with) {
            Some(span) => diagnostic.related(span.clone(), "the other location"),
            None => diagnostic,
        }
    }
}

/// What the router would take although no request could match it, or not as meant.
fn check(path: &str) -> Result<(), Diagnostic> {
    if !path.starts_with('/') {
        let help = format!("write `/{path}`");
        return Err(
            Diagnostic::error(format!("the path `{path}` does not begin with `/`")).help(help),
        );
    }
    let never = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#');
    if let Some(found) = path.chars().find(|&c| never(c)) {
        let error = format!("the path `{path}` has {found:?} in it: no request could match");
        let help = "the query is no part of the path; percent-encode what is not a plain character";
        return Err(Diagnostic::error(error).help(help));
    }
    let mut names: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        let Some(name) = parameter(segment) else {
            continue;
        };
        if names.contains(&name) {
            let error = format!("`{path}` has two parameters named `{name}`");
            return Err(Diagnostic::error(error).help("give each a name of its own"));
        }
        names.push(name);
    }
    Ok(())
}

/// The name of the parameter in a segment; braces in pairs are plain braces.
fn parameter(segment: &str) -> Option<&str> {
    let mut at = 0;
    while let Some(open) = segment[at..].find('{') {
        let start = at + open + 1;
        if segment[start..].starts_with('{') {
            at = start + 1;
            continue;
        }
        let end = start + segment[start..].find('}')?;
        return Some(segment[start..end].trim_start_matches('*'));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_no_request_could_match_are_refused() {
        for path in [
            "users",
            "/a?b=c",
            "/a#b",
            "/a b",
            "/a\u{7f}",
            "/{id}/x/{id}",
            "/{id}/{*id}",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
        for path in [
            "/",
            "/users/{id}",
            "/{a}/{b}",
            "/files/{*rest}",
            "/{{id}}/{id}",
            "/v1/x-{a}",
        ] {
            assert!(check(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn the_router_judges_the_rest() {
        let mut paths = Paths::default();
        for path in ["/users/{id}", "/users/me", "/files/{*rest}", "/{{id}}/{id}"] {
            assert!(paths.insert(path).is_ok(), "{path}");
        }
        for path in [
            "/users/{id}",
            "/users/{name}",
            "/{a}{b}",
            "/{*all}/x",
            "/{",
            "/{}",
        ] {
            assert!(paths.insert(path).is_err(), "{path}");
        }
    }
}
