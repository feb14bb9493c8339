//! The door of a pool: how many calls may be inside, which of them are still worth running, and when
//! to come again.

mod codel;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod typical;

pub use codel::CoDel;
pub(crate) use typical::Typical;

use crate::error::whole_seconds;
use crate::stats::nanos;
use codel::Standing;
use crossbeam_utils::CachePadded;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

/// The most that `Retry-After` says.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Weight of the newest call in the learnt service time: 1/8, as TCP's smoothed round trip.
const SERVICE_SHIFT: u32 = 3;
/// A call that takes longer than this many times what was learnt counts as no longer: one call that
/// hung for a minute must not make the pool look slow.
const LONGEST_SAMPLE: u64 = 8;

/// A call that has waited for less than this part of its time is run whatever was learnt: so what was
/// learnt wrongly, or is no longer true, is learnt anew.
const FAIR_START: u32 = 8;

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many calls are inside as may be.
    Full { inside: usize },
    /// It would not be served by its deadline.
    TooLate { wait: Duration },
    /// It waits in a queue that stands, for too long.
    Overloaded { wait: Duration },
}

/// Why a call that was let in is not run after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwanted {
    /// Its deadline has passed.
    Expired,
    Refused(Refusal),
}

/// An exact bound on the calls inside a pool, running or waiting, and a judgement of each.
///
/// A call holds its place until the foreign code has really returned, also when its caller gave up
/// long ago (honest capacity); a call that is cancelled while it waits gives it back at once.
///
/// What is inside is the difference of two counts that only grow: submitters write one and workers
/// the other, on cache lines of their own, and a submitter looks at the workers' count only when the
/// last look does not let it in.
#[derive(Debug)]
pub(crate) struct Admission {
    room: CachePadded<Room>,
    door: CachePadded<Door>,
    /// Calls that have left.
    left: CachePadded<AtomicU64>,
    /// Smoothed service time in nanoseconds; 0 = nothing learnt yet.
    service_ns: CachePadded<AtomicU64>,
    standing: Option<CachePadded<Standing>>,
}

/// What everybody reads and hardly anybody writes.
#[derive(Debug)]
struct Room {
    max_queue: u64,
    /// Calls that may be inside.
    places: AtomicU64,
    /// Workers that serve; never zero.
    serving: AtomicU64,
    /// Calls inside that do not return.
    stuck: AtomicU64,
}

/// The submitters' side.
#[derive(Debug, Default)]
struct Door {
    /// Calls that were let in.
    entered: AtomicU64,
    /// How many had left when somebody last looked; never more than have left now.
    left_seen: AtomicU64,
}

impl Admission {
    pub(crate) fn new(threads: usize, max_queue: usize, codel: Option<CoDel>) -> Self {
        let admission = Self {
            room: CachePadded::new(Room {
                max_queue: max_queue as u64,
                places: AtomicU64::new(0),
                serving: AtomicU64::new(1),
                stuck: AtomicU64::new(0),
            }),
            door: CachePadded::default(),
            left: CachePadded::default(),
            service_ns: CachePadded::default(),
            standing: codel.map(|codel| Standing::new(codel, Instant::now()).into()),
        };
        admission.resize(threads, 0, threads);
        admission
    }

    /// From now on so many workers may run calls; `stuck` of them are with calls that do not return.
    /// There is room for `most` running calls and the queue. Calls that are inside stay.
    pub(crate) fn resize(&self, workers: usize, stuck: usize, most: usize) {
        let places = (most as u64).saturating_add(self.room.max_queue);
        // Relaxed: whoever enters meanwhile enters by the old bound.
        self.room.places.store(places, Relaxed);
        let serving = workers.saturating_sub(stuck).max(1);
        // Relaxed, Relaxed: an estimate's input.
        self.room.serving.store(serving as u64, Relaxed);
        self.room.stuck.store(stuck as u64, Relaxed);
    }

