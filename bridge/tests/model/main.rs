//! Any history of calls, callbacks and an inbox on one loop, against a plain reference.
//!
//! What runs is known at any time: a call either ends at once or is held until the history releases
//! it. So after each step the reference knows what must happen; the test waits for that, and
//! then for the same counts of the pool, the same wakes and the same values alive.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(missing_docs, unreachable_pub, reason = "not an interface")]

mod reference;
mod rig;
mod step;

use pontoon_bridge::event_loop::{self, EventLoop};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestCaseResult};
use reference::{Id, Outcome, Reference};
use rig::Rig;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};
use step::{Step, Wait};

/// Longer than any step takes; a history that fails is tried again many times to shorten it.
const PATIENCE: Duration = Duration::from_secs(10);
const LESS_PATIENCE: Duration = Duration::from_millis(500);
/// A history has failed: what follows only shortens it.
static FAILED: AtomicBool = AtomicBool::new(false);

fn patience() -> Duration {
    if FAILED.load(SeqCst) {
        LESS_PATIENCE
    } else {
        PATIENCE
    }
}

struct History {
    real: Rig,
    reference: Reference,
    /// Calls that had begun before this step.
    began: usize,
}

fn choose(from: &[Id], which: usize) -> Option<Id> {
    (!from.is_empty()).then(|| from[which % from.len()])
}

impl History {
    fn new(workers: usize, max_queue: usize) -> Self {
        Self {
            real: Rig::new(workers, max_queue),
            reference: Reference::new(workers, max_queue),
            began: 0,
        }
    }

    fn step(&mut self, step: Step) -> TestCaseResult {
        let (real, reference) = (&mut self.real, &mut self.reference);
        self.began += reference.starts.len();
        reference.next_step();
        match step {
            Step::Submit(orders, place) => {
                for order in &orders[..reference.clip(orders.len())] {
                    real.submit(reference.submit(*order), *order, place);
                }
            }
            Step::SubmitTo(orders) => {
                for order in &orders[..reference.clip(orders.len())] {
                    let (id, refused) = reference.submit_to(*order);
                    prop_assert_eq!(real.submit_to(id, *order), refused);
                }
            }
            Step::ComeAndGo(count) => {
                let count = reference.clip_leavers(count);
                reference.come_and_go(count);
                real.come_and_go(count);
            }
            Step::Poll(which, place) => return self.poll(which, false, place),
            Step::Expire(which, place) => return self.poll(which, true, place),
            Step::Drop(which, place) => {
                if let Some(id) = choose(&real.calls(), which) {
                    reference.drop_call(id);
                    real.drop_call(id, place);
                }
            }
            Step::Release(which) => {
                if let Some(id) = choose(&real.held(), which) {
                    reference.release(id);
                    real.release(id);
                }
            }
            Step::Callback => real.callback(reference.callback()),
            Step::Complete(which, place) => {
                if let Some(id) = choose(&real.completers(), which) {
                    let is_first = reference.complete(id, Outcome::Value);
                    prop_assert_eq!(real.complete(id, place), is_first);
                }
            }
            Step::LetGoOfCompleter(which, place) => {
                if let Some(id) = choose(&real.completers(), which) {
                    reference.let_go_of_completer(id);
                    real.let_go_of_completer(id, place);
                }
            }
            Step::Drain(limit) => return self.drain(limit, true),
            Step::DrainDisarmed(limit) => return self.drain(limit, false),
            Step::ReplaceInbox => {
                reference.replace_inbox();
                real.replace_inbox();
            }
            Step::BeginShutdown => {
                reference.ends = true;
                real.pool.begin_shutdown();
            }
            Step::GiveUp => return self.give_up(),
        }
        Ok(())
    }

    fn poll(&mut self, which: usize, expires: bool, place: step::Place) -> TestCaseResult {
        if let Some(id) = choose(&self.real.calls(), which) {
            let expected = self.reference.poll(id, expires);
            prop_assert_eq!(self.real.poll(id, expires, place), expected, "call {}", id);
        }
        Ok(())
    }

    fn drain(&mut self, limit: usize, arms: bool) -> TestCaseResult {
        let mut messages = Vec::new();
        let handle = |message| messages.push(message);
        let handled = if arms {
            self.real.inbox.drain(limit, handle)
        } else {
            self.real.inbox.drain_disarmed(limit, handle)
        };
        prop_assert_eq!(handled, messages.len());
        prop_assert_eq!(handled, self.reference.drain(limit));
        for message in messages {
            let (id, expected) = (message.id, self.reference.message(message.id));
            prop_assert_eq!(Some(message.outcome()), expected, "message {}", id);
        }
        Ok(())
    }

