//! What decides how many calls may run: a fixed number, the two limits that people use, and ours.
//!
//! Gradient2 and Vegas are written after their description in Netflix's *concurrency-limits*
//! (<https://github.com/Netflix/concurrency-limits>: `Gradient2Limit`, `WindowedLimit`, `VegasLimit`), with
//! its defaults. The bounds are the pool's, for all alike.

use pontoon_bridge::limit::{Limiter, Window};

/// A call that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Seconds since the beginning.
    pub ended: f64,
    /// Seconds.
    pub service: f64,
    /// Calls that ran when it started, itself among them.
    pub running: usize,
    /// It ended after its deadline.
    pub late: bool,
}

pub trait Controller {
    fn limit(&self) -> usize;
    fn on_call(&mut self, _call: &Sample) {}
    fn on_window(&mut self, _window: &Window) {}
}

pub struct Fixed(pub usize);

impl Controller for Fixed {
    fn limit(&self) -> usize {
        self.0
    }
}

impl Controller for Limiter {
    fn limit(&self) -> usize {
        Limiter::limit(self)
    }

    fn on_window(&mut self, window: &Window) {
        self.observe(window);
    }
}

const INITIAL: usize = 20;

/// Calls of one second, at least ten, as one sample; the limit follows the ratio of a long and a short
/// mean of the service time.
pub struct Gradient2 {
    bounds: (f64, f64),
    estimate: f64,
    long: f64,
    samples: u32,
    next_update: f64,
    window: (f64, u32, usize),
}

impl Gradient2 {
    const SMOOTHING: f64 = 0.2;
    const QUEUE: f64 = 4.0;
    const LONG_WINDOW: f64 = 600.0;
    const WARM_UP: u32 = 10;
    const WINDOW_CALLS: u32 = 10;
    const WINDOW_SECONDS: f64 = 1.0;

    pub fn new(min: usize, max: usize) -> Self {
        Self {
            bounds: (min as f64, max as f64),
            estimate: INITIAL.clamp(min, max) as f64,
            long: 0.0,
            samples: 0,
            next_update: 0.0,
            window: (0.0, 0, 0),
        }
    }

    fn update(&mut self, short: f64, running: usize) {
        if self.samples < Self::WARM_UP {
            self.samples += 1;
            self.long += (short - self.long) / f64::from(self.samples);
        } else {
            self.long += (short - self.long) * 2.0 / (Self::LONG_WINDOW + 1.0);
        }
        let long = self.long;
        if long > 2.0 * short {
            self.long *= 0.9;
        }
        if (running as f64) < self.estimate / 2.0 {
            return;
        }
        let gradient = (long / short).clamp(0.5, 1.0);
        let wanted = self.estimate * gradient + Self::QUEUE;
        let smoothed = self.estimate * (1.0 - Self::SMOOTHING) + wanted * Self::SMOOTHING;
        self.estimate = smoothed.clamp(self.bounds.0, self.bounds.1);
    }
}

impl Controller for Gradient2 {
    fn limit(&self) -> usize {
        self.estimate as usize
    }

    fn on_call(&mut self, call: &Sample) {
        let (sum, calls, running) = self.window;
        self.window = (sum + call.service, calls + 1, running.max(call.running));
        if call.ended > self.next_update {
            let (sum, calls, running) = std::mem::take(&mut self.window);
            self.next_update = call.ended + Self::WINDOW_SECONDS;
            if calls >= Self::WINDOW_CALLS {
                self.update(sum / f64::from(calls), running);
            }
        }
    }
}

/// Each call is a sample; the limit follows the queue that the backend seems to have, compared with the
/// shortest service time seen.
pub struct Vegas {
    max: f64,
    estimate: f64,
    shortest: f64,
    probes: u32,
    jitter: f64,
    random: crate::random::Random,
}

impl Vegas {
    const PROBE: f64 = 30.0;

    pub fn new(min: usize, max: usize) -> Self {
        Self {
            max: max as f64,
            estimate: INITIAL.clamp(min, max) as f64,
            shortest: f64::INFINITY,
            probes: 0,
            jitter: 0.75,
            random: crate::random::Random::new(7),
        }
    }

    /// The whole part of the decimal logarithm, at least one.
    fn unit(&self) -> f64 {
        if self.estimate >= 100.0 { 2.0 } else { 1.0 }
    }
}

impl Controller for Vegas {
    fn limit(&self) -> usize {
        self.estimate as usize
    }

    fn on_call(&mut self, call: &Sample) {
        self.probes += 1;
        if self.jitter * Self::PROBE * self.estimate <= f64::from(self.probes) {
            self.jitter = 0.5 + self.random.uniform() / 2.0;
            self.probes = 0;
            self.shortest = call.service;
            return;
        }
        if call.service < self.shortest {
            self.shortest = call.service;
            return;
        }
        let unit = self.unit();
        let queue = (self.estimate * (1.0 - self.shortest / call.service)).ceil();
        let wanted = if call.late {
            self.estimate - unit
        } else if ((call.running * 2) as f64) < self.estimate {
            return;
        } else if queue <= unit {
            self.estimate + 6.0 * unit
        } else if queue < 3.0 * unit {
            self.estimate + unit
        } else if queue > 6.0 * unit {
            self.estimate - unit
        } else {
            return;
        };
        self.estimate = wanted.clamp(1.0, self.max);
    }
}

fn call(ended: f64, service: f64, running: usize) -> Sample {
    Sample {
        ended,
        service,
        running,
        late: false,
    }
}

#[test]
fn gradient2_grows_by_a_fifth_of_its_queue_each_second_while_calls_take_the_same_time() {
    let mut limit = Gradient2::new(1, 128);
    for tenth in 0..25 {
        limit.on_call(&call(f64::from(tenth) / 10.0 + 0.05, 0.01, 20));
    }
    // One call opens the first window; two windows of a second have ended since.
    assert!((limit.estimate - 21.6).abs() < 1e-9, "{}", limit.estimate);
}

#[test]
fn vegas_follows_the_queue_that_a_longer_service_time_stands_for() {
    let mut limit = Vegas::new(1, 128);
    limit.on_call(&call(0.0, 0.01, 20));
    limit.on_call(&call(0.0, 0.01, 20));
    assert_eq!(limit.limit(), 26);
    limit.on_call(&call(0.0, 0.02, 26));
    assert_eq!(limit.limit(), 25);
    limit.on_call(&call(0.0, 0.02, 12));
    assert_eq!(limit.limit(), 25, "it was not used up");
}
