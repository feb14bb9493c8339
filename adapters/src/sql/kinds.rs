//! What a parameter's value must be: the type that follows its name in a statement.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::Error;
use crate::params::{self, Found};

/// A value for a statement's parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'v> {
    /// SQL's NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// A number as it was written, with all its digits: `1.10`, `-2e5`.
    Number(Cow<'v, str>),
    /// A text.
    Text(Cow<'v, str>),
    /// A JSON document, exactly as it was sent.
    Json(Cow<'v, str>),
    /// Bytes.
    Bytes(Cow<'v, [u8]>),
}

/// What a value must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueKind {
    /// What it is: JSON keeps its types, all else is a text.
    #[default]
    Any,
    /// An integer between these.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// A number.
    Number,
    /// True or false; as a text `true`, `false`, `1` or `0`.
    Bool,
    /// A text. A JSON number is its digits.
    Text,
    /// A JSON document. A text that does not come from JSON must hold one.
    Json,
    /// Bytes, as base64 (standard alphabet).
    Bytes,
    /// An array, as JSON has it, or a text that the database judges.
    Array,
    /// A UUID in hexadecimal, with or without hyphens.
    Uuid,
}

const fn integer(bits: u32) -> ValueKind {
    ValueKind::Integer {
        min: i64::MIN >> (64 - bits),
        max: i64::MAX >> (64 - bits),
    }
}

impl ValueKind {
    /// The kind that a type's name in a statement means. Dates and times are texts that the database
    /// judges.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Some(match &*name {
            "int2" | "smallint" => integer(16),
            "int" | "int4" | "integer" => integer(32),
            "int8" | "bigint" => integer(64),
            "float4" | "float8" | "float" | "real" | "double" | "numeric" | "decimal" => {
                Self::Number
            }
            "bool" | "boolean" => Self::Bool,
            "text" | "varchar" | "char" | "date" | "time" | "timetz" | "timestamp"
            | "timestamptz" | "datetime" | "interval" => Self::Text,
            "json" | "jsonb" => Self::Json,
            "bytea" | "blob" | "binary" | "bytes" => Self::Bytes,
            "uuid" => Self::Uuid,
            _ => return None,
        })
    }

    /// The value of a parameter of this name and kind.
    ///
    /// # Errors
    ///
    /// 400 when it is none of this kind; the detail names the parameter.
    pub(super) fn value<'p>(self, found: Found<'p>, name: &str) -> Result<Value<'p>, Error> {
        match found {
            Found::Text(text) => self.of_text(text.into(), name),
            Found::Json(json) => self.of_json(json, name),
        }
    }

    fn of_json<'p>(self, json: &'p str, name: &str) -> Result<Value<'p>, Error> {
        if self == Self::Json && json != "null" {
            return Ok(Value::Json(json.into()));
        }
        match json.as_bytes().first() {
            Some(b'n') => Ok(Value::Null),
            Some(b'"') => {
                let text = params::text(json, name)?;
                if self == Self::Any {
                    return Ok(Value::Text(text));
                }
                self.of_text(text, name)
            }
            Some(b'[' | b'{') => match self {
                // An array of PostgreSQL's is made of a JSON one by whoever knows its type.
                Self::Any | Self::Text => Ok(Value::Json(json.into())),
                Self::Array if json.starts_with('[') => Ok(Value::Json(json.into())),
                _ => Err(self.mismatch(name)),
            },
            Some(b't' | b'f') => match self {
                Self::Any | Self::Bool => Ok(Value::Bool(json == "true")),
                Self::Text => Ok(Value::Text(json.into())),
                _ => Err(self.mismatch(name)),
            },
            _ => self.of_number(json, name),
        }
    }

    fn of_number<'p>(self, json: &'p str, name: &str) -> Result<Value<'p>, Error> {
        match self {
            Self::Any if json.contains(['.', 'e', 'E']) => {
                if !json.parse::<f64>().is_ok_and(f64::is_finite) {
                    let detail = format!("the parameter `{name}` is beyond the range of a number");
                    return Err(Error::bad_request(detail));
                }
                Ok(Value::Number(json.into()))
            }
            Self::Any => json.parse().map(Value::Integer).map_err(|error| {
                let detail = format!("the parameter `{name}` does not fit into a 64-bit integer");
                Error::bad_request(detail).with_source(error)
            }),
            Self::Bool | Self::Array => Err(self.mismatch(name)),
            _ => self.of_text(json.into(), name),
        }
    }

    fn of_text<'p>(self, text: Cow<'p, str>, name: &str) -> Result<Value<'p>, Error> {
        let mismatch = || self.mismatch(name);
        match self {
            Self::Any | Self::Text | Self::Array => Ok(Value::Text(text)),
            Self::Integer { min, max } => {
                let number: i64 = text
                    .parse()
                    .map_err(|error| mismatch().with_source(error))?;
                let is_in_range = (min..=max).contains(&number);
                is_in_range
                    .then_some(Value::Integer(number))
                    .ok_or_else(mismatch)
            }
            Self::Number => {
                let is_number = text.bytes().all(|byte| b"+-.eE0123456789".contains(&byte))
                    && text.parse::<f64>().is_ok_and(f64::is_finite);
                is_number
                    .then_some(Value::Number(text))
                    .ok_or_else(mismatch)
            }
            Self::Bool => match &*text {
                "true" | "1" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                _ => Err(mismatch()),
            },
            Self::Json => {
                let is_json = serde_json::from_str::<&RawValue>(&text);
                is_json.map_err(|error| mismatch().with_source(error))?;
                Ok(Value::Json(text))
            }
            Self::Bytes => {
                let bytes = STANDARD.decode(&*text);
                let bytes = bytes.map_err(|error| mismatch().with_source(error))?;
                Ok(Value::Bytes(bytes.into()))
            }
            Self::Uuid => {
                let digits = text.bytes().filter(|byte| *byte != b'-');
                let is_uuid =
                    digits.clone().count() == 32 && digits.clone().all(|c| c.is_ascii_hexdigit());
                is_uuid.then_some(Value::Text(text)).ok_or_else(mismatch)
            }
        }
    }

    fn mismatch(self, name: &str) -> Error {
        let wanted = match self {
            Self::Any | Self::Text => "a text".to_owned(),
            Self::Integer { min, max } => format!("an integer from {min} to {max}"),
            Self::Number => "a number".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Json => "a JSON document".to_owned(),
            Self::Bytes => "base64".to_owned(),
            Self::Array => "an array".to_owned(),
            Self::Uuid => "a UUID".to_owned(),
        };
        Error::bad_request(format!("the parameter `{name}` must be {wanted}"))
    }
}

#[cfg(test)]
mod tests;
