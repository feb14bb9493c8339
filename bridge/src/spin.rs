//! Looking again for a moment before sleeping, only where it pays.
//!
//! Waking a sleeping thread costs tens of microseconds; a wake that is not needed costs nothing. So a
//! loop or a worker that has run out of work may look again, giving way to other threads in between,
//! for no longer than half a wake on this machine, or a wake and a half where it nearly always pays.
//! Whether it pays is learnt by each loop and worker for itself: a score goes up when something came, and
//! down, by more, when nothing did. Below zero it sleeps at once, except one time in many, to notice that
//! times have changed.
//!
//! Looking again only helps if the other side is awake, so workers do it only when the loop to which
//! they sent last was. A loop that tries cannot know that, and so its tries last for two wakes: the
//! worker's that it has just woken, and a bit; then the worker finds the loop awake and looks again too.

use crate::visits::Crowding;
use std::hint;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

/// How long a loop or a worker may look again before it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spin {
    /// For about as long as a wake costs on this machine, which is learnt (half of it to two), and only
    /// while it pays.
    #[default]
    Auto,
    /// Never: it sleeps at once.
    Off,
    /// For at most this long, never more than [`MAX`](Self::MAX), and only while it pays.
    For(Duration),
}

impl Spin {
    /// More than this is a mistake.
    pub const MAX: Duration = Duration::from_millis(10);
}

/// Between two tries of a loop that has learnt to sleep at once.
const LOOP_SLEEPS_PER_TRY: u32 = 64;
/// The same for a worker, which tries only if the loop is awake. Both must try at the same time to find
/// each other, so one of them must do so more often.
const WORKER_SLEEPS_PER_TRY: u32 = 4;
/// The best score: how many wins are remembered, and how many losses a change for the worse costs.
const SCORE_MAX: i32 = 16;
/// A lost spin takes back this many won ones: what is lost is a whole spin, what is won a part of a
/// sleep.
const LOSS: i32 = 2;
/// From this score on it looks for longer than a wake, and loses twice as much by that. If both sides are
/// awake and one is kept off its CPU for a moment, the other one goes to sleep; then the first must wait
/// for its wake, or they lose each other for long.
const CONFIDENT: i32 = 8;
/// Looks between two moments of giving way.
const LOOKS_PER_ROUND: u32 = 16;
/// Who has looked for fewer rounds than this when its time is up was kept off the CPU most of the
/// time, and has learnt nothing.
const ROUNDS_MIN: u32 = 4;

/// What a wake costs until it is learnt, and the bounds of what is believed.
const WAKE_COST: Duration = Duration::from_micros(25);
const WAKE_COST_MIN: Duration = Duration::from_micros(5);
const WAKE_COST_MAX: Duration = Duration::from_micros(50);

/// Nanoseconds that waking a thread took lately, of the whole process.
static WAKE_COST_NS: AtomicU64 = AtomicU64::new(WAKE_COST.as_nanos() as u64);

/// What a wake costs on this machine, as learnt so far.
pub(crate) fn wake_cost() -> Duration {
    // Relaxed: an estimate.
    Duration::from_nanos(WAKE_COST_NS.load(Relaxed))
}

/// Learns from a thread that was woken so long after the other one decided to wake it.
pub(crate) fn learn_wake_cost(sample: Duration) {
    let sample = sample.clamp(WAKE_COST_MIN, WAKE_COST_MAX);
    let sample = crate::stats::nanos(sample);
    // Relaxed, Relaxed: an estimate; a lost update is one sample less.
    let old = WAKE_COST_NS.load(Relaxed);
    // Relaxed: as above.
    WAKE_COST_NS.store(old - old / 16 + sample / 16, Relaxed);
}

