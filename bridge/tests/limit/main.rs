//! The limit on running calls against fixed limits, Gradient2 and Vegas, in a simulation on a virtual
//! clock: the same in every run.
//!
//! `cargo test -p pontoon-bridge --test limit -- --nocapture` prints the tables of
//! `docs/concurrency-limit.md`; `PONTOON_SEEDS=…` plays each scenario with more seeds than the three of
//! the page, `PONTOON_MORE_SECONDS=…` goes on for longer.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "the table is to be seen")]
#![allow(missing_docs, unreachable_pub, reason = "not an interface")]

mod contest;
mod controllers;
mod pool;
mod random;
mod scenario;

use contest::{Contest, Result};
use std::env;

const SEEDS: u64 = 3;
const PAGE: &str = include_str!("../../../docs/concurrency-limit.md");
/// The best fixed limit is known only afterwards; to find it while serving may cost so much of it.
const BAR: f64 = 0.95;
/// Where it costs more, and the goodput that is left all the same.
const BELOW_THE_BAR: &[(&str, f64)] = &[("few at once", 0.92), ("mixed, thrashing", 0.92)];

fn find<'a>(results: &'a [Result], name: &str) -> &'a Result {
    results.iter().find(|result| result.name == name).unwrap()
}

/// The limiter's goodput as a part of the best fixed limit's.
fn share(result: &Result) -> f64 {
    result.limiter.goodput / result.best.goodput
}

fn check(results: &[Result]) {
    for result in results {
        let excepted = BELOW_THE_BAR.iter().find(|(name, _)| *name == result.name);
        let bar = excepted.map_or(BAR, |(_, bar)| *bar);
        assert!(share(result) >= bar, "{}: {}", result.name, share(result));
    }
    let worst = |outcome: fn(&Result) -> f64| {
        let shares = results
            .iter()
            .map(|result| outcome(result) / result.best.goodput);
        shares.fold(f64::INFINITY, f64::min)
    };
    let others = [
        worst(|result| result.max.goodput),
        worst(|result| result.gradient2.goodput),
        worst(|result| result.vegas.goodput),
    ];
    let limiter = worst(|result| result.limiter.goodput);
    assert!(
        others.iter().all(|other| *other < limiter / 2.0),
        "{others:?}"
    );
    // Calls wait all the time, and more than 32 at once gain nothing.
    let mild = find(results, "mild overload").limiter.mean_limit;
    assert!((28.0..40.0).contains(&mild), "{mild}");
}

#[test]
fn the_limiter_holds_what_its_page_says() {
    let number = |name, default| env::var(name).map_or(default, |value| value.parse().unwrap());
    let (seeds, more_seconds) = (
        number("PONTOON_SEEDS", SEEDS),
        number("PONTOON_MORE_SECONDS", 0),
    );
    let results = Contest::new(seeds, more_seconds as f64).run();
    let tables = contest::tables(&results);
    println!("{tables}");
    if (seeds, more_seconds) == (SEEDS, 0) {
        check(&results);
        assert!(
            PAGE.contains(&tables),
            "docs/concurrency-limit.md has other tables; see above what they are now"
        );
    }
}
