//! A foreign library in miniature: a queue, a few threads, and a function that calls back.
//!
//! It stands for what many C libraries do, and for what some of them do wrong. Only the adapter
//! around it knows Pontoon; nothing in here does. A job waits for `delay` without holding a
//! thread, as a library does that waits for a device or a peer. Its locks are never held while a
//! callback runs.

use std::collections::VecDeque;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// How many callbacks [`Misbehave::Never`] keeps before it drops the oldest.
pub const HOARD_MAX: usize = 1024;

/// What the library calls when a job is done. A well-behaved one calls it once.
pub type Done = Box<dyn FnMut(Bytes) + Send>;

/// What the library does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Misbehave {
    /// Nothing.
    #[default]
    None,
    /// It calls back twice, with the same result.
    Twice,
    /// It calls back before `submit` returns, on the caller's thread.
    Inline,
    /// It calls back later than it should.
    Late,
    /// It keeps the callback and never calls it.
    Never,
    /// It drops the callback without calling it.
    Drop,
    /// It panics in `submit`, on the caller's thread.
    Panic,
    /// It panics on its own thread, with the callback in its hands. The thread goes on.
    ThreadPanic,
}

impl Misbehave {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Twice,
        Self::Inline,
        Self::Late,
        Self::Never,
        Self::Drop,
        Self::Panic,
        Self::ThreadPanic,
    ];

    /// The name in a config file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Twice => "twice",
            Self::Inline => "inline",
            Self::Late => "late",
            Self::Never => "never",
            Self::Drop => "drop",
            Self::Panic => "panic",
            Self::ThreadPanic => "thread_panic",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.name() == name)
    }
}

/// How the library is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many threads call back.
    pub threads: usize,
    /// How many jobs may be pending; more are refused.
    pub max_pending: usize,
    /// How long each job takes.
    pub delay: Duration,
    /// How much longer it takes with [`Misbehave::Late`].
    pub late_by: Duration,
    /// What it does wrong.
    pub misbehave: Misbehave,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: 2,
            max_pending: 1024,
            delay: Duration::from_millis(10),
            late_by: Duration::from_secs(1),
            misbehave: Misbehave::None,
        }
    }
}

/// Why a job was refused.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// As many jobs are pending as there may be.
    #[error("{limit} jobs are pending, which is the limit")]
    QueueFull {
        /// How many there may be.
        limit: usize,
    },
}

struct Job {
    input: Bytes,
    done: Done,
    due: Instant,
}

#[derive(Default)]
struct State {
    // All jobs take equally long, so the order of arrival is the order of being due.
    pending: VecDeque<Job>,
    hoard: VecDeque<Done>,
    stopping: bool,
}

struct Shared {
    config: Config,
    state: Mutex<State>,
    changed: Condvar,
}

/// The running library. Dropping it stops its threads, and drops every callback it still has.
pub struct Library {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Library {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// The operating system refuses one; those that run already are stopped again.
    pub fn start(config: Config) -> io::Result<Self> {
        let thread_count = config.threads;
        let shared = Arc::new(Shared {
            config,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let mut library = Self {
            shared,
            threads: Vec::new(),
        };
        for number in 0..thread_count {
            let shared = Arc::clone(&library.shared);
            let thread = thread::Builder::new().name(format!("foreign-{number}"));
            library.threads.push(thread.spawn(move || shared.run())?);
        }
        Ok(library)
    }

    /// Starts a job; `done` is called with the result. It never blocks.
    ///
    /// # Errors
    ///
    /// The queue is full: `done` is dropped.
    ///
    /// # Panics
    ///
    /// With [`Misbehave::Panic`], always.
    pub fn submit(&self, input: Bytes, mut done: Done) -> Result<(), SubmitError> {
        let config = &self.shared.config;
        match config.misbehave {
            Misbehave::Inline => {
                done(input);
                return Ok(());
            }
            Misbehave::Panic => panic!("the library panics in submit, as it was told to"),
            _ => {}
        }
        let late_by = match config.misbehave {
            Misbehave::Late => config.late_by,
            _ => Duration::ZERO,
        };
        let due = Instant::now() + config.delay + late_by;
        let mut state = self.shared.lock();
        if state.pending.len() >= config.max_pending {
            let limit = config.max_pending;
            return Err(SubmitError::QueueFull { limit });
        }
        state.pending.push_back(Job { input, done, due });
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while let Some(job) = self.next() {
            // A panic ends the job, and drops its callback; the thread goes on.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| self.finish(job)));
        }
    }

    /// Waits until a job is due; `None` when the library stops.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return None;
            }
            let wait = match state.pending.front() {
                None => None,
                Some(job) => match job.due.checked_duration_since(Instant::now()) {
                    Some(wait) if !wait.is_zero() => Some(wait),
                    _ => return state.pending.pop_front(),
                },
            };
            state = match wait {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(wait) => {
                    let waited = self.changed.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn finish(&self, job: Job) {
        let Job {
            input, mut done, ..
        } = job;
        match self.config.misbehave {
            Misbehave::Never => self.keep(done),
            Misbehave::Drop => drop(done),
            Misbehave::ThreadPanic => panic!("the library's thread panics, as it was told to"),
            Misbehave::Twice => {
                done(input.clone());
                done(input);
            }
            _ => done(input),
        }
    }

    fn keep(&self, done: Done) {
        let mut state = self.lock();
        state.hoard.push_back(done);
        let oldest = if state.hoard.len() > HOARD_MAX {
            state.hoard.pop_front()
        } else {
            None
        };
        // The callback's own code runs when it is dropped: not under the lock.
        drop(state);
        drop(oldest);
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A thread of the library never panics outside of a job, and those are caught.
            let _ = thread.join();
        }
        // What is left goes with the shared state, after the last thread.
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
