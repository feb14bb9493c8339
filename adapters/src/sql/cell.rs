//! One value of a row, as a database gives it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Error;

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'c> {
    /// SQL's NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// An integer that may be larger.
    Unsigned(u64),
    /// A floating-point number. JSON has none that is infinite or not a number: that becomes null.
    Real(f64),
    /// A decimal number with all its digits; `NaN` and infinities become null in JSON.
    Decimal(&'c str),
    /// A text. What of it is not UTF-8 becomes U+FFFD, so that one bad value does not hide all others.
    Text(&'c [u8]),
    /// A JSON document.
    Json(&'c [u8]),
    /// Bytes: base64 where the format is a text.
    Bytes(&'c [u8]),
}

impl Cell<'_> {
    /// How many bytes it needs at least, once written.
    pub(super) fn len_min(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Decimal(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            _ => 1,
        }
    }

    /// Writes it as JSON.
    pub(crate) fn write_json(
        &self,
        out: &mut Vec<u8>,
        decimals_are_texts: bool,
    ) -> Result<(), Error> {
        match *self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Integer(integer) => serde_json::to_writer(out, &integer).map_err(unwritable)?,
            Self::Unsigned(integer) => serde_json::to_writer(out, &integer).map_err(unwritable)?,
            Self::Real(real) => serde_json::to_writer(out, &real).map_err(unwritable)?,
            Self::Decimal(text) if text.ends_with(|c: char| c.is_ascii_alphabetic()) => {
                out.extend_from_slice(b"null");
            }
            Self::Decimal(text) if decimals_are_texts => write_text(out, text.as_bytes())?,
            Self::Decimal(text) => out.extend_from_slice(as_json_number(text).as_bytes()),
            Self::Text(text) => write_text(out, text)?,
            Self::Json(json) => write_on_one_line(out, json),
            Self::Bytes(bytes) => write_base64(out, bytes)?,
        }
        Ok(())
    }

    /// Writes it as it is; NULL is nothing.
    pub(super) fn write_text(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Null => {}
            Self::Bool(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
            Self::Integer(integer) => out.extend_from_slice(integer.to_string().as_bytes()),
            Self::Unsigned(integer) => out.extend_from_slice(integer.to_string().as_bytes()),
            Self::Real(real) => out.extend_from_slice(real.to_string().as_bytes()),
            Self::Decimal(text) => out.extend_from_slice(text.as_bytes()),
            Self::Text(bytes) | Self::Json(bytes) | Self::Bytes(bytes) => {
                out.extend_from_slice(bytes)
            }
        }
    }
}

/// JSON has no leading zeros, which MySQL's ZEROFILL has.
fn as_json_number(decimal: &str) -> &str {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = decimal.as_bytes();
    let mut at = 0;
    while bytes.get(at) == Some(&b'0') && is_digit(bytes.get(at + 1)) {
        at += 1;
    }
    &decimal[at..]
}

/// Writes a text as JSON.
pub(super) fn write_text(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Error> {
    serde_json::to_writer(out, &*String::from_utf8_lossy(text)).map_err(unwritable)
}

/// Writes a JSON document as a part of another one, which may have to be one line. Within a text of JSON there
/// are no such characters, so that it means the same.
fn write_on_one_line(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    out.extend_from_slice(json);
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Writes bytes as base64 without quotes.
pub(super) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
    let start = out.len();
    // At most four bytes for three, the last three begun.
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD
        .encode_slice(bytes, &mut out[start..])
        .map_err(unwritable)?;
    out.truncate(start + written);
    Ok(())
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
    out.push(b'"');
    push_base64(out, bytes)?;
    out.push(b'"');
    Ok(())
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("a value cannot be written").with_source(error)
}
