//! Settings: one TOML table, read key by key, with every mistake kept for one report.
//!
//! The server's config reader calls this for its own tables, and each adapter's constructor for
//! its keys in a location. A reader never stops at a mistake: it records what is wrong and where,
//! answers `None`, and the caller reads on, so that the operator sees everything at once.
//!
//! The promises: a reader that answers `None` for a key that is present has recorded an error; a
//! key that nobody declared is an error; every error points at bytes of the text.
//!
//! ```
//! use pontoon_adapters::settings::{KeySpec, Settings};
//!
//! const KEYS: &[KeySpec] = &[
//!     KeySpec::required("database", "text", "the file to open"),
//!     KeySpec::with_default("busy_timeout", "duration", "5s", "how long to wait for a lock"),
//! ];
//!
//! let read = |settings: &mut Settings<'_>| {
//!     let database = settings.required_string("database");
//!     let busy_timeout = settings.duration_or_default("busy_timeout");
//!     Some((database?, busy_timeout?))
//! };
//! let (database, busy_timeout) = Settings::parse("database = 'users.db'", KEYS, read)?;
//! assert_eq!((database.as_str(), busy_timeout.as_secs()), ("users.db", 5));
//!
//! let errors = Settings::parse("busy_timeout = 5", KEYS, read).unwrap_err();
//! assert_eq!(errors.diagnostics().len(), 2); // no unit, and no database
//! # Ok::<(), pontoon_adapters::settings::SettingsErrors>(())
//! ```

mod diagnostic;
mod document;
mod fingerprint;
mod lists;
mod nearest;
mod readers;
mod tables;
mod values;

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use diagnostic::{Diagnostic, SettingsErrors, Severity, render};
pub use document::Document;
pub use fingerprint::Fingerprint;
pub use nearest::{did_you_mean, nearest};
pub use readers::{AutoOr, CountOrPercent, Scalar};
pub use values::{format_duration, format_size};

/// A key that a table may have: what is read, and what the documentation says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// The key.
    pub name: &'static str,
    /// What its value is, in a word or two: `text`, `integer`, `duration`, `size`.
    pub value: &'static str,
    /// What an absent key means, written as the value would be in the file.
    pub default: Option<&'static str>,
    /// Whether the key must be there.
    pub required: bool,
    /// What the key decides, in one line without a full stop.
    pub meaning: &'static str,
}

impl KeySpec {
    /// A key that must be there.
    pub const fn required(name: &'static str, value: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            value,
            default: None,
            required: true,
            meaning,
        }
    }

    /// A key that may be absent, which then means nothing.
    pub const fn optional(name: &'static str, value: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            value,
            default: None,
            required: false,
            meaning,
        }
    }

    /// A key that may be absent, which then means `default`.
    pub const fn with_default(
        name: &'static str,
        value: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            value,
            default: Some(default),
            required: false,
            meaning,
        }
    }
}

/// One table that is being read. Its errors go to the list of the whole [`Document`].
pub struct Settings<'src> {
    table: &'src DeTable<'src>,
    /// The bytes of the table's `[header]`; `None` for the top of the file, which has none.
    header: Option<Range<usize>>,
    /// The keys that may appear, in lists because several readers may share one table.
    known: Vec<&'src [KeySpec]>,
    diagnostics: &'src RefCell<Vec<Diagnostic>>,
}

impl std::fmt::Debug for Settings<'_> {
    /// Names the keys only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<&str> = self
            .table
            .keys()
            .map(|key| key.get_ref().as_ref())
            .collect();
        f.debug_struct("Settings")
            .field("header", &self.header)
            .field("keys", &keys)
            .finish()
    }
}

