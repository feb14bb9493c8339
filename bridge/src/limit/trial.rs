//! One comparison of two limits, in turns: under which of them is more done?

use super::Window;

/// A larger limit is worth it if throughput gains at least 15 % of what the limit gains. So the question
/// is put as: is the gain nothing, or is it twice that?
const WORTH: f64 = 0.3;
/// How much more likely one answer must be than the other before home is left: the natural logarithm of
/// 20; and before it is kept: to be wrong in that only costs another try.
const CERTAIN_TO_MOVE: f64 = 3.0;
const CERTAIN_TO_KEEP: f64 = 2.0;
/// So much a backend varies of itself, whatever is done: the variance of the logarithm of a block's
/// throughput, about 3 %.
const UNREST: f64 = 0.001;
/// A gain beyond what is in proportion to the limit, by so many times what chance does, is none of the
/// limit's.
const IMPOSSIBLE: f64 = 3.0;
/// Service times that are half as long again as before, or two thirds of that, and that by so many times
/// what chance does, mean that the backend has changed.
const CHANGE: f64 = 0.405;
const CHANGE_CERTAIN: f64 = 4.0;

/// Turns that are spent on a trial at most.
const BLOCKS_MAX: u32 = 16;
/// A turn has at least so many windows, and lasts for at least so many times what a call takes that is
/// met while it runs; but not for ever.
const BLOCK_WINDOWS_MIN: u32 = 3;
const BLOCK_WINDOWS_MAX: u32 = 300;
const BLOCK_SERVICES: f64 = 3.0;
/// So many windows at most are left out after a change of the limit: calls go on that began before it.
const SETTLE_WINDOWS_MAX: u32 = 50;

/// What was done under one limit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Arm {
    seconds: f64,
    completed: f64,
    service: f64,
    service_squared: f64,
}

impl Arm {
    fn add(&mut self, window: &Window) {
        let completed = window.completed as f64;
        self.seconds += window.length.as_secs_f64();
        self.completed += completed;
        self.service += completed * window.service.as_secs_f64();
        self.service_squared += completed * window.service_rms.as_secs_f64().powi(2);
    }

    fn is_empty(&self) -> bool {
        self.completed == 0.0
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            completed: self.completed + other.completed,
            service: self.service + other.service,
            service_squared: self.service_squared + other.service_squared,
        }
    }

    /// The logarithm of the calls completed per second; half a call more, so that none has one too.
    fn log_throughput(&self) -> f64 {
        ((self.completed + 0.5) / self.seconds).ln()
    }

    /// The variance of the logarithm of a count, if calls ended independently of each other.
    fn variance(&self) -> f64 {
        1.0 / (self.completed + 0.5)
    }

    /// How many times as much a count of such calls varies: the squared coefficient of variation of
    /// their service times. Never below one, because calls are not all that varies.
    fn dispersion(&self) -> f64 {
        if self.service > 0.0 {
            let ratio = self.service_squared * self.completed / self.service.powi(2);
            (ratio - 1.0).max(1.0)
        } else {
            1.0
        }
    }

    /// How many seconds a call takes that is met while it runs: long ones are met more often.
    fn met_running(&self) -> f64 {
        if self.service > 0.0 {
            self.service_squared / self.service
        } else {
            0.0
        }
    }

    /// Whether calls take another time now, and not by chance.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        if self.service == 0.0 || other.service == 0.0 {
            return false;
        }
        let mean = |arm: &Self| arm.service / arm.completed;
        let change = (mean(self) / mean(other)).ln().abs();
        let chance = self.plus(other).dispersion() * (self.variance() + other.variance());
        change > CHANGE.max(CHANGE_CERTAIN * chance.sqrt())
    }
}

/// A turn: windows in a row under one limit, without the first ones, in which calls go on that began
/// under another one.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    arm: Arm,
    windows: u32,
    settling: Settling,
    /// Seconds that a call takes that is met while it runs, as known before.
    met_running: f64,
}

#[derive(Debug, Clone, Copy)]
enum Settling {
    Since { windows: u32, seconds: f64 },
    Done,
}

impl Default for Settling {
    fn default() -> Self {
        Self::Since {
            windows: 0,
            seconds: 0.0,
        }
    }
}

impl Block {
    fn after(earlier: &Arm) -> Self {
        Self {
            met_running: earlier.met_running(),
            ..Self::default()
        }
    }

