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
            required: false,
            ..Self::required(name, value, meaning)
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
            default: Some(default),
            ..Self::optional(name, value, meaning)
        }
    }
}

/// One table being read.
#[derive(Debug)]
pub struct Settings<'src> {
    table: &'src toml::Table,
    errors: Vec<String>,
}

/// What is wrong with a table.
#[derive(Debug)]
pub struct SettingsErrors(Vec<String>);

impl SettingsErrors {
    /// As a text.
    pub fn render(&self, _color: bool) -> String {
        self.0.join("\n")
    }
}

impl Settings<'_> {
    /// Reads one table from a text.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse<T>(
        text: &str,
        keys: &[KeySpec],
        read: impl FnOnce(&mut Settings<'_>) -> Option<T>,
    ) -> Result<T, SettingsErrors> {
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| SettingsErrors(vec![error.to_string()]))?;
        let mut settings = Settings {
            table: &table,
            errors: Vec::new(),
        };
        let value = read(&mut settings);
        for key in table.keys() {
            if !keys.iter().any(|spec| spec.name == key) {
                settings.invalid(key, "unknown key");
            }
        }
        value
            .filter(|_| settings.errors.is_empty())
            .ok_or(SettingsErrors(settings.errors))
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
        self.errors.push(format!("{key}: {}", message.into()));
    }
}
