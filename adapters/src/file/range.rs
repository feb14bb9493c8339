//! Which part of a file a `Range` header asks for (RFC 9110, section 14).

use std::ops::Range;

/// What a request wants of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it; also when the header cannot be read, or asks for several parts.
    Whole,
    /// These bytes, of which there is at least one.
    Part(Range<u64>),
    /// Bytes that the file does not have.
    Missing,
}

/// Reads the header for a file of this many bytes.
pub(super) fn wanted(header: &str, length: u64) -> Wanted {
    parse(header, length).unwrap_or(Wanted::Whole)
}

fn parse(header: &str, length: u64) -> Option<Wanted> {
    let (unit, ranges) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = ranges.trim().split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?;
        // Without its last bytes there is nothing of an empty file to send, and so all of it.
        return match (suffix, length) {
            (0, _) => Some(Wanted::Missing),
            (_, 0) => Some(Wanted::Whole),
            (suffix, length) => Some(Wanted::Part(length.saturating_sub(suffix)..length)),
        };
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    if first >= length {
        return Some(Wanted::Missing);
    }
    Some(Wanted::Part(first..last.saturating_add(1).min(length)))
}

/// Digits only; what does not fit into 64 bits is beyond the end of any file.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_a_part() {
        assert_eq!(wanted("bytes=0-0", 10), Wanted::Part(0..1));
        assert_eq!(wanted("bytes=2-5", 10), Wanted::Part(2..6));
        assert_eq!(wanted("bytes=2-", 10), Wanted::Part(2..10));
        assert_eq!(wanted("bytes=2-999", 10), Wanted::Part(2..10));
        assert_eq!(wanted("bytes=-3", 10), Wanted::Part(7..10));
        assert_eq!(wanted("bytes=-30", 10), Wanted::Part(0..10));
        assert_eq!(wanted("Bytes= 2-5 ", 10), Wanted::Part(2..6));
        let huge = "99999999999999999999999";
        assert_eq!(wanted(&format!("bytes=1-{huge}"), 10), Wanted::Part(1..10));
        assert_eq!(wanted(&format!("bytes=-{huge}"), 10), Wanted::Part(0..10));
    }

    #[test]
    fn beyond_the_end_there_is_nothing() {
        assert_eq!(wanted("bytes=10-", 10), Wanted::Missing);
        assert_eq!(wanted("bytes=10-12", 10), Wanted::Missing);
        assert_eq!(wanted("bytes=0-", 0), Wanted::Missing);
        assert_eq!(wanted("bytes=-0", 10), Wanted::Missing);
        assert_eq!(wanted("bytes=-5", 0), Wanted::Whole);
        let huge = format!("bytes={}-", "9".repeat(40));
        assert_eq!(wanted(&huge, u64::MAX), Wanted::Missing);
    }

    #[test]
    fn what_cannot_be_read_asks_for_the_whole() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=1-2,4-5",
            "lines=1-2",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes=0x1-2",
            "bytes=1 -2",
        ] {
            assert_eq!(wanted(header, 10), Wanted::Whole, "{header}");
        }
    }
}
