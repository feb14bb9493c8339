//! When a breaker opens and closes: a pure state machine, in time that is given to it.
//!
//! ```text
//!            five opens in a row failed,
//!            or half of at least 20 calls in 10 s
//!   Closed ─────────────────────────────────────▶ Open
//!      ▲                                          │  ▲
//!      │ two calls succeeded      its time is over,  │ a call or an open failed
//!      │                            a call comes  ▼  │
//!      └────────────────────────────────────── HalfOpen
//! ```
//!
//! The pattern is Nygard's ("Release It!"), with a failure rate over a sliding window as in Hystrix.
//! Calls that succeed are not told to the machine one by one: it is given the number of all that did,
//! which the workers count anyway.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// So many tries to open a session must fail in a row, without one, or a call, that succeeds in between.
pub(super) const OPENS_FAILED: u32 = 5;
/// Over how long the failure rate is taken.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// With fewer calls than this in the window there is no rate.
pub(super) const CALLS_MIN: u64 = 20;
/// How often the counts are noted, of whose differences the rate is made.
pub(super) const MARK_EVERY: Duration = Duration::from_secs(1);
/// How long it stays open at first, and at most; half of that or more, at random.
pub(super) const OPEN_MIN: Duration = Duration::from_secs(2);
/// See [`OPEN_MIN`].
pub(super) const OPEN_MAX: Duration = Duration::from_secs(30);
/// So many calls must succeed before it closes.
pub(super) const PROBES: u32 = 2;
/// A probe that has not ended after this does not keep the next one waiting.
pub(super) const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// Whether a pool's backend is believed to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It is: calls are let in.
    Closed,
    /// It is not: calls are refused.
    Open,
    /// Nobody knows: one call at a time is let in to find out.
    HalfOpen,
}

impl BreakerState {
    /// As the log and the status page write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A stretch of time in one state. What began in another one says nothing of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pool) struct Episode {
    pub(in crate::pool) number: u64,
    pub(in crate::pool) state: BreakerState,
}

/// Why it opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    OpensFailed(u32),
    Rate { failed: u64, calls: u64 },
    ProbeFailed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpensFailed(count) => {
                write!(f, "{count} sessions in a row could not be opened")
            }
            Self::Rate { failed, calls } => {
                let window = WINDOW.as_secs();
                write!(
                    f,
                    "{failed} of {calls} calls in {window} s failed because of the backend"
                )
            }
            Self::ProbeFailed => write!(f, "the backend still fails"),
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    Opened { reason: Reason, open_for: Duration },
    HalfOpened,
    Closed,
}

/// How a call or an open ended, as far as the backend is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pool) enum Ended {
    CallSucceeded,
    CallFailed,
    OpenFailed,
    /// It says nothing: the library panicked, or the caller left.
    NoMatter,
}

/// What has succeeded so far, in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Succeeded {
    pub(super) calls: u64,
    /// Sessions that were opened.
    pub(super) opens: u64,
}

/// The counts at one moment of an episode.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Duration,
    succeeded: u64,
    failed: u64,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open {
        until: Duration,
    },
    HalfOpen {
        since: Duration,
        successes: u32,
        next_probe: Duration,
    },
}

