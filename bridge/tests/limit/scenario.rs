//! What happens to a pool: how many calls come, what they ask for, and what the backend makes of it.

use crate::random::Random;

/// The limits in question.
pub const MIN: usize = 1;
pub const MAX: usize = 128;

pub struct Scenario {
    pub name: &'static str,
    /// What it is, for the page.
    pub what: &'static str,
    /// How long it takes, in seconds.
    pub seconds: f64,
    /// How many of these seconds count: those with load.
    pub loaded_seconds: f64,
    /// Calls that come per second, by the time in seconds.
    pub arrivals: fn(f64) -> f64,
    /// What a call asks for: how many seconds it takes alone on an idle backend.
    pub demand: fn(&mut Random) -> f64,
    /// How fast a call is served, by the time and by how many are served: 1 is as fast as alone.
    pub speed: fn(f64, usize) -> f64,
    /// The part of the calls that hang, whatever they ask for.
    pub hangs: f64,
    /// Seconds from its arrival in which a call must be answered.
    pub deadline: f64,
}

/// A backend with room for `room` calls at once, who share it if they are more.
fn shared(room: f64, running: usize) -> f64 {
    (room / running as f64).min(1.0)
}

fn is_slow(time: f64) -> bool {
    (40.0..80.0).contains(&time)
}