    /// Adds a window. At the end of the turn: what was done in it; and the next one begins.
    pub(super) fn add(&mut self, window: &Window) -> Option<Arm> {
        if let Settling::Since { windows, seconds } = &mut self.settling {
            *windows += 1;
            *seconds += window.length.as_secs_f64();
            if *seconds >= self.met_running || *windows >= SETTLE_WINDOWS_MAX {
                self.settling = Settling::Done;
            }
            return None;
        }
        self.arm.add(window);
        self.windows += 1;
        let long_enough = BLOCK_SERVICES * self.met_running.max(self.arm.met_running());
        let is_short = self.windows < BLOCK_WINDOWS_MIN
            || self.arm.seconds < long_enough
            || self.arm.is_empty();
        if is_short && self.windows < BLOCK_WINDOWS_MAX {
            return None;
        }
        self.windows = 0;
        Some(std::mem::take(&mut self.arm))
    }
}

/// What came out of a trial.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    /// Home is better, or as good and smaller: what was done there.
    Keep(Arm),
    /// The other limit is: which one, and what was done there.
    Move(usize, Arm),
    /// They cannot be told apart with reasonable effort: what was done at home.
    Undecided(Arm),
    /// The backend has changed so much that there is nothing to compare.
    Changed,
    /// Nothing was done at home: there is nothing to compare with.
    Silent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Home,
    Candidate,
}

/// Home and another limit, in turns.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    home: usize,
    candidate: usize,
    at_home: Arm,
    at_candidate: Arm,
    turn: Turn,
    block: Block,
    blocks: u32,
}

impl Trial {
    /// `done` is what was done at home just now, if that is known: then the other one's turn is first.
    pub(super) fn new(home: usize, candidate: usize, done: Option<Arm>) -> Self {
        let (turn, blocks) = match done {
            None => (Turn::Home, 0),
            Some(_) => (Turn::Candidate, 1),
        };
        let at_home = done.unwrap_or_default();
        Self {
            home,
            candidate,
            at_home,
            at_candidate: Arm::default(),
            turn,
            block: Block::after(&at_home),
            blocks,
        }
    }

    /// The limit whose turn it is.
    pub(super) fn limit(&self) -> usize {
        match self.turn {
            Turn::Home => self.home,
            Turn::Candidate => self.candidate,
        }
    }

    /// Adds a window under [`limit`](Self::limit). `known` is what was done at home when it was chosen.
    pub(super) fn observe(&mut self, window: &Window, known: Option<&Arm>) -> Option<Verdict> {
        let done = self.block.add(window)?;
        self.blocks += 1;
        match self.turn {
            Turn::Home if done.is_empty() => return Some(Verdict::Silent),
            Turn::Candidate if done.is_empty() => return Some(Verdict::Keep(self.at_home)),
            Turn::Home => {
                if known.is_some_and(|known| known.differs_from(&done)) {
                    return Some(Verdict::Changed);
                }
                self.at_home = self.at_home.plus(&done);
                self.turn = Turn::Candidate;
            }
            Turn::Candidate => {
                self.at_candidate = self.at_candidate.plus(&done);
                self.turn = Turn::Home;
            }
        }
        self.block = Block::after(&self.at_home.plus(&self.at_candidate));
        if self.blocks < 2 {
            None
        } else {
            self.verdict()
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        // Both are written as what the candidate gains over home.
        let step = (self.candidate as f64 / self.home as f64).ln();
        let gain = self.at_candidate.log_throughput() - self.at_home.log_throughput();
        let chance = self.chance();
        if gain * step.signum() > step.abs() + IMPOSSIBLE * chance.sqrt() {
            return Some(Verdict::Changed);
        }
        // The logarithm of how much more likely this gain is if more is worth it than if it is not.
        let worth = WORTH * step;
        let for_more = (gain * worth - worth.powi(2) / 2.0) / chance;
        let for_candidate = for_more * step.signum();
        if for_candidate > CERTAIN_TO_MOVE {
            Some(Verdict::Move(self.candidate, self.at_candidate))
        } else if for_candidate < -CERTAIN_TO_KEEP {
            Some(Verdict::Keep(self.at_home))
        } else if self.blocks >= BLOCKS_MAX {
            Some(Verdict::Undecided(self.at_home))
        } else {
            None
        }
    }

    /// The variance that chance gives to the difference of the logarithms of both throughputs.
    fn chance(&self) -> f64 {
        let calls = self.at_home.variance() + self.at_candidate.variance();
        let dispersion = self.at_home.plus(&self.at_candidate).dispersion();
        dispersion * calls + 2.0 * UNREST / f64::from(self.blocks)
    }
}