    /// Takes a place, or says why there is none; how many calls were let in before. `time_left` is what
    /// is left of the call's deadline, and `typical` what calls of its location take. A wait of up to `fine_wait`
    /// is no sign of a queue that stands.
    ///
    /// The number inside never passes the bound, not even for an instant: `left` only grows, so what is
    /// inside is at most `entered` less any earlier look at it, and `entered` is changed only if it
    /// is still what was tested. A refusal is right as well: `entered` only grows too.
    pub(crate) fn enter(
        &self,
        time_left: Option<Duration>,
        typical: &Typical,
        fine_wait: Duration,
    ) -> Result<u64, Refusal> {
        // Relaxed: tested by the compare-exchange below.
        let mut entered = self.door.entered.load(Relaxed);
        loop {
            // Acquire: partner of the Release store below, so that the look is not newer than
            // what this thread may rely on.
            let seen = self.door.left_seen.load(Acquire);
            let inside_at_most = entered.saturating_sub(seen);
            if self
                .refuses(inside_at_most, time_left, typical, fine_wait)
                .is_some()
            {
                // Acquire: partner of the Release in `leave`.
                let left = self.left.load(Acquire);
                // Release: as above.
                self.door.left_seen.store(left, Release);
                // `entered` may be out of date by now; then the exchange fails.
                let inside = entered.saturating_sub(left);
                if let Some(refusal) = self.refuses(inside, time_left, typical, fine_wait) {
                    return Err(refusal);
                }
            }
            // Relaxed, Relaxed: entering publishes nothing; the queue publishes the call.
            match self
                .door
                .entered
                .compare_exchange_weak(entered, entered + 1, Relaxed, Relaxed)
            {
                Ok(entered) => return Ok(entered),
                Err(now) => entered = now,
            }
        }
    }

    /// Why one call more is too many when so many are inside.
    fn refuses(
        &self,
        inside: u64,
        time_left: Option<Duration>,
        typical: &Typical,
        fine_wait: Duration,
    ) -> Option<Refusal> {
        // Relaxed, here and below: estimates, and a bound that is exact for whoever read it.
        if inside >= self.room.places.load(Relaxed) {
            let inside = usize::try_from(inside).unwrap_or(usize::MAX);
            return Some(Refusal::Full { inside });
        }
        let serving = self.room.serving.load(Relaxed);
        // Nobody waits for those that are stuck: other workers serve.
        let inside = inside.saturating_sub(self.room.stuck.load(Relaxed));
        let standing = self.standing.as_ref().filter(|it| it.is_overloaded());
        if inside < serving || (time_left.is_none() && standing.is_none()) {
            return None;
        }
        let service_ns = self.service_ns.load(Relaxed);
        let wait_ns = service_ns.saturating_mul(inside - serving + 1) / serving;
        let wait = Duration::from_nanos(wait_ns);
        let fine_ns = service_ns.max(nanos(fine_wait));
        if standing.is_some_and(|it| it.refuses(wait_ns, fine_ns, Instant::now)) {
            return Some(Refusal::Overloaded { wait });
        }
        // A location's own calls may be much shorter than the pool's, and nobody knows better.
        let service = Duration::from_nanos(service_ns).min(typical.get());
        let needed = wait.saturating_add(service);
        // Without any time left it is not the queue's fault: the deadline says so by itself.
        time_left
            .filter(|left| !left.is_zero() && *left < needed)
            .map(|_| Refusal::TooLate { wait })
    }

    /// Whether a call that is taken `now` is still worth running; why not. `typical` is what calls of
    /// its location take.
    pub(crate) fn judge(
        &self,
        submitted: Option<Instant>,
        deadline: Option<Instant>,
        now: Instant,
        typical: &Typical,
    ) -> Result<(), Unwanted> {
        self.judge_with((submitted, deadline), now, typical, Duration::ZERO)
    }

