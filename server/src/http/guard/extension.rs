//! Chunk extensions (RFC 9112 section 7.1.1): `*( ";" name [ "=" ( token / quoted-string ) ] )`.
//!
//! Nothing uses them, but a server that skips them carelessly can be made to see a line end where
//! another sees none. So they are held to their grammar, byte by byte.

use super::request_line::is_token_byte;
use super::violation::Violation;

/// Where in an extension the next byte belongs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extension {
    /// White space before a `;`.
    Before,
    /// After the `;`: white space, then the name.
    NameStart,
    Name,
    /// White space after a name: `=` or `;` follows.
    AfterName,
    /// After the `=`: white space, then the value.
    ValueStart,
    Value,
    Quoted,
    /// After a backslash in a quoted value.
    Escaped,
    /// After the closing quote.
    QuoteEnd,
}

impl Extension {
    /// The most bytes of extensions that a message may have.
    pub(super) const BYTES_MAX: usize = 1024;

    /// True where the line may end.
    pub(super) fn may_end(self) -> bool {
        matches!(
            self,
            Extension::Name | Extension::Value | Extension::QuoteEnd
        )
    }

    /// The state after `byte`.
    pub(super) fn step(self, byte: u8) -> Result<Extension, Violation> {
        use Extension as E;
        let token = is_token_byte(byte);
        let space = matches!(byte, b' ' | b'\t');
        let text = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
        match (self, byte) {
            (E::Before | E::Name | E::AfterName | E::Value | E::QuoteEnd, b';') => Ok(E::NameStart),
            (E::Before | E::NameStart | E::AfterName | E::ValueStart, _) if space => Ok(self),
            (E::NameStart | E::Name, _) if token => Ok(E::Name),
            (E::Name, _) if space => Ok(E::AfterName),
            (E::Name | E::AfterName, b'=') => Ok(E::ValueStart),
            (E::ValueStart | E::Value, _) if token => Ok(E::Value),
            (E::ValueStart, b'"') => Ok(E::Quoted),
            (E::Value | E::QuoteEnd, _) if space => Ok(E::Before),
            (E::Quoted, b'"') => Ok(E::QuoteEnd),
            (E::Quoted, b'\\') => Ok(E::Escaped),
            (E::Quoted | E::Escaped, _) if text => Ok(E::Quoted),
            _ => Err(Violation::bad_request(
                "RFC 9112 section 7.1.1",
                "A chunk extension is malformed. Send none, or ;name=value.",
            )),
        }
    }
}
