//! The readers of single values. Absent is `None`; wrong is `None` and a recorded error.
//!
//! A reader whose name ends in `_or_default` gives an absent key the default of its [`KeySpec`],
//! so the documentation and the code cannot disagree; its `None` always means a recorded error.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;
use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::values::{
    Wrong, check_size, duration_without_unit, format_duration, parse_duration, parse_size,
};
use super::{Diagnostic, Settings, did_you_mean, nearest};

/// Statuses that a final answer can have: 1xx only announce one.
const STATUS_RANGE: RangeInclusive<i64> = 200..=599;

/// A setting that is either given or left to Pontoon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AutoOr<T> {
    /// Pontoon decides.
    Auto,
    /// The operator decided.
    Fixed(T),
}

/// A setting that is a number, or a part of another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CountOrPercent {
    /// So many.
    Count(i64),
    /// So many hundredths, 1 to 100.
    Percent(u8),
}

/// A single value, as TOML has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// `true` or `false`.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A number with a fraction or an exponent, as it was written.
    Number(String),
    /// A text.
    Text(String),
}

impl Settings<'_> {
    /// Any single value: a text, a number, `true` or `false`.
    pub fn scalar(&mut self, key: &'static str) -> Option<Scalar> {
        self.read(
            key,
            "a text, a number, true or false",
            |value| match value {
                DeValue::Boolean(flag) => Ok(Scalar::Boolean(*flag)),
                DeValue::Integer(number) => {
                    in_range(number, &(i64::MIN..=i64::MAX)).map(Scalar::Integer)
                }
                DeValue::Float(number) => {
                    let text = number.as_str().replace('_', "");
                    match text.parse::<f64>() {
                        Ok(value) if value.is_finite() => Ok(Scalar::Number(text)),
                        _ => Err(Rejected::Value(format!("not {text}"))),
                    }
                }
                DeValue::String(text) => Ok(Scalar::Text(text.to_string())),
                _ => Err(Rejected::Type),
            },
        )
    }

    /// Any text.
    pub fn string(&mut self, key: &'static str) -> Option<String> {
        self.read(key, "text", |value| Ok(text_of(value)?.to_owned()))
    }

    /// Any text but the empty one. An absent key is an error.
    pub fn required_string(&mut self, key: &'static str) -> Option<String> {
        if !self.contains(key) {
            self.missing(key);
            return None;
        }
        let text = self.string(key)?;
        if text.trim().is_empty() {
            self.invalid(key, format!("`{key}` is empty"));
            return None;
        }
        Some(text)
    }

    /// A text, which counts as a list of one, or an array of texts.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.strings_as(key, |text| Ok(text.to_owned()))
    }

    /// Like [`strings`](Self::strings), and `parse` makes something of each text, or says as an
    /// error message why it cannot. Each item that is wrong is an error of its own.
    pub fn strings_as<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        debug_assert!(self.spec(key).is_some(), "`{key}` is read but not declared");
        let value = self.value(key)?;
        let items: Vec<_> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        let mut parsed = Vec::with_capacity(items.len());
        for item in &items {
            match item.get_ref().as_str().map(&parse) {
                Some(Ok(one)) => parsed.push(one),
                Some(Err(message)) => self.record(Diagnostic::error(message).at(item.span())),
                None => self.wrong_type(key, item, "text or an array of texts"),
            }
        }
        (parsed.len() == items.len()).then_some(parsed)
    }

    /// An integer within `range`.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let expected = integer_within(&range);
        self.read(key, &expected, |value| in_range(integer_of(value)?, &range))
    }

    /// An integer within `range`, or the word `auto`.
    pub fn auto_or_integer(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<AutoOr<i64>> {
        let expected = format!("\"auto\" or {}", integer_within(&range));
        self.read(key, &expected, |value| match value.as_str() {
            Some("auto") => Ok(AutoOr::Auto),
            Some(text) => Err(Rejected::Value(format!("not `{text}`"))),
            None => in_range(integer_of(value)?, &range).map(AutoOr::Fixed),
        })
    }

    /// An integer within `range`, or a text such as `"50%"`: 1 to 100 hundredths.
    pub fn count_or_percent(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<CountOrPercent> {
        let expected = format!("{}, or \"1%\" to \"100%\"", integer_within(&range));
        self.read(key, &expected, |value| match value.as_str() {
            None => in_range(integer_of(value)?, &range).map(CountOrPercent::Count),
            Some(text) => percent_of(text)
                .map(CountOrPercent::Percent)
                .ok_or_else(|| Rejected::Value(format!("not `{text}`"))),
        })
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.read(key, "true or false", |value| {
            value.as_bool().ok_or(Rejected::Type)
        })
    }

    /// A duration with its unit, up to a year: `"250ms"`, `"30s"`, `"5m"`. A bare number is an
    /// error, since it could be anything.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.read(key, "a duration such as \"30s\"", |value| match value {
            DeValue::String(text) => Ok(parse_duration(text)?),
            DeValue::Integer(number) => Err(duration_without_unit(&number.to_string()).into()),
            DeValue::Float(number) => Err(duration_without_unit(&number.to_string()).into()),
            _ => Err(Rejected::Type),
        })
    }

    /// One of a few words, each with what it stands for, or a duration within `range`, of which
    /// `make` makes the same.
    pub fn word_or_duration<T: Clone>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        range: RangeInclusive<Duration>,
        make: impl FnOnce(Duration) -> T,
    ) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let expected = words_or_duration_within(&names, &range);
        let wrong = |found: &str, help: String| Wrong {
            problem: format!("must be {expected}, not {found}"),
            help,
        };
        let unit = || "a duration is a number and its unit, such as \"50us\" or \"1ms\"".to_owned();
        self.read(key, &expected, |value| match value {
            DeValue::String(text) => {
                if let Some((_, meant)) = words.iter().find(|(word, _)| word == text) {
                    return Ok(meant.clone());
                }
                let near = || nearest(text, &names).map(|word| format!("did you mean `{word}`?"));
                let duration = parse_duration(text)
                    .map_err(|_| wrong(&format!("`{text}`"), near().unwrap_or_else(unit)))?;
                match range.contains(&duration) {
                    true => Ok(make(duration)),
                    false => Err(Rejected::Value(format!("not `{text}`"))),
                }
            }
            DeValue::Integer(number) => Err(wrong(&number.to_string(), unit()).into()),
            DeValue::Float(number) => Err(wrong(&number.to_string(), unit()).into()),
            _ => Err(Rejected::Type),
        })
    }

    /// A size in bytes, up to 8 PiB: `"1MiB"`, `"64KB"`, or an integer of bytes.
    pub fn size_bytes(&mut self, key: &'static str) -> Option<u64> {
        self.read(
            key,
            "a size such as \"1MiB\", or bytes",
            |value| match value {
                DeValue::String(text) => Ok(parse_size(text)?),
                DeValue::Integer(number) => {
                    let bytes = in_range(number, &(0..=i64::MAX))?.unsigned_abs();
                    Ok(check_size(bytes, &number.to_string())?)
                }
                _ => Err(Rejected::Type),
            },
        )
    }

    /// One of a few words.
    pub fn choice(&mut self, key: &'static str, choices: &[&'static str]) -> Option<&'static str> {
        self.read(key, "text", |value| {
            let text = text_of(value)?;
            let chosen = choices.iter().copied().find(|choice| *choice == text);
            Ok(chosen.ok_or_else(|| Wrong {
                problem: format!("cannot be `{text}`"),
                help: match nearest(text, choices) {
                    Some(_) => did_you_mean(text, choices, "values"),
                    None => format!("choose one of {}", super::nearest::quoted(choices)),
                },
            })?)
        })
    }

    /// The status of an answer, 200 to 599.
    pub fn status(&mut self, key: &'static str) -> Option<StatusCode> {
        let code = self.integer(key, STATUS_RANGE)?;
        u16::try_from(code)
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok())
    }

    /// [`integer`](Self::integer), or its default.
    pub fn integer_or_default(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        if self.contains(key) {
            return self.integer(key, range);
        }
        self.default(key, |text| text.replace('_', "").parse().ok())
    }

    /// [`boolean`](Self::boolean), or its default.
    pub fn boolean_or_default(&mut self, key: &'static str) -> Option<bool> {
        if self.contains(key) {
            return self.boolean(key);
        }
        self.default(key, |text| text.parse().ok())
    }

    /// [`duration`](Self::duration), or its default.
    pub fn duration_or_default(&mut self, key: &'static str) -> Option<Duration> {
        if self.contains(key) {
            return self.duration(key);
        }
        self.default(key, |text| parse_duration(text).ok())
    }

    /// [`size_bytes`](Self::size_bytes), or its default.
    pub fn size_bytes_or_default(&mut self, key: &'static str) -> Option<u64> {
        if self.contains(key) {
            return self.size_bytes(key);
        }
        self.default(key, |text| parse_size(text).ok())
    }

    fn default<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.spec(key).and_then(|spec| spec.default);
        let value = text.and_then(parse);
        if value.is_none() {
            let error = format!("`{key}` has no usable default (it is declared as {text:?})");
            let help = format!("set `{key}`, and report this: its declaration is wrong");
            self.report_table(Diagnostic::error(error).help(help));
        }
        value
    }

    fn read<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Rejected>,
    ) -> Option<T> {
        debug_assert!(self.spec(key).is_some(), "`{key}` is read but not declared");
        let value = self.value(key)?;
        let diagnostic = match read(value.get_ref()) {
            Ok(read) => return Some(read),
            Err(Rejected::Type) => {
                self.wrong_type(key, value, expected);
                return None;
            }
            Err(Rejected::Value(found)) => {
                Diagnostic::error(format!("`{key}` must be {expected}, {found}"))
            }
            Err(Rejected::Text(wrong)) => {
                Diagnostic::error(format!("`{key}` {}", wrong.problem)).help(wrong.help)
            }
        };
        self.record(diagnostic.at(value.span()));
        None
    }

    pub(super) fn wrong_type(&self, key: &str, found: &Spanned<DeValue<'_>>, expected: &str) {
        let message = format!(
            "`{key}` must be {expected}, not {}",
            type_of(found.get_ref())
        );
        self.record(Diagnostic::error(message).at(found.span()));
    }
}

