//! The keys of `[pool.NAME]`: what they mean, and what they refuse.

use super::{errors, parse};
use crate::values::MINIMAL;
use pontoon::bridge::CoDel;
use pontoon::config::PoolConfig;
use std::time::Duration;

fn pool(lines: &str) -> PoolConfig {
    let mut config = parse(&format!("{MINIMAL}[pool.db]\n{lines}\n")).unwrap();
    config.pools.remove(0)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_queue_may_stand_for_as_long_as_the_file_says() {
    let codel = |target, interval| {
        Some(CoDel {
            target: ms(target),
            interval: ms(interval),
        })
    };
    assert_eq!(pool("").codel, codel(5, 100));
    let both = "codel_target = '20ms'\ncodel_interval = '1s'";
    assert_eq!(pool(both).codel, codel(20, 1000));
    assert_eq!(pool("codel_target = 'off'").codel, None);
}

#[test]
fn stuck_calls_are_replaced_by_as_many_spare_workers_as_the_file_says() {
    let stuck = |pool: PoolConfig| (pool.stuck_after, pool.max_stuck, pool.interrupt_stuck);
    assert_eq!(stuck(pool("")), (ms(10_000), None, false));
    let all = "stuck_after = '1500ms'\nmax_stuck = 0\ninterrupt_stuck = true";
    assert_eq!(stuck(pool(all)), (ms(1500), Some(0), true));
    let most = pool("threads = 4000\nmax_stuck = 96");
    assert_eq!((most.threads, most.max_stuck), (4000, Some(96)));
    // Without the key, what there is room for.
    assert_eq!(pool("threads = 4096").max_stuck, None);
}

#[test]
fn a_pool_has_no_more_threads_than_a_pool_may_have_spare_ones_included() {
    let refused = |lines: &str| errors(&format!("{MINIMAL}[pool.db]\n{lines}\n"));
    let both = refused("threads = 4000\nmax_stuck = 97");
    assert!(
        both.contains("error: `max_stuck` and `threads` are 4097 together")
            && both.contains("a pool may have 4096 threads"),
        "{both}"
    );
    let alone = refused("max_stuck = 4097");
    assert!(
        alone.contains("`max_stuck` must be an integer from 0 to 4096"),
        "{alone}"
    );
    let never = refused("stuck_after = '0s'");
    assert!(never.contains("`stuck_after` must be from 1ms"), "{never}");
}

#[test]
fn a_server_may_ask_for_a_restart_when_a_pool_has_no_worker_left() {
    let limit = |value: &str| {
        let text = format!("restart_when_stuck = {value}\n{MINIMAL}");
        parse(&text).map(|config| config.server.restart_when_stuck)
    };
    assert_eq!(limit("'off'").ok(), Some(None));
    assert_eq!(limit("'1m'").ok(), Some(Some(ms(60_000))));
    for wrong in ["'of'", "true", "'0s'", "60"] {
        assert!(limit(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_pool_may_find_its_own_size_between_bounds() {
    let size = |lines: &str| {
        let pool = pool(lines);
        (pool.threads_min, pool.threads)
    };
    assert_eq!(size(""), (None, 8));
    assert_eq!(size("threads = 5"), (None, 5));
    assert_eq!(size("threads = 'auto'"), (Some(1), 64));
    let bounds = "threads = 'auto'\nthreads_min = 2\nthreads_max = 32";
    assert_eq!(size(bounds), (Some(2), 32));
}

#[test]
fn bounds_that_mean_nothing_are_told() {
    let told = |lines: &str| errors(&format!("{MINIMAL}[pool.db]\n{lines}\n"));
    let twisted = told("threads = 'auto'\nthreads_min = 9\nthreads_max = 3");
    assert!(
        twisted.contains("`threads_min` is 9 and `threads_max` is 3"),
        "{twisted}"
    );
    let fixed = told("threads = 4\nthreads_max = 9");
    assert!(
        fixed.contains("`threads_max` has no meaning here"),
        "{fixed}"
    );
    let neither = told("threads = 'many'");
    assert!(
        neither.contains("`threads` must be \"auto\" or an integer"),
        "{neither}"
    );
}

#[test]
fn sessions_live_as_long_as_the_file_says() {
    let pool = pool(
        "threads = 4\nsession_check_after = '0s'\nsession_max_age = '1h'\nsession_max_uses = 1000\n\
         sessions_min = 4",
    );
    assert_eq!(pool.session_check_after, Duration::ZERO);
    assert_eq!(pool.session_max_age, Some(Duration::from_secs(3600)));
    assert_eq!((pool.session_max_uses, pool.sessions_min), (Some(1000), 4));
}

#[test]
fn limits_of_sessions_that_make_no_sense_are_errors() {
    let shown = |lines: &str| errors(&format!("{MINIMAL}[pool.db]\n{lines}\n"));
    let many = shown("threads = 4\nsessions_min = 5");
    assert!(
        many.contains("`sessions_min` is 5, and the pool has 4 threads"),
        "{many}"
    );
    assert!(
        many.contains("one session of each location at most"),
        "{many}"
    );
    let never = shown("session_max_uses = 0");
    assert!(
        never.contains("`session_max_uses` must be an integer of at least 1"),
        "{never}"
    );
    let old = shown("session_max_age = '1ms'");
    assert!(
        old.contains("`session_max_age` must be from 1s to"),
        "{old}"
    );
}

#[test]
fn a_breaker_is_on_or_off() {
    assert!(pool("breaker = 'on'").breaker);
    assert!(!pool("breaker = 'off'").breaker);
    let wrong = errors(&format!("{MINIMAL}[pool.db]\nbreaker = 'offf'\n"));
    assert!(wrong.contains("did you mean `off`?"), "{wrong}");
}
