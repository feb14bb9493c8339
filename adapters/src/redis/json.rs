//! Replies as JSON, written straight into the response body.
//!
//! | Redis | JSON |
//! | --- | --- |
//! | null | `null` |
//! | boolean, integer | the same, with all digits |
//! | double | a number; `"inf"`, `"-inf"` or `"nan"` |
//! | big number | a string of its digits, since most readers would round a number |
//! | string, status, verbatim string | a string; base64 (standard alphabet, padded) if it is not UTF-8 |
//! | array, set | an array |
//! | map | an object; an array of pairs if any key is a list or a map |

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redis::Value;

use super::failure::{from_reply, too_large};
use crate::Error;

/// A body that grows value by value up to a limit.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl Body {
    pub(super) fn new(max_bytes: usize) -> Self {
        let bytes = Vec::with_capacity(64.min(max_bytes));
        Self { bytes, max_bytes }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds a value.
    ///
    /// # Errors
    ///
    /// There is an error within it, or no room for it.
    pub(super) fn value(&mut self, value: &Value) -> Result<(), Error> {
        match value {
            Value::Array(items) | Value::Set(items) => self.list(items)?,
            Value::Map(pairs) => self.map(pairs)?,
            Value::Push { data, .. } => self.list(data)?,
            Value::Attribute { data, .. } => self.value(data)?,
            Value::ServerError(error) => return Err(from_reply(error.clone())),
            value => self.single(value)?,
        }
        self.make_room(0)
    }

    fn single(&mut self, value: &Value) -> Result<(), Error> {
        match value {
            Value::Nil => self.bytes.extend_from_slice(b"null"),
            // Writing to a Vec does not fail.
            Value::Int(integer) => drop(write!(self.bytes, "{integer}")),
            Value::Boolean(boolean) => drop(write!(self.bytes, "{boolean}")),
            Value::Double(double) if double.is_finite() => {
                serde_json::to_writer(&mut self.bytes, double).map_err(unwritable)?;
            }
            value => match text_of(value) {
                Some(text) => self.text(&text)?,
                None => return Err(Error::internal("Redis answered with an unknown type")),
            },
        }
        Ok(())
    }

    fn list(&mut self, items: &[Value]) -> Result<(), Error> {
        self.bytes.push(b'[');
        for (index, item) in items.iter().enumerate() {
            self.comma(index);
            self.value(item)?;
        }
        self.bytes.push(b']');
        Ok(())
    }

    fn map(&mut self, pairs: &[(Value, Value)]) -> Result<(), Error> {
        if !pairs.iter().all(|(key, _)| text_of(key).is_some()) {
            return self.pairs(pairs);
        }
        self.bytes.push(b'{');
        for (index, (key, value)) in pairs.iter().enumerate() {
            self.comma(index);
            if let Some(key) = text_of(key) {
                self.text(&key)?;
            }
            self.bytes.push(b':');
            self.value(value)?;
        }
        self.bytes.push(b'}');
        Ok(())
    }

    fn pairs(&mut self, pairs: &[(Value, Value)]) -> Result<(), Error> {
        self.bytes.push(b'[');
        for (index, (key, value)) in pairs.iter().enumerate() {
            self.comma(index);
            self.bytes.push(b'[');
            self.value(key)?;
            self.bytes.push(b',');
            self.value(value)?;
            self.bytes.push(b']');
        }
        self.bytes.push(b']');
        Ok(())
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.bytes.push(b',');
        }
    }

    fn text(&mut self, text: &Text<'_>) -> Result<(), Error> {
        let text = match text {
            Text::Of(text) => text,
            Text::Made(text) => text.as_str(),
            Text::Bytes(bytes) => return self.base64(bytes),
        };
        self.make_room(text.len())?;
        serde_json::to_writer(&mut self.bytes, text).map_err(unwritable)
    }

    fn base64(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let length = bytes.len().div_ceil(3).saturating_mul(4);
        self.make_room(length)?;
        self.bytes.push(b'"');
        let start = self.bytes.len();
        self.bytes.resize(start + length, 0);
        let written = STANDARD.encode_slice(bytes, &mut self.bytes[start..]);
        self.bytes.truncate(start + written.map_err(unwritable)?);
        self.bytes.push(b'"');
        Ok(())
    }

    fn make_room(&self, more: usize) -> Result<(), Error> {
        if self.bytes.len().saturating_add(more) <= self.max_bytes {
            return Ok(());
        }
        Err(Error::internal(too_large(self.max_bytes)))
    }
}

