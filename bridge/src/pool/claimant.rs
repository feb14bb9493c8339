//! A worker's side of the claim protocol: the right column of [`super::idle`].

use super::idle::{Idle, Unpark};

/// Where a worker's calls come from, as the claim protocol sees it.
pub(crate) trait Waiting {
    type Job;
    fn take(&self) -> Option<Self::Job>;
    fn is_empty(&self) -> bool;
    /// Whether what waits is worth another worker's wake.
    fn is_backlogged(&self) -> bool;
    /// Whether the pool ends once this is empty.
    fn is_ending(&self) -> bool;
    /// Another worker is about to be woken for what is here.
    fn is_waking(&self) {}
}

/// What a worker does next.
#[derive(Debug)]
pub(crate) enum Next<J> {
    /// Run this.
    Run(J),
    /// Look into the queue for a moment, then ask again.
    Search,
    /// Park until [`Idle::is_idle`] is false, then say so with [`Claimant::was_woken`].
    Sleep,
    /// Nothing more will come.
    End,
}

/// What others rely on this worker for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    Nothing,
    /// It searches, and `SEARCHING` is set on its behalf.
    Searching,
    /// It stopped searching, or was idle, while calls came in whose submitters relied on that.
    Chaining,
}

/// A worker's side of the claim protocol.
#[derive(Debug)]
pub(crate) struct Claimant<'idle, W: Unpark> {
    idle: &'idle Idle<W>,
    worker: usize,
    handle: W,
    duty: Duty,
    /// Somebody relied on its search who does not look again.
    is_relied_on: bool,
}

impl<'idle, W: Unpark> Claimant<'idle, W> {
    pub(crate) fn new(idle: &'idle Idle<W>, worker: usize, handle: W) -> Self {
        Self {
            idle,
            worker,
            handle,
            duty: Duty::Nothing,
            is_relied_on: false,
        }
    }

    /// Takes the next call. If there is none, `search` says whether to look again for a moment,
    /// which one worker may do at a time; otherwise the worker is put on the stack.
    pub(crate) fn next<Q: Waiting>(
        &mut self,
        waiting: &Q,
        search: impl FnOnce() -> bool,
    ) -> Next<Q::Job> {
        let mut search = Some(search);
        loop {
            // Before the look into the queue: what was queued before the end began is run.
            let ending = waiting.is_ending();
            if let Some(job) = waiting.take() {
                self.pass_on(waiting);
                return Next::Run(job);
            }
            if ending {
                return Next::End;
            }
            if search.take().is_some_and(|search| search()) && self.searches() {
                return Next::Search;
            }
            let was_searching = self.duty == Duty::Searching;
            self.duty = Duty::Nothing;
            self.is_relied_on |=
                self.idle
                    .stand_idle(self.worker, self.handle.clone(), was_searching);
            if waiting.is_empty() && !waiting.is_ending() {
                // What it was relied on for, others have taken.
                self.is_relied_on = false;
                return Next::Sleep;
            }
            self.duty = if self.idle.step_off(self.worker) {
                Duty::Chaining
            } else {
                Duty::Searching
            };
        }
    }

    /// Whether this worker is the one that searches.
    fn searches(&mut self) -> bool {
        if self.duty != Duty::Searching && self.idle.begin_search() {
            self.duty = Duty::Searching;
        }
        self.duty == Duty::Searching
    }

    /// The worker was popped from the stack, and so searches.
    pub(crate) fn was_woken(&mut self) {
        self.duty = Duty::Searching;
    }

    /// Having taken a call, hands the duty on if there is more.
    fn pass_on(&mut self, waiting: &impl Waiting) {
        match std::mem::replace(&mut self.duty, Duty::Nothing) {
            Duty::Nothing => return,
            Duty::Searching => self.is_relied_on |= self.idle.found_work(),
            // What came while it stood idle may be anybody's.
            Duty::Chaining => self.is_relied_on = true,
        }
        let is_relied_on = std::mem::replace(&mut self.is_relied_on, false);
        if waiting.is_empty() {
            return;
        }
        if is_relied_on || !self.idle.is_tended() {
            self.idle.work_was_queued(|| waiting.is_waking());
        } else if waiting.is_backlogged() {
            self.idle.wake_idle(|| waiting.is_waking());
        }
    }
}
