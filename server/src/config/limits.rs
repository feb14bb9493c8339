//! Readers that keep a value within its limits, and say the limits in the file's own terms.

use std::ops::RangeInclusive;
use std::time::Duration;

use pontoon_adapters::settings::{Settings, format_duration, format_size};
use pontoon_bridge::Spin;

use super::keys;

/// A count within its range, or its default.
pub(super) fn count(
    settings: &mut Settings<'_>,
    key: &'static str,
    range: RangeInclusive<i64>,
) -> Option<usize> {
    let count = settings.integer_or_default(key, range)?;
    usize::try_from(count).ok()
}

/// A count within its range of a key that is there.
pub(super) fn optional_count(
    settings: &mut Settings<'_>,
    key: &'static str,
    range: RangeInclusive<i64>,
) -> Option<usize> {
    let count = settings.integer(key, range)?;
    usize::try_from(count).ok()
}

/// A duration within its range, or its default.
pub(super) fn duration(
    settings: &mut Settings<'_>,
    key: &'static str,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    let duration = settings.duration_or_default(key)?;
    within(settings, key, duration, range, |duration| {
        format_duration(*duration)
    })
}

/// A duration within its range of a key that is there.
pub(super) fn optional_duration(
    settings: &mut Settings<'_>,
    key: &'static str,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    let duration = settings.duration(key)?;
    within(settings, key, duration, range, |duration| {
        format_duration(*duration)
    })
}

/// A size within its range, or its default.
pub(super) fn size(
    settings: &mut Settings<'_>,
    key: &'static str,
    range: RangeInclusive<u64>,
) -> Option<usize> {
    let bytes = settings.size_bytes_or_default(key)?;
    size_within(settings, key, bytes, range)
}

/// The size as a `usize`, if it is within the range.
pub(super) fn size_within(
    settings: &mut Settings<'_>,
    key: &'static str,
    bytes: u64,
    range: RangeInclusive<u64>,
) -> Option<usize> {
    let bytes = within(settings, key, bytes, range, |bytes| format_size(*bytes))?;
    usize::try_from(bytes).ok()
}

/// How long to look for work before sleeping; `absent` without the key.
pub(super) fn spin(settings: &mut Settings<'_>, absent: Option<Spin>) -> Option<Spin> {
    if !settings.contains("spin") {
        return absent;
    }
    let words = [("auto", Spin::Auto), ("off", Spin::Off)];
    settings.word_or_duration("spin", &words, keys::SPIN, Spin::For)
}

fn within<T: PartialOrd>(
    settings: &mut Settings<'_>,
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Option<T> {
    if range.contains(&value) {
        return Some(value);
    }
    let (min, max, value) = (show(range.start()), show(range.end()), show(&value));
    settings.invalid(
        key,
        format!("`{key}` must be from {min} to {max}, not {value}"),
    );
    None
}
