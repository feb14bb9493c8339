//! A pool and its backend on a virtual clock: one event after the other, no threads.
//!
//! The pool has a bounded queue in order of arrival. It refuses at the door what would wait past its
//! deadline, and drops what is past it, or has less left than a call takes, when its turn comes. Calls
//! that hang count as running until they are stuck; then a spare worker stands in for each, while there
//! are any. Everything but the limit is the same for all controllers.

use crate::controllers::{Controller, Sample};
use crate::random::Random;
use crate::scenario::Scenario;
use pontoon_bridge::limit::Window;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

const QUEUE_MAX: usize = 256;
const WINDOW: f64 = 0.1;
/// A call that hangs does so for this long, in seconds; after a second it is stuck.
const HANG: f64 = 30.0;
const STUCK_AFTER: f64 = 1.0;
const STUCK_MAX: usize = 64;
/// Weight of the newest call in the learnt service time.
const LEARN: f64 = 0.125;

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Answers within the deadline, per second of load.
    pub goodput: f64,
    /// Of all calls that ran to their end: seconds from arrival to answer that 99 % do not exceed.
    pub p99: f64,
    pub mean_limit: f64,
}

/// A waiting call.
struct Waiting {
    arrived: f64,
    /// Seconds on an idle backend; `None` if it hangs.
    demand: Option<f64>,
}

/// A call that is being served.
struct Running {
    /// How much the backend must have done for each call when this one is done.
    done_at: f64,
    arrived: f64,
    started: f64,
    /// Calls that ran when it started.
    running: usize,
}

impl PartialEq for Running {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Running {}

impl PartialOrd for Running {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Running {
    fn cmp(&self, other: &Self) -> Ordering {
        self.done_at.total_cmp(&other.done_at)
    }
}

/// What is counted in a window.
#[derive(Default)]
struct Counts {
    completed: u64,
    service: f64,
    service_squared: f64,
    busy: f64,
}

#[derive(Clone, Copy)]
enum Event {
    Arrival,
    Completion,
    Stuck,
    HangOver,
    Window,
}

struct Simulation<'a> {
    scenario: &'a Scenario,
    controller: &'a mut dyn Controller,
    random: Random,
    now: f64,
    next_arrival: f64,
    next_window: f64,
    windows: u64,
    queue: VecDeque<Waiting>,
    running: BinaryHeap<Reverse<Running>>,
    /// What the backend has done for each call so far, in seconds of demand.
    done: f64,
    /// When calls began that hang but are not stuck yet, and that are stuck.
    hanging: VecDeque<f64>,
    stuck: VecDeque<f64>,
    learnt_service: f64,
    counts: Counts,
    latencies: Vec<f64>,
    good: u64,
    limits: f64,
}

/// Runs a scenario from its beginning to its end.
pub fn simulate(scenario: &Scenario, seed: u64, controller: &mut dyn Controller) -> Outcome {
    let mut simulation = Simulation {
        scenario,
        controller,
        random: Random::new(seed),
        now: 0.0,
        next_arrival: 0.0,
        next_window: WINDOW,
        windows: 0,
        queue: VecDeque::new(),
        running: BinaryHeap::new(),
        done: 0.0,
        hanging: VecDeque::new(),
        stuck: VecDeque::new(),
        learnt_service: 0.0,
        counts: Counts::default(),
        latencies: Vec::new(),
        good: 0,
        limits: 0.0,
    };
    while simulation.now < scenario.seconds {
        simulation.step();
    }
    simulation.outcome()
}

impl Simulation<'_> {
    /// How fast the calls are served that do not hang.
    fn speed(&self) -> f64 {
        (self.scenario.speed)(self.now, self.running.len())
    }

    /// Calls that take a place.
    fn counted(&self) -> usize {
        let without_spare = self.stuck.len().saturating_sub(STUCK_MAX);
        self.running.len() + self.hanging.len() + without_spare
    }

    fn next_event(&self) -> (f64, Event) {
        let mut next = (self.next_window, Event::Window);
        let mut consider = |time: f64, event| {
            if time < next.0 {
                next = (time, event);
            }
        };
        consider(self.next_arrival, Event::Arrival);
        if let Some(Reverse(first)) = self.running.peek() {
            let left = (first.done_at - self.done).max(0.0);
            consider(self.now + left / self.speed(), Event::Completion);
        }
        if let Some(began) = self.hanging.front() {
            consider(began + STUCK_AFTER, Event::Stuck);
        }
        if let Some(began) = self.stuck.front() {
            consider(began + HANG, Event::HangOver);
        }
        next
    }