/// The text of a single value.
enum Text<'v> {
    Of(&'v str),
    Made(String),
    /// It is not UTF-8.
    Bytes(&'v [u8]),
}

fn text_of(value: &Value) -> Option<Text<'_>> {
    Some(match value {
        Value::BulkString(bytes) | Value::BigNumber(bytes) => match str::from_utf8(bytes) {
            Ok(text) => Text::Of(text),
            Err(_) => Text::Bytes(bytes),
        },
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Text::Of(text),
        Value::Okay => Text::Of("OK"),
        Value::Nil => Text::Of("null"),
        Value::Int(integer) => Text::Made(integer.to_string()),
        Value::Boolean(boolean) => Text::Made(boolean.to_string()),
        Value::Double(double) => Text::Made(double.to_string().to_lowercase()),
        _ => return None,
    })
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("a value cannot be written as JSON").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::super::decoder::Decoder;
    use super::*;

    fn json(wire: &[u8]) -> Result<String, Error> {
        let value = Decoder::default().next(&mut &wire[..]).unwrap().unwrap();
        let mut body = Body::new(100);
        body.value(&value)?;
        Ok(String::from_utf8(body.into_bytes()).unwrap())
    }

    #[test]
    fn every_type_has_its_json() {
        let cases: [(&[u8], &str); 22] = [
            (b"_\r\n", "null"),
            (b"$-1\r\n", "null"),
            (b"*-1\r\n", "null"),
            (b"#t\r\n", "true"),
            (b":-9223372036854775808\r\n", "-9223372036854775808"),
            (b",2.5\r\n", "2.5"),
            (b",-1e300\r\n", "-1e+300"),
            (b",inf\r\n", r#""inf""#),
            (b",-inf\r\n", r#""-inf""#),
            (b",nan\r\n", r#""nan""#),
            (
                b"(12345678901234567890123\r\n",
                r#""12345678901234567890123""#,
            ),
            (b"+OK\r\n", r#""OK""#),
            (b"+PONG\r\n", r#""PONG""#),
            (b"$0\r\n\r\n", r#""""#),
            (b"$4\r\na\"\r\n\r\n", r#""a\"\r\n""#),
            (b"$3\r\na\0\xff\r\n", r#""YQD/""#),
            (b"=7\r\ntxt:abc\r\n", r#""abc""#),
            (b"*2\r\n:1\r\n*1\r\n_\r\n", "[1,[null]]"),
            (b"~2\r\n+a\r\n+b\r\n", r#"["a","b"]"#),
            (b"%2\r\n+a\r\n:1\r\n:2\r\n%0\r\n", r#"{"a":1,"2":{}}"#),
            (b"%1\r\n*1\r\n:1\r\n+x\r\n", r#"[[[1],"x"]]"#),
            (b"|1\r\n+ttl\r\n:1\r\n$1\r\na\r\n", r#""a""#),
        ];
        for (wire, expected) in cases {
            assert_eq!(json(wire).unwrap(), expected, "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn a_failure_within_a_reply_is_a_failure() {
        let error = json(b"*2\r\n:1\r\n-WRONGTYPE x\r\n").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unprocessable);
    }

    #[test]
    fn an_answer_beyond_the_limit_is_an_error() {
        assert!(json(&[b"$98\r\n", &[b'a'; 98][..], b"\r\n"].concat()).is_ok());
        assert!(json(&[b"$99\r\n", &[b'a'; 99][..], b"\r\n"].concat()).is_err());
        assert!(json(&[b"$90\r\n", &[255; 90][..], b"\r\n"].concat()).is_err());
        assert!(json(&[b"*60\r\n", &b":1\r\n".repeat(60)[..]].concat()).is_err());
    }
}
