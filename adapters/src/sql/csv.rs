//! Comma-separated values as RFC 4180 has them: lines end with CR LF, and what holds a comma, a quote or
//! the end of a line is quoted. NULL is nothing, the empty text a pair of quotes.

use super::cell::{Cell, push_base64};

/// The first line.
pub(super) fn names<'n>(out: &mut Vec<u8>, names: impl Iterator<Item = &'n str>) {
    for (index, name) in names.enumerate() {
        cell(out, index, &Cell::Text(name.as_bytes()));
    }
    end_of_line(out);
}

/// The value of the column of this index.
pub(super) fn cell(out: &mut Vec<u8>, index: usize, cell: &Cell<'_>) {
    if index > 0 {
        out.push(b',');
    }
    match cell {
        Cell::Text(text) | Cell::Json(text) => {
            quoted(out, String::from_utf8_lossy(text).as_bytes());
        }
        // Base64 fits into the room that was made for it.
        Cell::Bytes(bytes) => drop(push_base64(out, bytes)),
        other => other.write_text(out),
    }
}

fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    let needs_quotes = |byte: &u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    let has_edges = text.first() == Some(&b' ') || text.last() == Some(&b' ');
    if !text.is_empty() && !has_edges && !text.iter().any(needs_quotes) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

pub(super) fn end_of_line(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}
