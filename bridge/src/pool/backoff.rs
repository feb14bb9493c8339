//! When the next session may be opened after one could not be: exponential back-off with full jitter.
//!
//! One machine serves all workers of a pool for one kind of session. While all is well it lets
//! everybody open at once. After a failure one worker at a time may try, each time after a longer wait,
//! until a try succeeds: a backend that is down is never hammered, however many calls there are. A try
//! that hangs does not lock the others out: after [`CEILING_MAX`] the next one may begin. The
//! wait is drawn evenly from nothing to a ceiling that doubles, so that many clients of one backend
//! do not come back in step (Brooker, "Exponential Backoff And Jitter").

use std::time::{Duration, Instant};

/// The most that the first wait may be.
pub(super) const CEILING_MIN: Duration = Duration::from_millis(100);
/// The most that any wait may be.
pub(super) const CEILING_MAX: Duration = Duration::from_secs(10);

/// Who may try, and when.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// Rounds of tries that failed since the last success.
    failures: u32,
    /// When the next try may be made; there is one once a try has failed.
    retry_at: Option<Instant>,
    /// The one try that may run while the backend counts as down, and since when.
    trying: Option<(u64, Instant)>,
    tries: u64,
}

/// The leave to try once. It must be given back, by how the try ended.
#[derive(Debug)]
#[must_use]
pub(super) struct Try {
    number: u64,
    /// The round that it belongs to.
    failures: u32,
}

impl Backoff {
    /// When the next try may be made. While one is under way nobody knows: then it is after the longest
    /// wait that may follow it, or when that one counts as hung.
    pub(super) fn next_at(&self, now: Instant) -> Instant {
        let retry_at = self.retry_at.unwrap_or(now).max(now);
        match self.trying {
            Some((_, since)) => (now + self.ceiling())
                .min(since + CEILING_MAX)
                .max(retry_at),
            None => retry_at,
        }
    }

    /// Leave to try, or how long to wait first.
    pub(super) fn begin(&mut self, now: Instant) -> Result<Try, Duration> {
        let next_at = self.next_at(now);
        if now < next_at {
            return Err(next_at - now);
        }
        Ok(self.grant(now))
    }

    /// As [`begin`](Self::begin), without a wait for a try that somebody else has paced; one at a time
    /// all the same.
    pub(super) fn begin_probe(&mut self, now: Instant) -> Result<Try, Duration> {
        if self.trying.is_some() {
            return self.begin(now);
        }
        Ok(self.grant(now))
    }

    fn grant(&mut self, now: Instant) -> Try {
        self.tries += 1;
        if self.is_failing() {
            self.trying = Some((self.tries, now));
        }
        Try {
            number: self.tries,
            failures: self.failures,
        }
    }

    /// The backend is up: everybody may open again. Whether it had counted as down.
    pub(super) fn succeeded(&mut self, _: Try) -> bool {
        let was_failing = self.is_failing();
        self.failures = 0;
        self.retry_at = None;
        self.trying = None;
        was_failing
    }

    /// The backend is down. `random` is from 0 to 1. How long nobody tries.
    pub(super) fn failed(&mut self, ended: Try, now: Instant, random: f64) -> Duration {
        self.gave_up_number(ended.number);
        // Tries that began together fail together: that is one round, not several.
        if ended.failures >= self.failures {
            self.failures = self.failures.saturating_add(1);
            self.retry_at = Some(now + self.ceiling().mul_f64(random));
        }
        self.retry_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// The try ended in a way that says nothing of the backend.
    pub(super) fn gave_up(&mut self, ended: Try) {
        self.gave_up_number(ended.number);
    }

    fn gave_up_number(&mut self, number: u64) {
        self.trying = self.trying.filter(|(trying, _)| *trying != number);
    }

    /// Whether the last try failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    fn ceiling(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        (CEILING_MIN * (1 << doublings)).min(CEILING_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, CEILING_MAX, CEILING_MIN, Try};
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    #[test]
    fn while_all_is_well_everybody_may_try_at_once() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let tries: Vec<Try> = (0..8).map(|_| backoff.begin(now).unwrap()).collect();
        for one in tries {
            assert!(!backoff.succeeded(one));
        }
    }