/// The machine. Times are since some moment in the past and never go back; `succeeded` is what has
/// succeeded so far; `random` is from 0 to 1.
#[derive(Debug)]
pub(super) struct Machine {
    phase: Phase,
    episode: u64,
    /// How often it has opened since it was last closed.
    openings: u32,
    /// Opens that failed in a row, and the successes at the last of them.
    opens_failed: u32,
    succeeded_then: Succeeded,
    /// Failures in this episode.
    failed: u64,
    /// At most one a second, back to the beginning of the window.
    marks: VecDeque<Mark>,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Closed,
            episode: 0,
            openings: 0,
            opens_failed: 0,
            succeeded_then: Succeeded::default(),
            failed: 0,
            marks: VecDeque::new(),
        }
    }

    pub(super) fn episode(&self) -> Episode {
        Episode {
            number: self.episode,
            state: match self.phase {
                Phase::Closed => BreakerState::Closed,
                Phase::Open { .. } => BreakerState::Open,
                Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            },
        }
    }

    /// When the next call may be let in; `None`: at any time.
    pub(super) fn next_call_at(&self) -> Option<Duration> {
        match self.phase {
            Phase::Closed => None,
            Phase::Open { until } => Some(until),
            Phase::HalfOpen { next_probe, .. } => Some(next_probe),
        }
    }

    /// Lets a call in, or says how long it must wait.
    pub(super) fn admit(&mut self, now: Duration) -> Result<Option<Transition>, Duration> {
        match &mut self.phase {
            Phase::Closed => Ok(None),
            Phase::Open { until } if now < *until => Err(*until - now),
            Phase::Open { .. } => {
                self.enter(Phase::HalfOpen {
                    since: now,
                    successes: 0,
                    next_probe: now + PROBE_PATIENCE,
                });
                Ok(Some(Transition::HalfOpened))
            }
            Phase::HalfOpen { next_probe, .. } if now < *next_probe => Err(*next_probe - now),
            Phase::HalfOpen { next_probe, .. } => {
                *next_probe = now + PROBE_PATIENCE;
                Ok(None)
            }
        }
    }

    /// The call that was let in last does not come: another one may.
    pub(super) fn unsent(&mut self, now: Duration) {
        if let Phase::HalfOpen { next_probe, .. } = &mut self.phase {
            *next_probe = now;
        }
    }

    /// A call that was let in and came at `submitted` is not run after all: if it is one of those that
    /// find out, another one may.
    pub(super) fn unrun(&mut self, submitted: Duration, now: Duration) {
        // Before that, nobody was let in for at least four times as long; and a call may have waited a
        // moment between its submission and the door.
        if let Phase::HalfOpen { since, .. } = self.phase
            && submitted + OPEN_MIN / 8 >= since
        {
            self.unsent(now);
        }
    }

    /// Something that began in `episode` has ended.
    pub(super) fn ended(
        &mut self,
        episode: Episode,
        ended: Ended,
        now: Duration,
        succeeded: Succeeded,
        random: f64,
    ) -> Option<Transition> {
        if episode.number != self.episode {
            return None;
        }
        match &mut self.phase {
            Phase::Open { .. } => None,
            Phase::Closed => {
                let reason = self.why_open(ended, now, succeeded)?;
                Some(self.open(reason, now, random))
            }
            Phase::HalfOpen {
                successes,
                next_probe,
                ..
            } => match ended {
                Ended::CallFailed | Ended::OpenFailed => {
                    Some(self.open(Reason::ProbeFailed, now, random))
                }
                Ended::CallSucceeded if *successes + 1 >= PROBES => {
                    self.openings = 0;
                    self.enter(Phase::Closed);
                    Some(Transition::Closed)
                }
                Ended::CallSucceeded | Ended::NoMatter => {
                    *successes += u32::from(ended == Ended::CallSucceeded);
                    *next_probe = now;
                    None
                }
            },
        }
    }

    /// Notes the counts, now and then.
    pub(super) fn mark(&mut self, now: Duration, succeeded: u64) {
        if let Some(last) = self.marks.back() {
            let since = now.saturating_sub(last.at);
            if since < MARK_EVERY {
                return;
            }
            if since > WINDOW {
                // Nobody knows when in between the calls were that are in the difference.
                self.marks.clear();
            }
        }
        self.marks.push_back(Mark {
            at: now,
            succeeded,
            failed: self.failed,
        });
        // The first one that is kept is the last one at or before the beginning of the window.
        while let Some(second) = self.marks.get(1)
            && second.at + WINDOW <= now
        {
            self.marks.pop_front();
        }
    }

    fn why_open(&mut self, ended: Ended, now: Duration, succeeded: Succeeded) -> Option<Reason> {
        if !matches!(ended, Ended::CallFailed | Ended::OpenFailed) {
            return None;
        }
        self.mark(now, succeeded.calls);
        self.failed += 1;
        if ended == Ended::OpenFailed {
            if succeeded != self.succeeded_then {
                self.opens_failed = 0;
            }
            self.opens_failed += 1;
            self.succeeded_then = succeeded;
            if self.opens_failed >= OPENS_FAILED {
                return Some(Reason::OpensFailed(self.opens_failed));
            }
        }
        let base = self.marks.front()?;
        let failed = self.failed - base.failed;
        let calls = failed + succeeded.calls.saturating_sub(base.succeeded);
        (calls >= CALLS_MIN && failed * 2 >= calls).then_some(Reason::Rate { failed, calls })
    }

    fn open(&mut self, reason: Reason, now: Duration, random: f64) -> Transition {
        self.openings = self.openings.saturating_add(1);
        let doublings = (self.openings - 1).min(16);
        let ceiling = (OPEN_MIN * (1 << doublings)).min(OPEN_MAX);
        let open_for = ceiling.mul_f64(0.5 + random / 2.0);
        self.enter(Phase::Open {
            until: now + open_for,
        });
        Transition::Opened { reason, open_for }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.episode += 1;
        self.opens_failed = 0;
        self.failed = 0;
        self.marks.clear();
    }
}

#[cfg(test)]
mod tests;
