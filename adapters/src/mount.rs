//! How an adapter is bound to what runs it: a pool, a library with threads of its own, or a loop.
//!
//! A [`Mounted`] is an adapter whose kind is known and nothing else. The server binds it to its
//! pool, if it needs one, and gets a [`Bound`]: two ways to call, whatever the library is like.

mod pooled;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use pontoon_bridge::{Call, Pool, call, panic_message};

use crate::registry::Kind;
use crate::response::Rest;
use crate::{
    Adapter, CallContext, CallbackAdapter, Error, LoopAdapter, PathParams, Request, Response,
};

/// What an adapter answers.
pub type Outcome = Result<Response, Error>;

/// One request for an adapter.
#[derive(Debug)]
pub struct Job {
    /// The request, with its whole body.
    pub request: Request,
    /// What the location's path captured.
    pub params: PathParams,
    /// The request's number in the log.
    pub request_id: u64,
    /// When the answer becomes worthless.
    pub deadline: Option<Instant>,
    /// The deadline is the client's, who gives less time than the location does.
    pub is_shortened: bool,
    /// The call's place in its location's limits, if there are any: given back when the library has
    /// let go of the call, or will never get it. A body that a loop or a worker produces keeps it until
    /// it has ended.
    pub place: Option<Place>,
}

/// Something that is given back by dropping it.
pub type Place = Box<dyn Any + Send + Sync>;

/// An adapter whose calls run elsewhere: on a pool's workers or in a library's own threads.
pub trait Submit: Send + Sync {
    /// Starts a call; never blocks. The call carries the job's deadline.
    fn submit(&self, job: Job) -> Call<Outcome>;
}

/// An adapter whose calls run on the loop, as parts of the request's task.
pub trait Serve {
    /// Starts a call; it is cancelled by dropping it.
    fn serve(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome>>>;
}

/// Makes a loop's own instance of a loop adapter.
pub type MakeServe = Arc<dyn Fn() -> Rc<dyn Serve> + Send + Sync>;

/// An adapter of any kind, not yet bound.
pub struct Mounted(Inner);

enum Inner {
    Blocking(Box<dyn Bind>),
    Callback(Arc<dyn Submit>),
    Loop(MakeServe),
}

/// An adapter that is ready to be called.
#[derive(Clone)]
pub enum Bound {
    /// Calls are submitted and awaited.
    Submit(Arc<dyn Submit>),
    /// Each loop makes an instance and serves with it.
    Serve(MakeServe),
}

impl Mounted {
    /// An adapter that blocks: a pool's workers run it.
    pub fn blocking<A: Adapter>(adapter: A) -> Self {
        Self(Inner::Blocking(Box::new(Blocking(adapter))))
    }

    /// An adapter of a library that calls back.
    pub fn callback<A: CallbackAdapter>(adapter: A) -> Self {
        Self(Inner::Callback(Arc::new(Callback(adapter))))
    }

    /// An adapter that runs on the loop; each loop makes an instance of its own.
    pub fn on_loop<A: LoopAdapter, F: Fn() -> A + Send + Sync + 'static>(make: F) -> Self {
        Self(Inner::Loop(Arc::new(move || {
            Rc::new(OnLoop(Rc::new(make())))
        })))
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.0 {
            Inner::Blocking(_) => Kind::Blocking,
            Inner::Callback(_) => Kind::Callback,
            Inner::Loop(_) => Kind::Loop,
        }
    }

    /// Binds the adapter to the pool that runs it; `None` comes back for a blocking adapter
    /// without a pool. The other kinds need none. `location` is what the pool calls its calls where it
    /// names them, with their request ids: in the log, and in [`Pool::running`].
    #[must_use]
    pub fn bind(self, pool: Option<&Pool>, location: &Arc<str>) -> Option<Bound> {
        Some(match self.0 {
            Inner::Blocking(adapter) => Bound::Submit(adapter.bind(pool?, location)),
            Inner::Callback(adapter) => Bound::Submit(adapter),
            Inner::Loop(make) => Bound::Serve(make),
        })
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mounted").field(&self.kind()).finish()
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Submit(_) => "Bound::Submit",
            Self::Serve(_) => "Bound::Serve",
        })
    }
}

/// A blocking adapter that waits for its pool.
trait Bind: Send + Sync {
    fn bind(self: Box<Self>, pool: &Pool, location: &Arc<str>) -> Arc<dyn Submit>;
}

struct Blocking<A>(A);

impl<A: Adapter> Bind for Blocking<A> {
    fn bind(self: Box<Self>, pool: &Pool, location: &Arc<str>) -> Arc<dyn Submit> {
        pooled::bind(self.0, pool, location)
    }
}

struct Callback<A>(A);

impl<A: CallbackAdapter> Submit for Callback<A> {
    /// The library's `submit` runs on the loop's thread, so a panic in it must not get out: the
    /// completer is dropped by it and the call ends as abandoned.
    fn submit(&self, job: Job) -> Call<Outcome> {
        let (call, completer) = call();
        let completer = completer.holding(job.place);
        let context = completer.context(job.deadline);
        let context = CallContext::new(job.params, context, job.request_id);
        let submit = || self.0.submit(job.request, &context, completer);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(submit)) {
            let message = panic_message(&*panic);
            // Its own drop might panic as well.
            std::mem::forget(panic);
            let request = job.request_id;
            tracing::error!(request, %message, "a callback adapter panicked in `submit`");
        }
        match job.deadline {
            Some(deadline) => call.deadline_at(deadline),
            None => call,
        }
    }
}

struct OnLoop<A>(Rc<A>);

impl<A: LoopAdapter> Serve for OnLoop<A> {
    fn serve(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome>>> {
        let adapter = Rc::clone(&self.0);
        Box::pin(async move {
            let context = pontoon_bridge::CallContext::detached().with_deadline(job.deadline);
            let context = CallContext::new(job.params, context, job.request_id);
            let place = job.place;
            let mut outcome = adapter.call(job.request, &context).await;
            if let Ok(response) = &mut outcome
                && let Some(Rest::Body(body)) = response.rest_mut()
                && let Some(place) = place
            {
                body.hold(place);
            }
            outcome
        })
    }
}

#[cfg(test)]
mod tests;
