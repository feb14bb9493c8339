//! PostgreSQL's arrays as texts, `{1,NULL,"a \"b\""}`, to JSON and back; and bytes as texts, `\x00ff`.

use serde_json::value::RawValue;

use crate::Error;
use crate::sql::Cell;

use super::types::{Type, unreadable};

/// PostgreSQL has arrays of at most so many dimensions.
const DEPTH_MAX: usize = 6;

/// Why a value cannot become one of PostgreSQL's, or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("holds a NUL character, which PostgreSQL cannot store in a text")]
    Nul,
    #[error("is an array in more than 6 dimensions")]
    Deep,
    #[error("is not JSON")]
    Json,
    #[error("has an element that is not base64")]
    Base64,
    #[error("is not hexadecimal; PostgreSQL's bytea_output must be hex")]
    Hex,
    #[error("is not written as an array")]
    Array,
}

impl Unfit {
    /// What the client is told of its parameter.
    pub(super) fn of(self, name: &str) -> Error {
        Error::unprocessable(format!("the parameter `{name}` {self}"))
    }

    /// What the client is told of a value of the database.
    pub(super) fn unreadable(self) -> Error {
        unreadable(self)
    }
}

/// Writes a JSON array as one of PostgreSQL's, whose elements are of this type.
pub(super) fn from_json(json: &str, element: Type, out: &mut Vec<u8>) -> Result<(), Unfit> {
    array_of(json, element, out, DEPTH_MAX)
}

fn array_of(json: &str, element: Type, out: &mut Vec<u8>, depth: usize) -> Result<(), Unfit> {
    if depth == 0 {
        return Err(Unfit::Deep);
    }
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| Unfit::Json)?;
    out.push(b'{');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let item = item.get();
        match item.as_bytes().first() {
            Some(b'n') => out.extend_from_slice(b"NULL"),
            Some(b'[') if element != Type::Json => array_of(item, element, out, depth - 1)?,
            Some(b'"') if element != Type::Json => text_of(item, element, out)?,
            _ => quoted(item.as_bytes(), out),
        }
    }
    out.push(b'}');
    Ok(())
}

fn text_of(json: &str, element: Type, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let text: String = serde_json::from_str(json).map_err(|_| Unfit::Json)?;
    if element == Type::Bytes {
        use base64::Engine;

        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        let mut hex = Vec::new();
        push_hex(&bytes.map_err(|_| Unfit::Base64)?, &mut hex);
        quoted(&hex, out);
        return Ok(());
    }
    if text.contains('\0') {
        return Err(Unfit::Nul);
    }
    quoted(text.as_bytes(), out);
    Ok(())
}

fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// Writes an array of PostgreSQL's as a JSON one.
pub(super) fn to_json(
    value: &[u8],
    element: Type,
    decimals_are_texts: bool,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut reader = Reader {
        rest: after_bounds(value),
        element,
        decimals_are_texts,
        text: Vec::new(),
        scratch: Vec::new(),
    };
    reader.read(out)
}

/// An array whose first index is not 1 says so first: `[0:1]={a,b}`.
fn after_bounds(value: &[u8]) -> &[u8] {
    let end = match value.first() {
        Some(b'[') => value.iter().position(|byte| *byte == b'='),
        _ => None,
    };
    end.map_or(value, |end| &value[end + 1..])
}

struct Reader<'v> {
    rest: &'v [u8],
    element: Type,
    decimals_are_texts: bool,
    /// The element that is read, without its quotes.
    text: Vec<u8>,
    scratch: Vec<u8>,
}

