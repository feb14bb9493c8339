//! A pool and a flood in simulated time: what the door and the workers make of it, without a machine's
//! own noise in the result. The noise that machines have is part of the load: calls that take longer now and
//! then, and a loop that is late.

use super::{Admission, CoDel, Refusal, Typical, Unwanted};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_micros(100);
const DEADLINE: Duration = Duration::from_millis(250);
const CYCLE: Duration = Duration::from_millis(80);
/// How long a loop that is late stands still.
const PAUSE: Duration = Duration::from_millis(10);
/// A refusal after this is a late one.
const LATE: Duration = Duration::from_millis(5);

/// A load, and how uneven it is.
#[derive(Clone, Copy)]
struct Load {
    workers: usize,
    service: Duration,
    /// Calls that come each second.
    per_s: u64,
    /// One call in so many takes six times as long.
    long_one_in: u64,
    /// How often, about, the loop stands still for a [`PAUSE`].
    pause_every: Duration,
    /// Calls come only in the first part of each [`CYCLE`].
    burst: Duration,
}

/// What became of the calls.
#[derive(Debug, Default)]
struct Ends {
    offered: usize,
    served: usize,
    at_the_door: usize,
    shed: usize,
    /// Those of them that were refused late.
    shed_late: usize,
    expired: usize,
}

/// A pool under a load.
struct World {
    admission: Admission,
    typical: Typical,
    start: Instant,
    now: Duration,
    queue: VecDeque<Duration>,
    /// When the call that each worker runs began, and when it ends.
    running: Vec<Option<(Duration, Duration)>>,
    random: u64,
    offered_until: Duration,
    paused_until: Duration,
}

impl World {
    fn new(workers: usize, seed: u64) -> Self {
        let codel = Some(CoDel::default());
        Self {
            admission: Admission::new(workers, 256, codel),
            typical: Typical::default(),
            start: Instant::now(),
            now: Duration::ZERO,
            queue: VecDeque::new(),
            running: vec![None; workers],
            random: seed,
            offered_until: Duration::ZERO,
            paused_until: Duration::ZERO,
        }
    }

    /// Whether it is one of `one_in`, by xorshift (Marsaglia 2003).
    fn hits(&mut self, one_in: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.is_multiple_of(one_in)
    }

    fn run(&mut self, load: Load, time: Duration) -> Ends {
        let mut ends = Ends::default();
        let until = self.now + time;
        while self.now < until {
            self.serve(load, &mut ends);
            self.offer(load, &mut ends);
            self.now += STEP;
        }
        ends
    }

    fn offer(&mut self, load: Load, ends: &mut Ends) {
        if self.now < self.paused_until {
            return;
        }
        let steps = load.pause_every.as_micros() / STEP.as_micros();
        if self.hits(steps as u64) {
            self.paused_until = self.now + PAUSE;
        }
        while self.offered_until < self.now {
            let at = self.offered_until;
            self.offered_until += Duration::from_micros(1_000_000 / load.per_s);
            if at.as_millis() % CYCLE.as_millis() >= load.burst.as_millis() {
                continue;
            }
            ends.offered += 1;
            let left = (at + DEADLINE).saturating_sub(self.now);
            match self
                .admission
                .enter(Some(left), &self.typical, Duration::ZERO)
            {
                Ok(_) => self.queue.push_back(at),
                Err(_) => ends.at_the_door += 1,
            }
        }
    }

    fn serve(&mut self, load: Load, ends: &mut Ends) {
        for worker in 0..self.running.len() {
            if let Some((began, end)) = self.running[worker] {
                if end > self.now {
                    continue;
                }
                self.admission.leave();
                self.admission.learn(end - began);
                self.typical.learn(end - began);
                ends.served += 1;
            }
            self.running[worker] = self.take(ends).map(|began| {
                let times = if self.hits(load.long_one_in) { 6 } else { 1 };
                (began, began + load.service * times)
            });
        }
    }

    /// Takes calls until one is worth running.
    fn take(&mut self, ends: &mut Ends) -> Option<Duration> {
        while let Some(at) = self.queue.pop_front() {
            let [now, submitted] = [self.now, at].map(|time| self.start + time);
            let deadline = Some(submitted + DEADLINE);
            match self
                .admission
                .judge(Some(submitted), deadline, now, &self.typical)
            {
                Ok(()) => return Some(self.now),
                Err(Unwanted::Expired) => ends.expired += 1,
                Err(Unwanted::Refused(Refusal::Full { .. })) => unreachable!("it is inside"),
                Err(Unwanted::Refused(_)) => {
                    ends.shed += 1;
                    ends.shed_late += usize::from(now - submitted > LATE);
                }
            }
            self.admission.leave();
        }
        None
    }
}

const FLOOD: Load = Load {
    workers: 4,
    service: Duration::from_millis(1),
    per_s: 40_000,
    long_one_in: 200,
    pause_every: Duration::from_millis(300),
    burst: CYCLE,
};

/// Calls that take longer than CoDel's own target.
const LONG_FLOOD: Load = Load {
    workers: 16,
    service: Duration::from_millis(10),
    per_s: 3_200,
    long_one_in: 100,
    ..FLOOD
};

#[test]
fn in_a_lasting_flood_all_capacity_serves_and_hardly_anybody_waits_to_be_refused() {
    const TIME_S: u64 = 10;
    for (load, seed) in [FLOOD, LONG_FLOOD]
        .into_iter()
        .flat_map(|load| (1..=5).map(move |seed| (load, seed)))
    {
        let mut world = World::new(load.workers, seed);
        world.run(load, Duration::from_secs(2));
        let ends = world.run(load, Duration::from_secs(TIME_S));
        let refused = ends.at_the_door + ends.shed;
        assert!(refused > ends.served, "{ends:?}");
        let capacity = load.workers as f64 * TIME_S as f64 / load.service.as_secs_f64();
        assert_eq!(ends.expired, 0, "{ends:?}");
        // Some calls take six times as long, and each ends a step late.
        assert!(ends.served as f64 > 0.9 * capacity, "{ends:?}");
        assert!(ends.shed_late * 100 < refused, "{ends:?}");
    }
}

#[test]
fn bursts_that_can_be_served_are_let_in_again_soon_after_a_flood() {
    let bursts = Load {
        per_s: 8_000,
        burst: Duration::from_millis(15),
        pause_every: Duration::from_secs(60),
        ..FLOOD
    };
    for seed in 1..=5 {
        let mut world = World::new(bursts.workers, seed);
        world.run(FLOOD, Duration::from_secs(3));
        world.run(bursts, Duration::from_secs(2));
        let ends = world.run(bursts, Duration::from_secs(10));
        assert_eq!(ends.at_the_door + ends.shed + ends.expired, 0, "{ends:?}");
        // What the loop was late with, and what still waits.
        assert!(ends.served.abs_diff(ends.offered) < 120, "{ends:?}");
    }
}
