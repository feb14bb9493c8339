//! How requests or calls ended, and how long they took.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Two digits: nobody believes a third.
const DIGITS: u8 = 2;
/// Longer than anybody waits here; what takes longer counts as this.
const LONGEST_US: u64 = 600_000_000;

/// How one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It got what it asked for.
    Answered,
    /// It was told that there is no room, or no time.
    Refused,
    /// It got another answer, such as an error of the library.
    Other,
    /// Nobody waited any longer.
    GaveUp,
    /// The connection broke.
    Broken,
}

/// All that ended in a window.
#[derive(Debug)]
pub struct Tally {
    answered: Histogram<u64>,
    refused: Histogram<u64>,
    lag: Histogram<u64>,
    /// How many were sent.
    pub sent: u64,
    /// How many were answered in time.
    pub in_time: u64,
    /// How many got another answer.
    pub other: u64,
    /// On how many nobody waited any longer.
    pub gave_up: u64,
    /// How many lost their connection.
    pub broken: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let bounds = || Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        let histogram = || bounds().expect("two digits are a precision");
        Self {
            answered: histogram(),
            refused: histogram(),
            lag: histogram(),
            sent: 0,
            in_time: 0,
            other: 0,
            gave_up: 0,
            broken: 0,
        }
    }
}

impl Tally {
    /// Notes that one was sent so much later than intended.
    pub fn sent(&mut self, lag: Duration) {
        self.sent += 1;
        self.lag.saturating_record(micros(lag));
    }

    /// Notes that one ended; what took longer than `limit` was not in time.
    pub fn ended(&mut self, end: End, took: Duration, limit: Duration) {
        match end {
            End::Answered => {
                self.answered.saturating_record(micros(took));
                self.in_time += u64::from(took <= limit);
            }
            End::Refused => self.refused.saturating_record(micros(took)),
            End::Other => self.other += 1,
            End::GaveUp => self.gave_up += 1,
            End::Broken => self.broken += 1,
        }
    }

    /// The tally in numbers.
    pub fn summary(&self) -> Summary {
        let quantile = |times: &Histogram<u64>, quantile| {
            (!times.is_empty()).then(|| times.value_at_quantile(quantile) as f64 / 1e3)
        };
        let p99 = |times| quantile(times, 0.99);
        Summary {
            sent: self.sent,
            answered: self.answered.len(),
            in_time: self.in_time,
            answered_p50_ms: quantile(&self.answered, 0.5),
            answered_p99_ms: p99(&self.answered),
            refused: self.refused.len(),
            refused_p99_ms: p99(&self.refused),
            other: self.other,
            gave_up: self.gave_up,
            broken: self.broken,
            lag_p99_ms: p99(&self.lag),
        }
    }
}

/// A tally in numbers.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Summary {
    /// How many were sent.
    pub sent: u64,
    /// How many got what they asked for.
    pub answered: u64,
    /// How many of them in time.
    pub in_time: u64,
    /// The median time of those, in milliseconds.
    pub answered_p50_ms: Option<f64>,
    /// Its 99th percentile.
    pub answered_p99_ms: Option<f64>,
    /// How many were refused.
    pub refused: u64,
    /// The 99th percentile of what a refusal took, in milliseconds.
    pub refused_p99_ms: Option<f64>,
    /// How many got another answer.
    pub other: u64,
    /// On how many nobody waited any longer.
    pub gave_up: u64,
    /// How many lost their connection.
    pub broken: u64,
    /// How much later than intended they were sent.
    pub lag_p99_ms: Option<f64>,
}

impl Summary {
    /// Those that got no answer at all.
    pub fn lost(&self) -> u64 {
        let ended = self.answered + self.refused + self.other;
        self.sent.saturating_sub(ended)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_and_late_answers_are_not_in_time() {
        let ms = Duration::from_millis;
        let mut tally = Tally::default();
        (0..6).for_each(|_| tally.sent(ms(1)));
        tally.ended(End::Answered, ms(10), ms(20));
        tally.ended(End::Answered, ms(30), ms(20));
        tally.ended(End::Refused, ms(1), ms(20));
        tally.ended(End::Other, ms(1), ms(20));
        tally.ended(End::GaveUp, ms(20), ms(20));
        let summary = tally.summary();
        let p99_ms = summary.answered_p99_ms.unwrap_or_default();
        assert!((29.0..31.0).contains(&p99_ms), "{p99_ms}");
        assert_eq!((summary.answered, summary.in_time), (2, 1));
        assert_eq!((summary.refused, summary.other, summary.gave_up), (1, 1, 1));
        assert_eq!(summary.lost(), 2, "one gave up, one never ended");
    }
}
