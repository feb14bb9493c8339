//! The worker thread: takes calls, runs foreign code, sleeps when there is none.

use super::claimant::{Claimant, Next, Waiting};
use super::core::Core;
use super::here;
use super::reserve::Order;
use super::serve::Bound;
use super::sessions::Sessions;
use super::signals::block_signals_of_a_worker;
use super::stopping::Stoppable;
use crate::call::Posts;
use crate::inbox::chain::Pushed;
use crate::quiet::run_quietly;
use crate::spin::{Patience, cpus};
use crate::visits::Tended;
use nix::unistd::gettid;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// A call as its worker sees it.
pub(crate) trait Job: Send + Sync {
    fn run(self: Arc<Self>, core: &Core, worker: &mut Worker);
    /// Ends the call with `ShutDown` unless its caller has left.
    fn shut_down(self: Arc<Self>);
    /// Whether its caller left while it waited.
    fn is_husk(&self) -> bool;
}

/// Where calls are short, one in so many is learnt from.
const SHORT_CALLS_PER_SAMPLE: u32 = 16;

/// What a worker keeps to itself.
pub(crate) struct Worker {
    index: usize,
    pub(crate) sessions: Sessions,
    pub(crate) posts: Posts,
    /// The call that runs now needs a session that could not be opened a moment ago, and is shed.
    pub(crate) was_not_tried: bool,
    patience: Patience,
    calls: u32,
    /// When the last call ended, if nothing but taking the next one has happened since: the clock
    /// is read once per call.
    ended: Option<Instant>,
    /// When the clock was last read.
    last_look: Option<Instant>,
    /// The moment at which the last call began, and what its record says of it.
    began: Option<(Instant, u64)>,
    /// How the loop was to which the last outcome went.
    pushed: Pushed,
}

