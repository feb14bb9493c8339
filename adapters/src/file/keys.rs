//! The keys of a location with `adapter = "file"`.

use http::HeaderValue;

use crate::mount::Mounted;
use crate::registry::{AdapterSpec, Kind};
use crate::settings::{KeySpec, Settings};

use super::Files;
use super::name::Name;

const KEYS: &[KeySpec] = &[
    KeySpec::required(
        "root",
        "path",
        "the folder of the files; relative to the working directory",
    ),
    KeySpec::with_default(
        "param",
        "text",
        "path",
        "the parameter with the file's name, of the path (`/static/{*path}`) or of the query string",
    ),
    KeySpec::optional(
        "index",
        "text",
        "the file that a folder is answered with, such as index.html; without the key it is a 404",
    ),
    KeySpec::with_default(
        "follow_symlinks",
        "boolean",
        "false",
        "whether symbolic links below the root are followed, also out of it",
    ),
    KeySpec::with_default(
        "hidden_files",
        "boolean",
        "false",
        "whether names that begin with a dot are served; `.well-known` in the root always is",
    ),
    KeySpec::with_default(
        "max_response",
        "size",
        "64MiB",
        "the most that one response has; of a larger file only ranges can be had",
    ),
    KeySpec::optional(
        "cache_control",
        "text",
        "the Cache-Control of the answers, such as `public, max-age=3600`",
    ),
    KeySpec::optional(
        "media_types",
        "texts",
        "media types by extension where the usual ones do not fit: [\"log=text/x-log\"]",
    ),
];

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "file",
        kind: Kind::Blocking,
        modes: &[],
        summary: "sends files below a folder, with ranges and conditions",
        keys: KEYS,
        build: |settings| Files::from_settings(settings).map(Mounted::blocking),
    }
}

impl Files {
    fn from_settings(settings: &mut Settings<'_>) -> Option<Self> {
        let errors_before = settings.error_count();
        let root = settings.required_string("root");
        let follow = settings.boolean_or_default("follow_symlinks");
        let hidden = settings.boolean_or_default("hidden_files");
        let max_response_bytes = settings.size_bytes_or_default("max_response");
        let media_types = settings.strings_as("media_types", media_type);
        let index = index(settings);
        let cache_control = cache_control(settings);
        let mut files = Self::new(root?)
            .follow_symlinks(follow?)
            .hidden_files(hidden?)
            .max_response_bytes(max_response_bytes?);
        if settings.contains("param") {
            files = files.param(settings.required_string("param")?);
        }
        files.index = index;
        files.cache_control = cache_control;
        for (extension, media_type) in media_types.unwrap_or_default() {
            files = files.media_type(&extension, media_type);
        }
        if let Err(message) = files.validate() {
            settings.invalid("root", message);
        }
        (settings.error_count() == errors_before).then_some(files)
    }
}

/// The name of one file in a folder.
fn index(settings: &mut Settings<'_>) -> Option<String> {
    let index = settings.string("index")?;
    let parsed = Name::parse(index.as_str().into(), true);
    if parsed.is_none_or(|name| name.is_folder() || name.path().contains('/')) {
        settings.invalid(
            "index",
            format!(
                "`index` is the name of a file in a folder, such as `index.html`, not `{index}`"
            ),
        );
        return None;
    }
    Some(index)
}

fn cache_control(settings: &mut Settings<'_>) -> Option<HeaderValue> {
    let text = settings.string("cache_control")?;
    let value = HeaderValue::from_str(&text);
    if value.is_err() {
        settings.invalid(
            "cache_control",
            "`cache_control` has a character that no header can hold",
        );
    }
    value.ok()
}

/// Reads `extension=type/subtype`.
fn media_type(text: &str) -> Result<(String, HeaderValue), String> {
    let wrong = || format!("write `extension=type/subtype`, as in `log=text/plain`, not `{text}`");
    let (extension, media_type) = text.split_once('=').ok_or_else(wrong)?;
    let extension = extension.trim().trim_start_matches('.');
    let media_type = media_type.trim();
    if extension.is_empty() || extension.contains(['.', '/']) || !media_type.contains('/') {
        return Err(wrong());
    }
    let value = HeaderValue::from_str(media_type).map_err(|_| wrong())?;
    Ok((extension.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rest: &str) -> Result<Files, String> {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("root = {:?}\n{rest}", folder.path());
        Settings::parse(&text, KEYS, Files::from_settings).map_err(|errors| errors.render(false))
    }

    #[test]
    fn every_key_is_read() {
        let files = read(
            r#"
            param = "name"
            index = "index.html"
            follow_symlinks = true
            hidden_files = true
            max_response = "2KiB"
            cache_control = "no-store"
            media_types = ["log=text/plain", ".md = text/x-md"]
        "#,
        );
        let files = files.unwrap();
        assert_eq!(files.param, "name");
        assert_eq!(files.index.as_deref(), Some("index.html"));
        assert!(files.follow_symlinks && files.hidden_files);
        assert_eq!(files.max_response_bytes, 2048);
        assert_eq!(files.cache_control.unwrap(), "no-store");
        assert_eq!(files.media_types.of("a.log"), "text/plain");
        assert_eq!(files.media_types.of("a.md"), "text/x-md");
    }

    #[test]
    fn the_defaults_are_those_of_the_builder() {
        let (read, built) = (read("").unwrap(), Files::new(""));
        assert_eq!(read.param, built.param);
        assert_eq!(read.max_response_bytes, built.max_response_bytes);
        assert!(!read.follow_symlinks && !read.hidden_files);
        assert_eq!((read.index, read.cache_control), (None, None));
    }

    #[test]
    fn each_mistake_shows_and_all_at_once() {
        let errors = read(
            r#"
            index = "../index.html"
            cache_control = "a\nb"
            media_types = ["log", "a/b=text/plain", "x=text"]
            max_response = "many"
        "#,
        );
        let errors = errors.unwrap_err();
        for part in [
            "`index`",
            "cache_control",
            "`log`",
            "a/b=",
            "x=text",
            "many",
        ] {
            assert!(errors.contains(part), "{part}: {errors}");
        }
    }

    #[test]
    fn a_root_that_is_no_folder_shows_at_start() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (root, why) in [
            (file.path().to_str().unwrap(), "is no folder"),
            ("/no/such/folder", "does not exist"),
            ("", "is empty"),
        ] {
            let text = format!("root = {root:?}");
            let errors = Settings::parse(&text, KEYS, Files::from_settings).unwrap_err();
            assert!(errors.render(false).contains(why), "{root}");
        }
    }
}
