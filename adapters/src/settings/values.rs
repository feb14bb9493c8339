//! The texts that stand for a duration or a size, and why a text does not.

use std::time::Duration;

use bytesize::ByteSize;

/// No setting may be longer: adding a duration to the clock must never overflow it.
pub(super) const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// No setting may be larger: above this, a size cannot be told from its neighbours in the
/// arithmetic of the size parser.
pub(super) const SIZE_BYTES_MAX: u64 = 1 << 53;

/// Why a text is not the value it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong, as the end of a sentence that begins with the key.
    pub(super) problem: String,
    pub(super) help: String,
}

/// Reads `250ms`, `30s`, `5m`, `1h 30m`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, Wrong> {
    if text.trim().parse::<f64>().is_ok() {
        return Err(duration_without_unit(text.trim()));
    }
    let duration = humantime::parse_duration(text).map_err(|_| Wrong {
        problem: format!("is not a duration: `{text}`"),
        help: "write a number and its unit: \"250ms\", \"30s\", \"5m\", \"1h\", \"1day\""
            .to_owned(),
    })?;
    if duration > DURATION_MAX {
        return Err(Wrong {
            problem: format!("is too long: `{text}`"),
            help: "durations go up to \"365days\"; note that `M` is months and `m` is minutes"
                .to_owned(),
        });
    }
    Ok(duration)
}

/// The answer to a bare number where a duration belongs.
pub(super) fn duration_without_unit(number: &str) -> Wrong {
    Wrong {
        problem: format!("is a duration and needs a unit, {number} has none"),
        help: format!("write \"{number}s\" for seconds or \"{number}ms\" for milliseconds"),
    }
}

/// Reads `1MiB`, `64KB`, `1.5GiB`, `4096`.
pub(super) fn parse_size(text: &str) -> Result<u64, Wrong> {
    let size = text.parse::<ByteSize>().map_err(|_| Wrong {
        problem: format!("is not a size: `{text}`"),
        help: "write a number and its unit: \"64KiB\", \"1MiB\", \"2GB\"; or bytes as an integer"
            .to_owned(),
    })?;
    check_size(size.as_u64(), text)
}

/// Refuses what no machine has.
pub(super) fn check_size(bytes: u64, text: &str) -> Result<u64, Wrong> {
    if bytes > SIZE_BYTES_MAX {
        return Err(Wrong {
            problem: format!("is too large: `{text}`"),
            help: format!("sizes go up to {}", format_size(SIZE_BYTES_MAX)),
        });
    }
    Ok(bytes)
}

/// The duration as a config file would say it: `1m 30s`.
pub fn format_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// The size as a config file would say it, exactly: `8KiB`, or `1000` where no unit divides it.
pub fn format_size(bytes: u64) -> String {
    let units = [
        ("PiB", 50),
        ("TiB", 40),
        ("GiB", 30),
        ("MiB", 20),
        ("KiB", 10),
    ];
    let fits = |&(_, shift): &(&str, u32)| bytes > 0 && bytes.is_multiple_of(1 << shift);
    match units.into_iter().find(fits) {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("20us"), Ok(Duration::from_micros(20)));
        assert_eq!(parse_duration("50µs"), Ok(Duration::from_micros(50)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        for text in [
            "",
            "30",
            "1.5",
            "-1s",
            "s",
            "30 parsecs",
            "2years",
            "99999999999999999999s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_a_number_and_a_unit() {
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        assert_eq!(parse_size("1.5KiB"), Ok(1536));
        assert_eq!(parse_size("64KB"), Ok(64_000));
        assert_eq!(parse_size("4096"), Ok(4096));
        for text in [
            "", "MiB", "-1KiB", "1 parsec", "20000PiB", "1e99MiB", "infMiB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_formatted_value_reads_back_as_itself() {
        for bytes in [0, 1, 1000, 1024, 1536, 8 << 10, 2 << 20, 1 << 53] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
        for ms in [1, 250, 1500, 90_000, 86_400_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }
}