    fn give_up(&mut self) -> TestCaseResult {
        self.reference.give_up();
        let running = self.reference.running();
        let limit = if running == 0 {
            PATIENCE
        } else {
            Duration::ZERO
        };
        let report = self.real.pool.shutdown(limit);
        // A worker that is just closing its sessions counts too.
        let most = if running == 0 {
            0
        } else {
            self.reference.workers
        };
        let stuck = running..=most;
        prop_assert!(stuck.contains(&report.still_running), "{:?}", report);
        Ok(())
    }

    /// Waits until all has happened that must happen.
    async fn settle(&mut self, wait: Wait) -> TestCaseResult {
        self.reference.settle();
        let until = Instant::now() + patience();
        loop {
            let version = self.real.log.version();
            let is_armed = self.real.inbox.arm();
            if !is_armed {
                // What a loop does that must not sleep. It takes no message.
                self.real.inbox.drain_disarmed(0, drop);
            }
            let difference = self.log_differs();
            let is_quiet = difference.is_none();
            let Some(difference) = difference.or_else(|| self.counts_differ()) else {
                return Ok(());
            };
            if Instant::now() > until {
                return Err(TestCaseError::fail(difference));
            }
            if wait == Wait::Asleep && is_armed && !is_quiet {
                let changed = self.real.log.wait(version);
                if event_loop::timeout(patience(), changed).await.is_err() {
                    return Err(TestCaseError::fail(format!(
                        "a wake was lost: {difference}"
                    )));
                }
            } else {
                event_loop::yield_now().await;
            }
        }
    }

    /// How what the foreign code has seen differs from what it must see.
    fn log_differs(&self) -> Option<String> {
        let mut starts = self.real.starts_after(self.began);
        let mut expected = self.reference.starts.clone();
        if self.reference.workers > 1 {
            // What two workers take one after the other they may begin in any order.
            starts.sort_unstable();
            expected.sort_unstable();
        }
        let (live, must_live) = (self.real.live(), self.reference.live());
        (starts != expected || live != must_live).then(|| {
            format!("began {starts:?}, must {expected:?}; alive {live:?}, must {must_live:?}")
        })
    }

    /// How the counts and wakes differ from what they must be.
    fn counts_differ(&self) -> Option<String> {
        let (stats, expected) = (self.real.stats(), self.reference.stats);
        if stats != expected {
            return Some(format!("{stats:?}, must be {expected:?}"));
        }
        // What was counted is not yet sent; but a worker that is through has sent it.
        let (running, ends) = (self.reference.running(), self.reference.ends);
        if self.reference.has_finished_some && !self.real.is_through(running, ends) {
            return Some(format!("only {running} workers must still run a call"));
        }
        let is_wrong = |id: &Id| self.real.is_woken(*id) != self.reference.is_woken(*id);
        let id = self.real.calls().into_iter().find(is_wrong)?;
        let woken = self.reference.is_woken(id);
        Some(format!("the caller of {id} must be woken: {woken}"))
    }

    /// Lets all that is held go and everybody see the outcome; then nothing is left.
    async fn end(mut self) -> TestCaseResult {
        while !self.real.held().is_empty() {
            self.step(Step::Release(0))?;
            self.settle(Wait::Asleep).await?;
        }
        self.step(Step::BeginShutdown)?;
        let report = self.real.pool.shutdown(PATIENCE);
        prop_assert_eq!(report.still_running, 0);
        for _ in self.real.completers() {
            self.step(Step::LetGoOfCompleter(0, step::Place::Here))?;
        }
        self.settle(Wait::Asleep).await?;
        for _ in self.real.calls() {
            self.step(Step::Poll(0, step::Place::Here))?;
        }
        prop_assert!(self.real.calls().is_empty(), "each call has ended");
        self.step(Step::Drain(usize::MAX))?;
        self.settle(Wait::Asleep).await?;
        prop_assert_eq!(self.real.stats().in_flight, 0);
        prop_assert_eq!(self.real.live(), reference::Live::default());
        Ok(())
    }
}

async fn run(workers: usize, max_queue: usize, steps: Vec<(Step, Wait)>) -> TestCaseResult {
    let mut history = History::new(workers, max_queue);
    for (step, wait) in steps {
        history.step(step)?;
        history.settle(wait).await?;
    }
    history.end().await
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        // `PROPTEST_CASES` sets another number.
        cases: if std::env::var_os("PROPTEST_CASES").is_some() {
            default.cases
        } else {
            600
        },
        max_shrink_time: 120_000,
        // The shortest history that fails is printed, to become a test with a name.
        failure_persistence: None,
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_history_of_calls_ends_as_a_plain_queue_says(
        workers in 1..=2usize,
        max_queue in 0..7usize,
        steps in prop::collection::vec((step::step(), step::wait()), 0..100),
    ) {
        let ended = EventLoop::new().unwrap().block_on(run(workers, max_queue, steps));
        FAILED.fetch_or(ended.is_err(), SeqCst);
        ended?;
    }
}
