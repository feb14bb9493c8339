//! Blocking adapters on the pools that run them, one call at a time or several together.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use http::Method;
use pontoon_bridge::{Batch, Batching, Call, Pool, Session, SessionKind};

use super::{Job, Outcome, Place, Submit};
use crate::{Adapter, BatchCall, CallContext, ErrorKind, PathParams, Request};

/// Gives the adapter its sessions in the pool.
pub(super) fn bind<A: Adapter>(adapter: A, pool: &Pool, location: &Arc<str>) -> Arc<dyn Submit> {
    let adapter = Arc::new(adapter);
    let (open, check, close, interrupt) = (
        Arc::clone(&adapter),
        Arc::clone(&adapter),
        Arc::clone(&adapter),
        Arc::clone(&adapter),
    );
    let kind = SessionKind::new(move || open.open().map_err(crate::Error::while_opening))
        .label(Arc::clone(location))
        .check(move |session| check.check(session))
        .close(move |session| close.close(session))
        .interrupter(move |session| interrupt.interrupter(session));
    let pool = pool.with_sessions(kind);
    let Some(limits) = adapter.batching() else {
        return Arc::new(Pooled { adapter, pool });
    };
    let run = move |session: &mut Session<A::Session>, batch: &mut Batch<Entry, Outcome>| {
        run_batch(&*adapter, session, batch);
    };
    Arc::new(Batched(pool.batching(limits, run)))
}

/// An adapter whose calls run one by one.
struct Pooled<A: Adapter> {
    adapter: Arc<A>,
    pool: Pool<A::Session>,
}

impl<A: Adapter> Submit for Pooled<A> {
    fn submit(&self, job: Job) -> Call<Outcome> {
        let adapter = Arc::clone(&self.adapter);
        let Job {
            request,
            params,
            request_id,
            deadline,
            is_shortened,
            place,
        } = job;
        let submission = self.pool.call_with(move |session, context| {
            let is_head = request.method() == Method::HEAD;
            let context = CallContext::new(params, context.clone(), request_id).for_head(is_head);
            let outcome = produced(adapter.call(session.get(), request, &context), &context);
            judge_session(session, &outcome, &context);
            match Verdict::of(&outcome, &context, is_shortened) {
                Verdict::AsItEnded => {}
                Verdict::BackendFailed => session.backend_failed(),
                Verdict::Unknown => session.backend_unknown(),
            }
            // Before anybody learns of the outcome: who comes again then finds room. A call that
            // panics, or never runs, drops it with all that it took along.
            drop(place);
            outcome
        });
        let submission = submission.tag(request_id);
        match deadline {
            Some(deadline) => submission.deadline_at(deadline).submit(),
            None => submission.submit(),
        }
    }
}

/// An adapter whose calls run together.
struct Batched<S>(Batching<S, Entry, Outcome>);

/// A call that waits to be run with others. It goes before anybody learns of its outcome, and its place with it.
struct Entry {
    request: Request,
    params: PathParams,
    request_id: u64,
    is_shortened: bool,
    _place: Option<Place>,
}

impl<S: 'static> Submit for Batched<S> {
    fn submit(&self, job: Job) -> Call<Outcome> {
        let entry = Entry {
            request: job.request,
            params: job.params,
            request_id: job.request_id,
            is_shortened: job.is_shortened,
            _place: job.place,
        };
        let submission = self.0.call(entry).tag(job.request_id);
        match job.deadline {
            Some(deadline) => submission.deadline_at(deadline).submit(),
            None => submission.submit(),
        }
    }
}

fn run_batch<A: Adapter>(
    adapter: &A,
    session: &mut Session<A::Session>,
    batch: &mut Batch<Entry, Outcome>,
) {
    let calls = batch.calls().iter_mut().enumerate().map(|(seat, call)| {
        let context = call.context().clone();
        let entry = call.input();
        let request = mem::take(&mut entry.request);
        let params = mem::take(&mut entry.params);
        let is_head = request.method() == Method::HEAD;
        let context = CallContext::new(params, context, entry.request_id).for_head(is_head);
        BatchCall::new(request, context).at(seat)
    });
    let mut calls: Vec<_> = calls.collect();
    let answered = catch_unwind(AssertUnwindSafe(|| {
        adapter.call_batch(session.get(), &mut calls);
    }));
    // What it has answered before it panicked stands.
    for answered in calls {
        // The adapter may have put them into another order.
        let seat = answered.seat();
        let Some(call) = seat.and_then(|seat| batch.calls().get_mut(seat)) else {
            continue;
        };
        let (context, outcome) = answered.into_parts();
        let Some(outcome) = outcome else { continue };
        let outcome = produced(outcome, &context);
        judge_session(session, &outcome, &context);
        match Verdict::of(&outcome, &context, call.input().is_shortened) {
            Verdict::AsItEnded => {}
            Verdict::BackendFailed => call.backend_failed(),
            Verdict::Unknown => call.backend_unknown(),
        }
        call.finish(outcome);
    }
    if let Err(panic) = answered {
        resume_unwind(panic);
    }
}

/// Sends a response, and then what its producer gives, if it has one.
fn produced(outcome: Outcome, context: &CallContext) -> Outcome {
    let mut response = outcome?;
    if !response.is_unproduced() {
        return Ok(response);
    }
    match response.take_producer() {
        Some(producer) => context.stream(response, producer),
        None => Ok(response),
    }
}

/// Notes what a call's outcome says of its session.
fn judge_session<S>(session: &mut Session<S>, outcome: &Outcome, context: &CallContext) {
    let (is_lost, is_suspect) = match outcome {
        Ok(response) => (response.breaks_session(), false),
        // If the head was sent, and then it failed half-way, nobody knows what is left in the session.
        Err(error) => (error.breaks_session() || context.is_answered(), true),
    };
    if is_lost {
        session.discard();
    } else if is_suspect {
        session.suspect();
    }
}

/// What a call's outcome says of the backend.
enum Verdict {
    /// It answers.
    AsItEnded,
    BackendFailed,
    Unknown,
}

impl Verdict {
    fn of(outcome: &Outcome, context: &CallContext, is_shortened: bool) -> Self {
        let Err(error) = outcome else {
            return Self::AsItEnded;
        };
        let is_of_backend = matches!(error.kind(), ErrorKind::BadGateway | ErrorKind::TimedOut);
        let is_cut = context.is_answered();
        let is_late = !is_cut && context.remaining().is_some_and(|left| left.is_zero());
        let is_stopped = context.is_cancelled();
        // A client that left in time may have had its call stopped, whatever that looks like; and
        // one that gave too little time must not be able to make the backend look down to all.
        let is_of_client = if is_late { is_shortened } else { is_stopped };
        if is_of_backend && !is_of_client {
            Self::BackendFailed
        } else if is_of_client || is_stopped {
            Self::Unknown
        } else {
            Self::AsItEnded
        }
    }
}
