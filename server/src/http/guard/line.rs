//! Lines of a head or of a trailer section, found as their bytes arrive.
//!
//! A line ends in CRLF and holds no control byte but HTAB. The scan remembers how far it came,
//! so a head that arrives byte by byte is still looked at once. Its verdict depends on the bytes
//! only, never on how they were split: each error belongs to the first byte that makes it so.

use std::ops::Range;

use super::violation::Violation;

/// How far the lines of a section have been read. Offsets count from the section's first byte.
#[derive(Debug, Default)]
pub(super) struct LineScan {
    line_start: usize,
    /// Everything before this is known to be plain.
    scanned: usize,
}

impl LineScan {
    /// Where the line being read starts.
    pub(super) fn line_start(&self) -> usize {
        self.line_start
    }

    /// The next complete line of `section`, without its CRLF; nothing while it is incomplete.
    ///
    /// Only line content before `end` is looked at. The CRLF may lie at `end - 1`: the caller
    /// then sees from [`LineScan::line_start`] that the line reaches past it.
    pub(super) fn next(
        &mut self,
        section: &[u8],
        end: usize,
    ) -> Result<Option<Range<usize>>, Violation> {
        let window = &section[..end.min(section.len())];
        let plain = find_special(&window[self.scanned..]);
        let Some(plain) = plain else {
            self.scanned = window.len();
            return Ok(None);
        };
        let at = self.scanned + plain;
        self.scanned = at;
        match (section[at], section.get(at + 1)) {
            (b'\r', None) => Ok(None),
            (b'\r', Some(b'\n')) => {
                let line = self.line_start..at;
                self.line_start = at + 2;
                self.scanned = at + 2;
                Ok(Some(line))
            }
            (special, _) => Err(not_a_line(special)),
        }
    }
}

/// Where the first special byte is.
fn find_special(bytes: &[u8]) -> Option<usize> {
    // Without an early exit in it, the test of a block becomes a few vector instructions.
    const BLOCK_BYTES: usize = 16;
    let any = |block: &[u8]| {
        block
            .iter()
            .fold(false, |any, byte| any | is_special(*byte))
    };
    let plain = bytes
        .chunks_exact(BLOCK_BYTES)
        .take_while(|block| !any(block))
        .count();
    let rest = &bytes[plain * BLOCK_BYTES..];
    let at = rest.iter().position(|byte| is_special(*byte))?;
    Some(plain * BLOCK_BYTES + at)
}

/// True for CR, LF, and what must not occur in a head at all.
fn is_special(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

#[cold]
fn not_a_line(byte: u8) -> Violation {
    match byte {
        b'\r' => Violation::bad_request(
            "RFC 9112 section 2.2",
            "A line holds a carriage return (CR) with no line feed (LF) after it. End every line \
             with CR LF.",
        ),
        b'\n' => Violation::bad_request(
            "RFC 9112 section 2.2",
            "A line ends in a line feed (LF) with no carriage return (CR) before it. End every \
             line with CR LF.",
        ),
        control => Violation::bad_request(
            "RFC 9110 section 5.5",
            format!(
                "The head or trailer of the message holds the control byte 0x{control:02x}. \
                 Remove or encode it; if TLS was meant, use the https port."
            ),
        ),
    }
}
