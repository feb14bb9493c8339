//! The `path` of a location, and whether it gets on with those of the other locations.

use std::collections::HashMap;
use std::ops::Range;

use http::Method;
use matchit::InsertError;
use pontoon_adapters::settings::{Diagnostic, Settings};

use crate::router::shared_method;

/// The paths so far. The router is the one that requests will be routed with, so what it takes
/// here it takes then.
#[derive(Default)]
pub(super) struct Paths {
    router: matchit::Router<()>,
    /// The locations of each path, as it is written in the file.
    locations: HashMap<String, Vec<Taken>>,
}

/// What one location has of a path.
struct Taken {
    span: Option<Range<usize>>,
    methods: Methods,
}

/// The methods of a location: `Some(None)` answers all, `None` is wrong in the file, so that
/// nothing can be said of it.
type Methods = Option<Option<Vec<Method>>>;

impl Paths {
    /// Reads the path of a location with these `methods` and adds it to those so far.
    pub(super) fn read(
        &mut self,
        settings: &mut Settings<'_>,
        methods: &Methods,
    ) -> Option<String> {
        let path = settings.required_string("path")?;
        let taken = Taken {
            span: settings.span_of("path"),
            methods: methods.clone(),
        };
        let verdict = check(&path).and_then(|()| self.insert(&path, taken));
        if let Err(diagnostic) = verdict {
            settings.report("path", diagnostic);
            return None;
        }
        Some(path)
    }

    fn insert(&mut self, path: &str, taken: Taken) -> Result<(), Diagnostic> {
        // The router names what conflicts without the doubled braces that the file has.
        if let Some(others) = self.locations.get_mut(path) {
            if let Some(diagnostic) = others.iter().find_map(|other| other.overlap(&taken, path)) {
                return Err(diagnostic);
            }
            others.push(taken);
            return Ok(());
        }
        self.router
            .insert(path, ())
            .map_err(|error| self.explain(path, &error))?;
        self.locations.insert(path.to_owned(), vec![taken]);
        Ok(())
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
        let diagnostic = Diagnostic::error(format!("the path `{path}` conflicts with `{with}`"))
            .help("the same requests would match both, and neither is more specific");
        match self.locations.get(with).and_then(|others| others.first()) {
            Some(other) => other.shown_beside(diagnostic),
            None => diagnostic,
        }
    }
}

impl Taken {
    /// What is wrong with another location on the same path, if both answer the same method.
    fn overlap(&self, new: &Self, path: &str) -> Option<Diagnostic> {
        let (here, new) = (self.methods.as_ref()?, new.methods.as_ref()?);
        let method = shared_method(here.as_deref(), new.as_deref())?;
        let error = format!("two locations answer {method} on the path `{path}`");
        let help = "a path may have several locations, each with `methods` of its own";
        Some(self.shown_beside(Diagnostic::error(error).help(help)))
    }

    fn shown_beside(&self, diagnostic: Diagnostic) -> Diagnostic {
        match &self.span {
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

    fn taken(methods: Methods) -> Taken {
        Taken {
            span: None,
            methods,
        }
    }

    #[test]
    fn the_router_judges_the_rest() {
        let mut paths = Paths::default();
        for path in ["/users/{id}", "/users/me", "/files/{*rest}", "/{{id}}/{id}"] {
            assert!(paths.insert(path, taken(Some(None))).is_ok(), "{path}");
        }
        for path in [
            "/users/{id}",
            "/users/{name}",
            "/{a}{b}",
            "/{*all}/x",
            "/{",
            "/{}",
        ] {
            assert!(paths.insert(path, taken(Some(None))).is_err(), "{path}");
        }
    }

    #[test]
    fn a_path_may_come_again_with_other_methods() {
        let mut paths = Paths::default();
        let only = |methods: &[Method]| taken(Some(Some(methods.to_vec())));
        assert!(paths.insert("/x", only(&[Method::GET])).is_ok());
        let others = only(&[Method::POST, Method::PUT]);
        assert!(paths.insert("/x", others).is_ok());
        let error = paths.insert("/x", only(&[Method::PATCH, Method::PUT]));
        assert_eq!(
            error.unwrap_err().message,
            "two locations answer PUT on the path `/x`"
        );
        let error = paths.insert("/x", taken(Some(None)));
        assert_eq!(
            error.unwrap_err().message,
            "two locations answer GET on the path `/x`"
        );
    }

    #[test]
    fn methods_that_are_wrong_are_not_blamed_twice() {
        let mut paths = Paths::default();
        assert!(paths.insert("/x", taken(Some(None))).is_ok());
        assert!(paths.insert("/x", taken(None)).is_ok());
    }
}