impl Reader<'_> {
    fn read(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut depth = 0_usize;
        while let Some((first, rest)) = self.rest.split_first() {
            match first {
                b'{' => {
                    depth += 1;
                    out.push(b'[');
                    self.rest = rest;
                }
                b'}' if depth > 0 => {
                    depth -= 1;
                    out.push(b']');
                    self.rest = rest;
                    if depth == 0 && rest.is_empty() {
                        return Ok(());
                    }
                }
                b',' => {
                    out.push(b',');
                    self.rest = rest;
                }
                _ if depth == 0 => break,
                b'"' => {
                    self.rest = rest;
                    self.quoted()?;
                    self.write(out)?;
                }
                _ => self.bare(out)?,
            }
        }
        Err(Unfit::Array.unreadable())
    }

    fn quoted(&mut self) -> Result<(), Error> {
        self.text.clear();
        let mut bytes = self.rest.iter().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(());
                }
                b'\\' => self.text.extend(bytes.next().map(|(_, byte)| *byte)),
                _ => self.text.push(*byte),
            }
        }
        Err(Unfit::Array.unreadable())
    }

    fn bare(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let ends = |byte: &u8| matches!(byte, b',' | b'}');
        let end = self.rest.iter().position(ends);
        let (bare, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        if bare.eq_ignore_ascii_case(b"NULL") {
            return Cell::Null.write_json(out, false);
        }
        self.text.clear();
        self.text.extend_from_slice(bare);
        self.write(out)
    }

    fn write(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let (element, texts) = (self.element, self.decimals_are_texts);
        element.convert(&self.text, texts, &mut self.scratch)?;
        element
            .cell(&self.text, &self.scratch)?
            .write_json(out, texts)
    }
}

/// Writes bytes as PostgreSQL reads them from a text.
pub(super) fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Reads bytes as PostgreSQL writes them.
pub(super) fn from_hex(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let digits = text.strip_prefix(b"\\x").ok_or(Unfit::Hex)?;
    if !digits.len().is_multiple_of(2) {
        return Err(Unfit::Hex);
    }
    out.reserve(digits.len() / 2);
    for pair in digits.chunks_exact(2) {
        out.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Ok(())
}

fn digit(byte: u8) -> Result<u8, Unfit> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(Unfit::Hex),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str, element: Type) -> Result<String, Error> {
        let mut out = Vec::new();
        to_json(text.as_bytes(), element, false, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn literal(json: &str, element: Type) -> Result<String, Unfit> {
        let mut out = Vec::new();
        from_json(json, element, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_array_becomes_json() {
        for (text, element, expected) in [
            ("{}", Type::Integer, "[]"),
            ("{1,NULL,-3}", Type::Integer, "[1,null,-3]"),
            ("{{1,2},{3,4}}", Type::Integer, "[[1,2],[3,4]]"),
            ("[0:1]={7,8}", Type::Integer, "[7,8]"),
            ("[-1:0][2:2]={{7},{8}}", Type::Integer, "[[7],[8]]"),
            ("{t,f}", Type::Bool, "[true,false]"),
            ("{1.50,NaN}", Type::Decimal, "[1.50,null]"),
            (
                r#"{a,"b c","\"\\",NULL,"NULL",""}"#,
                Type::Text,
                r#"["a","b c","\"\\",null,"NULL",""]"#,
            ),
            (r#"{"{\"a\": [1, 2]}"}"#, Type::Json, r#"[{"a": [1, 2]}]"#),
            (r#"{"\\x0001"}"#, Type::Bytes, r#"["AAE="]"#),
            (
                r#"{"2024-01-02 03:04:05+00"}"#,
                Type::Timestamp,
                r#"["2024-01-02T03:04:05Z"]"#,
            ),
        ] {
            assert_eq!(json(text, element).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_array_is_an_error() {
        for text in ["", "1", "{", "}", "{1}x", r#"{"a"#, "{1,2"] {
            assert!(json(text, Type::Text).is_err(), "{text}");
        }
    }

    #[test]
    fn json_becomes_an_array() {
        for (json, element, expected) in [
            ("[]", Type::Integer, "{}"),
            ("[1, null, 2.50]", Type::Decimal, r#"{"1",NULL,"2.50"}"#),
            ("[[1],[2]]", Type::Integer, r#"{{"1"},{"2"}}"#),
            (r#"["a\"b", "\\"]"#, Type::Text, r#"{"a\"b","\\"}"#),
            (
                r#"[{"a":1},[2],"x"]"#,
                Type::Json,
                r#"{"{\"a\":1}","[2]","\"x\""}"#,
            ),
            (r#"["AAE="]"#, Type::Bytes, r#"{"\\x0001"}"#),
            ("[true]", Type::Bool, r#"{"true"}"#),
        ] {
            assert_eq!(literal(json, element).unwrap(), expected, "{json}");
        }
        assert_eq!(literal("[[[[[[[1]]]]]]]", Type::Integer), Err(Unfit::Deep));
        assert_eq!(literal(r#"["\u0000"]"#, Type::Text), Err(Unfit::Nul));
        assert_eq!(literal(r#"["?"]"#, Type::Bytes), Err(Unfit::Base64));
    }
}