    /// As [`judge`](Self::judge). A wait of up to `fine_wait` is no sign of a queue that stands.
    pub(crate) fn judge_with(
        &self,
        (submitted, deadline): (Option<Instant>, Option<Instant>),
        now: Instant,
        typical: &Typical,
        fine_wait: Duration,
    ) -> Result<(), Unwanted> {
        let wait = submitted.map(|submitted| now.saturating_duration_since(submitted));
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(now);
            if left.is_zero() {
                return Err(Unwanted::Expired);
            }
            if let Some(wait) = wait.filter(|_| left < typical.get()) {
                let whole = wait.saturating_add(left);
                if wait > whole / FAIR_START {
                    // Or else nothing would ever be learnt of a location whose calls always wait.
                    typical.forget_a_little();
                    return Err(Unwanted::Refused(Refusal::TooLate { wait }));
                }
            }
        }
        let (Some(standing), Some(wait)) = (&self.standing, wait) else {
            return Ok(());
        };
        // Relaxed: an estimate.
        let service_ns = self.service_ns.load(Relaxed).max(nanos(fine_wait));
        if standing.has_waited_too_long(wait, now, service_ns) {
            return Err(Unwanted::Refused(Refusal::Overloaded { wait }));
        }
        Ok(())
    }

    /// Gives a place back.
    pub(crate) fn leave(&self) {
        // Release: partner of the Acquire in `enter`: what the call did is over for whoever gets
        // its place.
        self.left.fetch_add(1, Release);
    }

    /// How many calls may be inside.
    pub(crate) fn places(&self) -> usize {
        // Relaxed: as in `enter`.
        usize::try_from(self.room.places.load(Relaxed)).unwrap_or(usize::MAX)
    }

    /// Calls let in so far.
    pub(crate) fn entered(&self) -> u64 {
        // Relaxed: a statistic.
        self.door.entered.load(Relaxed)
    }

    /// Calls that have left so far.
    pub(crate) fn left(&self) -> u64 {
        // Relaxed: a statistic, or a hint.
        self.left.load(Relaxed)
    }

    pub(crate) fn in_flight(&self) -> usize {
        // In this order it is never below zero.
        let left = self.left();
        usize::try_from(self.entered().saturating_sub(left)).unwrap_or(usize::MAX)
    }

    /// A worker found nothing to do: no queue stands.
    pub(crate) fn queue_was_empty(&self) {
        if let Some(standing) = &self.standing {
            standing.queue_was_empty();
        }
    }

    /// Whether calls wait in a queue that stands.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.standing.as_ref().is_some_and(|it| it.is_overloaded())
    }

    /// Learns from a finished call, or from one that stands for several.
    pub(crate) fn learn(&self, service: Duration) {
        let sample = nanos(service).max(1);
        // Relaxed, Relaxed: an estimate; a lost update is one sample less.
        let old = self.service_ns.load(Relaxed);
        let new = if old == 0 {
            sample
        } else {
            let sample = sample.min(old.saturating_mul(LONGEST_SAMPLE));
            old - (old >> SERVICE_SHIFT) + (sample >> SERVICE_SHIFT)
        };
        // Relaxed: as above. Never so small that it cannot grow.
        self.service_ns.store(new.max(1 << SERVICE_SHIFT), Relaxed);
    }

    /// What a call takes, as learnt; `None` when nothing is known.
    pub(crate) fn service(&self) -> Option<Duration> {
        // Relaxed: an estimate.
        match self.service_ns.load(Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// When what waits now will probably have been served: waiting × service time / workers.
    pub(crate) fn retry_after(&self) -> Duration {
        // Relaxed, Relaxed: estimates.
        let serving = self.room.serving.load(Relaxed);
        let per_call = self.service_ns.load(Relaxed);
        let away = serving + self.room.stuck.load(Relaxed);
        let waiting = (self.in_flight() as u64).saturating_sub(away) + 1;
        let drain = Duration::from_nanos(per_call.saturating_mul(waiting) / serving);
        whole_seconds(drain).min(RETRY_MAX)
    }
}
