//! The least rate at which a client must send or read.

use std::time::Duration;

/// So many bytes per second on average, once a time of grace is over; counted from the start, so that
/// who was quick may rest. The rule of Kestrel's `MinDataRate`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MinRate {
    /// Zero: there is no such rate.
    pub(crate) bytes_per_second: usize,
    pub(crate) grace: Duration,
}

impl MinRate {
    /// How long after the start a client that has moved so many bytes falls below the rate; `None`
    /// for never.
    pub(super) fn limit(&self, bytes: u64) -> Option<Duration> {
        let rate = self.bytes_per_second as u64;
        let seconds = Duration::from_secs(bytes.checked_div(rate)?);
        // Below a second: less than the rate, so no overflow.
        let nanos = (bytes % rate) as u128 * 1_000_000_000 / u128::from(rate);
        let rest = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        Some(self.grace.max(seconds + rest).min(LONGEST))
    }
}

/// So that adding it to the clock cannot overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_buy_time_once_the_grace_is_over() {
        let rate = MinRate {
            bytes_per_second: 240,
            grace: Duration::from_secs(5),
        };
        let secs = Duration::from_secs_f64;
        for (bytes, limit) in [
            (0, secs(5.0)),
            (1200, secs(5.0)),
            (1260, secs(5.25)),
            (240_000, secs(1000.0)),
            (u64::MAX, LONGEST),
        ] {
            assert_eq!(rate.limit(bytes), Some(limit), "{bytes}");
        }
    }

    #[test]
    fn no_rate_is_no_limit() {
        let rate = MinRate {
            bytes_per_second: 0,
            grace: Duration::ZERO,
        };
        assert_eq!(rate.limit(0), None);
    }
}
