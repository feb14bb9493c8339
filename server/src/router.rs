//! From a request's path and method to a location.

use http::Method;
use matchit::InsertError;
use percent_encoding::percent_decode_str;
use pontoon_adapters::PathParams;
use std::collections::HashMap;

use crate::problem::Problem;

/// Locations by path and method; `L` is what is found.
#[derive(Debug)]
pub(crate) struct Router<L> {
    paths: matchit::Router<usize>,
    /// The index in `entries` for each path as it was written.
    by_path: HashMap<String, usize>,
    entries: Vec<Vec<Entry<L>>>,
}

#[derive(Debug)]
struct Entry<L> {
    methods: Option<Vec<Method>>,
    location: L,
}

/// Why a location cannot be added.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("two locations answer {method} on the path `{path}`")]
    Twice { path: String, method: String },
    #[error("the path `{path}` is no path for a location: {source}")]
    Path { path: String, source: InsertError },
}

impl<L> Router<L> {
    pub(crate) fn new() -> Self {
        Self {
            paths: matchit::Router::new(),
            by_path: HashMap::new(),
            entries: Vec::new(),
        }
    }

    /// Adds a location; `methods` of `None` answers all.
    pub(crate) fn add(
        &mut self,
        path: &str,
        methods: Option<Vec<Method>>,
        location: L,
    ) -> Result<(), RouteError> {
        let index = match self.by_path.get(path) {
            Some(&index) => index,
            None => {
                let index = self.entries.len();
                self.paths
                    .insert(path, index)
                    .map_err(|source| RouteError::Path {
                        path: path.to_owned(),
                        source,
                    })?;
                self.by_path.insert(path.to_owned(), index);
                self.entries.push(Vec::new());
                index
            }
        };
        let entries = &mut self.entries[index];
        if let Some(method) = overlap(entries, methods.as_deref()) {
            return Err(RouteError::Twice {
                path: path.to_owned(),
                method,
            });
        }
        entries.push(Entry { methods, location });
        Ok(())
    }

    /// The location for a request, with what the path captured.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Result<(&L, PathParams), Problem> {
        let Ok(found) = self.paths.at(path) else {
            let detail = format!("nothing is mounted on {}", shown(path));
            return Err(Problem::new(http::StatusCode::NOT_FOUND, detail));
        };
        let entries = &self.entries[*found.value];
        let Some(entry) = entry_for(entries, method) else {
            return Err(Problem::method_not_allowed(method, allowed(entries)));
        };
        let params = found.params.iter().map(|(name, value)| {
            percent_decode_str(value)
                .decode_utf8()
                .map(|value| (name, value))
                .map_err(|_| {
                    let detail = format!("the path's part `{name}` is not UTF-8 once decoded");
                    Problem::new(http::StatusCode::BAD_REQUEST, detail)
                })
        });
        let params = params.collect::<Result<Vec<_>, _>>()?;
        Ok((&entry.location, params.into_iter().collect()))
    }
}

impl<L> Entry<L> {
    fn names(&self, method: &Method) -> bool {
        self.methods
            .as_ref()
            .is_none_or(|methods| methods.contains(method))
    }
}

/// HEAD comes along with GET, unless a location of its own answers it.
fn entry_for<'e, L>(entries: &'e [Entry<L>], method: &Method) -> Option<&'e Entry<L>> {
    let named = |method: &Method| entries.iter().find(|entry| entry.names(method));
    named(method).or_else(|| named(&Method::GET).filter(|_| method == Method::HEAD))
}

fn allowed<L>(entries: &[Entry<L>]) -> impl Iterator<Item = &Method> {
    let all = || {
        entries
            .iter()
            .flat_map(|entry| entry.methods.iter().flatten())
    };
    let head_comes_along =
        all().any(|method| method == Method::GET) && !all().any(|method| method == Method::HEAD);
    all().chain(head_comes_along.then_some(&Method::HEAD))
}

