//! Pools whose workers all hang, and the end of a process that has one for too long.
//!
//! What hangs in foreign code cannot be ended from outside, only left behind with the process. So where
//! the config says so, the server stops, and whoever started it starts it again.

use crate::reload::Live;
use pontoon_bridge::Pool;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How many calls hang in a pool that has no worker left, not even a spare one; `None` when it has.
pub(crate) fn all_workers(pool: &Pool) -> Option<usize> {
    let stats = pool.stats();
    (stats.stuck >= stats.threads + stats.max_stuck).then_some(stats.stuck)
}

/// A pool that has had no worker left for as long as it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StuckPool {
    pub(crate) name: String,
    /// How long it has been so.
    pub(crate) lasted: Duration,
}

/// How often to look within the time that a pool may be stuck, and the least and longest pauses.
const LOOKS: u32 = 4;
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Looks at the pools until one has been stuck for too long, or until `ended` is disconnected
/// (`None`).
pub(crate) fn watch(live: &Live, ended: &Receiver<()>) -> Option<StuckPool> {
    let mut seen = Seen::default();
    loop {
        // Asked each time: a reload may change it.
        let limit = live.serving().site.config.restart_when_stuck;
        let pause = limit.map_or(PAUSE_MAX, |limit| {
            (limit / LOOKS).clamp(PAUSE_MIN, PAUSE_MAX)
        });
        if ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return None;
        }
        let Some(limit) = limit else {
            seen = Seen::default();
            continue;
        };
        let pools = live.serving().pools;
        let stuck = pools
            .into_iter()
            .map(|served| served.pool)
            .filter(|pool| all_workers(pool).is_some());
        if let Some(pool) = seen.look(stuck.collect(), Instant::now(), limit) {
            return Some(pool);
        }
    }
}

/// Pools that were stuck at the last look, and since when. One that a reload has replaced by another
/// of the same name is not that one.
#[derive(Debug, Default)]
struct Seen(Vec<(Pool, Instant)>);

impl Seen {
    /// A pool that has been stuck at every look for as long as `limit`.
    fn look(&mut self, stuck: Vec<Pool>, now: Instant, limit: Duration) -> Option<StuckPool> {
        let before = std::mem::take(&mut self.0);
        let since = |pool: Pool| {
            let known = before.iter().find(|(it, _)| it.shares_workers_with(&pool));
            let since = known.map_or(now, |(_, since)| *since);
            (pool, since)
        };
        self.0 = stuck.into_iter().map(since).collect();
        let lasted = |since: &Instant| now.saturating_duration_since(*since);
        let first = self.0.iter().min_by_key(|(_, since)| *since)?;
        (lasted(&first.1) >= limit).then(|| StuckPool {
            name: first.0.name().to_owned(),
            lasted: lasted(&first.1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pool_that_is_stuck_at_every_look_lasts() {
        let secs = Duration::from_secs;
        let pool = |name| Pool::named(name).threads(1).build().unwrap();
        let (a, b, other_b) = (pool("a"), pool("b"), pool("b"));
        let (mut seen, start) = (Seen::default(), Instant::now());
        let mut look = |pools: &[&Pool], second| {
            let pools = pools.iter().map(|pool| (*pool).clone()).collect();
            seen.look(pools, start + secs(second), secs(10))
        };
        assert_eq!(look(&[&a], 0), None);
        assert_eq!(look(&[&a, &b], 5), None);
        // It came back for a moment.
        assert_eq!(look(&[&b], 9), None);
        assert_eq!(look(&[&a, &b], 12), None);
        let lasted = StuckPool {
            name: "b".to_owned(),
            lasted: secs(10),
        };
        assert_eq!(look(&[&a, &b], 15), Some(lasted));
        assert_eq!(look(&[], 16), None);
        assert_eq!(look(&[&b], 40), None);
        // A reload has replaced it.
        assert_eq!(look(&[&other_b], 55), None);
    }
}
