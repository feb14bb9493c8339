//! Reading a location's table.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// The key.
    pub name: &'static str,
    /// What kind of value it takes.
    pub value: &'static str,
    /// The value when the key is absent.
    pub default: Option<&'static str>,
    /// Whether it must be there.
    pub required: bool,
    /// What it means.
    pub meaning: &'static str,
}

/// One table being read.
#[derive(Debug)]
pub struct Settings<'src> {
    table: &'src toml::Table,
    errors: Vec<(String, String)>,
}

impl<'src> Settings<'src> {
    /// Reads this table.
    pub fn new(table: &'src toml::Table) -> Self {
        let errors = Vec::new();
        Self { table, errors }
    }

    /// What was wrong, by key.
    pub fn errors(&self) -> &[(String, String)] {
        &self.errors
    }

    /// A text.
    pub fn string(&mut self, key: &'static str) -> Option<String> {
        self.table.get(key)?.as_str().map(str::to_owned)
    }

    /// A text that must be there.
    pub fn required_string(&mut self, key: &'static str) -> Option<String> {
        let value = self.string(key);
        if value.is_none() {
            self.invalid(key, "missing");
        }
        value
    }

    /// An integer within bounds.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        self.table
            .get(key)?
            .as_integer()
            .filter(|n| range.contains(n))
    }

    /// True or false.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.table.get(key)?.as_bool()
    }

    /// A duration with its unit.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        humantime::parse_duration(self.table.get(key)?.as_str()?).ok()
    }

    /// A size with its unit.
    pub fn size_bytes(&mut self, key: &'static str) -> Option<u64> {
        let text = self.table.get(key)?.as_str()?;
        text.parse::<bytesize::ByteSize>()
            .ok()
            .map(|size| size.as_u64())
    }

    /// One of several words.
    pub fn choice(&mut self, key: &'static str, choices: &[&'static str]) -> Option<&'static str> {
        let text = self.table.get(key)?.as_str()?;
        choices.iter().copied().find(|choice| *choice == text)
    }

    /// An HTTP status.
    pub fn status(&mut self, key: &'static str) -> Option<StatusCode> {
        let number = self.table.get(key)?.as_integer()?;
        StatusCode::from_u16(u16::try_from(number).ok()?).ok()
    }

    /// Records an error at the value of this key.
    pub fn invalid(&mut self, key: &str, message: impl Into<String>) {
        self.errors.push((key.to_owned(), message.into()));
    }
}
