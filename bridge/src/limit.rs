//! How many calls of a pool should run at once, found out while it serves (`threads = "auto"`).
//!
//! A [`Limiter`] sits on a limit, its home, and now and then tries another one for a moment: a little
//! more, then a little less. It compares what the pool gets done at both, in turns, so that whatever
//! else changes hits both alike, and for as long as it takes to tell them apart. It goes where more is
//! done, and to the smaller one if the larger one gains next to nothing. Steps get larger while it moves
//! and smaller where it stays, and there it rests between tries, for longer each time.
//!
//! It learns only while calls wait. Without a queue the limit does not limit anything: what is done then
//! says how many calls came, and the limit stays as it is, be it for a moment or for a night.
//!
//! No clock, no threads, no chance: the same windows give the same limits. Whoever has a pool calls
//! [`observe`](Limiter::observe) about every 100 ms and lets as many calls run as it says.
//!
//! # Where it comes from
//!
//! Hill climbing on throughput is what .NET's thread pool does (J. L. Hellerstein, V. Morrison,
//! E. Eilebrecht, *Applying control theory in the real world: experience with building a controller for
//! the .NET thread pool*, 2009); to double at first, and to ignore times in which too few calls came, is
//! BBR's (N. Cardwell and others, *BBR: congestion-based congestion control*, 2016). When a difference is
//! believed is A. Wald's sequential test (*Sequential tests of statistical hypotheses*, 1945); how much
//! chance there is in a count of calls follows from their service times by renewal theory (D. R. Cox,
//! *Renewal theory*, 1962). It does not take a longer service time for overload, as TCP Vegas and
//! Netflix's limits do. `docs/concurrency-limit.md` shows how all of them fare.

mod trial;

use std::time::Duration;
use trial::{Arm, Block, Trial, Verdict};

/// A step is the natural logarithm of the ratio of two limits that are compared: two to one at most, 15 %
/// (but one call) at least.
const STEP_MAX: f64 = std::f64::consts::LN_2;
const STEP_MIN: f64 = 0.14;
/// If two limits cannot be told apart, the step grows until one is half as much again as the other.
const STEP_UNDECIDED_MAX: f64 = 0.405;
/// What a step is multiplied with after a move, or where nothing was decided, and where home was kept.
const LARGER: f64 = 1.5;
const SMALLER: f64 = 0.5;
/// How fast it is tried again whether smaller steps can be told apart.
const FINER: f64 = 0.9;

/// A rest is so many times as long as the trials before it: at first, and at most. It doubles each time
/// that home was kept.
const REST_MIN: u32 = 2;
const REST_MAX: u32 = 16;
/// The shortest and the longest rest, in windows.
const REST_WINDOWS_MIN: u32 = 10;
const REST_WINDOWS_MAX: u32 = 300;

/// A longer window is of a process that was not running.
const LENGTH_MAX: Duration = Duration::from_secs(10);
/// So many windows without a queue end a trial: what is compared must not be hours apart.
const DRY_WINDOWS_MAX: u32 = 20;
/// If fewer calls run than this part of the limit, it is not the limit that keeps calls waiting.
const FULL: f64 = 0.8;

/// What a pool saw since it last asked, about 100 ms ago.
///
/// Calls that have run for longer than the pool believes in (`stuck_after`) count nowhere: neither as
/// running nor, should they ever return, as completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// How long it was.
    pub length: Duration,
    /// Calls that ended in it, in whatever way.
    pub completed: u64,
    /// The mean service time of these calls, or of a fair sample of them: from the beginning of the
    /// foreign code to its end. Zero if there are none.
    pub service: Duration,
    /// The root of the mean square of the same times, which says how different they are.
    pub service_rms: Duration,
    /// How long calls ran in this window, added up over all of them: `busy / length` is the mean number
    /// of running calls.
    pub busy: Duration,
    /// Calls that waited at its end.
    pub waiting: u64,
}

impl Window {
    /// Whether the limit kept calls waiting.
    fn is_full(&self, limit: usize) -> bool {
        let running = self.busy.as_secs_f64() / self.length.as_secs_f64();
        self.waiting > 0 && running >= FULL * limit as f64
    }
}

/// Which limit is tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

#[derive(Debug, Clone)]
enum State {
    /// Nothing is tried for so many windows with a queue; only a change is looked for.
    Rest { windows: u32, block: Block },
    /// Home is compared with another limit.
    Trial(Trial),
}

impl State {
    fn rest(windows: u32) -> Self {
        Self::Rest {
            windows,
            block: Block::default(),
        }
    }
}

/// Finds the number of calls that may run at once. See the [module](self).
///
/// ```
/// use pontoon_bridge::limit::{Limiter, Window};
/// use std::time::Duration;
///
/// // A backend with room for 20 calls of 10 ms, and always more waiting.
/// let mut limiter = Limiter::new(1, 100);
/// for _ in 0..600 {
///     let limit = limiter.limit() as u32;
///     let service = Duration::from_millis(10) * limit.max(20) / 20;
///     limiter.observe(&Window {
///         length: Duration::from_millis(100),
///         completed: u64::from(limit.min(20)) * 10,
///         service,
///         service_rms: service,
///         busy: Duration::from_millis(100) * limit,
///         waiting: 50,
///     });
/// }
/// assert!((17..=24).contains(&limiter.limit()), "{}", limiter.limit());
/// ```
#[derive(Debug, Clone)]
pub struct Limiter {
    min: usize,
    max: usize,
    home: usize,
    direction: Direction,
    step: f64,
    /// The smallest step with which limits can be told apart here.
    finest: f64,
    /// In how many directions in a row home was kept.
    kept: u32,
    /// Windows that were spent on trials since home was reached, or since the last rest.
    effort: u32,
    /// How many times as long the next rest is.
    rest: u32,
    /// What was done at home when it was chosen or last kept.
    known: Option<Arm>,
    state: State,
    /// Windows in a row in which the limit did not limit.
    dry: u32,
}

