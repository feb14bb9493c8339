//! What a reload has replaced, until nobody uses it any more.
//!
//! Each pool that is left over has a thread that waits for the requests that still use it, ends it,
//! and drops its adapters: a library's destructor may take its time, and a loop has none. The threads
//! are made before anything changes, so that a reload which cannot have them changes nothing.

use crate::loops::NOTICE;
use crate::reload::Serving;
use crate::running::log_left_behind;
use crate::site::{Mounting, SharedLocation};
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
    /// The longest that a request on them may take until it has an answer.
    deadline: Duration,
    /// The longest that it may take then to produce the answer's body.
    stream_timeout: Duration,
}

/// What is served before and not after.
pub(crate) fn retired(before: &Serving, after: &Serving) -> Vec<Retired> {
    let kept = &after.site.locations;
    let mut gone: Vec<_> = before
        .site
        .locations
        .iter()
        .filter(|old| !kept.iter().any(|new| new.shares_adapter_with(old)))
        .collect();
    let mut retired = Vec::new();
    for old in &before.pools {
        if old.is_ours() && !old.is_among(&after.pools) {
            let on_it = |location: &&Arc<SharedLocation>| location.mounting.runs_on(&old.pool);
            let (locations, others): (Vec<_>, _) = gone.into_iter().partition(on_it);
            gone = others;
            retired.push(Retired::new(Some(old.pool.clone()), &locations));
        }
    }
    if !gone.is_empty() {
        retired.push(Retired::new(None, &gone));
    }
    retired
}

/// How long after its deadline a request may take to let go of what it used.
const LATE: Duration = Duration::from_secs(1);

impl Retired {
    /// It holds no location: what waits for the last one would wait for itself.
    fn new(pool: Option<Pool>, locations: &[&Arc<SharedLocation>]) -> Self {
        let deadlines = locations.iter().map(|location| location.deadline);
        let stream_timeouts = locations.iter().map(|location| location.stream_timeout);
        let mounting = |location: &&Arc<SharedLocation>| Arc::clone(&location.mounting);
        Self {
            pool,
            deadline: deadlines.max().unwrap_or_default(),
            stream_timeout: stream_timeouts.max().unwrap_or_default(),
            mountings: locations.iter().map(mounting).collect(),
        }
    }

    /// Waits for the requests that use it, each within its deadline, and ends it: calls that nobody
    /// waits for have `limit`. False when it left something behind that hangs.
    fn end(self, limit: Duration) -> bool {
        let began = Instant::now();
        self.wait_unused(began + limit.max(self.deadline + self.stream_timeout + LATE));
        let ended = self.pool.as_ref().is_none_or(|pool| {
            let report = pool.shutdown(limit.saturating_sub(began.elapsed()));
            log_left_behind(&report);
            report.still_running == 0
        });
        // A loop that was blocked answers late, and what is dropped here must be the last.
        for mounting in self.wait_unused(Instant::now() + self.deadline) {
            let location = mounting.path();
            tracing::warn!(location, "requests on what a reload replaced go on");
        }
        ended
    }

    /// Waits until no location holds the adapters; gives those that are still held.
    fn wait_unused(&self, until: Instant) -> Vec<&Mounting> {
        let mountings = self.mountings.iter().map(Arc::as_ref);
        mountings.filter(|one| !one.wait_unused(until)).collect()
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

    /// Parts them: what begins them, and what a stop waits for.
    pub(crate) fn split(self) -> (Begins, Vec<Drain>) {
        let part = |(retired, begin, drain)| ((retired, begin), drain);
        let (begins, drains) = self.0.into_iter().map(part).unzip();
        (Begins(begins), drains)
    }
}

/// Begins drains. Dropping it ends their threads unused.
#[derive(Debug)]
pub(crate) struct Begins(Vec<(Retired, mpsc::Sender<Retired>)>);

impl Begins {
    pub(crate) fn begin(self) {
        for (retired, begin) in self.0 {
            // Its thread waits for nothing else.
            let _ = begin.send(retired);
        }
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
            .recv_timeout((until + NOTICE).saturating_duration_since(Instant::now()));
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
