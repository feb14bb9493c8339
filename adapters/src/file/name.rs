//! The name of a file below the root, as a request gives it.
//!
//! The kernel keeps the lookup below the root; this refuses what no file could be called, so that it
//! never gets there.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

/// The one hidden folder that is meant to be seen (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// A relative path without empty, `.` and `..` parts, and without NUL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// Empty for the root.
    path: Cow<'a, str>,
    is_folder: bool,
}

impl<'a> Name<'a> {
    /// The root itself.
    pub(super) fn root() -> Self {
        Self {
            path: "".into(),
            is_folder: true,
        }
    }

    /// What the text names; `None` when it cannot be the name of a file, or of one that may be seen.
    pub(super) fn parse(text: Cow<'a, str>, hidden_files: bool) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::root());
        }
        let is_folder = text.ends_with('/');
        let path = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix('/').unwrap_or(text)),
            Cow::Owned(mut text) => {
                text.truncate(text.len() - usize::from(is_folder));
                Cow::Owned(text)
            }
        };
        let may_be = path.split('/').enumerate().all(|(depth, part)| {
            let is_hidden = part.starts_with('.') && !(depth == 0 && part == WELL_KNOWN);
            !matches!(part, "" | "." | "..") && !part.contains('\0') && (hidden_files || !is_hidden)
        });
        may_be.then_some(Self { path, is_folder })
    }

    /// The path from the root; empty for the root itself.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether it says of itself that it is a folder, by a `/` at its end.
    pub(super) fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The parts of the path, from the root on.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter(|part| !part.is_empty())
    }

    /// The last part.
    pub(super) fn last(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or("")
    }

    /// Where the folder is to be asked for with a `/` at its end, relative to the request's URI; `None` if
    /// it was, or if the name is not the end of the URI's path.
    pub(super) fn with_slash(&self, uri: &Uri) -> Option<String> {
        let last = uri.path().rsplit('/').next()?;
        let is_end = percent_decode_str(last).eq(self.last().bytes());
        if self.is_folder || !is_end {
            return None;
        }
        let query = uri
            .query()
            .map_or(String::new(), |query| format!("?{query}"));
        // The `./` keeps a colon in the name from looking like a scheme.
        Some(format!("./{last}/{query}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<(String, bool)> {
        let name = Name::parse(text.into(), false)?;
        let owned = Name::parse(text.to_owned().into(), false);
        assert_eq!(owned.as_ref(), Some(&name));
        Some((name.path().to_owned(), name.is_folder()))
    }

    #[test]
    fn names_are_relative_paths() {
        assert_eq!(parse("a.txt"), Some(("a.txt".to_owned(), false)));
        assert_eq!(parse("a/b c/ü"), Some(("a/b c/ü".to_owned(), false)));
        assert_eq!(parse("a/"), Some(("a".to_owned(), true)));
        assert_eq!(parse(""), Some((String::new(), true)));
        assert_eq!(parse("a\\..\\b"), Some(("a\\..\\b".to_owned(), false)));
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for text in [
            "..",
            "../a",
            "a/..",
            "a/../b",
            "a/../",
            ".",
            "./a",
            "a/.",
            "/",
            "/etc/passwd",
            "//a",
            "a//b",
            "a//",
            "a\0",
            "\0",
            "a/\0/b",
            "...\0",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_climbs_whatever_it_is_made_of(text in "[a./\\\\\0 -]{0,12}", hidden in any::<bool>()) {
            if let Some(name) = Name::parse(text.as_str().into(), hidden) {
                let plain = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(std::path::Path::new(name.path()).components().all(plain));
                prop_assert!(!name.path().contains('\0'));
                prop_assert_eq!(name.parts().collect::<Vec<_>>().join("/"), name.path());
            }
        }
    }

    #[test]
    fn hidden_names_are_seen_only_where_that_is_wanted() {
        for text in [".git/config", "a/.env", ".htpasswd", "a/.well-known/x"] {
            assert_eq!(parse(text), None, "{text}");
            assert!(Name::parse(text.into(), true).is_some(), "{text}");
        }
        assert!(parse(".well-known/security.txt").is_some());
        assert_eq!(Name::parse("..".into(), true), None);
    }

    #[test]
    fn a_folder_without_its_slash_is_elsewhere() {
        let with_slash = |name: &'static str, uri: &str| {
            let name = Name::parse(name.into(), false).unwrap();
            name.with_slash(&uri.parse().unwrap())
        };
        assert_eq!(with_slash("docs", "/s/docs?a=b").unwrap(), "./docs/?a=b");
        assert_eq!(with_slash("a/b:c", "/a/b%3Ac").unwrap(), "./b%3Ac/");
        assert_eq!(with_slash("docs/", "/s/docs/"), None);
        assert_eq!(with_slash("docs", "/get?path=docs"), None);
    }
}