impl Limiter {
    /// A limiter that lets `min` to `max` calls run, and begins in between, at as many times `min` as
    /// `max` is more. Zero counts as one, and a `max` below `min` as `min`.
    #[must_use]
    pub fn new(min: usize, max: usize) -> Self {
        let min = min.max(1);
        let max = max.max(min);
        let between = (min as f64 * max as f64).sqrt() as usize;
        Self {
            min,
            max,
            home: between.clamp(min, max),
            direction: Direction::Up,
            step: STEP_MAX,
            finest: STEP_MIN,
            kept: 0,
            effort: 0,
            rest: REST_MIN,
            known: None,
            state: State::rest(0),
            dry: 0,
        }
    }

    /// How many calls may run now.
    #[must_use]
    pub fn limit(&self) -> usize {
        match &self.state {
            State::Rest { .. } => self.home,
            State::Trial(trial) => trial.limit(),
        }
    }

    /// Learns from what the pool saw since it last asked; how many calls may run from now on.
    ///
    /// A window of no length is ignored, and so is one of more than ten seconds: then the process slept.
    pub fn observe(&mut self, window: &Window) -> usize {
        if window.length.is_zero() {
            return self.limit();
        }
        if window.length > LENGTH_MAX {
            self.interrupt();
        } else if window.is_full(self.limit()) {
            self.dry = 0;
            self.learn(window);
        } else {
            self.dry = self.dry.saturating_add(1);
            if self.dry == DRY_WINDOWS_MAX {
                self.interrupt();
            }
        }
        self.limit()
    }

    /// What was begun is not finished: calls no longer wait, or none is completed.
    fn interrupt(&mut self) {
        match &mut self.state {
            State::Rest { block, .. } => *block = Block::default(),
            State::Trial(_) => self.state = State::rest(0),
        }
    }

    fn learn(&mut self, window: &Window) {
        match &mut self.state {
            State::Rest { windows: 0, .. } => self.try_next(None),
            State::Rest { windows, block } => {
                *windows -= 1;
                let done = block.add(window);
                if let (Some(known), Some(done)) = (&self.known, done)
                    && known.differs_from(&done)
                {
                    self.begin_again();
                }
            }
            State::Trial(trial) => {
                self.effort = self.effort.saturating_add(1);
                match trial.observe(window, self.known.as_ref()) {
                    None => {}
                    Some(Verdict::Changed) => self.begin_again(),
                    Some(Verdict::Silent) => self.interrupt(),
                    Some(Verdict::Move(limit, done)) => self.move_to(limit, done),
                    Some(Verdict::Keep(done)) => self.keep(done, Some(done)),
                    Some(Verdict::Undecided(done)) if self.step < STEP_UNDECIDED_MAX => {
                        self.widen(done);
                    }
                    // What told nothing so far is not carried on.
                    Some(Verdict::Undecided(done)) => self.keep(done, None),
                }
            }
        }
    }

    /// The backend is no longer what it was: large steps again, upwards first.
    fn begin_again(&mut self) {
        self.direction = Direction::Up;
        self.step = STEP_MAX;
        self.finest = STEP_MIN;
        self.kept = 0;
        self.effort = 0;
        self.rest = REST_MIN;
        self.known = None;
        self.try_next(None);
    }

    fn move_to(&mut self, limit: usize, done: Arm) {
        self.home = limit;
        self.step = (self.step * LARGER).min(STEP_MAX);
        self.kept = 0;
        self.effort = 0;
        self.rest = REST_MIN;
        self.known = Some(done);
        self.try_next(Some(done));
    }

    fn keep(&mut self, known: Arm, done: Option<Arm>) {
        self.known = Some(known);
        self.finest = (self.finest * FINER).max(STEP_MIN);
        self.step = (self.step * SMALLER).max(self.finest);
        self.direction = self.direction.other();
        self.kept += 1;
        if self.kept < 2 || self.step > self.finest {
            self.try_next(done);
            return;
        }
        let windows = self.effort.saturating_mul(self.rest);
        self.state = State::rest(windows.clamp(REST_WINDOWS_MIN, REST_WINDOWS_MAX));
        self.kept = 0;
        self.effort = 0;
        self.rest = (self.rest * 2).min(REST_MAX);
    }

    /// Too close together to be told apart: the same again, further apart.
    fn widen(&mut self, done: Arm) {
        self.known = Some(done);
        self.finest = (self.step * LARGER).min(STEP_UNDECIDED_MAX);
        self.step = self.finest;
        self.try_next(None);
    }

    /// Begins the next trial, in the other direction if there is no room in this one; `done` is what was
    /// done at home just now.
    fn try_next(&mut self, done: Option<Arm>) {
        for _ in 0..2 {
            let candidate = self.candidate();
            if candidate != self.home {
                self.state = State::Trial(Trial::new(self.home, candidate, done));
                return;
            }
            self.direction = self.direction.other();
        }
        self.state = State::rest(REST_WINDOWS_MAX);
    }

    fn candidate(&self) -> usize {
        let home = self.home as f64;
        let candidate = match self.direction {
            Direction::Up => {
                ((home * self.step.exp()).round() as usize).max(self.home.saturating_add(1))
            }
            Direction::Down => ((home / self.step.exp()).round() as usize).min(self.home - 1),
        };
        candidate.clamp(self.min, self.max)
    }
}
