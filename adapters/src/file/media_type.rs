//! Which media type a file has, by the end of its name.
//!
//! A short table of what is found on web sites, and not one of the crates with a thousand types: each
//! line can be looked at, and what is missing is one line of config.

use std::collections::BTreeMap;

use http::HeaderValue;

const UNKNOWN: &str = "application/octet-stream";

/// By extension, in lower case.
const TABLE: &[(&str, &str)] = &[
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apng", "image/apng"),
    ("atom", "application/atom+xml"),
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("br", "application/x-brotli"),
    ("bz2", "application/x-bzip2"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("doc", "application/msword"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("log", "text/plain; charset=utf-8"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("ndjson", "application/x-ndjson"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("ts", "video/mp2t"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("xml", "application/xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

/// The table, and what the operator says otherwise.
#[derive(Clone, Debug, Default)]
pub(super) struct MediaTypes(BTreeMap<String, HeaderValue>);

impl MediaTypes {
    /// Files whose names end in `.extension` are of this type.
    pub(super) fn set(&mut self, extension: &str, media_type: HeaderValue) {
        self.0.insert(extension.to_ascii_lowercase(), media_type);
    }

    /// The type of the file with this name.
    pub(super) fn of(&self, name: &str) -> HeaderValue {
        let extension = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => extension.to_ascii_lowercase(),
            _ => return HeaderValue::from_static(UNKNOWN),
        };
        if let Some(media_type) = self.0.get(&extension) {
            return media_type.clone();
        }
        let found = TABLE.binary_search_by_key(&extension.as_str(), |(extension, _)| extension);
        HeaderValue::from_static(found.map_or(UNKNOWN, |at| TABLE[at].1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_each_type_is_a_type() {
        assert!(TABLE.is_sorted_by(|(a, _), (b, _)| a < b));
        for (extension, media_type) in TABLE {
            assert_eq!(*extension, extension.to_ascii_lowercase());
            assert!(media_type.contains('/'), "{extension}");
            assert!(HeaderValue::from_str(media_type).is_ok(), "{extension}");
        }
    }

    #[test]
    fn the_end_of_the_name_decides() {
        let types = MediaTypes::default();
        assert_eq!(types.of("index.html"), "text/html; charset=utf-8");
        assert_eq!(types.of("a.b.PNG"), "image/png");
        for name in ["README", "a.", ".txt", "a.unheard-of", "a.html "] {
            assert_eq!(types.of(name), UNKNOWN, "{name}");
        }
    }

    #[test]
    fn the_operator_knows_better() {
        let mut types = MediaTypes::default();
        types.set("TXT", HeaderValue::from_static("text/x-notes"));
        assert_eq!(types.of("a.txt"), "text/x-notes");
        assert_eq!(types.of("a.css"), "text/css; charset=utf-8");
    }
}