impl Worker {
    fn new(core: &Core, index: usize) -> Self {
        Self {
            index,
            sessions: Sessions::new(core.sessions),
            posts: Posts::default(),
            was_not_tried: false,
            patience: Patience::of_a_worker(core.spin),
            calls: 0,
            ended: None,
            last_look: None,
            began: None,
            pushed: Pushed::Quiet,
        }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Whether it looks into the queue as soon as it is through with this call. What closes or checks
    /// sessions comes first, and may hang.
    pub(super) fn comes_right_back(&self, core: &Core) -> bool {
        let tidies = self.calls.wrapping_add(1).is_multiple_of(CALLS_PER_TIDYING);
        !tidies && !self.sessions.are_left_to_close() && !core.reserve.is_overstaffed()
    }

    /// The moment at which a call begins.
    pub(crate) fn now(&mut self) -> Instant {
        self.ended.take().unwrap_or_else(Instant::now)
    }

    /// Foreign code gets the thread, for a call.
    pub(crate) fn begins<S>(&mut self, bound: &Bound<S>, tag: u64, now: Instant) {
        let record = bound.core.counters.of(self.index);
        // Many short calls share a look at the clock.
        let since_ns = match self.began {
            Some((at, since_ns)) if at == now => since_ns,
            _ => record.since_ns(now),
        };
        self.began = Some((now, since_ns));
        record.begins(bound.kind.id, tag, since_ns);
    }

    /// As [`begins`](Self::begins), for what may be told to stop until it is over.
    pub(crate) fn begins_stoppable<S>(
        &mut self,
        bound: &Bound<S>,
        what: &Arc<impl Stoppable + 'static>,
        tag: u64,
        now: Instant,
    ) {
        let current = || Some(Arc::clone(what) as Arc<dyn Stoppable>);
        bound.core.set_current(self.index, current);
        self.begins(bound, tag, now);
    }

    /// A moment not long ago, for a call whose times nobody wants to know.
    pub(crate) fn roughly_now(&mut self) -> Instant {
        *self.last_look.get_or_insert_with(Instant::now)
    }

    /// Something that may take its time has happened since the clock was read.
    pub(crate) fn forget_the_time(&mut self) {
        self.ended = None;
        self.last_look = None;
    }

    /// Whether the next call's time is learnt from, if it is a short one.
    pub(crate) fn is_sampling(&self, core: &Core) -> bool {
        self.calls.is_multiple_of(SHORT_CALLS_PER_SAMPLE) || core.takes_long()
    }

    /// Notes that foreign code has returned. `is_sample` says that the pool is to learn from it.
    pub(crate) fn call_ended<S>(
        &mut self,
        bound: &Bound<S>,
        [began, ended]: [Instant; 2],
        is_sample: bool,
    ) {
        let core = &*bound.core;
        self.ended = Some(ended);
        self.last_look = self.ended;
        if !self.count_call(core) {
            return;
        }
        let service = ended.saturating_duration_since(began);
        if core.is_sized && !core.counters.of(self.index).is_stuck() {
            core.counters.of(self.index).call_took(service);
        }
        if is_sample {
            core.admission.learn(service);
            bound.typical.learn(service);
            core.mark_successes(ended);
        }
    }

    /// As [`call_ended`](Self::call_ended), for `calls` that have run together, of at most `most`. Each took
    /// all of the time and has cost the pool its part of it.
    ///
    /// What the door learns is what a call costs in a batch that is full: while few come, each has a batch
    /// of its own, and the door would take a crowd that fits into one for a queue of hours.
    pub(crate) fn batch_ended<S>(
        &mut self,
        bound: &Bound<S>,
        [began, ended]: [Instant; 2],
        calls: usize,
        most: usize,
    ) {
        let core = &*bound.core;
        if !self.count_call(core) {
            return;
        }
        let record = core.counters.of(self.index);
        (1..calls).for_each(|_| record.call_completed());
        let service = ended.saturating_duration_since(began);
        let share = |of: usize| service / u32::try_from(of).unwrap_or(u32::MAX).max(1);
        if core.is_sized && !record.is_stuck() {
            let part = share(calls);
            (0..calls).for_each(|_| record.call_took(part));
        }
        core.admission
            .learn(share(most.min(core.admission.places())));
        bound.typical.learn(service);
        core.mark_successes(ended);
    }

    /// As [`call_ended`](Self::call_ended), when nobody has looked at the clock.
    pub(crate) fn untimed_call_ended(&mut self, core: &Core) {
        self.ended = None;
        self.count_call(core);
    }

    /// As [`call_ended`](Self::call_ended), for a call that answered before it ended. What it did after
    /// that went at the pace of whoever reads it, so nothing is to be learnt from it.
    pub(crate) fn answered_call_ended(&mut self, core: &Core) {
        core.counters.of(self.index).has_ended();
        self.untimed_call_ended(core);
    }

    /// Counts a call as completed, or as shed if there was no session to try it in; whether it was tried.
    fn count_call(&mut self, core: &Core) -> bool {
        let was_tried = !std::mem::take(&mut self.was_not_tried);
        if was_tried {
            core.counters.of(self.index).call_completed();
        } else {
            core.counters.shed.add();
        }
        was_tried
    }

    /// Notes that the call succeeded, as far as the backend is concerned.
    pub(super) fn call_succeeded(&self, core: &Core) {
        core.counters.of(self.index).call_succeeded();
    }

    /// Notes how the loop was to which an outcome has gone.
    pub(crate) fn sent(&mut self, pushed: Pushed) {
        self.pushed = pushed;
    }

    /// Whether to look again before sleeping: where it has paid lately, if the loop is awake to
    /// send more, and as long as there is a CPU for it beside the workers that have real work.
    fn may_search(&mut self, core: &Core) -> bool {
        self.pushed == Pushed::Quiet && core.awake() <= cpus() && self.patience.is_worth_a_try()
    }

    fn search(&mut self, core: &Core) {
        self.forget_the_time();
        self.patience
            .look_again(None, || !core.queue.is_empty(), || core.is_shutting_down());
    }

    fn run(&mut self, core: &Core, job: Arc<dyn Job>) {
        // A panic that got here would end the thread, and with it a worker for good.
        run_quietly(|| job.run(core, self));
        if self.sessions.are_left_to_close() {
            // Foreign code as well, and may take its time: the outcome is on its way.
            run_quietly(|| self.sessions.close_left());
            self.forget_the_time();
        }
        self.foreign_code_ended(core);
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(CALLS_PER_TIDYING) {
            self.forget_the_time();
            self.tidy(core, Instant::now());
        }
    }

    fn foreign_code_ended(&self, core: &Core) {
        let record = core.counters.of(self.index);
        record.sessions_open(self.sessions.len());
        if record.returns() {
            core.came_back(self.index);
        }
        core.set_current(self.index, || None);
    }

    /// Runs what closes or opens sessions without a call.
    fn care(&mut self, core: &Core, now: Instant, care: impl FnOnce(&mut Sessions)) {
        let record = core.counters.of(self.index);
        record.begins(0, 0, record.since_ns(now));
        // A panic that got out would end the thread, and with it a worker for good.
        run_quietly(|| care(&mut self.sessions));
        self.foreign_code_ended(core);
    }

    /// Leaves for the reserve, if there are too many workers, and waits there; whether it takes calls
    /// again then.
    fn leave_if_too_many(&mut self, core: &Core) -> bool {
        if !core.reserve.is_overstaffed() || !core.reserve.begin_to_leave() {
            return true;
        }
        self.forget_the_time();
        self.posts.let_go();
        if !core.queue.is_empty() {
            // A line of calls may rely on this worker's coming back.
            Tended::work_was_queued(core);
        }
        // Foreign code, which may hang: as long as it runs this worker counts. A pool that finds its own
        // size tries others all the time, so its workers keep what they have.
        if !core.is_sized {
            self.care(core, Instant::now(), Sessions::close_all);
        }
        if !core.reserve.leave(self.index, thread::current()) {
            return true;
        }
        if !core.queue.is_empty() {
            Tended::work_was_queued(core);
        }
        self.wait_in_reserve(core)
    }

    /// Waits for the call to work, or for the pool's end, and closes sessions that idle too long
    /// meanwhile; whether it is the call.
    fn wait_in_reserve(&mut self, core: &Core) -> bool {
        self.sessions.leave();
        if core.sessions.min > 0 {
            // Those who stay have to make up for what it had.
            core.look_at_sessions();
        }
        loop {
            match core.reserve.order(self.index) {
                Order::Come => {
                    self.sessions.come_back();
                    return true;
                }
                Order::End => return false,
                Order::Stay => {}
            }
            let now = Instant::now();
            match self.sessions.due_at() {
                Some(at) if at <= now => self.tidy(core, now),
                Some(at) => thread::park_timeout(at - now),
                None => thread::park(),
            }
        }
    }

    /// Closes sessions that have had their time, and puts the signal mask right, which foreign code may
    /// have changed.
    fn tidy(&mut self, core: &Core, now: Instant) {
        // A check may take as long as a call, and calls come first.
        let may_check = || core.queue.is_empty();
        self.care(core, now, |sessions| sessions.close_due(now, may_check));
        block_signals_of_a_worker();
    }

    /// Opens sessions that are to be kept warm.
    fn warm_up(&mut self, core: &Core) {
        if core.sessions.min == 0 {
            return;
        }
        let record = core.counters.of(self.index);
        self.care(core, Instant::now(), |sessions| {
            let begins = |kind| record.begins(kind, 0, record.since_ns(Instant::now()));
            core.open_cold(sessions, begins);
        });
        block_signals_of_a_worker();
    }

    /// Parks until somebody wakes this worker, closing sessions that idle too long meanwhile, and opening
    /// such as are to be kept warm. True when it was woken and so searches; false when it stepped off by
    /// itself.
    fn sleep(&mut self, core: &Core) -> bool {
        self.forget_the_time();
        self.posts.let_go();
        let due_at = self.sessions.due_at();
        let cold_at = core.cold_at(&self.sessions);
        let care_at = due_at.into_iter().chain(cold_at).min();
        loop {
            match care_at {
                Some(at) => thread::park_timeout(at.saturating_duration_since(Instant::now())),
                None => thread::park(),
            }
            if !core.idle.is_idle(self.index) {
                core.was_woken();
                return true;
            }
            let now = Instant::now();
            if care_at.is_some_and(|at| at <= now) {
                // Closing is foreign code and may take its time: not while we look idle.
                if !core.idle.step_off(self.index) {
                    return true;
                }
                self.tidy(core, now);
                self.warm_up(core);
                return false;
            }
        }
    }

    fn end(&mut self, core: &Core) {
        // Without one it runs no foreign code, and must not look as if it did.
        if self.sessions.len() > 0 {
            self.care(core, Instant::now(), Sessions::close_all);
        }
        core.worker_ended();
    }
}

impl Waiting for Core {
    type Job = Arc<dyn Job>;