/// A method that both an entry and `methods` would answer.
fn overlap<L>(entries: &[Entry<L>], methods: Option<&[Method]>) -> Option<String> {
    entries
        .iter()
        .find_map(|entry| shared_method(entry.methods.as_deref(), methods))
}

/// A method that is in both lists, in words; `None` as a list is every method.
pub(crate) fn shared_method(one: Option<&[Method]>, other: Option<&[Method]>) -> Option<String> {
    match (one, other) {
        (None, None) => Some("every method".to_owned()),
        (Some(some), None) | (None, Some(some)) => some.first().map(Method::to_string),
        (Some(one), Some(other)) => one
            .iter()
            .find(|method| other.contains(method))
            .map(Method::to_string),
    }
}

/// A path for a message: not longer than a line.
fn shown(path: &str) -> String {
    let short: String = path.chars().take(80).collect();
    if short.len() < path.len() {
        format!("`{short}…`")
    } else {
        format!("`{short}`")
    }
}

#[cfg(test)]
mod tests {
    use super::Router;
    use http::{Method, StatusCode};

    fn router() -> Router<&'static str> {
        let mut router = Router::new();
        router
            .add("/users", Some(vec![Method::GET]), "list")
            .unwrap();
        router
            .add("/users", Some(vec![Method::POST]), "create")
            .unwrap();
        router.add("/users/{id}", None, "one").unwrap();
        router
            .add("/files/{*rest}", Some(vec![Method::GET]), "file")
            .unwrap();
        router
    }

    #[test]
    fn one_path_may_have_a_location_for_each_method() {
        let router = router();
        assert_eq!(*router.find(&Method::GET, "/users").unwrap().0, "list");
        assert_eq!(*router.find(&Method::HEAD, "/users").unwrap().0, "list");
        assert_eq!(*router.find(&Method::POST, "/users").unwrap().0, "create");
        let problem = router.find(&Method::PUT, "/users").unwrap_err();
        assert_eq!(problem.status(), StatusCode::METHOD_NOT_ALLOWED);
        let response = problem.into_response();
        assert_eq!(response.headers()["allow"], "GET, POST, HEAD");
    }

    #[test]
    fn head_goes_to_its_own_location_whichever_was_added_first() {
        let mut router = Router::new();
        router.add("/x", Some(vec![Method::GET]), "get").unwrap();
        router.add("/x", Some(vec![Method::HEAD]), "head").unwrap();
        assert_eq!(*router.find(&Method::HEAD, "/x").unwrap().0, "head");
        assert_eq!(*router.find(&Method::GET, "/x").unwrap().0, "get");
    }

    #[test]
    fn captured_parts_are_decoded() {
        let router = router();
        let (_, params) = router.find(&Method::GET, "/users/a%20b").unwrap();
        assert_eq!(params.get("id"), Some("a b"));
        let (_, params) = router.find(&Method::GET, "/files/a/b%2Fc").unwrap();
        assert_eq!(params.get("rest"), Some("a/b/c"));
        let bad = router.find(&Method::GET, "/users/%ff").unwrap_err();
        assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn what_would_match_twice_is_refused() {
        let mut router = router();
        let twice = router
            .add("/users", Some(vec![Method::POST]), "x")
            .unwrap_err();
        assert_eq!(
            twice.to_string(),
            "two locations answer POST on the path `/users`"
        );
        let twice = router.add("/users", None, "x").unwrap_err();
        assert_eq!(
            twice.to_string(),
            "two locations answer GET on the path `/users`"
        );
        let twice = router.add("/users/{id}", None, "x").unwrap_err();
        assert_eq!(
            twice.to_string(),
            "two locations answer every method on the path `/users/{id}`"
        );
        assert!(router.add("/users/{name}", None, "x").is_err());
        assert!(router.add("no-slash{", None, "x").is_err());
    }
}
