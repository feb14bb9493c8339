//! Every controller in every scenario, and the tables of it.

use crate::controllers::{Controller, Fixed, Gradient2, Vegas};
use crate::pool::{Outcome, simulate};
use crate::scenario::{MAX, MIN, SCENARIOS, Scenario};
use pontoon_bridge::limit::Limiter;
use std::fmt::Write;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

/// The fixed limits that are tried.
const GRID: &[usize] = &[
    1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 112, MAX,
];
/// Of fixed limits that are as good as this part of the best one, the smallest counts as best.
const AS_GOOD: f64 = 0.999;

/// What all did in one scenario.
pub struct Result {
    pub name: &'static str,
    what: &'static str,
    best_limit: usize,
    pub best: Outcome,
    pub max: Outcome,
    pub gradient2: Outcome,
    pub vegas: Outcome,
    pub limiter: Outcome,
    /// The goodput of the limiter's worst run, as a part of the best fixed limit's with the same seed.
    pub worst_run: f64,
}

pub struct Contest {
    seeds: u64,
    scenarios: Vec<Scenario>,
}

impl Contest {
    /// Each controller plays each scenario with so many seeds, and for so many seconds longer.
    pub fn new(seeds: u64, more_seconds: f64) -> Self {
        let longer = |scenario: &Scenario| Scenario {
            seconds: scenario.seconds + more_seconds,
            loaded_seconds: scenario.loaded_seconds + more_seconds,
            ..*scenario
        };
        Self {
            seeds,
            scenarios: SCENARIOS.iter().map(longer).collect(),
        }
    }

    /// The results, in the scenarios' order.
    pub fn run(&self) -> Vec<Result> {
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut results = Vec::new();
            loop {
                // Relaxed: a ticket; the results come by joining.
                let index = next.fetch_add(1, Relaxed);
                match self.scenarios.get(index) {
                    Some(scenario) => results.push((index, self.play(scenario))),
                    None => return results,
                }
            }
        };
        let mut results: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..thread::available_parallelism().map_or(1, usize::from))
                .map(|_| scope.spawn(worker))
                .collect();
            let joined = workers.into_iter().map(|worker| worker.join().unwrap());
            joined.flatten().collect()
        });
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn play(&self, scenario: &Scenario) -> Result {
        let best_limit = best_fixed(scenario);
        let best = self.runs(scenario, || Fixed(best_limit));
        let limiter = self.runs(scenario, || Limiter::new(MIN, MAX));
        let shares = limiter.iter().zip(&best);
        let shares = shares.map(|(limiter, best)| limiter.goodput / best.goodput);
        Result {
            name: scenario.name,
            what: scenario.what,
            best_limit,
            worst_run: shares.fold(f64::INFINITY, f64::min),
            best: mean(&best),
            max: mean(&self.runs(scenario, || Fixed(MAX))),
            gradient2: mean(&self.runs(scenario, || Gradient2::new(MIN, MAX))),
            vegas: mean(&self.runs(scenario, || Vegas::new(MIN, MAX))),
            limiter: mean(&limiter),
        }
    }

    /// One run with each seed.
    fn runs<C: Controller>(&self, scenario: &Scenario, controller: impl Fn() -> C) -> Vec<Outcome> {
        let run = |seed| simulate(scenario, seed, &mut controller());
        (1..=self.seeds).map(run).collect()
    }
}

fn mean(runs: &[Outcome]) -> Outcome {
    let mean = |what: fn(&Outcome) -> f64| runs.iter().map(what).sum::<f64>() / runs.len() as f64;
    Outcome {
        goodput: mean(|run| run.goodput),
        p99: mean(|run| run.p99),
        mean_limit: mean(|run| run.mean_limit),
    }
}

fn best_fixed(scenario: &Scenario) -> usize {
    let goodput = |limit: &usize| simulate(scenario, 1, &mut Fixed(*limit)).goodput;
    let all: Vec<f64> = GRID.iter().map(goodput).collect();
    let best = all.iter().copied().fold(0.0, f64::max);
    let first = all.iter().position(|goodput| *goodput >= AS_GOOD * best);
    GRID[first.unwrap()]
}

/// What the scenarios are, and what came out.
pub fn tables(results: &[Result]) -> String {
    let mut text = String::from("| scenario | what it is |\n| --- | --- |\n");
    for result in results {
        writeln!(text, "| {} | {} |", result.name, result.what).unwrap();
    }
    text += "\n| scenario | best fixed limit | fixed 128 | Gradient2 | Vegas | Limiter | its worst run |\n";
    text += "| --- | --- | --- | --- | --- | --- | --- |\n";
    for result in results {
        write!(
            text,
            "| {} | **{}**: {:.0}/s, {:.0} ms |",
            result.name,
            result.best_limit,
            result.best.goodput,
            1e3 * result.best.p99,
        )
        .unwrap();
        let fixed = &result.max;
        write!(text, " {} |", against(fixed, &result.best)).unwrap();
        for found in [&result.gradient2, &result.vegas, &result.limiter] {
            let against = against(found, &result.best);
            write!(text, " {against}, {:.0} |", found.mean_limit).unwrap();
        }
        writeln!(text, " {:.1} % |", 100.0 * result.worst_run).unwrap();
    }
    text
}

fn against(outcome: &Outcome, best: &Outcome) -> String {
    let share = 100.0 * outcome.goodput / best.goodput;
    format!("**{share:.1} %**, {:.0} ms", 1e3 * outcome.p99)
}
