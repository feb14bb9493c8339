//! The trailer section of a chunked body (RFC 9112 section 7.1.2), held back until it is complete.

use super::Limits;
use super::fields::explain_field_line;
use super::head::check_not_folded;
use super::line::LineScan;
use super::violation::Violation;

/// The most bytes that a trailer section may have, its closing empty line included.
const BYTES_MAX: usize = 8 * 1024;

/// Fields that change how a message is framed or routed must come before it.
const FORBIDDEN: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"host"];

/// A trailer section being read.
#[derive(Debug, Default)]
pub(super) struct Trailers {
    lines: LineScan,
    fields: usize,
}

impl Trailers {
    /// Looks at the section's bytes, from its first on: its length once it is complete and good.
    pub(super) fn advance(
        &mut self,
        section: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, Violation> {
        // hyper holds trailers to its limit for heads, and must find them below it.
        let bytes_max = BYTES_MAX.min(limits.head_bytes.saturating_sub(1));
        loop {
            let line = self.lines.next(section, bytes_max)?;
            let read = if line.is_some() {
                self.lines.line_start()
            } else {
                section.len()
            };
            if read > bytes_max {
                return Err(Violation::fields_too_large(format!(
                    "The trailer section is larger than {bytes_max} bytes. Send less."
                )));
            }
            let Some(line) = line else {
                return Ok(None);
            };
            if line.is_empty() {
                return Ok(Some(read));
            }
            check_field(&section[line])?;
            self.fields += 1;
            if self.fields > limits.header_count {
                return Err(Violation::fields_too_large(format!(
                    "The trailer section has more than {} fields. Send fewer.",
                    limits.header_count
                )));
            }
        }
    }
}

fn check_field(line: &[u8]) -> Result<(), Violation> {
    check_not_folded(line)?;
    if let Some(violation) = explain_field_line(line) {
        return Err(violation);
    }
    let name = line.split(|byte| *byte == b':').next().unwrap_or(line);
    if FORBIDDEN
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
    {
        return Err(Violation::bad_request(
            "RFC 9110 section 6.5.1",
            "The trailer section holds a field that frames or routes the message. Send it in \
             the head.",
        ));
    }
    Ok(())
}
