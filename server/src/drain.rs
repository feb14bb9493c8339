//! What a reload has replaced, until nobody uses it any more.
//!
//! Each pool that is left over has a thread that waits for the requests that still use it, ends it,
//! and drops its adapters: a library's destructor may take its time, and a loop has none. The threads
//! are made before anything changes, so that a reload which cannot have them changes nothing.

use crate::reload::Serving;
use crate::running::log_left_behind;
use crate::site::Mounting;
use pontoon_bridge::{Pool, ShutdownReport};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// What goes at once: a pool with the adapters on it, or adapters whose pool stays or that have none.
#[derive(Debug)]
pub(crate) struct Retired {
    pool: Option<Pool>,
    mountings: Vec<Arc<Mounting>>,
}

/// What is served before and not after.
pub(crate) fn retired(before: &Serving, after: &Serving) -> Vec<Retired> {
    let kept = &after.site.locations;
    let mut gone: Vec<_> = before
        .site
        .locations
        .iter()
        .filter(|old| !kept.iter().any(|new| new.shares_adapter_with(old)))
        .map(|old| Arc::clone(&old.mounting))
        .collect();
    let mut retired = Vec::new();
    for old in &before.pools {
        if old.is_ours() && !old.is_among(&after.pools) {
            let on_it = |mounting: &Arc<Mounting>| mounting.runs_on(&old.pool);
            let (mountings, others) = gone.into_iter().partition(on_it);
            gone = others;
            let pool = Some(old.pool.clone());
            retired.push(Retired { pool, mountings });
        }
    }
    if !gone.is_empty() {
        let (pool, mountings) = (None, gone);
        retired.push(Retired { pool, mountings });
    }
    retired
}

impl Retired {
    /// Waits for what uses it, and ends it. Never longer than `limit`; false when it left something
    /// behind that hangs.
    fn end(self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        for mounting in &self.mountings {
            if !mounting.wait_unused(until) {
                let location = mounting.path();
                tracing::warn!(location, "requests on what a reload replaced go on");
            }
        }
        let Some(pool) = &self.pool else { return true };
        let report = pool.shutdown(until.saturating_duration_since(Instant::now()));
        log_left_behind(&report);
        report.still_running == 0
    }
}

/// Drains that can begin.
#[derive(Debug)]
pub(crate) struct Drains(Vec<(Retired, mpsc::Sender<Retired>, Drain)>);

impl Drains {
    /// Makes their threads; they end unused if the drains do not begin.
    ///
    /// # Errors
    ///
    /// When the OS refuses a thread.
    pub(crate) fn prepare(retired: Vec<Retired>, limit: Duration) -> io::Result<Self> {
        let drain = |retired: Retired| {
            let (begin, begun) = mpsc::channel::<Retired>();
            let (done, ended) = mpsc::channel::<()>();
            let pool = Arc::new(Mutex::new(retired.pool.clone()));
            let left = Arc::clone(&pool);
            let run = move || {
                if begun.recv().is_ok_and(|retired| retired.end(limit)) {
                    // Its last handle, on which its last thread waits.
                    let pool = lock(&left).take();
                    drop(pool);
                }
                drop(done);
            };
            #[cfg(feature = "fault-points")]
            pontoon_bridge::faults::check(pontoon_bridge::faults::Point::ThreadStart)?;
            let thread = thread::Builder::new().name("pontoon-drain".to_owned());
            let drain = Drain {
                pool,
                thread: thread.spawn(run)?,
                ended: Mutex::new(ended),
            };
            Ok((retired, begin, drain))
        };
        retired
            .into_iter()
            .map(drain)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    pub(crate) fn begin(self) -> impl Iterator<Item = Drain> {
        self.0.into_iter().map(|(retired, begin, drain)| {
            // Its thread waits for nothing else.
            let _ = begin.send(retired);
            drain
        })
    }
}

/// A drain under way, or what it has left behind.
#[derive(Debug)]
pub(crate) struct Drain {
    /// The pool, until it has ended. Locked for a look only.
    pool: Arc<Mutex<Option<Pool>>>,
    thread: thread::JoinHandle<()>,
    /// Disconnected when it ends. Never locked: the mutex lets threads share it.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Drain {
    /// Threads that are still there because of it.
    pub(crate) fn threads(&self) -> usize {
        let pool = lock(&self.pool).clone();
        match (pool, self.thread.is_finished()) {
            (None, is_finished) => usize::from(!is_finished),
            (Some(pool), false) => {
                let stats = pool.stats();
                stats.threads + stats.max_stuck + WATCHDOG_THREADS + 1
            }
            (Some(pool), true) => match pool.shutdown(Duration::ZERO).still_running {
                0 => 0,
                running => running + WATCHDOG_THREADS,
            },
        }
    }

    /// Waits for its end, which comes by `until`; what is still stuck then.
    pub(crate) fn stop(self, until: Instant) -> Option<ShutdownReport> {
        let left = || until.saturating_duration_since(Instant::now());
        let pool = lock(&self.pool).take();
        let report = pool.map(|pool| pool.shutdown(left()));
        let ended = self.ended.into_inner();
        let ended = ended
            .unwrap_or_else(PoisonError::into_inner)
            .recv_timeout(left() + NOTICE);
        if ended == Err(mpsc::RecvTimeoutError::Disconnected) {
            // Its last act was to say so.
            let _ = self.thread.join();
        }
        report
    }
}

fn lock(pool: &Mutex<Option<Pool>>) -> MutexGuard<'_, Option<Pool>> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a pool has beside its workers: threads for interrupt hooks, and the patrol.
const WATCHDOG_THREADS: usize = 3;

/// How long a drain may take to notice that there is nothing left to wait for.
const NOTICE: Duration = Duration::from_millis(500);