const HOUR: f64 = 3600.0;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "saturates",
        what: "room for 32 calls of 20 ms; more calls share it. 1.5 times its capacity comes",
        seconds: 120.0,
        loaded_seconds: 120.0,
        arrivals: |_| 2400.0,
        demand: |random| 0.020 * random.exponential(),
        speed: |_, running| shared(32.0, running),
        hangs: 0.0,
        deadline: 1.0,
    },
    Scenario {
        name: "mild overload",
        what: "the same; 1.1 times its capacity comes",
        seconds: 120.0,
        loaded_seconds: 120.0,
        arrivals: |_| 1760.0,
        demand: |random| 0.020 * random.exponential(),
        speed: |_, running| shared(32.0, running),
        hangs: 0.0,
        deadline: 1.0,
    },
    Scenario {
        name: "nearly full",
        what: "the same; 0.95 times its capacity comes",
        seconds: 120.0,
        loaded_seconds: 120.0,
        arrivals: |_| 1520.0,
        demand: |random| 0.020 * random.exponential(),
        speed: |_, running| shared(32.0, running),
        hangs: 0.0,
        deadline: 1.0,
    },
    Scenario {
        name: "contention",
        what: "calls of 10 ms that wait for each other: throughput is highest with 24 and falls on both \
               sides (Gunther's law). 1.5 times that comes",
        seconds: 120.0,
        loaded_seconds: 120.0,
        arrivals: |_| 1800.0,
        demand: |random| 0.010 * random.exponential(),
        speed: |_, running| 1.0 / (1.0 + (running as f64 / 24.0) * (running as f64 / 24.0)),
        hangs: 0.0,
        deadline: 1.0,
    },
    Scenario {
        name: "thrashing",
        what: "room for 32 calls of 20 ms; with 64 it does 71 % of its best, with 128 half. 1.5 times \
               its capacity comes",
        seconds: 120.0,
        loaded_seconds: 120.0,
        arrivals: |_| 2400.0,
        demand: |random| 0.020 * random.exponential(),
        speed: |_, running| shared(32.0, running) * shared(32.0, running).sqrt(),
        hangs: 0.0,
        deadline: 1.0,
    },
    Scenario {
        name: "alike",
        what: "as thrashing, but all calls take 20 ms, give or take a tenth",
        seconds: 120.0,
        loaded_seconds: 120.0,
        arrivals: |_| 2400.0,
        demand: |random| 0.018 + 0.004 * random.uniform(),
        speed: |_, running| shared(32.0, running) * shared(32.0, running).sqrt(),
        hangs: 0.0,
        deadline: 1.0,
    },
    Scenario {
        name: "few at once",
        what: "room for 2 calls of 5 ms, thrashing beyond. 1.5 times its capacity comes",
        seconds: 120.0,
        loaded_seconds: 120.0,
        arrivals: |_| 600.0,
        demand: |random| 0.005 * random.exponential(),
        speed: |_, running| shared(2.0, running) * shared(2.0, running).sqrt(),
        hangs: 0.0,
        deadline: 1.0,
    },
    Scenario {
        name: "slow phase",
        what: "room for 32 calls of 20 ms, which take ten times as long from second 40 to 80: a tenth of \
               the capacity. 1.2 times the full capacity comes",
        seconds: 120.0,
        loaded_seconds: 120.0,
        arrivals: |_| 1920.0,
        demand: |random| 0.020 * random.exponential(),
        speed: |time, running| shared(32.0, running) / if is_slow(time) { 10.0 } else { 1.0 },
        hangs: 0.0,
        deadline: 1.0,
    },
    Scenario {
        name: "far phase",
        what: "10 ms calls, 1,000 a second at most; from second 40 to 80 each takes 100 ms, still \
               1,000 a second if enough run. 1.2 times the capacity comes",
        seconds: 120.0,
        loaded_seconds: 120.0,
        arrivals: |_| 1200.0,
        demand: |random| 0.010 * random.exponential(),
        speed: |time, running| {
            let alone = if is_slow(time) { 0.1 } else { 1.0 };
            shared(10.0, running).min(alone)
        },
        hangs: 0.0,
        deadline: 1.0,
    },
    Scenario {
        name: "mixed",
        what: "room for 32 calls; nine of ten take 1 ms, one 100 ms. 1.2 times the capacity comes",
        seconds: 120.0,
        loaded_seconds: 120.0,
        arrivals: |_| 3523.0,
        demand: |random| if random.uniform() < 0.9 { 0.001 } else { 0.100 },
        speed: |_, running| shared(32.0, running),
        hangs: 0.0,
        deadline: 1.0,
    },
    Scenario {
        name: "mixed, thrashing",
        what: "the same calls; with 64 the backend does 71 % of its best, with 128 half",
        seconds: 120.0,
        loaded_seconds: 120.0,
        arrivals: |_| 3523.0,
        demand: |random| if random.uniform() < 0.9 { 0.001 } else { 0.100 },
        speed: |_, running| shared(32.0, running) * shared(32.0, running).sqrt(),
        hangs: 0.0,
        deadline: 1.0,
    },
    Scenario {
        name: "hangs",
        what: "room for 16 calls of 100 ms; one of a hundred hangs for 30 s. 1.2 times the capacity comes",
        seconds: 240.0,
        loaded_seconds: 240.0,
        arrivals: |_| 192.0,
        demand: |random| 0.100 * random.exponential(),
        speed: |_, running| shared(16.0, running),
        hangs: 0.01,
        deadline: 3.0,
    },
    Scenario {
        name: "slow calls",
        what: "room for 8 calls of 1 s. 1.5 times the capacity comes",
        seconds: 600.0,
        loaded_seconds: 600.0,
        arrivals: |_| 12.0,
        demand: |random| random.exponential(),
        speed: |_, running| shared(8.0, running),
        hangs: 0.0,
        deadline: 20.0,
    },
    Scenario {
        name: "idle night",
        what: "the thrashing one; 1.2 times its capacity for a minute, then 8 hours with one call a minute, \
               then all of it again for a minute",
        seconds: 120.0 + 8.0 * HOUR,
        loaded_seconds: 120.0,
        arrivals: |time| {
            if (60.0..60.0 + 8.0 * HOUR).contains(&time) {
                1.0 / 60.0
            } else {
                1920.0
            }
        },
        demand: |random| 0.020 * random.exponential(),
        speed: |_, running| shared(32.0, running) * shared(32.0, running).sqrt(),
        hangs: 0.0,
        deadline: 1.0,
    },
];