/// Why a value was not taken.
enum Rejected {
    /// It is of another type.
    Type,
    /// It is of the right type and not what was expected; the text tells what it is.
    Value(String),
    /// Its text does not say what it should.
    Text(Wrong),
}

impl From<Wrong> for Rejected {
    fn from(wrong: Wrong) -> Self {
        Self::Text(wrong)
    }
}

fn text_of<'a>(value: &'a DeValue<'_>) -> Result<&'a str, Rejected> {
    value.as_str().ok_or(Rejected::Type)
}

fn integer_of<'a, 'src>(value: &'a DeValue<'src>) -> Result<&'a DeInteger<'src>, Rejected> {
    value.as_integer().ok_or(Rejected::Type)
}

fn integer_within(range: &RangeInclusive<i64>) -> String {
    match (*range.start(), *range.end()) {
        (i64::MIN, i64::MAX) => "an integer".to_owned(),
        (start, i64::MAX) => format!("an integer of at least {start}"),
        (start, end) => format!("an integer from {start} to {end}"),
    }
}

fn percent_of(text: &str) -> Option<u8> {
    let number = text.strip_suffix('%')?.trim_end();
    number.parse().ok().filter(|part| (1..=100).contains(part))
}

fn words_or_duration_within(words: &[&str], range: &RangeInclusive<Duration>) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let [min, max] = [range.start(), range.end()].map(|end| format_duration(*end));
    format!("{} or a duration from {min} to {max}", words.join(", "))
}

fn in_range(number: &DeInteger<'_>, range: &RangeInclusive<i64>) -> Result<i64, Rejected> {
    i64::from_str_radix(number.as_str(), number.radix())
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| Rejected::Value(format!("not {number}")))
}

/// The type of a value with its article, as TOML calls it.
fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
