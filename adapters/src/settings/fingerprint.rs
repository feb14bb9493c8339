//! What a table says, in a form that two tables can be compared by.
//!
//! A reload asks whether a location still says what it said before: spaces, comments, the order of
//! keys and the way a text is quoted do not count. Values that are written differently and mean the
//! same, such as `16` and `0x10`, count as different: who compares may only err to that side.

use std::fmt::{self, Write};

use toml::de::DeValue;

use super::{KeySpec, Settings};

/// What some keys of a table say. Equal when they say the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(String);

impl fmt::Debug for Fingerprint {
    /// Shows nothing: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fingerprint").finish_non_exhaustive()
    }
}

impl Settings<'_> {
    /// What the table says at these keys.
    #[must_use]
    pub fn fingerprint(&self, keys: &[KeySpec]) -> Fingerprint {
        let mut text = String::new();
        let mut names: Vec<_> = keys.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            if let Some(value) = self.value(name) {
                // Writing to a String does not fail, here and below.
                let _ = write!(text, "{name:?}=");
                add(&mut text, value.get_ref());
            }
        }
        Fingerprint(text)
    }
}

/// Adds a value so that no other value adds the same: texts are quoted, and what holds others has a
/// beginning and an end.
fn add(text: &mut String, value: &DeValue<'_>) {
    let _ = match value {
        DeValue::String(value) => write!(text, "{value:?},"),
        DeValue::Integer(value) => write!(text, "{value},"),
        DeValue::Float(value) => write!(text, "f{value},"),
        DeValue::Boolean(value) => write!(text, "{value},"),
        DeValue::Datetime(value) => write!(text, "d{value},"),
        DeValue::Array(items) => {
            text.push('[');
            items.iter().for_each(|item| add(text, item.get_ref()));
            write!(text, "],")
        }
        DeValue::Table(table) => {
            text.push('{');
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by(|(one, _), (other, _)| one.get_ref().cmp(other.get_ref()));
            for (key, value) in entries {
                let _ = write!(text, "{:?}=", key.get_ref());
                add(text, value.get_ref());
            }
            write!(text, "}},")
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Document;

    const KEYS: &[KeySpec] = &[
        KeySpec::optional("a", "anything", "one"),
        KeySpec::optional("b", "anything", "another"),
    ];

    fn of(text: &str) -> Fingerprint {
        Document::parse(text).unwrap().root(KEYS).fingerprint(KEYS)
    }

    #[test]
    fn what_is_written_differently_and_says_the_same_is_equal() {
        let plain = of("a = 'x'\nb = {one = [1, 2], two = true}");
        for same in [
            "b = {two = true, one = [ 1,2 ]}\na = \"x\" # a comment",
            "a = \"\\u0078\"\nb.two = true\nb.one = [1,\n 2]",
            "a = '''x'''\n[b]\none = [1, 2]\ntwo = true",
            "other = 5\na = 'x'\nb = {one = [1, 2], two = true}",
        ] {
            assert_eq!(of(same), plain, "{same}");
        }
    }

    #[test]
    fn whatever_says_something_else_is_different() {
        let texts = [
            "",
            "a = '1'",
            "a = 1",
            "a = 0x1",
            "a = 0b1",
            "a = 1.0",
            "a = true",
            "a = 'true'",
            "a = 1979-05-27",
            "a = '1979-05-27'",
            "a = []",
            "a = [[]]",
            "a = ['1', '2']",
            "a = ['1,2']",
            "a = [['1'], '2']",
            "a = [['1', '2']]",
            "a = {}",
            "a = {x = 1}",
            "a = {x = 1, y = 2}",
            "a = {x = {y = 2}}",
            "b = 1",
            "a = 1\nb = 1",
            "a = '1,\"b\"=1'",
        ];
        for (index, text) in texts.iter().enumerate() {
            for other in &texts[index + 1..] {
                assert_ne!(of(text), of(other), "{text} and {other}");
            }
        }
    }

    #[test]
    fn it_shows_no_secrets() {
        let shown = format!("{:?}", of("a = 'password'"));
        assert!(!shown.contains("password"), "{shown}");
    }
}