/// The CPUs that this process may use.
pub(crate) fn cpus() -> usize {
    static CPUS: OnceLock<usize> = OnceLock::new();
    *CPUS.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// What one loop or one worker has learnt about looking again.
#[derive(Debug)]
pub(crate) struct Patience {
    spin: Spin,
    score: i32,
    slept: u32,
    sleeps_per_try: u32,
}

impl Patience {
    pub(crate) fn of_a_loop(spin: Spin) -> Self {
        Self::new(spin, LOOP_SLEEPS_PER_TRY)
    }

    pub(crate) fn of_a_worker(spin: Spin) -> Self {
        Self::new(spin, WORKER_SLEEPS_PER_TRY)
    }

    fn new(spin: Spin, sleeps_per_try: u32) -> Self {
        Self {
            spin: match spin {
                _ if cpus() == 1 => Spin::Off,
                Spin::For(limit) => Spin::For(limit.min(Spin::MAX)),
                spin => spin,
            },
            score: 0,
            slept: 0,
            sleeps_per_try,
        }
    }

    /// Whether to look again, this time.
    pub(crate) fn is_worth_a_try(&mut self) -> bool {
        if self.spin == Spin::Off {
            return false;
        }
        if self.score >= 0 {
            return true;
        }
        self.slept = self.slept.wrapping_add(1);
        self.slept.is_multiple_of(self.sleeps_per_try)
    }

    fn limit(&self) -> Duration {
        match self.spin {
            Spin::Auto if self.score < 0 => wake_cost() * 2,
            Spin::Auto if self.score >= CONFIDENT => wake_cost() * 3 / 2,
            Spin::Auto => wake_cost() / 2,
            Spin::Off => Duration::ZERO,
            Spin::For(limit) => limit,
        }
    }

    /// What a loop does before it sleeps: looks again if there is room for it and it pays, gives way
    /// if the workers need the CPU; whether something came. It takes at most `limit`.
    pub(crate) fn wait(
        &mut self,
        crowding: Crowding,
        limit: Option<Duration>,
        mut came: impl FnMut() -> bool,
        came_elsewhere: impl FnMut() -> bool,
    ) -> bool {
        match crowding {
            Crowding::Room => self.is_worth_a_try() && self.look_again(limit, came, came_elsewhere),
            Crowding::Full => false,
            Crowding::Swamped if self.spin == Spin::Off => false,
            Crowding::Swamped => {
                thread::yield_now();
                came()
            }
        }
    }

    /// Looks until something came or the time is up; whether it came. `came` is asked often and must
    /// be cheap, `came_elsewhere` now and then.
    pub(crate) fn look_again(
        &mut self,
        limit: Option<Duration>,
        mut came: impl FnMut() -> bool,
        mut came_elsewhere: impl FnMut() -> bool,
    ) -> bool {
        let own_limit = self.limit();
        let limit = limit.map_or(own_limit, |limit| limit.min(own_limit));
        let mut began = None;
        let mut rounds = 0;
        loop {
            for _ in 0..LOOKS_PER_ROUND {
                if came() {
                    self.won();
                    return true;
                }
                hint::spin_loop();
            }
            // The first looks take less than reading the clock and giving way.
            let began = *began.get_or_insert_with(Instant::now);
            // Whoever has real work for this CPU goes first.
            thread::yield_now();
            rounds += 1;
            if came() || came_elsewhere() {
                self.won();
                return true;
            }
            if began.elapsed() >= limit {
                if rounds >= ROUNDS_MIN && limit == own_limit {
                    let confident = i32::from(self.score >= CONFIDENT);
                    self.score = (self.score - LOSS * (1 + confident)).max(-1);
                }
                return false;
            }
        }
    }

    fn won(&mut self) {
        self.score = SCORE_MAX.min(self.score + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOP_SLEEPS_PER_TRY, Patience, Spin, cpus};
    use crate::visits::Crowding;
    use std::time::{Duration, Instant};

    /// What a spin costs must not depend on this machine here.
    const SHORT: Spin = Spin::For(Duration::from_micros(100));

    fn patience(spin: Spin) -> Option<Patience> {
        // With one CPU there is nothing to test.
        (cpus() > 1).then(|| Patience::of_a_loop(spin))
    }

    /// Waits in vain until the patience is lost; how many spins that took.
    fn lose(patience: &mut Patience) -> u32 {
        let mut spins = 0;
        while patience.is_worth_a_try() {
            patience.look_again(None, || false, || false);
            spins += 1;
            assert!(spins < 1_000, "it never learns");
        }
        spins
    }

    #[test]
    fn who_waits_in_vain_sleeps_at_once_and_tries_again_now_and_then() {
        let Some(mut patience) = patience(SHORT) else {
            return;
        };
        lose(&mut patience);
        let tries = (0..10 * LOOP_SLEEPS_PER_TRY)
            .filter(|_| patience.is_worth_a_try())
            .count();
        assert_eq!(tries, 10);
    }

    #[test]
    fn who_has_won_often_bears_some_losses_and_who_wins_a_try_begins_anew() {
        let Some(mut patience) = patience(SHORT) else {
            return;
        };
        (0..100).for_each(|_| assert!(patience.look_again(None, || true, || false)));
        assert!(lose(&mut patience) > 1);
        assert!(patience.look_again(None, || false, || true));
        assert!(patience.is_worth_a_try());
    }

    #[test]
    fn spinning_ends_with_its_limit_and_with_the_callers() {
        let Some(mut long) = patience(Spin::For(Duration::from_secs(3600))) else {
            return;
        };
        let began = Instant::now();
        assert!(!long.look_again(None, || false, || false), "10 ms at most");
        let timer = Some(Duration::ZERO);
        assert!(!long.look_again(timer, || false, || false));
        // Generous: it only must not be an hour.
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn off_is_off_and_a_full_machine_is_left_to_the_workers() {
        let unwanted = || -> bool { panic!("it looked") };
        let mut off = Patience::of_a_loop(Spin::Off);
        for crowding in [Crowding::Room, Crowding::Full, Crowding::Swamped] {
            assert!(!off.wait(crowding, None, unwanted, unwanted));
        }
        let mut auto = Patience::of_a_loop(Spin::Auto);
        assert!(!auto.wait(Crowding::Full, None, unwanted, unwanted));
    }
}