    #[test]
    fn tries_that_fail_together_are_one_round() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let tries: Vec<Try> = (0..8).map(|_| backoff.begin(now).unwrap()).collect();
        let waits: Vec<Duration> = tries
            .into_iter()
            .map(|one| backoff.failed(one, now, 1.0))
            .collect();
        assert_eq!(waits, [CEILING_MIN; 8]);
    }

    #[test]
    fn the_ceiling_doubles_up_to_its_limit_and_falls_back_on_success() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        let mut fail = |backoff: &mut Backoff| {
            let one = backoff.begin(now).unwrap();
            let wait = backoff.failed(one, now, 1.0);
            now += wait;
            wait.as_millis()
        };
        let waits = [(); 9].map(|()| fail(&mut backoff));
        assert_eq!(
            waits,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        let one = backoff.begin(now).unwrap();
        assert!(backoff.succeeded(one));
        let one = backoff.begin(now).unwrap();
        assert_eq!(backoff.failed(one, now, 1.0), CEILING_MIN);
    }

    #[test]
    fn a_try_that_gives_up_lets_the_next_one_try() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let one = backoff.begin(now).unwrap();
        backoff.failed(one, now, 0.0);
        let one = backoff.begin(now).unwrap();
        assert_eq!(backoff.begin(now).unwrap_err(), CEILING_MIN);
        backoff.gave_up(one);
        let _again = backoff.begin(now).unwrap();
    }

    #[test]
    fn a_try_that_hangs_lets_the_next_one_try_after_the_limit_of_all_waits() {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        let first = backoff.begin(start).unwrap();
        backoff.failed(first, start, 0.0);
        let hangs = backoff.begin(start).unwrap();
        let almost = start + CEILING_MAX - Duration::from_millis(1);
        assert_eq!(backoff.begin(almost).unwrap_err(), Duration::from_millis(1));
        assert!(backoff.begin_probe(almost).is_err());
        let late = start + CEILING_MAX;
        let works = backoff.begin(late).unwrap();
        assert!(backoff.begin(late).is_err(), "still one at a time");
        // What has hung says nothing of the one that came after it.
        backoff.gave_up(hangs);
        assert!(backoff.begin(late).is_err());
        assert!(backoff.succeeded(works));
        let _anybody = backoff.begin(late).unwrap();
    }

    #[derive(Debug, Clone)]
    enum Step {
        Begin,
        /// How the oldest try under way ends.
        End(Ending),
        Pass(Duration),
    }

    #[derive(Debug, Clone, Copy)]
    enum Ending {
        Success,
        Failure(f64),
        NoMatter,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let ending = prop_oneof![
            1 => Just(Ending::Success),
            4 => (0.0..=1.0).prop_map(Ending::Failure),
            1 => Just(Ending::NoMatter),
        ];
        let step = prop_oneof![
            3 => Just(Step::Begin),
            3 => ending.prop_map(Step::End),
            2 => (0_u64..12_000).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Once a try has failed, and until one succeeds: at most one that began since is under way and
        /// has not hung, none begins before its time, and nobody is told to wait for longer than the limit.
        #[test]
        fn a_backend_that_is_down_is_tried_by_one_at_a_time(steps in steps()) {
            let (mut backoff, mut now) = (Backoff::default(), Instant::now());
            // Each with when it began, if that was while the backend counted as down.
            let mut under_way: Vec<(Try, Option<Instant>)> = Vec::new();
            let mut not_before = now;
            for step in steps {
                match step {
                    Step::Pass(time) => now += time,
                    Step::Begin => {
                        let is_down = backoff.is_failing();
                        match backoff.begin(now) {
                            Ok(one) => {
                                if is_down {
                                    prop_assert!(now >= not_before);
                                }
                                under_way.push((one, is_down.then_some(now)));
                            }
                            Err(wait) => prop_assert!(is_down && wait <= CEILING_MAX),
                        }
                    }
                    Step::End(_) if under_way.is_empty() => {}
                    Step::End(Ending::Success) => {
                        backoff.succeeded(under_way.remove(0).0);
                        // They belong to a time that is over.
                        under_way.iter_mut().for_each(|(_, began)| *began = None);
                    }
                    Step::End(Ending::Failure(random)) => {
                        let wait = backoff.failed(under_way.remove(0).0, now, random);
                        prop_assert!(backoff.is_failing() && wait <= CEILING_MAX);
                        not_before = now + wait;
                    }
                    Step::End(Ending::NoMatter) => backoff.gave_up(under_way.remove(0).0),
                }
                let counts = |began: Instant| now < began + CEILING_MAX;
                let count = under_way.iter().filter(|(_, began)| began.is_some_and(counts));
                prop_assert!(count.count() <= 1);
            }
        }
    }
}