    fn take(&self) -> Option<Arc<dyn Job>> {
        self.queue.take()
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn is_backlogged(&self) -> bool {
        Core::is_backlogged(self)
    }

    fn is_ending(&self) -> bool {
        self.is_shutting_down()
    }

    fn is_waking(&self) {
        Core::is_waking(self);
    }
}

/// After so many calls a worker puts its signal mask right, and looks whether a session that it has
/// not used has idled too long.
const CALLS_PER_TIDYING: u32 = 256;

/// The life of worker `index` of a pool.
pub(crate) fn work(core: &Arc<Core>, index: usize) {
    block_signals_of_a_worker();
    let mut claimant = Claimant::new(&core.idle, index, thread::current());
    let mut worker = Worker::new(core, index);
    core.counters.of(index).thread_began(gettid().as_raw());
    let _here = here::enter(core, index);
    let is_spare = index >= core.threads_at_start;
    let waits = is_spare && core.reserve.stand_by(index, thread::current());
    let mut is_active = !waits || worker.wait_in_reserve(core);
    let mut searched = false;
    while is_active {
        let may_search = || !std::mem::replace(&mut searched, true) && worker.may_search(core);
        match claimant.next(&**core, may_search) {
            Next::Run(job) => {
                worker.run(core, job);
                is_active = worker.leave_if_too_many(core);
                searched = false;
            }
            Next::Search => worker.search(core),
            Next::Sleep => {
                core.admission.queue_was_empty();
                if worker.sleep(core) {
                    claimant.was_woken();
                } else {
                    // It may have been counted as stuck with its sessions, and a spare one have come.
                    is_active = worker.leave_if_too_many(core);
                }
                searched = false;
            }
            Next::End => break,
        }
    }
    worker.end(core);
}