impl Settings<'_> {
    /// Reads one table from TOML text, for tests and for programs that configure an adapter alone.
    /// Keys that `keys` does not list are errors.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the text, in the order of the lines.
    pub fn parse<T>(
        text: &str,
        keys: &[KeySpec],
        read: impl FnOnce(&mut Settings<'_>) -> Option<T>,
    ) -> Result<T, SettingsErrors> {
        let failed = |diagnostics| SettingsErrors::new(diagnostics, text, "settings.toml");
        let document = Document::parse(text).map_err(failed)?;
        let mut settings = document.root(keys);
        let value = read(&mut settings);
        settings.reject_unknown_keys();
        match (value, document.into_diagnostics()) {
            (Some(value), diagnostics) if !diagnostics.iter().any(Diagnostic::is_error) => {
                Ok(value)
            }
            (_, diagnostics) => Err(failed(diagnostics)),
        }
    }

    /// Lets the table have these keys too.
    pub fn allow(&mut self, keys: &'static [KeySpec]) {
        self.known.push(keys);
    }

    /// Records an error at the value of `key`, or at the table's header where the key is absent.
    pub fn invalid(&mut self, key: &str, message: impl Into<String>) {
        self.report(key, Diagnostic::error(message));
    }

    /// Records an error about item `index` of the array at `key`; about the value itself where it
    /// is no array.
    pub fn invalid_item(&mut self, key: &str, index: usize, message: impl Into<String>) {
        let item = self
            .value(key)
            .and_then(|value| Some(value.get_ref().get(index)?.span()));
        match item {
            Some(span) => self.record(Diagnostic::error(message).at(span)),
            None => self.invalid(key, message),
        }
    }

    /// Records a diagnostic at the value of `key`, or at the table's header where the key is
    /// absent.
    pub fn report(&mut self, key: &str, diagnostic: Diagnostic) {
        let span = self.span_of(key);
        self.record(Diagnostic {
            span: span.or_else(|| self.header.clone()),
            ..diagnostic
        });
    }

    /// Records a diagnostic at the table's header.
    pub fn report_table(&mut self, diagnostic: Diagnostic) {
        self.record(Diagnostic {
            span: self.header.clone(),
            ..diagnostic
        });
    }

    /// The bytes of the value of `key`.
    pub fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.value(key).map(Spanned::span)
    }

    /// Whether the table has this key.
    pub fn contains(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The text at `key`, if there is one. Records nothing: for who must know it before it is read.
    pub(crate) fn peek_text(&self, key: &str) -> Option<&str> {
        self.value(key)?.get_ref().as_str()
    }

    /// How many errors the whole document has so far. A caller that gets `None` from a constructor
    /// compares, to find one that gave no reason.
    pub fn error_count(&self) -> usize {
        self.diagnostics
            .borrow()
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .count()
    }

    /// Records that `key` is missing, with what it means.
    pub fn missing(&mut self, key: &str) {
        let mut diagnostic = Diagnostic::error(format!("missing key `{key}`"));
        if let Some(spec) = self.spec(key) {
            diagnostic = diagnostic.help(format!("`{key}` ({}): {}", spec.value, spec.meaning));
        }
        self.report_table(diagnostic);
    }

    /// Records an error for every key of the table that is not among the known ones.
    pub fn reject_unknown_keys(&mut self) {
        let known = self.known_names();
        for key in self.unknown_keys() {
            let name = key.get_ref().as_ref();
            self.record(unknown_key(
                name,
                key.span(),
                did_you_mean(name, &known, "keys"),
            ));
        }
    }

    /// Records an error for those unknown keys that look like a known key, and leaves the rest
    /// alone: for a table whose other keys cannot be judged. `foreign` are names to leave alone.
    pub fn reject_misspelt_keys(&mut self, foreign: &[&str]) {
        let known = self.known_names();
        for key in self.unknown_keys() {
            let name = key.get_ref().as_ref();
            if !foreign.contains(&name) && nearest(name, &known).is_some() {
                self.record(unknown_key(
                    name,
                    key.span(),
                    did_you_mean(name, &known, "keys"),
                ));
            }
        }
    }

    fn unknown_keys(&self) -> Vec<&Spanned<std::borrow::Cow<'_, str>>> {
        self.table
            .keys()
            .filter(|key| self.spec(key.get_ref()).is_none())
            .collect()
    }

    fn known_names(&self) -> Vec<&'static str> {
        self.known
            .iter()
            .copied()
            .flatten()
            .map(|spec| spec.name)
            .collect()
    }

    fn spec(&self, key: &str) -> Option<KeySpec> {
        self.known
            .iter()
            .copied()
            .flatten()
            .find(|spec| spec.name == key)
            .copied()
    }

    fn record(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }
}

impl<'src> Settings<'src> {
    fn value(&self, key: &str) -> Option<&'src Spanned<DeValue<'src>>> {
        self.table.get(key)
    }
}

fn unknown_key(name: &str, span: Range<usize>, help: String) -> Diagnostic {
    Diagnostic::error(format!("unknown key `{name}`"))
        .at(span)
        .help(help)
}