    fn step(&mut self) {
        let (time, event) = self.next_event();
        let passed = time - self.now;
        if !self.running.is_empty() {
            self.done += passed * self.speed();
        }
        self.counts.busy += passed * (self.running.len() + self.hanging.len()) as f64;
        self.now = time;
        match event {
            Event::Arrival => self.arrive(),
            Event::Completion => self.complete(),
            Event::Stuck => self.stuck.extend(self.hanging.pop_front()),
            Event::HangOver => drop(self.stuck.pop_front()),
            Event::Window => self.end_window(),
        }
        self.start_calls();
    }

    fn schedule_arrival(&mut self) {
        let rate = (self.scenario.arrivals)(self.now);
        self.next_arrival = self.now + self.random.exponential() / rate;
    }

    fn arrive(&mut self) {
        self.schedule_arrival();
        let hangs = self.random.uniform() < self.scenario.hangs;
        let demand = (self.scenario.demand)(&mut self.random);
        let limit = self.controller.limit() as f64;
        let wait = self.queue.len() as f64 * self.learnt_service / limit;
        let is_too_late = wait + self.learnt_service > self.scenario.deadline;
        let is_first = self.queue.is_empty();
        if self.queue.len() < QUEUE_MAX && (is_first || !is_too_late) {
            self.queue.push_back(Waiting {
                arrived: self.now,
                demand: (!hangs).then_some(demand),
            });
        }
    }

    fn complete(&mut self) {
        let Some(Reverse(call)) = self.running.pop() else {
            return;
        };
        let service = self.now - call.started;
        let latency = self.now - call.arrived;
        let late = latency > self.scenario.deadline;
        self.learnt_service += (service - self.learnt_service) * LEARN;
        self.counts.completed += 1;
        self.counts.service += service;
        self.counts.service_squared += service * service;
        self.latencies.push(latency);
        self.good += u64::from(!late);
        self.controller.on_call(&Sample {
            ended: self.now,
            service,
            running: call.running,
            late,
        });
    }

    fn start_calls(&mut self) {
        while self.counted() < self.controller.limit() {
            let Some(call) = self.queue.pop_front() else {
                return;
            };
            let waited = self.now - call.arrived;
            let left = self.scenario.deadline - waited;
            let is_fresh = waited < self.scenario.deadline / 8.0;
            if left <= 0.0 || (left < self.learnt_service && !is_fresh) {
                continue;
            }
            match call.demand {
                None => self.hanging.push_back(self.now),
                Some(demand) => {
                    let running = self.counted() + 1;
                    self.running.push(Reverse(Running {
                        done_at: self.done + demand,
                        arrived: call.arrived,
                        started: self.now,
                        running,
                    }));
                }
            }
        }
    }

    fn end_window(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        let mean = |sum: f64| sum / (counts.completed as f64).max(1.0);
        self.limits += self.controller.limit() as f64;
        self.controller.on_window(&Window {
            length: Duration::from_secs_f64(WINDOW),
            completed: counts.completed,
            service: Duration::from_secs_f64(mean(counts.service)),
            service_rms: Duration::from_secs_f64(mean(counts.service_squared).sqrt()),
            busy: Duration::from_secs_f64(counts.busy),
            waiting: self.queue.len() as u64,
        });
        self.windows += 1;
        self.next_window = (self.windows + 1) as f64 * WINDOW;
        // The rate may have changed; how long one has waited for the next call does not matter.
        self.schedule_arrival();
    }

    fn outcome(mut self) -> Outcome {
        let count = self.latencies.len();
        let p99 = match count {
            0 => f64::INFINITY,
            _ => {
                let index = (count - 1) * 99 / 100;
                *self
                    .latencies
                    .select_nth_unstable_by(index, f64::total_cmp)
                    .1
            }
        };
        Outcome {
            goodput: self.good as f64 / self.scenario.loaded_seconds,
            p99,
            mean_limit: self.limits / self.windows as f64,
        }
    }
}

#[test]
fn half_of_the_backends_room_does_half_of_its_work() {
    let saturates = &crate::scenario::SCENARIOS[0];
    let goodput = |limit| simulate(saturates, 1, &mut crate::controllers::Fixed(limit)).goodput;
    assert!((goodput(16) - 800.0).abs() < 8.0, "{}", goodput(16));
    assert!((goodput(32) - 1600.0).abs() < 16.0, "{}", goodput(32));
    assert!((goodput(64) - 1600.0).abs() < 16.0, "{}", goodput(64));
}
