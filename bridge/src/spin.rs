//! Looking again for a moment before sleeping, only where it pays.
//!
//! Waking a sleeping thread costs tens of microseconds; a wake that is not needed costs nothing. So a
//! loop or a worker that has run out of work may look again, giving way to other threads in between,
//! for no longer than a wake costs on this machine. Whether it pays is learnt by each loop and worker
//! for itself: a score goes up when something came soon enough, and down when nothing did; below zero
//! it sleeps at once, except one time in [`SLEEPS_PER_TRY`], to notice that times have changed.

use std::hint;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

/// How long a loop or a worker may look again before it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spin {
    /// For as long as a wake costs on this machine, which is learnt, and only while it pays.
    #[default]
    Auto,
    /// Never: it sleeps at once.
    Off,
    /// For at most this long, and only while it pays.
    For(Duration),
}

impl Spin {
    /// More than this is a mistake.
    pub const MAX: Duration = Duration::from_millis(10);
}

/// Between two tries of one who has learnt to sleep at once.
const SLEEPS_PER_TRY: u32 = 64;
/// The best score: how many wins are remembered.
const SCORE_MAX: i32 = 4;
/// A lost spin takes back this many won ones.
const LOSS: i32 = 2;
/// Looks between two moments of giving way.
const LOOKS_PER_ROUND: u32 = 16;
/// A spin pays if something came within so many rounds; later a sleep would have been cheaper.
const ROUNDS_THAT_PAY: u32 = 8;

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

/// Learns from a thread that was woken so long after the other one decided to wake it. One that
/// had to wait for a CPU says little, so what is short counts for more.
pub(crate) fn learn_wake_cost(sample: Duration) {
    let sample = sample.clamp(WAKE_COST_MIN, WAKE_COST_MAX);
    let sample = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
    // Relaxed, Relaxed: an estimate; a lost update is one sample less.
    let old = WAKE_COST_NS.load(Relaxed);
    let new = if sample < old {
        old - (old - sample) / 8
    } else {
        old + (sample - old) / 64
    };
    // Relaxed: as above.
    WAKE_COST_NS.store(new, Relaxed);
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
}

impl Patience {
    pub(crate) fn new(spin: Spin) -> Self {
        Self {
            spin: if cpus() == 1 { Spin::Off } else { spin },
            score: 0,
            slept: 0,
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
        self.slept += 1;
        self.slept.is_multiple_of(SLEEPS_PER_TRY)
    }

    fn limit(&self) -> Duration {
        match self.spin {
            Spin::Auto => wake_cost(),
            Spin::Off => Duration::ZERO,
            Spin::For(limit) => limit,
        }
    }

    /// Looks until something came or it has cost as much as a wake; whether it came. `came` is asked
    /// often and must be cheap, `came_elsewhere` now and then.
    pub(crate) fn look_again(
        &mut self,
        mut came: impl FnMut() -> bool,
        mut came_elsewhere: impl FnMut() -> bool,
    ) -> bool {
        let limit = self.limit();
        let began = Instant::now();
        let mut rounds = 0;
        loop {
            for _ in 0..LOOKS_PER_ROUND {
                if came() {
                    self.note(rounds <= ROUNDS_THAT_PAY);
                    return true;
                }
                hint::spin_loop();
            }
            // Whoever has real work for this CPU goes first.
            thread::yield_now();
            rounds += 1;
            let came = came() || came_elsewhere();
            if came || began.elapsed() >= limit {
                self.note(came && rounds <= ROUNDS_THAT_PAY);
                return came;
            }
        }
    }

    fn note(&mut self, paid: bool) {
        self.score = if paid {
            SCORE_MAX.min(self.score.max(0) + 1)
        } else {
            (self.score - LOSS).max(-1)
        };
    }
}
